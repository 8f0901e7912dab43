//! What can be opened, what is refused, and what is left when something is damaged.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use aftertrace_analyzer::{NoProgress, Trace};
use aftertrace_schemas::{TableId, layout};
use tempfile::TempDir;

use crate::support::{Story, killed_shop, open, shop, trace_of, write_journal};

fn refusal(path: &Path) -> String {
    Trace::open(path, &mut NoProgress).unwrap_err().to_string()
}

#[test]
fn a_whole_trace_opens_without_damage() {
    let trace = shop().open();
    assert!(trace.damage.is_empty() && trace.notes.is_empty());
    assert_eq!(trace.segments.len(), 2);
    assert_eq!(
        trace.segments.iter().map(|segment| segment.seqs().unwrap()).collect::<Vec<_>>(),
        [(0, 34), (35, 72)]
    );
}

#[test]
fn what_is_no_trace_is_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x");
    assert!(refusal(&path).contains("x: No such file"), "{}", refusal(&path));
    fs::create_dir(&path).unwrap();
    assert!(refusal(&path).ends_with("x: empty: not a trace"));
    fs::write(path.join("readme"), "hello").unwrap();
    assert!(
        refusal(&path).ends_with("x: not a trace: it has neither trace.json nor segments/"),
        "{}",
        refusal(&path)
    );
    fs::write(path.join("trace.json"), "hello").unwrap();
    assert!(refusal(&path).contains("trace.json: not a trace manifest"), "{}", refusal(&path));
    for (name, bytes) in [("empty", &[][..]), ("text", b"hello, this is no archive"), ("zeros", &[0; 4096])] {
        let file = folder.path().join(name);
        fs::write(&file, bytes).unwrap();
        let words = refusal(&file);
        assert!(words.contains(&format!("{name}: ")) && words.contains("not a trace"), "{words}");
    }
}

#[test]
fn a_newer_trace_says_which_reader_it_needs() {
    let trace = shop();
    trace.edit_manifest(|manifest| manifest.least_reader_version = 99);
    assert!(
        refusal(&trace.path()).ends_with(
            "trace.json: the trace needs a reader of format version 99; this aftertrace reads up to version 1: use a newer one"
        ),
        "{}",
        refusal(&trace.path())
    );
}

#[test]
fn without_a_manifest_the_segments_are_still_read() {
    let trace = shop();
    fs::remove_file(trace.path().join(layout::MANIFEST)).unwrap();
    let opened = trace.open();
    assert_eq!(opened.rows(), 73);
    assert_eq!(opened.notes, ["trace.json is missing: host, options and filters are unknown"]);
    fs::write(trace.path().join(layout::MANIFEST), "{").unwrap();
    let opened = trace.open();
    assert_eq!(opened.rows(), 73);
    assert!(
        opened.damage[0].to_string().starts_with("trace.json: not a trace manifest"),
        "{:?}",
        opened.damage
    );
}

#[test]
fn an_unfinished_folder_is_ignored_and_a_sealed_segment_beats_its_journal() {
    let trace = shop();
    let segments = Story::shop();
    fs::create_dir(trace.path().join("segments/000003.tmp")).unwrap();
    write_journal(&trace.path(), 2, &segments[1][..5]);
    let opened = trace.open();
    assert_eq!(opened.rows(), 73);
    assert!(opened.damage.is_empty());
}

#[test]
fn a_segment_that_the_manifest_does_not_list_yet_is_read() {
    let trace = shop();
    trace.edit_manifest(|manifest| manifest.segments.truncate(1));
    assert_eq!(trace.open().rows(), 73);
}

#[test]
fn a_journal_alone_is_a_trace() {
    let trace = trace_of(&[]);
    let segments = Story::shop();
    write_journal(&trace.path(), 1, &segments[0]);
    let opened = trace.open();
    assert_eq!(opened.observations().collect::<Vec<_>>(), segments[0]);
    assert!(opened.segments[0].cuts.is_empty());
}

#[test]
fn a_cut_journal_gives_its_whole_batches() {
    let trace = killed_shop();
    let file = layout::journal_dir(&trace.path(), 2).join(layout::journal_name(TableId::Tcp));
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 100]).unwrap();
    let opened = trace.open();
    assert_eq!(opened.segments[1].cuts[0].file, "journal/000002/tcp_events.arrows");
    let rows = opened.segments[1].tables.iter().find(|table| table.table == TableId::Tcp).unwrap().rows;
    assert_eq!(rows, 5);
}

