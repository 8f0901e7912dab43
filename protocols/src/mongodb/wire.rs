//! Messages: header and what of the body is looked at.

use super::bson::{self, Elements, MAX_BYTES};
use crate::cursor::Cursor;
use crate::unpack;

pub(super) const HEADER_BYTES: usize = 16;
/// Of a compressed body, unpacked.
const MAX_UNPACKED_BYTES: usize = 4096;

const OP_REPLY: u32 = 1;
const OP_UPDATE: u32 = 2001;
const OP_INSERT: u32 = 2002;
const OP_QUERY: u32 = 2004;
const OP_GET_MORE: u32 = 2005;
const OP_DELETE: u32 = 2006;
const OP_KILL_CURSORS: u32 = 2007;
const OP_COMPRESSED: u32 = 2012;
const OP_MSG: u32 = 2013;

const MORE_TO_COME: u32 = 1 << 1;
const EXHAUST_ALLOWED: u32 = 1 << 16;
const CHECKSUM_PRESENT: u32 = 1;
/// Cursor not found, query failed.
const REPLY_FAILED: u32 = 3;

/// The fixed part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) length: u32,
    pub(super) id: u32,
    pub(super) response_to: u32,
    pub(super) operation: Operation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Message,
    Query,
    GetMore,
    Reply,
    Compressed,
    /// Insert, update, delete and the like of old, by name: nobody answers them.
    OneWay(&'static str),
}

impl Operation {
    fn of(code: u32) -> Option<Self> {
        Some(match code {
            OP_REPLY => Self::Reply,
            OP_UPDATE => Self::OneWay("update"),
            OP_INSERT => Self::OneWay("insert"),
            OP_QUERY => Self::Query,
            OP_GET_MORE => Self::GetMore,
            OP_DELETE => Self::OneWay("delete"),
            OP_KILL_CURSORS => Self::OneWay("killCursors"),
            OP_COMPRESSED => Self::Compressed,
            OP_MSG => Self::Message,
            _ => return None,
        })
    }
}

/// Reads a header. None if it is not there or cannot be one.
pub(super) fn header(bytes: &[u8]) -> Option<Header> {
    let mut cursor = Cursor::new(bytes);
    let (length, id, response_to) = (cursor.u32_le()?, cursor.u32_le()?, cursor.u32_le()?);
    let operation = Operation::of(cursor.u32_le()?)?;
    let least = match operation {
        Operation::Message => 26,
        Operation::Compressed => 25,
        Operation::Reply => 36,
        _ => 24,
    };
    (least..=MAX_BYTES).contains(&length).then_some(Header { length, id, response_to, operation })
}

/// The body of a message, as far as it is there.
#[derive(Debug)]
pub(super) enum Body<'bytes> {
    /// A command or its reply; `more` if the peer does not wait for an answer, or sends another reply.
    Document { elements: Option<Elements<'bytes>>, more: bool },
    /// A query of old: of a command, its document; else only the collection.
    Query { collection: &'bytes [u8], elements: Option<Elements<'bytes>> },
    /// A cursor of old goes on.
    GetMore { collection: &'bytes [u8] },
    /// A reply of old.
    Reply { is_failed: bool, elements: Option<Elements<'bytes>> },
    /// Nobody answers it.
    OneWay { name: &'static str, collection: &'bytes [u8] },
    /// It is compressed in a way that is not read.
    Unreadable,
    /// Too little of it was kept.
    Cut,
    /// It is no body of such a message.
    Foreign,
}

/// Unpacks a compressed body.
pub(super) fn unpacked(bytes: &[u8]) -> Option<(Operation, Vec<u8>)> {
    let mut cursor = Cursor::new(bytes);
    let operation = Operation::of(cursor.u32_le()?).filter(|one| *one != Operation::Compressed)?;
    cursor.u32_le().filter(|length| *length <= MAX_BYTES)?;
    let body = match cursor.u8()? {
        0 => cursor.rest().to_vec(),
        1 => unpack::snappy(cursor.rest(), MAX_UNPACKED_BYTES),
        _ => return None,
    };
    Some((operation, body))
}

/// Reads a body that is not compressed; `is_cut` if there is more of it.
pub(super) fn body(operation: Operation, bytes: &[u8], is_cut: bool) -> Body<'_> {
    let absent = if is_cut { Body::Cut } else { Body::Foreign };
    let mut cursor = Cursor::new(bytes);
    let Some(first) = cursor.u32_le() else { return absent };
    match operation {
        Operation::Message => {
            if first & !(CHECKSUM_PRESENT | MORE_TO_COME | EXHAUST_ALLOWED) & 0xffff != 0 {
                return Body::Foreign;
            }
            let more = first & MORE_TO_COME != 0;
            match section(cursor, is_cut) {
                Ok(elements) => Body::Document { elements, more },
                Err(()) => Body::Foreign,
            }
        }
        Operation::Query => {
            let Some(collection) = cursor.zero_ended().filter(|name| is_name(name)) else { return absent };
            let document = cursor.take(8).and_then(|_| bson::document(cursor.rest()));
            let elements = document.map(|(elements, _)| elements);
            Body::Query { collection, elements: elements.filter(|_| collection.ends_with(b".$cmd")) }
        }
        Operation::GetMore | Operation::OneWay(_) => {
            let collection = cursor.zero_ended().filter(|name| is_name(name)).unwrap_or_default();
            match operation {
                Operation::OneWay(name) => Body::OneWay { name, collection },
                _ => Body::GetMore { collection },
            }
        }
        Operation::Reply => {
            let document = cursor.take(16).and_then(|_| bson::document(cursor.rest()));
            let is_failed = first & REPLY_FAILED != 0;
            Body::Reply { is_failed, elements: document.map(|(elements, _)| elements) }
        }
        Operation::Compressed => Body::Unreadable,
    }
}

/// The section that has the command; others have documents for it.
fn section<'bytes>(mut cursor: Cursor<'bytes>, is_cut: bool) -> Result<Option<Elements<'bytes>>, ()> {
    loop {
        match cursor.u8() {
            Some(0) => {
                let rest = cursor.rest();
                return match bson::document(rest) {
                    Some((elements, length)) if is_cut || length as usize <= rest.len() => Ok(Some(elements)),
                    None if is_cut && rest.len() < 4 => Ok(None),
                    _ => Err(()),
                };
            }
            Some(1) => {
                let length =
                    Cursor::new(cursor.rest()).u32_le().filter(|length| (5..=MAX_BYTES).contains(length));
                match length {
                    Some(length) => drop(cursor.take_head(length as usize)),
                    None if is_cut && cursor.rest().len() < 4 => return Ok(None),
                    None => return Err(()),
                }
            }
            Some(_) => return Err(()),
            None => return if is_cut { Ok(None) } else { Err(()) },
        }
    }
}

fn is_name(name: &[u8]) -> bool {
    name.contains(&b'.') && name.len() <= 255
}
