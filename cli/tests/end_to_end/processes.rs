//! Processes: exact starts, programs and ends, each in the command's container.

use crate::support::{needs_recording, record, record_workload, workload};

#[test]
fn every_fork_exec_and_exit_of_a_command_is_recorded_once() {
    needs_recording!();
    let trace = record_workload("processes");
    let ended = |condition: &str| {
        trace.number(&format!(
            "SELECT count(*) FROM process_events e JOIN (SELECT DISTINCT pid, process_start_ns FROM process_events \
             WHERE kind = 'exec' AND {condition}) p USING (pid, process_start_ns) WHERE e.kind = 'exit'"
        ))
    };
    assert_eq!(ended("executable LIKE '%/true'"), 10);
    assert_eq!(ended("executable LIKE '%/false'"), 3);
    assert_eq!(ended("executable LIKE '%/sleep'"), 1);
    let exits = |condition: &str| {
        trace.number(&format!("SELECT count(*) FROM process_events WHERE kind = 'exit' AND {condition}"))
    };
    assert_eq!(exits("exit_code = 1"), 3);
    assert_eq!(exits("signal = 9"), 1);
    assert_eq!(exits("inferred"), 0);
    assert_eq!(
        trace.number("SELECT count(*) FROM process_events WHERE kind = 'start'"),
        14,
        "one for each program that the command ran; the command itself is in the snapshot"
    );
    trace.assert_whole();
}

#[test]
fn a_command_is_a_container_of_its_own() {
    needs_recording!();
    let trace = record(&[], &["/bin/true".to_owned()]);
    let containers = trace
        .sql("SELECT DISTINCT container_id(cgroup) AS container FROM process_events WHERE kind = 'exec'");
    assert_eq!(containers, [serde_json::json!({"container": "/command/true"})]);
    trace.assert_whole();
}

#[test]
fn arguments_and_program_of_a_process_that_lived_a_moment_are_recorded() {
    needs_recording!();
    let command = ["/bin/sh", "-c", "/bin/echo one 'two three' >/dev/null; exit 0"].map(str::to_owned);
    let trace = record(&[], &command);
    let rows = trace.sql(
        "SELECT executable, array_to_string(arguments, '|') AS arguments FROM process_events \
         WHERE kind = 'exec' AND executable LIKE '%echo'",
    );
    assert_eq!(
        rows,
        [serde_json::json!({"executable": "/bin/echo", "arguments": "/bin/echo|one|two three"})]
    );
}

#[test]
fn the_exit_code_of_the_command_is_passed_on() {
    needs_recording!();
    let trace = record(&[], &workload("ends_with_seven"));
    assert_eq!(trace.output.status.code(), Some(7));
    let killed = record(&[], &["/bin/sh", "-c", "kill -9 $$"].map(str::to_owned));
    assert_eq!(killed.output.status.code(), Some(128 + 9));
    killed.assert_whole();
}

#[test]
fn a_command_that_does_not_exist_is_named_and_leaves_an_ended_trace() {
    needs_recording!();
    let trace = record(&[], &["/no/such/program".to_owned()]);
    assert_eq!(trace.output.status.code(), Some(127));
    let message = String::from_utf8_lossy(&trace.output.stderr);
    assert!(message.contains("/no/such/program"), "{message}");
}

#[test]
fn the_recorder_records_neither_itself_nor_its_neighbours() {
    needs_recording!();
    let trace = record_workload("processes");
    assert_eq!(trace.number("SELECT count(*) FROM process_events WHERE command LIKE 'aftertrace%'"), 0);
    assert_eq!(
        trace.number("SELECT count(*) FROM processes WHERE container_id(cgroup) NOT LIKE '/command/%' OR cgroup IS NULL"),
        0
    );
}
