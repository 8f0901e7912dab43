//! Observations of processes.

use aftertrace_schemas::UnixNanos;
use aftertrace_schemas::tables::{
    Executable, JvmGcStats, JvmStats, ProcessEvent, ProcessEventKind, ProcessSnapshot, TaskDelays, Toolchain,
};

use super::Registry;
use crate::application_type::application_type;
use crate::containers::{ContainerIndex, Delays, Jvms};
use crate::findings::{FindingKind, Incident, kind_of_signal};
use crate::losses::{Dropped, Tally};
use crate::processes::{Applications, Process, ProcessKey};

/// What a Java virtual machine is as long as it is not known what it runs.
const JAVA: &str = "java";

impl Registry {
    pub(super) fn process_event(&mut self, time: UnixNanos, row: &ProcessEvent) {
        let known = row.process_start_ns.map(|start_ns| ProcessKey { pid: row.pid, start_ns });
        let Some(key) = known.or_else(|| self.processes.key(row.pid)) else {
            return;
        };
        let cgroup = row.cgroup.as_deref();
        match row.kind {
            ProcessEventKind::Start => {
                let is_new = self.ensure_process(time, key, cgroup, row.parent_pid, row.network_namespace);
                if is_new
                    && let Some(container) = self.container_of(key)
                    && let Some(container) = self.containers.get_mut(container)
                {
                    container.processes_started += 1;
                }
            }
            ProcessEventKind::Exec => {
                self.ensure_process(time, key, cgroup, row.parent_pid, row.network_namespace);
                let arguments = row.arguments.as_deref().unwrap_or_default();
                let application = application_type(arguments, row.executable.as_deref());
                self.change_process(key, |process| {
                    process.application = application;
                    process.jvm_application = None;
                });
                if let Some(container) =
                    self.container_of(key).and_then(|index| self.containers.get_mut(index))
                {
                    container.jvms.end(key);
                }
            }
            ProcessEventKind::Exit => self.process_ended(time, key, row),
            ProcessEventKind::OomKill => {
                if let Some(process) = self.processes.get_mut(key) {
                    process.oom_victim = true;
                }
            }
            ProcessEventKind::Other => {}
        }
    }

    pub(super) fn process_snapshot(&mut self, time: UnixNanos, row: &ProcessSnapshot) {
        let key = ProcessKey { pid: row.pid, start_ns: row.process_start_ns };
        self.ensure_process(time, key, row.cgroup.as_deref(), Some(row.parent_pid), row.network_namespace);
        let application = application_type(&row.arguments, row.executable.as_deref());
        self.change_process(key, |process| process.application = application);
    }

    pub(super) fn executable(&mut self, row: &Executable) {
        let toolchain = match row.toolchain {
            Toolchain::Golang => Some("golang"),
            Toolchain::Rust => Some("rust"),
            Toolchain::Dotnet => Some("dotnet"),
            Toolchain::Unknown | Toolchain::Other => None,
        };
        let key = ProcessKey { pid: row.pid, start_ns: row.process_start_ns };
        self.change_process(key, |process| process.toolchain = toolchain);
    }

    pub(super) fn jvm_stats(&mut self, time: UnixNanos, row: &JvmStats) {
        let key = ProcessKey { pid: row.pid, start_ns: row.process_start_ns };
        // The main class may stand behind more arguments than are kept.
        let application = application_type(&[JAVA.to_owned(), row.jvm.clone()], None);
        let application = application.filter(|application| *application != JAVA);
        self.change_process(key, |process| process.jvm_application = application);
        if let Some(container) = self.container_of_live(key).and_then(|index| self.containers.get_mut(index))
        {
            container.jvms.update(key, row, &self.config.limits, &mut self.drops, time);
        }
    }

    pub(super) fn jvm_gc_stats(&mut self, time: UnixNanos, row: &JvmGcStats) {
        let key = ProcessKey { pid: row.pid, start_ns: row.process_start_ns };
        if let Some(container) = self.container_of_live(key).and_then(|index| self.containers.get_mut(index))
        {
            container.jvms.collector(key, row, &self.config.limits, &mut self.drops, time);
        }
    }

    fn container_of_live(&self, key: ProcessKey) -> Option<ContainerIndex> {
        self.processes.get(key).filter(|process| process.alive)?.container
    }

    pub(super) fn task_delays(&mut self, row: &TaskDelays) {
        let key = ProcessKey { pid: row.pid, start_ns: row.process_start_ns };
        // After its end the pid may be another process's.
        let Some(process) = self.processes.get_mut(key).filter(|process| process.alive) else {
            return;
        };
        let now = Delays { cpu_ns: Some(row.cpu_delay_ns), block_io_ns: row.block_io_delay_ns };
        let growth = process.delays.advance(now);
        if let Some(container) = process.container.and_then(|index| self.containers.get_mut(index)) {
            container.waiting.delayed(growth);
        }
    }

