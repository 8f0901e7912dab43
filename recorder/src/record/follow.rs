//! Whom a recording follows: processes, control groups and containers that were asked for, and what they lead to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use aftertrace_schemas::Kind;
use aftertrace_schemas::tables::ContainerSnapshot;

use super::begin::check_process;
use super::error::RecordError;
use super::scope::Scope;
use super::session::Session;
use crate::live_state::LiveState;
use crate::sources::clock::{Clock, SystemClock};
use crate::sources::source::{Subjects, Upstream};

impl Session<'_> {
    /// Has the kernel follow a control group and what is in it; processes that are there become known.
    pub(super) fn follow_cgroup(&mut self, path: &str) -> Result<(), RecordError> {
        let scan = self.hierarchies.scan_below(path);
        for group in &scan.groups {
            if group.path == path {
                self.kernel.trace_cgroup(group.hierarchy_id, group.cgroup_id)?;
            }
        }
        for group in &scan.groups {
            let Some(hierarchy) = self.hierarchies.by_id(group.hierarchy_id) else { continue };
            let Some(directory) = hierarchy.directory_of(&group.path) else { continue };
            // A group that is gone has no processes.
            let procs = std::fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
            let own = std::process::id();
            for pid in procs.lines().filter_map(|pid| pid.parse().ok()).filter(|pid| *pid != own) {
                self.kernel.trace_member(pid, group.hierarchy_id)?;
                if self.live.process(pid).is_none() {
                    self.introduce_process(SystemClock.boot_ns(), pid)?;
                }
            }
        }
        Ok(())
    }

    /// Has the kernel follow the processes that were asked for with their descendants. Returns them.
    pub(super) fn follow_pids(&mut self) -> Result<BTreeSet<u32>, RecordError> {
        let mut traced = BTreeSet::new();
        for pid in &self.config.filter.pids {
            // It may have ended since it was looked at first.
            check_process(&self.roots, *pid)?;
            self.kernel.trace_pid(*pid)?;
            traced.insert(*pid);
        }
        // A child that is forked after its parent is followed is followed by the kernel; one from before is found
        // here. So when a round finds nothing new, nothing is missing.
        loop {
            let before = traced.len();
            for process in if traced.is_empty() { Vec::new() } else { self.processes.scan().processes } {
                if traced.contains(&process.parent_pid) && traced.insert(process.pid) {
                    self.kernel.trace_pid(process.pid)?;
                }
            }
            if traced.len() == before {
                return Ok(traced);
            }
        }
    }

    /// Makes a process known that the recording meets for the first time.
    pub(super) fn introduce_process(&mut self, boot_ns: u64, pid: u32) -> Result<(), RecordError> {
        match self.processes.read_process(pid) {
            Some(process) => self.emit(boot_ns, Kind::ProcessSnapshot(process)),
            // It is gone: its own events tell what is left to tell.
            None => Ok(()),
        }
    }

    /// A container became known, or more of it: follows it if the filter wants it.
    pub(super) fn watch_container(
        &mut self,
        path: &str,
        metadata: Option<&ContainerSnapshot>,
    ) -> Result<(), RecordError> {
        let now = self.anchor.unix_ns(SystemClock.boot_ns());
        if self.containers.is_news(path, metadata, now) && self.scope.add_root(path) {
            for group in self.hierarchies.scan_below(path).groups {
                if self.cgroups.decides(group.hierarchy_id) {
                    self.emit_now(Kind::Cgroup(group))?;
                }
            }
            self.follow_cgroup(path)?;
            self.scan_files()?;
        }
        Ok(())
    }

    /// Whether a recorded process is in the control group.
    pub(super) fn is_inhabited(&self, path: &str) -> bool {
        self.live.processes().any(|process| process.cgroup.as_deref() == Some(path))
    }

    /// A socket listens in a network namespace: its addresses are what it listens on.
    pub(super) fn want_namespace(
        &mut self,
        boot_ns: u64,
        namespace: Option<u32>,
        pid: Option<u32>,
    ) -> Result<(), RecordError> {
        let (Some(namespace), Some(pid)) = (namespace, pid) else { return Ok(()) };
        if self.live.namespace(namespace).is_some() {
            return Ok(());
        }
        match self.namespaces.read(namespace, pid) {
            Some(row) => self.emit(boot_ns, Kind::NetworkNamespace(row)),
            None => Ok(()),
        }
    }

    /// The host's own addresses: where a runtime listens for a container.
    pub(super) fn want_host_namespace(&mut self, boot_ns: u64) -> Result<(), RecordError> {
        let namespace = self.live.host().and_then(|host| host.network_namespace);
        self.want_namespace(boot_ns, namespace, Some(1))
    }

    /// Has the sources measure that are due.
    pub(super) fn measure(&mut self, now: Instant) {
        let Self { measuring, live, scope, .. } = self;
        measuring.measure(now, || subjects(live, scope));
    }

    /// What is followed now.
    pub(super) fn subjects(&self) -> Subjects {
        subjects(&self.live, &self.scope)
    }
}

fn subjects(live: &LiveState, scope: &Scope) -> Subjects {
    // Those that were asked for, also when their last process has just ended, and admitted ones that have processes.
    let cgroups = live
        .processes()
        .filter_map(|process| process.cgroup.as_deref())
        .filter(|path| scope.admits_cgroup(path))
        .chain(scope.roots())
        .map(str::to_owned)
        .collect();
    let mut seen = BTreeSet::new();
    let namespaces = live
        .sockets()
        .filter(|socket| seen.insert(socket.network_namespace))
        .filter_map(|socket| Some((live.namespace(socket.network_namespace)?.clone(), socket.pid)))
        .collect();
    // One process a peer and namespace is enough of a way into it.
    let mut upstreams = BTreeMap::new();
    for (network_namespace, ip, pid) in live.upstreams() {
        upstreams.entry((network_namespace, ip.address())).or_insert(pid);
    }
    let upstreams = upstreams
        .into_iter()
        .map(|((network_namespace, ip), pid)| Upstream { network_namespace, ip, pid })
        .collect();
    Subjects {
        cgroups,
        processes: live.processes().cloned().collect(),
        containers: live.containers().cloned().collect(),
        namespaces,
        written_mounts: live.written_mounts().cloned().collect(),
        known_mounts: live.known_mounts().cloned().collect(),
        upstreams,
    }
}
