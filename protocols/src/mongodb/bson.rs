//! Documents that may be cut anywhere, element by element (<https://bsonspec.org/spec.html>).

use crate::cursor::Cursor;

pub(super) const DOUBLE: u8 = 0x01;
pub(super) const STRING: u8 = 0x02;
pub(super) const DOCUMENT: u8 = 0x03;
pub(super) const ARRAY: u8 = 0x04;
pub(super) const BINARY: u8 = 0x05;
const BOOLEAN: u8 = 0x08;
const INT32: u8 = 0x10;
const INT64: u8 = 0x12;

/// A key that is longer is none.
pub(super) const MAX_KEY_BYTES: usize = 256;
/// Documents are 16 MB at most, and messages have some around them.
pub(super) const MAX_BYTES: u32 = 48 << 20;

/// An element as far as it is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'bytes> {
    pub(super) kind: u8,
    pub(super) key: &'bytes [u8],
    pub(super) value: &'bytes [u8],
}

/// How many bytes the value at the beginning of `bytes` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    Known(u64),
    /// The bytes that say it are not there.
    Cut,
    /// No value is like this.
    Wrong,
}

pub(super) fn size(kind: u8, bytes: &[u8]) -> Size {
    let prefix = |least: u32, more: u64| match Cursor::new(bytes).u32_le() {
        None => Size::Cut,
        Some(length) if (least..=MAX_BYTES).contains(&length) => Size::Known(u64::from(length) + more),
        Some(_) => Size::Wrong,
    };
    match kind {
        0x06 | 0x0a | 0x7f | 0xff => Size::Known(0),
        BOOLEAN => Size::Known(1),
        INT32 => Size::Known(4),
        DOUBLE | 0x09 | 0x11 | INT64 => Size::Known(8),
        0x07 => Size::Known(12),
        0x13 => Size::Known(16),
        STRING | 0x0d | 0x0e => prefix(1, 4),
        DOCUMENT | ARRAY => prefix(5, 0),
        BINARY => prefix(0, 5),
        0x0b => {
            let mut cursor = Cursor::new(bytes);
            match cursor.zero_ended().and_then(|_| cursor.zero_ended()) {
                Some(_) => Size::Known(cursor.place() as u64),
                None => Size::Cut,
            }
        }
        0x0c => prefix(1, 16),
        0x0f => prefix(14, 0),
        _ => Size::Wrong,
    }
}

/// The elements of a document, up to where it is cut.
#[derive(Debug, Clone)]
pub(super) struct Elements<'bytes> {
    cursor: Cursor<'bytes>,
    /// The end of the document was met.
    pub(super) is_whole: bool,
    /// It is no document.
    pub(super) is_wrong: bool,
}

/// The document at the beginning of `bytes`, and its length. None if that cannot be, or is not there.
pub(super) fn document(bytes: &[u8]) -> Option<(Elements<'_>, u32)> {
    let mut cursor = Cursor::new(bytes);
    let length = cursor.u32_le().filter(|length| (5..=MAX_BYTES).contains(length))?;
    let there = bytes.get(..bytes.len().min(length as usize))?;
    let mut cursor = Cursor::new(there);
    cursor.u32_le()?;
    Some((Elements { cursor, is_whole: false, is_wrong: false }, length))
}

impl<'bytes> Iterator for Elements<'bytes> {
    type Item = Element<'bytes>;

    fn next(&mut self) -> Option<Element<'bytes>> {
        if self.is_wrong || self.is_whole {
            return None;
        }
        let kind = self.cursor.u8()?;
        if kind == 0 {
            self.is_whole = true;
            return None;
        }
        let Some(key) = self.cursor.zero_ended() else {
            self.is_wrong = self.cursor.rest().len() > MAX_KEY_BYTES;
            return None;
        };
        match size(kind, self.cursor.rest()) {
            Size::Known(size) => {
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                Some(Element { kind, key, value: self.cursor.take_head(size) })
            }
            Size::Cut => None,
            Size::Wrong => {
                self.is_wrong = true;
                None
            }
        }
    }
}

impl<'bytes> Element<'bytes> {
    /// Of a text, as far as it is there.
    pub(super) fn text(&self) -> Option<&'bytes [u8]> {
        let (length, text) = self.value.split_first_chunk().filter(|_| self.kind == STRING)?;
        let length = u32::from_le_bytes(*length).saturating_sub(1) as usize;
        text.get(..length.min(text.len()))
    }

    /// Of any kind of number or truth value.
    pub(super) fn number(&self) -> Option<i64> {
        let mut cursor = Cursor::new(self.value);
        match self.kind {
            DOUBLE => cursor.u64_le().map(|bits| f64::from_bits(bits) as i64),
            INT32 => cursor.u32_le().map(|number| i64::from(number as i32)),
            INT64 => cursor.u64_le().map(|number| number as i64),
            BOOLEAN => cursor.u8().map(i64::from),
            _ => None,
        }
    }

    /// What is in it.
    pub(super) fn elements(&self) -> Option<Elements<'bytes>> {
        document(self.value).filter(|_| matches!(self.kind, DOCUMENT | ARRAY)).map(|(elements, _)| elements)
    }
}
