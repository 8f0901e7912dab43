//! The addresses of each network interface, from the kernel's routing socket (/proc has no IPv4 address with its
//! interface).
//!
//! In: a network namespace. Out: addresses by interface index.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use super::netlink::{DUMP, NetlinkSocket, Request, attributes, u32_at};

/// Addresses by interface index.
pub(crate) type AddressesByIndex = BTreeMap<u32, Vec<IpAddr>>;

const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const ADDRESS_HEADER_BYTES: usize = 8;

/// A routing socket of one network namespace; it stays in it wherever it is used.
#[derive(Debug)]
pub(crate) struct RouteSocket(NetlinkSocket);

impl RouteSocket {
    /// A socket of the namespace at `path` (such as /proc/1/ns/net).
    pub(crate) fn open_in(path: &Path) -> io::Result<Self> {
        NetlinkSocket::open_in(path, None).map(Self)
    }

    /// A socket of the own namespace.
    pub(crate) fn open() -> io::Result<Self> {
        NetlinkSocket::open(None).map(Self)
    }

    /// The addresses of all interfaces.
    pub(crate) fn addresses(&mut self) -> io::Result<AddressesByIndex> {
        let mut all = AddressesByIndex::new();
        // In the address header, 0 stands for any.
        let request = Request::new(RTM_GETADDR, DUMP, &[0; ADDRESS_HEADER_BYTES]);
        self.0.ask(request, |message| {
            if message.kind == RTM_NEWADDR
                && let Some((index, address)) = parse_address(message.body)
            {
                all.entry(index).or_default().push(address);
            }
        })?;
        Ok(all)
    }
}

/// `struct ifaddrmsg` with its attributes: interface index, and the local address.
fn parse_address(body: &[u8]) -> Option<(u32, IpAddr)> {
    let index = u32_at(body, 4)?;
    let mut address = None;
    for (kind, value) in attributes(body.get(ADDRESS_HEADER_BYTES..)?) {
        // On a point-to-point link ADDRESS is the peer's, LOCAL the own one.
        if kind == IFA_LOCAL || (kind == IFA_ADDRESS && address.is_none()) {
            address = ip(value).or(address);
        }
    }
    Some((index, address?))
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(value) {
        return Some(IpAddr::V4(Ipv4Addr::from(octets)));
    }
    <[u8; 16]>::try_from(value).ok().map(|octets| IpAddr::V6(Ipv6Addr::from(octets)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_loopback_interface_of_this_machine_has_its_address() {
        let all = RouteSocket::open().unwrap().addresses().unwrap();
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        assert!(all.values().flatten().any(|address| *address == loopback), "{all:?}");
    }

    #[test]
    fn a_socket_answers_more_than_once() {
        let mut socket = RouteSocket::open().unwrap();
        assert_eq!(socket.addresses().unwrap(), socket.addresses().unwrap());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_address(&bytes);
        }
    }
}
