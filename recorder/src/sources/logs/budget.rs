//! How many bytes of log a container may put into the trace: a bucket that fills steadily. What does not fit is lost,
//! and counted by container and cause.

use std::collections::BTreeMap;

use aftertrace_schemas::column::Timestamp;
use aftertrace_schemas::manifest::Anchor;
use aftertrace_schemas::tables::Loss;

/// Who lost what in [`Loss`] rows.
pub const LOSS_SOURCE: &str = "source/logs";

/// What a container may log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogBudget {
    /// In the long run.
    pub bytes_per_second: u64,
    /// At once, after a silence.
    pub burst_bytes: u64,
}

impl Default for LogBudget {
    fn default() -> Self {
        Self { bytes_per_second: 1 << 20, burst_bytes: 4 << 20 }
    }
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    bytes: u64,
    since_ns: u64,
}

#[derive(Debug, Clone, Copy)]
struct Lost {
    lines: u64,
    from_ns: u64,
    to_ns: u64,
}

/// The budgets of all containers, and what was lost since it was last told.
#[derive(Debug)]
pub(super) struct Budgets {
    budget: LogBudget,
    buckets: BTreeMap<String, Bucket>,
    lost: BTreeMap<(Option<String>, &'static str), Lost>,
}

impl Budgets {
    pub(super) fn new(budget: LogBudget) -> Self {
        Self { budget, buckets: BTreeMap::new(), lost: BTreeMap::new() }
    }

    /// Whether a line of so many bytes fits; else it is lost.
    pub(super) fn admits(&mut self, container: &str, bytes: u64, now_ns: u64) -> bool {
        let LogBudget { bytes_per_second, burst_bytes } = self.budget;
        if !self.buckets.contains_key(container) {
            let full = Bucket { bytes: burst_bytes, since_ns: now_ns };
            self.buckets.insert(container.to_owned(), full);
        }
        let Some(bucket) = self.buckets.get_mut(container) else { return false };
        let elapsed = u128::from(now_ns.saturating_sub(bucket.since_ns));
        let filled = elapsed * u128::from(bytes_per_second) / 1_000_000_000;
        if filled > 0 {
            // Up to the moment at which the last whole byte came, so that no time is lost between calls.
            let took_ns = filled * 1_000_000_000 / u128::from(bytes_per_second);
            bucket.since_ns += u64::try_from(took_ns).unwrap_or(u64::MAX).min(now_ns - bucket.since_ns);
            let filled = u64::try_from(filled).unwrap_or(u64::MAX);
            bucket.bytes = bucket.bytes.saturating_add(filled).min(burst_bytes);
        }
        match bucket.bytes.checked_sub(bytes) {
            Some(left) => {
                bucket.bytes = left;
                true
            }
            None => {
                self.lose(Some(container), "budget", now_ns);
                false
            }
        }
    }

    /// A line is lost.
    pub(super) fn lose(&mut self, container: Option<&str>, cause: &'static str, now_ns: u64) {
        let key = (container.map(str::to_owned), cause);
        let lost = self.lost.entry(key).or_insert(Lost { lines: 0, from_ns: now_ns, to_ns: now_ns });
        lost.lines += 1;
        lost.to_ns = now_ns;
    }

    /// What was lost since the last call.
    pub(super) fn take_losses(&mut self, anchor: &Anchor) -> Vec<Loss> {
        let lost = std::mem::take(&mut self.lost).into_iter();
        lost.map(|((subject, cause), lost)| Loss {
            source: LOSS_SOURCE.to_owned(),
            cause: cause.to_owned(),
            subject,
            lost: lost.lines,
            from: Timestamp(anchor.unix_ns(lost.from_ns)),
            to: Timestamp(anchor.unix_ns(lost.to_ns)),
        })
        .collect()
    }

    /// Forgets all containers but these.
    pub(super) fn retain(&mut self, is_followed: impl Fn(&str) -> bool) {
        self.buckets.retain(|container, _| is_followed(container));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_container_has_its_burst_and_then_its_rate_and_the_rest_is_counted() {
        let mut budgets = Budgets::new(LogBudget { bytes_per_second: 100, burst_bytes: 200 });
        let mut admitted =
            |seconds: u64| (0..10).filter(|_| budgets.admits("/docker/a", 50, seconds * SECOND)).count();
        assert_eq!([admitted(0), admitted(0), admitted(1), admitted(100)], [4, 0, 2, 4]);
        assert!(budgets.admits("/docker/b", 50, 100 * SECOND), "each has its own");
        let anchor = Anchor { boot_ns: 0, realtime_ns: 0 };
        let losses = budgets.take_losses(&anchor);
        let loss = losses.first().unwrap();
        assert_eq!((losses.len(), loss.lost, loss.subject.as_deref()), (1, 30, Some("/docker/a")));
        assert_eq!((loss.from.0, loss.to.0), (0, 100_000_000_000));
        assert!(budgets.take_losses(&anchor).is_empty());
    }

    #[test]
    fn a_slow_trickle_of_time_fills_the_bucket_too() {
        let mut budgets = Budgets::new(LogBudget { bytes_per_second: 100, burst_bytes: 100 });
        assert!(budgets.admits("a", 100, 0));
        let admitted = (1..=1_000).filter(|step| budgets.admits("a", 1, step * 1_000_000)).count();
        assert_eq!(admitted, 100);
    }
}
