//! The reports as people read them.

use aftertrace_analyzer::format::Style;
use aftertrace_analyzer::info::Info;
use aftertrace_analyzer::replay::replay;
use aftertrace_analyzer::summary::Summary;
use aftertrace_analyzer::{NoProgress, Progress, ReportFormat, Trace};

use crate::support::{Story, killed_shop, shop, trace_of};
use aftertrace_registry::{Config, Registry};
use aftertrace_schemas::tables::{MarkKind, ProcessEventKind, TcpEventKind};

fn summary(trace: &Trace, style: Style) -> String {
    let mut out = Vec::new();
    Summary::new(trace, &mut NoProgress).write(&mut out, ReportFormat::Text, style).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_summary_says_what_happened() {
    let text = summary(&shop().open_named(), Style::Plain);
    // The size depends on the Parquet writer's version.
    let (before, after) = text.split_once(" observations in ").unwrap();
    let (_, after) = after.split_once('\n').unwrap();
    insta::assert_snapshot!(format!("{before} observations\n{after}"));
}

#[test]
fn the_summary_of_a_killed_recording_says_that_it_is_incomplete() {
    let text = summary(&killed_shop().open_named(), Style::Plain);
    assert!(text.contains("incomplete: 1 gap (`analyze verify` lists them); 71 observations"), "{text}");
}

#[test]
fn the_summary_counts_a_connection_as_the_metrics_do() {
    let mut story = Story::default();
    story.mark(MarkKind::Start, 1);
    story.process(ProcessEventKind::Start, 300, |row| {
        row.cgroup = Some(format!("/docker/{}", "ab".repeat(32)))
    });
    story.tcp(TcpEventKind::Connect, 1, |_| {});
    story.tcp(TcpEventKind::Retransmit, 1, |_| {});
    // The kernel counted five of which one was seen; a row from before comes late.
    for (sent, again) in [(100, 5), (90, 4), (200, 5)] {
        story.tcp(TcpEventKind::Statistics, 1, |row| {
            (row.bytes_sent, row.retransmits) = (Some(sent), Some(again));
        });
    }
    let trace = trace_of(&[story.observations]).open();
    let mut registry = Registry::new(Config::default());
    replay(&trace, &mut registry, None, &mut NoProgress);
    let metrics = registry.top_talkers(9);
    let summary = Summary::new(&trace, &mut NoProgress);
    let [metric] = &metrics[..] else { panic!("{metrics:?}") };
    let [talker] = &summary.talkers[..] else { panic!("{:?}", summary.talkers) };
    assert_eq!((talker.bytes_sent, talker.retransmits, summary.totals.retransmits), (200, 5, 5));
    assert_eq!((metric.to.bytes_sent, metric.to.retransmits), (200, 5));
    assert_eq!(talker.container, *metric.container);
}

#[test]
fn the_summary_fits_a_screen_however_much_there_is() {
    let mut story = Story::default();
    story.mark(MarkKind::Start, 1);
    for id in 0..500u64 {
        let container = format!("/docker/{}", "x".repeat(200));
        story.process(aftertrace_schemas::tables::ProcessEventKind::Start, id as u32, |row| {
            row.cgroup = Some(format!("{container}{id}"));
        });
        story.tcp(TcpEventKind::Connect, id, |row| {
            (row.pid, row.process_start_ns) = (Some(id as u32), Some(id * 10_000_000));
            row.remote_ip = Some(aftertrace_schemas::column::Ip([0xfe; 16]));
            row.remote_port = Some(id as u16);
        });
        story.tcp(TcpEventKind::Close, id, |row| row.bytes_sent = Some(u64::MAX / 1000));
    }
    let text = summary(&trace_of(&[story.observations]).open(), Style::Plain);
    assert!(text.lines().count() <= 40, "{text}");
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{} columns: {line}", line.chars().count());
    }
}

#[test]
fn colour_is_only_there_when_asked_for() {
    let trace = shop().open();
    assert!(!summary(&trace, Style::Plain).contains('\u{1b}'));
    assert!(summary(&trace, Style::Colour).contains("\u{1b}[32mcomplete\u{1b}[0m"));
}

#[test]
fn the_summary_is_there_for_programs_too() {
    let mut out = Vec::new();
    Summary::new(&shop().open(), &mut NoProgress).write(&mut out, ReportFormat::Json, Style::Plain).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(json["totals"]["failed_connects"], 2);
    assert_eq!(json["talkers"][0]["destination"], "10.0.0.5:5432");
    assert_eq!(json["talkers"][0]["bytes_received"], 30_000);
}

#[test]
fn info_lists_host_probes_losses_and_tables() {
    let info = Info::new(&shop().open_named());
    let mut out = Vec::new();
    info.write(&mut out, ReportFormat::Text).unwrap();
    // Sizes depend on the Parquet writer's version.
    let text = String::from_utf8(out).unwrap();
    let text: String = text
        .lines()
        .map(|line| match line.split_once(" KiB") {
            Some((before, _)) => {
                before.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').trim_end().to_owned() + "\n"
            }
            None => format!("{line}\n"),
        })
        .collect();
    insta::assert_snapshot!(text);
    let mut out = Vec::new();
    info.write(&mut out, ReportFormat::Json).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(json["host"]["hostname"], "shop-1");
    assert_eq!(json["tables"][0]["table"], "process_events");
}

#[test]
fn progress_is_told_of_every_long_step() {
    #[derive(Default)]
    struct Steps(Vec<String>);
    impl Progress for Steps {
        fn begin(&mut self, what: &str, total: Option<u64>) {
            self.0.push(format!("{what} {}", total.unwrap_or_default()));
        }
        fn advance(&mut self, _done: u64) {}
        fn end(&mut self) {
            self.0.push("end".to_owned());
        }
    }
    let mut steps = Steps::default();
    let trace = Trace::open(&shop_path(&shop()), &mut steps).unwrap();
    Summary::new(&trace, &mut steps);
    assert_eq!(steps.0, ["opening segments 2", "end", "reading 73", "end"]);
}

fn shop_path(trace: &crate::support::TestTrace) -> std::path::PathBuf {
    let path = trace.directory.path().join("kept");
    std::fs::rename(trace.path(), &path).unwrap();
    path
}
