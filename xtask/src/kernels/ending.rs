//! What became of a guest, read from its console.

use std::fmt;

/// Words of a kernel that is no longer to be trusted.
const CRASHES: [&str; 6] =
    ["Kernel panic", "Oops: ", "BUG: ", "general protection fault", "double fault", "PANIC: "];

/// What the console has after the guest's init found the workload unable to end, and what [`super::boot()`] adds when
/// nothing came at all any more.
const HANGS: [&str; 2] = ["guest: HUNG: ", "host: HUNG: "];

/// What the workload says before it ends with an error.
const WORKLOAD_FAILS: &str = "workload: ";

/// How a guest ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// All that its init had to do is done.
    Done,
    /// The guest's kernel stood still, or the workload did in it. Emulated kernels do that now and then.
    Hung(String),
    /// The workload itself was refused something that every sound kernel gives it.
    WorkloadFailed(String),
    /// The guest's kernel says that it is broken.
    Crashed(String),
    /// Its init says that something failed, or nothing.
    Failed(String),
}

impl Ending {
    /// Whether there was no workload to judge a recorder by, so that another boot may be asked.
    pub(crate) fn proves_nothing(&self) -> bool {
        matches!(self, Self::Hung(_) | Self::WorkloadFailed(_))
    }

    /// Reads it from a whole console.
    pub(crate) fn of(console: &str) -> Self {
        let line_with = |words: &[&str]| {
            console.lines().find(|line| words.iter().any(|word| line.contains(word))).map(str::trim)
        };
        if let Some(line) = line_with(&CRASHES) {
            Self::Crashed(line.to_owned())
        } else if let Some(line) = line_with(&HANGS) {
            Self::Hung(line.to_owned())
        } else if let Some(line) = line_with(&[WORKLOAD_FAILS]) {
            Self::WorkloadFailed(line.to_owned())
        } else if line_with(&["guest: done"]).is_some() {
            Self::Done
        } else {
            Self::Failed(
                line_with(&["guest: FAILED"]).unwrap_or("the guest did not come to its end").to_owned(),
            )
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => formatter.write_str("done"),
            Self::Hung(line) => write!(formatter, "hung in the guest's kernel ({line})"),
            Self::WorkloadFailed(line) => write!(formatter, "the workload failed in the guest ({line})"),
            Self::Crashed(line) => write!(formatter, "the guest's kernel crashed ({line})"),
            Self::Failed(line) => formatter.write_str(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_says_so_is_done() {
        assert_eq!(Ending::of("guest: kernel 6.1\nguest: done\n[ 9.1] reboot: Power down\n"), Ending::Done);
    }

    #[test]
    fn a_crash_counts_more_than_all_that_follows_it() {
        let console =
            "[    4.2] BUG: kernel NULL pointer dereference\nguest: HUNG: the workload\nguest: done";
        assert_eq!(
            Ending::of(console),
            Ending::Crashed("[    4.2] BUG: kernel NULL pointer dereference".to_owned())
        );
    }

    #[test]
    fn a_hang_of_the_workload_or_of_the_guest_is_no_failure_of_the_recorder() {
        assert!(matches!(Ending::of("guest: HUNG: the workload\nguest: FAILED: x"), Ending::Hung(_)));
        assert!(matches!(Ending::of("guest: kernel 5.10\nhost: HUNG: no end"), Ending::Hung(_)));
    }

    #[test]
    fn a_workload_that_fails_proves_nothing_of_the_recorder() {
        let console =
            "workload: Connection reset by peer (os error 104)\nguest: recorder exit status: 1\nguest: done";
        let ending = Ending::of(console);
        assert!(matches!(ending, Ending::WorkloadFailed(_)) && ending.proves_nothing());
        assert!(!Ending::of("warning: x\nguest: recorder exit status: 1\nguest: done").proves_nothing());
    }

    #[test]
    fn a_recorder_that_does_not_end_is_a_failure() {
        let failed = Ending::of("guest: FAILED: the recorder did not end in 60 s");
        assert_eq!(failed, Ending::Failed("guest: FAILED: the recorder did not end in 60 s".to_owned()));
        assert!(matches!(Ending::of(""), Ending::Failed(_)));
    }
}
