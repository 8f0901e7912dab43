//! What must be there before anything is loaded: BTF, tracefs, capabilities.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::KernelError;

const BTF: &str = "/sys/kernel/btf/vmlinux";
const CAP_SYS_ADMIN: u32 = 21;
/// What is needed when there is no CAP_SYS_ADMIN. Kernels before 5.8 have only that.
const NEEDED: [(u32, &str); 2] = [(39, "CAP_BPF"), (38, "CAP_PERFMON")];

/// # Errors
/// Naming the first thing that is missing.
pub(super) fn check() -> Result<(), KernelError> {
    let missing = missing_capabilities();
    if !missing.is_empty() {
        return Err(KernelError::MissingCapabilities { missing });
    }
    if !Path::new(BTF).exists() {
        return Err(KernelError::NoBtf { reason: "no such file".to_owned() });
    }
    let tracefs = ["/sys/kernel/tracing/events", "/sys/kernel/debug/tracing/events"];
    if !tracefs.iter().any(|directory| Path::new(directory).is_dir()) {
        return Err(KernelError::NoTracefs);
    }
    Ok(())
}

/// Names of the capabilities that this process lacks; empty when it can load the programs.
pub fn missing_capabilities() -> Vec<&'static str> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    missing_from(effective_capabilities(&status))
}

fn effective_capabilities(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        // Without /proc the kernel will say what it thinks.
        .unwrap_or(u64::MAX)
}

fn missing_from(effective: u64) -> Vec<&'static str> {
    if effective & 1 << CAP_SYS_ADMIN != 0 {
        return Vec::new();
    }
    NEEDED.iter().filter(|(number, _)| effective & 1 << number == 0).map(|(_, name)| *name).collect()
}

/// Whether the kernel's BTF has this name, of a function or a type. Names in it end with a NUL.
pub(super) fn kernel_has_name(name: &str) -> bool {
    let types = fs::read(BTF).unwrap_or_default();
    let wanted = [b"\0", name.as_bytes(), b"\0"].concat();
    types.windows(wanted.len()).any(|window| window == wanted)
}

/// Before 5.11 maps count as locked memory. Where this is refused, making the maps says so.
pub(super) fn raise_memory_limit() {
    let unlimited = Rlimit { current: None, maximum: None };
    let _ = setrlimit(Resource::Memlock, unlimited);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_misses_nothing() {
        assert!(missing_from(u64::MAX).is_empty());
        assert!(missing_from(1 << CAP_SYS_ADMIN).is_empty());
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(missing_from(0), ["CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(missing_from(1 << 39), ["CAP_PERFMON"]);
    }

    #[test]
    fn the_mask_is_read_from_the_status_of_the_process() {
        assert_eq!(effective_capabilities("Name:\tx\nCapEff:\t0000000000200000\n"), 1 << CAP_SYS_ADMIN);
    }
}
