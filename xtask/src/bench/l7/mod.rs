//! `cargo xtask bench l7`: what recording costs applications that talk, and what a request costs the recorder.
//!
//! Real servers are pressed by their usual clients, both ends in control groups of their own: alone, then with `record` and each
//! kind of payload, in rounds, each run between two alone. Out: docs/benchmarks-l7.md.

mod load;
mod recorder;

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;

use self::load::{Done, Ends, Load, Server};
use self::recorder::{Recorder, Used};
use super::contender::size;
use super::measure::{self, BpfStatistics};
use super::statistics::spread;
use super::{sum_of, table};
use crate::analyze::Trace;
use crate::artifacts::{self, Profile};
use crate::host;

const MIB: f64 = (1 << 20) as f64;

/// How much to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Rounds; each runs every kind of payload once, between two runs alone.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long each run is, seconds.
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Press just these servers.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["redis", "nginx", "postgres"])]
    loads: Vec<Load>,
    /// As `record --payload`.
    #[arg(long, value_delimiter = ',', default_values = ["off", "none", "head"], value_name = "PAYLOAD")]
    payloads: Vec<String>,
    /// Measure this program and do not build one.
    #[arg(long, value_name = "PATH", value_parser = host::file)]
    aftertrace: Option<PathBuf>,
    /// Where the table goes.
    #[arg(long, default_value = "docs/benchmarks-l7.md", value_name = "FILE")]
    output: PathBuf,
}

/// One run with a recorder.
struct Sample {
    alone: f64,
    alone_p99_us: f64,
    done: Done,
    used: Used,
    /// Requests that were found at the client's end and at the server's, when that was looked for.
    found: Option<[u64; 2]>,
    lost: u64,
    bytes: u64,
    replay: Option<Replay>,
}

/// `analyze metrics` of a trace.
struct Replay {
    seconds: f64,
    cpu_seconds: f64,
}

struct Bench<'a> {
    options: &'a Options,
    aftertrace: PathBuf,
    scratch: PathBuf,
    text: String,
}

/// The subcommand. Root and tools were checked.
///
/// # Errors
/// When something does not build, start or answer.
pub(super) fn run(options: &Options) -> Result<()> {
    let aftertrace = match &options.aftertrace {
        Some(path) => path.clone(),
        None => artifacts::aftertrace(Profile::Release)?,
    };
    let text = format!(
        "# Benchmarks of what applications say\n\n\
         Written by `cargo xtask bench l7`, which repeats all of it; do not edit. {host}; runs of {seconds} s, {rounds} \
         rounds, median (least to most). Client, server and recorder share these processors, and the clients press as \
         hard as they can.\n\n\
         - **lost %**: of the client's own requests a second, beside the mean of a run alone before and one after.\n\
         - **p99 added us**: likewise, of the latency that 99 of 100 requests stay below.\n\
         - **kernel ns**: all programs, by requests (`bpf_stats_enabled`, in a run of its own). **CPU us**: user and \
         system time of the recorder from when it was ready to its end, by requests.\n\
         - **bytes**: on disk, by requests. **missing**: requests that the client counted and the metrics do not, at the \
         client's end and at the server's. **lost**: what the trace says that was lost.\n\
         - **replay**: requests a second through `analyze metrics`, each end counted, by its CPU time (and by the clock).\n\n\
         Aims: 10 % of redis-benchmark's throughput, 60 bytes a request of it, 1 million requests a second and core.\n",
        host = table::host()?,
        seconds = options.seconds,
        rounds = options.rounds,
    );
    let mut bench = Bench { options, aftertrace, scratch: host::scratch("bench-l7")?, text };
    for load in &options.loads {
        bench.measure(*load)?;
    }
    let path = host::root().join(&options.output);
    fs::write(&path, &bench.text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("\n{}\nwrote {}", bench.text, path.display());
    Ok(())
}

impl Bench<'_> {
    fn measure(&mut self, load: Load) -> Result<()> {
        let columns = [
            "payload",
            "requests/s",
            "lost %",
            "p99 added us",
            "kernel ns",
            "CPU us",
            "peak MiB",
            "bytes",
            "missing",
            "lost",
            "replay million/s",
        ];
        println!("{}", load.name());
        let ends = Ends::new()?;
        let server = load.serve(&ends)?;
        // The first run of a server is slower, and tells how many requests a run has.
        let warm = server.press(self.options.seconds, None)?;
        let mut before = server.press(self.options.seconds, Some(warm.per_second))?;
        let mut all_alone = vec![before.per_second];
        let mut samples: Vec<(&str, Vec<Sample>)> =
            self.options.payloads.iter().map(|payload| (payload.as_str(), Vec::new())).collect();
        for round in 1..=self.options.rounds {
            for (payload, samples) in &mut samples {
                let mut sample = self.record(&server, &ends, payload, &before)?;
                let after = server.press(self.options.seconds, Some(before.per_second))?;
                sample.alone = f64::midpoint(before.per_second, after.per_second);
                sample.alone_p99_us = f64::midpoint(before.p99_us, after.p99_us);
                println!("  round {round} {payload}: {:.1} % lost", sample.lost_percent());
                samples.push(sample);
                all_alone.push(after.per_second);
                before = after;
            }
        }
        let mut rows = Vec::new();
        for (payload, samples) in &samples {
            // The kernel's accounting costs time itself, so it is on in a run of its own.
            let _on = BpfStatistics::on()?;
            let counted = self.record(&server, &ends, payload, &before)?;
            rows.push(row(payload, samples, &counted));
        }
        let rule = "---|".repeat(columns.len());
        let _ = writeln!(self.text, "\n## {}\n\n| {} |\n|{rule}", load.name(), columns.join(" | "));
        let alone = spread(all_alone).map(|spread| spread.text(0)).unwrap_or_default();
        let _ = writeln!(self.text, "| alone | {alone} |{}", " |".repeat(columns.len() - 2));
        for row in rows {
            let _ = writeln!(self.text, "| {} |", row.join(" | "));
        }
        Ok(())
    }

    /// A run with a recorder.
    fn record(&self, server: &Server<'_>, ends: &Ends, payload: &str, before: &Done) -> Result<Sample> {
        let path = self.scratch.join("trace");
        let recorder = Recorder::start(&self.aftertrace, payload, &ends.groups.path, &path)?;
        let done = server.press(self.options.seconds, Some(before.per_second))?;
        let used = recorder.finish()?;
        let trace = Trace::new(&self.aftertrace, &path);
        let lost = trace.number("SELECT CAST(coalesce(sum(lost), 0) AS BIGINT) FROM losses")?;
        let mut sample = Sample {
            alone: before.per_second,
            alone_p99_us: before.p99_us,
            done,
            used,
            found: None,
            lost,
            bytes: size(&path)?,
            replay: None,
        };
        // Recognising a protocol takes its bytes.
        if !matches!(payload, "off" | "none") {
            let metrics = trace.metrics()?;
            sample.found = Some(server.counters().map(|name| sum_of(&metrics, name) as u64));
            let begin = Instant::now();
            let watched = measure::watch(trace.metrics_command().stdout(Stdio::null()))?;
            let seconds = begin.elapsed().as_secs_f64();
            sample.replay = Some(Replay { seconds, cpu_seconds: watched.cpu_ns as f64 / 1e9 });
        }
        Ok(sample)
    }
}

