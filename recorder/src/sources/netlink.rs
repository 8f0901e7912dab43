//! Netlink: requests to the kernel and its answers, as bytes of messages and attributes.
//!
//! In: a protocol, a network namespace, a [`Request`]. Out: each [`Message`] of the answer; [`attributes`] takes its
//! body apart. What the bytes mean is the business of the sources that ask.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::net::Protocol;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::netns;

/// A request that is answered by many messages (`NLM_F_DUMP`).
pub(crate) const DUMP: u16 = 0x300;
const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
const KIND_ERROR: u16 = 2;
const KIND_DONE: u16 = 3;
/// The upper bits of an attribute's kind say how its value is made (`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`).
const ATTRIBUTE_KIND_MASK: u16 = 0x3fff;
const NESTED: u16 = 0x8000;
const MESSAGE_HEADER_BYTES: usize = 16;
const ATTRIBUTE_HEADER_BYTES: usize = 4;
/// The kernel fills at most 32 KiB at a time.
const RECEIVE_BYTES: usize = 32 << 10;
/// A dump that does not end is broken off.
const RECEIVES_LIMIT: usize = 100_000;
/// The kernel answers while it is asked; only a bug would make it take longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A message to the kernel.
#[derive(Debug)]
pub(crate) struct Request(Vec<u8>);

impl Request {
    /// A message of this kind with `flags`, whose body begins with `header`.
    pub(crate) fn new(kind: u16, flags: u16, header: &[u8]) -> Self {
        let mut bytes = vec![0; MESSAGE_HEADER_BYTES];
        put(&mut bytes, 4, &kind.to_ne_bytes());
        put(&mut bytes, 6, &(flags | REQUEST).to_ne_bytes());
        bytes.extend(header);
        let mut request = Self(bytes);
        request.pad();
        request
    }

    /// Adds an attribute; one whose value does not fit 64 KiB is left out.
    pub(crate) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        if let Ok(length) = u16::try_from(ATTRIBUTE_HEADER_BYTES + value.len()) {
            self.0.extend(length.to_ne_bytes());
            self.0.extend(kind.to_ne_bytes());
            self.0.extend(value);
            self.pad();
        }
        self
    }

    /// Adds an attribute that holds attributes: `inner` adds them.
    pub(crate) fn nested(mut self, kind: u16, inner: impl FnOnce(Self) -> Self) -> Self {
        let at = self.0.len();
        self.0.extend([0; ATTRIBUTE_HEADER_BYTES]);
        let mut all = inner(self);
        let length = u16::try_from(all.0.len() - at).unwrap_or(u16::MAX);
        put(&mut all.0, at, &length.to_ne_bytes());
        put(&mut all.0, at + 2, &(kind | NESTED).to_ne_bytes());
        all
    }

    fn pad(&mut self) {
        self.0.resize(aligned(self.0.len()), 0);
    }

    fn is_dump(&self) -> bool {
        u16_at(&self.0, 6).is_some_and(|flags| flags & DUMP == DUMP)
    }

    /// The bytes to send, with their number in a conversation.
    pub(crate) fn finish(mut self, sequence: u32) -> Vec<u8> {
        if !self.is_dump() {
            let flags = u16_at(&self.0, 6).unwrap_or_default();
            put(&mut self.0, 6, &(flags | ACKNOWLEDGE).to_ne_bytes());
        }
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        put(&mut self.0, 0, &length.to_ne_bytes());
        put(&mut self.0, 8, &sequence.to_ne_bytes());
        self.0
    }
}

/// A message from the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    /// What it is: a number of the protocol.
    pub(crate) kind: u16,
    /// What follows the message header: a header of the protocol, then attributes.
    pub(crate) body: &'a [u8],
}

/// A socket for one conversation at a time, of one network namespace: it stays in it wherever it is used.
#[derive(Debug)]
pub(crate) struct NetlinkSocket {
    socket: OwnedFd,
    buffer: Vec<u8>,
    sequence: u32,
}

impl NetlinkSocket {
    /// A socket of the own namespace. Without a protocol: that of routes, links and addresses, whose number is 0.
    pub(crate) fn open(protocol: Option<Protocol>) -> io::Result<Self> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        Ok(Self { socket, buffer: vec![0; RECEIVE_BYTES], sequence: 0 })
    }

    /// A socket of the namespace at `path` (such as /proc/1/ns/net).
    pub(crate) fn open_in(path: &Path, protocol: Option<Protocol>) -> io::Result<Self> {
        let namespace = File::open(path)?;
        Self::open_within(namespace, protocol)
    }

    /// A socket of this namespace.
    pub(crate) fn open_within(namespace: File, protocol: Option<Protocol>) -> io::Result<Self> {
        netns::within(namespace, move || Self::open(protocol))
    }

    /// Sends a request and takes each message of the answer.
    ///
    /// # Errors
    /// The kernel's, or that it gave none in time. What was taken before stays taken.
    pub(crate) fn ask(&mut self, request: Request, mut take: impl FnMut(Message<'_>)) -> io::Result<()> {
        // An answer to an earlier request that was given up is told by its number.
        self.sequence = self.sequence.wrapping_add(1);
        rustix::net::send(&self.socket, &request.finish(self.sequence), SendFlags::empty())?;
        for _ in 0..RECEIVES_LIMIT {
            let (received, whole) =
                rustix::net::recv(&self.socket, self.buffer.as_mut_slice(), RecvFlags::TRUNC)?;
            if whole > received {
                return Err(io::Error::other(format!("an answer of {whole} bytes was cut to {received}")));
            }
            let datagram = self.buffer.get(..received).unwrap_or_default();
            if received == 0 || messages(datagram, Some(self.sequence), &mut take)? {
                return Ok(());
            }
        }
        Err(io::Error::other("the answer does not end"))
    }
}

