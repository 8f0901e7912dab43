//! The flags of `analyze` and its verbs.

use std::path::PathBuf;

use aftertrace_analyzer::spans;
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

/// `aftertrace analyze`.
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
    /// Requests as spans: from whom to whom, what, how long, and whether they failed.
    Spans(SpansArgs),
    /// Run SQL on the trace; without -c and -f, what standard input holds, or on a terminal a prompt.
    Sql(SqlArgs),
}

/// How to print a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TextFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// `aftertrace analyze metrics`.
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

/// `aftertrace analyze spans`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  aftertrace analyze spans incident --errors                    what failed
  aftertrace analyze spans incident --slower-than 100ms --protocol postgres
  aftertrace analyze spans incident --format otlp-json > spans.json
  curl -H 'Content-Type: application/json' --data @spans.json http://localhost:4318/v1/traces
  aftertrace analyze spans incident --format jsonl | jq -r .name | sort | uniq -c

Both ends of a request are spans where both are containers of the host; docs/spans.md says how they are linked.
Statements are shown without their values, as 'SELECT * FROM orders WHERE id = ?'.")]
pub(crate) struct SpansArgs {
    /// A trace directory, or a .tar of one.
    pub(crate) trace: PathBuf,
    /// How to print them.
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: SpanFormat,
    /// Only of containers whose id matches (repeatable): '^/docker/shop-'.
    #[arg(long, value_name = "REGEX")]
    pub(crate) container: Vec<spans::Pattern>,
    /// Only of this protocol (repeatable).
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(spans::protocols()))]
    pub(crate) protocol: Vec<String>,
    /// Only those that failed.
    #[arg(long)]
    pub(crate) errors: bool,
    /// Only those that took longer (20ms, 1s).
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) slower_than: Option<std::time::Duration>,
    /// Only those of this trace: 32 hexadecimal digits.
    #[arg(long, value_name = "ID")]
    pub(crate) trace_id: Option<String>,
    /// End after so many.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Leave the values in statements, and the parameters in URLs. Passwords are not among them: they were never recorded.
    #[arg(long)]
    pub(crate) raw_statements: bool,
}

/// Formats of spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum SpanFormat {
    /// A line a span, for people.
    Table,
    /// A JSON object a span.
    Jsonl,
    /// One request of OpenTelemetry's protocol, as its receivers take it.
    OtlpJson,
}

/// Exposition formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum MetricsFormat {
    /// Prometheus text format 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0 text.
    Openmetrics,
}

/// `aftertrace analyze sql`.
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
