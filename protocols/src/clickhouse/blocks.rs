//! Blocks of data: compressed frames are skipped by their length, columns by their type.

use super::server;
use super::types::Type;
use super::wire::{Stop, Wire};
use crate::Stream;
use crate::cursor::Cursor;

/// From this revision on a column says whether it is encoded in a way of its own.
const CUSTOM_SERIALIZATION: u64 = 54454;
/// From this one on texts may be apart from their lengths.
const TEXTS_APART: u64 = 54492;
/// More columns no block has.
const MAX_COLUMNS: u64 = 100_000;
/// Nor more rows.
const MAX_ROWS: u64 = 1 << 40;
/// Longer names no column has, nor types.
const MAX_NAME_BYTES: usize = 16 * 1024;
/// Steps that are noted at a time; types within types make them.
const MAX_STEPS: usize = 512;

/// Before a frame: its checksum, then its method and sizes.
const CHECKSUM_BYTES: usize = 16;
const FRAME_HEADER_BYTES: usize = CHECKSUM_BYTES + 9;
/// No frame is larger.
const MAX_FRAME_BYTES: u32 = 1 << 30;

/// Whether bytes begin like a compressed frame; none when they are too few.
pub(super) fn is_frame(bytes: &[u8]) -> Option<bool> {
    frame_bytes(bytes).map(|length| length.is_some())
}

/// The length of the frame that bytes begin with, if they do; none when they are too few to tell.
fn frame_bytes(bytes: &[u8]) -> Option<Option<u64>> {
    let mut cursor = Cursor::new(bytes.get(CHECKSUM_BYTES..FRAME_HEADER_BYTES)?);
    let (method, compressed, plain) = (cursor.u8()?, cursor.u32_le()?, cursor.u32_le()?);
    // LZ4, ZSTD, none.
    let is_frame = matches!(method, 0x82 | 0x90 | 0x02)
        && (10..MAX_FRAME_BYTES).contains(&compressed)
        && (1..MAX_FRAME_BYTES).contains(&plain);
    Some(is_frame.then(|| CHECKSUM_BYTES as u64 + u64::from(compressed)))
}

/// Reads the marks of a block; its columns and rows.
pub(super) fn beginning(wire: &mut Wire<'_>) -> Result<(u64, u64), Stop> {
    if wire.u8()? != 1 || wire.u8()? > 1 || wire.u8()? != 2 || wire.i32()? < -1 {
        return Err(Stop::Bad);
    }
    match wire.u8()? {
        0 => {}
        3 => {
            let buckets = wire.number_to(1 << 16)?;
            wire.take(usize::try_from(buckets * 4).map_err(|_| Stop::Bad)?)?;
            wire.number_to(0)?;
        }
        _ => return Err(Stop::Bad),
    }
    let (columns, rows) = (wire.number_to(MAX_COLUMNS)?, wire.number_to(MAX_ROWS)?);
    if columns == 0 && rows > 0 { Err(Stop::Bad) } else { Ok((columns, rows)) }
}

/// Reads the name and type of a column.
pub(super) fn column(wire: &mut Wire<'_>) -> Result<Type, Stop> {
    wire.bytes(MAX_NAME_BYTES)?;
    let name = std::str::from_utf8(wire.text(MAX_NAME_BYTES)?).map_err(|_| Stop::Bad)?;
    Type::parse(name)
}

/// Where in a block it is.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// What is still to come, the next last.
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    /// Marks, uncompressed, or a first frame.
    Beginning,
    /// Frames, as many as there are.
    Frames,
    /// So many columns of so many rows.
    Columns {
        columns: u64,
        rows: u64,
    },
    Values(Type, u64),
    Texts(u64),
    /// Where the last array ends.
    End(Type),
    Dictionary(Type),
    /// Places in a dictionary, of so many bytes each.
    Places(u64),
    Skip(u64),
}

impl Block {
    /// One whose first byte is next.
    pub(super) fn new() -> Self {
        Self { steps: vec![Step::Beginning] }
    }

    /// Reads on; true at its end. What it has read is taken off the stream.
    pub(super) fn read(&mut self, stream: &mut Stream, revision: u64) -> Result<bool, Stop> {
        while let Some(step) = self.steps.pop() {
            if stream.lacks() > 0 {
                self.steps.push(step);
                return Err(Stop::More);
            }
            self.step(step, stream, revision)?;
            if self.steps.len() > MAX_STEPS {
                return Err(Stop::Bad);
            }
        }
        Ok(true)
    }

    fn step(&mut self, step: Step, stream: &mut Stream, revision: u64) -> Result<(), Stop> {
        let mut wire = Wire::new(stream.bytes());
        match self.follow(&step, &mut wire, revision) {
            Ok(skipped) => {
                let taken = wire.taken() as u64;
                stream.skip(taken + skipped);
                Ok(())
            }
            Err(stop) => {
                self.steps.push(step);
                Err(stop)
            }
        }
    }

