use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use aftertrace_recorder::sources::logs::{FileTarget, LINE_BYTES, LogConfig, LogFormat, LogMode, Place};

use crate::support::{Logs, Rows, host_file, skipped};

fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

/// Renames `path.N` to `path.N+1` and `path` to `path.1`, as runtimes and logrotate do, and makes it anew.
fn rotate(path: &Path, kept: u32) -> File {
    let name = |number: u32| path.with_extension(format!("log.{number}"));
    for number in (1..kept).rev() {
        if name(number).exists() {
            fs::rename(name(number), name(number + 1)).unwrap();
        }
    }
    fs::rename(path, name(1)).unwrap();
    append(path)
}

fn assert_all(rows: &Rows, count: usize) {
    assert_eq!(rows.lost(), 0, "{:?}", rows.losses);
    let wanted = (0..count).map(|number| format!("line {number}"));
    for (line, wanted) in rows.texts().into_iter().zip(wanted) {
        assert_eq!(line, wanted);
    }
    assert_eq!(rows.lines.len(), count);
}

fn rotation_under_load(config: LogConfig, per_file: usize, pause: Duration) {
    const LINES: usize = 40_000;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.log");
    writeln!(append(&path), "from before").unwrap();
    // Births are in ticks of the kernel's clock.
    std::thread::sleep(Duration::from_millis(20));
    let mut logs = Logs::start(config);
    logs.follow(vec![host_file(&path)]);
    let mut file = append(&path);
    for number in 0..LINES {
        if number % per_file == per_file - 1 {
            file = rotate(&path, 1_000);
            std::thread::sleep(pause);
            logs.take();
        }
        writeln!(file, "line {number}").unwrap();
    }
    assert_all(&logs.finish(), LINES);
}

#[test]
fn rotation_under_load_loses_nothing_and_gives_nothing_twice() {
    rotation_under_load(LogConfig::default(), 700, Duration::from_millis(2));
}

#[test]
fn files_that_were_rotated_between_two_looks_are_found() {
    // Two looks are 5 ms apart at least; most of these files are never seen under their first name.
    rotation_under_load(LogConfig::default(), 400, Duration::ZERO);
}

#[test]
fn where_the_kernel_tells_nothing_files_are_looked_at_at_intervals() {
    rotation_under_load(LogConfig { polls: true, ..LogConfig::default() }, 3_000, Duration::from_millis(60));
}

#[test]
fn files_that_came_and_went_between_two_looks_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.log");
    writeln!(append(&path), "from before").unwrap();
    std::thread::sleep(Duration::from_millis(20));
    let mut logs = Logs::start(LogConfig { polls: true, ..LogConfig::default() });
    logs.follow(vec![host_file(&path)]);
    writeln!(append(&path), "line 0").unwrap();
    logs.wait_lines(1);
    // Of these files, each with a line, three are left.
    for number in 1..=10 {
        writeln!(rotate(&path, 2), "line {number}").unwrap();
        std::thread::sleep(Duration::from_millis(10));
    }
    logs.wait_lines(4);
    let rows = logs.finish();
    // How many of them were seen depends on when it was looked. Of the others nothing is left to count them by, so that
    // some were missed is told of with as many as must have been.
    assert!(rows.lines.len() as u64 + rows.lost() <= 11, "{:?}", rows.losses);
    assert!(rows.lost() >= 1, "{} lines", rows.lines.len());
    assert!(rows.losses.iter().all(|loss| loss.cause == "unread_file"), "{:?}", rows.losses);
}

#[test]
fn a_file_from_before_is_read_from_its_end_and_a_later_one_from_its_beginning() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("old"), directory.path().join("new"));
    let mut old_file = append(&old);
    write!(old_file, "long ago\nthe beginning of a line and ").unwrap();
    // Births are in ticks of the kernel's clock.
    std::thread::sleep(Duration::from_millis(20));
    let mut logs = Logs::start(LogConfig::default());
    logs.follow(vec![host_file(&old), host_file(&new)]);
    write!(old_file, "its end\nold news\n").unwrap();
    logs.wait_lines(1);
    write!(append(&new), "new 1\nnew 2").unwrap();
    let rows = logs.finish();
    assert_eq!(rows.texts(), ["old news", "new 1", "new 2"]);
    let position = rows.files.iter().rev().find(|row| row.path == old.to_str().unwrap()).unwrap();
    assert_eq!(position.offset, fs::metadata(&old).unwrap().len());
    assert_eq!(rows.lines[0].offset, Some(position.offset - "old news\n".len() as u64));
}

#[test]
fn what_follows_a_truncation_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.log");
    let mut file = append(&path);
    let mut logs = Logs::start(LogConfig::default());
    logs.follow(vec![host_file(&path)]);
    for round in 0..3 {
        for number in 0..100 {
            writeln!(file, "line {}", round * 100 + number).unwrap();
        }
        logs.wait_lines((round + 1) * 100);
        file.set_len(0).unwrap();
        // Two truncations that nobody looks between are one.
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_all(&logs.finish(), 300);
}

#[test]
fn a_deleted_file_is_read_while_it_is_written_and_its_successor_from_the_beginning() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.log");
    let mut file = append(&path);
    let mut logs = Logs::start(LogConfig::default());
    logs.follow(vec![host_file(&path)]);
    writeln!(file, "line 0").unwrap();
    fs::remove_file(&path).unwrap();
    writeln!(file, "line 1").unwrap();
    logs.wait_lines(2);
    writeln!(file, "line 2").unwrap();
    logs.wait_lines(3);
    writeln!(append(&path), "line 3").unwrap();
    assert_all(&logs.finish(), 4);
}

