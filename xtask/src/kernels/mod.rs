//! `cargo xtask kernels`: a known workload is recorded on Debian's kernels, each booted in an emulator, and counted.
//!
//! The kernel comes from its Debian package, the root from the static recorder and a small init. The guest sends the
//! trace over a serial line, and this host reads it with `aftertrace analyze`.

mod boot;
mod check;
mod ending;
mod fetch;
mod initramfs;

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::analyze::Trace;
use crate::artifacts::{self, Profile, Static};
use crate::{host, setup};
use boot::{Guest, Work};
use fetch::Kernel;

pub(crate) use boot::boot;
pub(crate) use ending::Ending;
pub(crate) use fetch::{VERSIONS, kernel};
pub(crate) use initramfs::{Archive, CHARACTER_DEVICE, DIRECTORY, LINK, PROGRAM};

const HELP: &str = "\
Each guest takes 5 to 15 seconds. Kernels are downloaded from Debian once, about 10 MB each, into
$XDG_CACHE_HOME/aftertrace/kernels (~/.cache without it). What a guest printed and sent stays in
xtask/kernels/ of cargo's target directory.

A guest that hangs in its kernel, or in which the workload itself fails, is booted once more, and that is said.
Crashes, a recorder that fails and wrong counts never are. How often kernels fail by themselves is in
docs/decisions/0003-kernels-under-emulation.md.

Examples:
  cargo xtask kernels --kernel 5.10
  cargo xtask kernels --boots 20 --alone   How often do these kernels fail with nothing recorded?";

/// Which kernels, and what to run on them.
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Options {
    /// Kernel versions, of those that Debian 11, 12 and 13 have.
    #[arg(
        long = "kernel",
        value_delimiter = ',',
        default_values = VERSIONS,
        value_parser = PossibleValuesParser::new(VERSIONS),
        value_name = "VERSION"
    )]
    kernels: Vec<String>,
    /// Boot each kernel so often (and none once more), and count how the guests end.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    boots: u32,
    /// Run the workload without the recorder, to see what the emulator alone does to a kernel.
    #[arg(long)]
    alone: bool,
    /// Take this static recorder and do not build one.
    #[arg(long, value_name = "PATH", value_parser = host::file)]
    recorder: Option<PathBuf>,
    /// Read the traces with this program and do not build one.
    #[arg(long, value_name = "PATH", value_parser = host::file)]
    analyzer: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        let kernels = VERSIONS.iter().map(|&version| version.to_owned()).collect();
        Self { kernels, boots: 1, alone: false, recorder: None, analyzer: None }
    }
}

/// The subcommand.
///
/// # Errors
/// Naming each kernel on which something was not as expected, after all have run.
pub(crate) fn run(options: &Options) -> Result<()> {
    setup::ensure(setup::Purpose::Test)?;
    // Before the builds: a download that fails is known at once.
    let kernels = options.kernels.iter().map(|version| kernel(version)).collect::<Result<Vec<_>>>()?;
    let setting = setting(options)?;
    let mut failed = Vec::new();
    for kernel in &kernels {
        let result =
            if options.boots == 1 { setting.once(kernel) } else { setting.often(kernel, options.boots) };
        if let Err(error) = result {
            println!("kernel {}: FAILED: {error:#}", kernel.version);
            failed.push(kernel.version);
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

/// What is the same for all guests.
struct Setting {
    work: Work,
    initramfs: PathBuf,
    scratch: PathBuf,
    /// Reads the traces.
    analyzer: PathBuf,
}

fn setting(options: &Options) -> Result<Setting> {
    let binaries = match &options.recorder {
        Some(recorder) => {
            artifacts::ensure_static(recorder)?;
            Static { recorder: recorder.clone(), workload: artifacts::static_workload()? }
        }
        None => artifacts::statics()?,
    };
    let analyzer = match &options.analyzer {
        Some(analyzer) => analyzer.clone(),
        None => artifacts::aftertrace(Profile::Dev)?,
    };
    let scratch = host::scratch("kernels")?;
    let initramfs = scratch.join("initramfs");
    fs::write(&initramfs, initramfs::build(&binaries)?)
        .with_context(|| format!("cannot write {}", initramfs.display()))?;
    Ok(Setting {
        work: if options.alone { Work::Alone } else { Work::Recorded },
        initramfs,
        scratch,
        analyzer,
    })
}

impl Setting {
    /// One boot that must be as expected, and a second one only when the first proves nothing.
    fn once(&self, kernel: &Kernel) -> Result<()> {
        let mut guest = self.boot(kernel, kernel.version)?;
        let mut ending = Ending::of(&guest.console);
        if ending.proves_nothing() {
            println!("kernel {}: BOOTED ONCE MORE, since {ending}", kernel.version);
            println!("  its console: {}", guest.console_path().display());
            guest = self.boot(kernel, &format!("{}-again", kernel.version))?;
            ending = Ending::of(&guest.console);
        }
        let result = self.examine(&guest, &ending);
        if result.is_err() {
            println!("---- console of {}\n{}\n----", kernel.version, guest.console.trim_end());
        }
        result
    }

    /// Many boots, counted by how they end.
    fn often(&self, kernel: &Kernel, boots: u32) -> Result<()> {
        let (mut right, mut hung, mut crashed, mut failed, mut wrong) = (0_u32, 0_u32, 0_u32, 0_u32, 0_u32);
        for number in 1..=boots {
            let guest = self.boot(kernel, &format!("{}-{number}", kernel.version))?;
            let ending = Ending::of(&guest.console);
            let Err(error) = self.examine(&guest, &ending) else {
                right += 1;
                continue;
            };
            match ending {
                Ending::Hung(_) => hung += 1,
                Ending::Crashed(_) => crashed += 1,
                Ending::WorkloadFailed(_) => failed += 1,
                Ending::Done | Ending::Failed(_) => wrong += 1,
            }
            println!("  boot {number}: {error:#}\n  its console: {}", guest.console_path().display());
        }
        let text = format!(
            "{boots} boots: {right} right, {hung} hung, {crashed} crashed, {failed} with a failed workload, {wrong} wrong"
        );
        println!("kernel {}: {text}", kernel.version);
        ensure!(right == boots, "{text}");
        Ok(())
    }

    fn boot(&self, kernel: &Kernel, name: &str) -> Result<Guest> {
        let begin = Instant::now();
        // The kernel passes what stands behind the dashes to init.
        let words = format!("rdinit=/init -- {}", self.work.argument());
        let guest = boot(kernel, &self.initramfs, &words, &self.scratch.join(name))?;
        println!("kernel {} ({}): ran for {}", kernel.version, kernel.release, host::human(begin.elapsed()));
        Ok(guest)
    }

    fn examine(&self, guest: &Guest, ending: &Ending) -> Result<()> {
        ensure!(*ending == Ending::Done, "{ending}");
        let program = match self.work {
            Work::Recorded => "recorder",
            Work::Alone => "workload",
        };
        let ended = format!("guest: {program} exit status: 0");
        ensure!(guest.console.contains(&ended), "the {program} did not end with 0");
        match self.work {
            Work::Recorded => check::check(&Trace::new(&self.analyzer, &guest.trace()?)),
            Work::Alone => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stage_boots_every_kernel_once_and_records() {
        let options = Options::default();
        assert_eq!(options.kernels, VERSIONS);
        assert_eq!((options.boots, options.alone), (1, false));
    }
}
