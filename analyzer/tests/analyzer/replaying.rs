//! The order of observations, and what the registry makes of them.

use aftertrace_analyzer::metrics::{self, MetricsFormat};
use aftertrace_analyzer::replay::replay_from;
use aftertrace_analyzer::{Moment, NoProgress, Trace};
use aftertrace_registry::{Config, Registry, exposition};
use aftertrace_schemas::tables::{MarkKind, TcpEventKind};
use aftertrace_schemas::{Kind, TableId};

use crate::support::{Story, killed_shop, shop, trace_of};

fn metrics_text(trace: &Trace, at: Option<&str>, format: MetricsFormat) -> String {
    let mut out = Vec::new();
    let at: Option<Moment> = at.map(|at| at.parse().unwrap());
    metrics::write(trace, at, format, &mut out, &mut NoProgress).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_rows_of_all_tables_come_back_in_their_one_order() {
    let trace = shop().open();
    let mut observations = trace.observations();
    let read: Vec<_> = observations.by_ref().collect();
    assert_eq!(read, Story::shop().concat());
    let order = observations.order();
    assert_eq!((order.observations, order.first_seq, order.last_seq), (73, Some(0), Some(72)));
    assert_eq!((order.missing, order.repeated, order.out_of_order), (0, 0, 0));
}

#[test]
fn the_journal_continues_the_sealed_segments() {
    let [first, second] = Story::shop();
    let expected: Vec<_> = first
        .into_iter()
        .chain(second.into_iter().filter(|row| !matches!(row.kind, Kind::Mark(_))))
        .collect();
    assert_eq!(killed_shop().open().observations().collect::<Vec<_>>(), expected);
}

#[test]
fn thousands_of_rows_across_batches_keep_their_order() {
    let mut story = Story::default();
    story.mark(MarkKind::Start, 1);
    for id in 0..30_000 {
        story.at(id as i64 / 10).tcp(TcpEventKind::Connect, id, |_| {});
        if id % 7 == 0 {
            story.process(aftertrace_schemas::tables::ProcessEventKind::Start, id as u32, |_| {});
        }
    }
    let trace = trace_of(&[story.observations.clone()]).open();
    assert!(trace.observations().eq(story.observations));
}

#[test]
fn some_tables_can_be_read_alone() {
    let trace = shop().open();
    let marks: Vec<_> = trace.observations_of(&[TableId::Mark]).map(|row| row.seq).collect();
    assert_eq!(marks, [0, 35, 72]);
}

#[test]
fn missing_repeated_and_misplaced_numbers_are_counted_and_do_not_stop_the_replay() {
    let mut story = Story::default();
    story.mark(MarkKind::Start, 1);
    story.skip(3);
    story.mark(MarkKind::SnapshotEnd, 1);
    let mut rows = story.observations.clone();
    rows.push(rows[1].clone());
    rows.push(rows[0].clone());
    let trace = trace_of(&[rows]).open();
    let mut observations = trace.observations();
    assert_eq!(observations.by_ref().count(), 4);
    let order = observations.order();
    assert_eq!((order.missing, order.repeated, order.out_of_order), (3, 1, 1));
}

#[test]
fn two_replays_are_byte_identical() {
    for format in [MetricsFormat::Prometheus, MetricsFormat::OpenMetrics] {
        let first = metrics_text(&shop().open(), None, format);
        assert!(!first.is_empty());
        assert_eq!(first, metrics_text(&shop().open(), None, format));
    }
}

#[test]
fn a_replay_that_begins_at_a_later_segment_gives_the_same_gauges() {
    let trace = shop().open();
    let gauges = |first: usize| {
        let mut registry = Registry::new(Config::default());
        replay_from(&trace, first, &mut registry, None, &mut NoProgress);
        let text = exposition::prometheus_text(&registry.collect());
        let mut is_gauge = false;
        let kept = text.lines().filter(|line| {
            if line.starts_with("# TYPE") {
                is_gauge = line.ends_with(" gauge");
            }
            is_gauge && !line.starts_with('#')
        });
        kept.map(str::to_owned).collect::<Vec<_>>()
    };
    let whole = gauges(0);
    assert!(whole.iter().any(|line| line.starts_with("container_info")), "{whole:#?}");
    assert_eq!(whole, gauges(1));
}

#[test]
fn a_replay_ends_at_the_moment_that_is_asked_for() {
    let trace = shop().open();
    let whole = metrics_text(&trace, None, MetricsFormat::Prometheus);
    let half = metrics_text(&trace, Some("+1.5s"), MetricsFormat::Prometheus);
    assert_ne!(whole, half);
    assert_eq!(half, metrics_text(&trace, Some("2026-11-23T07:00:01.5Z"), MetricsFormat::Prometheus));
    assert_eq!(half, metrics_text(&trace, Some("1795417201.5"), MetricsFormat::Prometheus));
    assert_eq!(whole, metrics_text(&trace, Some("-0s"), MetricsFormat::Prometheus));
}

#[test]
#[ignore = "a measurement: run it optimised, with --nocapture"]
fn how_many_observations_a_second_are_read() {
    let segment = |first: u64| {
        let mut story = Story::default();
        story.skip(first);
        for id in first..first + 500_000 {
            let kind = [TcpEventKind::Connect, TcpEventKind::Close][id as usize % 2];
            story.at(id as i64 / 100).tcp(kind, id / 2, |_| {});
        }
        story.observations
    };
    let trace = trace_of(&[segment(0), segment(500_000)]);
    let opened = trace.open();
    let begin = std::time::Instant::now();
    let read = opened.observations().count();
    let seconds = begin.elapsed().as_secs_f64();
    println!("{read} observations in {seconds:.3} s: {:.0} a second", read as f64 / seconds);
}
