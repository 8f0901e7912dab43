//! Frames (RFC 9113, section 4.1), and where the next one begins after a gap.

use crate::cursor::Cursor;

/// What a client says first (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes before the payload.
pub(super) const HEAD_BYTES: usize = 9;
/// After a gap nothing longer is taken for a frame.
const MAX_LIKELY_BYTES: usize = 1 << 20;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;
/// The last kind that any specification has (RFC 9218).
const LAST_KIND: u8 = 16;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const HAS_PRIORITY: u8 = 32;

/// The first bytes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    flags: u8,
    pub(super) stream: u32,
    /// Bytes of its payload.
    pub(super) length: usize,
    has_reserved_bit: bool,
}

impl Frame {
    /// None when not all of its first bytes are there.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let (high, low) = (cursor.u8()?, cursor.u16_be()?);
        let (kind, flags, stream) = (cursor.u8()?, cursor.u8()?, cursor.u32_be()?);
        Some(Self {
            kind,
            flags,
            stream: stream & 0x7fff_ffff,
            length: usize::from(high) << 16 | usize::from(low),
            has_reserved_bit: stream >> 31 == 1,
        })
    }

    pub(super) fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    pub(super) fn ends_headers(&self) -> bool {
        self.has_block() && self.flags & END_HEADERS != 0
    }

    /// Whether it has fields.
    pub(super) fn has_block(&self) -> bool {
        matches!(self.kind, HEADERS | PUSH_PROMISE | CONTINUATION)
    }

    /// Bytes of its payload before the fields.
    pub(super) fn prefix_bytes(&self) -> usize {
        let padding = usize::from(matches!(self.kind, HEADERS | PUSH_PROMISE) && self.flags & PADDED != 0);
        match self.kind {
            HEADERS if self.flags & HAS_PRIORITY != 0 => padding + 5,
            PUSH_PROMISE => padding + 4,
            _ => padding,
        }
    }

    /// Bytes of padding behind the fields; `prefix` is what stands before these.
    pub(super) fn padding_bytes(&self, prefix: &[u8]) -> usize {
        match self.kind {
            HEADERS | PUSH_PROMISE if self.flags & PADDED != 0 => {
                prefix.first().copied().map_or(0, usize::from)
            }
            _ => 0,
        }
    }

    /// Whether there may be such a frame.
    pub(super) fn is_possible(&self) -> bool {
        let fits = match self.kind {
            PRIORITY => self.length == 5,
            RST_STREAM | WINDOW_UPDATE => self.length == 4,
            SETTINGS => self.length.is_multiple_of(6),
            PING => self.length == 8,
            GOAWAY => self.length >= 8,
            _ => self.length >= self.prefix_bytes(),
        };
        let is_of_stream = match self.kind {
            DATA | HEADERS | PRIORITY | RST_STREAM | PUSH_PROMISE | CONTINUATION => self.stream != 0,
            SETTINGS | PING | GOAWAY => self.stream == 0,
            _ => true,
        };
        fits && is_of_stream && self.kind <= LAST_KIND
    }

    /// Whether it looks like one where it is not known that one begins.
    pub(super) fn is_likely(&self) -> bool {
        let flags = match self.kind {
            DATA => END_STREAM | PADDED,
            HEADERS => END_STREAM | END_HEADERS | PADDED | HAS_PRIORITY,
            PUSH_PROMISE => END_HEADERS | PADDED,
            CONTINUATION => END_HEADERS,
            SETTINGS | PING => 1,
            _ => 0,
        };
        // Streams of servers are for what they push, which nobody does any more.
        let is_of_client = self.stream == 0 || self.stream % 2 == 1;
        self.is_possible()
            && self.kind <= CONTINUATION
            && self.flags & !flags == 0
            && !self.has_reserved_bit
            && is_of_client
            && self.length <= MAX_LIKELY_BYTES
    }
}

/// How many frames follow each other from the beginning of `bytes`, of a call that moved `hole` more; none when
/// something else does.
pub(super) fn chain(bytes: &[u8], hole: u64) -> Option<usize> {
    let mut place = 0;
    let mut frames = 0;
    while let Some(rest) = bytes.get(place..).filter(|rest| !rest.is_empty()) {
        let Some(frame) = Frame::read(rest) else { break };
        if !frame.is_likely() {
            return None;
        }
        frames += 1;
        place += HEAD_BYTES + frame.length;
    }
    // A single one has to end where the call does, or go on beyond what it moved as only bodies do.
    let is_exact = place as u64 == bytes.len() as u64 + hole;
    (frames > 1 || is_exact).then_some(frames)
}

/// Where the first frame begins in a call after a gap.
pub(super) fn find(bytes: &[u8], hole: u64) -> Option<usize> {
    let last = bytes.len().checked_sub(HEAD_BYTES)?;
    (0..=last).find(|place| bytes.get(*place..).is_some_and(|rest| chain(rest, hole).is_some()))
}
