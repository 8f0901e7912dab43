//! What is read of bodies.

use super::envelope::{Header, Opcode};
use crate::cursor::Cursor;

/// Of a statement, kept, bytes.
pub(super) const MAX_STATEMENT_BYTES: usize = 1024;
/// Statements of a batch that are read.
const MAX_BATCH: u16 = 256;

/// What a request is about.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked<'bytes> {
    /// The statement, of a batch the first one.
    pub(super) statement: &'bytes [u8],
    /// What it was prepared as.
    pub(super) id: &'bytes [u8],
    pub(super) consistency: Option<&'static str>,
    /// Statements of a batch.
    pub(super) batch: Option<u16>,
}

/// What a server says of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said<'bytes> {
    Done,
    Prepared { id: &'bytes [u8] },
    Keyspace(&'bytes [u8]),
    Error(Option<u32>),
}

/// Reads what is there of a request's body.
pub(super) fn asked<'bytes>(header: &Header, body: &'bytes [u8]) -> Asked<'bytes> {
    let mut asked = Asked::default();
    let mut cursor = Cursor::new(body);
    let _ = read(header, &mut cursor, &mut asked);
    asked
}

/// Stops where the body is cut.
fn read<'bytes>(header: &Header, cursor: &mut Cursor<'bytes>, asked: &mut Asked<'bytes>) -> Option<()> {
    if header.has_custom_payload() {
        payload(cursor)?;
    }
    match header.opcode {
        Opcode::Query => {
            asked.statement = long(cursor)?;
            asked.consistency = consistency(cursor.u16_be()?);
        }
        Opcode::Prepare => asked.statement = long(cursor)?,
        Opcode::Execute => {
            asked.id = short(cursor)?;
            if header.version >= 5 {
                short(cursor)?;
            }
            asked.consistency = consistency(cursor.u16_be()?);
        }
        Opcode::Batch => {
            cursor.u8()?;
            let count = cursor.u16_be()?;
            asked.batch = Some(count);
            for number in 0..count.min(MAX_BATCH) {
                let is_text = cursor.u8()? == 0;
                let what = if is_text { long(cursor)? } else { short(cursor)? };
                match number {
                    0 if is_text => asked.statement = what,
                    0 => asked.id = what,
                    _ => {}
                }
                for _ in 0..cursor.u16_be()? {
                    // Null and not set are negative.
                    let length = cursor.u32_be()? as i32;
                    cursor.take(usize::try_from(length).unwrap_or_default())?;
                }
            }
            if count <= MAX_BATCH {
                asked.consistency = consistency(cursor.u16_be()?);
            }
        }
        _ => {}
    }
    Some(())
}

/// Reads what is there of a response's body.
pub(super) fn said<'bytes>(header: &Header, body: &'bytes [u8]) -> Said<'bytes> {
    let mut cursor = Cursor::new(body);
    let is_error = header.opcode == Opcode::Error;
    let absent = if is_error { Said::Error(None) } else { Said::Done };
    if before_body(header, &mut cursor).is_none() {
        return absent;
    }
    match (is_error, cursor.u32_be()) {
        (true, code) => Said::Error(code),
        (false, Some(3)) => short(&mut cursor).map_or(absent, Said::Keyspace),
        (false, Some(4)) => short(&mut cursor).map_or(absent, |id| Said::Prepared { id }),
        (false, _) => absent,
    }
}

/// Passes over what flags put before a response's body.
fn before_body(header: &Header, cursor: &mut Cursor<'_>) -> Option<()> {
    if header.has_tracing() {
        cursor.take(16)?;
    }
    if header.has_warnings() {
        for _ in 0..cursor.u16_be()? {
            short(cursor)?;
        }
    }
    if header.has_custom_payload() {
        payload(cursor)?;
    }
    Some(())
}

fn payload(cursor: &mut Cursor<'_>) -> Option<()> {
    for _ in 0..cursor.u16_be()? {
        short(cursor)?;
        let length = cursor.u32_be()? as i32;
        cursor.take(usize::try_from(length).unwrap_or_default())?;
    }
    Some(())
}

/// Which compression the connection will use.
pub(super) fn compression(body: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor::new(body);
    for _ in 0..cursor.u16_be()? {
        let (key, value) = (short(&mut cursor)?, short(&mut cursor)?);
        if key.eq_ignore_ascii_case(b"COMPRESSION") {
            return Some(value);
        }
    }
    None
}

/// Bytes behind a length of two.
fn short<'bytes>(cursor: &mut Cursor<'bytes>) -> Option<&'bytes [u8]> {
    let length = cursor.u16_be()?;
    cursor.take(length.into())
}

/// As much as is wanted of a text behind a length of four; if it is cut, what is there.
fn long<'bytes>(cursor: &mut Cursor<'bytes>) -> Option<&'bytes [u8]> {
    let length = usize::try_from(cursor.u32_be()?).ok()?;
    let text = cursor.take_head(length);
    text.get(..text.len().min(MAX_STATEMENT_BYTES))
}

/// As semantic conventions name them.
fn consistency(code: u16) -> Option<&'static str> {
    Some(match code {
        0 => "any",
        1 => "one",
        2 => "two",
        3 => "three",
        4 => "quorum",
        5 => "all",
        6 => "local_quorum",
        7 => "each_quorum",
        8 => "serial",
        9 => "local_serial",
        10 => "local_one",
        _ => return None,
    })
}
