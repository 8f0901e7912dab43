//! What is alive now, as the observations so far tell it: what a new segment's snapshot is written from.
//!
//! In: every observation, in order. Out: the rows that bring a reader who starts here to the same state.
//! It is a fold over observations and nothing else, so a segment's snapshot can never disagree with its past.

mod mounts;
mod programs;
mod upstreams;

use std::collections::BTreeMap;

use aftertrace_schemas::column::{Ip, Timestamp};
use aftertrace_schemas::tables::{
    CgroupEvent, CgroupEventKind, CloudInstance, ContainerSnapshot, HostSnapshot, LogFile, NetworkNamespace,
    ProbeStatus, ProcessEvent, ProcessEventKind, ProcessSnapshot, SocketKind, SocketSnapshot, SystemdUnit,
    TaskDelays, TcpEvent, TcpEventKind,
};
use aftertrace_schemas::{Kind, Observation, UnixNanos};
use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use mounts::Mounts;
pub use mounts::{KnownMount, WrittenMount};
use programs::Programs;
use upstreams::Upstreams;

/// How much is held at most. What does not fit is counted and misses from later snapshots.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Processes.
    pub processes: usize,
    /// Sockets.
    pub sockets: usize,
    /// Control groups.
    pub cgroups: usize,
    /// Mounts that control groups write to.
    pub mounts: usize,
    /// Log files.
    pub log_files: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { processes: 131_072, sockets: 262_144, cgroups: 65_536, mounts: 16_384, log_files: 16_384 }
    }
}

/// Rows that did not fit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overflow {
    /// Processes.
    pub processes: u64,
    /// Sockets.
    pub sockets: u64,
    /// Control groups.
    pub cgroups: u64,
    /// Files on mounts, or mounts.
    pub mounts: u64,
    /// Log files.
    pub log_files: u64,
}

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

    /// What did not fit so far.
    pub fn overflow(&self) -> Overflow {
        self.overflow
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
                self.overflow.sockets += u64::from(!fits);
            }
            Kind::Cgroup(event) => self.apply_cgroup(event),
            Kind::Container(row) => {
                self.containers.insert(row.cgroup.clone(), row.clone());
            }
            Kind::SystemdUnit(row) => {
                self.units.insert(row.cgroup.clone(), row.clone());
            }
            Kind::NetworkNamespace(row) => {
                self.namespaces.insert(row.network_namespace, row.clone());
            }
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
                if let Some(cgroup) = cgroup
                    && !self.mounts.opened(event, cgroup, self.limits.mounts)
                {
                    self.overflow.mounts += 1;
                }
            }
            Kind::Mount(row) => self.overflow.mounts += u64::from(!self.mounts.told(row, self.limits.mounts)),
            Kind::FilesystemStats(row) => self.mounts.measured(row),
            Kind::TaskDelays(row) => {
                if self.is_alive(row.pid, row.process_start_ns) {
                    self.delays.insert(row.pid, row.clone());
                }
            }
            Kind::LogLine(_)
            | Kind::LogPattern(_)
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
                // Until it runs a program of its own, a child is a copy of its parent.
                let parent = event.parent_pid.and_then(|pid| self.processes.get(&pid));
                let row = ProcessSnapshot {
                    pid: event.pid,
                    process_start_ns,
                    parent_pid: event.parent_pid.unwrap_or_default(),
                    command: event.command.clone().unwrap_or_default(),
                    executable: parent.and_then(|parent| parent.executable.clone()),
                    arguments: parent.map(|parent| parent.arguments.clone()).unwrap_or_default(),
                    arguments_bytes: parent.map_or(0, |parent| parent.arguments_bytes),
                    cgroup: event.cgroup.clone(),
                    uid: event.uid.unwrap_or_default(),
                    namespace_pid: event.namespace_pid.unwrap_or(event.pid),
                    pid_namespace: event.pid_namespace,
                    network_namespace: event.network_namespace,
                    mount_namespace: event.mount_namespace,
                };
                self.insert_process(row);
            }
            ProcessEventKind::Exec => {
                let known =
                    self.processes.get(&event.pid).filter(|row| row.process_start_ns == process_start_ns);
                let row = ProcessSnapshot {
                    pid: event.pid,
                    process_start_ns,
                    parent_pid: event.parent_pid.or(known.map(|row| row.parent_pid)).unwrap_or_default(),
                    command: event.command.clone().unwrap_or_default(),
                    executable: event.executable.clone(),
                    arguments: event.arguments.clone().unwrap_or_default(),
                    arguments_bytes: event.arguments_bytes.unwrap_or_default(),
                    cgroup: event.cgroup.clone().or_else(|| known.and_then(|row| row.cgroup.clone())),
                    uid: event.uid.or(known.map(|row| row.uid)).unwrap_or_default(),
                    namespace_pid: event
                        .namespace_pid
                        .or(known.map(|row| row.namespace_pid))
                        .unwrap_or(event.pid),
                    pid_namespace: event.pid_namespace.or(known.and_then(|row| row.pid_namespace)),
                    network_namespace: event
                        .network_namespace
                        .or(known.and_then(|row| row.network_namespace)),
                    mount_namespace: event.mount_namespace.or(known.and_then(|row| row.mount_namespace)),
                };
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
                self.upstreams.closed(time, event.connection_id, socket.as_ref());
                if let (TcpEventKind::ConnectError, Some(ip), Some(pid), Some(namespace)) =
                    (event.kind, event.remote_ip, event.pid, event.network_namespace)
                {
                    self.upstreams.failed(time, namespace, ip, pid);
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
                if self.cgroups.len() >= self.limits.cgroups && !self.cgroups.contains_key(&key) {
                    self.overflow.cgroups += 1;
                    return;
                }
                self.cgroups.insert(key, CgroupEvent { kind: CgroupEventKind::Existing, ..event.clone() });
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
        if self.processes.len() >= self.limits.processes && !self.processes.contains_key(&row.pid) {
            self.overflow.processes += 1;
            return;
        }
        self.processes.insert(row.pid, row);
    }

    fn insert_log_file(&mut self, row: LogFile) {
        let key = (row.cgroup.clone(), row.path.clone());
        if self.log_files.len() >= self.limits.log_files && !self.log_files.contains_key(&key) {
            self.overflow.log_files += 1;
            return;
        }
        self.log_files.insert(key, row);
    }

    fn insert_socket(&mut self, row: SocketSnapshot) {
        if self.sockets.len() >= self.limits.sockets && !self.sockets.contains_key(&row.connection_id) {
            self.overflow.sockets += 1;
            return;
        }
        self.sockets.insert(row.connection_id, row);
    }
}

