//! `cargo xtask kernels`: a known workload is recorded on Debian's kernels, each booted in an emulator, and counted.
//!
//! The kernel comes from its Debian package, the root from the static recorder and a small init. The guest sends the
//! trace over a serial line, and this host reads it with `aftertrace analyze`.

mod boot;
mod check;
mod fetch;
mod initramfs;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::analyze::Trace;
use crate::artifacts::{self, Profile, Static};
use crate::{host, setup};

/// Which kernels, and what to run on them.
#[derive(Args)]
pub(crate) struct Options {
    /// Kernel versions, of those that Debian 11, 12 and 13 have.
    #[arg(long = "kernel", value_delimiter = ',', default_values = fetch::VERSIONS, value_name = "VERSION")]
    kernels: Vec<String>,
    /// Take this static recorder and do not build one.
    #[arg(long, value_name = "PATH")]
    recorder: Option<PathBuf>,
    /// Read the traces with this program and do not build one.
    #[arg(long, value_name = "PATH")]
    analyzer: Option<PathBuf>,
    /// Boot and fetch the trace, but do not look into it.
    #[arg(long)]
    boot_only: bool,
}

impl Default for Options {
    fn default() -> Self {
        let kernels = fetch::VERSIONS.iter().map(|&version| version.to_owned()).collect();
        Self { kernels, recorder: None, analyzer: None, boot_only: false }
    }
}

/// The subcommand.
///
/// # Errors
/// Naming each kernel on which something was not as expected, after all have run.
pub(crate) fn run(options: &Options) -> Result<()> {
    setup::ensure(setup::Purpose::Test)?;
    let binaries = match &options.recorder {
        Some(recorder) => {
            artifacts::ensure_static(recorder)?;
            Static { recorder: recorder.clone(), workload: artifacts::static_workload()? }
        }
        None => artifacts::statics()?,
    };
    let analyzer = match &options.analyzer {
        _ if options.boot_only => None,
        Some(analyzer) => Some(analyzer.clone()),
        None => Some(artifacts::aftertrace(Profile::Dev)?),
    };
    let scratch = host::scratch("kernels")?;
    let image = scratch.join("initramfs");
    fs::write(&image, initramfs::build(&binaries)?)
        .with_context(|| format!("cannot write {}", image.display()))?;

    let mut failed = Vec::new();
    for version in &options.kernels {
        let result = one(version, &image, &scratch, analyzer.as_deref());
        if let Err(error) = result {
            println!("kernel {version}: FAILED: {error:#}");
            failed.push(version.as_str());
        }
    }
    if !failed.is_empty() {
        bail!(
            "failed on {}; repeat with: cargo xtask kernels --kernel {}",
            failed.join(", "),
            failed.join(",")
        );
    }
    Ok(())
}

fn one(version: &str, image: &Path, scratch: &Path, analyzer: Option<&Path>) -> Result<()> {
    let kernel = fetch::kernel(version)?;
    let boot = || {
        let begin = Instant::now();
        let guest = boot::boot(&kernel.image, image, &scratch.join(version))?;
        println!("kernel {version} ({}): ran for {}", kernel.release, host::human(begin.elapsed()));
        anyhow::Ok(guest)
    };
    let mut guest = boot()?;
    if guest.hung() {
        // One boot of 5.10 in thirty or so: the emulated TCP workload stands still.
        println!(
            "  the guest hung; its console follows, and it gets a second boot\n{}",
            guest.console.trim_end()
        );
        guest = boot()?;
    }
    let result = examine(&guest, analyzer);
    if result.is_err() {
        println!("---- console of {version}\n{}\n----", guest.console.trim_end());
    }
    result
}

fn examine(guest: &boot::Guest, analyzer: Option<&Path>) -> Result<()> {
    let trace = guest.trace()?;
    ensure!(guest.console.contains("guest: done"), "the guest did not come to its end");
    ensure!(guest.console.contains("guest: recorder exit status: 0"), "the recorder did not end with 0");
    match analyzer {
        Some(analyzer) => check::check(&Trace::new(analyzer, &trace)),
        None => {
            println!("  trace: {}", trace.display());
            Ok(())
        }
    }
}
