use aftertrace_schemas::column::Timestamp;
use aftertrace_schemas::tables::*;

use crate::test_support::*;

fn ledger(cpu: u32, seen: u64) -> LedgerEntry {
    LedgerEntry {
        program: "tcp".to_owned(),
        cpu,
        seen,
        filtered: 3,
        submitted: seen - 5,
        dropped_ring_full: 2,
        dropped_map_full: 0,
        dropped_read_fault: 0,
        received: seen - 5,
        set_aside: 1,
        recorded: seen - 6,
    }
}

#[test]
fn what_became_of_pushed_metrics_is_shown_by_receiver_and_cause() {
    let mut scenario = Scenario::new();
    scenario.apply(PushStats {
        endpoint: "https://metrics.example.org/api/v1/write".to_owned(),
        protocol: PushProtocol::RemoteWrite,
        sent_samples: 1_000,
        lost_queue_full: 30,
        lost_rejected: 4,
        lost_unwritten: 0,
        lost_damaged: 0,
        skipped_collections: 1,
        retries: 9,
        queued_batches: 2,
        queued_samples: 500,
        queued_bytes: 12_345,
        oldest: Some(Timestamp(1_700_000_000_500_000_000)),
        succeeded: None,
        error: Some("connection refused".to_owned()),
    });
    let text = scenario.text();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("aftertrace_push")).collect();
    insta::assert_debug_snapshot!(lines);
}

#[test]
fn accounts_of_kernel_programs_are_sums_over_cpus_of_the_latest_rows() {
    let mut scenario = Scenario::new();
    for (cpu, seen) in [(0, 10), (1, 20), (0, 30), (0, 30)] {
        scenario.apply(ledger(cpu, seen));
    }
    let of = |name: &str| scenario.value(name, &[("program", "tcp")]);
    assert_eq!(of("aftertrace_bpf_events_seen_total"), Some(50.0));
    assert_eq!(of("aftertrace_bpf_events_filtered_total"), Some(6.0));
    assert_eq!(of("aftertrace_bpf_events_submitted_total"), Some(40.0));
    assert_eq!(of("aftertrace_bpf_events_recorded_total"), Some(38.0));
    let dropped = |cause| scenario.value("aftertrace_bpf_events_dropped_total", &[("cause", cause)]);
    assert_eq!(dropped("ring_full"), Some(4.0));
    assert_eq!(dropped("map_full"), Some(0.0));
}

#[test]
fn run_times_are_shown_while_the_kernel_measures_them() {
    let mut scenario = Scenario::new();
    let row = BpfProgramStats { program: "tcp".to_owned(), runs: 0, run_time_ns: 0, missed: 1 };
    scenario.apply(row.clone());
    let run_time = "aftertrace_bpf_program_run_time_seconds_total";
    assert_eq!(scenario.value(run_time, &[]), None);
    assert_eq!(scenario.value("aftertrace_bpf_program_missed_total", &[]), Some(1.0));
    scenario.apply(BpfProgramStats { runs: 4, run_time_ns: 2_500_000_000, ..row });
    assert_eq!(scenario.value(run_time, &[("program", "tcp")]), Some(2.5));
    assert_eq!(scenario.value("aftertrace_bpf_program_runs_total", &[]), Some(4.0));
}

#[test]
fn a_source_tells_its_rounds_and_when_it_last_succeeded() {
    let mut scenario = Scenario::new();
    let row = SourceStats {
        source: "node".to_owned(),
        rounds: 3,
        failures: 1,
        skipped: 2,
        duration_ns: 1_500_000_000,
        succeeded: None,
    };
    scenario.apply(row.clone());
    let success = "aftertrace_source_last_success_timestamp_seconds";
    assert_eq!(scenario.value(success, &[]), None);
    scenario.apply(SourceStats { succeeded: Some(Timestamp(1_700_000_000_500_000_000)), ..row });
    let of = |name: &str| scenario.value(name, &[("source", "node")]);
    assert_eq!(of(success), Some(1_700_000_000.5));
    assert_eq!(of("aftertrace_source_rounds_total"), Some(3.0));
    assert_eq!(of("aftertrace_source_failures_total"), Some(1.0));
    assert_eq!(of("aftertrace_source_skipped_total"), Some(2.0));
    assert_eq!(of("aftertrace_source_duration_seconds_total"), Some(1.5));
}

#[test]
fn a_probe_is_up_or_down_and_one_that_is_off_is_neither() {
    let mut scenario = Scenario::new();
    for (probe, state) in [
        ("a", ProbeState::Failed),
        ("b", ProbeState::Active),
        ("c", ProbeState::Off),
        ("a", ProbeState::Active),
    ] {
        let reason = Some("no such file".to_owned());
        scenario.apply(ProbeStatus { probe: probe.to_owned(), state, reason });
    }
    scenario.apply(ProbeStatus { probe: "b".to_owned(), state: ProbeState::Failed, reason: None });
    let up = |probe| scenario.value("aftertrace_probe_up", &[("probe", probe)]);
    assert_eq!((up("a"), up("b"), up("c")), (Some(1.0), Some(0.0), None));
}

#[test]
fn the_recorder_tells_what_it_uses() {
    let mut scenario = Scenario::new();
    let row = RecorderStats {
        cpu_user_ns: 1_500_000_000,
        cpu_system_ns: 250_000_000,
        resident_bytes: 4_096,
        kernel_memory_bytes: 8_192,
        observations: 7,
        trace_bytes: 1_000,
        queued_batches: 2,
        processes: 3,
        sockets: 4,
        waiting_observations: None,
        longest_wait_ns: None,
    };
    scenario.apply(row.clone());
    let cpu = |mode| scenario.value("aftertrace_recorder_cpu_seconds_total", &[("mode", mode)]);
    assert_eq!((cpu("user"), cpu("system")), (Some(1.5), Some(0.25)));
    assert_eq!(scenario.value("aftertrace_recorder_memory_bytes", &[]), Some(4_096.0));
    assert_eq!(scenario.value("aftertrace_recorder_apply_lag_seconds", &[]), None, "of an older trace");
    scenario.apply(RecorderStats {
        longest_wait_ns: Some(150_000_000),
        waiting_observations: Some(9),
        ..row
    });
    assert_eq!(scenario.value("aftertrace_recorder_apply_lag_seconds", &[]), Some(0.15));
    assert_eq!(scenario.value("aftertrace_recorder_waiting_observations", &[]), Some(9.0));
}

#[test]
fn what_the_registry_holds_is_counted() {
    let mut scenario = Scenario::new();
    scenario.start(100, WEB);
    scenario.connect(1, 100, ("10.0.0.5", 80));
    let value = |name| scenario.value(name, &[]);
    assert_eq!(value("aftertrace_registry_containers"), Some(1.0));
    assert_eq!(value("aftertrace_registry_processes"), Some(1.0));
    assert_eq!(value("aftertrace_registry_sockets"), Some(1.0));
    assert_eq!(value("aftertrace_last_observation_timestamp_seconds"), Some(scenario.now() as f64 / 1e9));
    let connects = ("family", "container_net_tcp_successful_connects_total");
    assert_eq!(scenario.value("aftertrace_series", &[connects]), Some(1.0));
}
