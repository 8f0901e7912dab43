//! Processes that hold connections, as those of containers do.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// A process that prints a line when it is ready and ends with its input; ended with this.
pub(super) struct Holding {
    child: Child,
    /// What it printed.
    pub(super) said: String,
}

impl Holding {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// When it does not start or says nothing.
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let mut holding = Self::begin(command)?;
        holding.wait()?;
        Ok(holding)
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it does not start.
    pub(super) fn begin(command: &mut Command) -> Result<Self> {
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a workload")?;
        Ok(Self { child, said: String::new() })
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// When it ends without a word.
    pub(super) fn wait(&mut self) -> Result<()> {
        let stdout = self.child.stdout.take().context("it has no output")?;
        BufReader::new(stdout).read_line(&mut self.said)?;
        self.said.truncate(self.said.trim_end().len());
        Ok(())
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
