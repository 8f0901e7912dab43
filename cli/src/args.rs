//! The command line: verbs, flags and their help.

#[cfg(feature = "analyze")]
mod analyze;
#[cfg(feature = "record")]
mod record;
#[cfg(feature = "record")]
mod serve;

#[cfg(feature = "analyze")]
pub(crate) use analyze::*;
use clap::{Parser, Subcommand};
#[cfg(feature = "record")]
pub(crate) use record::*;
#[cfg(feature = "record")]
pub(crate) use serve::*;

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
  aftertrace analyze metrics incident --end           Prometheus metrics at the end
  aftertrace analyze spans incident --errors          requests that failed, and who asked whom")]
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
    /// Read a trace: summary, metrics, spans, SQL, verification.
    #[cfg(feature = "analyze")]
    Analyze(AnalyzeArgs),
}
