//! What a source is that is measured at intervals: a thread of its own, so that a file or a daemon that hangs
//! holds up nothing but its own rows.
//!
//! In: what the recording follows at the moment ([`Subjects`]). Out: rows, each dated when it was read.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use aftertrace_schemas::Kind;
use aftertrace_schemas::tables::{ContainerSnapshot, NetworkNamespace, ProbeState, ProcessSnapshot};

use crate::capabilities::CapabilitySet;
use crate::live_state::{KnownMount, WrittenMount};
use crate::sources::clock::{Clock, SystemClock};

/// What a recording follows: what its sources may look at, and nothing else.
#[derive(Debug, Clone, Default)]
pub struct Subjects {
    /// Control groups to measure.
    pub cgroups: BTreeSet<String>,
    /// Processes that are alive.
    pub processes: Vec<ProcessSnapshot>,
    /// Containers that a runtime told of.
    pub containers: Vec<ContainerSnapshot>,
    /// Network namespaces as last seen, each with a process that is in it.
    pub namespaces: Vec<(NetworkNamespace, u32)>,
    /// Mounts on which files were opened for writing.
    pub written_mounts: Vec<WrittenMount>,
    /// These mounts, as far as they were recorded, in that order.
    pub known_mounts: Vec<KnownMount>,
    /// Peers of outbound connections that are open or were lately.
    pub upstreams: BTreeSet<Upstream>,
}

/// A peer that is seen from a network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Upstream {
    /// Inode of the network namespace.
    pub network_namespace: u32,
    /// Address of the peer, behind address translation where that is known.
    pub ip: IpAddr,
    /// A process in the namespace: the way into it.
    pub pid: u32,
}

/// What a source could not measure in a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// Why, in a word.
    pub cause: &'static str,
    /// Of what.
    pub subject: String,
}

/// Rows with the boot time, nanoseconds, at which each was read.
#[derive(Debug, Default)]
pub struct Rows {
    rows: Vec<(u64, Kind)>,
    missed: Vec<Missed>,
}

impl Rows {
    /// Adds a row of now.
    pub fn push(&mut self, row: impl Into<Kind>) {
        self.push_at(SystemClock.boot_ns(), row);
    }

    /// Adds a row of another moment, nanoseconds of boot time.
    pub fn push_at(&mut self, boot_ns: u64, row: impl Into<Kind>) {
        self.rows.push((boot_ns, row.into()));
    }

    /// Counts something that should have been measured and could not be.
    pub fn miss(&mut self, cause: &'static str, subject: impl Into<String>) {
        self.missed.push(Missed { cause, subject: subject.into() });
    }

    /// What could not be measured, since the last call.
    pub fn take_missed(&mut self) -> Vec<Missed> {
        std::mem::take(&mut self.missed)
    }

    /// The rows.
    pub fn into_inner(self) -> Vec<(u64, Kind)> {
        self.rows
    }
}

/// Why a source has no data: what its probe row will say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    /// `Off` when the host has no such thing, `Failed` when it should work and does not.
    pub state: ProbeState,
    /// In words for the operator, with the remedy where there is one.
    pub reason: String,
}

impl Unavailable {
    /// The host has no such thing, or it is switched off.
    pub fn off(reason: impl Into<String>) -> Self {
        Self { state: ProbeState::Off, reason: reason.into() }
    }

    /// It should work and does not.
    pub fn failed(reason: impl Into<String>) -> Self {
        Self { state: ProbeState::Failed, reason: reason.into() }
    }
}

/// A source that is asked at intervals, always in the same thread.
pub trait Source: Send + 'static {
    /// Its name in probe rows, in losses (`source/NAME`) and of its thread: 15 bytes at most.
    fn name(&self) -> &'static str;

    /// How often it is asked, when the others are asked every `base`.
    fn interval(&self, base: Duration) -> Duration {
        base
    }

    /// What its rounds take; its thread has nothing else. Those of `new`, which runs before, are not among them.
    fn capabilities(&self) -> CapabilitySet {
        CapabilitySet::empty()
    }

    /// A round that takes longer is reported as failed while it lasts.
    fn deadline(&self) -> Duration {
        Duration::from_secs(10)
    }

    /// One round. Subjects that vanish meanwhile are skipped; rows that were pushed before an error count.
    ///
    /// # Errors
    /// When the source as a whole has nothing to say. It is asked again at the next interval.
    fn measure(&mut self, subjects: &Subjects, rows: &mut Rows) -> Result<(), Unavailable>;
}
