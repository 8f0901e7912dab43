//! `cargo xtask sample-traces`: the traces in `sample-traces/`, recorded again, or looked into.
//!
//! Each is a directory with `record.sh`, `README.md` and what the one recorded, `trace.tar`. The script is given an
//! absent directory to record into as its argument, and the programs as `AFTERTRACE` and `WORKLOAD`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::analyze::Trace;
use crate::artifacts::{self, Profile};
use crate::{host, setup};

/// All of them together, so that a clone stays quick.
const MOST_BYTES: u64 = 3 * 1024 * 1024;

const HELP: &str = "\
Needs root. Each script records a workload of its own and no other process; its trace replaces the trace.tar
beside it. Then every sample is opened and verified, and all together must stay below 3 MiB.

Examples:
  sudo -E cargo xtask sample-traces
  sudo -E cargo xtask sample-traces storm";

/// Which to record.
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Options {
    /// Names of directories in sample-traces/; all when none is given.
    #[arg(value_name = "NAME", value_parser = name_of_sample)]
    names: Vec<String>,
}

/// The subcommand.
///
/// # Errors
/// When this is not root, or a script fails or leaves no trace.
pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(host::is_root(), "recording needs root; run: sudo -E cargo xtask sample-traces");
    setup::ensure(setup::Purpose::Test)?;
    let aftertrace = artifacts::aftertrace(Profile::Dev)?;
    let workload = artifacts::workload(Profile::Dev)?;
    let scratch = host::scratch("sample-traces")?;
    let samples = samples()?;
    for sample in samples {
        let name = sample.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !options.names.is_empty() && !options.names.contains(&name) {
            continue;
        }
        println!("recording {name}");
        let trace = scratch.join(&name).join("trace");
        fs::create_dir_all(scratch.join(&name))?;
        let mut script = Command::new("bash");
        script.arg(sample.join("record.sh")).arg(&trace).current_dir(&sample);
        host::run(script.env("AFTERTRACE", &aftertrace).env("WORKLOAD", &workload))?;
        pack(&trace, &sample.join("trace.tar"))?;
    }
    open_all(&aftertrace)
}

/// Opens every sample with a program built from this tree.
///
/// # Errors
/// As [`open_all`].
pub(crate) fn check() -> Result<()> {
    open_all(&artifacts::aftertrace(Profile::Dev)?)
}

/// Opens every sample with `aftertrace`: each verifies, has a summary and metrics, and is documented.
///
/// # Errors
/// Naming the first one that is not so; when there are none; when they are too big.
pub(crate) fn open_all(aftertrace: &Path) -> Result<()> {
    let samples = samples()?;
    ensure!(!samples.is_empty(), "sample-traces/ holds no traces");
    let mut bytes = 0;
    for sample in &samples {
        for file in ["record.sh", "README.md", "trace.tar"] {
            ensure!(sample.join(file).is_file(), "{} has no {file}", sample.display());
        }
        let trace = Trace::new(aftertrace, &sample.join("trace.tar"));
        let (status, said) = trace.verify()?;
        // 1 is a trace with gaps, which may be what a sample is there to show.
        ensure!(matches!(status.code(), Some(0 | 1)), "{} does not verify:\n{said}", trace.path().display());
        ensure!(!trace.summary()?.trim().is_empty(), "{} has an empty summary", trace.path().display());
        let metrics = trace.metrics()?.lines().filter(|line| !line.starts_with('#')).count();
        ensure!(metrics > 0, "{} has no metrics", trace.path().display());
        let size = fs::metadata(trace.path())?.len();
        println!(
            "{}: {size} bytes, {metrics} metrics",
            sample.file_name().unwrap_or_default().to_string_lossy()
        );
        bytes += size;
    }
    ensure!(bytes <= MOST_BYTES, "the samples have {bytes} bytes together; {MOST_BYTES} are allowed");
    Ok(())
}

/// The directories in sample-traces/, by name.
///
/// # Errors
/// When there is no sample-traces/.
pub(crate) fn samples() -> Result<Vec<PathBuf>> {
    let path = host::root().join("sample-traces");
    let entries = fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut samples: Vec<_> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    samples.sort();
    Ok(samples)
}

/// A name as given on the command line.
fn name_of_sample(name: &str) -> Result<String> {
    let samples = samples()?;
    let names: Vec<_> =
        samples.iter().filter_map(|sample| sample.file_name()).map(|name| name.to_string_lossy()).collect();
    ensure!(names.iter().any(|known| known == name), "sample-traces/ has {}", names.join(", "));
    Ok(name.to_owned())
}

fn pack(trace: &Path, archive: &Path) -> Result<()> {
    let parent = trace.parent().context("a trace in no directory")?;
    let mut tar = Command::new("tar");
    // The same trace gives the same archive, whoever packs it.
    tar.args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--format=ustar"]);
    host::run(tar.arg("-cf").arg(archive).arg("-C").arg(parent).arg("trace"))
}
