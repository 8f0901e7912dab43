//! What the recording thread tells the HTTP thread, apart from metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aftertrace_schemas::tables::{ProbeStatus, PushStats, SourceStats};

use crate::record::Status;

/// A recording thread that has not come round for so long is not healthy.
const STALL: Duration = Duration::from_secs(10);

/// What the page shows.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    /// Name of the host.
    pub(crate) hostname: String,
    /// Control groups, containers and processes that are followed, in words; empty for the whole host.
    pub(crate) filters: Vec<String>,
    /// Directory of the trace.
    pub(crate) output: Option<String>,
    /// How the recording goes.
    pub(crate) status: Status,
    /// Probes and sources, and why some do not work.
    pub(crate) probes: Vec<ProbeStatus>,
    /// What became of pushed metrics.
    pub(crate) pushes: Vec<PushStats>,
    /// What the sources did, with the age of what they said last.
    pub(crate) sources: Vec<(SourceStats, Option<Duration>)>,
}

/// Shared by both threads.
#[derive(Debug)]
pub(super) struct Shared {
    born: Instant,
    ready: AtomicBool,
    /// When the recording thread came round last, milliseconds since `born`.
    turned_ms: AtomicU64,
    view: Mutex<View>,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            born: Instant::now(),
            ready: AtomicBool::new(false),
            turned_ms: AtomicU64::new(0),
            view: Mutex::default(),
        }
    }

    /// The recording thread came round.
    pub(super) fn turned(&self) {
        let since = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.turned_ms.store(since, Ordering::Relaxed);
        self.ready.store(true, Ordering::Release);
    }

    /// Whether everything is attached and what was there before is known.
    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// For how long the recording thread has not come round, when that is too long.
    pub(super) fn stalled(&self) -> Option<Duration> {
        let turned = Duration::from_millis(self.turned_ms.load(Ordering::Relaxed));
        let since = self.born.elapsed().saturating_sub(turned);
        (self.is_ready() && since > STALL).then_some(since)
    }

    pub(super) fn show(&self, view: View) {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = view;
    }

    pub(super) fn view(&self) -> View {
        self.view.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
