//! Questions to the kernel's connection tracking, over netlink (`nfnetlink`, subsystem ctnetlink), and its answers.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::net::netlink;

use crate::sources::netlink::{Message, NetlinkSocket, Request, attribute};

// include/uapi/linux/netfilter/nfnetlink_conntrack.h
const SUBSYSTEM: u16 = 1 << 8;
const NEW: u16 = SUBSYSTEM;
const GET: u16 = SUBSYSTEM | 1;
const GET_STATS: u16 = SUBSYSTEM | 5;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const IP_V4_SOURCE: u16 = 1;
const IP_V4_DESTINATION: u16 = 2;
const IP_V6_SOURCE: u16 = 3;
const IP_V6_DESTINATION: u16 = 4;
const PROTOCOL_NUMBER: u16 = 1;
const PROTOCOL_SOURCE_PORT: u16 = 2;
const PROTOCOL_DESTINATION_PORT: u16 = 3;
const STATS_ENTRIES: u16 = 1;
/// IPPROTO_TCP.
pub(super) const TCP: u8 = 6;
/// `struct nfgenmsg`: address family, version, and a number that is of no use here.
const HEADER_BYTES: usize = 4;

/// One direction of a TCP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tuple {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
}

/// The connection tracking of one network namespace.
#[derive(Debug)]
pub(super) struct Conntrack {
    socket: NetlinkSocket,
}

impl Conntrack {
    /// That of this namespace.
    pub(super) fn open(namespace: File) -> io::Result<Self> {
        Ok(Self { socket: NetlinkSocket::open_within(namespace, Some(netlink::NETFILTER))? })
    }

    /// Connections that are tracked.
    pub(super) fn entries(&mut self) -> io::Result<u32> {
        let mut entries = 0;
        self.socket.ask(Request::new(GET_STATS, 0, &[0; HEADER_BYTES]), |message| {
            entries = parse_entries(message).unwrap_or(entries);
        })?;
        Ok(entries)
    }

    /// The connection as it is behind this namespace's address translation; `None` when it is not tracked.
    pub(super) fn translated(&mut self, tuple: Tuple) -> io::Result<Option<Tuple>> {
        let mut found = None;
        let answer = self.socket.ask(request(tuple), |message| {
            found = parse_entry(message, tuple).or(found);
        });
        match answer {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            answer => answer.map(|()| found),
        }
    }
}

fn request(tuple: Tuple) -> Request {
    let family = if tuple.source.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let header = [u8::try_from(family).unwrap_or_default(), 0, 0, 0];
    Request::new(GET, 0, &header).nested(TUPLE_ORIGINAL, |inner| {
        inner
            .nested(TUPLE_IP, |inner| match (tuple.source.ip(), tuple.destination.ip()) {
                (IpAddr::V4(source), IpAddr::V4(destination)) => inner
                    .attribute(IP_V4_SOURCE, &source.octets())
                    .attribute(IP_V4_DESTINATION, &destination.octets()),
                (source, destination) => inner
                    .attribute(IP_V6_SOURCE, &octets(source))
                    .attribute(IP_V6_DESTINATION, &octets(destination)),
            })
            .nested(TUPLE_PROTOCOL, |inner| {
                inner
                    .attribute(PROTOCOL_NUMBER, &[TCP])
                    .attribute(PROTOCOL_SOURCE_PORT, &tuple.source.port().to_be_bytes())
                    .attribute(PROTOCOL_DESTINATION_PORT, &tuple.destination.port().to_be_bytes())
            })
    })
}

fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn parse_entries(message: Message<'_>) -> Option<u32> {
    if message.kind != GET_STATS {
        return None;
    }
    let entries = attribute(message.body.get(HEADER_BYTES..)?, STATS_ENTRIES)?;
    Some(u32::from_be_bytes(entries.try_into().ok()?))
}

