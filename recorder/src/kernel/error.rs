//! Why the kernel side does not work, in words that say what to do.

use std::error::Error;
use std::io;

/// Why the kernel programs cannot be loaded or used.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The kernel does not describe its types.
    #[error(
        "this kernel has no usable BTF in /sys/kernel/btf/vmlinux ({reason}); it is needed and comes with \
         CONFIG_DEBUG_INFO_BTF=y (Debian 11, Ubuntu 20.10, RHEL 8.2 and newer have it)"
    )]
    NoBtf {
        /// What the system said.
        reason: String,
    },
    /// No list of tracepoints.
    #[error("tracefs is not mounted at /sys/kernel/tracing: mount -t tracefs tracefs /sys/kernel/tracing")]
    NoTracefs,
    /// Rights are missing.
    #[error("missing capabilities: {}; run as root or with them", missing.join(", "))]
    MissingCapabilities {
        /// Their names.
        missing: Vec<&'static str>,
    },
    /// A ring has a size that the kernel does not take.
    #[error("a ring of {0} bytes: its size must be a power of two, 4096 at least")]
    RingSize(u32),
    /// Too few or too many rings.
    #[error("{0} rings for connections: there can be 1 to 4")]
    RingCount(u32),
    /// The maps cannot be made or the object does not fit this kernel.
    #[error("cannot set up the eBPF programs: {reason}")]
    Object {
        /// What the loader or the kernel said.
        reason: String,
    },
    /// A map does not work.
    #[error("eBPF map {name}: {reason}")]
    Map {
        /// Its name.
        name: &'static str,
        /// What the kernel said.
        reason: String,
    },
    /// A program that is asked for answers does not work.
    #[error("eBPF program {name}: {reason}")]
    Program {
        /// Its name.
        name: &'static str,
        /// What the kernel said.
        reason: String,
    },
    /// A system call failed.
    #[error("{call}: {source}")]
    System {
        /// What was called.
        call: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// An error with all its causes, in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
