//! The frames that version 5 has around its envelopes once both sides know that they speak it.
//!
//! A frame: header with the payload's length and a checksum of its own, payload, checksum of the payload. One that is
//! self-contained has whole envelopes; of longer ones each frame has a piece.

use crate::cursor::Cursor;
use crate::stream::Pushed;
use crate::{Chunk, Progress, Stream, unpack};

/// Bytes that tell what begins here: an envelope's header, or a frame's and some more.
pub(super) const HEAD_BYTES: usize = 9;
const CHECKSUM_BYTES: u64 = 4;
/// Of a compressed payload, looked at, and of what it unpacks to.
const MAX_PACKED_BYTES: usize = 4096;

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) header_bytes: usize,
    pub(super) payload: u32,
    /// Bytes that the payload unpacks to; none if it is not compressed.
    pub(super) unpacked: Option<u32>,
    pub(super) is_self_contained: bool,
}

/// Reads a header of either kind: its checksum must be right.
pub(super) fn header(bytes: &[u8]) -> Option<Frame> {
    plain(bytes).or_else(|| compressed(bytes))
}

fn plain(bytes: &[u8]) -> Option<Frame> {
    let number = checked(bytes, 3)?;
    let frame = Frame {
        header_bytes: 6,
        payload: (number & 0x1_ffff) as u32,
        unpacked: None,
        is_self_contained: number & 1 << 17 != 0,
    };
    (number >> 18 == 0 && frame.payload > 0).then_some(frame)
}

fn compressed(bytes: &[u8]) -> Option<Frame> {
    let number = checked(bytes, 5)?;
    let unpacked = (number >> 17 & 0x1_ffff) as u32;
    let frame = Frame {
        header_bytes: 8,
        payload: (number & 0x1_ffff) as u32,
        // What does not become shorter is left as it is.
        unpacked: (unpacked > 0).then_some(unpacked),
        is_self_contained: number & 1 << 34 != 0,
    };
    (number >> 35 == 0 && frame.payload > 0).then_some(frame)
}

/// A number of so many bytes whose checksum follows it.
fn checked(bytes: &[u8], length: usize) -> Option<u64> {
    let mut cursor = Cursor::new(bytes);
    let number = cursor.take(length)?;
    (little(cursor.take(3)?) == u64::from(crc24(number))).then(|| little(number))
}

fn little(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// CRC-24 with the polynomial and beginning that the specification gives.
pub(super) fn crc24(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x87_5060, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 16, |crc, _| {
            let shifted = crc << 1;
            if shifted & 0x100_0000 == 0 { shifted } else { shifted ^ 0x197_4f0b }
        })
    })
}

/// Takes payloads out of frames.
#[derive(Debug)]
pub(super) struct Deframer {
    phase: Phase,
    /// Envelopes, one after the other.
    pub(super) envelopes: Stream,
    position: u64,
    /// It is not known where an envelope begins.
    is_unsure: bool,
}

#[derive(Debug)]
enum Phase {
    Between,
    /// So many bytes of a payload are still to come.
    Payload(u64),
    /// A compressed one that has come: its head, bytes that it unpacks to, when it began.
    Packed(Vec<u8>, u64, u64),
    /// Its last byte, which is given when all others were read, with the time that the frame ended at.
    PackedEnd(Option<u8>),
}

impl Deframer {
    /// One that knows nothing of what was before.
    pub(super) fn new() -> Self {
        Self { phase: Phase::Between, envelopes: Stream::default(), position: 0, is_unsure: true }
    }

    /// Goes on by one step. True if there is something new in `envelopes`.
    pub(super) fn step(&mut self, stream: &mut Stream) -> Result<bool, Progress> {
        if stream.lacks() > 0 {
            return Err(Progress::Wait);
        }
        match std::mem::replace(&mut self.phase, Phase::Between) {
            Phase::Between => self.begin(stream),
            Phase::Payload(left) => self.payload(stream, left),
            Phase::Packed(mut head, size, begun_ns) => {
                let last = (head.len() as u64 == size).then(|| head.pop()).flatten();
                self.phase = Phase::PackedEnd(last);
                self.give(&head, size - 1, begun_ns)
            }
            Phase::PackedEnd(last) => self.give(last.as_slice(), 1, stream.last_ns()),
        }
    }

    fn begin(&mut self, stream: &mut Stream) -> Result<bool, Progress> {
        let bytes = stream.bytes();
        if bytes.len() < HEAD_BYTES {
            return Err(Progress::Wait);
        }
        let frame = header(bytes).ok_or(Progress::Foreign)?;
        self.is_unsure &= !frame.is_self_contained;
        let Some(size) = frame.unpacked else {
            self.phase = Phase::Payload(frame.payload.into());
            stream.skip(frame.header_bytes as u64);
            return Ok(false);
        };
        let wanted = (frame.payload as usize).min(MAX_PACKED_BYTES);
        let there = bytes.get(frame.header_bytes..).unwrap_or_default();
        if there.len() < wanted && !stream.is_cut() {
            return Err(Progress::Wait);
        }
        let packed = there.get(..wanted.min(there.len())).unwrap_or_default();
        let head = unpack::lz4(packed, MAX_PACKED_BYTES.min(size as usize));
        if !self.is_unsure {
            self.phase = Phase::Packed(head, size.into(), stream.time_ns());
        }
        stream.skip(frame.header_bytes as u64 + u64::from(frame.payload) + CHECKSUM_BYTES);
        Ok(false)
    }

    fn payload(&mut self, stream: &mut Stream, left: u64) -> Result<bool, Progress> {
        let wanted = usize::try_from(left).unwrap_or(usize::MAX);
        let there = stream.bytes();
        let piece = there.get(..wanted.min(there.len())).unwrap_or_default();
        let size = if piece.is_empty() { stream.hole().min(left) } else { piece.len() as u64 };
        if size == 0 {
            self.phase = Phase::Payload(left);
            return Err(Progress::Wait);
        }
        let given = if self.is_unsure { Ok(false) } else { self.give(piece, size, stream.time_ns()) };
        stream.skip(size);
        if left == size {
            stream.skip(CHECKSUM_BYTES);
        } else {
            self.phase = Phase::Payload(left - size);
        }
        given
    }

    fn give(&mut self, bytes: &[u8], size: u64, time_ns: u64) -> Result<bool, Progress> {
        if size == 0 {
            return Ok(false);
        }
        let chunk = Chunk { position: self.position, size, bytes, time_ns };
        self.position += size;
        match self.envelopes.push(&chunk) {
            Pushed::Continues => Ok(true),
            // An envelope's beginning was not kept.
            Pushed::Broken if self.position > size => Err(Progress::Lost),
            Pushed::Broken => Ok(true),
        }
    }

    /// Memory that it holds beyond its own size, bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.envelopes.memory_bytes()
    }
}
