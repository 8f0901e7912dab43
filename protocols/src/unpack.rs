//! Unpacks the beginning of what was compressed, as far as its bytes were kept: Snappy and LZ4 blocks.
//!
//! Rules: <https://github.com/google/snappy/blob/main/format_description.txt>,
//! <https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md>.

use crate::cursor::Cursor;

/// The first bytes, at most `most` of them, of a Snappy block.
pub(crate) fn snappy(packed: &[u8], most: usize) -> Vec<u8> {
    let mut unpacked = Unpacked { bytes: Vec::new(), most };
    let mut cursor = Cursor::new(packed);
    // The length of all comes first, seven bits a byte.
    while cursor.u8().is_some_and(|byte| byte & 0x80 != 0) {}
    while unpacked.snappy_step(&mut cursor).is_some() {}
    unpacked.bytes
}

/// The first bytes, at most `most` of them, of an LZ4 block.
pub(crate) fn lz4(packed: &[u8], most: usize) -> Vec<u8> {
    let mut unpacked = Unpacked { bytes: Vec::new(), most };
    let mut cursor = Cursor::new(packed);
    while unpacked.lz4_step(&mut cursor).is_some() {}
    unpacked.bytes
}

struct Unpacked {
    bytes: Vec<u8>,
    most: usize,
}

impl Unpacked {
    fn snappy_step(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        let tag = cursor.u8()?;
        let high = usize::from(tag >> 2);
        let (length, distance) = match tag & 3 {
            0 => {
                let length = match high {
                    0..=59 => high,
                    _ => little(cursor.take(high - 59)?),
                };
                return self.add(cursor.take_head(length.checked_add(1)?));
            }
            1 => (4 + (high & 7), usize::from(tag >> 5) << 8 | usize::from(cursor.u8()?)),
            2 => (high + 1, little(cursor.take(2)?)),
            _ => (high + 1, little(cursor.take(4)?)),
        };
        self.repeat(distance, length)
    }

    fn lz4_step(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        let token = cursor.u8()?;
        let literals = lz4_length(token >> 4, cursor)?;
        self.add(cursor.take_head(literals))?;
        let distance = little(cursor.take(2)?);
        let length = lz4_length(token & 15, cursor)?.checked_add(4)?;
        self.repeat(distance, length)
    }

    /// None once there is enough.
    fn add(&mut self, bytes: &[u8]) -> Option<()> {
        let room = self.most.saturating_sub(self.bytes.len());
        self.bytes.extend(bytes.iter().take(room));
        (self.bytes.len() < self.most).then_some(())
    }

    /// Says again what was said `distance` bytes ago; it may reach into itself.
    fn repeat(&mut self, distance: usize, length: usize) -> Option<()> {
        let from = self.bytes.len().checked_sub(distance).filter(|_| distance > 0)?;
        let room = self.most.saturating_sub(self.bytes.len());
        for place in from..from + length.min(room) {
            let byte = *self.bytes.get(place)?;
            self.bytes.push(byte);
        }
        (self.bytes.len() < self.most).then_some(())
    }
}

fn lz4_length(nibble: u8, cursor: &mut Cursor<'_>) -> Option<usize> {
    let mut length = usize::from(nibble);
    if nibble == 15 {
        loop {
            let more = cursor.u8()?;
            length = length.checked_add(usize::from(more))?;
            if more < 255 {
                break;
            }
        }
    }
    Some(length)
}

fn little(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `abcabcabcabcab` and `!`, as the format descriptions have it.
    const SNAPPY: &[u8] = &[15, 2 << 2, b'a', b'b', b'c', 10 << 2 | 2, 3, 0, 0, b'!'];
    const LZ4: &[u8] = &[3 << 4 | 7, b'a', b'b', b'c', 3, 0, 1 << 4, b'!'];

    #[test]
    fn copies_reach_into_themselves() {
        assert_eq!(snappy(SNAPPY, 100), b"abcabcabcabcab!");
        assert_eq!(lz4(LZ4, 100), b"abcabcabcabcab!");
    }

    #[test]
    fn no_more_is_unpacked_than_was_asked_for_or_is_there() {
        assert_eq!(snappy(SNAPPY, 5), b"abcab");
        assert_eq!(lz4(LZ4, 5), b"abcab");
        assert_eq!(lz4(LZ4.get(..3).unwrap_or_default(), 100), b"ab");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_grow(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(snappy(&bytes, 500).len() <= 500);
            prop_assert!(lz4(&bytes, 500).len() <= 500);
        }
    }
}
