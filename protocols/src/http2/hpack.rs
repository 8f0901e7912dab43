//! Header blocks (RFC 7541): fields, and the table of those that were said before.
//!
//! The table may not be known: the connection is older than the recording, or bytes were lost. What names an entry that
//! was not seen is then not known, until it is said again. No entry may be taken for another: entries are numbered
//! from the newest on, so it does no harm to hold entries for longer than the peers do, who do not name what they have
//! dropped. An entry is therefore counted with no more than its size.

use std::collections::VecDeque;

use super::fields::{Header, STATIC};
use super::huffman;
use crate::cursor::Cursor;

/// A table is no longer than this; what its peers hold beyond is not known.
const MAX_TABLE_BYTES: usize = 64 * 1024;
/// What an entry counts beside its name and value.
const ENTRY_BYTES: usize = 32;
/// A table that nobody has said the size of.
const DEFAULT_TABLE_BYTES: usize = 4096;
/// Of a text, decoded: what is longer is not kept by a recording either.
const MAX_TEXT_BYTES: usize = 16 * 1024;

/// A text of a literal: as much of it as is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'bytes> {
    pub(super) is_huffman: bool,
    /// Bytes that it has.
    pub(super) length: usize,
    /// Those that are there.
    pub(super) bytes: &'bytes [u8],
    /// Where it begins in the block.
    pub(super) place: usize,
}

impl Text<'_> {
    pub(super) fn is_whole(&self) -> bool {
        self.bytes.len() == self.length
    }

    /// Adds what it says to `text`; whether it is well formed.
    pub(super) fn decode(&self, text: &mut Vec<u8>) -> bool {
        if self.bytes.len() > MAX_TEXT_BYTES {
            return false;
        }
        if self.is_huffman {
            return huffman::decode(self.bytes, !self.is_whole(), text);
        }
        text.extend(self.bytes);
        true
    }

    /// Whether it is what stands in the place of a secret.
    fn is_blank(&self) -> bool {
        let blank = if self.is_huffman { huffman::FILLING } else { crate::BLANK };
        !self.bytes.is_empty() && self.bytes.iter().all(|byte| *byte == blank)
    }
}

/// The name of a literal.
#[derive(Debug, Clone, Copy)]
pub(super) enum Name<'bytes> {
    Indexed(usize),
    Literal(Text<'bytes>),
}

/// One field of a block, as it stands there.
#[derive(Debug, Clone, Copy)]
pub(super) enum Field<'bytes> {
    /// Name and value of an entry.
    Indexed(usize),
    /// A value for a name; `is_kept` makes it an entry. Of the value the end may be missing.
    Literal { is_kept: bool, name: Name<'bytes>, value: Text<'bytes> },
    /// The table's size is another from here on.
    Resize(usize),
}

/// Why there is no field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The block ends within it.
    Cut,
    /// No block has this.
    Wrong,
}

/// A number whose first byte is `first`, of which it has the lower `bits` (RFC 7541 5.1).
fn number(cursor: &mut Cursor<'_>, first: u8, bits: u8) -> Result<usize, Stop> {
    let mask = (1_u16 << bits) - 1;
    let mut number = u64::from(u16::from(first) & mask);
    if number < u64::from(mask) {
        return Ok(number as usize);
    }
    for shift in [0, 7, 14, 21] {
        let byte = cursor.u8().ok_or(Stop::Cut)?;
        number += u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number as usize);
        }
    }
    Err(Stop::Wrong)
}

fn text<'bytes>(cursor: &mut Cursor<'bytes>) -> Result<Text<'bytes>, Stop> {
    let first = cursor.u8().ok_or(Stop::Cut)?;
    let length = number(cursor, first, 7)?;
    let place = cursor.place();
    Ok(Text { is_huffman: first & 0x80 != 0, length, bytes: cursor.take_head(length), place })
}

/// Reads the field that begins where the cursor is.
pub(super) fn field<'bytes>(cursor: &mut Cursor<'bytes>) -> Result<Field<'bytes>, Stop> {
    let first = cursor.u8().ok_or(Stop::Cut)?;
    let (is_kept, bits) = match first {
        0x80.. => {
            let place = number(cursor, first, 7)?;
            return if place == 0 { Err(Stop::Wrong) } else { Ok(Field::Indexed(place)) };
        }
        0x40.. => (true, 6),
        0x20.. => return number(cursor, first, 5).map(Field::Resize),
        // Whether it may be kept by others (0x10) makes no difference here.
        _ => (false, 4),
    };
    let name = match number(cursor, first, bits)? {
        0 => {
            let name = text(cursor)?;
            if !name.is_whole() {
                return Err(Stop::Cut);
            }
            Name::Literal(name)
        }
        place => Name::Indexed(place),
    };
    Ok(Field::Literal { is_kept, name, value: text(cursor)? })
}

/// A field that was said before, as far as it matters here.
#[derive(Debug)]
struct Entry {
    header: Header,
    value: Option<Box<[u8]>>,
    counts_bytes: usize,
}

