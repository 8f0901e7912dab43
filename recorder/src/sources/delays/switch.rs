//! The kernel's switch for delay accounting, `kernel.task_delayacct`.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use super::super::Roots;
use super::super::file::first_line;
use crate::capabilities::{self, CapabilitySet};

fn path(roots: &Roots) -> PathBuf {
    roots.proc_file("sys/kernel/task_delayacct")
}

/// Whether the kernel counts delays. Before 5.14 there is no switch and it does.
pub fn is_on(roots: &Roots) -> bool {
    first_line(&path(roots)).is_none_or(|value| value != "0")
}

/// Delay accounting that was switched on: switched off again when this is dropped.
///
/// The kernel asks whoever writes the switch for `CAP_SYS_ADMIN` (`sysctl_delayacct` in kernel/delayacct.c), which the
/// recording thread has given up by the end. So a thread keeps it, and sleeps until then.
#[derive(Debug)]
pub struct SwitchedOn {
    until: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl SwitchedOn {
    /// Switches it on; `None` when it is on already, and stays so.
    ///
    /// # Errors
    /// When the kernel does not let it, or the system gives no thread.
    pub fn new(roots: &Roots) -> io::Result<Option<Self>> {
        if is_on(roots) {
            return Ok(None);
        }
        let path = path(roots);
        fs::write(&path, "1")?;
        let (until, is_over) = channel::<()>();
        let thread = capabilities::spawn("task-delayacct", CapabilitySet::SYS_ADMIN, move || {
            // Nobody sends anything: this waits for the end of the other side.
            let _ = is_over.recv();
            // Who cannot write it now could before; there is nobody left to tell.
            let _ = fs::write(&path, "0");
        });
        let thread = thread.inspect_err(|_| {
            let _ = fs::write(self::path(roots), "0");
        })?;
        Ok(Some(Self { until: Some(until), thread: Some(thread) }))
    }
}

impl Drop for SwitchedOn {
    fn drop(&mut self) {
        drop(self.until.take());
        if let Some(thread) = self.thread.take() {
            // It does nothing that panics.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn host(value: Option<&str>) -> (tempfile::TempDir, Roots) {
        let host = tempfile::tempdir().unwrap();
        let roots = Roots::below(host.path());
        fs::create_dir_all(roots.proc_file("sys/kernel")).unwrap();
        if let Some(value) = value {
            fs::write(path(&roots), value).unwrap();
        }
        (host, roots)
    }

    #[test]
    fn it_is_on_for_as_long_as_it_is_held() {
        let (_host, roots) = host(Some("0\n"));
        assert!(!is_on(&roots));
        let held = SwitchedOn::new(&roots).unwrap();
        assert!(held.is_some() && is_on(&roots));
        drop(held);
        assert!(!is_on(&roots));
    }

    #[test]
    fn what_somebody_else_switched_on_stays_on() {
        let (_host, roots) = host(Some("1\n"));
        drop(SwitchedOn::new(&roots).unwrap());
        assert!(is_on(&roots));
    }

    #[test]
    fn a_kernel_without_the_switch_counts_always() {
        let (_host, roots) = host(None);
        assert!(is_on(&roots));
        assert!(SwitchedOn::new(&roots).unwrap().is_none());
    }
}
