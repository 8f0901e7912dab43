//! Address and port, as small keys without text, and which destinations are tracked.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use aftertrace_schemas::column::Ip;

use crate::Config;
use crate::network::is_private;

/// Address and port. Ordered by address bytes, so IPv4 (v4-mapped) stands together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Endpoint {
    /// Halves of the address, which take less room than one number with its alignment.
    ip: [u64; 2],
    port: u16,
}

impl Endpoint {
    pub(crate) fn new(ip: Ip, port: u16) -> Self {
        let bits = u128::from_be_bytes(ip.0);
        Self { ip: [(bits >> 64) as u64, bits as u64], port }
    }

    pub(crate) fn ip(self) -> IpAddr {
        let [high, low] = self.ip;
        Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)).to_canonical()
    }

    pub(crate) fn port(self) -> u16 {
        self.port
    }

    pub(crate) fn with_ip(self, ip: IpAddr) -> Self {
        Self::new(Ip::from(ip), self.port)
    }

    /// The address alone: one for all its ports.
    pub(crate) fn host(self) -> Self {
        Self { port: 0, ..self }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.ip(), self.port).fmt(f)
    }
}

/// What was dialled, and what was reached behind address translation: the same where there is none, or none is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Route {
    pub(crate) destination: Endpoint,
    pub(crate) actual: Endpoint,
}

impl Route {
    pub(crate) fn direct(destination: Endpoint) -> Self {
        Self { destination, actual: destination }
    }
}

/// Whether connections to `destination` may be shown by destination.
///
/// Loopback is the host's own business only in the host's network namespace: in a container it never leaves the
/// container. While one of the two namespaces is unknown, it is tracked.
pub(crate) fn is_tracked(
    config: &Config,
    destination: Endpoint,
    network_namespace: Option<u32>,
    host_namespace: Option<u32>,
) -> bool {
    if config.ephemeral_ports.iter().any(|range| range.contains(&destination.port))
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

/// Whether the address is private or in a network that was asked for.
pub(crate) fn is_in_tracked_network(config: &Config, endpoint: Endpoint) -> bool {
    let ip = endpoint.ip();
    is_private(ip) || config.tracked_networks.iter().any(|network| network.contains(ip))
}
