//! What a crate may depend on, checked over its whole tree of dependencies.
//!
//! The registry is pure: it has just the crates of `xtask/registry-crates.txt`, so a new one is a line in a review.
//! The two halves of the program do not know each other's world.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::host::{self, cargo};

const REGISTRY_CRATES: &str = "xtask/registry-crates.txt";

/// What cannot be in a program for a laptop.
const LINUX_ONLY: &[&str] =
    &["aya", "aya-obj", "aftertrace-bpf-programs", "aftertrace-recorder", "bollard", "procfs", "netlink-sys"];

/// What is too much for the problem host.
const ANALYZER_ONLY: &[&str] =
    &["datafusion", "datafusion-common", "sqlparser", "aftertrace-analyzer", "rustyline"];

/// All checks.
///
/// # Errors
/// Naming each crate that is somewhere it must not be.
pub(crate) fn check() -> Result<()> {
    let path = host::root().join(REGISTRY_CRATES);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let allowed: BTreeSet<String> = allow_list(&text).map(str::to_owned).collect();
    let registry = tree(&["-p", "aftertrace-registry"])?;
    let strangers: Vec<_> = registry.difference(&allowed).map(String::as_str).collect();
    if !strangers.is_empty() {
        bail!(
            "aftertrace-registry depends on what {REGISTRY_CRATES} does not allow: {}",
            strangers.join(", ")
        );
    }
    println!("aftertrace-registry: {} crates, all allowed", registry.len());
    absent("analyze", LINUX_ONLY)?;
    absent("record", ANALYZER_ONLY)
}

fn absent(feature: &str, unwanted: &[&str]) -> Result<()> {
    let tree = tree(&["-p", "aftertrace", "--no-default-features", "--features", feature])?;
    let found: Vec<_> = unwanted.iter().copied().filter(|name| tree.contains(*name)).collect();
    if !found.is_empty() {
        bail!("`aftertrace` with the feature `{feature}` alone depends on {}", found.join(", "));
    }
    println!("aftertrace, {feature} alone: {} crates, none of {}", tree.len(), unwanted.join(", "));
    Ok(())
}

/// Names of all crates that a build of the package links or runs as procedural macro.
fn tree(package: &[&str]) -> Result<BTreeSet<String>> {
    let mut command = cargo();
    command
        .arg("tree")
        .args(package)
        .args(["--edges", "normal", "--prefix", "none", "--format", "{p}", "--locked"]);
    let text = host::text(&mut command)?;
    Ok(text
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect())
}

fn allow_list(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_empty_lines_allow_nothing() {
        let names: Vec<_> = allow_list("# pure\n\nregex\n  indexmap\n").collect();
        assert_eq!(names, ["regex", "indexmap"]);
    }
}
