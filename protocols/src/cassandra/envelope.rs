//! The header of a message.

use crate::Side;
use crate::cursor::Cursor;

pub(super) const HEADER_BYTES: usize = 9;
/// Messages are 256 MB at most.
const MAX_BODY_BYTES: u32 = 256 << 20;

const COMPRESSED: u8 = 0x01;
const TRACING: u8 = 0x02;
const CUSTOM_PAYLOAD: u8 = 0x04;
const WARNING: u8 = 0x08;
const KNOWN_FLAGS: u8 = 0x1f;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    Error,
    Startup,
    Ready,
    Authenticate,
    /// Of versions before 3.
    Credentials,
    Options,
    Supported,
    Query,
    Result,
    Prepare,
    Execute,
    Register,
    Event,
    Batch,
    AuthChallenge,
    AuthResponse,
    AuthSuccess,
}

impl Opcode {
    fn of(code: u8) -> Option<(Self, Side)> {
        Some(match code {
            0x00 => (Self::Error, Side::Server),
            0x01 => (Self::Startup, Side::Client),
            0x02 => (Self::Ready, Side::Server),
            0x03 => (Self::Authenticate, Side::Server),
            0x04 => (Self::Credentials, Side::Client),
            0x05 => (Self::Options, Side::Client),
            0x06 => (Self::Supported, Side::Server),
            0x07 => (Self::Query, Side::Client),
            0x08 => (Self::Result, Side::Server),
            0x09 => (Self::Prepare, Side::Client),
            0x0a => (Self::Execute, Side::Client),
            0x0b => (Self::Register, Side::Client),
            0x0c => (Self::Event, Side::Server),
            0x0d => (Self::Batch, Side::Client),
            0x0e => (Self::AuthChallenge, Side::Server),
            0x0f => (Self::AuthResponse, Side::Client),
            0x10 => (Self::AuthSuccess, Side::Server),
            _ => return None,
        })
    }

    /// What counts as a query.
    pub(super) fn is_query(self) -> bool {
        matches!(self, Self::Query | Self::Prepare | Self::Execute | Self::Batch)
    }
}

/// The fixed part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u8,
    pub(super) flags: u8,
    pub(super) stream: i16,
    pub(super) opcode: Opcode,
    pub(super) length: u32,
}

/// Reads the header of what `side` says. None if it is not there or cannot be one.
pub(super) fn header(side: Side, bytes: &[u8]) -> Option<Header> {
    let mut cursor = Cursor::new(bytes);
    let version = cursor.u8()?;
    let flags = cursor.u8()?;
    let stream = cursor.u16_be()? as i16;
    let (opcode, of_side) = Opcode::of(cursor.u8()?)?;
    let length = cursor.u32_be()?;
    let direction = if side == Side::Server { 0x80 } else { 0 };
    // Only events have no stream.
    let is_right_stream = if opcode == Opcode::Event { stream == -1 } else { stream >= 0 };
    let is_right = matches!(version ^ direction, 3..=5)
        && of_side == side
        && flags & !KNOWN_FLAGS == 0
        && is_right_stream
        && length <= MAX_BODY_BYTES;
    is_right.then_some(Header { version: version & 0x7f, flags, stream, opcode, length })
}

impl Header {
    /// Version 5 compresses frames instead.
    pub(super) fn is_compressed(&self) -> bool {
        self.flags & COMPRESSED != 0 && self.version < 5
    }

    pub(super) fn has_tracing(&self) -> bool {
        self.flags & TRACING != 0
    }

    pub(super) fn has_warnings(&self) -> bool {
        self.flags & WARNING != 0
    }

    pub(super) fn has_custom_payload(&self) -> bool {
        self.flags & CUSTOM_PAYLOAD != 0
    }
}
