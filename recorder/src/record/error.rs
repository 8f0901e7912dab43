use std::io;

use crate::command::CommandError;
use crate::kernel::KernelError;
use crate::sources::privileges::Missing;
use crate::trace::TraceError;

/// Why a recording could not be begun or went no further.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The host or the rights do not allow it.
    #[error("cannot record on this host: {}", join(.0))]
    Missing(Vec<Missing>),
    /// The kernel programs cannot be loaded.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// A clock or a facility of the host cannot be read.
    #[error("cannot read {what}: {reason}")]
    Host {
        /// What was to be read.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// A control group that was asked for is not there.
    #[error("--cgroup {path}: no such control group in any mounted hierarchy")]
    NoSuchCgroup {
        /// As given.
        path: String,
    },
    /// A process that was asked for is not there.
    #[error("--pid {pid}: no such process")]
    NoSuchProcess {
        /// As given.
        pid: u32,
    },
    /// A thread was asked for as if it were a process.
    #[error("--pid {pid}: a thread of process {process}; give --pid {process}")]
    Thread {
        /// As given.
        pid: u32,
        /// The process that it is in.
        process: u32,
    },
    /// The trace cannot be written.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The command cannot be run.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Signals cannot be taken over.
    #[error("cannot handle signals: {0}")]
    Signals(io::Error),
}

fn join(missing: &[Missing]) -> String {
    missing.iter().map(Missing::to_string).collect::<Vec<_>>().join("; ")
}
