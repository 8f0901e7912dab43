//! What a user meets first: help, wrong flags, missing files, no rights.

use std::process::Command;

use tempfile::TempDir;

use crate::support::{AFTERTRACE, describe, needs_recording};

fn run(arguments: &[&str]) -> std::process::Output {
    Command::new(AFTERTRACE).args(arguments).output().unwrap()
}

#[test]
fn help_shows_examples_and_exit_codes() {
    for (arguments, words) in [
        (&["--help"][..], "Examples:"),
        (&["record", "--help"], "Exit codes:"),
        (&["analyze", "--help"], "Exit codes:"),
        (&["analyze", "sql", "--help"], "connections"),
    ] {
        let output = run(arguments);
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains(words), "{arguments:?}");
    }
}

#[test]
fn a_wrong_flag_is_wrong_usage() {
    assert_eq!(run(&["record", "--no-such-flag"]).status.code(), Some(2));
    assert_eq!(run(&["record", "-o", "x", "--duration", "soon"]).status.code(), Some(2));
}

#[test]
fn a_trace_that_is_not_there_is_named() {
    let output = run(&["analyze", "/no/such/trace"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/no/such/trace"), "{}", describe(&output));
}

#[test]
fn an_output_directory_with_something_in_it_is_refused() {
    needs_recording!();
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("precious"), "data").unwrap();
    let output = Command::new(AFTERTRACE)
        .args(["record", "--duration", "1s", "-o"])
        .arg(folder.path())
        .arg("--")
        .arg("/bin/true")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not empty"), "{}", describe(&output));
    assert_eq!(std::fs::read(folder.path().join("precious")).unwrap(), b"data");
}

#[test]
fn a_link_as_output_directory_is_refused() {
    needs_recording!();
    let folder = TempDir::new().unwrap();
    let target = folder.path().join("target");
    std::fs::create_dir(&target).unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let output = Command::new(AFTERTRACE)
        .args(["record", "-o"])
        .arg(&link)
        .args(["--", "/bin/true"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), 0);
}

#[test]
fn the_trace_is_private() {
    needs_recording!();
    use std::os::unix::fs::PermissionsExt;
    let trace = crate::support::record(&[], &["/bin/true".to_owned()]);
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&trace.path()), 0o700);
    assert_eq!(mode(&trace.path().join("trace.json")), 0o600);
}

#[test]
fn without_rights_the_message_names_what_is_missing() {
    needs_recording!();
    let folder = TempDir::new().unwrap();
    std::os::unix::fs::chown(folder.path(), Some(65_534), Some(65_534)).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--", AFTERTRACE, "record", "-o"])
        .arg(folder.path().join("trace"))
        .args(["--", "/bin/true"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("CAP_BPF") && message.contains("sudo"), "{message}");
}

/// Runs a command where tracefs is not mounted, for it alone.
fn without_tracefs(words: &[&str]) -> std::process::Output {
    let script = "umount -R /sys/kernel/debug 2>/dev/null; umount /sys/kernel/tracing && exec \"$@\"";
    let begin = ["--mount", "/bin/sh", "-c", script, "sh", AFTERTRACE];
    Command::new("unshare").args(begin).args(words).output().unwrap()
}

#[test]
fn without_tracefs_the_message_says_what_helps_and_the_flag_does() {
    needs_recording!();
    let folder = TempDir::new().unwrap();
    let trace = folder.path().join("trace");
    let record = ["record", "-o", trace.to_str().unwrap()];
    let refused = without_tracefs(&[&record[..], &["--", "/bin/true"]].concat());
    assert_eq!(refused.status.code(), Some(1), "{}", describe(&refused));
    let message = String::from_utf8_lossy(&refused.stderr);
    assert!(message.contains("tracefs") && message.contains("--mount-tracefs"), "{message}");
    assert!(!trace.exists());

    let mounted = without_tracefs(&[&record[..], &["--mount-tracefs", "--", "/bin/true"]].concat());
    assert_eq!(mounted.status.code(), Some(0), "{}", describe(&mounted));
    let (code, report) = crate::support::verify(&trace);
    assert_eq!(code, 0, "{report:#}");
}
