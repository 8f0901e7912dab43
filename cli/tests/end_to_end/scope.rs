//! What is recorded: `--cgroup`, `--pid`, and what is wrong with them.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::cgroup::Cgroup;
use crate::support::{AFTERTRACE, Recording, Trace, describe, needs_recording};

fn executed(trace: &Trace, program: &str) -> i64 {
    trace.number(&format!(
        "SELECT count(*) FROM process_events WHERE kind = 'exec' AND executable LIKE '%/{program}'"
    ))
}

#[test]
fn of_control_groups_what_is_in_them_and_below_is_recorded_and_no_more() {
    needs_recording!();
    let (one, two, other) = (Cgroup::new("one"), Cgroup::new("two"), Cgroup::new("onenamesake"));
    let below = one.below("below");
    // There before the recording.
    let mut waiting = below.start("read line; /bin/true; read line; exit 0");
    let by_mount = two.directory();
    let recording = Recording::start(&["--cgroup", one.path(), "--cgroup", by_mount.to_str().unwrap()], &[]);
    one.run("/bin/true; /bin/true; exit 0");
    two.run("/bin/true; exit 0");
    other.run("/bin/true; exit 0");
    waiting.stdin.as_mut().unwrap().write_all(b"go\ngo\n").unwrap();
    assert!(waiting.wait().unwrap().success());
    let trace = recording.interrupt();
    assert_eq!(trace.output.status.code(), Some(0), "{}", describe(&trace.output));
    let groups = trace.sql(
        "SELECT cgroup, count(*) AS n FROM process_events WHERE kind = 'exec' AND executable LIKE '%/true' \
         GROUP BY cgroup ORDER BY n DESC, cgroup",
    );
    let seen: Vec<_> =
        groups.iter().map(|row| (row["cgroup"].as_str().unwrap(), row["n"].as_i64().unwrap())).collect();
    assert_eq!(seen, [(one.path(), 2), (below.path(), 1), (two.path(), 1)]);
    assert_eq!(
        trace.sql("SELECT count(*) AS n FROM processes GROUP BY pid HAVING count(*) > 1"),
        [] as [serde_json::Value; 0],
        "what was there is in the snapshot once"
    );
    trace.assert_whole();
}

#[test]
fn of_a_process_its_descendants_are_recorded_and_the_recording_ends_with_the_last() {
    needs_recording!();
    let script = "(read line; /bin/true; exit 0) <&0 & echo $!; read line; /bin/false; wait; exit 0";
    let mut parent = Command::new("/bin/bash")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The child is there before the recording.
    BufReader::new(parent.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
    let recording = Recording::start(&["--pid", &parent.id().to_string()], &[]);
    Command::new("/bin/true").status().unwrap();
    parent.stdin.take().unwrap().write_all(b"go\ngo\n").unwrap();
    assert!(parent.wait().unwrap().success());
    let trace = recording.wait();
    assert_eq!(trace.output.status.code(), Some(0), "{}", describe(&trace.output));
    assert!(describe(&trace.output).contains("the last process that was followed ended"));
    assert_eq!((executed(&trace, "true"), executed(&trace, "false")), (1, 1));
    trace.assert_whole();
}

#[test]
fn the_recorder_is_not_recorded_though_it_is_in_the_control_group_that_was_asked_for() {
    needs_recording!();
    let group = Cgroup::new("own");
    let enter = format!("echo 0 > {}/cgroup.procs; exec \"$@\"", group.directory().display());
    let recording = Recording::start_under(&["/bin/sh", "-c", &enter, "sh"], &["--cgroup", group.path()]);
    group.run("/bin/true; exit 0");
    let trace = recording.interrupt();
    assert_eq!(executed(&trace, "true"), 1);
    for table in ["processes", "process_events"] {
        let own = trace.number(&format!("SELECT count(*) FROM {table} WHERE command = 'aftertrace'"));
        assert_eq!(own, 0, "{table}");
    }
    trace.assert_whole();
}

#[test]
fn what_is_not_there_is_named_and_no_directory_is_made() {
    needs_recording!();
    let folder = TempDir::new().unwrap();
    let output = folder.path().join("trace");
    let mut dead = Command::new("/bin/true").spawn().unwrap();
    dead.wait().unwrap();
    let dead = dead.id().to_string();
    let (tell, told) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        tell.send(rustix::thread::gettid().as_raw_nonzero().get().to_string()).unwrap();
        // Until the test is over.
        let _ = ended.recv();
    });
    let thread = told.recv().unwrap();
    for (flags, expected) in [
        (["--cgroup", "/no/such/group"], "--cgroup /no/such/group: no such control group".to_owned()),
        (["--cgroup", ""], "no such control group".to_owned()),
        (["--pid", &dead], format!("--pid {dead}: no such process")),
        (["--pid", &thread], format!("--pid {thread}: a thread of process {}", std::process::id())),
        (["--max-age", "0s"], "--max-age 0s: must be 1s or more".to_owned()),
        (["--ring-size", "5KiB"], "must be a power of two".to_owned()),
    ] {
        let ended =
            Command::new(AFTERTRACE).arg("record").arg("-o").arg(&output).args(flags).output().unwrap();
        assert_eq!(ended.status.code(), Some(1), "{flags:?}: {}", describe(&ended));
        assert!(String::from_utf8_lossy(&ended.stderr).contains(&expected), "{}", describe(&ended));
        assert!(!output.exists(), "{flags:?}");
    }
    drop(end);
}

#[test]
fn a_control_group_that_is_made_again_is_recorded_again() {
    needs_recording!();
    // What a service manager leaves between its steps.
    let step = std::time::Duration::from_millis(300);
    let group = Cgroup::new("again");
    let recording = Recording::start(&["--cgroup", group.path()], &[]);
    std::fs::remove_dir(group.directory()).unwrap();
    std::thread::sleep(step);
    std::fs::create_dir(group.directory()).unwrap();
    std::thread::sleep(step);
    group.run("/bin/true; exit 0");
    let trace = recording.interrupt();
    assert_eq!(executed(&trace, "true"), 1);
    trace.assert_whole();
}
