//! From a kernel record to an observation in its place: taken from the ring, ordered, then completed with what is known.

use aftertrace_bpf_programs::wire::{CgroupRecord, Record, TaskFacts};
use aftertrace_schemas::Kind;
use aftertrace_schemas::tables::{
    CgroupEvent, CgroupEventKind, Datagram, FileEvent, FileEventKind, ProcessEvent, SocketSnapshot, TcpEvent,
    TcpEventKind,
};

use super::data::{self, Call};
use super::observe;
use super::process_cgroups::CgroupKey;
use super::session::Session;
use super::sweep::Sweep;
use super::waiting_bytes::WaitingBytes;
use crate::record::RecordError;

/// What waits for its place in the order. Small, since thousands wait: what is rare lies elsewhere.
pub(super) enum Item {
    /// A kernel record, to be accounted for.
    Kernel {
        /// Number of the account in the ledger that it was submitted on.
        account: u16,
        /// The CPU that submitted it.
        cpu: u32,
        /// What it says.
        event: Event,
    },
    /// A row of a source.
    Row(Box<Kind>),
    /// A sweep, to be compared with what should be alive at its time.
    Sweep(Sweep),
}

/// What a kernel record says, freed from the ring's memory.
pub(super) enum Event {
    /// A process was forked; its control groups.
    Start(Box<ProcessEvent>, Vec<CgroupKey>),
    /// A process runs another program; its control groups.
    Exec(Box<ProcessEvent>, Vec<CgroupKey>),
    /// A process ended.
    Exit(Box<ProcessEvent>),
    /// The OOM killer chose a process.
    OomKill(Box<ProcessEvent>),
    /// A control group was made or removed, or a process moved into it.
    Cgroup(Box<CgroupEvent>),
    /// A file was opened for writing.
    File(Box<FileEvent>),
    /// A TCP socket changed.
    Tcp(Box<TcpEvent>),
    /// A socket was there before.
    Existing(Box<SocketSnapshot>),
    /// A system call moved bytes on a connection.
    Data(Call),
    /// A datagram of a name service.
    Datagram(Box<Datagram>),
}

/// The control groups of a task that can decide its container.
fn groups(task: &TaskFacts) -> Vec<CgroupKey> {
    let mut groups: Vec<CgroupKey> = task.hierarchy_ids.into_iter().zip(task.cgroup_ids).collect();
    groups.retain(|(_, cgroup_id)| *cgroup_id != 0);
    groups.sort_unstable();
    groups.dedup();
    groups
}

fn cgroup(kind: CgroupEventKind, record: &CgroupRecord, path: &[u8]) -> Box<CgroupEvent> {
    let moved = kind == CgroupEventKind::Attached;
    Box::new(CgroupEvent {
        kind,
        hierarchy_id: record.hierarchy_id,
        cgroup_id: record.cgroup_id,
        path: observe::text(path),
        pid: moved.then_some(record.pid),
        process_start_ns: moved.then(|| observe::process_start_ns(record.start_ns)),
        process_cgroup: None,
    })
}

impl Event {
    /// What a record says. Bytes of connections wait in `bytes`.
    pub(super) fn from_record(record: &Record<'_>, bytes: &mut WaitingBytes) -> Self {
        let tcp = |row| Self::Tcp(Box::new(row));
        match record {
            Record::ProcessStart(start) => {
                Self::Start(Box::new(observe::process_start(&start.task)), groups(&start.task))
            }
            Record::ProcessExec(exec) => {
                Self::Exec(Box::new(observe::process_exec(exec)), groups(&exec.task))
            }
            Record::ProcessExit(exit) => Self::Exit(Box::new(observe::process_exit(exit))),
            Record::OomKill(kill) => Self::OomKill(Box::new(observe::oom_kill(kill.pid))),
            Record::CgroupCreated(record, path) => {
                Self::Cgroup(cgroup(CgroupEventKind::Created, record, path))
            }
            Record::CgroupRemoved(record, path) => {
                Self::Cgroup(cgroup(CgroupEventKind::Removed, record, path))
            }
            Record::CgroupAttached(record, path) => {
                Self::Cgroup(cgroup(CgroupEventKind::Attached, record, path))
            }
            Record::FileOpen(record, path) => {
                Self::File(Box::new(observe::file(FileEventKind::Open, record, path)))
            }
            Record::FileExisting(record, path) => {
                Self::File(Box::new(observe::file(FileEventKind::Existing, record, path)))
            }
            Record::ListenOpen(record) => tcp(observe::listen_open(record)),
            Record::ListenExisting(record) => Self::Existing(Box::new(observe::existing_listen(record))),
            Record::ListenClose(record) => tcp(observe::socket(TcpEventKind::ListenClose, record)),
            Record::Connect(record) => tcp(observe::connection(TcpEventKind::Connect, record)),
            Record::ConnectError(record) => tcp(observe::connection(TcpEventKind::ConnectError, record)),
            Record::Accept(record) => tcp(observe::connection(TcpEventKind::Accept, record)),
            Record::ConnectionExisting(record) => {
                Self::Existing(Box::new(observe::existing_connection(record)))
            }
            Record::Close(record) => tcp(observe::traffic(TcpEventKind::Close, record)),
            Record::Statistics(record) => tcp(observe::traffic(TcpEventKind::Statistics, record)),
            Record::Retransmit(record) => tcp(observe::socket(TcpEventKind::Retransmit, record)),
            Record::Data(record, head) => Self::Data(Call::new(record, bytes.add(head))),
            Record::Datagram(record, bytes) => Self::Datagram(Box::new(data::datagram(record, bytes))),
        }
    }
}

