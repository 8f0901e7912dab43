//! Gathers the numbers of the summary from the observations. Dead containers and closed connections count too, which the
//! registry, bound to what is alive, may have let go.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;

use aftertrace_schemas::column::Ip;
use aftertrace_schemas::tables::{
    CgroupEvent, CgroupEventKind, CgroupStats, ProcessEvent, ProcessEventKind, SocketKind, TcpEvent,
    TcpEventKind,
};
use aftertrace_schemas::{Kind, Observation};
use rustc_hash::FxBuildHasher;
use serde::Serialize;

use crate::identity::Identities;
use crate::sql::error_name;

/// Stands for processes of no container.
const HOST: &str = "(host)";
/// Destinations told apart at most; the others are summed.
const MOST_TALKERS: usize = 100_000;

/// Numbers of the whole trace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Processes started.
    pub processes_started: u64,
    /// Processes that ended with a code other than 0 or by a signal.
    pub processes_failed: u64,
    /// OOM kills.
    pub oom_kills: u64,
    /// Outbound connections established.
    pub connects: u64,
    /// Outbound connections that failed.
    pub failed_connects: u64,
    /// Inbound connections accepted.
    pub accepts: u64,
    /// TCP segments sent again.
    pub retransmits: u64,
    /// Files opened for writing.
    pub files_opened: u64,
}

/// A container in the summary.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Container {
    /// Its id.
    pub container: String,
    /// Processes seen: those that were there, and those that started.
    pub processes: u64,
    /// CPU time used during the trace, nanoseconds; absent when its control group was not measured.
    pub cpu_ns: Option<u64>,
    /// Most anonymous and mapped memory that was measured, bytes.
    pub memory_bytes: Option<u64>,
    /// Restarts, as the metrics count them.
    pub restarts: u64,
    /// OOM kills.
    pub oom_kills: u64,
}

/// A container and a destination that it connects to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Talker {
    /// The container's id.
    pub container: String,
    /// Address and port; absent in the row that sums those beyond the limit.
    pub destination: Option<SocketAddr>,
    /// Connections established, or open when the trace began.
    pub connects: u64,
    /// Connections that failed.
    pub failed: u64,
    /// The commonest error of those, or of those that were established.
    pub error: Option<String>,
    /// Segments sent again.
    pub retransmits: u64,
    /// Payload bytes sent.
    pub bytes_sent: u64,
    /// Payload bytes received.
    pub bytes_received: u64,
}

/// Index of a control group. Its container's name is known for sure only at the end: the runtime may tell it after
/// the container's first events.
type Group = u32;
type TalkerKey = (Group, Option<SocketAddr>);

#[derive(Default)]
struct Counts {
    talker: Talker,
    errors: BTreeMap<u16, u64>,
}

impl Counts {
    fn add(&mut self, part: Self) {
        self.talker.connects += part.talker.connects;
        self.talker.failed += part.talker.failed;
        self.talker.retransmits += part.talker.retransmits;
        self.talker.bytes_sent += part.talker.bytes_sent;
        self.talker.bytes_received += part.talker.bytes_received;
        for (errno, count) in part.errors {
            *self.errors.entry(errno).or_default() += count;
        }
    }
}

struct Connection {
    talker: TalkerKey,
    bytes_sent: u64,
    bytes_received: u64,
    retransmits: u64,
}

/// CPU of a control group: at its first and last measurement.
struct Cpu {
    from_ns: u64,
    to_ns: u64,
}

/// See the module.
#[derive(Default)]
pub(super) struct Fold {
    identities: Identities,
    totals: Totals,
    /// Paths; none for what is in no group.
    groups: Vec<Option<String>>,
    group_of: HashMap<String, Group>,
    containers: BTreeMap<Group, Container>,
    processes: HashMap<(u32, u64), Group, FxBuildHasher>,
    start_of: HashMap<u32, u64, FxBuildHasher>,
    made: HashSet<String>,
    cpu: HashMap<String, Cpu>,
    talkers: HashMap<TalkerKey, Counts>,
    connections: HashMap<u64, Connection, FxBuildHasher>,
}

impl Fold {
    pub(super) fn apply(&mut self, observation: &Observation) {
        match &observation.kind {
            Kind::Container(row) => self.identities.add(row, observation.time),
            Kind::ProcessSnapshot(row) => self.process(row.pid, row.process_start_ns, row.cgroup.as_deref()),
            Kind::Process(row) => self.process_event(row),
            Kind::Cgroup(row) => self.cgroup_event(row),
            Kind::CgroupStats(row) => self.stats(row),
            Kind::SocketSnapshot(row) if row.kind == SocketKind::Outbound => {
                if self.connections.contains_key(&row.connection_id) {
                    return;
                }
                let owner = self.owner(row.pid, row.process_start_ns);
                let key = self.key(owner, destination(row.remote_ip, row.remote_port));
                self.talkers.entry(key).or_default().talker.connects += 1;
                let connection = Connection {
                    talker: key,
                    bytes_sent: row.bytes_sent,
                    bytes_received: row.bytes_received,
                    retransmits: u64::from(row.retransmits),
                };
                self.connections.insert(row.connection_id, connection);
            }
            Kind::Tcp(row) => self.tcp(row),
            Kind::File(row) => {
                self.totals.files_opened +=
                    u64::from(row.kind == aftertrace_schemas::tables::FileEventKind::Open)
            }
            _ => {}
        }
    }

