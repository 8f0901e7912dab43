//! Ctrl-C and SIGTERM: the first ends a recording cleanly, the second gives up on a command that does not end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::{register, unregister};

/// Counts the signals that ask for an end, while it lives.
pub(super) struct Signals {
    count: Arc<AtomicUsize>,
    last: Arc<AtomicUsize>,
    registered: Vec<signal_hook::SigId>,
}

impl Signals {
    /// Takes over SIGINT and SIGTERM.
    #[allow(unsafe_code, reason = "signal handlers are registered with the system")]
    pub(super) fn install() -> io::Result<Self> {
        let count = Arc::new(AtomicUsize::new(0));
        let last = Arc::new(AtomicUsize::new(0));
        let mut registered = Vec::new();
        for signal in [SIGINT, SIGTERM] {
            let (count, last) = (Arc::clone(&count), Arc::clone(&last));
            let number = usize::try_from(signal).unwrap_or_default();
            // SAFETY: the handler only stores to atomics, which is async-signal-safe.
            let id = unsafe {
                register(signal, move || {
                    last.store(number, Ordering::Relaxed);
                    count.fetch_add(1, Ordering::Relaxed);
                })
            }?;
            registered.push(id);
        }
        Ok(Self { count, last, registered })
    }

    /// How many came.
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether the last one was SIGINT, which a terminal sends to the command as well.
    pub(super) fn sent_by_terminal(&self) -> bool {
        usize::try_from(SIGINT) == Ok(self.last.load(Ordering::Relaxed))
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.registered.drain(..) {
            unregister(id);
        }
    }
}
