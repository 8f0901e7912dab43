//! What the maps of the programs hold, and the names of the accounts in the ledger.

/// Programs as the ledger names them, by account number: a tracepoint, or the system calls that share an account.
pub const ACCOUNTS: [&str; 14] = [
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
    "scan",
    "sweep",
];

/// Accounts from this number on are of programs that user space runs: their records come as answers, not in rings.
pub const FIRST_ANSWERING_ACCOUNT: usize = 12;

/// A value of the map `ledger`: seen, filtered, submitted, dropped for a full ring, a full map, unreadable memory.
pub type LedgerValue = [u64; 6];

/// A value of the map `traced`: whether by pid (0 or 1), and a bit for each hierarchy, `hierarchy_id % 32`.
pub type TracedValue = [u32; 2];

/// A key of the map `traced_cgroups`: id of the control group, number of its hierarchy.
pub type CgroupKey = [u64; 2];

/// Words of a value of the map `connections`: id, owner's start, opened, owner's pid and flags.
pub const CONNECTION_WORDS: usize = 4;

/// Sockets that one run of the sweep takes.
pub const SWEEP_BATCH: usize = 128;

/// The value of the map `sweep_in`: sockets, then how many they are.
pub type SweepInput = [u64; SWEEP_BATCH + 1];

/// Bytes of a record in the map `sweep_out`.
pub const SWEEP_RECORD_BYTES: usize = 80;
