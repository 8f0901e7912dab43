//! The bytes of calls that wait for their place in the order: thousands at a time, for a moment each.
//!
//! In: bytes as they come. Out: the same, in about that order. They lie one behind the other in blocks; a block goes, or
//! is used again, when the last of its bytes was taken. An allocation for each of them would cost more than all else that
//! is done with it.

use std::collections::VecDeque;

/// A block's bytes, unless one call has more.
const BLOCK_BYTES: usize = 64 << 10;

/// Where bytes wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    block: u64,
    start: u32,
    length: u32,
}

#[derive(Default)]
struct Block {
    bytes: Vec<u8>,
    /// Of how many calls.
    waiting: u32,
}

/// See the module.
#[derive(Default)]
pub(super) struct WaitingBytes {
    blocks: VecDeque<Block>,
    /// Number of the first of them.
    first: u64,
    /// One that is not used now.
    spare: Vec<u8>,
}

impl WaitingBytes {
    /// Keeps a copy.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Place {
        let has_room = self.blocks.back().is_some_and(|block| block.bytes.len() + bytes.len() <= BLOCK_BYTES);
        if !has_room {
            let mut empty = std::mem::take(&mut self.spare);
            empty.reserve_exact(BLOCK_BYTES.max(bytes.len()));
            self.blocks.push_back(Block { bytes: empty, waiting: 0 });
        }
        let number = self.first + self.blocks.len().saturating_sub(1) as u64;
        let Some(block) = self.blocks.back_mut() else { return Place { block: number, start: 0, length: 0 } };
        let start = block.bytes.len();
        block.bytes.extend_from_slice(bytes);
        block.waiting += 1;
        // Blocks are far smaller than 4 GiB, and so is what a ring's record holds.
        Place { block: number, start: start as u32, length: bytes.len() as u32 }
    }

    /// Takes them; nothing of a place that was taken before with all of its block.
    pub(super) fn take(&mut self, place: Place) -> Box<[u8]> {
        let index = place.block.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let Some(block) = index.and_then(|index| self.blocks.get_mut(index)) else { return Box::default() };
        let (start, length) = (place.start as usize, place.length as usize);
        let bytes = block.bytes.get(start..start + length).unwrap_or_default().into();
        block.waiting = block.waiting.saturating_sub(1);
        while self.blocks.front().is_some_and(|block| block.waiting == 0) {
            self.first += 1;
            let Some(block) = self.blocks.pop_front() else { break };
            self.spare = block.bytes;
            self.spare.clear();
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_block_that_nobody_waits_for_is_used_again() {
        let mut waiting = WaitingBytes::default();
        let places: Vec<Place> = (0..100).map(|_| waiting.add(&[7; 1_000])).collect();
        assert_eq!(waiting.blocks.len(), 2);
        assert!(places.iter().all(|place| *waiting.take(*place) == [7; 1_000]));
        assert_eq!((waiting.blocks.len(), waiting.spare.capacity()), (0, BLOCK_BYTES));
    }

    proptest! {
        #[test]
        fn what_comes_out_is_what_went_in_in_any_order(
            all in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3_000), 0..200),
            order: prop::sample::Index,
        ) {
            let mut waiting = WaitingBytes::default();
            let mut places: Vec<_> = all.iter().map(|bytes| (waiting.add(bytes), bytes)).collect();
            if !places.is_empty() {
                let middle = order.index(places.len());
                places.rotate_left(middle);
            }
            for (place, bytes) in places {
                prop_assert_eq!(&*waiting.take(place), bytes.as_slice());
            }
            prop_assert!(waiting.blocks.is_empty());
        }
    }
}
