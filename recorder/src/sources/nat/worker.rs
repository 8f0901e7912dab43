//! The thread that asks.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use aftertrace_schemas::column::Ip;
use aftertrace_schemas::tables::{NatMapping, NatSource, ProbeState, ProbeStatus};

use super::cilium::Cilium;
use super::conntrack::{Conntrack, Tuple};
use super::{CILIUM, NatLosses, NatRequest, Report, SOURCE};
use crate::sources::clock::{Clock, SystemClock};
use crate::sources::{Roots, netns, read_namespace};

/// There when the kernel tracks connections, whatever the namespace.
const PRESENCE: &str = "sys/net/netfilter/nf_conntrack_count";
/// How often that is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// A socket holds its namespace, so none is kept for longer.
const SOCKET_AGE: Duration = Duration::from_secs(1);
/// Sockets that are kept at most.
const MOST_SOCKETS: usize = 64;
/// The kernel forgets connections that are over, so a question this late is not asked.
const DEADLINE_NS: u64 = 5_000_000_000;
/// Requests whose answers are told together.
const BATCH: usize = 256;
/// What a namespace knows of a connection.
enum Answer {
    /// Nobody is left in the namespace that was seen.
    NoWay,
    /// It does not track it.
    Untracked,
    /// What the connection is behind its translation.
    Tracked(Tuple),
}

/// The connection tracking of a namespace, while requests of one batch are answered.
struct Open {
    conntrack: Conntrack,
    since: Instant,
    /// Whether it tracks any connection, once that was looked at for this batch.
    has_entries: Option<bool>,
}

pub(super) struct Worker {
    roots: Roots,
    reports: Sender<Report>,
    is_present: Arc<AtomicBool>,
    host: Option<u32>,
    open: BTreeMap<u32, Open>,
    /// A process of each namespace, and when that was looked at: whoever connected may be gone, and another one in its
    /// namespace is as good.
    guides: BTreeMap<u32, u32>,
    guided: Option<Instant>,
    /// Whether the kernel tracks connections.
    is_tracking: bool,
    cilium: Cilium,
    /// The states that were told last, by probe.
    told: BTreeMap<&'static str, ProbeStatus>,
}

impl Worker {
    pub(super) fn new(roots: Roots, reports: Sender<Report>, is_present: Arc<AtomicBool>) -> Self {
        let host = read_namespace(&roots.proc_file("1/ns/net"));
        Self {
            roots,
            reports,
            is_present,
            host,
            open: BTreeMap::new(),
            guides: BTreeMap::new(),
            guided: None,
            is_tracking: false,
            cilium: Cilium::default(),
            told: BTreeMap::new(),
        }
    }

