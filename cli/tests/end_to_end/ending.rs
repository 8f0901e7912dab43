//! How recordings end: signals, Ctrl-C on a terminal, durations; and what becomes of the command.

use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::cgroup::Cgroup;
use crate::support::{AFTERTRACE, Recording, describe, needs_recording, record};
use crate::terminal::Terminal;

#[test]
fn each_signal_that_asks_for_an_end_leaves_a_whole_trace() {
    needs_recording!();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let group = Cgroup::new("signalled");
        let recording = Recording::start(&["--cgroup", group.path()], &[]);
        group.run("/bin/true; exit 0");
        let trace = recording.signal(signal);
        assert_eq!(trace.output.status.code(), Some(0), "{}", describe(&trace.output));
        assert_eq!(trace.number("SELECT count(*) FROM process_events WHERE executable LIKE '%/true'"), 1);
        trace.assert_whole();
    }
}

#[test]
fn a_recorder_that_nohup_started_outlives_a_hang_up() {
    needs_recording!();
    let group = Cgroup::new("nohup");
    let recording = Recording::start_under(&["nohup"], &["--cgroup", group.path()]);
    recording.send(Signal::HUP);
    // It is handled when a turn of the loop is over; a turn is over when an event that came later is there.
    std::thread::sleep(Duration::from_millis(300));
    group.run("/bin/true; exit 0");
    let trace = recording.signal(Signal::TERM);
    assert_eq!(trace.number("SELECT count(*) FROM process_events WHERE executable LIKE '%/true'"), 1);
    trace.assert_whole();
}

#[test]
fn a_signal_is_passed_on_to_the_command_whose_end_is_recorded_and_whose_code_is_passed_on() {
    needs_recording!();
    for (signal, name) in [(Signal::INT, "INT"), (Signal::TERM, "TERM")] {
        let script = format!("trap 'exit 5' {name}; : > $READY; while :; do sleep 0.05; done");
        let recording = Recording::start_command(&[], &script);
        let trace = recording.signal(signal);
        assert_eq!(trace.output.status.code(), Some(5), "{}", describe(&trace.output));
        assert_eq!(
            trace.number("SELECT count(*) FROM process_events WHERE kind = 'exit' AND exit_code = 5"),
            1
        );
        trace.assert_whole();
    }
}

#[test]
fn a_command_that_does_not_heed_signals_is_left_running_after_the_third() {
    needs_recording!();
    let recording =
        Recording::start_command(&[], "trap '' TERM; exec 2>&-; : > $READY; while :; do sleep 0.05; done");
    for _ in 0..2 {
        recording.send(Signal::TERM);
        std::thread::sleep(Duration::from_millis(100));
    }
    let trace = recording.signal(Signal::TERM);
    assert_eq!(trace.output.status.code(), Some(0), "{}", describe(&trace.output));
    end_left_command(&trace);
    trace.assert_whole();
}

#[test]
fn a_duration_ends_the_recording_and_leaves_the_command_running() {
    needs_recording!();
    let command = ["/bin/sh", "-c", "exec >&- 2>&-; while :; do sleep 0.05; done"].map(str::to_owned);
    let trace = record(&["--duration", "1s"], &command);
    assert_eq!(trace.output.status.code(), Some(0), "{}", describe(&trace.output));
    end_left_command(&trace);
    trace.assert_whole();
}

/// Ends the command that the recorder says goes on, and removes its control group.
fn end_left_command(trace: &crate::support::Trace) {
    let said = describe(&trace.output);
    let (_, rest) = said.split_once("the command goes on as process ").unwrap_or_else(|| panic!("{said}"));
    let pid: i32 = rest.split(';').next().unwrap().parse().unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    crate::crash::end_command(&trace.path());
}

#[test]
fn ctrl_c_on_a_terminal_reaches_the_command_once() {
    needs_recording!();
    let folder = tempfile::TempDir::new().unwrap();
    let (trace, log) = (folder.path().join("trace"), folder.path().join("log"));
    let script = format!(
        "trap 'echo caught >> {0}' INT; echo ready; n=0; while [ $n -lt 20 ]; do n=$((n + 1)); sleep 0.05; done; exit 6",
        log.display()
    );
    let mut terminal = Terminal::run(
        &[AFTERTRACE, "record", "-o", trace.to_str().unwrap(), "--", "/bin/sh", "-c", &script],
        &[],
    );
    terminal.wait_for("ready");
    terminal.type_in("\x03");
    let (code, screen) = terminal.end();
    assert_eq!(code, 6, "{screen}");
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "caught\n", "{screen}");
    assert_eq!(crate::support::verify(&trace).0, 0);
}

#[test]
fn standard_error_that_cannot_be_written_to_does_not_end_a_recording() {
    needs_recording!();
    let folder = tempfile::TempDir::new().unwrap();
    let trace = folder.path().join("trace");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = Command::new(AFTERTRACE)
        .args(["record", "-o", trace.to_str().unwrap(), "--", "/bin/true"])
        .stderr(Stdio::from(full))
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(crate::support::verify(&trace).0, 0);
}
