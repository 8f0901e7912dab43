//! Hides values of fields that are secret or mean nothing here, and all bodies.
//!
//! It reads frames as the codec does, in calls of any size. What a field's name is may be said in an earlier call, so
//! the names in the table are known here too; a value whose name is not known is hidden.

use super::fields::Header;
use super::frame::{self, Frame, HEAD_BYTES, PREFACE};
use super::hpack::{self, Field, Name, Stop, Table, Text};
use super::huffman;
use crate::cursor::Cursor;
use crate::text_secrets::TextSecrets;
use crate::{PerSide, Redactor, Side, blank};

/// A field that is longer is not read.
const MAX_FIELD_BYTES: usize = 32 * 1024;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The client's first words.
    Preface,
    /// The head of a frame.
    Head,
    /// What stands before the fields of a frame.
    Prefix(Frame),
    /// Fields: so many bytes of them, and of the padding behind them; whether they are the last.
    Fields(usize, usize, bool),
    /// So many bytes of something else, and whether they are hidden.
    Other(usize, bool),
    /// Anything.
    Lost,
}

#[derive(Debug)]
struct Direction {
    next: Next,
    table: Table,
    /// What came of a head or a prefix.
    head: Vec<u8>,
    /// What came of a field that is not over.
    field: Vec<u8>,
    /// Fields of this block were not understood: the rest of it is hidden.
    is_wrong: bool,
    /// The next place in the stream that it expects.
    expected: Option<u64>,
}

impl Direction {
    fn new(next: Next) -> Self {
        let (table, head, field) = (Table::default(), Vec::new(), Vec::new());
        Self { next, table, head, field, is_wrong: false, expected: None }
    }

    fn lose(&mut self) {
        *self = Self { expected: self.expected, ..Self::new(Next::Lost) };
        self.table.forget();
    }

    /// Adds to what came of a head, up to `length`; how many bytes of `bytes` it took, and whether that is all.
    fn collect(&mut self, bytes: &[u8], length: usize) -> (usize, bool) {
        let taken = length.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend(bytes.iter().take(taken));
        (taken, self.head.len() >= length)
    }

    /// Goes through what a call moved of a stream that is understood. Returns how many bytes it blanked.
    fn walk(&mut self, bytes: &mut [u8]) -> usize {
        let mut blanked = 0;
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = match self.next {
                Next::Preface => {
                    let (taken, is_all) = self.collect(rest, PREFACE.len());
                    if !PREFACE.starts_with(&self.head) {
                        self.lose();
                        return blanked + blank(rest);
                    }
                    if is_all {
                        self.head.clear();
                        self.next = Next::Head;
                    }
                    taken
                }
                Next::Head => {
                    let (taken, is_all) = self.collect(rest, HEAD_BYTES);
                    if is_all {
                        let frame = Frame::read(&self.head).filter(Frame::is_possible);
                        self.head.clear();
                        let Some(frame) = frame else {
                            self.lose();
                            return blanked + blank(rest);
                        };
                        self.next = Self::behind(&frame);
                    }
                    taken
                }
                Next::Prefix(frame) => {
                    let (taken, is_all) = self.collect(rest, frame.prefix_bytes());
                    if is_all {
                        let padding = frame.padding_bytes(&self.head);
                        let length = frame.length.saturating_sub(frame.prefix_bytes());
                        self.head.clear();
                        self.next = Next::Fields(
                            length.saturating_sub(padding),
                            padding.min(length),
                            frame.ends_headers(),
                        );
                    }
                    taken
                }
                Next::Fields(left, padding, is_last) => {
                    let taken = left.min(rest.len());
                    let (fields, _) = rest.split_at_mut(taken);
                    blanked += self.fields(fields);
                    self.next = Next::Fields(left - taken, padding, is_last);
                    if left == taken {
                        self.next = if padding > 0 { Next::Other(padding, true) } else { Next::Head };
                        if is_last {
                            self.end_block();
                        }
                    }
                    taken
                }
                Next::Other(left, is_hidden) => {
                    let taken = left.min(rest.len());
                    if is_hidden {
                        blanked += rest.get_mut(..taken).map_or(0, blank);
                    }
                    self.next = if left == taken { Next::Head } else { Next::Other(left - taken, is_hidden) };
                    taken
                }
                Next::Lost => return blanked + blank(rest),
            };
            rest = rest.get_mut(taken..).unwrap_or_default();
        }
        blanked
    }

    fn behind(frame: &Frame) -> Next {
        if frame.has_block() {
            return match frame.prefix_bytes() {
                0 => Next::Fields(frame.length, 0, frame.ends_headers()),
                _ => Next::Prefix(*frame),
            };
        }
        // Those of the protocol itself say nothing that is secret.
        let is_hidden = frame.kind == frame::DATA || frame.kind > frame::CONTINUATION;
        if frame.length == 0 { Next::Head } else { Next::Other(frame.length, is_hidden) }
    }

    fn end_block(&mut self) {
        if !self.field.is_empty() || self.is_wrong {
            self.table.forget();
        }
        self.field.clear();
        self.is_wrong = false;
    }

    /// Bytes of fields. Returns how many it blanked.
    fn fields(&mut self, new: &mut [u8]) -> usize {
        if self.is_wrong || self.field.len() + new.len() > MAX_FIELD_BYTES {
            self.is_wrong = true;
            return blank(new);
        }
        let before = self.field.len();
        self.field.extend_from_slice(new);
        let all = std::mem::take(&mut self.field);
        let mut cursor = Cursor::new(&all);
        let mut blanked = 0;
        let mut begin = 0;
        while begin < all.len() {
            match hpack::field(&mut cursor) {
                Ok(Field::Literal { is_kept, name, value }) => {
                    let Some(header) = self.table.name(&name) else {
                        self.is_wrong = true;
                        break;
                    };
                    blanked += hide(header, &value, before, new);
                    if !value.is_whole() {
                        break;
                    }
                    if is_kept {
                        // No more than it counts: what is hidden may stand for something shorter.
                        let bytes = if let Name::Literal(_) = name { self.table.name_bytes() } else { 0 };
                        self.table.insert(header, None, bytes);
                    }
                }
                Ok(Field::Resize(bytes)) => self.table.resize(bytes),
                Ok(Field::Indexed(_)) => {}
                Err(Stop::Cut) => break,
                Err(Stop::Wrong) => {
                    self.is_wrong = true;
                    break;
                }
            }
            begin = cursor.place();
        }
        if self.is_wrong {
            return blanked + new.get_mut(begin.saturating_sub(before)..).map_or(0, blank);
        }
        self.field = all.get(begin..).unwrap_or_default().to_vec();
        blanked
    }
}

