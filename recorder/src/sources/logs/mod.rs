//! What recorded containers and units log: Docker's and Kubernetes' log files, files under /var/log that containers
//! write, and the journal.
//!
//! In: what to follow ([`Targets`]), whenever that changes. Out: batches of rows: `LogLine` (or `LogPattern`, when no
//! text is to be kept), `LogFile` with the positions in files, `Loss` of what a container logged beyond its budget,
//! `ProbeStatus`. One thread reads all files, each a quantum in its turn, and waits when its rows are not taken, so a
//! flood costs neither memory nor the others' turns; another one reads what `journalctl` writes.
//!
//! A file that is there when the recording begins is read from its end; one that is made later from its beginning.

mod budget;
mod decode;
mod journald;
mod lines;
mod outlet;
mod place;
mod rotated;
mod tail;
mod watch;
mod worker;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aftertrace_schemas::manifest::Anchor;
use rustix::event::{EventfdFlags, eventfd};

pub use budget::{LOSS_SOURCE, LogBudget};
pub use decode::LogFormat;
pub use journald::{JournalConfig, SOURCE as JOURNAL_SOURCE};
pub use outlet::{LINE_BYTES, ROW_BYTES};
pub use place::Place;

use crate::capabilities::{self, OTHERS_PROCESSES};
use crate::sources::Roots;
use outlet::{Batch, Outlet};

/// Name of this source in probe rows, and of its thread.
pub const SOURCE: &str = "logs";
/// The source of rows that a container runtime wrote for the container.
pub const OUTPUT: &str = "stdout/stderr";
/// Batches that wait to be taken; the thread waits when there are more.
const WAITING_BATCHES: usize = 16;

/// What is kept of logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogMode {
    /// Every line.
    #[default]
    Lines,
    /// How many messages there are of each level and pattern, and no text.
    Patterns,
    /// Nothing; no log is read.
    Off,
}

/// What may be chosen about logs.
#[derive(Debug, Clone, Default)]
pub struct LogConfig {
    /// What is kept.
    pub mode: LogMode,
    /// How much a container may log.
    pub budget: LogBudget,
    /// How to read the journal.
    pub journal: JournalConfig,
    /// Looks at files at intervals even where the kernel would tell of changes.
    pub polls: bool,
}

/// A log file to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTarget {
    /// Control group of the container.
    pub cgroup: String,
    /// Name of the source in rows.
    pub source: String,
    /// Absolute path.
    pub path: String,
    /// From whose view the path is meant.
    pub place: Place,
    /// How the file holds lines.
    pub format: LogFormat,
    /// Its lines are new although it was there before: it was emptied.
    pub from_start: bool,
}

/// All that is to be followed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Targets {
    /// Log files.
    pub files: Vec<FileTarget>,
    /// Names of systemd units, with the control group that each is recorded as.
    pub units: BTreeMap<String, String>,
}

enum Command {
    Follow(Targets),
    Finish,
}

/// The source. Dropping it ends its threads.
#[derive(Debug)]
pub struct LogSource {
    commands: Sender<Command>,
    wake: Arc<OwnedFd>,
    /// Taken when the source is dropped, so that a thread which waits for room ends.
    batches: Option<Receiver<Batch>>,
    thread: Option<JoinHandle<()>>,
}

impl LogSource {
    /// Starts its thread. Fails when the system gives no thread.
    pub fn start(config: LogConfig, roots: &Roots, anchor: Anchor) -> io::Result<Self> {
        let (commands, incoming) = channel();
        let (queue, batches) = sync_channel(WAITING_BATCHES);
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let places = place::Places::new(roots);
        let since = place::file_clock_ns();
        let journal = journald::Journal::new(config.journal, places.host(), since, Arc::clone(&wake));
        let journal_needs = journal.capabilities();
        let outlet = Outlet::new(config.mode, anchor, config.budget, queue);
        let worker = worker::Worker::new(places, Arc::clone(&wake), outlet, journal, config.polls);
        let needs = OTHERS_PROCESSES | journal_needs;
        let thread = capabilities::spawn(SOURCE, needs, move || worker.run(&incoming))?;
        Ok(Self { commands, wake, batches: Some(batches), thread: Some(thread) })
    }

    /// Follows these from now on; what was followed before and is not among them is read for a little longer.
    pub fn follow(&self, targets: Targets) {
        // The thread ends only when this source does.
        let _ = self.commands.send(Command::Follow(targets));
        wake(&self.wake);
    }

    /// Rows with the boot times at which they were read, when there are some.
    pub fn try_rows(&self) -> Option<Vec<(u64, aftertrace_schemas::Kind)>> {
        self.batches.as_ref()?.try_recv().ok()
    }

    /// The same, waiting for them up to `patience`.
    pub fn wait_rows(&self, patience: Duration) -> Option<Vec<(u64, aftertrace_schemas::Kind)>> {
        self.batches.as_ref()?.recv_timeout(patience).ok()
    }

    /// Has everything read that is there. Call [`Self::rest`] until there is nothing more.
    pub fn finish(&self) {
        let _ = self.commands.send(Command::Finish);
        wake(&self.wake);
    }

    /// Rows after [`Self::finish`]; `None` when these were all, or patience ended.
    pub fn rest(&self, until: Instant) -> Option<Vec<(u64, aftertrace_schemas::Kind)>> {
        self.batches.as_ref()?.recv_timeout(until.saturating_duration_since(Instant::now())).ok()
    }
}

impl Drop for LogSource {
    fn drop(&mut self) {
        self.finish();
        self.batches = None;
        // A file system that hangs may hold the thread; it is not waited for then.
        let until = Instant::now() + Duration::from_secs(1);
        if let Some(thread) = self.thread.take() {
            while !thread.is_finished() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

fn wake(fd: &OwnedFd) {
    // A counter that is full wakes too.
    let _ = rustix::io::write(fd, &1_u64.to_ne_bytes());
}
