//! The beginning of a recording: attach first, then find what is there already, then put both together.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use aftertrace_registry::Registry;
use aftertrace_registry::container_id::process_cgroup;
use aftertrace_schemas::Kind;
use aftertrace_schemas::manifest::Probe;
use aftertrace_schemas::tables::{MarkKind, ProbeState, ProbeStatus, SocketKind};

use super::Observer;
use super::accounts::Accounts;
use super::containers::Containers;
use super::data::Data;
use super::error::RecordError;
use super::events::Event;
use super::logs::Logs;
use super::measuring::Measuring;
use super::options::{kernel_config, manifest, writer_options};
use super::process_cgroups::ProcessCgroups;
use super::scope::Scope;
use super::session::{Rate, Session, Timers};
use super::sinks::Sinks;
use super::waiting_bytes::WaitingBytes;
use crate::command::RecordedCommand;
use crate::config::{Payload, RecordConfig};
use crate::kernel::Kernel;
use crate::live_state::{Limits, LiveState};
use crate::memory;
use crate::sequencer::Sequencer;
use crate::sources::Roots;
use crate::sources::cgroups::{CgroupIoSource, CgroupStatsSource, Hierarchies, enter_host_namespace};
use crate::sources::clock::{Clock, ClockWatch, SystemClock};
use crate::sources::cloud::CloudSource;
use crate::sources::command_cgroup::CommandCgroup;
use crate::sources::delays::DelaySource;
use crate::sources::delays::switch::SwitchedOn;
use crate::sources::disks::DiskSource;
use crate::sources::executables::ExecutableSource;
use crate::sources::filesystems::FilesystemSource;
use crate::sources::jvm::JvmSource;
use crate::sources::namespaces::NamespaceSource;
use crate::sources::nat::{NatRequest, NatSource};
use crate::sources::network::NetworkSource;
use crate::sources::node::NodeSource;
use crate::sources::ping::PingSource;
use crate::sources::privileges::Missing;
use crate::sources::processes::ProcessSource;
use crate::sources::runtimes::{Runtime, RuntimeConfig, RuntimeSource};
use crate::sources::source::Source;
use crate::sources::{host, privileges};
use crate::tls::source::TlsSource;
use crate::trace::TraceWriter;

