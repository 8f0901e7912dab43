//! What each thread of this process has: /proc/self/task in, capabilities by thread out. As it is, not as it was meant.

use std::collections::BTreeMap;
use std::fs;

use super::{CapabilitySet, names};

/// What threads of one name can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The name of the threads.
    pub thread: String,
    /// How many there are.
    pub count: usize,
    /// What they have together, or could take from what they have.
    pub permitted: CapabilitySet,
    /// What programs that they start could get at most, but for `no_new_privileges`.
    pub bounding: CapabilitySet,
    /// Whether all of them are barred from gaining any more.
    pub no_new_privileges: bool,
}

/// By the name of the thread. Empty when /proc cannot be read.
pub fn of_threads() -> Vec<Held> {
    let mut all: BTreeMap<String, Held> = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        // One that has ended meanwhile.
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else { continue };
        let Some(held) = parse(&status) else { continue };
        match all.get_mut(&held.thread) {
            Some(known) => {
                known.count += 1;
                known.permitted |= held.permitted;
                known.bounding |= held.bounding;
                known.no_new_privileges &= held.no_new_privileges;
            }
            None => {
                all.insert(held.thread.clone(), held);
            }
        }
    }
    all.into_values().collect()
}

fn parse(status: &str) -> Option<Held> {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let mask = |name| u64::from_str_radix(field(name)?, 16).ok().map(CapabilitySet::from_bits_retain);
    Some(Held {
        thread: field("Name:")?.to_owned(),
        count: 1,
        permitted: mask("CapPrm:")?,
        bounding: mask("CapBnd:")?,
        // Shown since Linux 4.10.
        no_new_privileges: field("NoNewPrivs:") == Some("1"),
    })
}

/// In words: which capabilities threads have, the same ones together.
pub fn summary(threads: &[Held]) -> String {
    let mut by_set: BTreeMap<Vec<String>, Vec<&str>> = BTreeMap::new();
    for held in threads {
        by_set.entry(names(held.permitted)).or_default().push(&held.thread);
    }
    let words = |(names, threads): (&Vec<String>, &Vec<&str>)| {
        let names = if names.is_empty() { "none".to_owned() } else { names.join(" ") };
        format!("{names}: {}", threads.join(", "))
    };
    by_set.iter().map(words).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn held(thread: &str, permitted: CapabilitySet) -> Held {
        Held { thread: thread.to_owned(), count: 1, permitted, bounding: permitted, no_new_privileges: true }
    }

    #[test]
    fn threads_with_the_same_capabilities_are_named_together() {
        let all = [
            held("disks", CapabilitySet::empty()),
            held("http", CapabilitySet::empty()),
            held("jvm", CapabilitySet::SYS_PTRACE | CapabilitySet::DAC_READ_SEARCH),
        ];
        assert_eq!(summary(&all), "none: disks, http; CAP_DAC_READ_SEARCH CAP_SYS_PTRACE: jvm");
    }

    #[test]
    fn the_masks_of_a_thread_are_read() {
        let status = "Name:\thttp\nCapInh:\t0\nCapPrm:\t0000000000080004\nCapEff:\t0\nCapBnd:\t00000000000000ff\nNoNewPrivs:\t1\n";
        let read = parse(status).unwrap();
        assert_eq!(read.permitted, CapabilitySet::SYS_PTRACE | CapabilitySet::DAC_READ_SEARCH);
        assert_eq!((read.bounding.bits(), read.no_new_privileges), (0xff, true));
        assert_eq!(parse("Name:\tx\n"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(text in "\\PC*", mask in "[0-9a-g]{0,20}") {
            let _ = parse(&text);
            let _ = parse(&format!("Name:\tx\nCapPrm:\t{mask}\nCapBnd:\t{mask}\n"));
        }
    }
}
