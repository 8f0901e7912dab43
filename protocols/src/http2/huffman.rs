//! The Huffman code of header values (RFC 7541, appendix B), and runs of it that say nothing.
//!
//! The code is canonical: the lengths of its words are all there is to know.

use crate::BLANK;

/// Bits of the word of each byte; the last is the end's, which only stands cut, as padding.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28,
    28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7,
    8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7,
    15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24,
    23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23,
    23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26,
    26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20,
    21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27,
    27, 27, 26, 30,
];
const MAX_BITS: usize = 30;

/// The words by length, and by byte within a length, as they count up.
struct Words {
    /// Of each length: its first word, and the place of that word's byte in `bytes`.
    first: [(u32, u32); MAX_BITS + 1],
    /// Of each length: how many there are.
    count: [u32; MAX_BITS + 1],
    bytes: [u16; 257],
}

#[allow(clippy::indexing_slicing, reason = "computed by the compiler, which would say so")]
const WORDS: Words = {
    let mut words = Words { first: [(0, 0); MAX_BITS + 1], count: [0; MAX_BITS + 1], bytes: [0; 257] };
    let (mut length, mut place, mut word) = (1, 0, 0);
    while length <= MAX_BITS {
        word <<= 1;
        words.first[length] = (word, place);
        let mut byte = 0;
        while byte < 257 {
            if LENGTHS[byte] as usize == length {
                words.bytes[place as usize] = byte as u16;
                place += 1;
                word += 1;
                words.count[length] += 1;
            }
            byte += 1;
        }
        length += 1;
    }
    words
};
static DECODING: Words = WORDS;

/// One word: the byte that it stands for, and the bits where it begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) byte: u8,
    pub(super) begin: usize,
    pub(super) end: usize,
}

/// Reads words off the front of bytes.
#[derive(Debug, Clone)]
pub(super) struct Reader<'bytes> {
    bytes: &'bytes [u8],
    bit: usize,
    is_wrong: bool,
}

impl<'bytes> Reader<'bytes> {
    pub(super) fn new(bytes: &'bytes [u8]) -> Self {
        Self { bytes, bit: 0, is_wrong: false }
    }

    /// Whether what is left after the last word is what may end a text: less than a byte, all ones.
    pub(super) fn ends_well(&self) -> bool {
        let left = (self.bytes.len() * 8).saturating_sub(self.bit);
        !self.is_wrong && left < 8 && (self.window() >> (32 - left.min(31))).count_ones() as usize == left
    }

    /// The next bits, as many as the longest word has.
    fn window(&self) -> u64 {
        let from = self.bit / 8;
        let mut window = 0;
        for place in 0..5 {
            window = window << 8 | u64::from(self.bytes.get(from + place).copied().unwrap_or_default());
        }
        // 40 bits, of which up to 7 are read.
        window >> (8 - self.bit % 8) & 0xffff_ffff
    }
}

impl Iterator for Reader<'_> {
    type Item = Word;

    fn next(&mut self) -> Option<Word> {
        let left = self.bytes.len() * 8 - self.bit;
        let window = self.window();
        for length in 5..=MAX_BITS.min(left) {
            let (Some((first, place)), Some(count)) =
                (DECODING.first.get(length), DECODING.count.get(length))
            else {
                break;
            };
            let number = (window >> (32 - length)) as u32;
            if let Some(nth) = number.checked_sub(*first).filter(|nth| nth < count) {
                let byte = DECODING.bytes.get((place + nth) as usize).copied().unwrap_or(256);
                let Ok(byte) = u8::try_from(byte) else {
                    self.is_wrong = true;
                    return None;
                };
                let begin = self.bit;
                self.bit += length;
                return Some(Word { byte, begin, end: self.bit });
            }
        }
        None
    }
}

/// Adds what `bytes` say to `text`; whether they are well formed. `is_cut`: more would follow.
pub(super) fn decode(bytes: &[u8], is_cut: bool, text: &mut Vec<u8>) -> bool {
    let mut words = Reader::new(bytes);
    text.extend(words.by_ref().map(|word| word.byte));
    is_cut || words.ends_well()
}

