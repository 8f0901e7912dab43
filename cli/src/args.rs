//! The command line: verbs, flags and their help.

use std::path::PathBuf;

#[cfg(feature = "record")]
use aftertrace_recorder::serve::push::PushUrl;
use clap::{Args, Parser, Subcommand};

/// The flight recorder for Linux hosts: record raw kernel events on the problem host, analyze them on a laptop.
#[derive(Debug, Parser)]
#[command(name = "aftertrace", version, max_term_width = 100)]
#[command(after_help = "Examples:
  aftertrace record -o incident --duration 60s        record the whole host for a minute
  aftertrace record -o run -- ./load-test --fast      record one command and what it starts
  aftertrace record -o box --container '^/docker/shop-' --max-size 500MiB
                                                      flight recorder for some containers
  aftertrace serve --record /var/lib/aftertrace/trace --max-size 5GiB
                                                      metrics for Prometheus, and a flight recorder
  aftertrace analyze incident                         what happened, on one screen
  aftertrace analyze sql incident -c 'SELECT * FROM connections LIMIT 5'
  aftertrace analyze metrics incident --end           Prometheus metrics at the end")]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Record this host (or some containers, processes or a command) into a trace directory.
    #[cfg(feature = "record")]
    Record(Box<RecordArgs>),
    /// Metrics of this host for Prometheus, live; with --record also a trace of it.
    #[cfg(feature = "record")]
    Serve(Box<ServeArgs>),
    /// Read a trace: summary, metrics, SQL, verification.
    #[cfg(feature = "analyze")]
    Analyze(AnalyzeArgs),
}

/// `aftertrace record`.
#[cfg(feature = "record")]
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
#[cfg(feature = "record")]
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
    /// Keep every capability. Otherwise threads give up what their work does not take, and the page of `serve` and the
    /// probe row `capabilities` tell what is left; this helps to find out whether a failure is due to that.
    #[arg(long)]
    pub(crate) keep_capabilities: bool,
}

/// Where `--help` has the flags of [`CloudArgs`]: on each, since a heading of the group would take in all that follow.
#[cfg(feature = "record")]
const CLOUD: &str = "Cloud (instead of what the provider's metadata service says)";

/// What to say of the cloud that the host is rented from.
#[cfg(feature = "record")]
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

/// `aftertrace serve`.
#[cfg(feature = "record")]
#[derive(Debug, Args)]
#[command(
    after_help = "/metrics gives Prometheus text, or OpenMetrics to whom prefers it; / tells what is attached, what is not and
why; /healthz and /readyz are for whoever watches. Without a filter the whole host is observed.

With --record, each scrape has its place in the trace: what it said is what
`aftertrace analyze metrics DIR --at-scrape N` says, byte for byte (N is in the answer's X-Aftertrace-Scrape).

Ctrl-C, SIGTERM and SIGHUP end it. Exit codes: 0 ended; 1 failed; 2 wrong usage.
Needs the rights that `record` needs."
)]
pub(crate) struct ServeArgs {
    /// Where to answer HTTP. The whole network can read it when this is not a loopback address.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9102")]
    pub(crate) listen: std::net::SocketAddr,
    /// TLS, client certificates, users and headers: a file in the format that Prometheus' exporters share.
    #[arg(long, value_name = "FILE")]
    pub(crate) web_config_file: Option<PathBuf>,
    /// Also write a trace to this directory. It must not exist, or be empty; it is private (0700).
    #[arg(long, value_name = "DIR")]
    pub(crate) record: Option<PathBuf>,
    /// End by itself after this time (30s, 5m).
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) duration: Option<std::time::Duration>,
    #[command(flatten)]
    pub(crate) capture: CaptureArgs,
    /// Only containers whose id matches have metrics (repeatable): '^/k8s/shop/'.
    #[arg(long, value_name = "REGEX")]
    pub(crate) container_allowlist: Vec<aftertrace_registry::Pattern>,
    /// Containers whose id matches have no metrics (repeatable); this one wins.
    #[arg(long, value_name = "REGEX")]
    pub(crate) container_denylist: Vec<aftertrace_registry::Pattern>,
    /// Containers that lived shorter have no metrics.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    pub(crate) min_container_age: std::time::Duration,
    /// Track connections to public addresses in these networks only (repeatable): 203.0.113.0/24, 2001:db8::/32, or
    /// none. Those to private addresses are tracked whatever this says.
    #[arg(long, value_name = "NETWORK", value_parser = optional::<aftertrace_registry::Network>,
        default_values = ["0.0.0.0/0", "::/0"])]
    pub(crate) track_public_network: Vec<Choice<aftertrace_registry::Network>>,
    /// Do not track connections to these ports (repeatable), or none: they are mostly second connections of protocols.
    #[arg(long, value_name = "FIRST-LAST", value_parser = optional::<PortRange>, default_value = "32768-60999")]
    pub(crate) ephemeral_port_range: Vec<Choice<PortRange>>,
    #[command(flatten)]
    pub(crate) push: PushArgs,
    /// Print warnings and errors only.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Where `--help` has the flags of [`PushArgs`]: on each, since a heading of the group would take in all that follow.
