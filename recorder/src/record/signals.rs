//! Signals that ask for an end: Ctrl-C, SIGTERM, and SIGHUP unless `nohup` had it ignored.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

use rustix::process::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::unregister;
use signal_hook_registry::register_sigaction;

/// Counts the signals that ask for an end, while it lives.
pub(super) struct Signals {
    seen: Arc<Seen>,
    registered: Vec<signal_hook::SigId>,
}

#[derive(Default)]
struct Seen {
    count: AtomicUsize,
    last: AtomicI32,
    last_from_kernel: AtomicBool,
}

impl Signals {
    /// Takes the signals over.
    #[allow(unsafe_code, reason = "signal handlers are registered with the system")]
    pub(super) fn install() -> io::Result<Self> {
        let mut signals = Self { seen: Arc::default(), registered: Vec::new() };
        let hang_up = (!is_ignored(SIGHUP)).then_some(SIGHUP);
        for signal in [SIGINT, SIGTERM].into_iter().chain(hang_up) {
            let seen = Arc::clone(&signals.seen);
            // SAFETY: the handler only stores to atomics, which is async-signal-safe.
            let id = unsafe {
                register_sigaction(signal, move |info| {
                    seen.last.store(signal, Ordering::Relaxed);
                    // What processes send has a code of 0 or less.
                    seen.last_from_kernel.store(info.si_code > 0, Ordering::Relaxed);
                    seen.count.fetch_add(1, Ordering::Release);
                })
            }?;
            signals.registered.push(id);
        }
        Ok(signals)
    }

    /// How many came.
    pub(super) fn count(&self) -> usize {
        self.seen.count.load(Ordering::Acquire)
    }

    /// The last one, for the command. None when the kernel sent it for the terminal: then the command has it already.
    pub(super) fn to_pass_on(&self) -> Option<Signal> {
        if self.seen.last_from_kernel.load(Ordering::Relaxed) {
            return None;
        }
        Signal::from_named_raw(self.seen.last.load(Ordering::Relaxed))
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.registered.drain(..) {
            unregister(id);
        }
    }
}

/// Whether this process was started with the signal ignored.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