impl Sample {
    fn lost_percent(&self) -> f64 {
        100.0 * (1.0 - self.done.per_second / self.alone)
    }

    fn by_request(&self, value: u64) -> f64 {
        value as f64 / self.done.requests.max(1) as f64
    }
}

/// `counted` is the run with the kernel's accounting.
fn row(payload: &str, samples: &[Sample], counted: &Sample) -> Vec<String> {
    let cell = |decimals: usize, value: &dyn Fn(&Sample) -> Option<f64>| {
        spread(samples.iter().filter_map(value)).map(|spread| spread.text(decimals)).unwrap_or_default()
    };
    let missing = |end: usize| {
        cell(0, &|sample| {
            let found = sample.found?.get(end).copied()?;
            Some(sample.done.requests.saturating_sub(found) as f64)
        })
    };
    let ends = [missing(0), missing(1)];
    let both = |sample: &Sample| sample.found.map(|found| found.iter().sum::<u64>() as f64 / 1e6);
    let by_cpu = cell(2, &|sample| Some(both(sample)? / sample.replay.as_ref()?.cpu_seconds));
    let by_clock = cell(2, &|sample| Some(both(sample)? / sample.replay.as_ref()?.seconds));
    vec![
        payload.to_owned(),
        cell(0, &|sample| Some(sample.done.per_second)),
        cell(1, &|sample| Some(sample.lost_percent())),
        cell(0, &|sample| Some(sample.done.p99_us - sample.alone_p99_us)),
        format!("{:.0}", counted.by_request(counted.used.kernel_ns)),
        cell(2, &|sample| Some(sample.by_request(sample.used.cpu_ns) / 1e3)),
        cell(1, &|sample| Some(sample.used.peak_bytes as f64 / MIB)),
        cell(1, &|sample| Some(sample.by_request(sample.bytes))),
        if ends.iter().all(String::is_empty) { String::new() } else { ends.join(" / ") },
        cell(0, &|sample| Some(sample.lost as f64)),
        if by_cpu.is_empty() { String::new() } else { format!("{by_cpu}; {by_clock}") },
    ]
}
