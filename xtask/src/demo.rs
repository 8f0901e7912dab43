//! `cargo xtask demo`: from a fresh clone to a report in one command.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::analyze::Trace;
use crate::artifacts::{self, Profile};
use crate::{host, sample_traces, setup};

const HELP: &str = "\
Builds aftertrace (the first time about 12 minutes on two cores), then as root records a workload of its own
and no other process; without root it shows a trace of sample-traces/. Report, metrics and trace are kept, and
the last lines say where.

Examples:
  cargo xtask demo
  sudo -E cargo xtask demo --seconds 20";

/// What to show.
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Options {
    /// Seconds of work to record.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Show a sample trace also when this is root.
    #[arg(long)]
    sample: bool,
}

/// The subcommand.
///
/// # Errors
/// When something does not build, recording fails, or without root there is no sample trace.
pub(crate) fn run(options: &Options) -> Result<()> {
    setup::ensure(setup::Purpose::Build)?;
    let directory = host::target_directory()?;
    if !directory.join("debug/aftertrace").exists() {
        println!(
            "demo: building; the first time this takes about 12 minutes on two cores, mostly the SQL engine"
        );
    }
    std::io::stdout().flush()?;
    let aftertrace = artifacts::aftertrace(Profile::Dev)?;
    let scratch = host::scratch("demo")?;
    let path = if host::is_root() && !options.sample {
        record(&aftertrace, &scratch, options.seconds)?
    } else {
        sample()?
    };

    let trace = Trace::new(&aftertrace, &path);
    let summary = trace.summary()?;
    println!("\n{summary}");
    let report = scratch.join("report.txt");
    fs::write(&report, &summary).with_context(|| format!("cannot write {}", report.display()))?;
    let metrics = scratch.join("metrics.txt");
    fs::write(&metrics, trace.metrics()?).with_context(|| format!("cannot write {}", metrics.display()))?;
    println!("report:  {}", report.display());
    println!("metrics: {}", metrics.display());
    println!("trace:   {}", path.display());
    println!("ask it:  {} analyze sql {}", aftertrace.display(), path.display());
    Ok(())
}

fn record(aftertrace: &std::path::Path, scratch: &std::path::Path, seconds: u64) -> Result<PathBuf> {
    let workload = artifacts::workload(Profile::Dev)?;
    let trace = scratch.join("trace");
    println!("demo: recording {seconds} s of processes, files and connections on loopback");
    let mut command = Command::new(aftertrace);
    command.arg("record").arg("-o").arg(&trace).arg("--").arg(workload);
    host::run(command.arg("demo").arg(scratch).arg(seconds.to_string()))?;
    Ok(trace)
}

fn sample() -> Result<PathBuf> {
    let Some(sample) =
        sample_traces::samples()?.into_iter().find(|sample| sample.join("trace.tar").is_file())
    else {
        bail!("recording needs root, and there is no sample trace; run: sudo -E cargo xtask demo");
    };
    println!("demo: showing {} (recording needs root: sudo -E cargo xtask demo)", sample.display());
    Ok(sample.join("trace.tar"))
}