    pub(super) fn finish(mut self) -> (Totals, Vec<Container>, Vec<Talker>) {
        for (path, cpu) in std::mem::take(&mut self.cpu) {
            let group = self.group(Some(&path));
            self.container(group).cpu_ns = Some(cpu.to_ns.saturating_sub(cpu.from_ns));
        }
        let id_of = |path: &Option<String>| {
            path.as_deref()
                .and_then(|path| self.identities.container_id(path))
                .unwrap_or_else(|| HOST.to_owned())
        };
        let ids: Vec<String> = self.groups.iter().map(id_of).collect();
        let id = |group: Group| ids.get(group as usize).cloned().unwrap_or_default();

        let mut containers: BTreeMap<String, Container> = BTreeMap::new();
        for (group, part) in self.containers {
            let whole = containers.entry(id(group)).or_default();
            whole.processes += part.processes;
            whole.oom_kills += part.oom_kills;
            // A control group's figures include those below it.
            whole.cpu_ns = whole.cpu_ns.max(part.cpu_ns);
            whole.memory_bytes = whole.memory_bytes.max(part.memory_bytes);
        }
        let mut containers: Vec<Container> =
            containers.into_iter().map(|(container, counts)| Container { container, ..counts }).collect();
        containers.sort_by(|a, b| {
            let busy = |c: &Container| (c.cpu_ns.unwrap_or_default(), c.processes);
            busy(b).cmp(&busy(a)).then_with(|| a.container.cmp(&b.container))
        });

        let mut talkers: BTreeMap<(String, Option<SocketAddr>), Counts> = BTreeMap::new();
        for ((group, destination), part) in self.talkers {
            talkers.entry((id(group), destination)).or_default().add(part);
        }
        let talker = |((container, destination), counts): (_, Counts)| Talker {
            container,
            destination,
            error: counts.errors.iter().max_by_key(|(_, count)| **count).map(|(errno, _)| reason(*errno)),
            ..counts.talker
        };
        let mut talkers: Vec<Talker> = talkers.into_iter().map(talker).collect();
        talkers.sort_by(|a, b| {
            let weight = |t: &Talker| (t.connects + t.failed, t.bytes_sent + t.bytes_received);
            weight(b)
                .cmp(&weight(a))
                .then_with(|| (&a.container, a.destination).cmp(&(&b.container, b.destination)))
        });
        (self.totals, containers, talkers)
    }

    fn group(&mut self, path: Option<&str>) -> Group {
        let key = path.unwrap_or_default();
        if let Some(group) = self.group_of.get(key) {
            return *group;
        }
        let group = Group::try_from(self.groups.len()).unwrap_or(Group::MAX);
        self.groups.push(path.map(str::to_owned));
        self.group_of.insert(key.to_owned(), group);
        group
    }

    fn container(&mut self, group: Group) -> &mut Container {
        self.containers.entry(group).or_default()
    }

    fn process(&mut self, pid: u32, start_ns: u64, cgroup: Option<&str>) {
        let group = self.group(cgroup);
        self.start_of.insert(pid, start_ns);
        if self.processes.insert((pid, start_ns), group).is_none() {
            self.container(group).processes += 1;
        }
    }

    /// The process moved: it counts where it went.
    fn moved(&mut self, pid: u32, start_ns: u64, cgroup: &str) {
        let group = self.group(Some(cgroup));
        match self.processes.insert((pid, start_ns), group) {
            Some(before) if before != group => {
                let processes = &mut self.container(before).processes;
                *processes = processes.saturating_sub(1);
                self.container(group).processes += 1;
            }
            Some(_) => {}
            None => self.container(group).processes += 1,
        }
    }

    fn owner(&mut self, pid: u32, start_ns: u64) -> Group {
        match self.processes.get(&(pid, start_ns)) {
            Some(group) => *group,
            None => self.group(None),
        }
    }

    fn process_event(&mut self, row: &ProcessEvent) {
        let start_ns =
            row.process_start_ns.or_else(|| self.start_of.get(&row.pid).copied()).unwrap_or_default();
        match row.kind {
            ProcessEventKind::Start => {
                self.totals.processes_started += 1;
                self.process(row.pid, start_ns, row.cgroup.as_deref());
            }
            ProcessEventKind::Exec => {
                if let Some(cgroup) = &row.cgroup {
                    self.moved(row.pid, start_ns, cgroup);
                }
            }
            ProcessEventKind::Exit => {
                let failed = row.signal.is_some_and(|signal| signal != 0)
                    || row.exit_code.is_some_and(|code| code != 0);
                self.totals.processes_failed += u64::from(failed);
                self.start_of.remove(&row.pid);
            }
            ProcessEventKind::OomKill => {
                self.totals.oom_kills += 1;
                let owner = self.owner(row.pid, start_ns);
                self.container(owner).oom_kills += 1;
            }
            ProcessEventKind::Other => {}
        }
    }

