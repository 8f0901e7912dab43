//! Reading traces that are whole, damaged, cut, empty, foreign or too new: what is said, and the exit codes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::{AFTERTRACE, describe, needs_recording, record_workload};

fn analyze(words: &[&str], trace: &Path) -> Output {
    Command::new(AFTERTRACE).arg("analyze").args(words).arg(trace).output().unwrap()
}

fn tar(archive: &Path, trace: &Path) {
    let (folder, name) = (trace.parent().unwrap(), trace.file_name().unwrap());
    let made = Command::new("tar").arg("-cf").arg(archive).arg("-C").arg(folder).arg(name).status().unwrap();
    assert!(made.success());
}

/// Some table's file of the first segment.
fn table(trace: &Path) -> PathBuf {
    trace.join("segments/000001/process_events.parquet")
}

fn edit_manifest(trace: &Path, edit: impl FnOnce(&mut serde_json::Value)) {
    let file = trace.join("trace.json");
    let mut manifest = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    edit(&mut manifest);
    fs::write(file, manifest.to_string()).unwrap();
}

#[test]
fn verify_tells_whole_from_usable_from_unusable_and_names_what_is_wrong() {
    needs_recording!();
    let recorded = record_workload("processes");
    let folder = TempDir::new().unwrap();
    // Each a copy that something happens to; what is said of it, the exit codes of verify and of the summary.
    type Fate = fn(&Path);
    let fates: [(&str, Fate, &str, i32, i32); 13] = [
        ("whole", |_| {}, "whole", 0, 0),
        (
            "cut-file",
            |t| fs::write(table(t), &fs::read(table(t)).unwrap()[..200]).unwrap(),
            "process_events.parquet",
            1,
            0,
        ),
        ("empty-file", |t| fs::write(table(t), "").unwrap(), "process_events.parquet", 1, 0),
        (
            "no-file",
            |t| fs::remove_file(table(t)).unwrap(),
            "process_events.parquet: listed in the manifest, but missing",
            1,
            0,
        ),
        ("foreign-file", |t| fs::write(table(t), [7; 5_000]).unwrap(), "process_events.parquet", 1, 0),
        ("no-manifest", |t| fs::remove_file(t.join("trace.json")).unwrap(), "trace.json is missing", 1, 0),
        (
            "cut-manifest",
            |t| fs::write(t.join("trace.json"), "{").unwrap(),
            "trace.json: not a trace manifest",
            1,
            0,
        ),
        ("no-segments", |t| fs::remove_dir_all(t.join("segments")).unwrap(), "segments/000001", 2, 0),
        (
            "too-new",
            |t| {
                edit_manifest(t, |m| {
                    (m["format_version"], m["least_reader_version"]) = (99.into(), 99.into())
                })
            },
            "the trace needs a reader of format version 99; this aftertrace reads up to version 1",
            2,
            1,
        ),
        ("newer", |t| edit_manifest(t, |m| m["format_version"] = 99.into()), "whole", 0, 0),
        (
            "empty-folder",
            |t| {
                fs::remove_dir_all(t).unwrap();
                fs::create_dir(t).unwrap()
            },
            "empty: not a trace",
            2,
            1,
        ),
        (
            "foreign-folder",
            |t| {
                fs::remove_dir_all(t).unwrap();
                fs::create_dir(t).unwrap();
                fs::write(t.join("x"), "").unwrap()
            },
            "not a trace: it has neither trace.json nor segments/",
            2,
            1,
        ),
        ("nothing", |t| fs::remove_dir_all(t).unwrap(), "No such file or directory", 2, 1),
    ];
    for (name, fate, words, verified, summed_up) in fates {
        let trace = folder.path().join(name);
        assert!(Command::new("cp").arg("-r").arg(recorded.path()).arg(&trace).status().unwrap().success());
        fate(&trace);
        check(&trace, words, verified, summed_up);
    }
    // The same for files.
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let archive = folder.path().join("whole.tar");
    tar(&archive, &recorded.path());
    let bytes = fs::read(&archive).unwrap();
    check(&archive, "whole", 0, 0);
    check(&file("cut.tar", &bytes[..bytes.len() * 2 / 3]), "cut.tar: the archive is cut or damaged", 1, 0);
    check(&file("empty", b""), "not a trace: the file is empty", 2, 1);
    check(&file("foreign", &[0x9b; 4_000]), "neither a directory nor a tar archive of one", 2, 1);
    check(&file("a.gz", b"\x1f\x8b\x08\x00 and so on"), "it is compressed", 2, 1);
    check(
        &file("one.parquet", &fs::read(table(&recorded.path())).unwrap()),
        "neither a directory nor a tar",
        2,
        1,
    );
}

