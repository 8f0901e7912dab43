//! `process_events`: start, program, end and OOM choice of processes, from the kernel.

use crate::label::labels;

labels! {
    /// What happened to the process.
    pub enum ProcessEventKind {
        /// It was forked (tracepoint `task:task_newtask`, not for threads).
        Start = "start",
        /// It runs another program (`sched:sched_process_exec`).
        Exec = "exec",
        /// Its last thread ended (`sched:sched_process_exit`).
        Exit = "exit",
        /// The OOM killer chose it (`oom:mark_victim`).
        OomKill = "oom_kill",
    }
}

table! {
    /// Start, program, end and OOM choice of processes, a row an event.
    pub struct ProcessEvent in "process_events" as Process {
        /// What happened.
        [Dictionary] kind: ProcessEventKind,
        /// Process id (thread group id) in the host's pid namespace.
        [Delta] pid: u32,
        /// Start of the process, nanoseconds of boot time rounded down to 10 ms as /proc shows it; with `pid` it names the process. Absent when unknown (oom_kill).
        [Delta] process_start_ns: Option<u64>,
        /// Process id of the parent (start).
        [Dictionary] parent_pid: Option<u32>,
        /// Short name of the task, 15 bytes at most.
        [Dictionary] command: Option<String>,
        /// Program file as given to execve (exec); a start has its parent's.
        [Dictionary] executable: Option<String>,
        /// Arguments (exec), cut when `arguments_bytes` says that there were more.
        [Dictionary] arguments: Option<Vec<String>>,
        /// Bytes of all arguments with their terminators (exec).
        [ByteStreamSplit] arguments_bytes: Option<u32>,
        /// Path of the control group (start, exec).
        [Dictionary] cgroup: Option<String>,
        /// Real user id (start, exec).
        [Dictionary] uid: Option<u32>,
        /// Process id in its innermost pid namespace (start).
        [Delta] namespace_pid: Option<u32>,
        /// Inode of the pid namespace (start).
        [Dictionary] pid_namespace: Option<u32>,
        /// Inode of the network namespace (start).
        [Dictionary] network_namespace: Option<u32>,
        /// Inode of the mount namespace (start).
        [Dictionary] mount_namespace: Option<u32>,
        /// Exit code, when the process ended by itself (exit).
        [Dictionary] exit_code: Option<i32>,
        /// Number of the signal that ended the process (exit).
        [Dictionary] signal: Option<i32>,
        /// Inferred by the recorder (the process was gone though no exit event came: it was lost), not seen by the kernel program.
        [Dictionary] inferred: bool,
    }
}
