//! What `verify` says of whole and of damaged traces.

use std::fs;

use aftertrace_analyzer::format::Style;
use aftertrace_analyzer::verify::{Verdict, Verification, verify};
use aftertrace_analyzer::{NoProgress, ReportFormat, Trace};
use aftertrace_schemas::tables::{ClockSync, MarkKind, ProcessEventKind};
use aftertrace_schemas::{Kind, Observation, TableId};

use crate::support::{Story, TestTrace, killed_shop, shop, trace_of, write_parquet};

fn verified(trace: &Trace) -> Verification {
    verify(trace, &mut NoProgress)
}

fn text(report: &Verification) -> String {
    let mut out = Vec::new();
    report.write(&mut out, ReportFormat::Text, Style::Plain).unwrap();
    String::from_utf8(out).unwrap()
}

fn story_trace(tell: impl FnOnce(&mut Story)) -> TestTrace {
    let mut story = Story::default();
    story.mark(MarkKind::Start, 1);
    story.snapshot();
    story.ledger();
    tell(&mut story);
    story.ledger();
    story.mark(MarkKind::End, 1);
    trace_of(&[story.observations])
}

#[test]
fn a_trace_that_ended_cleanly_and_lost_nothing_is_whole() {
    let report = verified(&shop().open_named());
    assert_eq!((report.verdict, report.verdict.exit_code()), (Verdict::Whole, 0));
    assert_eq!((report.gaps.len(), report.imbalances.len()), (0, 0));
    insta::assert_snapshot!(text(&report));
}

#[test]
fn a_killed_recording_is_usable_and_says_what_may_be_missing() {
    let report = verified(&killed_shop().open_named());
    assert_eq!((report.verdict, report.verdict.exit_code()), (Verdict::UsableWithGaps, 1));
    insta::assert_snapshot!(text(&report));
}

#[test]
fn counted_losses_are_gaps_with_their_times() {
    let trace = story_trace(|story| {
        story.at(5000).loss("kernel/inet_sock_set_state", "ring_full", 12);
    });
    let report = verified(&trace.open());
    assert_eq!(report.verdict, Verdict::UsableWithGaps);
    assert_eq!(report.lost(), 12);
    assert!(
        text(&report).contains(
            "2026-11-23T07:00:04.000Z to 2026-11-23T07:00:05.000Z: 12 lost, kernel/inet_sock_set_state: ring_full"
        ),
        "{}",
        text(&report)
    );
}

#[test]
fn a_row_that_the_ledger_does_not_know_is_found() {
    let trace = story_trace(|story| {
        story.at(1000).process(ProcessEventKind::Start, 300, |_| {});
        let copy = story.observations.last().unwrap().kind.clone();
        story.push(copy);
    });
    let report = verified(&trace.open());
    assert_eq!(
        report.imbalances,
        ["segment 1: 2 rows of process starts, the ledger says 1 recorded, 0 lost by the writer"]
    );
    assert_eq!(report.verdict, Verdict::UsableWithGaps);
}

#[test]
fn a_row_that_the_recorder_inferred_is_not_the_kernels() {
    let trace = story_trace(|story| {
        story.process(ProcessEventKind::Start, 300, |_| {});
        story.process(ProcessEventKind::Exit, 300, |_| {});
        story.process(ProcessEventKind::Exit, 301, |row| row.inferred = true);
    });
    let report = verified(&trace.open());
    assert_eq!(
        report.imbalances,
        ["segment 1: 1 rows of process exits, the ledger says 2 recorded, 0 lost by the writer"],
        "the story's ledger counts the inferred one, so the rows must not"
    );
}

#[test]
fn rows_that_the_writer_lost_explain_the_difference() {
    let trace = story_trace(|story| {
        story.count("task_newtask");
        story.skip(1);
        story.at(2000).loss("writer/process_events", "queue_full", 1);
    });
    let report = verified(&trace.open());
    assert_eq!(report.imbalances, Vec::<String>::new());
    assert_eq!((report.lost(), report.order.missing), (1, 1));
}

#[test]
fn an_account_that_does_not_add_up_is_found() {
    let mut segments = Story::shop();
    for row in segments[1].iter_mut().rev() {
        if let Kind::Ledger(row) = &mut row.kind {
            (row.seen, row.received, row.set_aside) = (row.seen + 1, row.received + 2, 1);
            break;
        }
    }
    let report = verified(&trace_of(&segments).open());
    assert_eq!(
        report.imbalances,
        [
            "tcp_retransmit_skb on CPU 0: seen 8 is not filtered 5 + submitted 2 + dropped 0",
            "tcp_retransmit_skb: 2 records submitted, 4 received",
            "tcp_retransmit_skb: received 4 is not set aside 1 + recorded 2",
        ]
    );
}