impl<'a> Session<'a> {
    /// Checks what is needed, attaches the kernel programs, and writes what is alive.
    pub(super) fn begin(config: &'a RecordConfig, observer: &mut dyn Observer) -> Result<Self, RecordError> {
        memory::keep_little();
        let roots = Roots::default();
        check_privileges(&roots, config.mount_tracefs)?;
        if let Err(error) = enter_host_namespace(&roots) {
            observer.warning(&format!("the host's cgroup namespace cannot be entered: {error}"));
        }
        let hierarchies = Hierarchies::find(&roots);
        if let Some(warning) = hierarchies.warning() {
            observer.warning(&warning);
        }
        let mut scope = if config.filter.is_empty() && config.command.is_empty() {
            Scope::everything()
        } else {
            Scope::filtered()
        };
        // Before anything is written: a mistake on the command line leaves no directory behind.
        if let Some(pid) = config.filter.pids.iter().find(|pid| !Path::new(&format!("/proc/{pid}")).exists())
        {
            return Err(RecordError::NoSuchProcess { pid: *pid });
        }
        for path in &config.filter.cgroups {
            scope.add_root(&find_cgroup(&hierarchies, path)?);
        }
        for pid in &config.filter.pids {
            check_process(&roots, *pid)?;
        }
        let command_cgroup = command_cgroup(config, &hierarchies, &mut scope, observer);

        let mut kernel = Kernel::load(&kernel_config(config, !scope.is_everything()))?;
        let clock = ClockWatch::start(SystemClock);
        let anchor = clock.anchor();
        let host = host::read(&roots);
        let writer = config
            .output
            .as_deref()
            .map(|output| {
                TraceWriter::create(output, manifest(config, &scope, anchor, &host), writer_options(config))
            })
            .transpose()?;
        let nat = NatSource::start(roots.clone())
            .map_err(|error| RecordError::Host { what: "a thread", reason: error.to_string() })?;
        let task_delays = switch_on_delays(config, &roots, observer);
        let runtimes = runtimes()
            .map_err(|error| RecordError::Host { what: "container runtimes", reason: error.to_string() })?;
        let tls = match config.data.payload {
            Payload::Off => TlsSource::off(),
            _ => TlsSource::start(roots.clone(), kernel.tls_programs())
                .map_err(|error| RecordError::Host { what: "a thread", reason: error.to_string() })?,
        };
        let probes = kernel.attach();
        let now = Instant::now();
        let mut session = Self {
            config,
            anchor,
            accounts: Accounts::new(anchor.unix_ns(SystemClock.boot_ns())),
            clock,
            kernel,
            sinks: Sinks::new(writer, config.registry.clone().map(Registry::new)),
            sequencer: Sequencer::default(),
            live: LiveState::new(Limits::default()),
            scope,
            cgroups: ProcessCgroups::new(&hierarchies),
            processes: ProcessSource::new(roots.clone(), |text| process_cgroup(text).map(str::to_owned)),
            containers: Containers::new(runtimes, config.filter.containers.clone()),
            logs: Logs::start(&config.logs, &roots, anchor, now),
            data: Data::new(config.data),
            waiting_bytes: WaitingBytes::default(),
            tls,
            namespaces: NamespaceSource::new(roots.clone()),
            nat,
            measuring: Measuring::start(sources(config, &roots, &hierarchies), config.interval, anchor, now),
            hierarchies,
            command_cgroup,
            _task_delays: task_delays,
            roots,
            timers: Timers::new(config, now),
            scrapes: 0,
            pushes: Vec::new(),
            rate: Rate::new(now),
            longest_wait_ns: 0,
        };
        session.mark(MarkKind::Start, None)?;
        session.mark(MarkKind::SegmentStart, None)?;
        session.emit_now(Kind::Host(host))?;
        for probe in probes {
            let is_off = probe.is_off();
            if let Some(reason) = probe.reason.as_ref().filter(|_| !is_off) {
                observer.warning(&format!("{} is not recorded: {reason}", probe.probe));
            }
            let state = match probe.attached {
                true => ProbeState::Active,
                false if is_off => ProbeState::Off,
                false => ProbeState::Failed,
            };
            session.emit_now(Kind::Probe(ProbeStatus {
                probe: probe.probe.to_owned(),
                state,
                reason: probe.reason,
            }))?;
        }
        session.update_manifest_probes();
        session.write_accounts(true)?;
        session.write_own_statistics()?;
        session.scan()?;
        session.mark(MarkKind::SnapshotEnd, None)?;
        session.measure(now);
        Ok(session)
    }

    /// Writes what was there before: control groups, processes, sockets and files of the filter.
    fn scan(&mut self) -> Result<(), RecordError> {
        let groups = self.hierarchies.scan();
        for event in groups.groups {
            if !self.cgroups.decides(event.hierarchy_id) {
                continue;
            }
            self.cgroups.apply(&event);
            self.containers.want(&event.path, SystemClock.boot_ns());
            self.watch_container(&event.path, None)?;
            if self.scope.admits_cgroup(&event.path) {
                self.emit_now(Kind::Cgroup(event))?;
            }
        }
        for root in self.scope.roots().map(str::to_owned).collect::<Vec<_>>() {
            self.follow_cgroup(&root)?;
        }
        let traced = self.follow_pids()?;
        for process in self.processes.scan().processes {
            let admitted = self.scope.is_everything()
                || traced.contains(&process.pid)
                || process.cgroup.as_deref().is_some_and(|path| self.scope.admits_cgroup(path));
            let known = self.live.process(process.pid).is_some();
            if admitted && !known && process.pid != std::process::id() {
                if let Some(path) = &process.cgroup {
                    self.containers.want(path, SystemClock.boot_ns());
                }
                self.emit_now(Kind::ProcessSnapshot(process))?;
            }
        }
        self.scan_files()
    }

