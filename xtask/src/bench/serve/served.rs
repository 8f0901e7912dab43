//! A process that answers scrapes, and what it uses.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::super::measure::{cpu_ns, peak_bytes, read};
use super::scraper::{Scrapes, scrape};

/// Ended with this.
pub(super) struct Served {
    child: Child,
    pub(super) address: String,
}

/// What a process used in a span of time.
pub(super) struct Usage {
    /// CPU time in a second, milliseconds.
    pub(super) cpu_ms_per_second: f64,
    /// CPU time in all, nanoseconds.
    pub(super) cpu_ns: u64,
    /// Peak of resident memory so far, bytes.
    pub(super) peak_bytes: u64,
}

/// Where a span began.
pub(super) struct Begin {
    time: Instant,
    cpu_ns: u64,
}

impl Served {
    /// `aftertrace serve`, ready.
    ///
    /// # Errors
    /// When it does not get ready.
    pub(super) fn aftertrace(program: &Path, words: &[&str], environment: &[(&str, String)]) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--min-container-age", "0s"]).args(words);
        command.envs(environment.iter().map(|(name, value)| (*name, value)));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stderr.take().context("it has no stderr")?).lines();
        let mut address = None;
        for line in lines.by_ref() {
            let line = line?;
            if let Some((_, rest)) = line.split_once("http://") {
                address = rest.split('/').next().map(str::to_owned);
            }
            if line == "ready" {
                // What else it says is not of interest, but it must be able to say it.
                std::thread::spawn(move || lines.count());
                return Ok(Self { child, address: address.context("it did not say where it listens")? });
            }
        }
        bail!("aftertrace serve did not get ready: {}", child.wait()?)
    }

    /// Debian's node exporter.
    ///
    /// # Errors
    /// When it does not answer.
    pub(super) fn node_exporter(program: &Path) -> Result<Self> {
        // A port that was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let mut command = Command::new(program);
        command.arg(format!("--web.listen-address={address}"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let served = Self { child, address };
        let until = Instant::now() + Duration::from_secs(20);
        while scrape(&served.address, false, &mut Scrapes::default()).is_err() {
            if Instant::now() > until {
                bail!("{} does not answer", program.display());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(served)
    }

    fn process(&self) -> String {
        format!("/proc/{}", self.child.id())
    }

    pub(super) fn begin(&self) -> Begin {
        Begin { time: Instant::now(), cpu_ns: cpu_ns(&read(&self.process(), "stat")) }
    }

    pub(super) fn usage(&self, begin: &Begin) -> Usage {
        let used = cpu_ns(&read(&self.process(), "stat")).saturating_sub(begin.cpu_ns);
        Usage {
            cpu_ms_per_second: used as f64 / 1e6 / begin.time.elapsed().as_secs_f64(),
            cpu_ns: used,
            peak_bytes: peak_bytes(&read(&self.process(), "status")),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
