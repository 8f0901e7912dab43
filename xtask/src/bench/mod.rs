//! `cargo xtask bench`: what recording costs, beside other recorders on the same tracepoints in the same run.
//!
//! Two workloads with known counts run alone and under each contender, in rounds, so that a host that gets slower
//! or faster meanwhile does so for all. Out: medians and ranges in docs/benchmarks.md.

mod contender;
mod groups;
mod l7;
mod measure;
mod serve;
mod statistics;
mod table;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};

use crate::artifacts::{self, Profile};
use crate::{host, setup};
use contender::{Contender, Setting};
use measure::{BpfStatistics, Sample};

const HELP: &str = "\
Needs root, and a host that does nothing else. The first optimised build takes about 25 minutes on two cores.

Examples:
  sudo -E cargo xtask bench
  sudo -E cargo xtask bench --rounds 1 --contenders alone,aftertrace --output /tmp/quick.md
  sudo -E cargo xtask bench serve
  sudo -E cargo xtask bench l7 --loads redis --rounds 1 --output /tmp/quick.md";

/// How much to measure.
#[derive(Args)]
#[command(after_help = HELP, args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    /// What else to measure.
    #[command(subcommand)]
    what: Option<What>,
    /// Rounds; each runs every contender once.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Connections of the storm of connections.
    #[arg(long, default_value_t = 300_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    connections: u64,
    /// Processes of the storm of processes.
    #[arg(long, default_value_t = 5_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    execs: u64,
    /// Connections of a storm that goes on for half a minute and more; alone and under aftertrace, once.
    #[arg(long, default_value_t = 1_600_000, value_name = "N")]
    sustained: u64,
    /// Measure this program and do not build one.
    #[arg(long, value_name = "PATH", value_parser = host::file)]
    aftertrace: Option<PathBuf>,
    /// Measure just these contenders.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["alone", "aftertrace", "perf", "bpftrace"])]
    contenders: Vec<Contender>,
    /// Where the table goes.
    #[arg(long, default_value = "docs/benchmarks.md", value_name = "FILE")]
    output: PathBuf,
}

/// What else can be measured.
#[derive(Subcommand)]
enum What {
    /// What `aftertrace serve` costs, and how long its scrapes take, also in trouble; writes docs/benchmarks-serve.md.
    Serve(serve::Options),
    /// What recording costs servers that are pressed, and what a request costs; writes docs/benchmarks-l7.md.
    L7(l7::Options),
}

/// Something to do a known number of times.
#[derive(Clone, Copy)]
pub(crate) struct Workload {
    /// As the program `workload` calls it.
    name: &'static str,
    /// What one operation is.
    unit: &'static str,
    /// How many operations.
    operations: u64,
    /// Events that one operation is.
    events_each: u64,
    /// What counts those events in a trace, after `SELECT`.
    count: &'static str,
}

impl Workload {
    /// Events that a recording must hold.
    fn events(&self) -> u64 {
        self.operations * self.events_each
    }

    /// The arguments of the program `workload`.
    fn arguments(&self) -> Vec<String> {
        let mut words = vec![self.name.to_owned(), self.operations.to_string()];
        if self.name == "connections" {
            // One pair of threads for each two processors of the machine that the aims are stated for.
            words.push("2".to_owned());
        }
        words
    }
}

/// What came of one workload: the samples of each contender, a sample a round.
pub(crate) struct Outcome {
    workload: Workload,
    samples: Vec<(Contender, Vec<Sample>)>,
}

/// The subcommand.
///
/// # Errors
/// When this is not root, something is not installed or does not build, or a contender fails.
pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(host::is_root(), "attaching to tracepoints needs root; run: sudo -E cargo xtask bench");
    setup::ensure(setup::Purpose::Bench)?;
    match &options.what {
        Some(What::Serve(options)) => return serve::run(options),
        Some(What::L7(options)) => return l7::run(options),
        None => {}
    }
    let aftertrace = match &options.aftertrace {
        Some(path) => path.clone(),
        None if options.contenders.contains(&Contender::Aftertrace) => {
            println!("bench: building optimised; the first time this takes about 25 minutes on two cores");
            artifacts::aftertrace(Profile::Release)?
        }
        None => PathBuf::new(),
    };
    let setting = Setting {
        aftertrace,
        workload: artifacts::workload(Profile::Release)?,
        scratch: host::scratch("bench")?,
    };
    let mut outcomes = Vec::new();
    for workload in workloads(options) {
        outcomes.push(measure_all(&setting, workload, &options.contenders, options.rounds)?);
    }
    let [mut sustained, _] = workloads(options);
    sustained.operations = options.sustained;
    let ours: Vec<Contender> = options.contenders.iter().copied().filter(|one| one.is_ours()).collect();
    outcomes.push(measure_all(&setting, sustained, &ours, 1)?);
    let text = table::document(&outcomes, options.rounds)?;
    let path = host::root().join(&options.output);
    fs::write(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("\n{text}\nwrote {}", path.display());
    Ok(())
}

fn workloads(options: &Options) -> [Workload; 2] {
    [
        Workload {
            name: "connections",
            unit: "connection (connect, accept, two closes)",
            operations: options.connections,
            events_each: 4,
            count: "count(*) FROM tcp_events WHERE kind IN ('connect', 'accept', 'close')",
        },
        Workload {
            name: "execs",
            unit: "process (start, exec, exit)",
            operations: options.execs,
            events_each: 3,
            // All but the workload itself, which a recording of the command holds as well.
            count: "count(*) FROM process_events WHERE kind IN ('start', 'exec', 'exit') AND pid NOT IN \
                    (SELECT pid FROM process_events WHERE kind = 'exec' ORDER BY seq LIMIT 1)",
        },
    ]
}

fn measure_all(
    setting: &Setting,
    workload: Workload,
    contenders: &[Contender],
    rounds: u32,
) -> Result<Outcome> {
    let mut samples: Vec<(Contender, Vec<Sample>)> =
        contenders.iter().map(|&contender| (contender, Vec::new())).collect();
    for round in 1..=rounds {
        for (contender, samples) in &mut samples {
            let mut sample = measure::measure(setting, *contender, workload)?;
            println!(
                "{} round {round} {}: {:.3} s",
                workload.name,
                contender.name(),
                sample.elapsed_ns as f64 / 1e9
            );
            if contender.has_programs() {
                // The kernel's accounting costs time itself, so it is on in a run of its own.
                let _on = BpfStatistics::on()?;
                sample.kernel = measure::measure(setting, *contender, workload)?.kernel;
            }
            samples.push(sample);
        }
    }
    Ok(Outcome { workload, samples })
}

/// The sum of a metric's series.
fn sum_of(text: &str, name: &str) -> f64 {
    let lines =
        text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).fold(0.0, |sum, value| sum + value)
}
