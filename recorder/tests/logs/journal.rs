//! The journal: files that systemd-journal-remote writes from what the test says, as it writes those of other hosts, and
//! that the real journalctl follows. No service manager is needed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use aftertrace_recorder::sources::logs::{JournalConfig, LogConfig, Targets};
use aftertrace_schemas::tables::ProbeState;

use crate::support::{Logs, skipped};

const WRITERS: [&str; 2] = ["/usr/lib/systemd/systemd-journal-remote", "/lib/systemd/systemd-journal-remote"];

/// A journal that grows.
struct Journal {
    process: Child,
    input: Option<ChildStdin>,
    entries: u64,
}

impl Journal {
    fn begin(directory: &Path, writer: &Path) -> Self {
        let mut process = Command::new(writer)
            .arg(format!("--output={}", directory.join("test.journal").display()))
            .args(["--split-mode=none", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = process.stdin.take();
        Self { process, input, entries: 0 }
    }

    fn log(&mut self, unit: &str, priority: u8, message: &[u8]) {
        self.entries += 1;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let mut entry = format!(
            "__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID=0123456789abcdef0123456789abcdef\n\
             _SYSTEMD_UNIT={unit}\nPRIORITY={priority}\nMESSAGE\n",
            now.as_micros(),
            self.entries
        )
        .into_bytes();
        entry.extend_from_slice(&(message.len() as u64).to_le_bytes());
        entry.extend_from_slice(message);
        entry.extend_from_slice(b"\n\n");
        let input = self.input.as_mut().unwrap();
        input.write_all(&entry).unwrap();
        input.flush().unwrap();
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.input.take();
        let _ = self.process.wait();
    }
}

fn children() -> usize {
    let task = std::fs::read_dir("/proc/self/task").unwrap();
    let of =
        |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("children")).unwrap_or_default();
    let all: Vec<String> = task.map(|entry| of(entry.unwrap())).collect();
    let pids = all.iter().flat_map(|pids| pids.split_whitespace());
    pids.filter(|pid| {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "journalctl")
    })
    .count()
}

fn units(names: &[&str]) -> Targets {
    let unit = |name: &&str| ((*name).to_owned(), format!("/system.slice/{name}"));
    Targets { units: names.iter().map(unit).collect(), ..Targets::default() }
}

#[test]
fn entries_of_followed_units_are_read_with_priority_and_no_others_and_none_twice_when_units_change() {
    let writer: Option<PathBuf> = WRITERS.iter().map(PathBuf::from).find(|path| path.is_file());
    let Some(writer) = writer else {
        skipped(Some("no systemd-journal-remote (package systemd-journal-remote)"));
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::begin(directory.path(), &writer);
    journal.log("shop.service", 3, b"from before");
    std::thread::sleep(Duration::from_millis(1_100));
    let config = JournalConfig { directory: Some(directory.path().to_owned()) };
    let mut logs = Logs::start(LogConfig { journal: config, ..LogConfig::default() });
    logs.follow_all(units(&["shop.service"]));
    journal.log("shop.service", 3, b"order 1 failed\nbecause");
    journal.log("other.service", 3, b"not asked for");
    journal.log("shop.service", 6, b"gr\xffn");
    logs.wait_lines(2);
    assert_eq!(children(), 1);
    // While it is started again, entries come.
    logs.follow_all(units(&["cart.service", "shop.service"]));
    for number in 0..200 {
        journal.log("shop.service", 6, format!("line {number}").as_bytes());
        std::thread::sleep(Duration::from_millis(10));
        logs.take();
    }
    journal.log("cart.service", 4, &[b'x'; 5_000]);
    logs.wait_lines(203);
    let rows = logs.finish();
    assert_eq!(children(), 0, "journalctl ends with the recording");
    let texts = rows.texts();
    assert_eq!(texts[..2], ["order 1 failed\nbecause", "gr\u{fffd}n"]);
    assert_eq!(texts[2..202], (0..200).map(|number| format!("line {number}")).collect::<Vec<_>>());
    assert_eq!((texts[202].len(), rows.lines.len()), (5_000, 203));
    assert_eq!((rows.lines[0].priority, rows.lines[202].priority), (Some(3), Some(4)));
    assert_eq!(rows.lines[202].cgroup, "/system.slice/cart.service");
    assert!(rows.lines.iter().all(|row| row.source == "journald" && row.logged.is_some()));
    let state = rows.probes.iter().rev().find(|probe| probe.probe == "journald").unwrap();
    assert_eq!(state.state, ProbeState::Active);
}
