//! Crowds: many connections that stay open, or many that are refused.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

/// The first address of a crowd's destinations; the others follow it.
const FIRST: Ipv4Addr = Ipv4Addr::new(127, 9, 0, 1);

/// Accepts on every address of this host, prints the port, and holds what it accepts until its input ends.
///
/// # Errors
/// The first system call that fails.
pub fn listen() -> io::Result<()> {
    // Below the ephemeral ports, which metrics leave out.
    let listener = (20_000..30_000_u16)
        .find_map(|port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).ok())
        .ok_or(io::ErrorKind::AddrInUse)?;
    println!("{}", listener.local_addr()?.port());
    std::thread::spawn(move || listener.incoming().flatten().collect::<Vec<_>>());
    until_input_ends()
}

/// Connects to `count` addresses, one after the other, prints how many answered, and holds those connections until its
/// input ends.
///
/// # Errors
/// When the input cannot be read.
pub fn connect(count: u64, port: u16) -> io::Result<()> {
    let address = |place: u64| Ipv4Addr::from(u32::from(FIRST).wrapping_add(place as u32));
    let open: Vec<_> = (0..count)
        .filter_map(|place| TcpStream::connect(SocketAddr::new(address(place).into(), port)).ok())
        .collect();
    println!("{}", open.len());
    until_input_ends()
}

fn until_input_ends() -> io::Result<()> {
    io::copy(&mut io::stdin(), &mut io::sink()).map(|_| ())
}
