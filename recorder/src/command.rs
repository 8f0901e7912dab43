//! The command of `record -- COMMAND`: started inside its own control group, its end passed on.

#![allow(unsafe_code, reason = "a child enters its control group between fork and exec")]

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};

use crate::sources::command_cgroup::enter;

/// Why the command did not run.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// No program was named.
    #[error("no command given after --")]
    Empty,
    /// The system refused to start it.
    #[error("cannot run `{program}`: {source}")]
    Spawn {
        /// The program as given.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// Waiting for it failed.
    #[error("cannot wait for the command: {0}")]
    Wait(io::Error),
}

/// A running command.
#[derive(Debug)]
pub struct RecordedCommand {
    child: Child,
}

impl RecordedCommand {
    /// Starts the command. `cgroup_procs` are open `cgroup.procs` files that the child enters before it runs
    /// the program, so that not one of its actions happens outside.
    pub fn spawn(command: &[OsString], cgroup_procs: Vec<OwnedFd>) -> Result<Self, CommandError> {
        let (program, arguments) = command.split_first().ok_or(CommandError::Empty)?;
        let mut prepared = Command::new(program);
        prepared.args(arguments);
        // SAFETY: the closure runs in the child after fork; it only calls write(2) on descriptors that were
        // opened before, which is async-signal-safe, and allocates nothing.
        unsafe {
            prepared.pre_exec(move || enter(&cgroup_procs));
        }
        let child = prepared.spawn().map_err(|source| CommandError::Spawn {
            program: program.to_string_lossy().into_owned(),
            source,
        })?;
        Ok(Self { child })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, CommandError> {
        self.child.try_wait().map_err(CommandError::Wait)
    }

    /// Passes a signal on to it. A command that has ended in the meantime is no error.
    pub fn signal(&self, signal: rustix::process::Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            // ESRCH means that it ended; nothing is left to tell.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

/// The exit code that a shell would give: the command's own, or 128 + the signal that ended it.
pub fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}
