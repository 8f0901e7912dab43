//! Raw ICMP sockets whose messages the kernel stamps with the time.

#![allow(unsafe_code, reason = "timestamps come as control messages, for which the library has no reader")]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto};

use super::echo::Family;

/// A control message is at most so long: three timestamps, or an error with an address.
const CONTROL_WORDS: usize = 32;
const ICMP_FILTER: libc::c_int = 1;
const ICMP6_FILTER: libc::c_int = 1;
const ECHO_REPLY_V4: u32 = 0;
const ECHO_REPLY_V6: usize = 129;

/// Where to read: what arrived, or what was sent and comes back with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queue {
    Arrived,
    Sent,
}

/// A packet that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet {
    /// Its length in the buffer.
    pub(super) length: usize,
    /// Who sent it; unspecified in the queue of what was sent.
    pub(super) from: IpAddr,
    /// The kernel's time of it, Unix nanoseconds.
    pub(super) stamped_ns: Option<i64>,
}

/// A raw socket for echo messages, of the network namespace that it was opened in.
#[derive(Debug)]
pub(super) struct EchoSocket {
    socket: OwnedFd,
    pub(super) family: Family,
}

impl EchoSocket {
    /// Opens one in the namespace of the calling thread. Only answers arrive at it.
    pub(super) fn open(family: Family) -> io::Result<Self> {
        let (domain, protocol) = match family {
            Family::V4 => (AddressFamily::INET, ipproto::ICMP),
            Family::V6 => (AddressFamily::INET6, ipproto::ICMPV6),
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(domain, SocketType::RAW, flags, Some(protocol))?;
        let stamps: libc::c_uint = libc::SOF_TIMESTAMPING_TX_SOFTWARE
            | libc::SOF_TIMESTAMPING_RX_SOFTWARE
            | libc::SOF_TIMESTAMPING_SOFTWARE;
        set(socket.as_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPING, &stamps)?;
        // A bit that is set keeps messages of that type out.
        match family {
            Family::V4 => set(socket.as_fd(), libc::SOL_RAW, ICMP_FILTER, &!(1_u32 << ECHO_REPLY_V4))?,
            Family::V6 => {
                let mut filter = [u32::MAX; 8];
                if let Some(word) = filter.get_mut(ECHO_REPLY_V6 / 32) {
                    *word = !(1 << (ECHO_REPLY_V6 % 32));
                }
                set(socket.as_fd(), libc::IPPROTO_ICMPV6, ICMP6_FILTER, &filter)?;
            }
        }
        Ok(Self { socket, family })
    }

    /// Sends a message.
    pub(super) fn send(&self, to: IpAddr, message: &[u8]) -> io::Result<()> {
        rustix::net::sendto(&self.socket, message, SendFlags::empty(), &SocketAddr::new(to, 0))?;
        Ok(())
    }

    /// The next packet of a queue, when there is one.
    pub(super) fn receive(&self, queue: Queue, buffer: &mut [u8]) -> io::Result<Option<Packet>> {
        // Words, so that headers of control messages are aligned.
        let mut control = [0_u64; CONTROL_WORDS];
        // SAFETY: all-zero bytes are a valid value of these C structures.
        let (mut from, mut message): (libc::sockaddr_storage, libc::msghdr) =
            unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        message.msg_name = std::ptr::from_mut(&mut from).cast();
        message.msg_namelen = u32::try_from(size_of::<libc::sockaddr_storage>()).unwrap_or_default();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        let flags = if queue == Queue::Sent { libc::MSG_ERRQUEUE } else { 0 };
        // SAFETY: `message` points to memory that lives until the end of this function, with the lengths that it has.
        let received = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut message, flags) };
        let Ok(length) = usize::try_from(received) else {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
        };
        let from = match queue {
            Queue::Arrived => address(&from),
            Queue::Sent => None,
        };
        Ok(Some(Packet {
            length: length.min(buffer.len()),
            from: from.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            stamped_ns: stamp(&message),
        }))
    }
}

impl AsFd for EchoSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn set<T>(socket: BorrowedFd<'_>, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
    let length = u32::try_from(size_of::<T>()).unwrap_or_default();
    // SAFETY: the kernel reads `length` bytes of `value`, which is as long.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, std::ptr::from_ref(value).cast(), length)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The address in what the kernel filled in.
fn address(storage: &libc::sockaddr_storage) -> Option<IpAddr> {
    let place = std::ptr::from_ref(storage);
    match libc::c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: an address of this family is laid out so, and the storage is larger and aligned for all of them.
            let address = unsafe { &*place.cast::<libc::sockaddr_in>() };
            Some(IpAddr::V4(Ipv4Addr::from_bits(u32::from_be(address.sin_addr.s_addr))))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let address = unsafe { &*place.cast::<libc::sockaddr_in6>() };
            Some(IpAddr::V6(Ipv6Addr::from(address.sin6_addr.s6_addr)))
        }
        _ => None,
    }
}

/// The kernel's software timestamp among the control messages.
fn stamp(message: &libc::msghdr) -> Option<i64> {
    // SAFETY: the kernel has filled in the control messages and their length; these macros stay within it.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !next.is_null() {
        // SAFETY: it is not null, so it points to a whole header within the control messages.
        let header = unsafe { *next };
        let needed = size_of::<libc::cmsghdr>() + size_of::<libc::timespec>();
        if header.cmsg_level == libc::SOL_SOCKET
            && header.cmsg_type == libc::SCM_TIMESTAMPING
            && header.cmsg_len as usize >= needed
        {
            // SAFETY: the message is long enough for the first of its timestamps, which may stand unaligned.
            let time = unsafe { libc::CMSG_DATA(next).cast::<libc::timespec>().read_unaligned() };
            return (time.tv_sec != 0).then_some(time.tv_sec * 1_000_000_000 + time.tv_nsec);
        }
        // SAFETY: as for the first.
        next = unsafe { libc::CMSG_NXTHDR(message, next) };
    }
    None
}
