//! Logs of a real Docker daemon's containers, which it rotates.

use std::time::Duration;

use aftertrace_recorder::sources::logs::{LogConfig, OUTPUT};
use aftertrace_workload::docker::{Daemon, missing};

use crate::support::{Logs, host_file, skipped};

/// Many lines on standard output, some on standard error, and one that Docker splits.
const TALK: &str = "i=0; while [ $i -lt 20000 ]; do echo \"line $i of standard output\"; i=$((i+1)); done; \
                    i=0; while [ $i -lt 50 ]; do echo \"error $i\" >&2; i=$((i+1)); done; \
                    /bin/busybox head -c 40000 /dev/zero | /bin/busybox tr '\\0' x; echo; /bin/busybox printf end";

#[test]
fn what_a_container_says_is_read_whole_while_its_log_is_rotated() {
    let is_root = rustix::process::geteuid().is_root();
    let missing = missing();
    if skipped(missing.as_deref().or((!is_root).then_some("not root"))) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path()).unwrap();
    daemon.import_busybox("aftertrace-logs:1").unwrap();
    let docker = |arguments: &[&str]| daemon.docker(arguments).unwrap();
    let mut logs = Logs::start(LogConfig::default());
    let rotation = ["--log-opt", "max-size=100k", "--log-opt", "max-file=100"];
    let begin = ["create", "--name", "talker", "--network", "none"];
    let id =
        docker(&[&begin[..], &rotation, &["aftertrace-logs:1", "/bin/busybox", "sh", "-c", TALK]].concat());
    docker(&["start", &id]);
    let path = docker(&["inspect", "-f", "{{.LogPath}}", &id]);
    let mut target = host_file(std::path::Path::new(&path));
    target.source = OUTPUT.to_owned();
    logs.follow(vec![target]);
    docker(&["wait", &id]);
    // Its last line has no end: it is one when the log is given up.
    logs.wait_lines(20_051);
    std::thread::sleep(Duration::from_millis(200));
    let rows = logs.finish();
    assert!(std::path::Path::new(&format!("{path}.5")).is_file(), "it was rotated");
    let of = |stream: &str| -> Vec<&str> {
        let fitting = rows.lines.iter().filter(|row| row.stream.as_deref() == Some(stream));
        fitting.map(|row| row.text.as_str()).collect()
    };
    let (out, error) = (of("stdout"), of("stderr"));
    assert_eq!(rows.lines.len(), out.len() + error.len());
    for (number, line) in out.iter().take(20_000).enumerate() {
        assert_eq!(*line, format!("line {number} of standard output"));
    }
    assert_eq!(out[20_000..], [&"x".repeat(40_000), "end"]);
    assert_eq!(error, (0..50).map(|number| format!("error {number}")).collect::<Vec<_>>());
}
