//! What the messages of one cause have in common: their words without numbers, names in quotes and other data.
//!
//! In: messages. Out: for each its level and, from warning on, the hash of its pattern. The hash is the MD5 of the
//! pattern's words, so it is the same on every host. A pattern that differs from a known one in a word is the known one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use md5::{Digest, Md5};

use super::join::Message;
use super::level::Level;
use crate::maps::OrderedMap;

/// Words of a pattern.
const WORDS: usize = 100;
/// Bytes of a message that patterns are made from: they have no more words than that.
const BYTES: usize = 8_192;

/// The hash of everything beyond the limit of patterns.
pub const UNCLASSIFIED_HASH: &str = "00000000000000000000000000000000";
/// What stands for its messages.
pub const UNCLASSIFIED_SAMPLE: &str = "unclassified pattern (pattern limit reached)";

/// Words of a message that do not vary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    words: Vec<Box<str>>,
}

impl Pattern {
    /// The pattern of a text.
    pub fn of(text: &str) -> Self {
        let head = text.get(..text.floor_char_boundary(BYTES)).unwrap_or_default();
        let plain = without_quotes_and_brackets(head);
        Self { words: plain.split_whitespace().filter_map(word).take(WORDS).collect() }
    }

    /// Its words.
    pub fn words(&self) -> &[Box<str>] {
        &self.words
    }

    /// MD5 of the words, in hexadecimal.
    pub fn hash(&self) -> Arc<str> {
        let digest = Md5::digest(self.words.join(" ").as_bytes());
        let mut text = String::with_capacity(32);
        for byte in digest {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text.into()
    }

    /// Whether at most one word differs. Of patterns of a single word that would be all.
    fn resembles(&self, other: &Self) -> bool {
        let differing = || self.words.iter().zip(&other.words).filter(|(a, b)| a != b);
        self.words.len() == other.words.len()
            && differing().take(2).count() <= usize::from(self.words.len() > 1)
    }
}

/// What stays of a word; `None` when it is data.
fn word(word: &str) -> Option<Box<str>> {
    let word = word.trim_end_matches(['=', ':', ']', ',', ';']);
    if word.chars().nth(1).is_none() || is_hexadecimal(word) || is_uuid(word) {
        return None;
    }
    let kept: String = word.chars().filter(|next| !next.is_ascii_digit()).collect();
    let is_word = kept.chars().all(|next| next.is_alphabetic() || matches!(next, '.' | '_' | '-'))
        && kept.chars().any(char::is_alphabetic)
        && kept.chars().nth(1).is_some();
    is_word.then(|| kept.into_boxed_str())
}

/// A number such as 0x1f, or digits and letters that can only be one: `added` is a word.
fn is_hexadecimal(word: &str) -> bool {
    let is_hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(digits) = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        return is_hex(digits);
    }
    is_hex(word) && (word.len() >= 8 || word.len() >= 4 && word.bytes().any(|byte| byte.is_ascii_digit()))
}

fn is_uuid(word: &str) -> bool {
    word.len() == 36
        && word.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// The text with a blank for each quoted or bracketed part. One that does not end is no such part.
fn without_quotes_and_brackets(text: &str) -> String {
    let bytes = text.as_bytes();
    // Where the part that begins at a byte ends. Quotes and brackets are ASCII, so all cuts are at characters.
    let mut ends: BTreeMap<usize, usize> = BTreeMap::new();
    let mut open: Vec<(u8, usize)> = Vec::new();
    let mut unclosed = [false; 3];
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' | b'\'' | b'`' => {
                let seen = match byte {
                    b'"' => &mut unclosed[0],
                    b'\'' => &mut unclosed[1],
                    _ => &mut unclosed[2],
                };
                // An apostrophe is within a word.
                let is_begin = byte == b'"'
                    || at
                        .checked_sub(1)
                        .and_then(|before| bytes.get(before))
                        .is_none_or(|b| !b.is_ascii_alphanumeric());
                if is_begin && !*seen {
                    match closing(bytes, at, byte) {
                        Some(end) => {
                            ends.insert(at, end);
                            at = end;
                        }
                        None => *seen = true,
                    }
                }
            }
            b'[' | b'(' | b'{' => open.push((byte, at)),
            b']' | b')' | b'}' => {
                let opening = match byte {
                    b']' => b'[',
                    b')' => b'(',
                    _ => b'{',
                };
                if open.last().is_some_and(|(kind, _)| *kind == opening)
                    && let Some((_, begin)) = open.pop()
                {
                    ends.insert(begin, at);
                }
            }
            _ => {}
        }
        at += 1;
    }
    let mut plain = String::with_capacity(text.len());
    let mut from = 0;
    for (begin, end) in ends {
        if begin >= from {
            plain.push_str(text.get(from..begin).unwrap_or_default());
            plain.push(' ');
            from = end + 1;
        }
    }
    plain.push_str(text.get(from..).unwrap_or_default());
    plain
}

