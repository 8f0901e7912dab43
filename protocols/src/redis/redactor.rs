//! Blanks passwords in AUTH, HELLO, ACL SETUSER, CONFIG SET and MIGRATE.

use super::resp::{Next, line, next};
use crate::{Chunk, Redactor, Secrets, Side, Stream};

/// Words that are looked at have at most so many bytes.
const MAX_WORD_BYTES: usize = 64;

/// What is known of the command that is being read.
#[derive(Debug, Default)]
pub(super) struct RedisRedactor {
    stream: Stream,
    secrets: Secrets,
    /// Words of the command that are still to come.
    left: u64,
    words: Vec<Vec<u8>>,
    line: Line,
}

/// Whether it is in the middle of a line of words.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Line {
    #[default]
    No,
    /// One without secrets.
    Plain,
    /// One of which all but the first word may be secret.
    Secret,
}

impl Redactor for RedisRedactor {
    fn redact(&mut self, side: Side, position: u64, size: u64, bytes: &mut [u8]) -> usize {
        if side == Side::Server {
            return 0;
        }
        if self.stream.push(&Chunk { position, size, bytes, time_ns: 0 }) == crate::stream::Pushed::Broken {
            self.left = 0;
            self.line = Line::No;
        }
        self.read();
        self.secrets.apply(position, size, bytes)
    }
}

impl RedisRedactor {
    fn read(&mut self) {
        loop {
            let here = self.stream.position();
            let bytes = self.stream.bytes();
            match bytes.first() {
                None => return,
                Some(b'*' | b'$') if self.line == Line::No => {}
                Some(_) => {
                    if !self.read_words() {
                        return;
                    }
                    continue;
                }
            }
            let Next::Element { kind, header, content, elements } = next(bytes) else {
                // Half a header is no secret; what is no RESP is passed over.
                if line(bytes).is_some() {
                    self.stream.discard();
                }
                return;
            };
            if kind == b'*' {
                self.left = elements;
                self.words.clear();
                self.stream.skip(header as u64);
                continue;
            }
            let begin = here + header as u64;
            let end = begin.saturating_add(content.saturating_sub(2));
            if is_secret(&self.words) {
                self.secrets.add(begin, end);
                self.words.push(Vec::new());
            } else {
                let length = usize::try_from(end - begin).unwrap_or(usize::MAX).min(MAX_WORD_BYTES);
                let there = bytes.get(header..).unwrap_or_default();
                if there.len() < length && !self.stream.is_cut() && may_be_looked_at(&self.words) {
                    return;
                }
                let word = there.get(..length.min(there.len())).unwrap_or_default();
                if may_be_looked_at(&self.words) {
                    self.words.push(word.to_ascii_uppercase());
                }
            }
            self.left = self.left.saturating_sub(1);
            if self.left == 0 {
                self.words.clear();
            }
            self.stream.skip(header as u64 + content);
        }
    }

    /// Reads what is there of a line of words. False when its first word has not come.
    fn read_words(&mut self) -> bool {
        let here = self.stream.position();
        let bytes = self.stream.bytes();
        let end = bytes.iter().position(|byte| *byte == b'\n').map(|end| end + 1);
        let length = end.unwrap_or(bytes.len());
        let text = bytes.get(..length).unwrap_or_default();
        let mut first = 0;
        if self.line == Line::No {
            let space = text.iter().position(|byte| *byte == b' ');
            if space.is_none() && end.is_none() && length <= MAX_WORD_BYTES && !self.stream.is_cut() {
                return false;
            }
            first = space.unwrap_or(length);
            let name = text.get(..first).unwrap_or_default().to_ascii_uppercase();
            self.line = if may_have_secrets(&name) { Line::Secret } else { Line::Plain };
        }
        if self.line == Line::Secret {
            let content =
                text.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
            self.secrets.add(here + first as u64, here + content as u64);
        }
        if end.is_some() {
            self.line = Line::No;
        }
        self.stream.skip(length as u64);
        true
    }
}

fn may_have_secrets(name: &[u8]) -> bool {
    [&b"AUTH"[..], b"HELLO", b"ACL", b"CONFIG", b"MIGRATE"].contains(&name)
}

/// Whether words behind these tell what is secret.
fn may_be_looked_at(words: &[Vec<u8>]) -> bool {
    words.first().is_none_or(|name| may_have_secrets(name)) && words.len() < 64
}

/// Whether the word behind these is a secret.
fn is_secret(words: &[Vec<u8>]) -> bool {
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    match words.as_slice() {
        // AUTH [user] password: which one it is shows only later.
        [b"AUTH", ..] => true,
        [b"HELLO", _, b"AUTH"] => false,
        [b"HELLO" | b"MIGRATE", .., b"AUTH2", _] | [b"HELLO", .., b"AUTH", _] | [b"MIGRATE", .., b"AUTH"] => {
            true
        }
        [b"ACL", b"SETUSER", _, ..] => true,
        [b"CONFIG", b"SET", .., name] if words.len() % 2 == 1 => {
            name.ends_with(b"AUTH") || name.ends_with(b"PASS") || name.ends_with(b"PASSWORD")
        }
        _ => false,
    }
}