/// The answer's other direction, turned around: what `asked` became.
fn parse_entry(message: Message<'_>, asked: Tuple) -> Option<Tuple> {
    if message.kind != NEW {
        return None;
    }
    let attributes = message.body.get(HEADER_BYTES..)?;
    // The kernel finds an entry by either direction. Found by its answers, it is a connection of the peer.
    if parse_tuple(attribute(attributes, TUPLE_ORIGINAL)?)? != asked {
        return None;
    }
    let reply = parse_tuple(attribute(attributes, TUPLE_REPLY)?)?;
    Some(Tuple { source: reply.destination, destination: reply.source })
}

fn parse_tuple(bytes: &[u8]) -> Option<Tuple> {
    let ip = attribute(bytes, TUPLE_IP)?;
    let protocol = attribute(bytes, TUPLE_PROTOCOL)?;
    if attribute(protocol, PROTOCOL_NUMBER)? != [TCP] {
        return None;
    }
    let v4 = |kind| Some(IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(attribute(ip, kind)?).ok()?)));
    let v6 = |kind| Some(IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(attribute(ip, kind)?).ok()?)));
    let port = |kind| Some(u16::from_be_bytes(attribute(protocol, kind)?.try_into().ok()?));
    let source = v4(IP_V4_SOURCE).or_else(|| v6(IP_V6_SOURCE))?;
    let destination = v4(IP_V4_DESTINATION).or_else(|| v6(IP_V6_DESTINATION))?;
    Some(Tuple {
        source: SocketAddr::new(source, port(PROTOCOL_SOURCE_PORT)?),
        destination: SocketAddr::new(destination, port(PROTOCOL_DESTINATION_PORT)?),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tuple(source: &str, destination: &str) -> Tuple {
        Tuple { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    /// The attribute that a request has for its tuple, as one of this kind.
    fn attribute_of(tuple: Tuple, kind: u16) -> Vec<u8> {
        let bytes = request(tuple).finish(1);
        let mut attribute = bytes.get(16 + HEADER_BYTES..).unwrap().to_vec();
        attribute.splice(2..4, kind.to_ne_bytes());
        attribute
    }

    fn entry(original: Tuple, reply: Tuple) -> Vec<u8> {
        let mut body = vec![2, 0, 0, 0];
        body.extend(attribute_of(original, TUPLE_ORIGINAL));
        body.extend(attribute_of(reply, TUPLE_REPLY));
        body
    }

    #[test]
    fn an_entry_tells_where_the_answers_come_from() {
        for (asked, reply, reached) in [
            (
                tuple("10.0.0.1:40000", "10.96.0.1:443"),
                tuple("10.0.3.7:6443", "10.0.0.1:40000"),
                tuple("10.0.0.1:40000", "10.0.3.7:6443"),
            ),
            (
                tuple("[fd00::1]:40000", "[fd96::1]:443"),
                tuple("[fd03::7]:6443", "[fd00::99]:50000"),
                tuple("[fd00::99]:50000", "[fd03::7]:6443"),
            ),
        ] {
            let body = entry(asked, reply);
            assert_eq!(parse_entry(Message { kind: NEW, body: &body }, asked), Some(reached));
            assert_eq!(parse_entry(Message { kind: GET, body: &body }, asked), None);
        }
    }

    #[test]
    fn an_entry_that_was_found_by_its_answers_is_not_this_connection() {
        let (asked, peers) = (tuple("10.0.0.1:1", "10.0.0.2:2"), tuple("10.0.0.2:2", "10.0.0.1:1"));
        let body = entry(peers, asked);
        assert_eq!(parse_entry(Message { kind: NEW, body: &body }, asked), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parsers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0_usize..200) {
            let asked = tuple("10.0.0.1:1", "10.0.0.2:2");
            for kind in [NEW, GET_STATS] {
                let _ = parse_entries(Message { kind, body: &bytes });
                let _ = parse_entry(Message { kind, body: &bytes }, asked);
            }
            let whole = entry(asked, asked);
            let body = whole.get(..cut.min(whole.len())).unwrap();
            let _ = parse_entry(Message { kind: NEW, body }, asked);
        }
    }
}
