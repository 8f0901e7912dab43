//! What is alive now, as the observations so far tell it: what a new segment's snapshot is written from.
//!
//! In: every observation, in order. Out: the rows that bring a reader who starts here to the same state.
//! It is a fold over observations and nothing else, so a segment's snapshot can never disagree with its past.

mod held;
mod mounts;
mod processes;
mod programs;
mod upstreams;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;

use aftertrace_schemas::column::{Ip, Timestamp};
use aftertrace_schemas::tables::{
    CgroupEvent, CgroupEventKind, CloudInstance, ContainerSnapshot, HostSnapshot, LogFile, NetworkNamespace,
    ProbeStatus, ProcessEvent, ProcessEventKind, ProcessSnapshot, SocketKind, SocketSnapshot, SystemdUnit,
    TaskDelays, TcpEvent, TcpEventKind,
};
use aftertrace_schemas::{Kind, Observation, UnixNanos};
use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

pub use held::Limits;
use held::Overflow;
use mounts::Mounts;
pub use mounts::{KnownMount, WrittenMount};
use programs::Programs;
use upstreams::Upstreams;

/// What is alive. See the module.
#[derive(Debug, Default)]
pub struct LiveState {
    limits: Limits,
    overflow: Overflow,
    host: Option<HostSnapshot>,
    cloud: Option<CloudInstance>,
    probes: BTreeMap<String, ProbeStatus>,
    namespaces: BTreeMap<u32, NetworkNamespace>,
    cgroups: IndexMap<(u32, u64), CgroupEvent, FxBuildHasher>,
    containers: BTreeMap<String, ContainerSnapshot>,
    /// By control group and path.
    log_files: BTreeMap<(String, String), LogFile>,
    units: BTreeMap<String, SystemdUnit>,
    processes: IndexMap<u32, ProcessSnapshot, FxBuildHasher>,
    sockets: IndexMap<u64, SocketSnapshot, FxBuildHasher>,
    delays: IndexMap<u32, TaskDelays, FxBuildHasher>,
    programs: Programs,
    mounts: Mounts,
    upstreams: Upstreams,
    /// Time of the latest observation.
    latest: UnixNanos,
}

impl LiveState {
    /// Nothing alive yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// The process with this pid.
    pub fn process(&self, pid: u32) -> Option<&ProcessSnapshot> {
        self.processes.get(&pid)
    }

    /// All processes, by no particular order.
    pub fn processes(&self) -> impl ExactSizeIterator<Item = &ProcessSnapshot> {
        self.processes.values()
    }

    /// All sockets, by no particular order.
    pub fn sockets(&self) -> impl ExactSizeIterator<Item = &SocketSnapshot> {
        self.sockets.values()
    }

    /// The socket with this connection id.
    pub fn socket(&self, connection_id: u64) -> Option<&SocketSnapshot> {
        self.sockets.get(&connection_id)
    }

    /// Whether a container row of this control group was seen.
    pub fn has_container(&self, cgroup: &str) -> bool {
        self.containers.contains_key(cgroup)
    }

    /// The host, once it is known.
    pub fn host(&self) -> Option<&HostSnapshot> {
        self.host.as_ref()
    }

    /// What runtimes told of containers.
    pub fn containers(&self) -> impl ExactSizeIterator<Item = &ContainerSnapshot> {
        self.containers.values()
    }

    /// The state of each probe and source.
    pub fn probes(&self) -> impl ExactSizeIterator<Item = &ProbeStatus> {
        self.probes.values()
    }

    /// Mounts on which control groups opened files for writing.
    pub fn written_mounts(&self) -> impl Iterator<Item = &WrittenMount> {
        self.mounts.written()
    }

    /// These mounts, as they were last recorded.
    pub fn known_mounts(&self) -> impl Iterator<Item = &KnownMount> {
        self.mounts.known()
    }

    /// The addresses of a network namespace, when they are known.
    pub fn namespace(&self, network_namespace: u32) -> Option<&NetworkNamespace> {
        self.namespaces.get(&network_namespace)
    }