#[cfg(test)]
mod tests {
    use aftertrace_schemas::tables::LogFile;

    use super::*;

    #[test]
    fn a_segment_begins_with_how_far_the_logs_of_live_containers_were_read() {
        let mut live = LiveState::new(Limits { log_files: 2, ..Limits::default() });
        let mut apply = |kind: Kind| live.apply(&Observation { seq: 0, time: 0, kind });
        let group = |kind| CgroupEvent {
            kind,
            hierarchy_id: 1,
            cgroup_id: 2,
            path: "/docker/a".to_owned(),
            pid: None,
            process_start_ns: None,
            process_cgroup: None,
        };
        let file = |path: &str, offset| LogFile {
            cgroup: "/docker/a".to_owned(),
            source: "stdout/stderr".to_owned(),
            path: path.to_owned(),
            inode: 7,
            offset,
        };
        apply(Kind::Cgroup(group(CgroupEventKind::Created)));
        for row in [file("/one", 10), file("/one", 30), file("/two", 5), file("/three", 1)] {
            apply(Kind::LogFile(row));
        }
        let files = |live: &LiveState| {
            live.snapshot().filter(|row| matches!(row, Kind::LogFile(_))).collect::<Vec<_>>()
        };
        assert_eq!(files(&live), [Kind::LogFile(file("/one", 30)), Kind::LogFile(file("/two", 5))]);
        assert_eq!(live.overflow().log_files, 1);
        live.apply(&Observation { seq: 0, time: 0, kind: Kind::Cgroup(group(CgroupEventKind::Removed)) });
        assert!(files(&live).is_empty());
    }
}