    fn cgroup_event(&mut self, row: &CgroupEvent) {
        match row.kind {
            CgroupEventKind::Created => {
                self.made.insert(row.path.clone());
            }
            CgroupEventKind::Attached => {
                let start_ns =
                    row.pid.and_then(|pid| row.process_start_ns.or_else(|| self.start_of.get(&pid).copied()));
                if let (Some(pid), Some(start_ns), Some(cgroup)) = (row.pid, start_ns, &row.process_cgroup) {
                    self.moved(pid, start_ns, cgroup);
                }
            }
            _ => {}
        }
    }

    fn stats(&mut self, row: &CgroupStats) {
        if self.identities.container_id(&row.cgroup).is_none() {
            return;
        }
        if let Some(usage_ns) = row.cpu_usage_ns {
            // One that was made while recording began at nothing.
            let from_ns = if self.made.contains(&row.cgroup) { 0 } else { usage_ns };
            let cpu = self.cpu.entry(row.cgroup.clone()).or_insert(Cpu { from_ns, to_ns: usage_ns });
            cpu.to_ns = usage_ns;
        }
        let memory =
            row.memory_anonymous_bytes.map(|bytes| bytes + row.memory_mapped_file_bytes.unwrap_or_default());
        let group = self.group(Some(&row.cgroup));
        let container = self.container(group);
        container.memory_bytes = container.memory_bytes.max(memory);
    }

    fn key(&mut self, container: Group, destination: Option<SocketAddr>) -> TalkerKey {
        let key = (container, destination);
        if self.talkers.len() >= MOST_TALKERS && !self.talkers.contains_key(&key) {
            (container, None)
        } else {
            key
        }
    }

    fn tcp(&mut self, row: &TcpEvent) {
        match row.kind {
            TcpEventKind::Connect | TcpEventKind::ConnectError => {
                let owner = self.owner(row.pid.unwrap_or_default(), row.process_start_ns.unwrap_or_default());
                let key = self.key(owner, destination(row.remote_ip, row.remote_port));
                let counts = self.talkers.entry(key).or_default();
                if row.kind == TcpEventKind::Connect {
                    self.totals.connects += 1;
                    counts.talker.connects += 1;
                    let connection =
                        Connection { talker: key, bytes_sent: 0, bytes_received: 0, retransmits: 0 };
                    self.connections.insert(row.connection_id, connection);
                } else {
                    self.totals.failed_connects += 1;
                    counts.talker.failed += 1;
                    *counts.errors.entry(row.errno.unwrap_or_default()).or_default() += 1;
                }
            }
            TcpEventKind::Accept => self.totals.accepts += 1,
            TcpEventKind::Retransmit => {
                self.totals.retransmits += 1;
                if let Some(connection) = self.connections.get_mut(&row.connection_id) {
                    connection.retransmits += 1;
                    self.talkers.entry(connection.talker).or_default().talker.retransmits += 1;
                }
            }
            TcpEventKind::Statistics | TcpEventKind::Close => {
                if let Some(connection) = self.connections.get_mut(&row.connection_id) {
                    let talker = &mut self.talkers.entry(connection.talker).or_default().talker;
                    // As the registry counts: by what the kernel's totals grew, those of events not twice.
                    talker.bytes_sent += grow(&mut connection.bytes_sent, row.bytes_sent);
                    talker.bytes_received += grow(&mut connection.bytes_received, row.bytes_received);
                    let again = grow(&mut connection.retransmits, row.retransmits.map(u64::from));
                    talker.retransmits += again;
                    self.totals.retransmits += again;
                }
                if row.kind == TcpEventKind::Close {
                    self.connections.remove(&row.connection_id);
                }
            }
            TcpEventKind::ListenOpen | TcpEventKind::ListenClose | TcpEventKind::Other => {}
        }
    }
}

/// Why a connect failed. Without an error the process closed the socket, or ended, before there was an answer.
fn reason(errno: u16) -> String {
    if errno == 0 { "given up".to_owned() } else { error_name(errno) }
}

/// Takes a newer total, and returns by how much it grew.
fn grow(total: &mut u64, newer: Option<u64>) -> u64 {
    let newer = newer.unwrap_or(0).max(*total);
    newer - std::mem::replace(total, newer)
}

fn destination(ip: Option<Ip>, port: Option<u16>) -> Option<SocketAddr> {
    Some(SocketAddr::new(ip?.address(), port?))
}