/// The fields that one side has said, the newest first.
#[derive(Debug)]
pub(super) struct Table {
    entries: VecDeque<Entry>,
    held_bytes: usize,
    max_bytes: usize,
    /// For the name of a literal.
    scratch: Vec<u8>,
}

impl Default for Table {
    fn default() -> Self {
        Self { entries: VecDeque::new(), held_bytes: 0, max_bytes: DEFAULT_TABLE_BYTES, scratch: Vec::new() }
    }
}

impl Table {
    /// Fields were missed: nothing of it is known any more.
    pub(super) fn forget(&mut self) {
        self.entries.clear();
        self.held_bytes = 0;
        self.max_bytes = MAX_TABLE_BYTES;
    }

    /// Memory that it holds beyond its own size, bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        let values = self.entries.iter().filter_map(|entry| entry.value.as_ref()).map(|value| value.len());
        self.entries.capacity() * size_of::<Entry>() + values.sum::<usize>() + self.scratch.capacity()
    }

    /// An entry's header and, where one is kept and known, its value.
    fn entry(&self, place: usize) -> (Header, Option<&[u8]>) {
        if let Some((header, _, value)) = place.checked_sub(1).and_then(|place| STATIC.get(place)) {
            return (*header, Some(value.as_bytes()));
        }
        match place.checked_sub(STATIC.len() + 1).and_then(|place| self.entries.get(place)) {
            Some(entry) => (entry.header, entry.value.as_deref()),
            None => (Header::Unknown, None),
        }
    }

    /// What a literal's name is; none when it is not well formed.
    pub(super) fn name(&mut self, name: &Name<'_>) -> Option<Header> {
        match name {
            Name::Indexed(place) => Some(self.entry(*place).0),
            Name::Literal(text) => {
                self.scratch.clear();
                text.decode(&mut self.scratch).then(|| Header::of(&self.scratch))
            }
        }
    }

    /// Bytes of the name of which [`name`](Self::name) told last, decoded.
    pub(super) fn name_bytes(&self) -> usize {
        self.scratch.len()
    }

    /// From here on no more is held.
    pub(super) fn resize(&mut self, bytes: usize) {
        self.max_bytes = bytes.min(MAX_TABLE_BYTES);
        self.shrink(self.max_bytes);
    }

    /// A field is said: the value if it is known and wanted, and the least that it counts.
    pub(super) fn insert(&mut self, header: Header, value: Option<&[u8]>, least_bytes: usize) {
        let counts_bytes = ENTRY_BYTES + least_bytes;
        self.shrink(self.max_bytes.saturating_sub(counts_bytes));
        if counts_bytes > self.max_bytes {
            return;
        }
        self.held_bytes += counts_bytes;
        self.entries.push_front(Entry { header, value: value.map(Into::into), counts_bytes });
    }

    fn shrink(&mut self, to_bytes: usize) {
        while self.held_bytes > to_bytes {
            let Some(entry) = self.entries.pop_back() else { break };
            self.held_bytes = self.held_bytes.saturating_sub(entry.counts_bytes);
        }
    }

    /// Reads a block, or as much as there is of it, and tells of each field: what it is, and its value if that is
    /// known and wanted. A value whose end is missing is told of last, as far as it is there.
    pub(super) fn read(
        &mut self,
        block: &[u8],
        mut tell: impl FnMut(Header, Option<&[u8]>),
    ) -> Result<(), Stop> {
        let mut cursor = Cursor::new(block);
        let mut decoded = Vec::new();
        let mut has_fields = false;
        while !cursor.rest().is_empty() {
            let next = field(&mut cursor)?;
            // Sizes are said first. What was hidden as it was not understood looks like one.
            if matches!(next, Field::Resize(_)) && has_fields {
                return Err(Stop::Wrong);
            }
            has_fields |= !matches!(next, Field::Resize(_));
            match next {
                Field::Resize(bytes) => self.resize(bytes),
                Field::Indexed(place) => {
                    let (header, value) = self.entry(place);
                    tell(header, value);
                }
                Field::Literal { is_kept, name, value } => {
                    let header = self.name(&name).ok_or(Stop::Wrong)?;
                    decoded.clear();
                    let is_wanted = header.is_wanted();
                    if (is_wanted || value.is_huffman) && !value.decode(&mut decoded) {
                        return Err(Stop::Wrong);
                    }
                    // A blank may stand for something shorter.
                    let is_blank = value.is_blank();
                    let said = (is_wanted && !is_blank).then_some(&*decoded);
                    if !value.is_whole() {
                        tell(header, said);
                        return Err(Stop::Cut);
                    }
                    if is_kept {
                        let name_bytes =
                            if matches!(name, Name::Literal(_)) { self.scratch.len() } else { 0 };
                        let value_bytes = match (is_blank, value.is_huffman) {
                            (true, _) => 0,
                            (false, true) => decoded.len(),
                            (false, false) => value.length,
                        };
                        self.insert(header, said, name_bytes + value_bytes);
                    }
                    tell(header, said);
                }
            }
        }
        Ok(())
    }
}
