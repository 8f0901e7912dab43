use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::time::{Duration, Instant};

use aftertrace_recorder::sources::logs::{LogBudget, LogConfig, LogMode, ROW_BYTES};

use crate::support::{Logs, host_file};

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn beyond_the_budget_every_line_is_counted_and_another_container_is_not_held_up() {
    const LINES: u64 = 100_000;
    let directory = tempfile::tempdir().unwrap();
    let (loud, quiet) = (directory.path().join("loud"), directory.path().join("quiet"));
    let budget = LogBudget { bytes_per_second: 10_000, burst_bytes: 100_000 };
    let mut logs = Logs::start(LogConfig { budget, ..LogConfig::default() });
    let mut of_quiet = host_file(&quiet);
    of_quiet.cgroup = "/docker/quiet".to_owned();
    logs.follow(vec![host_file(&loud), of_quiet]);
    let mut file = BufWriter::new(File::create(&loud).unwrap());
    for number in 0..LINES {
        writeln!(file, "{number:068}").unwrap();
    }
    file.flush().unwrap();
    std::fs::write(&quiet, "line 0\nline 1\n").unwrap();
    let rows = logs.finish();
    let own = |quiet: bool| rows.lines.iter().filter(|row| (row.cgroup == "/docker/quiet") == quiet).count();
    assert_eq!(own(true), 2);
    assert_eq!(own(false) as u64 + rows.lost(), LINES);
    let fitting = budget.burst_bytes / (68 + ROW_BYTES);
    assert!((fitting..fitting + 2_000).contains(&(own(false) as u64)), "{}", own(false));
    assert!(rows.losses.iter().all(|loss| loss.cause == "budget" && loss.source == "source/logs"));
    assert!(rows.losses.iter().all(|loss| loss.subject == Some(host_file(&loud).cgroup)));
}

/// Run it by name, with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn lines_a_second_and_memory() {
    for (name, mode, line) in [
        ("plain lines", LogMode::Lines, "2026-01-01 00:00:00.000 INFO order 17 of customer 4711 was stored in 17 ms by worker 3".to_owned()),
        ("Docker lines", LogMode::Lines, r#"{"log":"2026-01-01 00:00:00.000 INFO order 17 of customer 4711 was stored in 17 ms\n","stream":"stdout","time":"2026-01-01T00:00:00.123456789Z"}"#.to_owned()),
        ("errors by pattern", LogMode::Patterns, "2026-01-01 00:00:00.000 ERROR order 17 of customer 4711 was not stored in 17 ms by worker 3".to_owned()),
    ] {
        const LINES: usize = 1_000_000;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.log");
        let budget = LogBudget { bytes_per_second: 1 << 40, burst_bytes: 1 << 40 };
        let mut logs = Logs::start(LogConfig { mode, budget, ..LogConfig::default() });
        let mut file = BufWriter::new(File::create(&path).unwrap());
        for _ in 0..LINES {
            writeln!(file, "{line}").unwrap();
        }
        file.flush().unwrap();
        let began = Instant::now();
        logs.follow(vec![host_file(&path)]);
        let (mut lines, mut seconds) = (0, 0.0);
        while mode == LogMode::Lines && lines < LINES || seconds == 0.0 {
            logs.take();
            lines += logs.rows.lines.len();
            logs.rows.lines.clear();
            let read: u64 = logs.rows.files.last().map_or(0, |row| row.offset);
            if mode == LogMode::Patterns && read == (LINES * (line.len() + 1)) as u64 || lines == LINES {
                seconds = began.elapsed().as_secs_f64();
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        println!("{name}: {:.0} lines/s, {:.0} MB/s", LINES as f64 / seconds, (LINES * line.len()) as f64 / seconds / 1e6);
    }

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.log");
    let mut logs = Logs::start(LogConfig::default());
    logs.follow(vec![host_file(&path)]);
    let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
    let (mut most, before) = (0, resident_kib());
    let (mut lines, mut written) = (0, 0_usize);
    let began = Instant::now();
    let batch = "2026-01-01 00:00:00.000 INFO order 17 of customer 4711 was stored in 17 ms by worker 3\n"
        .repeat(1_000);
    while began.elapsed() < Duration::from_secs(10) {
        if written < (began.elapsed().as_secs_f64() * 100_000.0) as usize {
            file.write_all(batch.as_bytes()).unwrap();
            written += 1_000;
        }
        logs.take();
        lines += logs.rows.lines.len();
        logs.rows.lines.clear();
        most = most.max(resident_kib());
    }
    let rows = logs.finish();
    lines += rows.lines.len();
    println!(
        "{} lines/s for 10 s: {lines} recorded, {} lost, resident {before} KiB before, {most} KiB at most",
        written / 10,
        rows.lost()
    );
    assert_eq!(lines as u64 + rows.lost(), written as u64);
}