#[cfg(feature = "record")]
const PUSH: &str = "Push (instead of being scraped, or as well)";

/// Where `serve` pushes metrics to.
#[cfg(feature = "record")]
#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    /// Push by Prometheus remote write (repeatable): 2.0, or 1.0 where the receiver knows no other. A user and password
    /// in the URL are sent as such and shown nowhere; other users of the host can read them in the process list.
    #[arg(long, help_heading = PUSH, value_name = "URL")]
    pub(crate) remote_write: Vec<PushUrl>,
    /// Push by OTLP over HTTP (repeatable); a URL without a path gets /v1/metrics.
    #[arg(long, help_heading = PUSH, value_name = "URL")]
    pub(crate) otlp: Vec<PushUrl>,
    /// Send the headers in this file with each push, one a line: Authorization: Bearer ...
    #[arg(long, help_heading = PUSH, value_name = "FILE")]
    pub(crate) push_headers: Option<PathBuf>,
    /// Push this often.
    #[arg(long, help_heading = PUSH, value_name = "TIME", default_value = "15s", value_parser = humantime::parse_duration)]
    pub(crate) push_interval: std::time::Duration,
    /// Where metrics wait for a receiver that is away; it is private (0700), and read again at the next start.
    #[arg(long, help_heading = PUSH, value_name = "DIR", default_value = "/var/lib/aftertrace/push")]
    pub(crate) push_dir: PathBuf,
    /// Most that waits for one receiver; then the oldest are lost, and counted.
    #[arg(long, help_heading = PUSH, value_name = "SIZE", default_value = "64MiB")]
    pub(crate) push_queue: bytesize::ByteSize,
}

/// One of several things on a command line, or the word that says that there is none.
#[cfg(feature = "record")]
#[derive(Debug, Clone)]
pub(crate) enum Choice<T> {
    None,
    Some(T),
}

#[cfg(feature = "record")]
impl<T> Choice<T> {
    /// What was chosen; with a "none" among it, nothing.
    pub(crate) fn all(choices: Vec<Self>) -> Vec<T> {
        choices
            .into_iter()
            .map(|choice| if let Self::Some(one) = choice { Some(one) } else { None })
            .collect::<Option<_>>()
            .unwrap_or_default()
    }
}

#[cfg(feature = "record")]
fn optional<T: std::str::FromStr>(text: &str) -> Result<Choice<T>, T::Err> {
    if text == "none" { Ok(Choice::None) } else { text.parse().map(Choice::Some) }
}

/// Ports from one to another, as people write them: 32768-60999, or just one.
#[cfg(feature = "record")]
#[derive(Debug, Clone)]
pub(crate) struct PortRange(pub(crate) std::ops::RangeInclusive<u16>);

#[cfg(feature = "record")]
impl std::str::FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if first <= last => Ok(Self(first..=last)),
            _ => Err("no range of ports such as 32768-60999".to_owned()),
        }
    }
}

/// What to keep of logs.
#[cfg(feature = "record")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Logs {
    /// Every line, within the budget.
    Lines,
    /// Counts by level and pattern, and no text.
    Patterns,
    /// Nothing: no log is read.
    Off,
}

/// `aftertrace analyze`.
#[cfg(feature = "analyze")]
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
#[command(
    after_help = "A TRACE is a directory that `aftertrace record` wrote, or a .tar of one. Without a verb: the summary.

