//! `cargo xtask dist`: the static recorder that one copies to a problem host.

use std::fs;

use anyhow::Result;
use clap::Args;

use crate::artifacts::{self, Profile};
use crate::setup;

const HELP: &str = "\
Builds x86_64-unknown-linux-gnu/dist/aftertrace in cargo's target directory: `record` alone, optimised, linked
statically. Copy it to a host and run `aftertrace record --help` there; traces are analyzed elsewhere.
The first build takes about 10 minutes on two cores.";

/// Nothing to choose.
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Options {}

/// The subcommand.
///
/// # Errors
/// When it does not build or is not static.
pub(crate) fn run(_: &Options) -> Result<()> {
    setup::ensure(setup::Purpose::Build)?;
    let path = artifacts::static_recorder(Profile::Dist)?;
    println!(
        "{} ({:.1} MB, static, needs nothing but a kernel)",
        path.display(),
        fs::metadata(&path)?.len() as f64 / 1e6
    );
    Ok(())
}
