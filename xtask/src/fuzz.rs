//! `cargo xtask fuzz`: the fuzz targets of `fuzz/`, each for a while.
//!
//! With the stable toolchain: LLVM's coverage counters are asked for by flags, as cargo-fuzz does it; without an
//! address sanitizer, which only nightly has and safe Rust hardly needs.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use crate::host::{self, STATIC_TARGET};

const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                     -Cllvm-args=-sanitizer-coverage-pc-table -Ccodegen-units=1";

/// As `aftertrace_protocols::fuzzing` reads it.
const ONLY_PROTOCOL: &str = "AFTERTRACE_FUZZ_PROTOCOL";

/// Which, and for how long.
#[derive(Args)]
#[command(
    after_help = "What was found to be interesting stays in fuzz-corpus/ of cargo's target directory; an input \
                        that makes a target fail is written there too, and named."
)]
pub(crate) struct Options {
    /// Names of targets; all when none is given. `protocols:NAME` plays one protocol only, such as `protocols:http`.
    targets: Vec<String>,
    /// Seconds for each target.
    #[arg(long, default_value_t = 60, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
}

/// The subcommand.
///
/// # Errors
/// When a target is not known or does not build, or finds an input that makes it fail.
pub(crate) fn run(options: &Options) -> Result<()> {
    let known = targets()?;
    for target in &options.targets {
        ensure!(
            known.iter().any(|known| known == name(target)),
            "no fuzz target is called `{target}`; there are {}",
            known.join(", ")
        );
    }
    let directory = host::target_directory()?.join("fuzz");
    let mut build = host::cargo();
    build.current_dir(host::root().join("fuzz")).args(["build", "--release", "--target", STATIC_TARGET]);
    // With an explicit target the flags do not reach build scripts.
    host::run(build.env("CARGO_TARGET_DIR", &directory).env("RUSTFLAGS", FLAGS))?;
    let chosen = if options.targets.is_empty() { &known } else { &options.targets };
    for target in chosen {
        let corpus = directory.join("fuzz-corpus").join(target.replace(':', "-"));
        fs::create_dir_all(&corpus)?;
        let program = directory.join(STATIC_TARGET).join("release").join(name(target));
        let mut command = std::process::Command::new(program);
        if let Some((_, protocol)) = target.split_once(':') {
            command.env(ONLY_PROTOCOL, protocol);
        }
        command.arg(format!("-max_total_time={}", options.seconds));
        command.args(["-rss_limit_mb=1024", "-timeout=10", "-max_len=65536", "-print_final_stats=1"]);
        command.arg(format!("-artifact_prefix={}/failed-", corpus.display()));
        host::run(command.arg(&corpus))?;
    }
    Ok(())
}

/// Of `protocols:http`, `protocols`.
fn name(target: &str) -> &str {
    target.split(':').next().unwrap_or(target)
}

/// By the names of their files.
fn targets() -> Result<Vec<String>> {
    let files = fs::read_dir(host::root().join("fuzz/fuzz_targets"))?;
    let paths: Vec<PathBuf> = files.flatten().map(|entry| entry.path()).collect();
    let mut names: Vec<String> =
        paths.iter().filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    Ok(names)
}
