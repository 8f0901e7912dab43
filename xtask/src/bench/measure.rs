//! One run of a workload under a contender, watched through /proc.

use std::fs;
use std::fs::File;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Workload;
use super::contender::{Contender, Kept, Setting};

/// Between two looks at /proc. The last look misses at most this much of the contender's end.
const INTERVAL: Duration = Duration::from_millis(100);
/// How long the workload stays when it is done, so that there is a look after its last event.
const LINGER_MS: &str = "500";
/// /proc/PID/stat counts CPU time in hundredths of a second.
const TICK_NS: u64 = 10_000_000;

/// What was seen of one run.
pub(super) struct Sample {
    /// Of the workload, by its own clock.
    pub(super) elapsed_ns: u64,
    /// Of the contender's own process.
    pub(super) cpu_ns: u64,
    /// Of the contender's own process, at its peak.
    pub(super) resident_bytes: u64,
    /// Of the contender's kernel programs.
    pub(super) kernel: Programs,
    pub(super) kept: Kept,
}

/// The kernel's account of a process's programs.
#[derive(Clone, Copy, Default)]
pub(super) struct Programs {
    pub(super) runs: u64,
    pub(super) time_ns: u64,
}

/// Runs it.
///
/// # Errors
/// When the contender or the workload fails.
pub(super) fn measure(setting: &Setting, contender: Contender, workload: Workload) -> Result<Sample> {
    let mut command = contender.command(setting, workload)?;
    let said = setting.scratch.join("stdout");
    let complained = setting.scratch.join("stderr");
    command.env("LINGER_MS", LINGER_MS).stdin(Stdio::null());
    command.stdout(File::create(&said)?).stderr(File::create(&complained)?);
    let mut seen = watch(&mut command).with_context(|| {
        let text = fs::read_to_string(&complained).unwrap_or_default();
        format!("{} of {} failed: {}", contender.name(), workload.name, text.trim_end())
    })?;
    let text = fs::read_to_string(&said)?;
    let elapsed = text.lines().find_map(|line| line.strip_prefix("elapsed_ns="));
    seen.elapsed_ns =
        elapsed.and_then(|text| text.parse().ok()).context("the workload did not say how long it took")?;
    seen.kept = contender.kept(setting, workload)?;
    Ok(seen)
}

/// Runs a command and looks at it meanwhile; of the sample, what its process used.
///
/// # Errors
/// When it fails.
pub(super) fn watch(command: &mut Command) -> Result<Sample> {
    let mut child = command.spawn().context("cannot start it")?;
    let process = format!("/proc/{}", child.id());
    let mut sample = Sample {
        elapsed_ns: 0,
        cpu_ns: 0,
        resident_bytes: 0,
        kernel: Programs::default(),
        kept: Kept::default(),
    };
    loop {
        if let Some(status) = child.try_wait()? {
            if !status.success() {
                bail!("{status}");
            }
            return Ok(sample);
        }
        // Each of them only grows, but a process that is ending has none of them any more.
        sample.cpu_ns = sample.cpu_ns.max(cpu_ns(&read(&process, "stat")));
        sample.resident_bytes = sample.resident_bytes.max(peak_bytes(&read(&process, "status")));
        let programs = programs(&process);
        if programs.time_ns > sample.kernel.time_ns {
            sample.kernel = programs;
        }
        thread::sleep(INTERVAL);
    }
}

/// A file of a process; empty when it is gone.
pub(super) fn read(process: &str, file: &str) -> String {
    fs::read_to_string(format!("{process}/{file}")).unwrap_or_default()
}

/// User and system time, the 14th and 15th field; the second may hold blanks and ends with a parenthesis.
pub(super) fn cpu_ns(stat: &str) -> u64 {
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>() * TICK_NS
}

/// `VmHWM` of /proc/PID/status.
pub(super) fn peak_bytes(status: &str) -> u64 {
    number_after(status, "VmHWM:").unwrap_or(0) * 1024
}

fn number_after(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// Of all programs that the process at this place below /proc holds.
pub(super) fn programs(process: &str) -> Programs {
    let mut programs = Programs::default();
    let mut known = Vec::new();
    for entry in fs::read_dir(format!("{process}/fdinfo")).into_iter().flatten().flatten() {
        let info = fs::read_to_string(entry.path()).unwrap_or_default();
        let Some(id) = number_after(&info, "prog_id:") else { continue };
        // A link names the program that it attaches, and more than one fd may.
        if known.contains(&id) || !info.contains("run_time_ns:") {
            continue;
        }
        known.push(id);
        programs.runs += number_after(&info, "run_cnt:").unwrap_or(0);
        programs.time_ns += number_after(&info, "run_time_ns:").unwrap_or(0);
    }
    programs
}

/// The kernel's accounting of programs, on as long as this lives.
pub(super) struct BpfStatistics {
    before: String,
}

impl BpfStatistics {
    const SETTING: &str = "/proc/sys/kernel/bpf_stats_enabled";

    /// Switches it on.
    ///
    /// # Errors
    /// When the kernel has no such setting.
    pub(super) fn on() -> Result<Self> {
        let before =
            fs::read_to_string(Self::SETTING).with_context(|| format!("cannot read {}", Self::SETTING))?;
        fs::write(Self::SETTING, "1").with_context(|| format!("cannot write {}", Self::SETTING))?;
        Ok(Self { before })
    }
}

impl Drop for BpfStatistics {
    fn drop(&mut self) {
        if let Err(error) = fs::write(Self::SETTING, &self.before) {
            eprintln!("{} stays on: {error}", Self::SETTING);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_name_with_blanks() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 100 0 0 0 25 17 0 0 20 0 1 0 100 1 1";
        assert_eq!(cpu_ns(stat), 42 * TICK_NS);
        assert_eq!(cpu_ns(""), 0);
    }

    #[test]
    fn the_peak_is_in_bytes() {
        assert_eq!(peak_bytes("Name:\tx\nVmHWM:\t    2048 kB\n"), 2048 * 1024);
    }
}
