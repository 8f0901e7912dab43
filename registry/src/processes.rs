//! Processes by pid and start time: which container each is in, and what it runs.
//!
//! The dead are remembered for a while: the kernel tells of a process's end before it closes its sockets.

use std::collections::VecDeque;

use aftertrace_schemas::UnixNanos;

use crate::Limits;
use crate::containers::{ContainerIndex, Delays};
use crate::maps::LookupMap;

/// How long an ended process is remembered.
const REMEMBERED_NS: i64 = 60_000_000_000;

/// Names a process: pids are used again, pids with start times are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ProcessKey {
    /// Nanoseconds of boot time, rounded down to 10 ms.
    pub(crate) start_ns: u64,
    pub(crate) pid: u32,
}

/// What is known of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) container: Option<ContainerIndex>,
    pub(crate) network_namespace: Option<u32>,
    /// By its command line and program file.
    pub(crate) application: Option<&'static str>,
    /// By what a Java virtual machine says it runs.
    pub(crate) jvm_application: Option<&'static str>,
    /// By what built the program.
    pub(crate) toolchain: Option<&'static str>,
    pub(crate) oom_victim: bool,
    pub(crate) alive: bool,
    /// As last told.
    pub(crate) delays: Delays,
}

/// What a process is: an application, and a language of its own.
pub(crate) type Applications = [Option<&'static str>; 2];

impl Process {
    /// What it is.
    pub(crate) fn applications(&self) -> Applications {
        let application = self.jvm_application.or(self.application);
        // One type is shown once, however it was found.
        [application, self.toolchain.filter(|toolchain| Some(*toolchain) != application)]
    }
}

/// All processes, alive and lately ended.
#[derive(Debug, Default)]
pub(crate) struct Processes {
    by_key: LookupMap<ProcessKey, Process>,
    /// Start time of the last process with this pid.
    starts: LookupMap<u32, u64>,
    dead: VecDeque<(UnixNanos, ProcessKey)>,
}

impl Processes {
    pub(crate) fn get(&self, key: ProcessKey) -> Option<&Process> {
        self.by_key.get(&key)
    }

    pub(crate) fn get_mut(&mut self, key: ProcessKey) -> Option<&mut Process> {
        self.by_key.get_mut(&key)
    }

    /// All that are known.
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// The last process with this pid.
    pub(crate) fn key(&self, pid: u32) -> Option<ProcessKey> {
        self.starts.get(&pid).map(|start_ns| ProcessKey { pid, start_ns: *start_ns })
    }

    /// Adds a process that is not known yet. Returns false, and adds nothing, when there are too many.
    pub(crate) fn insert(&mut self, key: ProcessKey, process: Process, limits: &Limits) -> bool {
        if self.by_key.len() - self.dead.len().min(self.by_key.len()) >= limits.processes {
            return false;
        }
        self.by_key.insert(key, process);
        self.starts.insert(key.pid, key.start_ns);
        true
    }

    /// The process ended. Returns it as it was; `None` when it is unknown or ended before.
    pub(crate) fn end(&mut self, key: ProcessKey, time: UnixNanos, limits: &Limits) -> Option<Process> {
        let process = self.by_key.get_mut(&key).filter(|process| process.alive)?;
        process.alive = false;
        let ended = process.clone();
        self.dead.push_back((time, key));
        if self.dead.len() > limits.dead_processes {
            self.forget_oldest();
        }
        Some(ended)
    }

    /// Forgets processes that ended long ago.
    pub(crate) fn expire(&mut self, now: UnixNanos) {
        while self.dead.front().is_some_and(|(time, _)| now.saturating_sub(*time) > REMEMBERED_NS) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.dead.pop_front() {
            self.by_key.remove(&key);
            if self.starts.get(&key.pid) == Some(&key.start_ns) {
                self.starts.remove(&key.pid);
            }
        }
    }

    /// Processes of container `from` are of `to` from now on.
    #[expect(clippy::disallowed_methods, reason = "all get the same change, so the order cannot be seen")]
    pub(crate) fn repoint(&mut self, from: ContainerIndex, to: Option<ContainerIndex>) {
        for process in self.by_key.values_mut() {
            if process.container == Some(from) {
                process.container = to;
            }
        }
    }
}
