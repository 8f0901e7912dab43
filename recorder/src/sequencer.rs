//! Puts what several rings, scans and sources deliver into one order: by boot time, then by arrival.
//!
//! In: items with the boot time at which they happened, in any order. Out: items up to a watermark, sorted.
//! The watermark trails the clock, so that what belongs earlier (another CPU's ring, the answer of a
//! container runtime) still takes its place.
//!
//! Items stay where they are put, in a row as they came, and only their keys are sorted: in a flood some 40,000 of them
//! wait, more than the processor's caches hold, and memory that is used in its order comes by itself.

use std::collections::VecDeque;

/// An item's place in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    boot_ns: u64,
    /// Number of the item; makes every key different.
    arrival: u64,
}

/// Orders items by boot time. See the module.
#[derive(Debug)]
pub struct Sequencer<T> {
    /// As they came, up to the latest: what was taken out of the middle leaves a hole.
    items: VecDeque<Option<T>>,
    /// Number of the first of these.
    first: u64,
    /// Since the last release, as they came.
    arrived: Vec<Key>,
    /// In order. What arrives belongs near the end.
    ordered: VecDeque<Key>,
    /// The first so many of these were released and not taken yet.
    due: usize,
}

impl<T> Default for Sequencer<T> {
    fn default() -> Self {
        Self { items: VecDeque::new(), first: 0, arrived: Vec::new(), ordered: VecDeque::new(), due: 0 }
    }
}

impl<T> Sequencer<T> {
    /// Adds an item that happened at `boot_ns`. One from before the watermark is late: it comes with the next release.
    pub fn push(&mut self, boot_ns: u64, item: T) {
        let arrival = self.first + self.items.len() as u64;
        self.items.push_back(Some(item));
        self.arrived.push(Key { boot_ns, arrival });
    }

    /// Items that wait.
    pub fn len(&self) -> usize {
        self.arrived.len() + self.ordered.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lets every item go that happened before `until_boot_ns`: [`Sequencer::take_next`] gives them, oldest first.
    pub fn release(&mut self, until_boot_ns: u64) {
        // A run for each ring: this sort finds such.
        self.arrived.sort();
        if let Some(first) = self.arrived.first() {
            // Those that the new ones belong between are few; with them they are sorted again.
            let keep = self.ordered.partition_point(|key| key < first);
            if keep < self.ordered.len() {
                self.arrived.extend(self.ordered.drain(keep..));
                self.arrived.sort();
            }
            self.ordered.extend(self.arrived.drain(..));
        }
        self.due = self.ordered.partition_point(|key| key.boot_ns < until_boot_ns);
    }

    /// The next item that was released, with its boot time.
    pub fn take_next(&mut self) -> Option<(u64, T)> {
        while self.due > 0 {
            self.due -= 1;
            let key = self.ordered.pop_front()?;
            if let Some(item) = self.take(key.arrival) {
                return Some((key.boot_ns, item));
            }
        }
        None
    }

    fn take(&mut self, arrival: u64) -> Option<T> {
        let place = usize::try_from(arrival.checked_sub(self.first)?).ok()?;
        let item = self.items.get_mut(place)?.take();
        while let Some(None) = self.items.front() {
            self.items.pop_front();
            self.first += 1;
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn released<T>(sequencer: &mut Sequencer<T>, until_boot_ns: u64) -> Vec<(u64, T)> {
        sequencer.release(until_boot_ns);
        std::iter::from_fn(|| sequencer.take_next()).collect()
    }

    #[test]
    fn an_item_at_the_watermark_waits() {
        let mut sequencer = Sequencer::default();
        sequencer.push(10, 'a');
        assert_eq!(released(&mut sequencer, 10), []);
        assert_eq!(released(&mut sequencer, 11), [(10, 'a')]);
        assert_eq!(released(&mut sequencer, u64::MAX), []);
    }

    #[test]
    fn a_late_item_comes_with_the_next_release() {
        let mut sequencer = Sequencer::default();
        sequencer.push(10, 'b');
        assert_eq!(released(&mut sequencer, 20), [(10, 'b')]);
        sequencer.push(5, 'a');
        assert_eq!(released(&mut sequencer, 20), [(5, 'a')]);
    }

    #[test]
    fn what_is_added_between_two_items_waits_for_the_next_release() {
        let mut sequencer = Sequencer::default();
        sequencer.push(10, 'a');
        sequencer.push(20, 'c');
        sequencer.release(30);
        assert_eq!(sequencer.take_next(), Some((10, 'a')));
        sequencer.push(15, 'b');
        assert_eq!(sequencer.take_next(), Some((20, 'c')));
        assert_eq!(released(&mut sequencer, 30), [(15, 'b')]);
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
            let mut out = released(&mut sequencer, cut);
            prop_assert!(out.iter().all(|(time, _)| *time < cut));
            out.extend(released(&mut sequencer, u64::MAX));
            let mut expected: Vec<_> = times.iter().copied().enumerate().map(|(arrival, time)| (time, arrival)).collect();
            expected.sort();
            prop_assert_eq!(out, expected);
        }
    }
}