    /// Answers until nobody asks any more.
    pub(super) fn run(mut self, requests: &Receiver<Vec<NatRequest>>) {
        let mut looked = Instant::now();
        loop {
            match requests.recv_timeout(LOOK_INTERVAL) {
                Ok(batch) => {
                    for part in batch.chunks(BATCH) {
                        if !self.answer(part) {
                            return;
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.open.retain(|_, open| open.since.elapsed() < SOCKET_AGE);
            if looked.elapsed() >= LOOK_INTERVAL {
                looked = Instant::now();
                self.look();
            }
        }
    }

    /// Looks who tracks connections. To ask the kernel over netlink would load the module that does.
    pub(super) fn look(&mut self) {
        let was_tracking = self.is_tracking;
        self.is_tracking = self.roots.proc_file(PRESENCE).exists();
        if !self.is_tracking {
            self.tell(SOURCE, ProbeState::Off, Some("the kernel tracks no connections".to_owned()));
        } else if !was_tracking {
            self.tell(SOURCE, ProbeState::Active, None);
        }
        match self.cilium.look(&self.roots) {
            Ok(true) => self.tell(CILIUM, ProbeState::Active, None),
            Ok(false) => self.tell(CILIUM, ProbeState::Off, Some("Cilium has no maps here".to_owned())),
            Err(error) => self.tell(CILIUM, ProbeState::Failed, Some(error.to_string())),
        }
        self.is_present.store(self.is_tracking || self.cilium.is_present(), Ordering::Relaxed);
    }

    fn tell(&mut self, probe: &'static str, state: ProbeState, reason: Option<String>) {
        let status = ProbeStatus { probe: probe.to_owned(), state, reason };
        if self.told.get(probe) != Some(&status) {
            self.told.insert(probe, status.clone());
            // Whoever does not listen any more is told nothing.
            let _ = self.reports.send(Report::Status(status));
        }
    }

    /// Returns whether somebody listens.
    fn answer(&mut self, requests: &[NatRequest]) -> bool {
        let mut rows = Vec::new();
        let mut losses = NatLosses::default();
        let mut outcome = Ok(());
        for open in self.open.values_mut() {
            open.has_entries = None;
        }
        for request in requests {
            if SystemClock.boot_ns().saturating_sub(request.boot_ns) > DEADLINE_NS {
                losses.deadline += 1;
                continue;
            }
            match self.follow(request, &mut losses) {
                Ok(Some(row)) => rows.push((request.boot_ns.saturating_sub(1), row)),
                Ok(None) => {}
                Err(error) => outcome = Err(error),
            }
        }
        match outcome {
            Ok(()) if self.is_tracking => self.tell(SOURCE, ProbeState::Active, None),
            Ok(()) => {}
            Err(error) => self.tell(
                SOURCE,
                ProbeState::Failed,
                Some(format!(
                    "connection tracking cannot be asked: {error} (it takes CAP_NET_ADMIN and CAP_SYS_ADMIN)"
                )),
            ),
        }
        self.reports.send(Report::Answers { answered: requests.len(), losses, rows }).is_ok()
    }

    /// Where a connection leads: through its own namespace, then through Cilium, then through the host's.
    fn follow(&mut self, request: &NatRequest, losses: &mut NatLosses) -> io::Result<Option<NatMapping>> {
        let asked = Tuple { source: request.local, destination: request.destination };
        let mut tuple = asked;
        let mut is_unknown = false;
        if self.is_tracking {
            match self.look_up(request.network_namespace, request.pid, asked)? {
                Answer::Tracked(translated) => tuple = translated,
                Answer::Untracked => {}
                Answer::NoWay => is_unknown = true,
            }
        }
        let mut source = NatSource::Conntrack;
        // What stays in the namespace does not come by the host.
        if !tuple.destination.ip().is_loopback() {
            let host = self.host.filter(|host| self.is_tracking && *host != request.network_namespace);
            if let Some(translated) = self.cilium.translated(tuple)? {
                tuple = translated;
                source = NatSource::Cilium;
            } else if let Some(host) = host
                && let Answer::Tracked(translated) = self.look_up(host, 1, tuple)?
            {
                tuple = translated;
                // As it was dialled it came to the host, so its own namespace left it as it was.
                is_unknown = false;
            }
        }
        losses.namespace_gone += u64::from(is_unknown);
        Ok((tuple.destination != asked.destination).then(|| NatMapping {
            connection_id: request.connection_id,
            network_namespace: request.network_namespace,
            local_ip: Ip::from(request.local.ip()),
            local_port: request.local.port(),
            destination_ip: Ip::from(request.destination.ip()),
            destination_port: request.destination.port(),
            actual_ip: Ip::from(tuple.destination.ip()),
            actual_port: tuple.destination.port(),
            source,
        }))
    }

    /// The connection behind one namespace's translation.
    fn look_up(&mut self, namespace: u32, pid: u32, tuple: Tuple) -> io::Result<Answer> {
        let Some(open) = self.open(namespace, pid)? else { return Ok(Answer::NoWay) };
        let has_entries = match open.has_entries {
            Some(known) => known,
            None => *open.has_entries.insert(open.conntrack.entries()? > 0),
        };
        let found = if has_entries { open.conntrack.translated(tuple)? } else { None };
        Ok(found.map_or(Answer::Untracked, Answer::Tracked))
    }

    fn open(&mut self, namespace: u32, pid: u32) -> io::Result<Option<&mut Open>> {
        if !self.open.contains_key(&namespace) {
            let Some(file) = self.enter(namespace, pid) else { return Ok(None) };
            if self.open.len() >= MOST_SOCKETS {
                self.open.clear();
            }
            let conntrack = Conntrack::open(file)?;
            self.open.insert(namespace, Open { conntrack, since: Instant::now(), has_entries: None });
        }
        Ok(self.open.get_mut(&namespace))
    }

    /// The namespace, by this process or by another one that is in it.
    fn enter(&mut self, namespace: u32, pid: u32) -> Option<File> {
        let roots = &self.roots;
        if self.host == Some(namespace) {
            return netns::of_process(roots, 1, namespace);
        }
        // Its own, which it never leaves: where the first process is closed to it, that is the host's.
        let known = [std::process::id(), pid].into_iter().chain(self.guides.get(&namespace).copied());
        for pid in known {
            if let Some(file) = netns::of_process(roots, pid, namespace) {
                return Some(file);
            }
        }
        if self.guided.is_some_and(|guided| guided.elapsed() < LOOK_INTERVAL) {
            return None;
        }
        self.guided = Some(Instant::now());
        self.guides = guides(roots);
        netns::of_process(&self.roots, *self.guides.get(&namespace)?, namespace)
    }
}

/// A process of each network namespace.
fn guides(roots: &Roots) -> BTreeMap<u32, u32> {
    let processes = std::fs::read_dir(roots.proc_file("")).into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((read_namespace(&roots.proc_file(&format!("{pid}/ns/net")))?, pid))).collect()
}
