//! `cargo xtask systemd`: the shipped unit under a real systemd, booted in an emulator.
//!
//! In: the static recorder, packaging/aftertrace.service, this host's systemd and D-Bus. Out: what the guest found:
//! the unit becomes ready, answers, lives through its watchdog, is started again by it when it hangs, ends cleanly.

mod root;

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::artifacts::{self, Profile};
use crate::kernels::{Ending, VERSIONS, boot, kernel};
use crate::{host, setup};

const HELP: &str = "\
Takes about half a minute. The guest is made of files of this host (systemd, D-Bus, busybox) and of the shipped unit,
whose times are shortened by a drop-in. What it printed stays in xtask/systemd/ of cargo's target directory.";

/// Which kernel and recorder.
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Options {
    /// Kernel version, of those that Debian 11, 12 and 13 have.
    #[arg(long, default_value = "6.12", value_parser = PossibleValuesParser::new(VERSIONS), value_name = "VERSION")]
    kernel: String,
    /// Take this recorder and do not build one; its libraries come from this host.
    #[arg(long, value_name = "PATH", value_parser = host::file)]
    recorder: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self { kernel: "6.12".to_owned(), recorder: None }
    }
}

/// The subcommand.
///
/// # Errors
/// Naming what the guest found not to be as it should.
pub(crate) fn run(options: &Options) -> Result<()> {
    setup::ensure(setup::Purpose::Test)?;
    let kernel = kernel(&options.kernel)?;
    let recorder = match &options.recorder {
        Some(recorder) => recorder.clone(),
        None => artifacts::static_recorder(Profile::Dev)?,
    };
    let scratch = host::scratch("systemd")?;
    let initramfs = scratch.join("initramfs");
    fs::write(&initramfs, root::build(&recorder)?)
        .with_context(|| format!("cannot write {}", initramfs.display()))?;
    let begin = Instant::now();
    let words = "rdinit=/usr/lib/systemd/systemd systemd.unit=guest.target systemd.show_status=0";
    let mut guest = boot(&kernel, &initramfs, words, &scratch.join(kernel.version))?;
    if Ending::of(&guest.console).proves_nothing() {
        println!("kernel {}: BOOTED ONCE MORE, since it hung", kernel.version);
        guest = boot(&kernel, &initramfs, words, &scratch.join("again"))?;
    }
    println!("kernel {} ({}): ran for {}", kernel.version, kernel.release, host::human(begin.elapsed()));
    for line in guest.console.lines().filter_map(|line| line.split_once("guest: ")) {
        println!("  {}", line.1);
    }
    let ending = Ending::of(&guest.console);
    ensure!(
        ending == Ending::Done,
        "{ending}; the console:\n{}\n({})",
        guest.console.trim_end(),
        guest.console_path().display()
    );
    Ok(())
}
