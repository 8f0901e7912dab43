//! `cargo xtask`: everything a developer does besides `cargo build`.
//!
//! In: this source tree and the tools of a Debian host. Out: checked builds, recorded traces, written documents.
//! One subcommand a module; nothing here is part of the product.

mod analyze;
mod artifacts;
mod bench;
mod demo;
mod dist;
mod elf;
mod fuzz;
mod host;
mod kernels;
mod sample_traces;
mod schema_docs;
mod setup;
mod systemd;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

const HELP: &str = "\
Try `cargo xtask demo` first. `cargo xtask test` is what CI runs. COMMAND --help has more and examples.

Recording needs root: sudo -E cargo xtask ... (-E keeps the toolchain and the caches). Missing tools are
installed as root; others are told what to install. What a task leaves behind is in xtask/ of cargo's target
directory (target/, or $CARGO_TARGET_DIR).

Exit codes: 0 done, 1 something failed, 2 wrong arguments.";

/// Development tasks of aftertrace.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    after_help = HELP
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install with apt what is missing to build and test, and mount tracefs.
    Setup(setup::Options),
    /// Record a small workload on this host (as root; else take a sample trace) and show what was seen.
    Demo(demo::Options),
    /// Run every check that CI runs: format, lints, documentation, licences, tests, feature sets, kernels.
    Test(test::Options),
    /// Boot Debian's kernels in an emulator, record a known workload on each and count its events.
    Kernels(kernels::Options),
    /// Boot a guest with systemd, and use the shipped unit in it.
    Systemd(systemd::Options),
    /// Measure what recording costs, beside perf and bpftrace, and write docs/benchmarks.md.
    Bench(bench::Options),
    /// Let fuzzers loose on the parsers of bytes from strangers.
    Fuzz(fuzz::Options),
    /// Build the static recorder for problem hosts.
    Dist(dist::Options),
    /// Record every trace of sample-traces/ again with the script beside it.
    SampleTraces(sample_traces::Options),
    /// Write schemas/README.md from the tables' definitions.
    SchemaDocs(schema_docs::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Setup(options) => setup::run(&options),
        Task::Demo(options) => demo::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Kernels(options) => kernels::run(&options),
        Task::Systemd(options) => systemd::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Dist(options) => dist::run(&options),
        Task::SampleTraces(options) => sample_traces::run(&options),
        Task::SchemaDocs(options) => schema_docs::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