/// Takes each message of a datagram that belongs to the conversation. Returns whether the answer has ended.
pub(crate) fn messages(
    mut datagram: &[u8],
    sequence: Option<u32>,
    take: &mut impl FnMut(Message<'_>),
) -> io::Result<bool> {
    while let (Some(length), Some(kind), Some(number)) =
        (u32_at(datagram, 0), u16_at(datagram, 4), u32_at(datagram, 8))
    {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(body) = datagram.get(MESSAGE_HEADER_BYTES..length) else { break };
        if sequence.is_none_or(|sequence| sequence == number) {
            match kind {
                KIND_DONE => return Ok(true),
                KIND_ERROR => {
                    return match u32_at(body, 0).unwrap_or_default().cast_signed() {
                        0 => Ok(true),
                        code => Err(io::Error::from_raw_os_error(code.wrapping_neg())),
                    };
                }
                kind => take(Message { kind, body }),
            }
        }
        datagram = datagram.get(aligned(length)..).unwrap_or_default();
    }
    Ok(false)
}

/// Kind and value of each attribute; what does not fit its own length ends the list.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (length, kind) = u16_at(bytes, 0).zip(u16_at(bytes, 2))?;
        let value = bytes.get(ATTRIBUTE_HEADER_BYTES..usize::from(length))?;
        bytes = bytes.get(aligned(usize::from(length))..).unwrap_or_default();
        Some((kind & ATTRIBUTE_KIND_MASK, value))
    })
}

/// The value of the first attribute of this kind.
pub(crate) fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(found, value)| (found == kind).then_some(value))
}

fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

/// The number at this place, in the host's byte order.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

/// The number at this place, in the host's byte order.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// The number at this place, in the host's byte order.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use proptest::prelude::*;
    use rustix::net::netlink;

    use super::*;

    /// `CTRL_CMD_GETFAMILY` of the generic netlink controller, which every kernel has.
    fn get_family(name: &[u8]) -> Request {
        Request::new(16, 0, &[3, 1, 0, 0]).attribute(2, name)
    }

    #[test]
    fn the_kernel_answers_a_single_request_and_the_socket_can_ask_again() {
        let mut socket = NetlinkSocket::open(Some(netlink::GENERIC)).unwrap();
        for _ in 0..2 {
            let mut names = Vec::new();
            socket
                .ask(get_family(b"nlctrl\0"), |message| {
                    names.extend(attribute(message.body.get(4..).unwrap(), 2).map(<[u8]>::to_vec));
                })
                .unwrap();
            assert_eq!(names, [b"nlctrl\0"]);
        }
    }

    #[test]
    fn the_kernels_refusal_is_passed_on_and_the_socket_can_ask_again() {
        let mut socket = NetlinkSocket::open(Some(netlink::GENERIC)).unwrap();
        let error = socket.ask(get_family(b"no such family\0"), |_| {}).unwrap_err();
        assert!(error.raw_os_error().is_some(), "{error}");
        socket.ask(get_family(b"nlctrl\0"), |_| {}).unwrap();
    }

    #[test]
    fn a_dump_gives_every_message_and_ends() {
        let mut socket = NetlinkSocket::open(Some(netlink::GENERIC)).unwrap();
        let mut count = 0;
        socket.ask(Request::new(16, DUMP, &[3, 1, 0, 0]), |_| count += 1).unwrap();
        assert!(count > 1);
    }

    #[test]
    fn attributes_read_back_as_they_were_written_nested_ones_too() {
        let request = Request::new(7, 0, &[9])
            .attribute(1, b"abc")
            .nested(2, |inner| inner.attribute(3, &[]).attribute(4, &5_u32.to_ne_bytes()));
        let bytes = request.finish(8);
        let mut seen = 0;
        let end = messages(&bytes, Some(8), &mut |message| {
            seen += 1;
            let all = message.body.get(4..).unwrap();
            assert_eq!((message.kind, attribute(all, 1)), (7, Some(&b"abc"[..])));
            let inner: Vec<_> = attributes(attribute(all, 2).unwrap()).collect();
            assert_eq!(inner, [(3, &[][..]), (4, &5_u32.to_ne_bytes()[..])]);
        });
        assert_eq!((end.unwrap(), seen), (false, 1));
        messages(&bytes, Some(9), &mut |_| seen += 1).unwrap();
        assert_eq!(seen, 1, "the answer to another request is not this one's");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parsers_panic_or_loop(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            length in 0_u32..64,
            at in 0_usize..400,
        ) {
            let mut framed = length.to_ne_bytes().to_vec();
            framed.extend(&bytes);
            for bytes in [&bytes, &framed] {
                let mut count = 0;
                let _ = messages(bytes, None, &mut |_| count += 1);
                prop_assert!(count <= bytes.len() / MESSAGE_HEADER_BYTES);
                prop_assert!(attributes(bytes).count() <= bytes.len() / ATTRIBUTE_HEADER_BYTES);
                let _ = (u16_at(bytes, at), u32_at(bytes, at), u64_at(bytes, at), attribute(bytes, 0));
            }
        }
    }
}
