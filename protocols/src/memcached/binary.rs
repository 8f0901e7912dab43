//! Headers of the binary protocol.

use crate::Status;
use crate::cursor::Cursor;

pub(super) const HEADER_BYTES: usize = 24;
/// First byte of a request.
pub(super) const REQUEST: u8 = 0x80;
/// First byte of a response.
pub(super) const RESPONSE: u8 = 0x81;
const MAX_KEY_BYTES: u16 = 250;
const MAX_BODY_BYTES: u32 = 1 << 30;

pub(super) const STAT: u8 = 0x10;
const QUITQ: u8 = 0x17;
const SASL_AUTH: u8 = 0x21;
const SASL_STEP: u8 = 0x22;

/// Name, whether it is answered only if it did not go as usual, bytes of its extras.
static OPERATIONS: [(&str, bool, u8); 0x25] = [
    ("get", false, 0),
    ("set", false, 8),
    ("add", false, 8),
    ("replace", false, 8),
    ("delete", false, 0),
    ("incr", false, 20),
    ("decr", false, 20),
    ("quit", false, 0),
    ("flush_all", false, 4),
    ("get", true, 0),
    ("noop", false, 0),
    ("version", false, 0),
    ("get", false, 0),
    ("get", true, 0),
    ("append", false, 0),
    ("prepend", false, 0),
    ("stats", false, 0),
    ("set", true, 8),
    ("add", true, 8),
    ("replace", true, 8),
    ("delete", true, 0),
    ("incr", true, 20),
    ("decr", true, 20),
    ("quit", true, 0),
    ("flush_all", true, 4),
    ("append", true, 0),
    ("prepend", true, 0),
    ("verbosity", false, 4),
    ("touch", false, 4),
    ("gat", false, 4),
    ("gat", true, 4),
    ("", false, 0),
    ("sasl_list_mechs", false, 0),
    ("sasl_auth", false, 0),
    ("sasl_step", false, 0),
    ("gat", false, 4),
    ("gat", true, 4),
];

/// The fixed part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) is_request: bool,
    pub(super) opcode: u8,
    pub(super) key: u16,
    pub(super) extras: u8,
    /// Of a response.
    pub(super) status: u16,
    pub(super) body: u32,
    pub(super) opaque: u32,
}

/// Reads a header; none if it is not there or cannot be one.
pub(super) fn header(bytes: &[u8]) -> Option<Header> {
    let mut cursor = Cursor::new(bytes);
    let magic = cursor.u8()?;
    let header = Header {
        is_request: magic == REQUEST,
        opcode: cursor.u8()?,
        key: cursor.u16_be()?,
        extras: cursor.u8()?,
        status: (cursor.u8()? < 8).then(|| cursor.u16_be()).flatten()?,
        body: cursor.u32_be()?,
        opaque: cursor.u32_be()?,
    };
    // What counts changes.
    cursor.take(8)?;
    let is_right = matches!(magic, REQUEST | RESPONSE)
        && !header.name().is_empty()
        && header.key <= MAX_KEY_BYTES
        && header.body <= MAX_BODY_BYTES
        && u32::from(header.key) + u32::from(header.extras) <= header.body;
    is_right.then_some(header)
}

impl Header {
    pub(super) fn name(&self) -> &'static str {
        self.operation().0
    }

    fn operation(&self) -> (&'static str, bool, u8) {
        OPERATIONS.get(usize::from(self.opcode)).copied().unwrap_or(("", false, 0))
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.operation().1 && !self.is_one_way()
    }

    pub(super) fn is_one_way(&self) -> bool {
        self.opcode == QUITQ
    }

    /// Whether its value is a password or leads to one.
    pub(super) fn is_secret(&self) -> bool {
        self.is_request && matches!(self.opcode, SASL_AUTH | SASL_STEP)
    }

    /// Whether the extras are as long as this operation has them.
    pub(super) fn has_usual_extras(&self) -> bool {
        let usual = self.operation().2;
        if self.is_request {
            self.extras == usual || (self.name() == "flush_all" && self.extras == 0)
        } else {
            matches!(self.extras, 0 | 4)
        }
    }

    /// What the response says.
    pub(super) fn outcome(&self) -> Status {
        // Not found, exists, not stored, go on with authentication.
        if matches!(self.status, 0 | 1 | 2 | 5 | 0x21) { Status::OK } else { Status::FAILED }
    }
}
