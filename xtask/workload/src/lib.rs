//! Workloads whose events are known to the last one, so that a recording of them can be checked by counting.
//!
//! In: a number of things to do. Out: those things done on this host (loopback and a directory of its own only), and
//! the time that they took. [`docker`], [`containerd`], [`podman`] and [`systemd`] have daemons for those that run in
//! containers and units. The binary `workload` runs them; the checks read the expected counts from here.

pub mod containerd;
pub mod crowd;
pub mod docker;
pub mod frame;
pub mod lifecycle;
pub mod podman;
pub mod storm;
pub mod systemd;

mod service;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};

/// Ports that metrics show: they leave out connections to those that the kernel gives to clients.
const PORTS: std::ops::Range<u16> = 20_000..20_200;

/// Listens on the first port that is free of those that metrics show.
///
/// # Errors
/// When none is.
pub fn listen(host: IpAddr) -> io::Result<TcpListener> {
    let ports: Vec<SocketAddr> = PORTS.map(|port| SocketAddr::new(host, port)).collect();
    TcpListener::bind(ports.as_slice())
}
