//! A little of everything: processes, files, listens, connections that succeed and that are refused.
//!
//! The constants are what a recording of [`run`] must hold, not counting the workload's own process.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

/// Children forked that end without running another program.
pub const FORKS: u64 = 5;
/// Exit code of those.
pub const FORK_EXIT_CODE: i32 = 3;
/// Children that run another program and end by themselves.
pub const EXECS: u64 = 4;
/// Children that run another program and are ended by SIGKILL.
pub const KILLED: u64 = 1;
/// Files opened for writing; their names begin with [`FILE_PREFIX`].
pub const FILES: u64 = 6;
/// Beginning of the names of those files.
pub const FILE_PREFIX: &str = "workload-file-";
/// Listening sockets opened: one of IPv4, one of IPv6.
pub const LISTENS: u64 = 2;
/// Connections over IPv4 that are established, accepted and closed.
pub const CONNECTS_V4: u64 = 7;
/// Connections over IPv6 that are established, accepted and closed.
pub const CONNECTS_V6: u64 = 3;
/// Connections that are refused.
pub const REFUSED: u64 = 2;
/// Payload bytes that the connecting side sends on each connection.
pub const REQUEST_BYTES: u64 = 100;
/// Payload bytes that the accepting side answers on each connection.
pub const RESPONSE_BYTES: u64 = 1000;

/// Does all of it, with files in `dir`.
///
/// # Errors
/// The first system call that fails.
pub fn run(dir: &Path) -> io::Result<()> {
    for _ in 0..FORKS {
        fork_and_wait()?;
    }
    let program = std::env::current_exe()?;
    for _ in 0..EXECS {
        Command::new(&program).arg("noop").status()?;
    }
    for _ in 0..KILLED {
        // It says a word when it runs its program, so that it is killed after the exec and not before.
        let mut child = Command::new(&program).arg("sleep").stdout(Stdio::piped()).spawn()?;
        if let Some(mut output) = child.stdout.take() {
            output.read_exact(&mut [0; 1])?;
        }
        child.kill()?;
        child.wait()?;
    }
    for number in 0..FILES {
        File::create(dir.join(format!("{FILE_PREFIX}{number}")))?.write_all(b"aftertrace")?;
    }
    converse(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), CONNECTS_V4)?;
    converse(SocketAddr::from((Ipv6Addr::LOCALHOST, 0)), CONNECTS_V6)?;
    refuse(REFUSED)
}

fn fork_and_wait() -> io::Result<()> {
    #![allow(unsafe_code, reason = "a fork without exec has no safe form")]
    // SAFETY: the child calls nothing but `_exit`, which is safe after a fork whatever the other threads held.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: `_exit` takes any value and does not return.
        0 => unsafe { libc::_exit(FORK_EXIT_CODE) },
        _ => {
            // SAFETY: `pid` is a child of this process, and a null status is allowed.
            let waited = unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
            if waited == pid { Ok(()) } else { Err(io::Error::last_os_error()) }
        }
    }
}

/// One listener, `connections` one after the other, each with a request and a response.
fn converse(address: SocketAddr, connections: u64) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || -> io::Result<()> {
        for _ in 0..connections {
            let (mut stream, _) = listener.accept()?;
            stream.read_exact(&mut [0; REQUEST_BYTES as usize])?;
            stream.write_all(&[b'r'; RESPONSE_BYTES as usize])?;
            // The client closes first, so that its bytes are all acknowledged at the close.
            io::copy(&mut stream, &mut io::sink())?;
        }
        Ok(())
    });
    for _ in 0..connections {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(&[b'q'; REQUEST_BYTES as usize])?;
        stream.read_exact(&mut [0; RESPONSE_BYTES as usize])?;
    }
    server.join().map_err(|_| io::Error::other("the server thread panicked"))?
}

/// Connects to a port that was free a moment ago and at which nothing listens.
fn refuse(times: u64) -> io::Result<()> {
    for _ in 0..times {
        let port = reserved_port()?;
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port.number)) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error),
            Ok(_) => return Err(io::Error::other(format!("port {} answered", port.number))),
        }
    }
    Ok(())
}

/// A port held by a bound socket that does not listen: nobody else gets it, and connecting to it is refused.
struct ReservedPort {
    number: u16,
    _socket: std::os::fd::OwnedFd,
}

fn reserved_port() -> io::Result<ReservedPort> {
    #![allow(unsafe_code, reason = "std has no bind without listen for TCP")]
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    // SAFETY: no pointers are passed.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` was opened just now and belongs to nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: all-zero bytes are a valid `sockaddr_in`.
    let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    address.sin_family = libc::AF_INET as libc::sa_family_t;
    address.sin_addr.s_addr = u32::from(Ipv4Addr::LOCALHOST).to_be();
    let mut length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    let pointer = (&raw mut address).cast::<libc::sockaddr>();
    // SAFETY: `pointer` and `length` describe `address`, which lives until the end of the function.
    let failed = unsafe {
        libc::bind(socket.as_raw_fd(), pointer, length) < 0
            || libc::getsockname(socket.as_raw_fd(), pointer, &raw mut length) < 0
    };
    if failed {
        return Err(io::Error::last_os_error());
    }
    Ok(ReservedPort { number: u16::from_be(address.sin_port), _socket: socket })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn a_refused_connection_leaves_no_error() {
        refuse(3).unwrap();
    }

    #[test]
    fn connections_of_both_families_carry_their_bytes() {
        converse(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 2).unwrap();
        converse(SocketAddr::from((Ipv6Addr::LOCALHOST, 0)), 2).unwrap();
    }
}
