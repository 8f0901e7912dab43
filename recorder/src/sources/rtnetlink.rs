//! The addresses of each network interface, from the kernel's routing socket (/proc has no IPv4 address with its
//! interface).
//!
//! In: a network namespace. Out: addresses by interface index.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Addresses by interface index.
pub(crate) type AddressesByIndex = BTreeMap<u32, Vec<IpAddr>>;

const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const MESSAGE_HEADER_BYTES: usize = 16;
const ADDRESS_HEADER_BYTES: usize = 8;
const ATTRIBUTE_HEADER_BYTES: usize = 4;
/// The kernel fills at most 32 KiB at a time.
const RECEIVE_BYTES: usize = 32 << 10;
/// A dump that does not end is broken off.
const RECEIVES_LIMIT: usize = 10_000;

/// A routing socket of one network namespace; it stays in it wherever it is used.
#[derive(Debug)]
pub(crate) struct RouteSocket {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl RouteSocket {
    /// A socket of the namespace at `path` (such as /proc/1/ns/net).
    pub(crate) fn open_in(path: &Path) -> io::Result<Self> {
        let namespace = File::open(path)?;
        // A thread of its own, so that no other code ever runs in the other namespace.
        let opened =
            std::thread::Builder::new().name("netns".to_owned()).spawn(move || -> io::Result<Self> {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
                Self::open()
            })?;
        opened.join().unwrap_or_else(|_| Err(io::Error::other("the thread that opens the socket ended")))
    }

    /// A socket of the own namespace.
    pub(crate) fn open() -> io::Result<Self> {
        // The protocol that is 0, the default, is NETLINK_ROUTE.
        let socket =
            rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        Ok(Self { socket, buffer: vec![0; RECEIVE_BYTES] })
    }

    /// The addresses of all interfaces.
    pub(crate) fn addresses(&mut self) -> io::Result<AddressesByIndex> {
        rustix::net::send(&self.socket, &dump_request(), SendFlags::empty())?;
        let mut all = AddressesByIndex::new();
        for _ in 0..RECEIVES_LIMIT {
            let (received, _) =
                rustix::net::recv(&self.socket, self.buffer.as_mut_slice(), RecvFlags::empty())?;
            if received == 0 || parse_messages(self.buffer.get(..received).unwrap_or_default(), &mut all)? {
                break;
            }
        }
        Ok(all)
    }
}

fn dump_request() -> Vec<u8> {
    let mut request = Vec::with_capacity(MESSAGE_HEADER_BYTES + ADDRESS_HEADER_BYTES);
    let length = u32::try_from(MESSAGE_HEADER_BYTES + ADDRESS_HEADER_BYTES).unwrap_or_default();
    request.extend(length.to_ne_bytes());
    request.extend(RTM_GETADDR.to_ne_bytes());
    request.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    // Sequence number, port and the address header: 0 stands for any.
    request.resize(MESSAGE_HEADER_BYTES + ADDRESS_HEADER_BYTES, 0);
    request
}

/// Collects the addresses of one datagram. Returns whether the dump has ended.
fn parse_messages(mut datagram: &[u8], all: &mut AddressesByIndex) -> io::Result<bool> {
    while let Some((length, kind)) = u32_at(datagram, 0).zip(u16_at(datagram, 4)) {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(body) = datagram.get(MESSAGE_HEADER_BYTES..length) else { break };
        match kind {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => {
                let code = u32_at(body, 0).unwrap_or_default().cast_signed();
                return Err(io::Error::from_raw_os_error(code.wrapping_neg()));
            }
            RTM_NEWADDR => {
                if let Some((index, address)) = parse_address(body) {
                    all.entry(index).or_default().push(address);
                }
            }
            _ => {}
        }
        datagram = datagram.get(aligned(length)..).unwrap_or_default();
    }
    Ok(false)
}

/// `struct ifaddrmsg` with its attributes: interface index, and the local address.
fn parse_address(body: &[u8]) -> Option<(u32, IpAddr)> {
    let index = u32_at(body, 4)?;
    let mut attributes = body.get(ADDRESS_HEADER_BYTES..)?;
    let mut address = None;
    while let Some((length, kind)) = u16_at(attributes, 0).zip(u16_at(attributes, 2)) {
        let length = usize::from(length);
        let Some(value) = attributes.get(ATTRIBUTE_HEADER_BYTES..length) else { break };
        // On a point-to-point link ADDRESS is the peer's, LOCAL the own one.
        if kind == IFA_LOCAL || (kind == IFA_ADDRESS && address.is_none()) {
            address = ip(value).or(address);
        }
        attributes = attributes.get(aligned(length)..).unwrap_or_default();
    }
    Some((index, address?))
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(value) {
        return Some(IpAddr::V4(Ipv4Addr::from(octets)));
    }
    <[u8; 16]>::try_from(value).ok().map(|octets| IpAddr::V6(Ipv6Addr::from(octets)))
}

fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
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

    #[test]
    fn the_kernels_error_is_passed_on() {
        let mut message = 20_u32.to_ne_bytes().to_vec();
        message.extend(NLMSG_ERROR.to_ne_bytes());
        message.resize(16, 0);
        message.extend((-1_i32).to_ne_bytes());
        let error = parse_messages(&message, &mut AddressesByIndex::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic_or_loop(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            length in 0_u32..64,
        ) {
            let _ = parse_messages(&bytes, &mut AddressesByIndex::new());
            let mut message = length.to_ne_bytes().to_vec();
            message.extend(RTM_NEWADDR.to_ne_bytes());
            message.extend(&bytes);
            let _ = parse_messages(&message, &mut AddressesByIndex::new());
            let _ = parse_address(&bytes);
        }
    }
}