#[test]
fn one_byte_that_was_changed_is_found_and_its_file_named() {
    let trace = shop();
    let file = trace.parquet(2, TableId::Tcp);
    let mut bytes = fs::read(&file).unwrap();
    // In the names of the footer's key and value pairs, which no reader needs to make sense of.
    let place = bytes.windows(12).position(|window| window == b"ARROW:schema").unwrap();
    bytes[place] ^= 1;
    fs::write(&file, bytes).unwrap();
    let report = verified(&trace.open());
    assert_eq!((report.verdict, report.gaps.len()), (Verdict::UsableWithGaps, 1));
    assert_eq!(
        report.gaps[0].what,
        "damaged file segments/000002/tcp_events.parquet: bytes of it were changed: its checksum is not that of the manifest"
    );
}

#[test]
fn a_damaged_table_is_a_gap_over_its_segment() {
    let trace = shop();
    let file = trace.parquet(2, TableId::Tcp);
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..100]).unwrap();
    let report = verified(&trace.open());
    assert_eq!((report.verdict, report.gaps.len()), (Verdict::UsableWithGaps, 1));
    assert!(report.gaps[0].what.starts_with("damaged file segments/000002/tcp_events.parquet: "));
    assert!(report.gaps[0].from.is_some_and(|from| Some(from) < report.gaps[0].to));
    assert_eq!(report.imbalances, Vec::<String>::new(), "what is missing there is known");
}

#[test]
fn a_segment_missing_between_others_is_a_gap() {
    let trace = shop();
    let root = trace.path();
    fs::rename(root.join("segments/000002"), root.join("segments/000004")).unwrap();
    trace.edit_manifest(|manifest| manifest.segments[1].number = 4);
    let report = verified(&trace.open());
    assert_eq!(report.gaps.len(), 1);
    assert_eq!(report.gaps[0].what, "segments between 1 and 4 are missing");
}

#[test]
fn numbers_without_rows_are_found_even_when_nothing_else_is_wrong() {
    let trace = story_trace(|story| story.skip(2));
    let report = verified(&trace.open());
    assert_eq!(report.imbalances, ["2 sequence numbers between the first and the last have no row"]);
}

#[test]
fn repeated_and_misplaced_rows_are_found() {
    let trace = shop();
    let mut rows: Vec<Observation> = trace.open().observations_of(&[TableId::Tcp]).collect();
    rows.truncate(9);
    rows.push(rows[8].clone());
    rows.push(rows[2].clone());
    let batch = crate::support::batches(&rows).remove(&TableId::Tcp).unwrap();
    write_parquet(&trace.parquet(1, TableId::Tcp), &batch, 1000);
    let report = verified(&trace.open());
    assert!(
        report.imbalances.contains(&"1 rows repeat the sequence number of another".to_owned()),
        "{report:?}"
    );
    assert!(report.imbalances.contains(&"1 rows are out of order".to_owned()), "{report:?}");
}

#[test]
fn a_clock_step_and_a_silent_probe_are_said_and_are_no_gap() {
    let trace = story_trace(|story| {
        story.push(ClockSync { boot_ns: 0, realtime_ns: 0, offset_ns: -3_600_000_000_000, step: true });
    });
    let report = verified(&trace.open());
    assert_eq!(report.verdict, Verdict::Whole);
    assert_eq!((report.clock_steps.len(), report.probes.len()), (1, 1));
    assert!(text(&report).contains("wall clock now -3600.000 s off"), "{}", text(&report));
}

#[test]
fn losses_of_dropped_segments_are_known_from_the_manifest() {
    let trace = shop();
    trace.edit_manifest(|manifest| {
        manifest.losses.insert("kernel/sched_process_exec/ring_full".to_owned(), 5);
        manifest.retired.segments = 2;
    });
    let report = verified(&trace.open());
    assert_eq!((report.verdict, report.lost()), (Verdict::UsableWithGaps, 5));
    assert_eq!(
        report.notes,
        ["recording since 2026-11-23T07:00:00.000Z; the 2 oldest segments were dropped, as asked for"]
    );
}

#[test]
fn a_trace_without_a_row_is_unusable() {
    let report = verified(&trace_of(&[]).open());
    assert_eq!((report.verdict, report.verdict.exit_code()), (Verdict::Unusable, 2));
}

#[test]
fn programs_read_the_verdict_from_json() {
    let mut out = Vec::new();
    verified(&shop().open()).write(&mut out, ReportFormat::Json, Style::Plain).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(json["verdict"], "whole");
    assert_eq!(json["ledger"][0]["program"], "inet_sock_set_state");
    assert_eq!(json["groups"][0]["group"], "process_start");
}