    /// Sockets and files that are open. The first sweep tells what their counters had before the recording.
    pub(super) fn scan_files(&mut self) -> Result<(), RecordError> {
        let mut found = Vec::new();
        let Self { accounts, waiting_bytes, .. } = self;
        self.kernel.scan(|record| {
            let (account, cpu) = (record.header().account, u32::from(record.header().cpu));
            accounts.received(account, cpu);
            found.push((account, cpu, Event::from_record(&record, waiting_bytes)));
        })?;
        let mut counters = rustc_hash::FxHashMap::default();
        self.kernel.sweep(|record| {
            let (account, cpu) = (record.header().account, u32::from(record.header().cpu));
            accounts.received(account, cpu);
            accounts.set_aside(account, cpu);
            if let Event::Tcp(row) = Event::from_record(&record, waiting_bytes) {
                counters.insert(row.connection_id, row);
            }
        })?;
        self.translate(&found)?;
        for (account, cpu, mut event) in found {
            if let Event::Existing(socket) = &mut event {
                if let Some(row) = counters.get(&socket.connection_id) {
                    socket.bytes_sent = row.bytes_sent.unwrap_or_default();
                    socket.bytes_received = row.bytes_received.unwrap_or_default();
                    socket.retransmits = row.retransmits.unwrap_or_default();
                }
                if socket.remote_ip.is_none() {
                    let (namespace, pid) = (socket.network_namespace, socket.pid);
                    self.want_namespace(SystemClock.boot_ns(), Some(namespace), Some(pid))?;
                }
            }
            let now_ns = SystemClock.boot_ns();
            self.place(now_ns, super::events::Item::Kernel { account, cpu, event })?;
        }
        Ok(())
    }

    /// Tells where connections really go that were there before.
    fn translate(&mut self, found: &[(u16, u32, Event)]) -> Result<(), RecordError> {
        let now_ns = SystemClock.boot_ns();
        for (_, _, event) in found {
            if let Event::Existing(socket) = event
                && socket.kind == SocketKind::Outbound
            {
                self.nat.want(NatRequest::of_snapshot(socket, now_ns));
            }
        }
        self.nat.ask();
        for (boot_ns, row) in self.nat.settle(NAT_PATIENCE) {
            // Other answers may be among these: of connections that wait for their place.
            match row {
                row if boot_ns.saturating_add(1) >= now_ns => self.emit_now(row)?,
                row => self.sequencer.push(boot_ns, super::events::Item::Row(Box::new(row))),
            }
        }
        Ok(())
    }

    /// Starts the command, when there is one.
    pub(super) fn spawn_command(&mut self) -> Result<Option<RecordedCommand>, RecordError> {
        if self.config.command.is_empty() {
            return Ok(None);
        }
        self.tls.settle(TLS_PATIENCE);
        let procs = match &self.command_cgroup {
            Some(cgroup) => cgroup.procs().map_err(|error| RecordError::Host {
                what: "the command's control group",
                reason: error.to_string(),
            })?,
            None => Vec::new(),
        };
        Ok(Some(RecordedCommand::spawn(&self.config.command, procs)?))
    }

    pub(super) fn update_manifest_probes(&mut self) {
        let probes = self
            .live
            .probes()
            .map(|row| Probe {
                probe: row.probe.clone(),
                state: row.state.to_string(),
                reason: row.reason.clone(),
            })
            .collect();
        if let Some(writer) = &mut self.sinks.writer {
            writer.set_probes(probes);
        }
    }
}

/// A command waits so long until this host's libraries have their probes.
const TLS_PATIENCE: Duration = Duration::from_secs(5);
/// Connections that were there before wait so long for where they lead.
const NAT_PATIENCE: Duration = Duration::from_millis(300);

