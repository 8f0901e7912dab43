//! Where outbound connections really go, behind address translation: for each that opens, the kernel's connection
//! tracking is asked in the namespace of its socket, then Cilium's maps, then the tracking of the host's namespace.
//!
//! In: requests, a connection each. Out: `NatMapping` rows of those whose destination was translated, dated just before
//! the connection opened, and `ProbeStatus` rows. A thread of its own asks; nothing of the host is changed, and where the
//! kernel tracks no connections and there is no Cilium nothing is asked.

mod cilium;
mod conntrack;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use aftertrace_schemas::Kind;
use aftertrace_schemas::tables::{NatMapping, ProbeStatus, SocketSnapshot, TcpEvent};

use super::Roots;
use crate::capabilities::{self, CapabilitySet, NAMESPACES};

/// Name of this source in `ProbeStatus` rows, and in losses after `source/`.
pub const SOURCE: &str = "nat";
/// Name of the part of it that reads Cilium's maps, in `ProbeStatus` rows.
pub const CILIUM: &str = "nat_cilium";
/// Requests without an answer at most.
const MOST_OUTSTANDING: usize = 16_384;

/// A connection to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NatRequest {
    /// Its id in the trace.
    pub connection_id: u64,
    /// When it opened, boot time.
    pub boot_ns: u64,
    /// Its process: the way into its namespace.
    pub pid: u32,
    /// Inode of its network namespace.
    pub network_namespace: u32,
    /// This side.
    pub local: SocketAddr,
    /// What was dialled.
    pub destination: SocketAddr,
}

impl NatRequest {
    /// The question that an outbound connection raises which opens.
    pub fn of_event(row: &TcpEvent, boot_ns: u64) -> Option<Self> {
        Some(Self {
            connection_id: row.connection_id,
            boot_ns,
            pid: row.pid?,
            network_namespace: row.network_namespace?,
            local: SocketAddr::new(row.local_ip?.address(), row.local_port?),
            destination: SocketAddr::new(row.remote_ip?.address(), row.remote_port?),
        })
    }

    /// The question that one raises which is open.
    pub fn of_snapshot(row: &SocketSnapshot, boot_ns: u64) -> Option<Self> {
        Some(Self {
            connection_id: row.connection_id,
            boot_ns,
            pid: row.pid,
            network_namespace: row.network_namespace,
            local: SocketAddr::new(row.local_ip.address(), row.local_port),
            destination: SocketAddr::new(row.remote_ip?.address(), row.remote_port?),
        })
    }
}

/// What the thread has to say.
enum Report {
    /// So many requests are answered, by these rows.
    Answers { answered: usize, losses: NatLosses, rows: Vec<(u64, NatMapping)> },
    /// The state of the source changed.
    Status(ProbeStatus),
}

/// Requests that were not answered, by why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NatLosses {
    /// Too many waited.
    pub queue_full: u64,
    /// They waited too long.
    pub deadline: u64,
    /// Nobody was left in the namespace of the socket, which may have had a translation of its own, and the host does
    /// not know the connection.
    pub namespace_gone: u64,
}

/// The source. Dropping it ends its thread.
#[derive(Debug)]
pub struct NatSource {
    requests: Sender<Vec<NatRequest>>,
    reports: Receiver<Report>,
    /// Whether there is anything that tracks connections.
    is_present: Arc<AtomicBool>,
    /// Collected for the thread, which is woken once for all.
    collected: Vec<NatRequest>,
    outstanding: usize,
    losses: NatLosses,
}

impl NatSource {
    /// Starts the thread. Fails when the system gives none.
    pub fn start(roots: Roots) -> io::Result<Self> {
        let (requests, request_queue) = channel();
        let (report_queue, reports) = channel();
        let is_present = Arc::new(AtomicBool::new(false));
        let mut worker = worker::Worker::new(roots, report_queue, Arc::clone(&is_present));
        worker.look();
        let needs = NAMESPACES | CapabilitySet::NET_ADMIN | cilium::capabilities();
        capabilities::spawn(SOURCE, needs, move || worker.run(&request_queue))?;
        Ok(Self {
            requests,
            reports,
            is_present,
            collected: Vec::new(),
            outstanding: 0,
            losses: NatLosses::default(),
        })
    }

    /// Puts down a question, to be asked at the next [`Self::ask`]. Costs nothing where no connections are tracked.
    pub fn want(&mut self, request: Option<NatRequest>) {
        if !self.is_present.load(Ordering::Relaxed) {
            return;
        }
        let Some(request) = request else { return };
        if self.outstanding + self.collected.len() >= MOST_OUTSTANDING {
            self.losses.queue_full += 1;
        } else {
            self.collected.push(request);
        }
    }

    /// Has what was put down asked; never waits.
    pub fn ask(&mut self) {
        if self.collected.is_empty() {
            return;
        }
        let requests = std::mem::take(&mut self.collected);
        self.outstanding += requests.len();
        // A thread that is gone has told why, if it could; the rows are missing, as they are where nothing is tracked.
        let _ = self.requests.send(requests);
    }

    /// Rows that arrived, with the boot time at which each has its place; `u64::MAX` is now.
    pub fn take_rows(&mut self) -> Vec<(u64, Kind)> {
        let mut rows = Vec::new();
        while let Ok(report) = self.reports.try_recv() {
            self.take(report, &mut rows);
        }
        rows
    }

    /// As [`Self::take_rows`], once all is answered, or after `patience`.
    pub fn settle(&mut self, patience: Duration) -> Vec<(u64, Kind)> {
        let until = Instant::now() + patience;
        let mut rows = self.take_rows();
        while self.outstanding > 0 {
            match self.reports.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(report) => self.take(report, &mut rows),
                Err(_) => break,
            }
        }
        rows
    }

    fn take(&mut self, report: Report, rows: &mut Vec<(u64, Kind)>) {
        match report {
            Report::Answers { answered, losses, rows: mappings } => {
                self.outstanding = self.outstanding.saturating_sub(answered);
                self.losses.deadline += losses.deadline;
                self.losses.namespace_gone += losses.namespace_gone;
                rows.extend(mappings.into_iter().map(|(boot_ns, row)| (boot_ns, Kind::NatMapping(row))));
            }
            Report::Status(status) => rows.push((u64::MAX, Kind::Probe(status))),
        }
    }

    /// What was not answered since the last call.
    pub fn take_losses(&mut self) -> NatLosses {
        std::mem::take(&mut self.losses)
    }
}

#[cfg(test)]
mod tests;
