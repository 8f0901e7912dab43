//! `aftertrace record`: from arguments to a recording, with a live line on a terminal.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use aftertrace_recorder::config::{self, DataConfig, Filter, RecordConfig};
use aftertrace_recorder::record::{Observer, Outcome, RecordError, Status, record};
use aftertrace_recorder::sources::cloud::CloudOverrides;
use aftertrace_recorder::sources::logs::{LogBudget, LogConfig, LogMode};
use bytesize::ByteSize;

use crate::args::{CaptureArgs, Logs, Payload, RecordArgs};
use crate::{print_error, print_warning, say};

/// An eighth of it goes into a segment.
const LEAST_MAX_AGE: Duration = Duration::from_secs(1);

/// The shell's code for a command that cannot be run.
const CANNOT_RUN: u8 = 127;

/// Records as asked for.
pub(crate) fn run(arguments: RecordArgs) -> anyhow::Result<ExitCode> {
    let (quiet, output) = (arguments.quiet, arguments.output.clone());
    let config = config(arguments)?;
    let mut terminal = Terminal { output, quiet, live: !quiet && draws_lines(), line: false };
    let outcome = match record(&config, &mut terminal) {
        Ok(outcome) => outcome,
        Err(error @ RecordError::Command(_)) => {
            terminal.clear();
            print_error(&error.into());
            return Ok(ExitCode::from(CANNOT_RUN));
        }
        Err(error) => {
            terminal.clear();
            return Err(error.into());
        }
    };
    terminal.finished(&outcome);
    Ok(outcome.exit_code.map_or(ExitCode::SUCCESS, |code| ExitCode::from(u8::try_from(code).unwrap_or(1))))
}

fn config(arguments: RecordArgs) -> anyhow::Result<RecordConfig> {
    let mut config = capture(arguments.capture, Some(arguments.output))?;
    config.duration = arguments.duration;
    config.command = arguments.command;
    Ok(config)
}

/// What `record` and `serve` have in common.
pub(crate) fn capture(arguments: CaptureArgs, output: Option<PathBuf>) -> anyhow::Result<RecordConfig> {
    let mut config = RecordConfig::new(output);
    config.filter =
        Filter { cgroups: arguments.cgroup, containers: arguments.container, pids: arguments.pid };
    config.max_bytes = Some(arguments.max_size.as_u64()).filter(|bytes| *bytes > 0);
    if let Some(age) = arguments.max_age {
        anyhow::ensure!(
            age >= LEAST_MAX_AGE,
            "--max-age {}: must be 1s or more",
            humantime::format_duration(age)
        );
    }
    config.max_age = arguments.max_age;
    config.ring_bytes = ring_bytes("--ring-size", arguments.ring_size)?;
    config.data = DataConfig {
        payload: match arguments.payload {
            Payload::Head => config::Payload::Head,
            Payload::Full => config::Payload::Full,
            Payload::None => config::Payload::None,
            Payload::Off => config::Payload::Off,
        },
        head_bytes: arguments.payload_bytes,
        ring_bytes: ring_bytes("--data-ring-size", arguments.data_ring_size)?,
    };
    config.max_connections = arguments.max_connections;
    config.journal_interval = arguments.journal_interval;
    config.logs = logs(arguments.logs, arguments.log_budget);
    config.interval = arguments.interval;
    config.sweep_interval = arguments.sweep_interval;
    config.mount_tracefs = arguments.mount_tracefs;
    let cloud = arguments.cloud;
    config.cloud = CloudOverrides {
        provider: cloud.provider,
        region: cloud.region,
        availability_zone: cloud.availability_zone,
        instance_type: cloud.instance_type,
        instance_life_cycle: cloud.instance_life_cycle,
    };
    config.set_sysctls = arguments.set_sysctls;
    config.bpf_statistics = arguments.bpf_statistics;
    config.ping = !arguments.no_ping;
    config.keep_capabilities = arguments.keep_capabilities;
    Ok(config)
}

fn logs(mode: Logs, budget: ByteSize) -> LogConfig {
    let mode = match mode {
        Logs::Lines => LogMode::Lines,
        Logs::Patterns => LogMode::Patterns,
        Logs::Off => LogMode::Off,
    };
    let bytes_per_second = budget.as_u64();
    let budget = LogBudget { bytes_per_second, burst_bytes: bytes_per_second.saturating_mul(4) };
    LogConfig { mode, budget, ..LogConfig::default() }
}

/// The kernel takes powers of two of at least a page.
fn ring_bytes(flag: &str, size: ByteSize) -> anyhow::Result<u32> {
    u32::try_from(size.as_u64())
        .ok()
        .filter(|bytes| bytes.is_power_of_two() && (4096..=1 << 30).contains(bytes))
        .ok_or_else(|| anyhow::anyhow!("{flag} {size}: must be a power of two from 4KiB to 1GiB"))
}

/// Whether standard error is a terminal on which a line can be drawn anew.
fn draws_lines() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
}

/// Says what happens: one line that is kept up to date on a terminal, plain lines elsewhere.
struct Terminal {
    output: PathBuf,
    quiet: bool,
    live: bool,
    line: bool,
}

impl Terminal {
    fn clear(&mut self) {
        if std::mem::take(&mut self.line) {
            say(format_args!("\r\x1b[K"));
        }
    }

    fn finished(&mut self, outcome: &Outcome) {
        self.clear();
        if self.quiet {
            return;
        }
        let status = &outcome.status;
        say(format_args!(
            "recorded {} observations in {} to {} ({}){}; {}\nnext: aftertrace analyze {}\n",
            status.observations,
            humantime::format_duration(Duration::from_secs(status.elapsed.as_secs())),
            self.output.display(),
            ByteSize(status.trace_bytes).display().iec(),
            if status.lost == 0 { ", nothing lost".to_owned() } else { format!(", {} lost", status.lost) },
            outcome.end_reason,
            self.output.display(),
        ));
    }
}

impl Observer for Terminal {
    fn started(&mut self) {
        if !self.quiet {
            say(format_args!("recording to {}; Ctrl-C ends it\n", self.output.display()));
        }
    }

    fn status(&mut self, status: &Status) {
        if !self.live {
            return;
        }
        self.line = true;
        let seconds = status.elapsed.as_secs();
        say(format_args!(
            "\r\x1b[Krecording {:02}:{:02}:{:02}  {} events/s  {} on disk  {}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            status.events_per_second,
            ByteSize(status.trace_bytes).display().iec(),
            if status.lost == 0 { "nothing lost".to_owned() } else { format!("{} LOST", status.lost) },
        ));
    }

    fn warning(&mut self, message: &str) {
        self.clear();
        print_warning(&message);
    }
}
