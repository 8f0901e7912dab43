//! Puts what several rings, scans and sources deliver into one order: by boot time, then by arrival.
//!
//! In: items with the boot time at which they happened, in any order. Out: items up to a watermark, sorted.
//! The watermark trails the clock, so that what belongs earlier (another CPU's ring, the answer of a
//! container runtime) still takes its place.

/// Something that waits for its place.
#[derive(Debug)]
struct Pending<T> {
    boot_ns: u64,
    item: T,
}

/// Orders items by boot time. See the module.
#[derive(Debug)]
pub struct Sequencer<T> {
    pending: Vec<Pending<T>>,
    released: Vec<Pending<T>>,
    watermark_ns: u64,
}

impl<T> Default for Sequencer<T> {
    fn default() -> Self {
        Self { pending: Vec::new(), released: Vec::new(), watermark_ns: 0 }
    }
}

impl<T> Sequencer<T> {
    /// Adds an item that happened at `boot_ns`. One from before the watermark is late: it comes with the next release.
    pub fn push(&mut self, boot_ns: u64, item: T) {
        self.pending.push(Pending { boot_ns, item });
    }

    /// Items that wait.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Up to which boot time items were released.
    pub fn watermark_ns(&self) -> u64 {
        self.watermark_ns
    }

    /// Hands over every item that happened before `until_boot_ns`, oldest first, and moves the watermark there.
    pub fn release(&mut self, until_boot_ns: u64) -> impl Iterator<Item = (u64, T)> + '_ {
        self.watermark_ns = self.watermark_ns.max(until_boot_ns);
        let watermark_ns = self.watermark_ns;
        self.released.extend(self.pending.extract_if(.., |pending| pending.boot_ns < watermark_ns));
        // Stable, so that equal times keep their order of arrival; nearly sorted input costs little.
        self.released.sort_by_key(|pending| pending.boot_ns);
        self.released.drain(..).map(|pending| (pending.boot_ns, pending.item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_item_at_the_watermark_waits() {
        let mut sequencer = Sequencer::default();
        sequencer.push(10, 'a');
        assert_eq!(sequencer.release(10).count(), 0);
        assert_eq!(sequencer.release(11).collect::<Vec<_>>(), [(10, 'a')]);
        assert!(sequencer.is_empty());
    }

    #[test]
    fn a_late_item_comes_with_the_next_release() {
        let mut sequencer = Sequencer::default();
        sequencer.push(10, 'b');
        assert_eq!(sequencer.release(20).count(), 1);
        sequencer.push(5, 'a');
        assert_eq!(sequencer.release(20).collect::<Vec<_>>(), [(5, 'a')]);
    }

    proptest! {
        #[test]
        fn any_arrival_order_gives_time_order_and_loses_nothing(
            times in proptest::collection::vec(0u64..1_000, 0..200),
            cut in 0u64..1_000,
        ) {
            let mut sequencer = Sequencer::default();
            for (arrival, time) in times.iter().enumerate() {
                sequencer.push(*time, arrival);
            }
            let mut out: Vec<_> = sequencer.release(cut).collect();
            prop_assert!(out.iter().all(|(time, _)| *time < cut));
            out.extend(sequencer.release(u64::MAX));
            let mut expected: Vec<_> = times.iter().copied().enumerate().map(|(arrival, time)| (time, arrival)).collect();
            expected.sort();
            prop_assert_eq!(out, expected);
        }
    }
}