/// What is measured at intervals: a line a source.
fn sources(config: &RecordConfig, roots: &Roots, hierarchies: &Hierarchies) -> Vec<Box<dyn Source>> {
    let mut sources: Vec<Box<dyn Source>> = vec![
        Box::new(NodeSource::new(roots.clone())),
        Box::new(DiskSource::new(roots.clone())),
        Box::new(NetworkSource::new(roots.clone())),
        Box::new(NamespaceSource::new(roots.clone())),
        Box::new(CgroupStatsSource::new(hierarchies.clone())),
        Box::new(CgroupIoSource::new(hierarchies.clone())),
        Box::new(DelaySource::new(roots.clone())),
        Box::new(FilesystemSource::new(roots.clone())),
        Box::new(ExecutableSource::new(roots.clone())),
        Box::new(JvmSource::new(roots.clone())),
        Box::new(CloudSource::new(roots.clone(), config.cloud.clone())),
    ];
    if config.ping {
        sources.push(Box::new(PingSource::new(roots.clone())));
    }
    sources
}

/// Who is asked about containers and units.
fn runtimes() -> std::io::Result<BTreeMap<Runtime, RuntimeSource>> {
    let start = |runtime| Ok((runtime, RuntimeSource::start(RuntimeConfig::from_environment(runtime))?));
    Runtime::ALL.into_iter().map(start).collect()
}

/// Names everything that is missing at once.
fn check_privileges(roots: &Roots, mount_tracefs: bool) -> Result<(), RecordError> {
    let mut missing = privileges::missing(roots);
    if mount_tracefs && missing.contains(&Missing::Tracefs) {
        privileges::mount_tracefs(roots).map_err(|error| RecordError::Host {
            what: "tracefs, which cannot be mounted",
            reason: error.to_string(),
        })?;
        missing.retain(|missing| *missing != Missing::Tracefs);
    }
    if missing.is_empty() { Ok(()) } else { Err(RecordError::Missing(missing)) }
}

/// A control group of its own for the command, where one can be had.
fn command_cgroup(
    config: &RecordConfig,
    hierarchies: &Hierarchies,
    scope: &mut Scope,
    observer: &mut dyn Observer,
) -> Option<CommandCgroup> {
    let program = config.command.first()?;
    match CommandCgroup::create(hierarchies, Path::new(program)) {
        Ok(cgroup) => {
            for warning in cgroup.warnings() {
                observer.warning(warning);
            }
            scope.add_root(cgroup.path());
            Some(cgroup)
        }
        Err(error) => {
            observer.warning(&format!("{error}; the command is followed by its process tree instead"));
            None
        }
    }
}

/// The kernel's accounting of block-I/O delays, when it was asked for and is off.
fn switch_on_delays(config: &RecordConfig, roots: &Roots, observer: &mut dyn Observer) -> Option<SwitchedOn> {
    if !config.set_sysctls {
        return None;
    }
    SwitchedOn::new(roots).unwrap_or_else(|error| {
        observer.warning(&format!("kernel.task_delayacct stays off: {error}"));
        None
    })
}

/// The path from the root of a hierarchy of a group that was given so, or as a path below its mount.
fn find_cgroup(hierarchies: &Hierarchies, given: &str) -> Result<String, RecordError> {
    let absolute = Path::new(given);
    for hierarchy in &hierarchies.all {
        if let Some(path) = hierarchy.path_of(absolute)
            && absolute.is_dir()
        {
            return Ok(path);
        }
    }
    // An empty one, as an unset variable of a script gives it, must not stand for the whole host.
    if given.is_empty() {
        return Err(RecordError::NoSuchCgroup { path: given.to_owned() });
    }
    let path = format!("/{}", given.trim_matches('/'));
    let exists = hierarchies
        .all
        .iter()
        .any(|hierarchy| hierarchy.directory_of(&path).is_some_and(|directory| directory.is_dir()));
    if exists { Ok(path) } else { Err(RecordError::NoSuchCgroup { path: given.to_owned() }) }
}

/// A process that was asked for must be one: a thread has no descendants, and gives events under its process's id.
pub(super) fn check_process(roots: &Roots, pid: u32) -> Result<(), RecordError> {
    let status = std::fs::read_to_string(roots.proc_file(&format!("{pid}/status")))
        .map_err(|_| RecordError::NoSuchProcess { pid })?;
    let process = status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok());
    match process {
        Some(process) if process != pid => Err(RecordError::Thread { pid, process }),
        _ => Ok(()),
    }
}
