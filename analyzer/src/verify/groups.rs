//! Which rows come from which kernel programs. Where several programs feed one kind of row, they form one group and
//! their sums are compared.

use aftertrace_schemas::Kind;
use aftertrace_schemas::tables::{CgroupEventKind, FileEventKind, ProcessEventKind, TcpEventKind};
use serde::Serialize;

/// Rows that come from one kernel program, or from several that cannot be told apart by their rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Processes started.
    ProcessStart,
    /// Programs run.
    ProcessExec,
    /// Processes ended.
    ProcessExit,
    /// Processes chosen by the OOM killer.
    OomKill,
    /// Control groups made, removed, entered.
    Cgroup,
    /// Files opened.
    FileOpen,
    /// TCP events, without the sweep's.
    Tcp,
    /// Counters of open connections, read by the sweep.
    TcpStatistics,
    /// What applications sent and received, in plain, inside TLS and in datagrams.
    Data,
}

impl Group {
    /// All groups.
    pub const ALL: [Self; 9] = [
        Self::ProcessStart,
        Self::ProcessExec,
        Self::ProcessExit,
        Self::OomKill,
        Self::Cgroup,
        Self::FileOpen,
        Self::Tcp,
        Self::TcpStatistics,
        Self::Data,
    ];

    /// The group of a row, when a kernel program sent it.
    pub fn of_row(kind: &Kind) -> Option<Self> {
        match kind {
            Kind::Process(row) if !row.inferred => match row.kind {
                ProcessEventKind::Start => Some(Self::ProcessStart),
                ProcessEventKind::Exec => Some(Self::ProcessExec),
                ProcessEventKind::Exit => Some(Self::ProcessExit),
                ProcessEventKind::OomKill => Some(Self::OomKill),
                ProcessEventKind::Other => None,
            },
            Kind::Cgroup(row) => match row.kind {
                CgroupEventKind::Created | CgroupEventKind::Removed | CgroupEventKind::Attached => {
                    Some(Self::Cgroup)
                }
                CgroupEventKind::Existing | CgroupEventKind::Other => None,
            },
            Kind::File(row) => (row.kind == FileEventKind::Open).then_some(Self::FileOpen),
            Kind::Tcp(row) if !row.inferred => match row.kind {
                TcpEventKind::Statistics => Some(Self::TcpStatistics),
                TcpEventKind::Other => None,
                _ => Some(Self::Tcp),
            },
            // An end that the sweep found in the kernel has counters; one that the recorder inferred has none.
            Kind::Tcp(row) if row.bytes_sent.is_some() => Some(Self::TcpStatistics),
            Kind::SocketData(_) | Kind::Datagram(_) => Some(Self::Data),
            _ => None,
        }
    }

    /// The group that a kernel program feeds, by its name: that of its tracepoint.
    pub fn of_program(program: &str) -> Option<Self> {
        let has = |part: &str| program.contains(part);
        Some(match () {
            // The last is what its account was called before kernels told of sends themselves.
            () if matches!(program, "socket_data" | "tls" | "raw_syscalls:sys_exit") => Self::Data,
            () if has("sweep") || has("iter") || has("statistics") => Self::TcpStatistics,
            () if has("newtask") => Self::ProcessStart,
            () if has("process_exec") => Self::ProcessExec,
            () if has("process_exit") => Self::ProcessExit,
            () if has("mark_victim") => Self::OomKill,
            () if has("cgroup") => Self::Cgroup,
            () if has("open") || has("creat") => Self::FileOpen,
            () if has("connect") || has("accept") || has("sock") || has("tcp") || has("listen") => Self::Tcp,
            () => return None,
        })
    }

    /// The tables that keep its rows.
    pub fn tables(self) -> &'static [&'static str] {
        match self {
            Self::ProcessStart | Self::ProcessExec | Self::ProcessExit | Self::OomKill => &["process_events"],
            Self::Cgroup => &["cgroup_events"],
            Self::FileOpen => &["file_events"],
            Self::Tcp | Self::TcpStatistics => &["tcp_events"],
            Self::Data => &["socket_data", "datagrams"],
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::ProcessStart => "process starts",
            Self::ProcessExec => "programs run",
            Self::ProcessExit => "process exits",
            Self::OomKill => "OOM kills",
            Self::Cgroup => "control group events",
            Self::FileOpen => "files opened",
            Self::Tcp => "TCP events",
            Self::TcpStatistics => "TCP statistics",
            Self::Data => "sends and receives",
        }
    }
}
