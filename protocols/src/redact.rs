//! Keeps credentials out of what is stored.

use crate::Side;
use crate::text_secrets::TextRedactor;

/// What stands in the place of a secret byte.
pub const BLANK: u8 = b'*';

/// Blanks the credentials in what calls of one connection moved, before anybody keeps it. Lengths stay, so that codecs
/// read the rest as before. It sees each call once, in order, with holes, and cannot come back to an earlier one: what
/// may still turn out to be a secret at the end of a call is blanked.
pub trait Redactor: Send {
    /// Overwrites secrets in `bytes`, the kept head of a call that moved `size` bytes, the first of them at `position`
    /// in the stream of `side`, with [`BLANK`] or what the encoding has for it. Returns how many bytes it blanked.
    fn redact(&mut self, side: Side, position: u64, size: u64, bytes: &mut [u8]) -> usize;
}

/// Hides what looks like a credential in connections of which it is not known what they speak.
pub fn unknown() -> Box<dyn Redactor> {
    Box::new(TextRedactor::default())
}

/// Blanks all of `bytes`; how many they are.
pub fn blank(bytes: &mut [u8]) -> usize {
    bytes.fill(BLANK);
    bytes.len()
}

/// Places in a stream that are secret, as they become known, also before their bytes come.
#[derive(Debug, Default)]
pub struct Secrets {
    ranges: Vec<(u64, u64)>,
}

impl Secrets {
    /// The bytes from `begin` to before `end` are secret.
    pub fn add(&mut self, begin: u64, end: u64) {
        if begin < end && !self.ranges.contains(&(begin, end)) {
            self.ranges.push((begin, end));
        }
    }

    /// Blanks what of the secrets lies in `bytes`, which begin at `position`, and forgets those that end before the end
    /// of the call that moved `size` bytes. Returns how many bytes it blanked.
    pub fn apply(&mut self, position: u64, size: u64, bytes: &mut [u8]) -> usize {
        let mut blanked = 0;
        for (begin, end) in &self.ranges {
            let inside = |place: u64| {
                usize::try_from(place.saturating_sub(position)).unwrap_or(usize::MAX).min(bytes.len())
            };
            let (from, to) = (inside(*begin), inside(*end));
            blanked += bytes.get_mut(from..to).map_or(0, blank);
        }
        let over = position.saturating_add(size.max(bytes.len() as u64));
        self.ranges.retain(|(_, end)| *end > over);
        blanked
    }
}
