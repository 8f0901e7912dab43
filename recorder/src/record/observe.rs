//! Kernel records as rows, as far as a record says by itself; what needs knowledge of others is added by `events`.

use aftertrace_bpf_programs::wire::{
    ConnectionRecord, FileRecord, ListenRecord, ProcessExec, ProcessExitRecord, SocketRecord, TaskFacts,
    TrafficRecord, flags,
};
use aftertrace_schemas::column::Ip;
use aftertrace_schemas::tables::{
    FileEvent, FileEventKind, ProcessEvent, ProcessEventKind, SocketKind, SocketSnapshot, TcpEvent,
    TcpEventKind, TcpState,
};

/// /proc shows the start of a process in clock ticks of 10 ms; so rows do, whoever found the process.
const START_GRANULARITY_NS: u64 = 10_000_000;

/// The start of a process as rows name it.
pub(super) fn process_start_ns(exact_ns: u64) -> u64 {
    exact_ns - exact_ns % START_GRANULARITY_NS
}

/// Text up to its NUL.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

/// A row about a task, without its control group.
fn process_event(kind: ProcessEventKind, task: &TaskFacts) -> ProcessEvent {
    ProcessEvent {
        kind,
        pid: task.pid,
        process_start_ns: Some(process_start_ns(task.start_ns)),
        parent_pid: Some(task.parent_pid),
        command: Some(text(&task.command)),
        executable: None,
        arguments: None,
        arguments_bytes: None,
        cgroup: None,
        uid: Some(task.uid),
        namespace_pid: Some(task.namespace_pid),
        pid_namespace: Some(task.pid_namespace),
        network_namespace: Some(task.network_namespace),
        mount_namespace: Some(task.mount_namespace),
        exit_code: None,
        signal: None,
        inferred: false,
    }
}

/// A process was forked.
pub(super) fn process_start(task: &TaskFacts) -> ProcessEvent {
    process_event(ProcessEventKind::Start, task)
}

/// A process runs another program.
pub(super) fn process_exec(exec: &ProcessExec<'_>) -> ProcessEvent {
    let mut arguments: Vec<String> = exec
        .arguments
        .split(|byte| *byte == 0)
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    // The last argument ends with a NUL, unless it was cut.
    if exec.arguments.is_empty() || exec.arguments.ends_with(&[0]) {
        arguments.pop();
    }
    ProcessEvent {
        executable: Some(text(exec.filename)),
        arguments: Some(arguments),
        arguments_bytes: Some(exec.arguments_total_bytes),
        ..process_event(ProcessEventKind::Exec, &exec.task)
    }
}

/// A process ended.
pub(super) fn process_exit(record: &ProcessExitRecord) -> ProcessEvent {
    // As wait(2) gives it: the signal in the low seven bits, the code above the low byte.
    let signal = i32::try_from(record.status & 0x7f).unwrap_or_default();
    let code = i32::try_from(record.status >> 8 & 0xff).unwrap_or_default();
    ProcessEvent {
        exit_code: (signal == 0).then_some(code),
        signal: (signal != 0).then_some(signal),
        ..bare(ProcessEventKind::Exit, record.pid, Some(record.start_ns))
    }
}

/// The OOM killer chose a process.
pub(super) fn oom_kill(pid: u32) -> ProcessEvent {
    bare(ProcessEventKind::OomKill, pid, None)
}

fn bare(kind: ProcessEventKind, pid: u32, start_ns: Option<u64>) -> ProcessEvent {
    ProcessEvent {
        kind,
        pid,
        process_start_ns: start_ns.map(process_start_ns),
        parent_pid: None,
        command: None,
        executable: None,
        arguments: None,
        arguments_bytes: None,
        cgroup: None,
        uid: None,
        namespace_pid: None,
        pid_namespace: None,
        network_namespace: None,
        mount_namespace: None,
        exit_code: None,
        signal: None,
        inferred: false,
    }
}

/// A file was opened for writing, or was open already.
pub(super) fn file(kind: FileEventKind, facts: &FileRecord, path: &[u8]) -> FileEvent {
    FileEvent {
        kind,
        pid: facts.pid,
        process_start_ns: process_start_ns(facts.start_ns),
        fd: facts.fd,
        path: text(path),
        flags: facts.open_flags,
        device_major: facts.device_major,
        device_minor: facts.device_minor,
        inode: facts.inode,
        mount_id: facts.mount_id,
    }
}