    /// Peers of outbound connections that are open or were lately: network namespace, address behind address
    /// translation, and a process that connected to it.
    pub fn upstreams(&self) -> impl Iterator<Item = (u32, Ip, u32)> {
        let open = self.sockets.values().filter(|socket| socket.kind == SocketKind::Outbound);
        let open = open
            .filter_map(|socket| Some((socket.network_namespace, self.upstreams.peer(socket)?, socket.pid)));
        open.chain(self.upstreams.recent(self.latest))
    }

    /// How many rows did not fit since the last call, by what they were of.
    pub fn take_overflow(&mut self) -> BTreeMap<&'static str, u64> {
        self.overflow.take()
    }

    /// Learns from an observation.
    pub fn apply(&mut self, observation: &Observation) {
        self.latest = self.latest.max(observation.time);
        match &observation.kind {
            Kind::Process(event) => self.apply_process(event),
            Kind::ProcessSnapshot(row) => self.insert_process(row.clone()),
            Kind::Tcp(event) => self.apply_tcp(observation.time, event),
            Kind::SocketSnapshot(row) => self.insert_socket(row.clone()),
            Kind::NatMapping(row) => {
                let (most, sockets) = (self.limits.sockets, &self.sockets);
                let is_open = |id| sockets.contains_key(&id);
                let fits = self.upstreams.translated(observation.time, row, most, is_open);
                self.overflow.unless(fits, "translations");
            }
            Kind::Cgroup(event) => self.apply_cgroup(event),
            Kind::Container(row) => {
                let fits =
                    keep(&mut self.containers, row.cgroup.clone(), row.clone(), self.limits.containers);
                self.overflow.unless(fits, "containers");
            }
            Kind::SystemdUnit(row) => {
                let fits = keep(&mut self.units, row.cgroup.clone(), row.clone(), self.limits.containers);
                self.overflow.unless(fits, "systemd_units");
            }
            Kind::NetworkNamespace(row) => self.insert_namespace(row),
            Kind::Probe(row) => {
                self.probes.insert(row.probe.clone(), row.clone());
            }
            Kind::LogFile(row) => self.insert_log_file(row.clone()),
            Kind::Host(row) => self.host = Some(row.clone()),
            Kind::CloudInstance(row) => self.cloud = Some(row.clone()),
            Kind::Executable(row) => {
                if self.is_alive(row.pid, row.process_start_ns) {
                    self.programs.executable(row);
                }
            }
            Kind::JvmStats(row) => {
                if self.is_alive(row.pid, row.process_start_ns) {
                    self.programs.jvm(row);
                }
            }
            Kind::JvmGcStats(row) => {
                if self.is_alive(row.pid, row.process_start_ns) {
                    self.programs.collector(row);
                }
            }
            Kind::File(event) => {
                let cgroup = self.processes.get(&event.pid).and_then(|process| process.cgroup.as_deref());
                let fits = cgroup.is_none_or(|cgroup| self.mounts.opened(event, cgroup, self.limits.mounts));
                self.overflow.unless(fits, "mounts");
            }
            Kind::Mount(row) => {
                let fits = self.mounts.told(row, self.limits.mounts);
                self.overflow.unless(fits, "mounts");
            }
            Kind::FilesystemStats(row) => self.mounts.measured(row),
            Kind::TaskDelays(row) => {
                if self.is_alive(row.pid, row.process_start_ns) {
                    self.delays.insert(row.pid, row.clone());
                }
            }
            Kind::LogLine(_)
            | Kind::LogPattern(_)
            | Kind::SocketData(_)
            | Kind::Datagram(_)
            | Kind::CgroupStats(_)
            | Kind::CgroupIo(_)
            | Kind::NodeStats(_)
            | Kind::DiskStats(_)
            | Kind::NetworkStats(_)
            | Kind::RttProbe(_)
            | Kind::ClockSync(_)
            | Kind::Loss(_)
            | Kind::Ledger(_)
            | Kind::BpfProgram(_)
            | Kind::Recorder(_)
            | Kind::Source(_)
            | Kind::Push(_)
            | Kind::Scrape(_)
            | Kind::Mark(_) => {}
        }
    }

    /// The rows that a reader needs to start here, in the order in which they refer to each other.
    pub fn snapshot(&self) -> impl Iterator<Item = Kind> + '_ {
        let cgroups = self.cgroups.values().cloned().map(Kind::Cgroup);
        self.host
            .iter()
            .cloned()
            .map(Kind::Host)
            .chain(self.cloud.iter().cloned().map(Kind::CloudInstance))
            .chain(self.probes.values().cloned().map(Kind::Probe))
            .chain(self.namespaces.values().cloned().map(Kind::NetworkNamespace))
            .chain(cgroups)
            .chain(self.containers.values().cloned().map(Kind::Container))
            .chain(self.log_files.values().cloned().map(Kind::LogFile))
            .chain(self.units.values().cloned().map(Kind::SystemdUnit))
            .chain(self.processes.values().cloned().map(Kind::ProcessSnapshot))
            .chain(self.programs.snapshot())
            .chain(self.delays.values().cloned().map(Kind::TaskDelays))
            .chain(self.mounts.known().map(|known| Kind::Mount(known.mount.clone())))
            .chain(self.mounts.known().filter_map(|known| known.space.clone()).map(Kind::FilesystemStats))
            .chain(self.upstreams.mappings().cloned().map(Kind::NatMapping))
            .chain(self.sockets.values().cloned().map(Kind::SocketSnapshot))
    }

    fn is_alive(&self, pid: u32, process_start_ns: u64) -> bool {
        self.processes.get(&pid).is_some_and(|process| process.process_start_ns == process_start_ns)
    }

    fn apply_process(&mut self, event: &ProcessEvent) {
        let Some(process_start_ns) = event.process_start_ns else { return };
        match event.kind {
            ProcessEventKind::Start => {
                let parent = event.parent_pid.and_then(|pid| self.processes.get(&pid));
                let row = processes::started(event, process_start_ns, parent);
                self.insert_process(row);
            }
            ProcessEventKind::Exec => {
                let known =
                    self.processes.get(&event.pid).filter(|row| row.process_start_ns == process_start_ns);
                let row = processes::replaced(event, process_start_ns, known);
                self.programs.replaced(event.pid);
                self.insert_process(row);
            }
            ProcessEventKind::Exit => {
                if self.processes.get(&event.pid).is_some_and(|row| row.process_start_ns == process_start_ns)
                {
                    self.processes.swap_remove(&event.pid);
                    self.delays.swap_remove(&event.pid);
                    self.programs.ended(event.pid);
                }
            }
            ProcessEventKind::OomKill | ProcessEventKind::Other => {}
        }
    }

    fn apply_tcp(&mut self, time: UnixNanos, event: &TcpEvent) {
        let kind = match event.kind {
            TcpEventKind::ListenOpen => SocketKind::Listen,
            TcpEventKind::Connect => SocketKind::Outbound,
            TcpEventKind::Accept => SocketKind::Inbound,
            TcpEventKind::ListenClose | TcpEventKind::Close | TcpEventKind::ConnectError => {
                let socket = self.sockets.swap_remove(&event.connection_id);
                let fits = self.upstreams.closed(time, event.connection_id, socket.as_ref());
                self.overflow.unless(fits, "peers");
                if let (TcpEventKind::ConnectError, Some(ip), Some(pid), Some(namespace)) =
                    (event.kind, event.remote_ip, event.pid, event.network_namespace)
                {
                    let fits = self.upstreams.failed(time, namespace, ip, pid);
                    self.overflow.unless(fits, "peers");
                }
                return;
            }
            TcpEventKind::Statistics => {
                if let Some(socket) = self.sockets.get_mut(&event.connection_id) {
                    socket.bytes_sent = event.bytes_sent.unwrap_or(socket.bytes_sent);
                    socket.bytes_received = event.bytes_received.unwrap_or(socket.bytes_received);
                    socket.retransmits = event.retransmits.unwrap_or(socket.retransmits);
                }
                return;
            }
            TcpEventKind::Retransmit | TcpEventKind::Other => return,
        };
        let (Some(pid), Some(local_ip)) = (event.pid, event.local_ip) else { return };
        self.insert_socket(SocketSnapshot {
            kind,
            connection_id: event.connection_id,
            pid,
            process_start_ns: event.process_start_ns.unwrap_or_default(),
            local_ip,
            local_port: event.local_port.unwrap_or_default(),
            remote_ip: event.remote_ip,
            remote_port: event.remote_port,
            network_namespace: event.network_namespace.unwrap_or_default(),
            opened: Some(Timestamp(time)),
            bytes_sent: 0,
            bytes_received: 0,
            retransmits: 0,
        });
    }

    fn apply_cgroup(&mut self, event: &CgroupEvent) {
        let key = (event.hierarchy_id, event.cgroup_id);
        match event.kind {
            CgroupEventKind::Existing | CgroupEventKind::Created => {
                let row = CgroupEvent { kind: CgroupEventKind::Existing, ..event.clone() };
                let fits = keep_unordered(&mut self.cgroups, key, row, self.limits.cgroups);
                self.overflow.unless(fits, "cgroups");
            }
            CgroupEventKind::Removed => {
                self.cgroups.swap_remove(&key);
                if !self.cgroups.values().any(|cgroup| cgroup.path == event.path) {
                    self.containers.remove(&event.path);
                    self.mounts.removed(&event.path);
                    self.log_files.retain(|(cgroup, _), _| *cgroup != event.path);
                    self.units.remove(&event.path);
                }
            }
            CgroupEventKind::Attached => {
                let process = event.pid.and_then(|pid| self.processes.get_mut(&pid));
                if let (Some(process), Some(cgroup)) = (process, &event.process_cgroup) {
                    process.cgroup = Some(cgroup.clone());
                }
            }
            CgroupEventKind::Other => {}
        }
    }

    fn insert_process(&mut self, row: ProcessSnapshot) {
        let fits = keep_unordered(&mut self.processes, row.pid, row, self.limits.processes);
        self.overflow.unless(fits, "processes");
    }

    fn insert_log_file(&mut self, row: LogFile) {
        let key = (row.cgroup.clone(), row.path.clone());
        let fits = keep(&mut self.log_files, key, row, self.limits.log_files);
        self.overflow.unless(fits, "log_files");
    }

    fn insert_socket(&mut self, row: SocketSnapshot) {
        let fits = keep_unordered(&mut self.sockets, row.connection_id, row, self.limits.sockets);
        self.overflow.unless(fits, "sockets");
    }

    fn insert_namespace(&mut self, row: &NetworkNamespace) {
        // No event tells that one is gone: those in which no process and no socket is left are forgotten when there
        // are too many.
        if self.namespaces.len() >= self.limits.namespaces {
            let of_processes = self.processes.values().filter_map(|process| process.network_namespace);
            let used: BTreeSet<u32> =
                of_processes.chain(self.sockets.values().map(|socket| socket.network_namespace)).collect();
            self.namespaces.retain(|namespace, _| used.contains(namespace));
        }
        let fits = keep(&mut self.namespaces, row.network_namespace, row.clone(), self.limits.namespaces);
        self.overflow.unless(fits, "namespaces");
    }
}

/// Inserts, or replaces what is there. Says whether it fits.
fn keep<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: V, most: usize) -> bool {
    let fits = map.len() < most || map.contains_key(&key);
    if fits {
        map.insert(key, value);
    }
    fits
}

/// The same.
fn keep_unordered<K: Hash + Eq, V>(
    map: &mut IndexMap<K, V, FxBuildHasher>,
    key: K,
    value: V,
    most: usize,
) -> bool {
    let fits = map.len() < most || map.contains_key(&key);
    if fits {
        map.insert(key, value);
    }
    fits
}

#[cfg(test)]
mod tests;
