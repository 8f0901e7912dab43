//! The licence of every crate that the program is made of, against the list in `deny.toml`.
//!
//! `cargo deny check licenses` reads the same list and does more; it takes minutes to build, this takes a second.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::spdx;
use crate::host::{self, STATIC_TARGET, cargo};

/// The check.
///
/// # Errors
/// Naming each crate whose licence is not accepted.
pub(crate) fn check() -> Result<()> {
    let path = host::root().join("deny.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let accepted = accepted(&text);
    ensure!(!accepted.is_empty(), "deny.toml has no `allow` in [licenses]");
    let metadata = host::text(
        cargo()
            .args(["metadata", "--format-version", "1", "--locked"])
            .args(["--filter-platform", STATIC_TARGET]),
    )?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages =
        metadata.get("packages").and_then(Value::as_array).context("cargo metadata names no packages")?;
    let refused: Vec<String> = packages
        .iter()
        .filter_map(|package| {
            let field = |name| package.get(name).and_then(Value::as_str).unwrap_or_default();
            let licence = field("license");
            (!spdx::acceptable(licence, &accepted))
                .then(|| format!("{} {}: {licence:?}", field("name"), field("version")))
        })
        .collect();
    if !refused.is_empty() {
        bail!("licences that deny.toml does not allow:\n  {}", refused.join("\n  "));
    }
    println!("{} crates, all under licences that deny.toml allows", packages.len());
    Ok(())
}

/// The strings of `allow = [...]` in the section `[licenses]`.
fn accepted(deny: &str) -> BTreeSet<String> {
    let section = deny.split("[licenses]").nth(1).unwrap_or_default();
    let list =
        section.split_once("allow = [").and_then(|(_, rest)| rest.split_once(']')).unwrap_or_default().0;
    let lines = list.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines.flat_map(|line| line.split('"').skip(1).step_by(2)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_without_its_comments() {
        let text = "[bans]\nallow = [\"no\"]\n[licenses]\nallow = [\n  \"MIT\", # \"GPL\"\n  \"Zlib\",\n]\n";
        assert_eq!(accepted(text).into_iter().collect::<Vec<_>>(), ["MIT", "Zlib"]);
    }
}
