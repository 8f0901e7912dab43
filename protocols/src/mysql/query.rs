//! Statements as text, and what clients of MySQL 8 say before it: attributes, of which one may be a trace's context.
//!
//! Whether they do was agreed when the connection began. It shows here too: no statement begins with the byte 0 or the
//! like, and what comes before one does.

use super::packet::number;
use crate::cursor::Cursor;

/// Statements have at most so many attributes; no text begins with a smaller byte, but for blanks.
const MAX_ATTRIBUTES: u8 = 8;
const MAX_TRACEPARENT_BYTES: usize = 64;

/// A statement and what comes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Query<'bytes> {
    /// Empty when the attributes cannot be read, or not yet.
    pub text: &'bytes [u8],
    pub traceparent: &'bytes [u8],
}

/// The content of a query behind its first byte.
pub(super) fn query(content: &[u8]) -> Query<'_> {
    match content {
        [0..=MAX_ATTRIBUTES, 1, ..] => with_attributes(content).unwrap_or_default(),
        [0..=MAX_ATTRIBUTES] => Query::default(),
        text => Query { text, traceparent: &[] },
    }
}

fn with_attributes(content: &[u8]) -> Option<Query<'_>> {
    let mut cursor = Cursor::new(content);
    let (count, _sets) = (cursor.u8()?, cursor.u8()?);
    let mut traceparent = &[][..];
    if count > 0 {
        let nulls = cursor.u8()?;
        let _has_types = cursor.u8()?;
        let mut kinds = Vec::with_capacity(count.into());
        for place in 0..count {
            let kind = cursor.u8()?;
            let _is_unsigned = cursor.u8()?;
            kinds.push((kind, text(&mut cursor)?, 1_u32 << place & u32::from(nulls) != 0));
        }
        for (kind, name, is_null) in kinds {
            if is_null {
                continue;
            }
            let value = value(kind, &mut cursor)?;
            if name == b"traceparent" && value.len() <= MAX_TRACEPARENT_BYTES {
                traceparent = value;
            }
        }
    }
    Some(Query { text: cursor.rest(), traceparent })
}

fn text<'bytes>(cursor: &mut Cursor<'bytes>) -> Option<&'bytes [u8]> {
    let length = number(cursor)?;
    cursor.take(usize::try_from(length).ok()?)
}

/// A value of this type.
fn value<'bytes>(kind: u8, cursor: &mut Cursor<'bytes>) -> Option<&'bytes [u8]> {
    match kind {
        0x06 => Some(&[]),
        0x01 => cursor.take(1),
        0x02 | 0x0d => cursor.take(2),
        0x03 | 0x04 | 0x09 => cursor.take(4),
        0x05 | 0x08 => cursor.take(8),
        // Dates and times.
        0x07 | 0x0a..=0x0c => {
            let length = cursor.u8()?;
            cursor.take(length.into())
        }
        _ => text(cursor),
    }
}
