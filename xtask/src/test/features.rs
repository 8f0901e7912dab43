//! The two halves of the program, each built alone.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::artifacts;
use crate::host::{self, cargo};

/// Builds `aftertrace` that only analyzes, with no clang to be found, and keeps it at [`analyze_alone_binary`].
///
/// # Errors
/// When it does not build or answer.
pub(crate) fn analyze_alone() -> Result<()> {
    let mut build = cargo();
    build.args(["build", "-p", "aftertrace", "--no-default-features", "--features", "analyze", "--locked"]);
    host::run(build.env("CLANG", "/nonexistent"))?;
    // The next build with all features takes the place of this binary.
    let built = host::target_directory()?.join("debug/aftertrace");
    let kept = analyze_alone_binary()?;
    if let Some(directory) = kept.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::copy(&built, &kept).with_context(|| format!("cannot keep {}", built.display()))?;
    answers(&kept)
}

/// Where [`analyze_alone`] keeps what it built.
///
/// # Errors
/// When cargo does not say where its target directory is.
pub(crate) fn analyze_alone_binary() -> Result<PathBuf> {
    Ok(host::target_directory()?.join("analyze-alone/aftertrace"))
}

/// Builds `aftertrace` that only records, as a static binary.
///
/// # Errors
/// When it does not build, is not static or does not answer.
pub(crate) fn record_alone() -> Result<()> {
    let recorder = artifacts::statics()?.recorder;
    let size = fs::metadata(&recorder)?.len();
    println!("static: {} ({:.1} MB without optimisation)", recorder.display(), size as f64 / 1e6);
    answers(&recorder)
}

fn answers(binary: &std::path::Path) -> Result<()> {
    let help = host::text(std::process::Command::new(binary).arg("--help"))?;
    println!("{}", help.lines().next().unwrap_or_default());
    Ok(())
}
