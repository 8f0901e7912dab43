//! Takes records out of the rings. Programs do not wake the reader for a record, but when a ring is a quarter full
//! (or at once for what is urgent), so waiting is by edge: what lies in a ring already does not end it.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use aftertrace_bpf_programs::wire::Record;
use aya::Ebpf;
use aya::maps::{MapData, RingBuf};
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};

use super::{Kernel, KernelError, typed_map};

/// Records taken from one ring before the next one has its turn.
const BATCH: u32 = 16_384;

/// The rings in use.
pub(super) struct Rings {
    rings: Vec<RingBuf<MapData>>,
    waiting: OwnedFd,
    more: bool,
}

impl Rings {
    pub(super) fn open<'a>(
        ebpf: &mut Ebpf,
        names: impl Iterator<Item = &'a &'static str>,
    ) -> Result<Self, KernelError> {
        let rings = names.map(|name| typed_map(ebpf, name)).collect::<Result<Vec<RingBuf<MapData>>, _>>()?;
        let waiting =
            epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|error| system("epoll_create", error))?;
        for ring in &rings {
            let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
            epoll::add(&waiting, ring, epoll::EventData::new_u64(0), flags)
                .map_err(|error| system("epoll_ctl", error))?;
        }
        Ok(Self { rings, waiting, more: false })
    }
}

/// What one [`Kernel::drain`] took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DrainStats {
    /// Records handed over.
    pub records: u64,
    /// Their size, bytes.
    pub bytes: u64,
    /// Records that this version cannot read: a mistake in the programs.
    pub invalid: u64,
    /// Whether a ring had more than one turn takes.
    pub more: bool,
}

impl Kernel {
    /// Waits until a program asks for a reader, or `timeout` is over. Returns at once when the last drain left records.
    ///
    /// # Errors
    /// When the kernel does not let it wait.
    pub fn wait(&mut self, timeout: Duration) -> Result<(), KernelError> {
        if self.rings.more {
            return Ok(());
        }
        let timeout = Timespec::try_from(timeout).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        let mut events =
            [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 8];
        match epoll::wait(&self.rings.waiting, &mut events, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(system("epoll_wait", error)),
        }
    }

    /// Hands over what lies in the rings, at most 16,384 records of each, so that none starves. Never waits.
    pub fn drain(&mut self, mut sink: impl FnMut(Record<'_>)) -> DrainStats {
        let mut stats = DrainStats::default();
        for ring in &mut self.rings.rings {
            let mut taken = 0;
            while let Some(item) = ring.next() {
                match Record::parse(&item) {
                    Ok(record) => {
                        stats.records += 1;
                        stats.bytes += item.len() as u64;
                        sink(record);
                    }
                    Err(_) => stats.invalid += 1,
                }
                taken += 1;
                if taken == BATCH {
                    stats.more = true;
                    break;
                }
            }
        }
        self.rings.more = stats.more;
        stats
    }

    /// Whether any record lies in a ring.
    pub fn has_records(&self) -> bool {
        let mut rings: Vec<PollFd<'_>> = self
            .rings
            .rings
            .iter()
            .map(|ring| PollFd::from_borrowed_fd(ring.as_fd(), PollFlags::IN))
            .collect();
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut rings, Some(&now)).is_ok_and(|ready| ready > 0)
    }
}

fn system(call: &'static str, error: rustix::io::Errno) -> KernelError {
    KernelError::System { call, source: error.into() }
}
