//! The flags of `serve`.

use std::path::PathBuf;

use aftertrace_recorder::serve::push::PushUrl;
use clap::Args;

use super::CaptureArgs;

/// `aftertrace serve`.
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
    /// Domain names of one container that its DNS requests are counted by; the rest is ~other.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) max_fqdns_per_container: usize,
    /// Upper bounds of the buckets that durations of requests are counted in, seconds, growing.
    #[arg(long, value_name = "SECONDS,...", default_value = "0.005,0.01,0.025,0.05,0.1,0.25,0.5,1,2.5,5,10")]
    pub(crate) histogram_buckets: Buckets,
    #[command(flatten)]
    pub(crate) push: PushArgs,
    /// Print warnings and errors only.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Where `--help` has the flags of [`PushArgs`]: on each, since a heading of the group would take in all that follow.
const PUSH: &str = "Push (instead of being scraped, or as well)";

/// Where `serve` pushes metrics and spans to.
#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    /// Push by Prometheus remote write (repeatable): 2.0, or 1.0 where the receiver knows no other. A user and password
    /// in the URL are sent as such and shown nowhere; other users of the host can read them in the process list.
    #[arg(long, help_heading = PUSH, value_name = "URL")]
    pub(crate) remote_write: Vec<PushUrl>,
    /// Push by OTLP over HTTP (repeatable); a URL without a path gets /v1/metrics.
    #[arg(long, help_heading = PUSH, value_name = "URL")]
    pub(crate) otlp: Vec<PushUrl>,
    /// Push spans of requests by OTLP over HTTP (repeatable); a URL without a path gets /v1/traces. Without this none
    /// are made. docs/spans.md says what is in them.
    #[arg(long, help_heading = PUSH, value_name = "URL")]
    pub(crate) otlp_traces: Vec<PushUrl>,
    /// Most spans of one second: those that failed come first, then the slowest, then whole traces. The rest is dropped
    /// and counted.
    #[arg(long, help_heading = PUSH, value_name = "N", default_value_t = 100, requires = "otlp_traces")]
    pub(crate) spans_per_second: usize,
    /// Requests that take longer are slow, and come before those that do not.
    #[arg(long, help_heading = PUSH, value_name = "TIME", default_value = "1s", requires = "otlp_traces",
        value_parser = humantime::parse_duration)]
    pub(crate) slow_span: std::time::Duration,
    /// Leave the values in the statements of spans, and the parameters in their URLs.
    #[arg(long, help_heading = PUSH, requires = "otlp_traces")]
    pub(crate) raw_statements: bool,
    /// Send the headers in this file with each push, one a line: Authorization: Bearer ...
    #[arg(long, help_heading = PUSH, value_name = "FILE")]
    pub(crate) push_headers: Option<PathBuf>,
    /// Push this often.
    #[arg(long, help_heading = PUSH, value_name = "TIME", default_value = "15s", value_parser = humantime::parse_duration)]
    pub(crate) push_interval: std::time::Duration,
    /// Where metrics and spans wait for a receiver that is away; it is private (0700), and read again at the next start.
    #[arg(long, help_heading = PUSH, value_name = "DIR", default_value = "/var/lib/aftertrace/push")]
    pub(crate) push_dir: PathBuf,
    /// Most that waits for one receiver; then the oldest are lost, and counted.
    #[arg(long, help_heading = PUSH, value_name = "SIZE", default_value = "64MiB")]
    pub(crate) push_queue: bytesize::ByteSize,
}

/// One of several things on a command line, or the word that says that there is none.
#[derive(Debug, Clone)]
pub(crate) enum Choice<T> {
    None,
    Some(T),
}

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

fn optional<T: std::str::FromStr>(text: &str) -> Result<Choice<T>, T::Err> {
    if text == "none" { Ok(Choice::None) } else { text.parse().map(Choice::Some) }
}

/// Ports from one to another, as people write them: 32768-60999, or just one.
#[derive(Debug, Clone)]
pub(crate) struct PortRange(pub(crate) std::ops::RangeInclusive<u16>);

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

/// Upper bounds of buckets, nanoseconds.
#[derive(Debug, Clone)]
pub(crate) struct Buckets(pub(crate) Vec<u64>);

impl std::str::FromStr for Buckets {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        /// More than this is a mistake: each series has a sample for each.
        const MOST: usize = 100;
        const LONGEST_SECONDS: f64 = 86_400.0;

        let bound = |word: &str| {
            let seconds: f64 =
                word.trim().parse().map_err(|_| format!("{word:?} is no number of seconds"))?;
            let is_possible = (1e-9..=LONGEST_SECONDS).contains(&seconds);
            is_possible
                .then_some((seconds * 1e9).round() as u64)
                .ok_or_else(|| format!("{word}: must be from 1e-9 to 86400"))
        };
        let bounds: Vec<u64> = text.split(',').map(bound).collect::<Result<_, String>>()?;
        if bounds.len() > MOST {
            return Err(format!("{} bounds: at most {MOST} are possible", bounds.len()));
        }
        match bounds.is_sorted_by(|a, b| a < b) {
            true => Ok(Self(bounds)),
            false => Err("each bound must be greater than the one before".to_owned()),
        }
    }
}