/// Whether a record became a row.
#[derive(PartialEq, Eq)]
enum Fate {
    Recorded,
    SetAside,
}

impl Session<'_> {
    /// Gives an item its place and completes it.
    pub(super) fn place(&mut self, boot_ns: u64, item: Item) -> Result<(), RecordError> {
        match item {
            Item::Row(kind) => self.place_row(boot_ns, *kind),
            Item::Sweep(sweep) => self.place_sweep(boot_ns, &sweep),
            Item::Kernel { account, cpu, event } => {
                match self.place_event(boot_ns, event)? {
                    Fate::Recorded => self.accounts.recorded(account, cpu),
                    Fate::SetAside => self.accounts.set_aside(account, cpu),
                }
                Ok(())
            }
        }
    }

    fn place_row(&mut self, boot_ns: u64, kind: Kind) -> Result<(), RecordError> {
        if let Kind::Container(row) = &kind {
            self.watch_container(&row.cgroup.clone(), Some(&row.clone()))?;
            self.logs.news();
            if !self.scope.admits_cgroup(&row.cgroup) && !self.is_inhabited(&row.cgroup) {
                return Ok(());
            }
            if row.port_bindings.as_ref().is_some_and(|bindings| !bindings.is_empty()) {
                self.want_host_namespace(boot_ns)?;
            }
        }
        if let Kind::SystemdUnit(row) = &kind
            && !self.scope.admits_cgroup(&row.cgroup)
            && !self.is_inhabited(&row.cgroup)
        {
            return Ok(());
        }
        self.emit(boot_ns, kind)
    }

    fn place_event(&mut self, boot_ns: u64, event: Event) -> Result<Fate, RecordError> {
        match event {
            Event::Start(mut event, groups) | Event::Exec(mut event, groups) => {
                event.cgroup = self.cgroups.process(event.pid, groups);
                if let Some(path) = &event.cgroup {
                    self.containers.want(path, boot_ns);
                }
                self.emit(boot_ns, Kind::Process(*event))?;
            }
            Event::Exit(event) => {
                self.cgroups.ended(event.pid);
                self.emit(boot_ns, Kind::Process(*event))?;
            }
            Event::OomKill(event) => {
                // The kernel program cannot see whose victim it is; outside the filter it is not ours to tell.
                if !self.scope.is_everything() && self.live.process(event.pid).is_none() {
                    return Ok(Fate::SetAside);
                }
                self.emit(boot_ns, Kind::Process(*event))?;
            }
            Event::Cgroup(event) => return self.place_cgroup(boot_ns, *event),
            Event::File(event) => {
                self.logs.opened(&event, &self.live, self.anchor.unix_ns(boot_ns));
                self.emit(boot_ns, Kind::File(*event))?;
            }
            Event::Tcp(event) => {
                if event.kind == TcpEventKind::ListenOpen {
                    self.want_namespace(boot_ns, event.network_namespace, event.pid)?;
                }
                self.emit(boot_ns, Kind::Tcp(*event))?;
            }
            Event::Existing(row) => self.emit(boot_ns, Kind::SocketSnapshot(*row))?,
            Event::Data(call) => match self.data.row(&call, self.waiting_bytes.take(call.bytes)) {
                Some(row) => self.emit(boot_ns, Kind::SocketData(row))?,
                None => return Ok(Fate::SetAside),
            },
            Event::Datagram(mut row) => {
                self.data.limit(&mut row);
                self.emit(boot_ns, Kind::Datagram(*row))?;
            }
        }
        Ok(Fate::Recorded)
    }

    fn place_cgroup(&mut self, boot_ns: u64, mut event: CgroupEvent) -> Result<Fate, RecordError> {
        if !self.cgroups.decides(event.hierarchy_id) {
            return Ok(Fate::SetAside);
        }
        let key = (event.hierarchy_id, event.cgroup_id);
        match event.kind {
            CgroupEventKind::Created | CgroupEventKind::Existing => {
                self.cgroups.apply(&event);
                self.containers.want(&event.path, boot_ns);
                self.watch_container(&event.path, None)?;
            }
            CgroupEventKind::Removed => {
                self.cgroups.apply(&event);
                self.containers.forget(&event.path);
                if self.scope.is_root(&event.path) {
                    self.kernel.untrace_cgroup(event.hierarchy_id, event.cgroup_id)?;
                }
            }
            CgroupEventKind::Attached => {
                let Some(pid) = event.pid else { return Ok(Fate::SetAside) };
                self.cgroups.apply(&event);
                event.process_cgroup = self.cgroups.moved(pid, key);
                if self.live.process(pid).is_none() {
                    if !self.scope.admits_cgroup(&event.path) {
                        return Ok(Fate::SetAside);
                    }
                    self.introduce_process(boot_ns, pid)?;
                }
                self.emit(boot_ns, Kind::Cgroup(event))?;
                return Ok(Fate::Recorded);
            }
            CgroupEventKind::Other => {}
        }
        if !self.scope.admits_cgroup(&event.path) {
            return Ok(Fate::SetAside);
        }
        self.emit(boot_ns, Kind::Cgroup(event))?;
        Ok(Fate::Recorded)
    }

    fn place_sweep(&mut self, boot_ns: u64, sweep: &Sweep) -> Result<(), RecordError> {
        for row in sweep.lost_ends(&self.live, self.anchor.unix_ns(sweep.began_ns)) {
            self.emit(boot_ns, Kind::Tcp(row))?;
        }
        Ok(())
    }
}