/// Hides a value, as far as it lies in `new`, before which `before` bytes came earlier.
fn hide(header: Header, value: &Text<'_>, before: usize, new: &mut [u8]) -> usize {
    let end = value.place + value.bytes.len();
    let Some(part) = new.get_mut(value.place.saturating_sub(before)..end.saturating_sub(before)) else {
        return 0;
    };
    let filling = if value.is_huffman { huffman::FILLING } else { crate::BLANK };
    let is_shown = match header {
        Header::Path | Header::Authority | Header::Host => {
            if value.is_whole() && value.place >= before {
                return hide_in_text(value, part);
            }
            false
        }
        _ => header.is_wanted(),
    };
    if is_shown {
        return 0;
    }
    part.fill(filling);
    part.len()
}

/// Hides what is secret in a path or an authority that is there as a whole.
fn hide_in_text(value: &Text<'_>, part: &mut [u8]) -> usize {
    let mut text = Vec::new();
    if !value.decode(&mut text) {
        part.fill(crate::BLANK);
        return part.len();
    }
    let shown = text.clone();
    // As it would stand in a line of HTTP/1.
    let mut line = [b"GET http://", text.as_slice(), b" HTTP/1.1\r\n"].concat();
    let mut path_line = [b"GET ", text.as_slice(), b" HTTP/1.1\r\n"].concat();
    let is_path = text.starts_with(b"/");
    let line = if is_path { &mut path_line } else { &mut line };
    let prefix = if is_path { b"GET ".len() } else { b"GET http://".len() };
    let size = line.len() as u64;
    TextSecrets::default().redact(0, size, line);
    let hidden = line.get(prefix..prefix + shown.len()).unwrap_or_default();
    let changed: Vec<bool> = hidden.iter().zip(&shown).map(|(one, other)| one != other).collect();
    if !value.is_huffman {
        part.copy_from_slice(hidden);
    } else {
        let words: Vec<huffman::Word> = huffman::Reader::new(value.bytes).collect();
        let mut place = 0;
        while place < words.len() {
            let run = changed.iter().skip(place).take_while(|changed| **changed).count();
            if let (Some(first), Some(last)) = (words.get(place), words.get(place + run.max(1) - 1))
                && run > 0
            {
                let end = if place + run == words.len() { part.len() * 8 } else { last.end };
                huffman::blank(part, first.begin, end);
            }
            place += run.max(1);
        }
    }
    changed.iter().filter(|changed| **changed).count()
}

/// The state of a connection.
#[derive(Debug)]
pub(super) struct Http2Redactor {
    sides: PerSide<Direction>,
}

impl Default for Http2Redactor {
    fn default() -> Self {
        Self { sides: PerSide { client: Direction::new(Next::Lost), server: Direction::new(Next::Lost) } }
    }
}

impl Redactor for Http2Redactor {
    fn redact(&mut self, side: Side, position: u64, size: u64, bytes: &mut [u8]) -> usize {
        let compared = bytes.len().min(PREFACE.len());
        let is_preface = side == Side::Client
            && self.sides.client.expected.is_none()
            && bytes.get(..compared) == PREFACE.get(..compared);
        if is_preface {
            self.sides.client = Direction::new(Next::Preface);
            self.sides.server = Direction::new(Next::Head);
        }
        let direction = self.sides.of(side);
        if direction.expected.is_some_and(|expected| expected != position) {
            direction.lose();
        }
        direction.expected = Some(position.saturating_add(size));
        let hole = size.saturating_sub(bytes.len() as u64);
        let mut rest = bytes;
        let mut blanked = 0;
        if direction.next == Next::Lost {
            direction.table.forget();
            let place = frame::find(rest, hole).unwrap_or(rest.len());
            let (before, after) = rest.split_at_mut(place);
            blanked += blank(before);
            if after.is_empty() {
                return blanked;
            }
            direction.next = Next::Head;
            rest = after;
        }
        blanked += direction.walk(rest);
        if hole > 0 {
            match direction.next {
                Next::Other(left, is_hidden) if left as u64 >= hole => {
                    let left = left - usize::try_from(hole).unwrap_or(left);
                    direction.next = if left == 0 { Next::Head } else { Next::Other(left, is_hidden) };
                }
                _ => direction.lose(),
            }
        }
        blanked
    }
}
