//! `cargo xtask setup`: the Debian packages that building, testing and measuring need, and tracefs.

mod tools;

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use self::tools::{TOOLS, Tool};
use crate::host;

const HELP: &str = "\
Every other task does this by itself for what it needs. As root, missing packages are installed and tracefs is
mounted, each with a line that says so; without root, the command to run is printed and nothing is changed.

Examples:
  cargo xtask setup
  cargo xtask setup --for bench";

/// What to install for.
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Options {
    /// What the tools are for; each includes those before it.
    #[arg(long = "for", value_enum, default_value = "test")]
    purpose: Purpose,
}

/// What tools are for, in the order of how many that is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Purpose {
    /// Building everything.
    Build,
    /// Running all tests.
    Test,
    /// Comparing with other recorders.
    Bench,
}

/// The subcommand.
///
/// # Errors
/// As [`ensure`].
pub(crate) fn run(options: &Options) -> Result<()> {
    ensure(options.purpose)
}

/// Installs what is missing for `purpose`, and as root mounts tracefs, saying what it does.
///
/// # Errors
/// When something is missing and this is not root (the message has the command to run), or apt fails.
pub(crate) fn ensure(purpose: Purpose) -> Result<()> {
    let missing: Vec<&Tool> = TOOLS
        .iter()
        .filter(|tool| tool.purpose <= purpose && host::find_program(tool.files).is_none())
        .collect();
    if missing.is_empty() {
        println!("setup: all tools are there");
    } else {
        install(&missing)?;
    }
    if host::is_root() { mount_tracefs() } else { Ok(()) }
}

fn install(missing: &[&Tool]) -> Result<()> {
    let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    let command = format!("apt-get install -y --no-install-recommends {}", packages.join(" "));
    for tool in missing {
        println!("setup: {} is missing ({})", tool.package, tool.why);
    }
    if host::find_program(&["apt-get"]).is_none() {
        bail!("there is no apt-get here; install what Debian has as: {}", packages.join(" "));
    }
    if !host::is_root() {
        bail!("installing needs root; run:\n  sudo apt-get update && sudo {command}");
    }
    println!("setup: apt-get update && {command}");
    apt_get(&["update", "-qq"])?;
    let mut words = vec!["install", "-y", "-qq", "--no-install-recommends"];
    words.extend(&packages);
    apt_get(&words)?;
    for tool in missing {
        if host::find_program(tool.files).is_none() {
            bail!("{} is installed, but none of {:?} is there", tool.package, tool.files);
        }
    }
    Ok(())
}

fn apt_get(words: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(words).env("DEBIAN_FRONTEND", "noninteractive");
    // What unpacking says is of no interest unless it fails, and then `text` shows the errors.
    host::text(&mut command).map(drop)
}

fn mount_tracefs() -> Result<()> {
    const TRACING: &str = "/sys/kernel/tracing";
    if Path::new(TRACING).join("events").exists() {
        return Ok(());
    }
    println!("setup: mount -t tracefs tracefs {TRACING}");
    host::run(Command::new("mount").args(["-t", "tracefs", "tracefs", TRACING]))
}
