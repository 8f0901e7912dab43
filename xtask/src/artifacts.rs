//! The binaries that tasks run, built when needed.
//!
//! Always with the same package sets: cargo unifies features over what is built together, so another set would
//! build DataFusion again.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::elf;
use crate::host::{self, STATIC_TARGET};

/// How a binary is optimised.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Quick to build; the data path is optimised.
    Dev,
    /// For measuring.
    Release,
    /// For shipping: small, and slow to build.
    Dist,
}

impl Profile {
    /// As cargo's `--profile` takes it.
    fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Release => "release",
            Self::Dist => "dist",
        }
    }

    /// Below the target directory.
    fn directory(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            other => other.name(),
        }
    }
}

/// `aftertrace` with all features.
///
/// # Errors
/// When it does not build.
pub(crate) fn aftertrace(profile: Profile) -> Result<PathBuf> {
    workspace_binary("aftertrace", profile)
}

/// The workloads with known counts.
///
/// # Errors
/// When they do not build.
pub(crate) fn workload(profile: Profile) -> Result<PathBuf> {
    workspace_binary("workload", profile)
}

fn workspace_binary(name: &str, profile: Profile) -> Result<PathBuf> {
    let mut command = host::cargo();
    command.args(["build", "--workspace", "--bin", name, "--profile", profile.name()]);
    host::run(&mut command)?;
    Ok(host::target_directory()?.join(profile.directory()).join(name))
}

/// Binaries that need nothing of the system that they run on but its kernel.
pub(crate) struct Static {
    /// `aftertrace` that only records.
    pub(crate) recorder: PathBuf,
    /// The workloads, and the init of a guest.
    pub(crate) workload: PathBuf,
}

/// Builds [`Static`] and checks that it is.
///
/// # Errors
/// When something does not build or is not static.
pub(crate) fn statics() -> Result<Static> {
    Ok(Static { recorder: static_recorder(Profile::Dev)?, workload: static_workload()? })
}

/// `aftertrace` that only records, static.
///
/// # Errors
/// As [`statics`].
pub(crate) fn static_recorder(profile: Profile) -> Result<PathBuf> {
    let package = ["-p", "aftertrace", "--no-default-features", "--features", "record"];
    static_binary(&package, "aftertrace", profile)
}

/// The workloads, static.
///
/// # Errors
/// As [`statics`].
pub(crate) fn static_workload() -> Result<PathBuf> {
    static_binary(&["-p", "aftertrace-workload"], "workload", Profile::Dev)
}

fn static_binary(package: &[&str], name: &str, profile: Profile) -> Result<PathBuf> {
    let mut command = host::cargo();
    command.arg("build").args(package).args(["--target", STATIC_TARGET, "--profile", profile.name()]);
    // With an explicit target these flags do not reach build scripts and procedural macros, which must be dynamic.
    command.env("RUSTFLAGS", "-C target-feature=+crt-static -C strip=debuginfo");
    host::run(&mut command)?;
    let path = host::target_directory()?.join(STATIC_TARGET).join(profile.directory()).join(name);
    ensure_static(&path)?;
    Ok(path)
}

/// That `path` is an ELF file that needs no dynamic linker.
///
/// # Errors
/// When it is not, or cannot be read.
pub(crate) fn ensure_static(path: &Path) -> Result<()> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let interpreter =
        elf::interpreter(&bytes).with_context(|| format!("{} is not an ELF file", path.display()))?;
    ensure!(
        interpreter.is_none(),
        "{} is not static: it asks for {}",
        path.display(),
        interpreter.unwrap_or_default()
    );
    Ok(())
}