    /// Notes what a step leads to, and says how many bytes are to be skipped behind what it has read.
    fn follow(&mut self, step: &Step, wire: &mut Wire<'_>, revision: u64) -> Result<u64, Stop> {
        match step {
            Step::Beginning => {
                let frame = frame_bytes(wire.rest());
                if let Some(Some(length)) = frame {
                    self.steps.push(Step::Frames);
                    return Ok(length);
                }
                let (columns, rows) = match beginning(wire) {
                    // It may yet be a frame.
                    Err(Stop::Bad) if frame.is_none() => return Err(Stop::More),
                    read => read?,
                };
                self.steps.push(Step::Columns { columns, rows });
            }
            Step::Frames => match frame_bytes(wire.rest()) {
                Some(Some(length)) => {
                    self.steps.push(Step::Frames);
                    return Ok(length);
                }
                Some(None) => {}
                // The next packets, when all of them are short; a frame would be more bytes.
                None if are_short_packets(wire.rest(), revision) => {}
                None => return Err(Stop::More),
            },
            Step::Columns { columns: 0, .. } => {}
            Step::Columns { columns, rows } => {
                let r#type = column(wire)?;
                if revision >= CUSTOM_SERIALIZATION && wire.u8()? != 0 {
                    return Err(Stop::Bad);
                }
                self.steps.push(Step::Columns { columns: columns - 1, rows: *rows });
                if *rows > 0 {
                    let prefix = r#type.prefix_bytes();
                    self.steps.extend([Step::Values(r#type, *rows), Step::Skip(prefix)]);
                }
            }
            Step::Values(_, 0) | Step::Texts(0) => {}
            Step::Values(r#type, rows) => return self.values(r#type, *rows, revision),
            Step::Texts(rows) => {
                let length = wire.number_to(MAX_FRAME_BYTES.into())?;
                self.steps.push(Step::Texts(rows - 1));
                return Ok(length);
            }
            Step::End(r#type) => {
                let rows = wire.u64()?;
                if rows > MAX_ROWS {
                    return Err(Stop::Bad);
                }
                self.steps.push(Step::Values(r#type.clone(), rows));
            }
            Step::Dictionary(r#type) => {
                let flags = wire.u64()?;
                // Places of 1, 2, 4 or 8 bytes; keys of its own; no shared dictionary.
                let (width, has_keys) = (1 << (flags & 3), flags & 0x200 != 0);
                if flags & !0x603 != 0 || !has_keys {
                    return Err(Stop::Bad);
                }
                let keys = wire.u64()?;
                if keys > MAX_ROWS {
                    return Err(Stop::Bad);
                }
                self.steps.extend([Step::Places(width), Step::Values(r#type.without_null().clone(), keys)]);
            }
            Step::Places(width) => {
                let rows = wire.u64()?;
                return if rows > MAX_ROWS { Err(Stop::Bad) } else { Ok(rows * width) };
            }
            Step::Skip(bytes) => return Ok(*bytes),
        }
        Ok(0)
    }

    fn values(&mut self, r#type: &Type, rows: u64, revision: u64) -> Result<u64, Stop> {
        match r#type {
            Type::Fixed(width) => {
                return width.checked_mul(rows).filter(|bytes| *bytes < MAX_ROWS).ok_or(Stop::Bad);
            }
            Type::Text if revision >= TEXTS_APART => return Err(Stop::Bad),
            Type::Text => self.steps.push(Step::Texts(rows)),
            Type::Nullable(inner) => {
                self.steps.push(Step::Values((**inner).clone(), rows));
                return Ok(rows);
            }
            Type::Array(inner) => {
                self.steps.push(Step::End((**inner).clone()));
                return Ok(8 * (rows - 1));
            }
            Type::Tuple(inner) if inner.is_empty() => return Err(Stop::Bad),
            Type::Tuple(inner) => {
                self.steps.extend(inner.iter().rev().map(|inner| Step::Values(inner.clone(), rows)));
            }
            Type::LowCardinality(inner) => self.steps.push(Step::Dictionary((**inner).clone())),
        }
        Ok(0)
    }

    /// Memory that it holds beyond its own size, about.
    pub(super) fn memory_bytes(&self) -> usize {
        self.steps.capacity() * size_of::<Step>()
    }
}

/// Whether bytes are short packets and nothing more: a ping or cancellation of the client, or what ends an answer.
fn are_short_packets(bytes: &[u8], revision: u64) -> bool {
    let mut wire = Wire::new(bytes);
    if matches!(bytes, [3 | 4]) {
        return true;
    }
    while let Ok(kind) = wire.u8() {
        let read = match kind {
            3 => server::progress(&mut wire, revision),
            6 => server::profile(&mut wire, revision),
            4 | 5 => Ok(()),
            _ => return false,
        };
        if read.is_err() {
            return false;
        }
    }
    !bytes.is_empty()
}
