//! Measures control groups and the node in a thread of its own: files of a sick host can take their time.
//!
//! In: what to measure. Out: rows with the boot time at which each was read.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use aftertrace_schemas::Kind;
use aftertrace_schemas::tables::NetworkNamespace;

use crate::sources::Roots;
use crate::sources::cgroups::{CgroupStatsSource, Hierarchies};
use crate::sources::clock::{Clock, SystemClock};
use crate::sources::disks::DiskSource;
use crate::sources::namespaces::NamespaceSource;
use crate::sources::network::NetworkSource;
use crate::sources::node::NodeSource;

/// At the end of a recording, the last measurement may take so long.
const PATIENCE: Duration = Duration::from_secs(2);

/// What to measure.
struct Request {
    cgroups: BTreeSet<String>,
    /// As last seen, and a process that is in it.
    namespaces: Vec<(NetworkNamespace, u32)>,
}

/// The rows of one measurement.
type Rows = Vec<(u64, Kind)>;

/// The thread's handle.
pub(super) struct Collector {
    requests: Sender<Request>,
    rows: Receiver<Rows>,
    outstanding: usize,
    ready: Rows,
    skipped: u64,
}

impl Collector {
    /// Starts the thread. Without it, which the system refuses only when it is out of threads, nothing is measured.
    pub(super) fn start(roots: Roots, hierarchies: Hierarchies) -> Self {
        let (requests, incoming) = channel::<Request>();
        let (outgoing, rows) = channel();
        let thread = std::thread::Builder::new().name("collector".to_owned()).spawn(move || {
            let mut sources = Sources::new(roots, hierarchies);
            while let Ok(request) = incoming.recv() {
                if outgoing.send(sources.measure(request)).is_err() {
                    break;
                }
            }
        });
        drop(thread);
        Self { requests, rows, outstanding: 0, ready: Vec::new(), skipped: 0 }
    }

    /// Asks for a measurement, unless the last one is still under way.
    pub(super) fn measure(&mut self, cgroups: BTreeSet<String>, namespaces: Vec<(NetworkNamespace, u32)>) {
        if self.outstanding > 0 {
            self.skipped += 1;
            return;
        }
        if self.requests.send(Request { cgroups, namespaces }).is_ok() {
            self.outstanding += 1;
        }
    }

    /// Measurements that were left out since the one before took too long, since the last call.
    pub(super) fn take_skipped(&mut self) -> u64 {
        std::mem::take(&mut self.skipped)
    }

    /// The rows that arrived.
    pub(super) fn take_rows(&mut self) -> Rows {
        while let Ok(rows) = self.rows.try_recv() {
            self.outstanding -= 1;
            self.ready.extend(rows);
        }
        std::mem::take(&mut self.ready)
    }

    /// Waits for the measurement that is under way, with patience that ends.
    pub(super) fn settle(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.outstanding > 0
            && let Ok(rows) = self.rows.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            self.outstanding -= 1;
            self.ready.extend(rows);
        }
    }
}

struct Sources {
    cgroups: CgroupStatsSource,
    node: NodeSource,
    disks: DiskSource,
    network: NetworkSource,
    namespaces: NamespaceSource,
}

impl Sources {
    fn new(roots: Roots, hierarchies: Hierarchies) -> Self {
        Self {
            cgroups: CgroupStatsSource::new(hierarchies),
            node: NodeSource::new(roots.clone()),
            disks: DiskSource::new(roots.clone()),
            network: NetworkSource::new(roots.clone()),
            namespaces: NamespaceSource::new(roots),
        }
    }

    fn measure(&mut self, request: Request) -> Rows {
        let mut rows = Vec::new();
        let mut push = |kind: Kind| rows.push((SystemClock.boot_ns(), kind));
        for path in request.cgroups {
            if let Some(row) = self.cgroups.read(&path) {
                push(Kind::CgroupStats(row));
            }
        }
        if let Some(row) = self.node.read() {
            push(Kind::NodeStats(row));
        }
        for row in self.disks.read() {
            push(Kind::DiskStats(row));
        }
        for row in self.network.read() {
            push(Kind::NetworkStats(row));
        }
        for (known, pid) in request.namespaces {
            if let Some(row) = self.namespaces.read(known.network_namespace, pid)
                && row != known
            {
                push(Kind::NetworkNamespace(row));
            }
        }
        rows
    }
}
