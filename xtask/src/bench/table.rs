//! docs/benchmarks.md.

use std::fmt::Write as _;
use std::fs;

use anyhow::Result;

use super::Outcome;
use super::contender::Contender;
use super::measure::Sample;
use super::statistics::spread;

/// The whole document.
///
/// # Errors
/// When this host's description cannot be read.
pub(super) fn document(outcomes: &[Outcome], rounds: u32) -> Result<String> {
    let mut text = format!(
        "# Benchmarks\n\n\
         Written by `cargo xtask bench`, which repeats all of it; do not edit. {host}; {rounds} rounds, in each of \
         which every contender ran once; median (least to most).\n\n\
         - **slower**: the workload's own time beside the same round alone.\n\
         - **kernel ns/event**, **kernel ns/run**: the kernel's account of the programs (`bpf_stats_enabled`, in runs \
         of their own), by expected events and by runs of a program.\n\
         - **CPU us/event**: user and system time of the recording process (/proc/PID/stat), by expected events.\n\
         - **peak MiB**: its `VmHWM`. **bytes/event**: all that it left on disk, by expected events.\n\
         - **missing**: expected events that were not found. **lost**: what it says itself that it lost.\n\
         - **replay**: expected events a second through `analyze metrics`, the start of the program included.\n\n\
         perf records the whole host with 4 MiB of buffer a CPU; bpftrace's program is empty, so what it costs is \
         the least that hooking these tracepoints costs.\n\n\
         Aims: 350 ns in the kernel and 1 us of CPU for each event, nothing lost at 200,000 events/s for 30 s (the last \
         storm), a peak of 64 MiB, replay of 2 million events/s. `docs/decisions/0004-cost-of-an-event.md` has the \
         profile behind those that are missed.\n",
        host = host()?
    );
    for outcome in outcomes {
        section(&mut text, outcome);
    }
    Ok(text)
}

/// This host, in words.
///
/// # Errors
/// When its description cannot be read.
pub(super) fn host() -> Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1))
        .unwrap_or("unknown CPU");
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
    Ok(format!("{count} x {model}, Linux {}", fs::read_to_string("/proc/sys/kernel/osrelease")?.trim()))
}

const COLUMNS: [&str; 11] = [
    "contender",
    "seconds",
    "events/s",
    "slower %",
    "kernel ns/event",
    "kernel ns/run",
    "CPU us/event",
    "peak MiB",
    "bytes/event",
    "missing / lost",
    "replay million/s",
];

fn section(text: &mut String, outcome: &Outcome) {
    let workload = outcome.workload;
    let _ = writeln!(
        text,
        "\n## {} {}\n\n{} events are expected: {} for each {}.\n",
        workload.operations,
        workload.name,
        workload.events(),
        workload.events_each,
        workload.unit
    );
    let _ = writeln!(text, "| {} |\n|{}", COLUMNS.join(" | "), "---|".repeat(COLUMNS.len()));
    let alone = outcome.samples.iter().find(|(contender, _)| *contender == Contender::Alone);
    for (contender, samples) in &outcome.samples {
        let cells = cells(samples, alone.map(|(_, samples)| samples.as_slice()), workload.events());
        let _ = writeln!(text, "| {} | {} |", contender.name(), cells.join(" | "));
    }
}

fn cells(samples: &[Sample], alone: Option<&[Sample]>, events: u64) -> Vec<String> {
    let by_event = |value: u64| value as f64 / events as f64;
    let mut cells = Vec::new();
    let mut cell = |decimals: usize, values: Vec<Option<f64>>| {
        let text = spread(values.into_iter().flatten()).map(|spread| spread.text(decimals));
        cells.push(text.unwrap_or_default());
    };
    let each = |value: &dyn Fn(&Sample) -> Option<f64>| samples.iter().map(value).collect::<Vec<_>>();
    let positive = |value: f64| (value > 0.0).then_some(value);
    let is_alone = alone.is_some_and(|alone| std::ptr::eq(alone, samples));

    cell(2, each(&|sample| Some(sample.elapsed_ns as f64 / 1e9)));
    cell(0, each(&|sample| Some(events as f64 * 1e9 / sample.elapsed_ns as f64)));
    let pairs = samples.iter().zip(alone.unwrap_or_default()).filter(|_| !is_alone);
    cell(
        1,
        pairs
            .map(|(sample, alone)| Some(100.0 * (sample.elapsed_ns as f64 / alone.elapsed_ns as f64 - 1.0)))
            .collect(),
    );
    cell(0, each(&|sample| positive(by_event(sample.kernel.time_ns))));
    cell(0, each(&|sample| positive(sample.kernel.time_ns as f64 / sample.kernel.runs.max(1) as f64)));
    // Alone, the process that was watched is the workload itself.
    cell(2, each(&|sample| (!is_alone).then(|| by_event(sample.cpu_ns) / 1e3)));
    cell(1, each(&|sample| (!is_alone).then(|| sample.resident_bytes as f64 / f64::from(1 << 20))));
    cell(1, each(&|sample| sample.kept.bytes.map(by_event)));
    let missing = spread(
        samples.iter().filter_map(|sample| sample.kept.found.map(|found| events as f64 - found as f64)),
    );
    let lost = spread(samples.iter().filter_map(|sample| sample.kept.lost.map(|lost| lost as f64)));
    let both = [missing, lost].map(|spread| spread.map_or("-".to_owned(), |spread| spread.text(0)));
    let neither = missing.is_none() && lost.is_none();
    let replay = each(&|sample| sample.kept.replay.map(|(events, seconds)| events as f64 / seconds / 1e6));
    let replay = spread(replay.into_iter().flatten()).map(|spread| spread.text(2)).unwrap_or_default();
    cells.push(if neither { String::new() } else { both.join(" / ") });
    cells.push(replay);
    cells
}
