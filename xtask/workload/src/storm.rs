//! Storms: as many connections or processes as fast as this host can, a known number of them.

use std::io;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Establishes, accepts and closes `count` connections on loopback, `pairs` at once; gives the time it took.
///
/// Each connection is a connect, an accept and two closes. The client resets, so that no port stays in TIME-WAIT
/// and any number of connections fits into the range of ports.
///
/// # Errors
/// The first system call that fails.
pub fn connections(count: u64, pairs: u64) -> io::Result<Duration> {
    let pairs = pairs.max(1);
    let begin = Instant::now();
    let threads: Vec<_> = (0..pairs)
        .map(|pair| {
            let share = count / pairs + u64::from(pair < count % pairs);
            thread::spawn(move || connection_pair(share, pair))
        })
        .collect();
    for thread in threads {
        join(thread)?;
    }
    Ok(begin.elapsed())
}

fn connection_pair(count: u64, pair: u64) -> io::Result<()> {
    // Each pair has an address of its own in 127/8, and so all ports for itself.
    let host = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 0, 1, 1)) + (pair as u32 % 200));
    let listener = crate::listen(host.into())?;
    let address = listener.local_addr()?;
    for _ in 0..count {
        // Loopback finishes the handshake within the connect, so one thread is both sides and nobody is woken.
        let client = TcpStream::connect(address)?;
        let (server, _) = listener.accept()?;
        reset_on_close(&client)?;
        drop(client);
        drop(server);
    }
    Ok(())
}

/// Makes the close send a reset.
fn reset_on_close(stream: &TcpStream) -> io::Result<()> {
    #![allow(unsafe_code, reason = "std cannot set SO_LINGER on this toolchain")]
    use std::os::fd::AsRawFd;
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: pointer and length describe `linger`, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Starts `count` processes one after the other that run `program noop` and end; gives the time it took.
///
/// Each is a start, an exec and an exit.
///
/// # Errors
/// The first process that cannot be started.
pub fn execs(count: u64, program: &Path) -> io::Result<Duration> {
    let begin = Instant::now();
    for _ in 0..count {
        Command::new(program).arg("noop").stdin(Stdio::null()).status()?;
    }
    Ok(begin.elapsed())
}

fn join(thread: thread::JoinHandle<io::Result<()>>) -> io::Result<()> {
    thread.join().map_err(|_| io::Error::other("a thread of the storm panicked"))?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn a_storm_that_its_threads_cannot_share_evenly_ends() {
        connections(201, 2).unwrap();
    }
}
