//! `cargo xtask bench serve`: what the live mode costs, and how long a scrape takes.
//!
//! At rest, under a storm, by number of containers, and while things go wrong; beside node_exporter, where that is
//! installed, and beside the storm alone. Out: docs/benchmarks-serve.md.

mod crowd;
mod scraper;
mod served;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aftertrace_workload::docker::Daemon;
use anyhow::{Context, Result};
use clap::Args;

use self::crowd::Holding;
use self::scraper::{Scraper, Scrapes, scrape};
use self::served::{Served, Usage};
use super::groups::Groups;
use super::{sum_of, table};
use crate::artifacts::{self, Profile};
use crate::host;

const MIB: f64 = (1 << 20) as f64;
/// A crowd's container has so many connections, to addresses of their own.
const CONNECTIONS: &str = "3";
/// Scrapes of each number of containers.
const RENDERS: usize = 30;

/// How much to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// How long each calm span is, seconds.
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    span: u64,
    /// Connections of the storm.
    #[arg(long, default_value_t = 600_000, value_name = "N")]
    connections: u64,
    /// Numbers of containers for which scrapes are timed.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 500, 1_000])]
    containers: Vec<usize>,
    /// Control groups that come and go.
    #[arg(long, default_value_t = 2_000, value_name = "N")]
    groups: usize,
    /// Destinations of one container.
    #[arg(long, default_value_t = 5_000, value_name = "N")]
    destinations: u64,
    /// Measure this program and do not build one.
    #[arg(long, value_name = "PATH", value_parser = host::file)]
    aftertrace: Option<PathBuf>,
    /// Where the table goes.
    #[arg(long, default_value = "docs/benchmarks-serve.md", value_name = "FILE")]
    output: PathBuf,
}

struct Bench<'a> {
    options: &'a Options,
    aftertrace: PathBuf,
    workload: PathBuf,
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
        "# Benchmarks of `serve`\n\n\
         Written by `cargo xtask bench serve`, which repeats all of it; do not edit. {}. Scrapes are HTTP requests on \
         loopback, with connecting and reading; times are median / 99 of 100 / longest, in milliseconds. CPU is user and \
         system time of the process, peak its `VmHWM`.\n",
        table::host()?
    );
    let mut bench = Bench { options, aftertrace, workload: artifacts::workload(Profile::Release)?, text };
    bench.at_rest()?;
    bench.storm()?;
    bench.containers()?;
    bench.trouble()?;
    let path = host::root().join(&options.output);
    fs::write(&path, &bench.text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("\n{}\nwrote {}", bench.text, path.display());
    Ok(())
}

