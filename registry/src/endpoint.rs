//! Address and port, as small keys without text, and which destinations are tracked.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use aftertrace_schemas::column::Ip;

use crate::Config;

/// Address and port. Ordered by address bytes, so IPv4 (v4-mapped) stands together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Endpoint {
    ip: u128,
    port: u16,
}

impl Endpoint {
    pub(crate) fn new(ip: Ip, port: u16) -> Self {
        Self { ip: u128::from_be_bytes(ip.0), port }
    }

    pub(crate) fn ip(self) -> IpAddr {
        Ipv6Addr::from_bits(self.ip).to_canonical()
    }

    pub(crate) fn with_ip(self, ip: IpAddr) -> Self {
        Self::new(Ip::from(ip), self.port)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.ip(), self.port).fmt(f)
    }
}

/// Whether connections to `destination` are shown by destination.
///
/// Loopback is the host's own business only in the host's network namespace: in a container it never leaves the
/// container. While one of the two namespaces is unknown, it is tracked.
pub(crate) fn is_tracked(
    config: &Config,
    destination: Endpoint,
    network_namespace: Option<u32>,
    host_namespace: Option<u32>,
) -> bool {
    if let Some(ephemeral) = &config.ephemeral_ports
        && ephemeral.contains(&destination.port)
        && !config.tracked_ports.contains(&destination.port)
    {
        return false;
    }
    match destination.ip() {
        IpAddr::V4(ip) if ip.is_link_local() => false,
        IpAddr::V6(ip) if ip.is_unicast_link_local() => false,
        ip if ip.is_loopback() => match (network_namespace, host_namespace) {
            (Some(of_socket), Some(of_host)) => of_socket == of_host,
            _ => true,
        },
        _ => true,
    }
}
