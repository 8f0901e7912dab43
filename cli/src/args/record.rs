//! The flags of `record`, and those that `serve` shares with it.

use std::path::PathBuf;

use clap::Args;

/// `aftertrace record`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 recorded; with a command, the command's own (128 + signal if it was killed);
1 the recording failed (the message says why, and what was written stays readable); 2 wrong usage.

Ctrl-C, SIGTERM and SIGHUP end a recording; the trace is complete. A COMMAND gets these signals too,
and the recording ends when it does; three in a row leave it running and end the recording at once.
So does --duration: a command is never killed.

Needs root, or CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH; a kernel with BTF;
tracefs."
)]
pub(crate) struct RecordArgs {
    /// Trace directory to create. It must not exist, or be empty; it is private (0700).
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// End by itself after this time (30s, 5m, 1h30m); a command goes on without being recorded.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) duration: Option<std::time::Duration>,
    #[command(flatten)]
    pub(crate) capture: CaptureArgs,
    /// Print warnings and errors only: no live line and no closing words.
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Run this command in a control group of its own and record just that; ends when it ends, with its exit code.
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<std::ffi::OsString>,
}

/// What `record` and `serve` have in common: whom to follow, and how.
#[derive(Debug, Args)]
pub(crate) struct CaptureArgs {
    /// Record only this control group and those below it (repeatable): /system.slice/nginx.service.
    #[arg(long, value_name = "PATH")]
    pub(crate) cgroup: Vec<String>,
    /// Record only containers whose id matches (repeatable): '^/docker/shop-', '/k8s/prod/'.
    ///
    /// One that starts meanwhile is followed once its runtime has told its name; what ran in it before that, mostly
    /// just the start of its program, shows as a snapshot.
    #[arg(long, value_name = "REGEX")]
    pub(crate) container: Vec<regex::Regex>,
    /// Record only this process and its descendants, until the last of them ends (repeatable).
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Vec<u32>,
    /// Keep at most this much on disk: the oldest segments are dropped. 0 means no cap.
    #[arg(long, value_name = "SIZE", default_value = "1GiB")]
    pub(crate) max_size: bytesize::ByteSize,
    /// Drop segments older than this (15m, 2h).
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) max_age: Option<std::time::Duration>,
    /// Size of the kernel ring buffer for connections; that for processes and files has half of it. Raise it when the
    /// report shows losses with cause ring_full.
    #[arg(long, value_name = "SIZE", default_value = "8MiB")]
    pub(crate) ring_size: bytesize::ByteSize,
    /// Most TCP sockets followed at a time; kernel memory for them is set aside at the start (about 200 bytes each).
    #[arg(long, value_name = "N", default_value_t = 65_536)]
    pub(crate) max_connections: u32,
    /// What to keep of the bytes that applications send and receive on sockets.
    #[arg(long, value_enum, default_value = "head")]
    pub(crate) payload: Payload,
    /// Bytes of each call that are kept, 4096 at most: more of long statements and headers, or a smaller trace.
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(64..=4096))]
    pub(crate) payload_bytes: u32,
    /// Size of the kernel ring buffer for these bytes. Raise it when the report shows that socket_data lost
    /// some with cause ring_full.
    #[arg(long, value_name = "SIZE", default_value = "16MiB")]
    pub(crate) data_ring_size: bytesize::ByteSize,
    /// Write and sync the journal this often: the most that a crash or power loss can cost.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
    pub(crate) journal_interval: std::time::Duration,
    /// What to keep of the logs of recorded containers and units.
    #[arg(long, value_enum, default_value = "lines")]
    pub(crate) logs: Logs,
    /// Most that a container may log a second in the long run (four times that at once); what is more is counted as lost.
    #[arg(long, value_name = "SIZE", default_value = "1MiB")]
    pub(crate) log_budget: bytesize::ByteSize,
    /// Measure control groups and the node this often.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    pub(crate) interval: std::time::Duration,
    /// Read the byte counters and round-trip times of open connections this often.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(crate) sweep_interval: std::time::Duration,
    #[command(flatten)]
    pub(crate) cloud: CloudArgs,
    /// Mount tracefs at /sys/kernel/tracing if it is not mounted (it stays mounted).
    #[arg(long)]
    pub(crate) mount_tracefs: bool,
    /// Turn kernel.task_delayacct on, off by default since 5.14, and off again at the end: without it there are no
    /// block-I/O delays. Processes that run already are counted only in threads that they start from then on.
    #[arg(long)]
    pub(crate) set_sysctls: bool,
    /// Send no echo requests (ICMP, ICMPv6) to the peers that are connected to: no round-trip times of the network.
    #[arg(long)]
    pub(crate) no_ping: bool,
    /// Let the kernel measure the run time of its BPF programs: what each program of the recorder costs is then in the
    /// trace and in `/metrics`. It costs some 50 ns a run itself, of every program on the host.
    #[arg(long)]
    pub(crate) bpf_statistics: bool,
    /// Keep every capability. Otherwise threads give up what their work does not take, and the page of `serve` and the
    /// probe row `capabilities` tell what is left; this helps to find out whether a failure is due to that.
    #[arg(long)]
    pub(crate) keep_capabilities: bool,
}

/// Where `--help` has the flags of [`CloudArgs`]: on each, since a heading of the group would take in all that follow.
const CLOUD: &str = "Cloud (instead of what the provider's metadata service says)";

/// What to say of the cloud that the host is rented from.
#[derive(Debug, Args)]
pub(crate) struct CloudArgs {
    /// Name of the provider.
    #[arg(long, help_heading = CLOUD, value_name = "NAME")]
    pub(crate) provider: Option<String>,
    /// Region of the host.
    #[arg(long, help_heading = CLOUD, value_name = "NAME")]
    pub(crate) region: Option<String>,
    /// Availability zone of the host.
    #[arg(long, help_heading = CLOUD, value_name = "NAME")]
    pub(crate) availability_zone: Option<String>,
    /// Machine type of the host.
    #[arg(long, help_heading = CLOUD, value_name = "NAME")]
    pub(crate) instance_type: Option<String>,
    /// How the host was bought: on-demand, spot, preemptible.
    #[arg(long, help_heading = CLOUD, value_name = "NAME")]
    pub(crate) instance_life_cycle: Option<String>,
}

/// What to keep of what applications send and receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Payload {
    /// The beginning of each call on connections that speak a known protocol, credentials blanked.
    Head,
    /// The first 4096 bytes of each call on every connection. Credentials are blanked in known protocols only.
    Full,
    /// Sizes and times: no byte of them, and so no requests.
    None,
    /// Nothing: calls are not looked at, which costs least.
    Off,
}

/// What to keep of logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Logs {
    /// Every line, within the budget.
    Lines,
    /// Counts by level and pattern, and no text.
    Patterns,
    /// Nothing: no log is read.
    Off,
}
