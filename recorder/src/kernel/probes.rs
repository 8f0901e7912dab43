//! The programs of the object: where each belongs, and which need each other.

use super::uprobes;

/// Where a program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hook {
    /// A tracepoint with typed arguments.
    Typed(&'static str),
    /// A classic tracepoint.
    Classic(&'static str, &'static str),
}

/// A program and its tracepoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probe {
    /// As rows name it: category and tracepoint.
    pub(super) name: &'static str,
    /// Function in the object.
    pub(super) program: &'static str,
    /// Where it belongs.
    pub(super) hook: Hook,
    /// The name of a probe without which this one would only leave litter: a system call's exit for its enter.
    pub(super) needs: Option<&'static str>,
    /// What it is for, when it is not always wanted.
    pub(super) of: Option<Data>,
}

/// Which of two ways to what applications send and receive a probe belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Data {
    /// The kernel tells of it at the socket: since 6.3.
    AtSockets,
    /// Otherwise: at the exit of every system call.
    AtExits,
}

impl Data {
    /// The name in the kernel's types that is there when sockets tell.
    pub(super) const SIGN: &str = "btf_trace_sock_send_length";

    const fn probe(self, mut probe: Probe) -> Probe {
        probe.needs = Some(SOCKETS);
        probe.of = Some(self);
        probe
    }
}

/// What makes connections known.
const SOCKETS: &str = "sock:inet_sock_set_state";

const fn typed(name: &'static str, program: &'static str) -> Probe {
    Probe { name, program, hook: Hook::Typed(program), needs: None, of: None }
}

const fn syscall(name: &'static str, program: &'static str, needs: Option<&'static str>) -> Probe {
    Probe { name, program, hook: Hook::Classic("syscalls", program), needs, of: None }
}

/// In the order in which they are attached; detached in reverse. Exits come before their enters, so that no call is
/// half seen; state that later events refer to comes before them.
pub(super) const PROBES: [Probe; 29] = [
    typed("cgroup:cgroup_mkdir", "cgroup_mkdir"),
    typed("cgroup:cgroup_rmdir", "cgroup_rmdir"),
    typed("cgroup:cgroup_attach_task", "cgroup_attach_task"),
    typed("sched:sched_process_exit", "sched_process_exit"),
    typed("sched:sched_process_exec", "sched_process_exec"),
    typed("task:task_newtask", "task_newtask"),
    Probe {
        name: "oom:mark_victim",
        program: "mark_victim",
        hook: Hook::Classic("oom", "mark_victim"),
        needs: None,
        of: None,
    },
    typed(SOCKETS, "inet_sock_set_state"),
    typed("tcp:tcp_retransmit_skb", "tcp_retransmit_skb"),
    syscall("syscalls:sys_exit_connect", "sys_exit_connect", None),
    syscall("syscalls:sys_enter_connect", "sys_enter_connect", Some("syscalls:sys_exit_connect")),
    syscall("syscalls:sys_exit_accept", "sys_exit_accept", Some(SOCKETS)),
    syscall("syscalls:sys_exit_accept4", "sys_exit_accept4", Some(SOCKETS)),
    Data::AtExits.probe(typed("raw_syscalls:sys_exit", "sys_exit")),
    Data::AtSockets.probe(typed("sock:sock_send_length", "sock_send_length")),
    Data::AtSockets.probe(typed("sock:sock_recv_length", "sock_recv_length")),
    Data::AtSockets.probe(syscall("syscalls:sys_exit_sendmmsg", "sys_exit_sendmmsg", None)),
    Data::AtSockets.probe(syscall("syscalls:sys_exit_recvmmsg", "sys_exit_recvmmsg", None)),
    Data::AtSockets.probe(syscall("syscalls:sys_exit_splice", "sys_exit_splice", None)),
    Data::AtSockets.probe(syscall("syscalls:sys_exit_recvfrom", "sys_exit_recvfrom", None)),
    Data::AtSockets.probe(syscall("syscalls:sys_exit_recvmsg", "sys_exit_recvmsg", None)),
    syscall("syscalls:sys_exit_open", "sys_exit_open", None),
    syscall("syscalls:sys_enter_open", "sys_enter_open", Some("syscalls:sys_exit_open")),
    syscall("syscalls:sys_exit_creat", "sys_exit_creat", None),
    syscall("syscalls:sys_enter_creat", "sys_enter_creat", Some("syscalls:sys_exit_creat")),
    syscall("syscalls:sys_exit_openat", "sys_exit_openat", None),
    syscall("syscalls:sys_enter_openat", "sys_enter_openat", Some("syscalls:sys_exit_openat")),
    syscall("syscalls:sys_exit_openat2", "sys_exit_openat2", None),
    syscall("syscalls:sys_enter_openat2", "sys_enter_openat2", Some("syscalls:sys_exit_openat2")),
];

/// Programs that user space runs: name as rows have it, function in the object.
pub(super) const SCAN: (&str, &str) = ("scan", "scan");
/// As above.
pub(super) const SWEEP: (&str, &str) = ("sweep", "sweep");
/// As above.
pub(super) const DECIDE: (&str, &str) = ("decide", "decide");

/// Every program with the name that rows have for it.
pub(super) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    PROBES
        .iter()
        .map(|probe| (probe.name, probe.program))
        .chain([SCAN, SWEEP, DECIDE])
        .chain(uprobes::PROGRAMS.map(|name| (name, name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_probe_needs_is_attached_before_it() {
        for (place, probe) in PROBES.iter().enumerate() {
            let Some(needs) = probe.needs else { continue };
            assert!(PROBES.iter().take(place).any(|before| before.name == needs), "{}", probe.name);
        }
    }
}
