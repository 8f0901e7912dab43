//! Work that is due at intervals.

use std::time::{Duration, Instant};

/// Says when something is due again.
#[derive(Debug)]
pub(super) struct Timer {
    interval: Duration,
    next: Instant,
}

impl Timer {
    /// Due for the first time one interval from `now`.
    pub(super) fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, next: now + interval }
    }

    /// Due for the first time at `now`.
    pub(super) fn due_at_once(interval: Duration, now: Instant) -> Self {
        Self { interval, next: now }
    }

    /// Whether it is due. A turn that was missed is not made up for.
    pub(super) fn due(&mut self, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        self.next = now + self.interval;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_due_once_an_interval_and_does_not_make_up_for_missed_turns() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut timer = Timer::new(second, start);
        assert!(!timer.due(start));
        assert!(timer.due(start + second));
        assert!(!timer.due(start + second));
        assert!(timer.due(start + 10 * second));
        assert!(!timer.due(start + 10 * second));
    }
}
