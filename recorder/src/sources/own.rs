//! What the recorder itself uses: getrusage and /proc/self/statm in, part of a `RecorderStats` row out.

#![allow(unsafe_code, reason = "getrusage and sysconf have no safe wrapper among the dependencies")]

use super::Roots;
use super::file::FileReader;
use super::text::{fields, number};

const FILE_LIMIT_BYTES: u64 = 4096;

/// What this process used since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OwnUsage {
    /// CPU time in user mode, all threads, nanoseconds.
    pub cpu_user_ns: u64,
    /// CPU time in the kernel, all threads, nanoseconds.
    pub cpu_system_ns: u64,
    /// Resident memory now, bytes; 0 when unreadable.
    pub resident_bytes: u64,
}

/// What this process used so far.
pub fn usage(roots: &Roots) -> OwnUsage {
    // SAFETY: rusage is plain old data, for which all zeros is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live rusage that the call fills. It fails only for a wrong `who` or pointer;
    // the zeros then stay.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    let nanos = |time: libc::timeval| {
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let micros = u64::try_from(time.tv_usec).unwrap_or_default();
        seconds.saturating_mul(1_000_000_000).saturating_add(micros.saturating_mul(1_000))
    };
    let mut reader = FileReader::default();
    let pages =
        reader.read(&roots.proc_file("self/statm"), FILE_LIMIT_BYTES).ok().and_then(parse_resident_pages);
    let page_bytes = system_value(libc::_SC_PAGESIZE).unwrap_or_default();
    OwnUsage {
        cpu_user_ns: nanos(usage.ru_utime),
        cpu_system_ns: nanos(usage.ru_stime),
        resident_bytes: pages.unwrap_or_default().saturating_mul(page_bytes),
    }
}

/// USER_HZ: the unit of CPU times and start times in /proc.
pub(super) fn ticks_per_second() -> u64 {
    system_value(libc::_SC_CLK_TCK).unwrap_or(1).max(1)
}

fn system_value(name: libc::c_int) -> Option<u64> {
    // SAFETY: sysconf takes any name; it answers one that it does not know with -1.
    u64::try_from(unsafe { libc::sysconf(name) }).ok()
}

/// `SIZE RESIDENT ...` in pages.
fn parse_resident_pages(text: &[u8]) -> Option<u64> {
    fields(text).nth(1).and_then(number)
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn cpu_time_grows_with_work_and_memory_is_in_use() {
        let before = usage(&Roots::default());
        let mut sum = 0_u64;
        let grown = loop {
            sum = (0..1_000_000_u64).fold(sum, |sum, n| black_box(sum.wrapping_add(n)));
            let now = usage(&Roots::default());
            if now.cpu_user_ns + now.cpu_system_ns > before.cpu_user_ns + before.cpu_system_ns {
                break now;
            }
        };
        assert!(grown.resident_bytes > 100_000 && grown.cpu_user_ns >= before.cpu_user_ns);
    }

    #[test]
    fn resident_pages_are_the_second_number() {
        assert_eq!(parse_resident_pages(b"3060 1720 1612 20 0 484 0\n"), Some(1720));
        assert_eq!(parse_resident_pages(b"3060"), None);
    }
}