Exit codes: 0 done; 1 failed, or for `verify` usable with gaps; 2 wrong usage, or for `verify` unusable."
)]
pub(crate) struct AnalyzeArgs {
    /// The trace to sum up.
    pub(crate) trace: Option<PathBuf>,
    /// What to read from it.
    #[command(subcommand)]
    pub(crate) verb: Option<AnalyzeVerb>,
}

/// What to read from a trace.
#[cfg(feature = "analyze")]
#[derive(Debug, Subcommand)]
pub(crate) enum AnalyzeVerb {
    /// What is in the trace: host, options, probes, losses, tables with rows and bytes.
    Info {
        /// A trace directory, or a .tar of one.
        trace: PathBuf,
        /// How to print it.
        #[arg(long, value_enum, default_value = "text")]
        format: TextFormat,
    },
    /// Whether the trace is whole: exit code 0 whole, 1 usable with gaps, 2 unusable.
    Verify {
        /// A trace directory, or a .tar of one.
        trace: PathBuf,
        /// Compare scrapes of /metrics that were saved (plain text or OpenMetrics) with what the trace says they must
        /// have been: exit code 0 the same bytes, 1 not.
        #[arg(long, value_name = "FILE", num_args = 1..)]
        against: Vec<PathBuf>,
        /// How to print it.
        #[arg(long, value_enum, default_value = "text")]
        format: TextFormat,
    },
    /// The metrics that a live scrape would have given, at a moment of the trace.
    Metrics(MetricsArgs),
    /// Run SQL on the trace; without -c and -f, what standard input holds, or on a terminal a prompt.
    Sql(SqlArgs),
}

/// How to print a report.
#[cfg(feature = "analyze")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TextFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// `aftertrace analyze metrics`.
#[cfg(feature = "analyze")]
#[derive(Debug, Args)]
pub(crate) struct MetricsArgs {
    /// A trace directory, or a .tar of one.
    pub(crate) trace: PathBuf,
    /// Metrics at this moment: 2026-11-23T07:00:00Z, Unix seconds, +90s after the start, or -30s before the end.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, conflicts_with = "end")]
    pub(crate) at: Option<String>,
    /// Metrics as scrape N of `aftertrace serve --record` gave them, byte for byte.
    #[arg(long, value_name = "N", conflicts_with_all = ["at", "end"])]
    pub(crate) at_scrape: Option<u64>,
    /// Metrics at the end of the trace (the default).
    #[arg(long)]
    pub(crate) end: bool,
    /// Exposition format: prometheus unless it is that of the scrape.
    #[arg(long, value_enum)]
    pub(crate) format: Option<MetricsFormat>,
}

/// Exposition formats.
#[cfg(feature = "analyze")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum MetricsFormat {
    /// Prometheus text format 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0 text.
    Openmetrics,
}

/// `aftertrace analyze sql`.
#[cfg(feature = "analyze")]
#[derive(Debug, Args)]
#[command(after_help = "Tables: \\d in the prompt, or: aftertrace analyze sql TRACE -c 'SHOW TABLES'.
Views: connections (open and close joined), containers, losses; the stored rows are in the schema `raw`.")]
pub(crate) struct SqlArgs {
    /// A trace directory, or a .tar of one.
    pub(crate) trace: PathBuf,
    /// Run these statements and end (repeatable; those of -c come before those of -f).
    #[arg(short = 'c', long, value_name = "SQL")]
    pub(crate) command: Vec<String>,
    /// Run the statements of a file and end (repeatable).
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) file: Vec<PathBuf>,
    /// How to print rows; parquet takes one statement, and --output or a redirection.
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: RowFormat,
    /// Write the rows to this file instead of the terminal.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Most memory that a query may use before it spills to disk.
    #[arg(long, value_name = "SIZE", default_value = "1GiB")]
    pub(crate) memory_limit: bytesize::ByteSize,
    /// No timing and row counts after the rows.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Row formats.
#[cfg(feature = "analyze")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum RowFormat {
    /// Aligned columns.
    Table,
    /// Comma-separated values with a header.
    Csv,
    /// A JSON object a line.
    Json,
    /// A Parquet file.
    Parquet,
}