#[test]
fn a_cut_table_is_named_and_the_rest_is_read() {
    let trace = shop();
    let file = trace.parquet(1, TableId::Tcp);
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 10]).unwrap();
    fs::remove_file(trace.parquet(2, TableId::File)).unwrap();
    let opened = trace.open();
    let damaged: Vec<&str> = opened.damage.iter().map(|damage| damage.file.as_str()).collect();
    assert_eq!(damaged, ["segments/000001/tcp_events.parquet", "segments/000002/file_events.parquet"]);
    assert_eq!(opened.observations().count(), 73 - 9 - 1);
}

#[test]
fn a_link_in_place_of_a_table_is_not_followed() {
    let trace = shop();
    let file = trace.parquet(1, TableId::Tcp);
    let elsewhere = trace.directory.path().join("elsewhere");
    fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    assert!(trace.open().damage[0].reason.contains("links are not followed"));
}

#[test]
fn flipped_bytes_anywhere_never_panic() {
    let trace = shop();
    for table in [TableId::Tcp, TableId::Process, TableId::Container] {
        let file = trace.parquet(1, table);
        let bytes = fs::read(&file).unwrap();
        for place in (0..bytes.len()).step_by(64) {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0xff;
            fs::write(&file, &damaged).unwrap();
            let opened = trace.open();
            let mut observations = opened.observations();
            let read = observations.by_ref().count();
            assert!(read > 50, "{read} with {table:?} damaged at {place}");
        }
        fs::write(&file, &bytes).unwrap();
    }
}

fn tar_of(trace: &Path, prefix: &str) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_dir_all(prefix, trace).unwrap();
    archive.into_inner().unwrap()
}

#[test]
fn an_archive_reads_as_its_directory_does_and_leaves_nothing_behind() {
    let trace = shop();
    for prefix in ["trace", ".", "a/b/trace"] {
        let file = trace.directory.path().join("trace.tar");
        fs::write(&file, tar_of(&trace.path(), prefix)).unwrap();
        let opened = open(&file);
        assert_eq!(
            opened.observations().collect::<Vec<_>>(),
            trace.open().observations().collect::<Vec<_>>()
        );
        let extracted = opened.root.clone();
        assert!(extracted.exists());
        drop(opened);
        assert!(!extracted.exists());
    }
}

#[test]
fn of_a_cut_archive_what_is_there_is_used_and_the_cut_is_named() {
    let trace = shop();
    let file = trace.directory.path().join("trace.tar");
    let bytes = tar_of(&trace.path(), "trace");
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let opened = open(&file);
    let damage: Vec<String> = opened.damage.iter().map(ToString::to_string).collect();
    assert!(
        damage.iter().any(|line| line.contains("trace.tar: the archive is cut or damaged")),
        "{damage:?}"
    );
    assert!(opened.observations().count() > 0);
}

#[test]
fn a_file_that_is_no_archive_is_refused_without_quoting_its_bytes() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("notes.bin");
    for (bytes, expected) in [
        (vec![0x9b; 5_000], "notes.bin: not a trace: neither a directory nor a tar archive of one"),
        (vec![0x9b; 100], "notes.bin: not a trace: neither a directory nor a tar archive of one"),
        (
            [&[0x1f, 0x8b][..], &[7; 2_000]].concat(),
            "notes.bin: not a trace: it is compressed; decompress it first",
        ),
    ] {
        fs::write(&file, bytes).unwrap();
        assert!(refusal(&file).ends_with(expected), "{}", refusal(&file));
    }
}

#[test]
fn an_archive_that_leads_elsewhere_is_refused() {
    let folder = TempDir::new().unwrap();
    let entry = |path: &str, kind: tar::EntryType| {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_size(0);
        if kind == tar::EntryType::Symlink {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        let mut archive = tar::Builder::new(Vec::new());
        archive.append(&header, Cursor::new(&[])).unwrap();
        archive.into_inner().unwrap()
    };
    for (bytes, expected) in [
        (
            entry("../trace.json", tar::EntryType::Regular),
            "entry `../trace.json` refused: its path leads out",
        ),
        (entry("/trace.json", tar::EntryType::Regular), "entry `/trace.json` refused: its path is absolute"),
        (entry("trace.json", tar::EntryType::Symlink), "entry `trace.json` refused: it is neither a file"),
        (entry("trace.json", tar::EntryType::Link), "entry `trace.json` refused: it is neither a file"),
        (entry("trace.json", tar::EntryType::Char), "entry `trace.json` refused: it is neither a file"),
    ] {
        let file = folder.path().join("evil.tar");
        fs::write(&file, bytes).unwrap();
        assert!(refusal(&file).contains(expected), "{}", refusal(&file));
    }
}
