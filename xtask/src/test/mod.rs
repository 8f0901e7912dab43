//! `cargo xtask test`: what CI runs, a stage after the other, each under a heading with the time so far.

mod features;
mod licences;
mod purity;
mod spdx;

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::host::{self, cargo, human};
use crate::{kernels, sample_traces, schema_docs, setup, systemd};

/// Which stages to run.
#[derive(Args)]
#[command(after_help = help())]
pub(crate) struct Options {
    /// Run just these stages, separated by commas.
    #[arg(long, value_name = "STAGE", value_delimiter = ',', value_parser = stage_names(), hide_possible_values = true)]
    only: Vec<String>,
    /// Leave these stages out, separated by commas.
    #[arg(long, value_name = "STAGE", value_delimiter = ',', value_parser = stage_names(), hide_possible_values = true)]
    skip: Vec<String>,
}

struct Stage {
    name: &'static str,
    about: &'static str,
    run: fn() -> Result<()>,
}

/// The quick ones first, and those that share builds beside each other.
const STAGES: &[Stage] = &[
    Stage { name: "setup", about: "the tools are there", run: || setup::ensure(setup::Purpose::Test) },
    Stage { name: "format", about: "rustfmt has nothing to change", run: format },
    Stage { name: "licences", about: "every crate's licence is in deny.toml", run: licences::check },
    Stage { name: "trees", about: "no crate depends on what it must not know", run: purity::check },
    Stage { name: "lints", about: "clippy warns of nothing", run: lints },
    Stage { name: "documentation", about: "rustdoc warns of nothing", run: documentation },
    Stage { name: "tests", about: "unit, property and end-to-end tests", run: tests },
    Stage {
        name: "schema-docs",
        about: "schemas/README.md is what the definitions say",
        run: || schema_docs::run(&schema_docs::Options::check()),
    },
    Stage { name: "analyze-alone", about: "the analyzer builds without clang", run: features::analyze_alone },
    Stage { name: "sample-traces", about: "every sample trace opens", run: sample_traces::check },
    Stage {
        name: "record-alone",
        about: "the recorder builds as a static binary",
        run: features::record_alone,
    },
    Stage {
        name: "kernels",
        about: "a recording on 5.10, 6.1 and 6.12 holds what happened",
        run: || kernels::run(&kernels::Options::default()),
    },
    Stage {
        name: "systemd",
        about: "the shipped unit starts, is watched and stops under systemd",
        run: || systemd::run(&systemd::Options::default()),
    },
];

fn stage_names() -> PossibleValuesParser {
    PossibleValuesParser::new(STAGES.iter().map(|stage| stage.name))
}

fn help() -> String {
    let lines: Vec<String> =
        STAGES.iter().map(|stage| format!("  {:<14} {}", stage.name, stage.about)).collect();
    format!(
        "Stages, in this order; one that fails does not stop the others:\n{}\n\n\
         End-to-end tests load BPF programs, so run it as root: sudo -E cargo xtask test\n\n\
         Examples:\n  \
         cargo xtask test --only format,lints,documentation\n  \
         cargo xtask test --skip kernels",
        lines.join("\n")
    )
}

/// The subcommand.
///
/// # Errors
/// When a stage fails (after all the others have run), naming each that did, or when none is left.
pub(crate) fn run(options: &Options) -> Result<()> {
    let stages = chosen(&options.only, &options.skip)?;
    let begin = Instant::now();
    let mut failures = Vec::new();
    let mut times = Vec::new();
    for (index, stage) in stages.iter().enumerate() {
        heading(&format!("{}/{} {}: {}", index + 1, stages.len(), stage.name, stage.about), begin.elapsed());
        let stage_begin = Instant::now();
        let result = (stage.run)();
        times.push((stage.name, stage_begin.elapsed(), result.is_ok()));
        if let Err(error) = result {
            eprintln!("FAILED {}: {error:#}", stage.name);
            failures.push(stage.name);
        }
    }
    heading("summary", begin.elapsed());
    for (name, time, passed) in times {
        println!("{:<6} {name:<14} {}", if passed { "ok" } else { "FAILED" }, human(time));
    }
    for name in &failures {
        println!("repeat with: cargo xtask test --only {name}");
    }
    println!("{} passed, {} failed", stages.len() - failures.len(), failures.len());
    ensure!(failures.is_empty(), "failed: {}", failures.join(", "));
    Ok(())
}

fn chosen(only: &[String], skip: &[String]) -> Result<Vec<&'static Stage>> {
    let wanted = |stage: &&Stage| {
        (only.is_empty() || only.iter().any(|name| name == stage.name))
            && !skip.iter().any(|name| name == stage.name)
    };
    let stages: Vec<_> = STAGES.iter().filter(wanted).collect();
    ensure!(!stages.is_empty(), "no stage is left to run");
    Ok(stages)
}

fn heading(text: &str, elapsed: Duration) {
    println!("\n==== {text} ({})", human(elapsed));
}

fn format() -> Result<()> {
    host::run(cargo().args(["fmt", "--all", "--check"]))
}

fn lints() -> Result<()> {
    host::run(cargo().args(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))
}

fn documentation() -> Result<()> {
    let mut command = cargo();
    command.args(["doc", "--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "-D warnings");
    host::run(&mut command)
}

fn tests() -> Result<()> {
    // A snapshot that differs is a failure here, never something to write.
    let with_snapshots_fixed = |command: &mut Command| host::run(command.env("INSTA_UPDATE", "no"));
    with_snapshots_fixed(cargo().args(["test", "--workspace", "--locked", "--no-fail-fast"]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn stages_are_chosen_by_name_in_their_order() {
        let only = ["lints".to_owned(), "format".to_owned()];
        let names: Vec<_> = chosen(&only, &[]).unwrap().iter().map(|stage| stage.name).collect();
        assert_eq!(names, ["format", "lints"]);
        let skipped = chosen(&[], &["record-alone".to_owned()]).unwrap();
        assert_eq!(skipped.len(), STAGES.len() - 1);
    }

    #[test]
    fn leaving_out_all_that_is_asked_for_is_refused() {
        assert!(chosen(&["lints".to_owned()], &["lints".to_owned()]).is_err());
    }
}
