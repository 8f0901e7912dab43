//! Who is measured, how it is started, and how to read what it left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::ValueEnum;

use super::Workload;
use crate::analyze::Trace;
use crate::host;

/// The tracepoints of lifecycle, files and TCP, which all contenders hook.
const TRACEPOINTS: &[&str] = &[
    "task:task_newtask",
    "sched:sched_process_exec",
    "sched:sched_process_exit",
    "oom:mark_victim",
    "sock:inet_sock_set_state",
    "tcp:tcp_retransmit_skb",
    "syscalls:sys_enter_connect",
    "syscalls:sys_exit_connect",
    "syscalls:sys_exit_accept4",
    "syscalls:sys_exit_accept",
    "syscalls:sys_enter_openat",
    "syscalls:sys_exit_openat",
];

/// Where things are.
pub(super) struct Setting {
    pub(super) aftertrace: PathBuf,
    pub(super) workload: PathBuf,
    pub(super) scratch: PathBuf,
}

/// Who records while the workload runs.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Contender {
    /// Nobody.
    Alone,
    /// `aftertrace record`.
    Aftertrace,
    /// `perf record -z` of the same tracepoints.
    Perf,
    /// `bpftrace` with an empty program on the same tracepoints: the least that eBPF costs.
    Bpftrace,
}

/// What a contender kept of the workload.
#[derive(Clone, Copy, Default)]
pub(super) struct Kept {
    /// Of the events that are expected, those found.
    pub(super) found: Option<u64>,
    /// What it says that it lost.
    pub(super) lost: Option<u64>,
    /// On disk.
    pub(super) bytes: Option<u64>,
    /// Events and the seconds in which all were applied to the registry.
    pub(super) replay: Option<(u64, f64)>,
}

impl Contender {
    /// As the table calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Aftertrace => "aftertrace record",
            Self::Perf => "perf record -z",
            Self::Bpftrace => "bpftrace, empty program",
        }
    }

    /// Whether the kernel accounts for its programs.
    pub(super) fn has_programs(self) -> bool {
        matches!(self, Self::Aftertrace | Self::Bpftrace)
    }

    /// Whether it is the workload alone, or under this project's recorder.
    pub(super) fn is_ours(self) -> bool {
        matches!(self, Self::Alone | Self::Aftertrace)
    }

    fn output(self, setting: &Setting) -> PathBuf {
        setting.scratch.join(if self == Self::Perf { "perf.data" } else { "trace" })
    }

    /// What to start; removes what an earlier run left.
    pub(super) fn command(self, setting: &Setting, workload: Workload) -> Result<Command> {
        let output = self.output(setting);
        match fs::metadata(&output) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&output)?,
            Ok(_) => fs::remove_file(&output)?,
            Err(_) => {}
        }
        let mut command = match self {
            Self::Alone => {
                let mut command = Command::new(&setting.workload);
                command.args(workload.arguments());
                return Ok(command);
            }
            Self::Aftertrace => {
                let mut command = Command::new(&setting.aftertrace);
                command.arg("record").arg("-o").arg(&output).arg("--");
                command
            }
            Self::Perf => {
                let mut command = Command::new("perf");
                // The whole host, as aftertrace does it; a buffer of the same order.
                command
                    .args(["record", "-z", "-a", "-m", "4M", "-e"])
                    .arg(TRACEPOINTS.join(","))
                    .arg("-o")
                    .arg(&output);
                command.arg("--");
                command
            }
            Self::Bpftrace => {
                let mut command = Command::new("bpftrace");
                let words = [vec![setting.workload.display().to_string()], workload.arguments()].concat();
                command.arg("-e").arg(empty_program()).arg("-c").arg(words.join(" "));
                return Ok(command);
            }
        };
        command.arg(&setting.workload).args(workload.arguments());
        Ok(command)
    }

    /// What it left.
    pub(super) fn kept(self, setting: &Setting, workload: Workload) -> Result<Kept> {
        let output = self.output(setting);
        match self {
            Self::Alone | Self::Bpftrace => Ok(Kept::default()),
            Self::Perf => {
                let report = host::text(Command::new("perf").args(["report", "--stats", "-i"]).arg(&output))?;
                let lost = perf_lost(&report);
                Ok(Kept { found: None, lost: Some(lost), bytes: Some(size(&output)?), replay: None })
            }
            Self::Aftertrace => {
                let trace = Trace::new(&setting.aftertrace, &output);
                let found = trace.number(&format!(
                    "SELECT CAST({}",
                    workload.count.replacen(" FROM", " AS BIGINT) FROM", 1)
                ))?;
                let lost = trace.number("SELECT CAST(coalesce(sum(lost), 0) AS BIGINT) FROM losses")?;
                let begin = Instant::now();
                trace.metrics()?;
                let replay = Some((found, begin.elapsed().as_secs_f64()));
                Ok(Kept { found: Some(found), lost: Some(lost), bytes: Some(size(&output)?), replay })
            }
        }
    }
}

fn empty_program() -> String {
    let probes: Vec<String> = TRACEPOINTS.iter().map(|name| format!("tracepoint:{name}")).collect();
    format!("{} {{ }}", probes.join(","))
}

/// Samples that the kernel dropped, as `perf report --stats` counts them for each tracepoint. The totals above those
/// count records that say so, each of any number of samples.
fn perf_lost(report: &str) -> u64 {
    let mut of_tracepoint = false;
    let mut lost = 0;
    for line in report.lines() {
        if let Some(name) = line.strip_suffix(" stats:") {
            of_tracepoint = TRACEPOINTS.contains(&name);
        } else if let Some(count) = line.trim().strip_prefix("LOST_SAMPLES events:").filter(|_| of_tracepoint)
        {
            lost += count.trim().parse::<u64>().unwrap_or(0);
        }
    }
    lost
}

/// Bytes of a file, or of all files below a directory.
///
/// # Errors
/// When one of them cannot be read.
pub(super) fn size(path: &Path) -> Result<u64> {
    let metadata = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    let mut bytes = 0;
    for entry in fs::read_dir(path)? {
        bytes += size(&entry?.path())?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_samples_are_those_of_the_tracepoints() {
        let report = "Aggregated stats:\n    LOST_SAMPLES events:          8  ( 0.0%)\n\
                      sock:inet_sock_set_state stats:\n          SAMPLE events:     404677\n    LOST_SAMPLES events:     195330\n\
                      syscalls:sys_exit_accept4 stats:\n    LOST_SAMPLES events:      32609\n\
                      dummy:HG stats:\n    LOST_SAMPLES events:          6\n";
        assert_eq!(perf_lost(report), 195_330 + 32_609);
    }
}
