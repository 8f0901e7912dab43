//! `cargo xtask schema-docs`: schemas/README.md from the tables' definitions.
//!
//! The text comes from `examples/schema_docs.rs`, a program of its own, so that `cargo xtask` itself does not
//! depend on Arrow.

use std::fs;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::host;

const HELP: &str = "\
Run it after a change in schemas/src/tables/. `cargo xtask test --only schema-docs` is `--check`.";

/// Whether to write.
#[derive(Args, Default)]
#[command(after_help = HELP)]
pub(crate) struct Options {
    /// Write nothing; fail when the file is not what would be written.
    #[arg(long)]
    check: bool,
}

impl Options {
    /// The check.
    pub(crate) fn check() -> Self {
        Self { check: true }
    }
}

/// The subcommand.
///
/// # Errors
/// When the definitions do not build, the file cannot be written, or (checking) it is stale.
pub(crate) fn run(options: &Options) -> Result<()> {
    // All of the workspace is named, so that Arrow is built as for the tests and not once more.
    host::run(host::cargo().args(["build", "--workspace", "--example", "schema_docs"]))?;
    let program = host::target_directory()?.join("debug/examples/schema_docs");
    let text = host::text(&mut std::process::Command::new(program))?;
    let path = host::root().join("schemas/README.md");
    if options.check {
        let found = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(found == text, "schemas/README.md is stale; run: cargo xtask schema-docs");
        println!("schemas/README.md is what the definitions say");
        return Ok(());
    }
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("wrote schemas/README.md");
    Ok(())
}