/// How the bits from `begin` to `end` of a text are written over with words that say nothing; some seven bits or less
/// before its end may stay, as padding. The words depend on the number of bits alone.
///
/// A word has 5 to 8 bits here: of what is no multiple of 8, the rest comes first.
pub(super) fn blank(bytes: &mut [u8], begin: usize, end: usize) {
    // '0' of 5 bits, '-' of 6, ':' of 7; '*' of 8.
    const ZERO: (u32, usize) = (0b0_0000, 5);
    const DASH: (u32, usize) = (0b01_0110, 6);
    const COLON: (u32, usize) = (0b101_1100, 7);
    let bits = end.saturating_sub(begin);
    let first: &[(u32, usize)] = match bits % 8 {
        1 if bits >= 17 => &[ZERO, DASH, DASH],
        2 if bits >= 10 => &[ZERO, ZERO],
        3 if bits >= 11 => &[ZERO, DASH],
        4 if bits >= 12 => &[DASH, DASH],
        5 => &[ZERO],
        6 => &[DASH],
        7 => &[COLON],
        _ => &[],
    };
    let mut bit = begin;
    for (word, length) in first {
        for place in (0..*length).rev() {
            set(bytes, bit, word >> place & 1 == 1);
            bit += 1;
        }
    }
    while bit + 8 <= end {
        for place in (0..8).rev() {
            set(bytes, bit, FILLING >> place & 1 == 1);
            bit += 1;
        }
    }
    // Only at the end of a text, where it is padding.
    for bit in bit..end {
        set(bytes, bit, true);
    }
}

/// The word of [`BLANK`], a whole byte.
pub(super) const FILLING: u8 = 0xf9;

fn set(bytes: &mut [u8], bit: usize, is_one: bool) {
    if let Some(byte) = bytes.get_mut(bit / 8) {
        let mask = 0x80 >> (bit % 8);
        *byte = if is_one { *byte | mask } else { *byte & !mask };
    }
}

/// Encodes a text.
#[cfg(test)]
pub(super) fn encode(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut bit = 0;
    for byte in text {
        let length = usize::from(LENGTHS.get(usize::from(*byte)).copied().unwrap_or_default());
        let place = DECODING.bytes.iter().position(|one| *one == u16::from(*byte)).unwrap_or_default() as u32;
        let (first, before) = DECODING.first.get(length).copied().unwrap_or_default();
        let word = first + place - before;
        for shift in (0..length).rev() {
            bytes.resize(bit / 8 + 1, 0xff);
            set(&mut bytes, bit, word >> shift & 1 == 1);
            bit += 1;
        }
    }
    bytes
}

const _: () = assert!(BLANK == b'*');

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "tests fail by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(bytes: &[u8]) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        decode(bytes, false, &mut text).then_some(text)
    }

    #[test]
    fn texts_of_the_specification_are_read() {
        let text = b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        assert_eq!(decoded(text).as_deref(), Some(&b"www.example.com"[..]));
        assert_eq!(decoded(b"\xa8\xeb\x10\x64\x9c\xbf").as_deref(), Some(&b"no-cache"[..]));
        assert_eq!(decoded(&[FILLING, FILLING]).as_deref(), Some(&b"**"[..]));
        assert_eq!(decoded(b"").as_deref(), Some(&b""[..]));
    }

    #[test]
    fn padding_is_less_than_a_byte_of_ones() {
        assert_eq!(decoded(b"\xff"), None);
        assert_eq!(decoded(b"\xa8\xeb\x10\x64\x9c\xbe"), None);
        assert_eq!(decoded(b"\xff\xff\xff\xff"), None);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read(text in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decoded(&encode(&text)), Some(text));
        }

        #[test]
        fn what_is_blanked_leaves_the_rest(
            head in "[ -~]{0,20}", secret in "[ -~]{1,30}", tail in "[ -~]{0,20}", other in "[ -~]{1,30}",
        ) {
            let blanked = |secret: &str, tail: &str| {
                let mut bytes = encode(format!("{head}{secret}{tail}").as_bytes());
                let words: Vec<Word> = Reader::new(&bytes).collect();
                let begin = words[head.len()].begin;
                let end = match tail {
                    "" => bytes.len() * 8,
                    _ => words[head.len() + secret.len() - 1].end,
                };
                blank(&mut bytes, begin, end);
                (end - begin, bytes)
            };
            for tail in ["", tail.as_str()] {
                let (bits, bytes) = blanked(&secret, tail);
                let text = decoded(&bytes);
                prop_assert!(text.is_some());
                let text = text.unwrap_or_default();
                prop_assert!(text.starts_with(head.as_bytes()) && text.ends_with(tail.as_bytes()));
                // Nothing of the secret is left but how long it is.
                let (other_bits, other_bytes) = blanked(&other, tail);
                prop_assert!(bits != other_bits || bytes == other_bytes);
            }
        }
    }
}
