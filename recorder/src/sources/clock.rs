//! The clocks: an anchor taken once, which dates every row, and `ClockSync` rows that say what the wall clock did since.

use aftertrace_schemas::UnixNanos;
use aftertrace_schemas::manifest::Anchor;
use aftertrace_schemas::tables::ClockSync;
use rustix::time::ClockId;

/// A change of the offset above this is a step, nanoseconds.
pub const STEP_NS: i64 = 10_000_000;

/// The wall clock is read between two readings of the boot clock; the closest of so many tries counts.
const TRIES: usize = 3;

/// Reads clocks. Tests have one of their own.
pub trait Clock {
    /// CLOCK_BOOTTIME, nanoseconds.
    fn boot_ns(&self) -> u64;
    /// CLOCK_REALTIME, Unix nanoseconds.
    fn realtime_ns(&self) -> UnixNanos;
}

/// The kernel's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn boot_ns(&self) -> u64 {
        u64::try_from(nanos(ClockId::Boottime)).unwrap_or_default()
    }

    fn realtime_ns(&self) -> UnixNanos {
        nanos(ClockId::Realtime)
    }
}

fn nanos(clock: ClockId) -> i64 {
    let time = rustix::time::clock_gettime(clock);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

/// Reads both clocks as close to each other as a few tries allow.
fn both(clock: &impl Clock) -> Anchor {
    let one = || {
        let before = clock.boot_ns();
        let realtime_ns = clock.realtime_ns();
        let bracket = clock.boot_ns().saturating_sub(before);
        (bracket, Anchor { boot_ns: before + bracket / 2, realtime_ns })
    };
    let mut best = one();
    for _ in 1..TRIES {
        let next = one();
        if next.0 < best.0 {
            best = next;
        }
    }
    best.1
}

/// Compares the wall clock with the anchor.
#[derive(Debug)]
pub struct ClockWatch<C = SystemClock> {
    clock: C,
    anchor: Anchor,
    offset_ns: i64,
}

impl<C: Clock> ClockWatch<C> {
    /// Takes the anchor now.
    pub fn start(clock: C) -> Self {
        let anchor = both(&clock);
        Self { clock, anchor, offset_ns: 0 }
    }

    /// The anchor, which never changes.
    pub fn anchor(&self) -> Anchor {
        self.anchor
    }

    /// Both clocks now, and what changed since the last row.
    pub fn sample(&mut self) -> ClockSync {
        let now = both(&self.clock);
        let offset_ns = now.realtime_ns.saturating_sub(self.anchor.unix_ns(now.boot_ns));
        let before = std::mem::replace(&mut self.offset_ns, offset_ns);
        ClockSync {
            boot_ns: now.boot_ns,
            realtime_ns: now.realtime_ns,
            offset_ns,
            step: offset_ns.saturating_sub(before).unsigned_abs() > STEP_NS.unsigned_abs(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    /// Its boot clock advances with each reading by the next of `delays`; the wall clock is `ahead` of it.
    struct TestClock {
        boot: Cell<u64>,
        ahead: Cell<i64>,
        delays: Cell<[u64; 6]>,
    }

    impl TestClock {
        fn new(delays: [u64; 6]) -> Self {
            Self { boot: Cell::new(1_000_000), ahead: Cell::new(50_000_000_000), delays: Cell::new(delays) }
        }
    }

    impl Clock for &TestClock {
        fn boot_ns(&self) -> u64 {
            let [first, a, b, c, d, e] = self.delays.get();
            self.delays.set([a, b, c, d, e, first]);
            self.boot.set(self.boot.get() + first);
            self.boot.get()
        }
        fn realtime_ns(&self) -> UnixNanos {
            self.boot.get().cast_signed() + self.ahead.get()
        }
    }

    #[test]
    fn the_pair_with_the_smallest_bracket_counts() {
        let clock = TestClock::new([0, 9_000_000, 0, 100, 0, 8_000_000]);
        let pair = both(&&clock);
        assert_eq!(pair, Anchor { boot_ns: 10_000_050, realtime_ns: 50_010_000_000 });
    }

    #[test]
    fn a_small_drift_is_an_offset_and_a_large_change_a_step() {
        let clock = TestClock::new([0; 6]);
        let mut watch = ClockWatch::start(&clock);
        let anchor = watch.anchor();
        let row = watch.sample();
        assert_eq!((row.offset_ns, row.step), (0, false));
        clock.ahead.set(clock.ahead.get() + STEP_NS);
        let row = watch.sample();
        assert_eq!((row.offset_ns, row.step), (STEP_NS, false));
        clock.ahead.set(clock.ahead.get() - 3_600_000_000_000);
        let row = watch.sample();
        assert_eq!((row.offset_ns, row.step), (STEP_NS - 3_600_000_000_000, true));
        // The step is told once; the anchor stays.
        assert!(!watch.sample().step);
        assert_eq!(watch.anchor(), anchor);
    }

    #[test]
    fn the_kernels_clocks_agree_with_their_anchor() {
        let mut watch = ClockWatch::start(SystemClock);
        let row = watch.sample();
        assert!(row.boot_ns > 0 && row.realtime_ns > 1_600_000_000_000_000_000);
        assert!(row.offset_ns.abs() < 1_000_000_000, "{row:?}");
    }

    proptest! {
        #[test]
        fn row_times_keep_the_order_of_the_boot_clock(anchor: (u64, i64), a: u64, b: u64) {
            let anchor = Anchor { boot_ns: anchor.0, realtime_ns: anchor.1 };
            prop_assert!(a > b || anchor.unix_ns(a) <= anchor.unix_ns(b));
        }
    }
}
