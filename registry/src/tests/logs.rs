use aftertrace_schemas::tables::*;

use crate::logs::UNCLASSIFIED_HASH;
use crate::test_support::*;
use crate::{Config, Limits};

const UNIT: &str = "/system.slice/shop.service";
const METRIC: &str = "container_log_messages_total";

fn line(cgroup: &str, source: &str, text: &str) -> LogLine {
    LogLine {
        cgroup: cgroup.to_owned(),
        source: source.to_owned(),
        stream: None,
        logged: None,
        offset: None,
        priority: None,
        text: text.to_owned(),
        text_bytes: text.len() as u64,
    }
}

fn shop() -> Scenario {
    let mut scenario = Scenario::new();
    scenario.start(100, UNIT);
    scenario
}

fn end(scenario: &mut Scenario) {
    scenario.apply(Mark { kind: MarkKind::End, segment: 1, detail: None });
}

#[test]
fn messages_are_counted_by_source_level_and_pattern_with_a_sample() {
    let mut scenario = shop();
    for text in ["ERROR order 1 failed", "ERROR order 2 failed", "INFO order 3 stored"] {
        scenario.apply(line(UNIT, "stdout/stderr", text));
    }
    scenario.apply(LogLine { priority: Some(3), ..line(UNIT, "journald", "it failed") });
    end(&mut scenario);
    let value = |source: &str, level: &str, sample: &str| {
        let labels = [("container_id", UNIT), ("source", source), ("level", level), ("sample", sample)];
        scenario.value(METRIC, &labels)
    };
    assert_eq!(value("stdout/stderr", "error", "ERROR order 1 failed"), Some(2.0));
    assert_eq!(value("stdout/stderr", "info", ""), Some(1.0));
    assert_eq!(value("journald", "error", "it failed"), Some(1.0));
    // printf 'ERROR order failed' | md5sum
    assert!(scenario.text().contains("pattern_hash=\"4f815408e182e33594c6263e341dc5dc\""));
}

#[test]
fn a_message_counts_when_a_second_has_passed_in_what_was_observed() {
    let mut scenario = shop();
    scenario.apply(line(UNIT, "stdout/stderr", "10:00:00 ERROR failed"));
    scenario.apply(line(UNIT, "stdout/stderr", "because"));
    scenario.mark();
    assert_eq!(scenario.value(METRIC, &[("level", "error")]), None);
    scenario.pass(2);
    scenario.mark();
    assert_eq!(
        scenario.value(METRIC, &[("level", "error"), ("sample", "10:00:00 ERROR failed\nbecause")]),
        Some(1.0)
    );
}

#[test]
fn standard_error_does_not_cut_what_standard_output_says() {
    let mut scenario = shop();
    let of = |stream: &str, text: &str| LogLine {
        stream: Some(stream.to_owned()),
        ..line(UNIT, "stdout/stderr", text)
    };
    scenario.apply(of("stdout", "ERROR one"));
    scenario.apply(of("stderr", "ERROR in the middle of it"));
    scenario.apply(of("stdout", "\tmore of one"));
    end(&mut scenario);
    let sample = |text: &str| scenario.value(METRIC, &[("sample", text)]);
    assert_eq!(sample("ERROR one\n\tmore of one"), Some(1.0));
    assert_eq!(sample("ERROR in the middle of it"), Some(1.0));
}

#[test]
fn patterns_and_sources_beyond_their_limits_are_counted() {
    let limits = Limits { log_patterns: 2, log_sources: 2, ..Limits::default() };
    let mut scenario = Scenario::with(Config { limits, ..Config::default() });
    scenario.start(100, UNIT);
    for text in
        ["ERROR red apple falls", "ERROR green pear hangs", "ERROR blue plum lies", "ERROR no nut rolls"]
    {
        scenario.apply(line(UNIT, "a", text));
    }
    scenario.apply(line(UNIT, "b", "x"));
    scenario.apply(line(UNIT, "c", "x"));
    end(&mut scenario);
    let unclassified = [("pattern_hash", UNCLASSIFIED_HASH), ("source", "a")];
    assert_eq!(scenario.value(METRIC, &unclassified), Some(2.0));
    let dropped = |what: &str| scenario.value("aftertrace_registry_dropped_total", &[("what", what)]);
    assert_eq!((dropped("log_patterns"), dropped("log_sources")), (Some(2.0), Some(1.0)));
}

#[test]
fn patterns_that_the_recorder_counted_have_no_sample() {
    let mut scenario = shop();
    let row = |hash: &str, messages| LogPattern {
        cgroup: UNIT.to_owned(),
        source: "journald".to_owned(),
        level: "error".to_owned(),
        pattern_hash: hash.to_owned(),
        messages,
    };
    scenario.apply(row("0123", 4));
    scenario.apply(row("0123", 3));
    let labels = [("pattern_hash", "0123"), ("sample", ""), ("level", "error"), ("source", "journald")];
    assert_eq!(scenario.value(METRIC, &labels), Some(7.0));
}

#[test]
fn a_long_sample_is_cut_at_the_boundary_of_a_character() {
    let limits = Limits { label_bytes: 16, ..Limits::default() };
    let mut scenario = Scenario::with(Config { limits, ..Config::default() });
    scenario.start(100, "/system.slice/a.service");
    scenario.apply(line("/system.slice/a.service", "a", "ERROR größere Überraschung"));
    end(&mut scenario);
    assert_eq!(scenario.value(METRIC, &[("sample", "ERROR größere ")]), Some(1.0));
}

#[test]
fn two_names_of_one_container_have_one_log() {
    let mut scenario = Scenario::new();
    scenario.start(100, WEB);
    scenario.name(WEB, "web");
    scenario.apply(line(WEB, "stdout/stderr", "ERROR no"));
    scenario.start(101, WEB_AGAIN);
    scenario.apply(line(WEB_AGAIN, "stdout/stderr", "ERROR no"));
    scenario.name(WEB_AGAIN, "web");
    end(&mut scenario);
    assert_eq!(scenario.value(METRIC, &[("container_id", "/docker/web")]), Some(2.0));
}
