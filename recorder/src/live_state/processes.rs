//! What a process is after it started, or runs another program.

use aftertrace_schemas::tables::{ProcessEvent, ProcessSnapshot};

/// A process that was just born. Until it runs a program of its own, it is a copy of its parent.
pub(super) fn started(
    event: &ProcessEvent,
    process_start_ns: u64,
    parent: Option<&ProcessSnapshot>,
) -> ProcessSnapshot {
    ProcessSnapshot {
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
    }
}

/// A process that runs another program; `known` is what it was before.
pub(super) fn replaced(
    event: &ProcessEvent,
    process_start_ns: u64,
    known: Option<&ProcessSnapshot>,
) -> ProcessSnapshot {
    ProcessSnapshot {
        pid: event.pid,
        process_start_ns,
        parent_pid: event.parent_pid.or(known.map(|row| row.parent_pid)).unwrap_or_default(),
        command: event.command.clone().unwrap_or_default(),
        executable: event.executable.clone(),
        arguments: event.arguments.clone().unwrap_or_default(),
        arguments_bytes: event.arguments_bytes.unwrap_or_default(),
        cgroup: event.cgroup.clone().or_else(|| known.and_then(|row| row.cgroup.clone())),
        uid: event.uid.or(known.map(|row| row.uid)).unwrap_or_default(),
        namespace_pid: event.namespace_pid.or(known.map(|row| row.namespace_pid)).unwrap_or(event.pid),
        pid_namespace: event.pid_namespace.or(known.and_then(|row| row.pid_namespace)),
        network_namespace: event.network_namespace.or(known.and_then(|row| row.network_namespace)),
        mount_namespace: event.mount_namespace.or(known.and_then(|row| row.mount_namespace)),
    }
}
