//! What the maps of the programs hold, and the names of the accounts in the ledger.

/// Programs as the ledger names them, by account number: a tracepoint, or the system calls that share an account.
pub const ACCOUNTS: [&str; 16] = [
    "task:task_newtask",
    "sched:sched_process_exec",
    "sched:sched_process_exit",
    "oom:mark_victim",
    "cgroup:cgroup_mkdir",
    "cgroup:cgroup_rmdir",
    "cgroup:cgroup_attach_task",
    "syscalls:open",
    "syscalls:connect",
    "syscalls:accept",
    "sock:inet_sock_set_state",
    "tcp:tcp_retransmit_skb",
    "socket_data",
    "tls",
    "scan",
    "sweep",
];

/// Accounts from this number on are of programs that user space runs: their records come as answers, not in rings.
pub const FIRST_ANSWERING_ACCOUNT: usize = 14;

/// A value of the map `ledger`: seen, filtered, submitted, dropped for a full ring, a full map, unreadable memory.
pub type LedgerValue = [u64; 6];

/// A value of the map `traced`: whether by pid (0 or 1), and a bit for each hierarchy, `hierarchy_id % 32`.
pub type TracedValue = [u32; 2];

/// A key of the map `traced_cgroups`: id of the control group, number of its hierarchy.
pub type CgroupKey = [u64; 2];

/// Words of a value of the map `connections`: id, owner's start, opened, owner's pid and flags, first sequence numbers,
/// and of TLS the session, places and what is kept.
pub const CONNECTION_WORDS: usize = 8;

/// System calls that the program at their exit knows by number.
pub const SYSCALLS: usize = 512;

/// What a system call does with a socket; the numbers of `enum data_role`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum DataRole {
    /// write(fd, buffer, ...)
    Write = 1,
    /// sendto(fd, buffer, size, flags, name, ...)
    SendTo,
    /// read(fd, buffer, ...)
    Read,
    /// recvfrom(fd, buffer, size, flags, name, ...)
    ReceiveFrom,
    /// writev(fd, vectors, count, ...)
    WriteVector,
    /// readv(fd, vectors, count, ...)
    ReadVector,
    /// sendmsg(fd, message, ...)
    SendMessage,
    /// recvmsg(fd, message, flags)
    ReceiveMessage,
    /// sendmmsg(fd, messages, count, flags)
    SendMessages,
    /// recvmmsg(fd, messages, count, flags, ...)
    ReceiveMessages,
    /// sendfile(to, from, ...)
    SendFile,
    /// splice(from, offset, to, ...)
    Splice,
}

/// What is kept of a connection's bytes, as the map `connections` has it: nothing.
pub const KEEP_NOTHING: u64 = 1;
/// As above: sizes; and a byte of each call for each that this is exceeded by.
pub const KEEP_SIZES: u64 = 2;
/// In a decision, beside what is kept: it is about what is said inside TLS.
pub const KEEP_OF_PLAINTEXT: u64 = 1 << 32;
/// In a decision, beside what is kept: the connection is encrypted.
pub const KEEP_ENCRYPTED: u64 = 1 << 33;
/// Bytes of a call that can be kept.
pub const DATA_MAX_BYTES: u32 = 4096;

/// Decisions that one run of the program `decide` takes.
pub const DECISION_BATCH: usize = 256;

/// The value of the map `decisions_in`: socket, connection id and what is kept, of each; then how many they are.
pub type Decisions = [u64; 3 * DECISION_BATCH + 1];

/// Sockets that one run of the sweep takes.
pub const SWEEP_BATCH: usize = 128;

/// The value of the map `sweep_in`: sockets, then how many they are.
pub type SweepInput = [u64; SWEEP_BATCH + 1];

/// Bytes of a record in the map `sweep_out`.
pub const SWEEP_RECORD_BYTES: usize = 80;
