//! What the recorder may do beyond an ordinary process, and how that is given up: a thread keeps what its work takes
//! and nothing else, from its first moment on, and no thread can gain anything back.
//!
//! In: the capabilities that a piece of work takes. Out: a thread that has just these, and what each thread has.
//!
//! Capabilities belong to threads, and a new thread has those of the one that starts it. So everything that needs a
//! thread has it from [`spawn`], and the thread that attached the kernel programs narrows itself once it is done.
//! Threads share their memory: this bounds what a system call that goes wrong can do in the thread that makes it, and
//! what the whole process can do is what all threads have together.

mod threads;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::{Builder, JoinHandle};

use rustix::fs::{Access, access};
pub use rustix::thread::CapabilitySet;
use rustix::thread::{
    CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};
pub use threads::{Held, of_threads, summary};

/// To look into processes of other users and the files that they have: what is in /proc/PID/{exe,fd,ns,root}.
pub const OTHERS_PROCESSES: CapabilitySet = CapabilitySet::SYS_PTRACE.union(CapabilitySet::DAC_READ_SEARCH);
/// To enter the namespace of a process: `setns`, and the way to it through /proc/PID/ns.
pub const NAMESPACES: CapabilitySet = CapabilitySet::SYS_PTRACE.union(CapabilitySet::SYS_ADMIN);

/// Capabilities are kept, in the whole process.
static KEPT: AtomicBool = AtomicBool::new(false);

/// Whether threads keep all that they have, from now on: to find out whether a failure is due to what is given up.
pub fn keep_all(keep: bool) {
    KEPT.store(keep, Ordering::Relaxed);
}

/// Gives up, in the calling thread, every capability but `needs`, and for itself, for threads and for programs that it
/// starts the way to any more. What it does not have, it does not get.
///
/// # Errors
/// When the kernel refuses; some may be given up then.
pub fn narrow(needs: CapabilitySet) -> io::Result<()> {
    if KEPT.load(Ordering::Relaxed) {
        return Ok(());
    }
    set_no_new_privs(true)?;
    let own = capabilities(None)?;
    let kept = own.permitted & needs;
    clear_ambient_capability_set()?;
    // Without CAP_SETPCAP the bounding set stays; a thread that gets no new privileges cannot use it.
    if own.effective.contains(CapabilitySet::SETPCAP) {
        for capability in (0..u64::BITS).map(|number| CapabilitySet::from_bits_retain(1 << number)) {
            match capability_is_in_bounding_set(capability) {
                Ok(true) if !kept.contains(capability) => remove_capability_from_bounding_set(capability)?,
                Ok(_) => {}
                // The kernel knows no more.
                Err(_) => break,
            }
        }
    }
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    Ok(set_capabilities(None, sets)?)
}

/// Starts a thread that has no capability but `needs` when its work begins. A kernel that refuses to take the others
/// away does not stop the work: [`of_threads`] shows what is held.
///
/// # Errors
/// When the system gives no thread.
pub fn spawn<T: Send + 'static>(
    name: &str,
    needs: CapabilitySet,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let (narrowed, is_narrow) = sync_channel::<()>(0);
    let thread = Builder::new().name(name.to_owned()).spawn(move || {
        let _ = narrow(needs);
        drop(narrowed);
        work()
    })?;
    // Nobody sends anything: this waits for the end of the other side.
    let _ = is_narrow.recv();
    Ok(thread)
}

/// Whether `work` succeeds with no capability but `needs`; tried in a thread that ends with it. `None` when there is
/// no thread.
pub fn rehearse<T: Send>(needs: CapabilitySet, work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let rehearsal = move || {
            let _ = narrow(needs);
            work()
        };
        Builder::new().name("rehearsal".to_owned()).spawn_scoped(scope, rehearsal).ok()?.join().ok()
    })
}

/// What writing in a directory of one's own takes: nothing, unless the way to it is closed.
pub fn to_write_in(directory: &Path) -> CapabilitySet {
    let is_enough = |needs: &CapabilitySet| {
        let is_open = || access(directory, Access::WRITE_OK | Access::EXEC_OK).is_ok();
        rehearse(*needs, is_open) == Some(true)
    };
    let search = CapabilitySet::DAC_READ_SEARCH;
    let all = search | CapabilitySet::DAC_OVERRIDE;
    [CapabilitySet::empty(), search].into_iter().find(is_enough).unwrap_or(all)
}

/// The names of capabilities as the kernel's headers have them.
pub fn names(capabilities: CapabilitySet) -> Vec<String> {
    (0..u64::BITS)
        .map(|number| CapabilitySet::from_bits_retain(1 << number))
        .filter(|capability| capabilities.contains(*capability))
        .map(|capability| match capability.iter_names().next() {
            Some((name, _)) => format!("CAP_{name}"),
            None => capability.bits().trailing_zeros().to_string(),
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests;