    fn container_of(&self, key: ProcessKey) -> Option<ContainerIndex> {
        self.processes.get(key)?.container
    }

    /// Makes the process known and puts it into the container of `cgroup`, or of its parent when that is not told.
    /// Returns whether it was new. One that ended stays ended: a snapshot may have been taken before its end.
    pub(super) fn ensure_process(
        &mut self,
        time: UnixNanos,
        key: ProcessKey,
        cgroup: Option<&str>,
        parent_pid: Option<u32>,
        network_namespace: Option<u32>,
    ) -> bool {
        if let Some(process) = self.processes.get_mut(key) {
            let is_alive = process.alive;
            process.network_namespace = network_namespace.or(process.network_namespace);
            if is_alive && let Some(cgroup) = cgroup {
                let container = self.resolve(cgroup, time);
                self.move_process(time, key, container);
            }
            return false;
        }
        // The pid was used again, so the end of its last process was missed.
        if let Some(before) = self.processes.key(key.pid) {
            if before.start_ns > key.start_ns {
                return false;
            }
            self.leave(time, before);
        }
        let parent = parent_pid.and_then(|pid| self.processes.get(self.processes.key(pid)?)).cloned();
        let container = match cgroup {
            Some(cgroup) => self.resolve(cgroup, time),
            None => parent.as_ref().and_then(|parent| parent.container),
        };
        let process = Process {
            container: None,
            network_namespace: network_namespace
                .or(parent.as_ref().and_then(|parent| parent.network_namespace)),
            // A fork runs what its parent runs, until it runs another program.
            application: parent.and_then(|parent| parent.application),
            jvm_application: None,
            toolchain: None,
            oom_victim: false,
            alive: true,
            delays: Delays::default(),
        };
        if !self.processes.insert(key, process, &self.config.limits) {
            self.drops.count(Dropped::Processes, time);
            return false;
        }
        self.move_process(time, key, container);
        true
    }

    fn move_process(&mut self, time: UnixNanos, key: ProcessKey, to: Option<ContainerIndex>) {
        let Some(process) = self.processes.get_mut(key).filter(|process| process.container != to) else {
            return;
        };
        let applications = process.applications();
        let from = std::mem::replace(&mut process.container, to);
        let mut jvms = Jvms::default();
        if let Some(container) = from.and_then(|from| self.containers.get_mut(from)) {
            container.remove_process(key, time);
            container.change_applications(applications, Applications::default());
            container.jvms.move_to(key, &mut jvms);
        }
        if let Some(index) = to
            && let Some(container) = self.containers.get_mut(index)
        {
            container.change_applications(Applications::default(), applications);
            container.jvms.merge(jvms);
            if container.add_process(key) {
                self.restarted(index, time);
            }
        }
    }

    /// Something about what a live process runs is different from now on.
    fn change_process(&mut self, key: ProcessKey, change: impl FnOnce(&mut Process)) {
        let Some(process) = self.processes.get_mut(key).filter(|process| process.alive) else {
            return;
        };
        let before = process.applications();
        change(process);
        let after = process.applications();
        if let Some(container) = process.container.and_then(|index| self.containers.get_mut(index)) {
            container.change_applications(before, after);
        }
    }

    /// The process is no longer alive. Returns it as it was, unless that was known.
    fn leave(&mut self, time: UnixNanos, key: ProcessKey) -> Option<Process> {
        let process = self.processes.end(key, time, &self.config.limits)?;
        if let Some(container) = process.container.and_then(|index| self.containers.get_mut(index)) {
            container.remove_process(key, time);
            container.change_applications(process.applications(), Applications::default());
            container.jvms.end(key);
        }
        Some(process)
    }

    fn process_ended(&mut self, time: UnixNanos, key: ProcessKey, row: &ProcessEvent) {
        let Some(process) = self.leave(time, key) else {
            return;
        };
        let Some(container) = process.container.and_then(|index| self.containers.get_mut(index)) else {
            return;
        };
        let kind = if process.oom_victim {
            container.oom_kills += 1;
            Some(FindingKind::OomKill)
        } else {
            row.signal.and_then(kind_of_signal)
        };
        if let Some(kind) = kind {
            let number = row.signal.filter(|_| kind != FindingKind::OomKill);
            let program = row.command.as_deref().filter(|command| !command.is_empty()).unwrap_or("a process");
            let incident = Incident { kind, number, subject: program.into() };
            let tally = Tally::new(1, time, time);
            container.incidents.add(incident, tally, &self.config.limits, &mut self.drops);
        }
    }

    /// Keeps that the container was restarted.
    pub(super) fn restarted(&mut self, index: ContainerIndex, time: UnixNanos) {
        if let Some(container) = self.containers.get_mut(index) {
            let incident = Incident { kind: FindingKind::Restart, number: None, subject: "".into() };
            let tally = Tally::new(1, time, time);
            container.incidents.add(incident, tally, &self.config.limits, &mut self.drops);
        }
    }
}