/// A row about a socket that says nothing yet but whose it is.
pub(super) fn tcp_event(kind: TcpEventKind, connection_id: u64, pid: u32, start_ns: u64) -> TcpEvent {
    TcpEvent {
        kind,
        connection_id,
        pid: Some(pid),
        process_start_ns: Some(process_start_ns(start_ns)),
        local_ip: None,
        local_port: None,
        remote_ip: None,
        remote_port: None,
        network_namespace: None,
        handshake_ns: None,
        errno: None,
        state: None,
        bytes_sent: None,
        bytes_received: None,
        retransmits: None,
        smoothed_rtt_us: None,
        inferred: false,
    }
}

/// A socket listens.
pub(super) fn listen_open(facts: &ListenRecord) -> TcpEvent {
    TcpEvent {
        local_ip: Some(Ip(facts.local_ip)),
        local_port: Some(facts.local_port),
        network_namespace: Some(facts.network_namespace),
        ..tcp_event(TcpEventKind::ListenOpen, facts.connection_id, facts.pid, facts.start_ns)
    }
}

/// A listening socket that was there before the recording.
pub(super) fn existing_listen(facts: &ListenRecord) -> SocketSnapshot {
    SocketSnapshot {
        kind: SocketKind::Listen,
        connection_id: facts.connection_id,
        pid: facts.pid,
        process_start_ns: process_start_ns(facts.start_ns),
        local_ip: Ip(facts.local_ip),
        local_port: facts.local_port,
        remote_ip: None,
        remote_port: None,
        network_namespace: facts.network_namespace,
        opened: None,
        bytes_sent: 0,
        bytes_received: 0,
        retransmits: 0,
    }
}

/// A connection was established, failed or was accepted.
pub(super) fn connection(kind: TcpEventKind, facts: &ConnectionRecord) -> TcpEvent {
    TcpEvent {
        local_ip: Some(Ip(facts.local_ip)),
        local_port: Some(facts.local_port),
        remote_ip: Some(Ip(facts.remote_ip)),
        remote_port: Some(facts.remote_port),
        network_namespace: Some(facts.network_namespace),
        handshake_ns: (kind != TcpEventKind::Accept).then_some(facts.handshake_ns),
        errno: (kind == TcpEventKind::ConnectError).then_some(facts.error),
        smoothed_rtt_us: (kind != TcpEventKind::ConnectError).then_some(facts.smoothed_rtt_us),
        ..tcp_event(kind, facts.connection_id, facts.pid, facts.start_ns)
    }
}

/// A connection that was there before the recording.
pub(super) fn existing_connection(facts: &ConnectionRecord) -> SocketSnapshot {
    SocketSnapshot {
        kind: if facts.is_bound() { SocketKind::Inbound } else { SocketKind::Outbound },
        connection_id: facts.connection_id,
        pid: facts.pid,
        process_start_ns: process_start_ns(facts.start_ns),
        local_ip: Ip(facts.local_ip),
        local_port: facts.local_port,
        remote_ip: Some(Ip(facts.remote_ip)),
        remote_port: Some(facts.remote_port),
        network_namespace: facts.network_namespace,
        opened: None,
        bytes_sent: 0,
        bytes_received: 0,
        retransmits: 0,
    }
}

/// A listening socket closed, or a segment was sent again.
pub(super) fn socket(kind: TcpEventKind, facts: &SocketRecord) -> TcpEvent {
    TcpEvent {
        state: (kind == TcpEventKind::Retransmit).then(|| tcp_state(facts.state)),
        inferred: facts.flags & flags::INFERRED != 0,
        ..tcp_event(kind, facts.connection_id, facts.pid, facts.start_ns)
    }
}

/// A connection closed, or its counters were read.
pub(super) fn traffic(kind: TcpEventKind, facts: &TrafficRecord) -> TcpEvent {
    TcpEvent {
        errno: (kind == TcpEventKind::Close).then_some(facts.error),
        state: Some(tcp_state(facts.state.into())),
        bytes_sent: Some(facts.bytes_sent),
        bytes_received: Some(facts.bytes_received),
        retransmits: Some(facts.retransmits),
        smoothed_rtt_us: Some(facts.smoothed_rtt_us),
        inferred: u16::from(facts.flags) & flags::INFERRED != 0,
        ..tcp_event(kind, facts.connection_id, facts.pid, facts.start_ns)
    }
}

/// As `include/net/tcp_states.h` numbers them.
fn tcp_state(number: u16) -> TcpState {
    match number {
        1 => TcpState::Established,
        2 => TcpState::SynSent,
        // 12 is the state of a request that has no socket of its own yet.
        3 | 12 => TcpState::SynReceived,
        4 => TcpState::FinWait1,
        5 => TcpState::FinWait2,
        6 => TcpState::TimeWait,
        7 => TcpState::Close,
        8 => TcpState::CloseWait,
        9 => TcpState::LastAck,
        10 => TcpState::Listen,
        11 => TcpState::Closing,
        _ => TcpState::Other,
    }
}
