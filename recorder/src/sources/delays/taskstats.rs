//! The kernel's statistics of a process over generic netlink: family TASKSTATS.

use std::io;

use rustix::io::Errno;
use rustix::net::netlink;

use crate::sources::netlink::{Message, NetlinkSocket, Request, attribute, u16_at, u64_at};
use crate::sources::source::Unavailable;
use crate::sources::{Roots, read_namespace};

/// `GENL_ID_CTRL`: the family that knows the others.
const CONTROLLER: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const FAMILY: &[u8] = b"TASKSTATS\0";
const TASKSTATS_CMD_GET: u8 = 1;
const TASKSTATS_CMD_ATTR_TGID: u16 = 2;
const TASKSTATS_TYPE_STATS: u16 = 3;
const TASKSTATS_TYPE_AGGR_TGID: u16 = 5;
const GENERIC_HEADER_BYTES: usize = 4;
/// Places in `struct taskstats`: the same since its first version.
const CPU_DELAY_AT: usize = 24;
const BLOCK_IO_DELAY_AT: usize = 40;

/// How long a process waited in all, its ended threads included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Delays {
    pub(super) cpu_ns: u64,
    /// 0 while the kernel does not count it.
    pub(super) block_io_ns: u64,
}

/// A socket for questions about processes.
#[derive(Debug)]
pub(super) struct TaskStats {
    socket: NetlinkSocket,
    family: u16,
}

fn command(command: u8) -> [u8; GENERIC_HEADER_BYTES] {
    [command, 1, 0, 0]
}

impl TaskStats {
    /// Finds the family. The kernel answers in the first network namespace only.
    pub(super) fn open(roots: &Roots) -> Result<Self, Unavailable> {
        let (host, own) = (roots.proc_file("1/ns/net"), roots.proc_file("self/ns/net"));
        let is_elsewhere =
            matches!((read_namespace(&host), read_namespace(&own)), (Some(host), Some(own)) if host != own);
        let opened = if is_elsewhere {
            NetlinkSocket::open_in(&host, Some(netlink::GENERIC))
        } else {
            NetlinkSocket::open(Some(netlink::GENERIC))
        };
        let failed = |error: io::Error| Unavailable::failed(format!("generic netlink: {error}"));
        let mut socket = opened.map_err(failed)?;
        let mut family = None;
        let request = Request::new(CONTROLLER, 0, &command(CTRL_CMD_GETFAMILY))
            .attribute(CTRL_ATTR_FAMILY_NAME, FAMILY);
        let asked = socket.ask(request, |message| family = parse_family(message).or(family));
        match (asked, family) {
            (Ok(()), Some(family)) => Ok(Self { socket, family }),
            (Err(error), _) if error.raw_os_error() != Some(Errno::NOENT.raw_os_error()) => {
                Err(failed(error))
            }
            _ => Err(Unavailable::off("the kernel has no TASKSTATS (CONFIG_TASKSTATS)")),
        }
    }

    /// The delays of a process; `None` when it is gone.
    pub(super) fn process(&mut self, pid: u32) -> Result<Option<Delays>, Unavailable> {
        let request = Request::new(self.family, 0, &command(TASKSTATS_CMD_GET))
            .attribute(TASKSTATS_CMD_ATTR_TGID, &pid.to_ne_bytes());
        let mut delays = None;
        match self.socket.ask(request, |message| delays = parse_delays(message).or(delays)) {
            Ok(()) => Ok(delays),
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(Unavailable::failed(format!("task statistics need CAP_NET_ADMIN: {error}")))
            }
            Err(error) => Err(Unavailable::failed(format!("task statistics: {error}"))),
        }
    }
}

fn parse_family(message: Message<'_>) -> Option<u16> {
    u16_at(attribute(message.body.get(GENERIC_HEADER_BYTES..)?, CTRL_ATTR_FAMILY_ID)?, 0)
}

fn parse_delays(message: Message<'_>) -> Option<Delays> {
    let process = attribute(message.body.get(GENERIC_HEADER_BYTES..)?, TASKSTATS_TYPE_AGGR_TGID)?;
    let statistics = attribute(process, TASKSTATS_TYPE_STATS)?;
    Some(Delays {
        cpu_ns: u64_at(statistics, CPU_DELAY_AT)?,
        block_io_ns: u64_at(statistics, BLOCK_IO_DELAY_AT)?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_the_parsers_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let message = Message { kind: 0, body: &body };
            let _ = (parse_family(message), parse_delays(message));
        }
    }
}
