//! The header of a message.

use crate::Status;

const MAGIC: [u8; 2] = [0xda, 0xbb];
const REQUEST: u8 = 0x80;
const TWO_WAY: u8 = 0x40;
const EVENT: u8 = 0x20;
const ENCODING: u8 = 0x1f;
/// A longer body is none: servers take 8 MiB unless told otherwise.
const MAX_BODY_BYTES: u32 = 1 << 29;

/// A header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    flags: u8,
    /// How the body is encoded.
    pub(super) encoding: u8,
    pub(super) status: u8,
    pub(super) id: u64,
    pub(super) body_bytes: u32,
}

/// What is next.
#[derive(Debug, Clone, Copy)]
pub(super) enum Next {
    Header(Header),
    /// Too little is there to say.
    Wait,
    /// No message.
    Foreign,
}

/// Looks at the header at the beginning of `bytes`.
pub(super) fn next(bytes: &[u8]) -> Next {
    let begin = bytes.get(..MAGIC.len()).unwrap_or(bytes);
    if !MAGIC.starts_with(begin) {
        return Next::Foreign;
    }
    let Some(header) = bytes.first_chunk::<{ Header::BYTES }>() else { return Next::Wait };
    let [_, _, flags, status, id @ .., a, b, c, d] = *header;
    let header = Header {
        flags,
        encoding: flags & ENCODING,
        status,
        id: u64::from_be_bytes(id),
        body_bytes: u32::from_be_bytes([a, b, c, d]),
    };
    let is_right = match header.is_request() {
        // Only what is answered has a status.
        true => status == 0,
        false => status_name(status).is_some() && flags & TWO_WAY == 0,
    };
    if is_right && is_encoding(header.encoding) && header.body_bytes <= MAX_BODY_BYTES {
        Next::Header(header)
    } else {
        Next::Foreign
    }
}

impl Header {
    /// Bytes that it has.
    pub(super) const BYTES: usize = 16;

    /// Bytes of the message.
    pub(super) fn whole(&self) -> u64 {
        Self::BYTES as u64 + u64::from(self.body_bytes)
    }

    /// Whether it asks.
    pub(super) fn is_request(&self) -> bool {
        self.flags & REQUEST != 0
    }

    /// Whether it is answered.
    pub(super) fn is_two_way(&self) -> bool {
        self.flags & TWO_WAY != 0
    }

    /// Whether it is a heartbeat, or tells that the server will not take more.
    pub(super) fn is_event(&self) -> bool {
        self.flags & EVENT != 0
    }

    /// Whether it asks for a method.
    pub(super) fn is_call(&self) -> bool {
        self.is_request() && !self.is_event()
    }
}

/// Encodings that there are: Hessian 2, Java's, JSON's and those of libraries.
fn is_encoding(encoding: u8) -> bool {
    matches!(encoding, 2..=13 | 16 | 21..=27)
}

/// The name of a response's status.
pub(super) fn status_name(status: u8) -> Option<&'static str> {
    Some(match status {
        20 => "OK",
        25 => "SERIALIZATION_ERROR",
        30 => "CLIENT_TIMEOUT",
        31 => "SERVER_TIMEOUT",
        35 => "CHANNEL_INACTIVE",
        40 => "BAD_REQUEST",
        50 => "BAD_RESPONSE",
        60 => "SERVICE_NOT_FOUND",
        70 => "SERVICE_ERROR",
        80 => "SERVER_ERROR",
        90 => "CLIENT_ERROR",
        100 => "SERVER_THREADPOOL_EXHAUSTED_ERROR",
        _ => return None,
    })
}

/// What it means for metrics.
pub(super) fn status(status: u8) -> Status {
    if status == 20 { Status::OK } else { Status::FAILED }
}
