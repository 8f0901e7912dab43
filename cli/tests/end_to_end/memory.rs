//! The OOM killer, in a control group with a memory limit that the test makes.

use std::path::PathBuf;

use serde_json::json;

use crate::support::{describe, needs_recording, record, workload};

/// A control group below the memory hierarchy, removed at the end.
struct LimitedCgroup(PathBuf);

impl LimitedCgroup {
    /// A group that may use `bytes` of memory; cgroup v1 or v2, whichever has the memory controller.
    fn new(bytes: u64) -> Self {
        let name = format!("aftertrace-test-{}", std::process::id());
        let v1 = PathBuf::from("/sys/fs/cgroup/memory");
        let (root, limit) = if v1.join("memory.limit_in_bytes").exists() {
            (v1, "memory.limit_in_bytes")
        } else {
            (PathBuf::from("/sys/fs/cgroup"), "memory.max")
        };
        let path = root.join(name);
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join(limit), bytes.to_string()).unwrap();
        Self(path)
    }
}

impl Drop for LimitedCgroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_process_that_the_oom_killer_ends_is_counted_for_its_container() {
    needs_recording!();
    let group = LimitedCgroup::new(64 << 20);
    let hog = workload("memory_hog").iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let script = format!("echo 0 > {}/cgroup.procs; {hog}; exit 0", group.0.display());
    // The shell's group has its limit in the memory hierarchy; the recorder follows the process tree.
    let trace = record(&[], &["/bin/sh".to_owned(), "-c".to_owned(), script]);
    assert!(trace.output.status.success(), "{}", describe(&trace.output));
    let rows = trace.sql(
        "SELECT count(*) AS n FROM process_events o JOIN process_events e ON e.pid = o.pid AND e.kind = 'exit' \
         WHERE o.kind = 'oom_kill' AND e.signal = 9",
    );
    assert_eq!(rows, [json!({"n": 1})]);
    let summary = std::process::Command::new(crate::support::AFTERTRACE)
        .arg("analyze")
        .arg(trace.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&summary.stdout).into_owned();
    assert!(text.to_lowercase().contains("oom"), "{text}");
}
