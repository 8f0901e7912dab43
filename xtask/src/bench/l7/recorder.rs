//! `aftertrace record` beside a load: when it is ready, what it used, what it left.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, bail, ensure};

use super::super::measure::{Programs, cpu_ns, peak_bytes, programs, read};
use crate::host;

/// Libraries that are there get their probes in this time, which is no part of what is measured.
const SETTLING: Duration = Duration::from_secs(1);
/// Between two looks at a recorder that ends.
const INTERVAL: Duration = Duration::from_millis(10);
/// It has so long to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A recorder that is recording. Ended with this.
pub(super) struct Recorder {
    child: Child,
    begin_cpu_ns: u64,
    begin_programs: Programs,
}

/// What it used since it was ready.
pub(super) struct Used {
    pub(super) cpu_ns: u64,
    pub(super) peak_bytes: u64,
    pub(super) kernel_ns: u64,
}

impl Recorder {
    /// Starts it for one control group, and waits until it records.
    ///
    /// # Errors
    /// When it does not get ready.
    pub(super) fn start(program: &Path, payload: &str, cgroup: &str, output: &Path) -> Result<Self> {
        if output.exists() {
            fs::remove_dir_all(output)?;
        }
        let mut command = Command::new(program);
        command.args(["record", "--payload", payload, "--cgroup", cgroup, "-o"]).arg(output);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stderr.take().context("it has no stderr")?).lines();
        let mut said = String::new();
        let is_ready = lines.by_ref().map_while(Result::ok).any(|line| {
            said = line;
            said.starts_with("recording to ")
        });
        if !is_ready {
            bail!("aftertrace record did not get ready: {}: {said}", child.wait()?);
        }
        // What else it says is not of interest, but it must be able to say it.
        thread::spawn(move || lines.count());
        thread::sleep(SETTLING);
        let mut recorder = Self { child, begin_cpu_ns: 0, begin_programs: Programs::default() };
        recorder.begin_cpu_ns = cpu_ns(&read(&recorder.process(), "stat"));
        recorder.begin_programs = programs(&recorder.process());
        Ok(recorder)
    }

    fn process(&self) -> String {
        format!("/proc/{}", self.child.id())
    }

    /// Ends it as Ctrl-C does. What it used counts up to its end.
    ///
    /// # Errors
    /// When it fails, or does not end.
    pub(super) fn finish(mut self) -> Result<Used> {
        let process = self.process();
        let kernel_ns = programs(&process).time_ns.saturating_sub(self.begin_programs.time_ns);
        host::text(Command::new("kill").args(["-INT", &self.child.id().to_string()]))?;
        let until = Instant::now() + PATIENCE;
        let (mut cpu, mut peak) = (0, 0);
        loop {
            // A process that has ended has no times any more.
            cpu = cpu_ns(&read(&process, "stat")).max(cpu);
            peak = peak_bytes(&read(&process, "status")).max(peak);
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "aftertrace record ended with {status}");
                return Ok(Used {
                    cpu_ns: cpu.saturating_sub(self.begin_cpu_ns),
                    peak_bytes: peak,
                    kernel_ns,
                });
            }
            ensure!(Instant::now() < until, "aftertrace record does not end");
            thread::sleep(INTERVAL);
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
