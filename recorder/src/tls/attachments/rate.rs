//! So many of something in a second, and that many at once after a pause.

use super::SECOND_NS;

/// Tokens in billionths: a rate of one a second gives one billionth each nanosecond.
#[derive(Debug)]
pub(super) struct Bucket {
    per_second: u64,
    billionths: u64,
    filled_ns: Option<u64>,
}

impl Bucket {
    pub(super) fn new(per_second: u64) -> Self {
        let per_second = per_second.max(1);
        Self { per_second, billionths: per_second.saturating_mul(SECOND_NS), filled_ns: None }
    }

    /// A time before the last one adds nothing.
    pub(super) fn fill(&mut self, now_ns: u64) {
        let passed_ns = now_ns.saturating_sub(self.filled_ns.unwrap_or(now_ns));
        let full = self.per_second.saturating_mul(SECOND_NS);
        self.billionths = self.billionths.saturating_add(passed_ns.saturating_mul(self.per_second)).min(full);
        self.filled_ns = Some(self.filled_ns.unwrap_or(now_ns).max(now_ns));
    }

    pub(super) fn take(&mut self) -> bool {
        let rest = self.billionths.checked_sub(SECOND_NS);
        self.billionths = rest.unwrap_or(self.billionths);
        rest.is_some()
    }

    /// When one can be taken that is wanted at `due_ns`.
    pub(super) fn ready_ns(&self, due_ns: u64) -> u64 {
        let missing = SECOND_NS.saturating_sub(self.billionths);
        let wait_ns = missing.div_ceil(self.per_second);
        due_ns.max(self.filled_ns.unwrap_or_default().saturating_add(wait_ns))
    }
}