#[test]
fn a_file_that_is_followed_again_goes_on_where_it_was_left() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.log");
    let mut logs = Logs::start(LogConfig::default());
    let mut file = append(&path);
    writeln!(file, "line 0").unwrap();
    logs.follow(vec![host_file(&path)]);
    logs.wait_lines(1);
    logs.follow(Vec::new());
    // Longer than what is no longer asked for is read.
    std::thread::sleep(Duration::from_millis(5_500));
    writeln!(file, "line 1").unwrap();
    logs.follow(vec![host_file(&path)]);
    logs.wait_lines(2);
    assert_all(&logs.finish(), 2);
}

#[test]
fn partial_lines_of_a_cri_log_are_joined_in_whatever_pieces_they_are_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.log");
    let mut logs = Logs::start(LogConfig::default());
    logs.follow(vec![host_file(&path)]);
    let mut file = append(&path);
    let mut text = String::new();
    for number in 0..50 {
        text += &format!("2026-01-01T00:00:00.000000001Z stdout P line {} \n", number);
        text += "2026-01-01T00:00:00.000000002Z stderr F aside\n";
        text += "2026-01-01T00:00:00.000000003Z stdout F end\n";
    }
    for piece in text.as_bytes().chunks(37) {
        file.write_all(piece).unwrap();
        logs.take();
    }
    let rows = logs.finish();
    let of = |stream: &str| -> Vec<&str> {
        let fitting = rows.lines.iter().filter(|row| row.stream.as_deref() == Some(stream));
        fitting.map(|row| row.text.as_str()).collect()
    };
    assert_eq!(of("stdout"), (0..50).map(|number| format!("line {number} end")).collect::<Vec<_>>());
    assert_eq!(of("stderr"), ["aside"; 50]);
    assert_eq!(rows.lines[1].logged.unwrap().0, 1_767_225_600_000_000_001);
}

#[test]
fn a_long_line_is_cut_and_its_length_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.log");
    let mut logs = Logs::start(LogConfig::default());
    logs.follow(vec![host_file(&path)]);
    let mut file = append(&path);
    for _ in 0..30 {
        file.write_all(&[b'x'; 10_000]).unwrap();
    }
    file.write_all(b"\nshort\n").unwrap();
    let rows = logs.finish();
    let sizes: Vec<_> = rows.lines.iter().map(|row| (row.text.len(), row.text_bytes)).collect();
    assert_eq!(sizes, [(LINE_BYTES, 300_000), (5, 5)]);
}

#[test]
fn in_patterns_mode_messages_are_counted_and_no_text_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.log");
    let mut logs = Logs::start(LogConfig { mode: LogMode::Patterns, ..LogConfig::default() });
    logs.follow(vec![host_file(&path)]);
    let mut file = append(&path);
    for number in 0..500 {
        writeln!(file, "ERROR order {number} failed\n\tat secret {number}\nINFO order {number}").unwrap();
    }
    let rows = logs.finish();
    assert!(rows.lines.is_empty());
    let of = |level: &str| -> u64 {
        rows.patterns.iter().filter(|row| row.level == level).map(|row| row.messages).sum()
    };
    assert_eq!((of("error"), of("info")), (500, 500));
    let hashes: std::collections::BTreeSet<_> =
        rows.patterns.iter().filter(|row| row.level == "error").map(|row| &row.pattern_hash).collect();
    assert_eq!(hashes.len(), 1);
    assert!(!format!("{rows:?}").contains("secret"));
}

#[test]
fn a_container_shows_its_own_files_and_not_those_of_the_host_by_a_link() {
    let is_root = rustix::process::geteuid().is_root();
    let has_busybox = Path::new("/bin/busybox").is_file();
    if skipped((!is_root || !has_busybox).then_some("not root, or no /bin/busybox (package busybox-static)"))
    {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    let logs_folder = root.join("var/log");
    fs::create_dir_all(&logs_folder).unwrap();
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    let secret = directory.path().join("secret");
    fs::write(&secret, "secret\n").unwrap();
    symlink(&secret, logs_folder.join("link.log")).unwrap();
    symlink("/proc/self/environ", logs_folder.join("proc.log")).unwrap();
    assert!(Command::new("mkfifo").arg(logs_folder.join("pipe.log")).status().unwrap().success());
    // Another root directory is what matters here; a container has it too.
    let mut child = Command::new("chroot")
        .arg(&root)
        .args(["/bin/busybox", "sleep", "600"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let its_root = format!("/proc/{}/root", child.id());
    while fs::read_link(&its_root).unwrap() != root {
        std::thread::sleep(Duration::from_millis(10));
    }
    let target = |name: &str| FileTarget {
        path: format!("/var/log/{name}.log"),
        source: name.to_owned(),
        place: Place::Process { pid: child.id(), mount_namespace: None },
        format: LogFormat::Plain,
        from_start: true,
        ..host_file(Path::new("/"))
    };
    let mut logs = Logs::start(LogConfig::default());
    logs.follow(["own", "link", "proc", "pipe"].map(target).to_vec());
    writeln!(append(&logs_folder.join("own.log")), "line 0").unwrap();
    logs.wait_lines(1);
    std::thread::sleep(Duration::from_millis(1_200));
    let rows = logs.finish();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_all(&rows, 1);
    let reasons: Vec<_> = rows.probes.iter().filter_map(|probe| probe.reason.as_deref()).collect();
    assert!(reasons.iter().any(|reason| reason.contains("pipe.log: not a regular file")), "{reasons:?}");
}