fn check(trace: &Path, words: &str, verified: i32, summed_up: i32) {
    let verify = analyze(&["verify"], trace);
    assert_eq!(verify.status.code(), Some(verified), "verify {}: {}", trace.display(), describe(&verify));
    assert!(String::from_utf8_lossy(&verify.stdout).contains(words), "{}", describe(&verify));
    for verb in [&[][..], &["info"]] {
        let output = analyze(verb, trace);
        assert_eq!(
            output.status.code(),
            Some(summed_up),
            "{verb:?} {}: {}",
            trace.display(),
            describe(&output)
        );
        let said = describe(&output);
        // What cannot be read at all is named by all verbs.
        assert!(summed_up == 0 || (said.contains(words) && said.contains("error: ")), "{verb:?} {said}");
    }
}

#[test]
fn whoever_may_read_a_trace_can_analyze_it() {
    if !rustix::process::geteuid().is_root() {
        // Then all other tests show it.
        return;
    }
    let folder = TempDir::new().unwrap();
    let (program, trace) = (folder.path().join("aftertrace"), folder.path().join("trace.tar"));
    fs::copy(AFTERTRACE, &program).unwrap();
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("../sample-traces/storm/trace.tar"), &trace).unwrap();
    for file in [folder.path(), &program, &trace] {
        std::os::unix::fs::chown(file, Some(65_534), Some(65_534)).unwrap();
    }
    for verb in [&[][..], &["info"], &["verify"], &["metrics"], &["sql", "-c", "SELECT 1"]] {
        let output = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
            .arg(&program)
            .arg("analyze")
            .args(verb)
            .arg(&trace)
            .output()
            .unwrap();
        assert!(output.status.success() && !output.stdout.is_empty(), "{verb:?}: {}", describe(&output));
    }
}

#[test]
fn statements_come_from_flags_files_or_standard_input_and_rows_go_where_they_are_sent() {
    let trace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sample-traces/storm/trace.tar");
    let folder = TempDir::new().unwrap();
    let script = folder.path().join("script.sql");
    fs::write(&script, "SELECT 1 AS a; SELECT 2 AS b").unwrap();
    let sql = |flags: &[&str], input: &Path| {
        let input = fs::File::open(input).unwrap();
        Command::new(AFTERTRACE)
            .args(["analyze", "sql"])
            .arg(&trace)
            .args(flags)
            .stdin(input)
            .output()
            .unwrap()
    };
    let none = Path::new("/dev/null");
    let printed = |output: &Output| {
        assert!(output.status.success(), "{}", describe(output));
        String::from_utf8(output.stdout.clone()).unwrap()
    };
    assert_eq!(printed(&sql(&["--format", "csv"], &script)), "a\n1\nb\n2\n");
    assert_eq!(
        printed(&sql(&["--format", "json", "-f", script.to_str().unwrap()], none)),
        "{\"a\":1}\n{\"b\":2}\n"
    );
    assert_eq!(printed(&sql(&["--quiet", "-c", "SELECT 'x' AS a"], none)), " a\n---\n x\n");
    assert_eq!(printed(&sql(&[], none)), "");

    let file = folder.path().join("rows.parquet");
    let into_file =
        ["--format", "parquet", "--output", file.to_str().unwrap(), "-c", "SELECT * FROM tcp_events"];
    printed(&sql(&into_file, none));
    let piped = sql(&["--format", "parquet", "-c", "SELECT * FROM tcp_events"], none).stdout;
    for bytes in [fs::read(&file).unwrap(), piped] {
        assert!(bytes.len() > 1_000 && bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    }
    for (flags, words) in [
        (&["--format", "parquet", "-c", "SELECT 1", "-c", "SELECT 2"][..], "give one statement"),
        (&["--format", "parquet", "-c", "SELECT 1; SELECT 2"], "only one statement"),
        (&["-c", "SELECT nothing FROM tcp_events"], "No field named nothing"),
        (&["-c", "DROP TABLE tcp_events"], "a trace is never changed"),
        (&["-f", "/no/such/file.sql"], "/no/such/file.sql"),
    ] {
        let output = sql(flags, none);
        assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
        assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{}", describe(&output));
    }
}
