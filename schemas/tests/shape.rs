//! Released shapes only grow: a table may get nullable columns, and the trace may get tables.
//!
//! `released/v1.txt` is what old traces have. `UPDATE_SHAPE=1` adds what is new; nothing takes a line away.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::BTreeSet;
use std::path::Path;

use aftertrace_schemas::docs;

/// What is wrong with `now` after `released`, and the lines to add to it.
fn compare<'a>(released: &str, now: &'a str) -> Result<Vec<&'a str>, String> {
    let tables: BTreeSet<&str> = released.lines().filter_map(table).collect();
    let known: BTreeSet<&str> = released.lines().collect();
    let present: BTreeSet<&str> = now.lines().collect();
    if let Some(gone) = released.lines().find(|line| !present.contains(line)) {
        return Err(format!("`{gone}` was released and is gone or changed: old traces could not be read"));
    }
    let added: Vec<&str> = now.lines().filter(|line| !known.contains(line)).collect();
    let breaking =
        |line: &&&str| line.ends_with(" required") && table(line).is_some_and(|table| tables.contains(table));
    match added.iter().find(breaking) {
        Some(line) => {
            Err(format!("`{line}` is new in a released table: it must be nullable, old traces lack it"))
        }
        None => Ok(added),
    }
}

fn table(line: &str) -> Option<&str> {
    line.split_once('.').map(|(table, _)| table)
}

#[test]
fn the_released_shape_only_grows() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("released/v1.txt");
    let released = std::fs::read_to_string(&path).unwrap_or_default();
    let now = docs::shape();
    let added = compare(&released, &now).unwrap_or_else(|problem| panic!("{problem}"));
    if added.is_empty() {
        return;
    }
    let lines = added.join("\n");
    assert!(
        std::env::var_os("UPDATE_SHAPE").is_some(),
        "new columns; run the test with UPDATE_SHAPE=1 to release them:\n{lines}"
    );
    std::fs::write(path, format!("{released}{lines}\n")).unwrap();
}

#[test]
fn a_removed_a_retyped_and_a_newly_required_column_are_refused() {
    let released = "a.x UInt64 required\na.y Utf8 nullable\n";
    assert!(
        compare(released, "a.x UInt64 required\n").unwrap_err().contains("`a.y Utf8 nullable` was released")
    );
    assert!(compare(released, "a.x UInt32 required\na.y Utf8 nullable\n").is_err());
    assert!(compare(released, "a.x UInt64 nullable\na.y Utf8 nullable\n").is_err());
    let required = format!("{released}a.z Utf8 required\n");
    assert!(compare(released, &required).unwrap_err().contains("must be nullable"));
}

#[test]
fn a_nullable_column_and_a_new_table_are_additions() {
    let released = "a.x UInt64 required\n";
    let now = "a.x UInt64 required\na.z Utf8 nullable\nb.x UInt64 required\n";
    assert_eq!(compare(released, now).unwrap(), ["a.z Utf8 nullable", "b.x UInt64 required"]);
}