/// The place of the quote that ends what begins at `begin`.
fn closing(bytes: &[u8], begin: usize, quote: u8) -> Option<usize> {
    let mut is_escaped = false;
    for (at, byte) in bytes.iter().enumerate().skip(begin + 1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            byte if *byte == quote => return Some(at),
            _ => {}
        }
    }
    None
}

/// A pattern that was seen.
#[derive(Debug)]
struct Known {
    pattern: Option<Pattern>,
    sample: Arc<str>,
    messages: u64,
}

/// What a message was counted as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Its level.
    pub level: Level,
    /// Hash of its pattern; empty for levels without patterns.
    pub pattern_hash: Arc<str>,
    /// The limit of patterns is reached, so it was put with others.
    pub is_unclassified: bool,
}

/// Counts of one source, by level and pattern.
#[derive(Debug, Default)]
pub struct Patterns {
    levels: BTreeMap<Level, OrderedMap<Arc<str>, Known>>,
}

impl Patterns {
    /// Counts a message. A new pattern beyond `limit` in its level is not told apart. `sample` makes the sample of a new one.
    pub fn count(
        &mut self,
        message: &Message,
        limit: usize,
        sample: impl FnOnce(&str) -> Arc<str>,
    ) -> Counted {
        let level = message.level();
        let known = self.levels.entry(level).or_default();
        if !level.has_patterns() {
            add(known, "".into(), 1, || Known { pattern: None, sample: "".into(), messages: 0 });
            return Counted { level, pattern_hash: "".into(), is_unclassified: false };
        }
        let pattern = Pattern::of(message.essence());
        let hash = pattern.hash();
        let alike = || {
            let resembles = |(_, known): &(&Arc<str>, &Known)| {
                known.pattern.as_ref().is_some_and(|known| known.resembles(&pattern))
            };
            known.iter().find(resembles).map(|(hash, _)| hash.clone())
        };
        let same = if known.contains_key(&hash) { Some(hash.clone()) } else { alike() };
        let (hash, is_unclassified) = match same {
            Some(hash) => (hash, false),
            None if known.values().filter(|known| known.pattern.is_some()).count() < limit => (hash, false),
            None => (UNCLASSIFIED_HASH.into(), true),
        };
        let counted = Counted { level, pattern_hash: hash.clone(), is_unclassified };
        add(known, hash, 1, || match is_unclassified {
            true => Known { pattern: None, sample: UNCLASSIFIED_SAMPLE.into(), messages: 0 },
            false => Known { pattern: Some(pattern), sample: sample(message.essence()), messages: 0 },
        });
        counted
    }

    /// Adds messages that were counted elsewhere. Returns whether their pattern was kept apart.
    pub(crate) fn add(&mut self, level: Level, hash: &str, messages: u64, limit: usize) -> bool {
        let known = self.levels.entry(level).or_default();
        let fits = hash.is_empty() || known.contains_key(hash) || known.len() < limit;
        let hash = if fits { hash } else { UNCLASSIFIED_HASH };
        let sample = if hash == UNCLASSIFIED_HASH { UNCLASSIFIED_SAMPLE } else { "" };
        add(known, hash.into(), messages, || Known { pattern: None, sample: sample.into(), messages: 0 });
        fits
    }

    /// Takes over another source's counts. What does not fit is put together; returns how many patterns that were.
    pub(crate) fn merge(&mut self, other: Self, limit: usize) -> u64 {
        let mut left_out = 0;
        for (level, theirs) in other.levels {
            let mine = self.levels.entry(level).or_default();
            for (hash, known) in theirs {
                if mine.contains_key(&hash) || mine.len() < limit.max(1) || &*hash == UNCLASSIFIED_HASH {
                    let messages = known.messages;
                    add(mine, hash, messages, || Known { messages: 0, ..known });
                } else {
                    left_out += 1;
                    let sample = UNCLASSIFIED_SAMPLE.into();
                    add(mine, UNCLASSIFIED_HASH.into(), known.messages, || Known {
                        pattern: None,
                        sample,
                        messages: 0,
                    });
                }
            }
        }
        left_out
    }

    /// Level, pattern hash, sample and number of messages of each.
    pub fn iter(&self) -> impl Iterator<Item = (Level, &Arc<str>, &Arc<str>, u64)> {
        self.levels.iter().flat_map(|(level, known)| {
            known.iter().map(|(hash, known)| (*level, hash, &known.sample, known.messages))
        })
    }
}

fn add(known: &mut OrderedMap<Arc<str>, Known>, hash: Arc<str>, messages: u64, new: impl FnOnce() -> Known) {
    let known = known.entry(hash).or_insert_with(new);
    known.messages = known.messages.saturating_add(messages);
}