impl Bench<'_> {
    fn serve(&self, groups: &Groups, words: &[&str]) -> Result<Served> {
        Served::aftertrace(&self.aftertrace, &[&["--cgroup", &groups.path], words].concat(), &[])
    }

    fn section(&mut self, title: &str, words: &str, columns: &[&str]) {
        println!("{title}");
        let rule = "---|".repeat(columns.len());
        let _ = writeln!(self.text, "\n## {title}\n\n{words}\n\n| {} |\n|{rule}", columns.join(" | "));
    }

    fn row(&mut self, cells: &[String]) {
        println!("  {}", cells.join("  "));
        let _ = writeln!(self.text, "| {} |", cells.join(" | "));
    }

    /// One container that sleeps.
    fn at_rest(&mut self) -> Result<()> {
        let words = format!(
            "One container that sleeps, scraped each second for {} s; everything at its default interval. The peer \
             measures the node only.",
            self.options.span
        );
        let columns = ["who", "CPU ms/s", "peak MiB", "scrape ms", "scrapes", "series", "bytes"];
        self.section("At rest", &words, &columns);
        let groups = Groups::new()?;
        let name = groups.container(0)?;
        let _sleeper = Holding::begin(&mut groups.command(&name, Path::new("/bin/cat"), &[]))?;
        let served = self.serve(&groups, &[])?;
        self.rest("aftertrace serve", &served)?;
        drop(served);
        if let Some(program) = host::find_program(&["prometheus-node-exporter"]) {
            self.rest("node_exporter (Debian)", &Served::node_exporter(&program)?)?;
        }
        Ok(())
    }

    fn rest(&mut self, who: &str, served: &Served) -> Result<()> {
        let scraper = Scraper::start(&served.address, Duration::from_secs(1));
        let begin = served.begin();
        std::thread::sleep(Duration::from_secs(self.options.span));
        let usage = served.usage(&begin);
        let scrapes = scraper.stop()?;
        self.row(&[
            who.to_owned(),
            format!("{:.1}", usage.cpu_ms_per_second),
            format!("{:.1}", usage.peak_bytes as f64 / MIB),
            scrapes.text(),
            scrapes.len().to_string(),
            scrapes.series.to_string(),
            scrapes.bytes.to_string(),
        ]);
        Ok(())
    }

    /// Connections as fast as the host can.
    fn storm(&mut self) -> Result<()> {
        let words = format!(
            "{} connections (4 events each) in one container, scraped each second. Slower: than the mean of the same \
             storm alone before and after.",
            self.options.connections
        );
        self.section(
            "Under the storm",
            &words,
            &["who", "slower %", "events/s", "CPU us/event", "peak MiB", "scrape ms", "lost"],
        );
        let groups = Groups::new()?;
        let before = self.storm_alone(&groups)?;
        let served = self.serve(&groups, &[])?;
        let scraper = Scraper::start(&served.address, Duration::from_secs(1));
        let begin = served.begin();
        let elapsed = self.storm_alone(&groups)?;
        let usage = served.usage(&begin);
        let scrapes = scraper.stop()?;
        let lost = sum_of(&scrape(&served.address, false, &mut Scrapes::default())?, "aftertrace_lost_total");
        drop(served);
        let alone = f64::midpoint(before, self.storm_alone(&groups)?);
        let events = 4.0 * self.options.connections as f64;
        self.row(&[
            "aftertrace serve".to_owned(),
            format!("{:.0}", 100.0 * (elapsed / alone - 1.0)),
            format!("{:.0}", events / elapsed),
            format!("{:.2}", usage.cpu_ns as f64 / 1e3 / events),
            format!("{:.1}", usage.peak_bytes as f64 / MIB),
            scrapes.text(),
            format!("{lost:.0}"),
        ]);
        Ok(())
    }

    /// Seconds that the storm took.
    fn storm_alone(&self, groups: &Groups) -> Result<f64> {
        let count = self.options.connections.to_string();
        let mut command = groups.command("", &self.workload, &["connections", &count, "2"]);
        let text = host::text(&mut command)?;
        let ns = text.lines().find_map(|line| line.strip_prefix("elapsed_ns=")?.parse::<f64>().ok());
        Ok(ns.context("the storm did not say how long it took")? / 1e9)
    }

    /// Scrapes by number of containers.
    fn containers(&mut self) -> Result<()> {
        let words = format!(
            "Control groups with the names of Docker's, each with a process that holds {CONNECTIONS} connections; \
             {RENDERS} scrapes of each kind. The last columns are one scrape's share."
        );
        let columns = [
            "containers",
            "series",
            "text ms",
            "gzip ms",
            "bytes",
            "gzip bytes",
            "us/series",
            "CPU ms/s",
            "peak MiB",
        ];
        self.section("By number of containers", &words, &columns);
        for &count in &self.options.containers {
            let groups = Groups::new()?;
            let listener = Holding::start(&mut groups.command("", &self.workload, &["listen"]))?;
            let served = self.serve(&groups, &[])?;
            let mut crowd = Vec::new();
            for number in 0..count {
                let name = groups.container(number)?;
                let words = ["connect", CONNECTIONS, &listener.said];
                crowd.push(Holding::begin(&mut groups.command(&name, &self.workload, &words))?);
            }
            for holding in &mut crowd {
                holding.wait()?;
            }
            // Two rounds of every source.
            std::thread::sleep(Duration::from_secs(12));
            let begin = served.begin();
            std::thread::sleep(Duration::from_secs(10));
            let usage = served.usage(&begin);
            let (mut plain, mut packed) = (Scrapes::default(), Scrapes::default());
            for _ in 0..RENDERS {
                scrape(&served.address, false, &mut plain)?;
                scrape(&served.address, true, &mut packed)?;
            }
            self.row(&[
                count.to_string(),
                plain.series.to_string(),
                plain.text(),
                packed.text(),
                plain.bytes.to_string(),
                packed.bytes.to_string(),
                format!("{:.2}", plain.percentile(50) * 1e3 / plain.series.max(1) as f64),
                format!("{:.1}", usage.cpu_ms_per_second),
                format!("{:.1}", usage.peak_bytes as f64 / MIB),
            ]);
        }
        Ok(())
    }

    /// Scrapes while things go wrong.
    fn trouble(&mut self) -> Result<()> {
        let columns = ["what", "scrape ms", "scrapes", "series", "CPU ms/s", "peak MiB", "lost"];
        self.section("In trouble", "Scraped ten times a second while it lasts.", &columns);
        self.short_lived()?;
        self.destinations()?;
        if aftertrace_workload::docker::missing().is_none() {
            self.hung_runtime()?;
        }
        Ok(())
    }

    fn short_lived(&mut self) -> Result<()> {
        let groups = Groups::new()?;
        let served = self.serve(&groups, &[])?;
        let what = format!("{} containers that live for a moment, one after the other", self.options.groups);
        self.watch(&what, &served, |bench| {
            for number in 0..bench.options.groups {
                let name = groups.container(number)?;
                let words = ["noop"];
                host::text(&mut groups.command(&name, &bench.workload, &words))?;
                groups.remove(&name);
            }
            Ok(())
        })
    }

    fn destinations(&mut self) -> Result<()> {
        let groups = Groups::new()?;
        let listener = Holding::start(&mut groups.command("", &self.workload, &["listen"]))?;
        let served = self.serve(&groups, &[])?;
        let what = format!("{} destinations of one container", self.options.destinations);
        let span = Duration::from_secs(self.options.span);
        self.watch(&what, &served, |bench| {
            let name = groups.container(0)?;
            let count = bench.options.destinations.to_string();
            let words = ["connect", &count, &listener.said];
            let _holding = Holding::start(&mut groups.command(&name, &bench.workload, &words))?;
            std::thread::sleep(span);
            Ok(())
        })
    }

    fn hung_runtime(&mut self) -> Result<()> {
        let directory = host::scratch("docker")?;
        let daemon = Daemon::start(&directory)?;
        let groups = Groups::new()?;
        let environment = [("DOCKER_HOST", daemon.host())];
        let served = Served::aftertrace(&self.aftertrace, &["--cgroup", &groups.path], &environment)?;
        let pid = daemon.pid().to_string();
        let span = Duration::from_secs(self.options.span);
        self.watch("dockerd stopped (SIGSTOP)", &served, |bench| {
            host::text(std::process::Command::new("kill").args(["-STOP", &pid]))?;
            let begin = Instant::now();
            let mut number = 0;
            let outcome = loop {
                if begin.elapsed() > span {
                    break Ok(());
                }
                // Containers come whose names nobody tells.
                let name = groups.container(number)?;
                number += 1;
                let ran = host::text(&mut groups.command(&name, &bench.workload, &["noop"])).map(drop);
                groups.remove(&name);
                if ran.is_err() {
                    break ran;
                }
                std::thread::sleep(Duration::from_millis(50));
            };
            host::text(std::process::Command::new("kill").args(["-CONT", &pid]))?;
            outcome
        })
    }

    fn watch(
        &mut self,
        what: &str,
        served: &Served,
        trouble: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<()> {
        let scraper = Scraper::start(&served.address, Duration::from_millis(100));
        let begin = served.begin();
        let outcome = trouble(self);
        let usage: Usage = served.usage(&begin);
        let scrapes = scraper.stop()?;
        outcome?;
        let lost = sum_of(&scrape(&served.address, false, &mut Scrapes::default())?, "aftertrace_lost_total");
        self.row(&[
            what.to_owned(),
            scrapes.text(),
            scrapes.len().to_string(),
            scrapes.series.to_string(),
            format!("{:.1}", usage.cpu_ms_per_second),
            format!("{:.1}", usage.peak_bytes as f64 / MIB),
            format!("{lost:.0}"),
        ]);
        Ok(())
    }
}
