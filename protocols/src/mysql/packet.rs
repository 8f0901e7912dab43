//! What is in packets: header, command, login, and how answers end.

use crate::cursor::Cursor;

pub(super) const HEADER_BYTES: usize = 4;
/// A packet of this length goes on in the next one.
pub(super) const LONGEST: u32 = 0xff_ffff;

/// What the client can do, as its login says.
pub(super) const COMPRESSES: u32 = 1 << 5;
const HAS_DATABASE: u32 = 1 << 3;
const SPEAKS_4_1: u32 = 1 << 9;
pub(super) const ENCRYPTS: u32 = 1 << 11;
const HAS_LENGTH: u32 = 1 << 15;
const HAS_LONG_LENGTH: u32 = 1 << 21;
pub(super) const COMPRESSES_ZSTD: u32 = 1 << 26;
/// Of a login, up to the name of the user.
pub(super) const LOGIN_HEAD_BYTES: usize = 32;

/// What the server says with the end of a result.
const MORE_RESULTS: u16 = 0x0008;
const HAS_CURSOR: u16 = 0x0040;

/// The beginning of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes behind the header.
    pub length: u32,
    pub sequence: u8,
}

pub(super) fn header(bytes: &[u8]) -> Option<Header> {
    let [low, middle, high, sequence] = *bytes.first_chunk()?;
    Some(Header { length: u32::from_le_bytes([low, middle, high, 0]), sequence })
}

/// What clients ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Quit,
    UseDatabase,
    Query,
    FieldList,
    ProcessInfo,
    Statistics,
    ChangeUser,
    Prepare,
    Execute,
    LongData,
    Close,
    Fetch,
    /// Of the connection or of a statement: ping, reset, option. Succeeds or fails.
    Upkeep,
    BulkExecute,
    /// A stream of what changes; nobody waits for its end.
    Replicate,
    /// One of the others, with its name: succeeds or fails.
    Other(&'static str),
}

impl Command {
    /// The command of a packet that has this first byte and length; none if there is none like it.
    pub(super) fn of(byte: u8, length: u32) -> Option<Self> {
        let (command, least, most) = match byte {
            0x01 => (Self::Quit, 1, 1),
            0x02 => (Self::UseDatabase, 1, 1024),
            0x03 => (Self::Query, 2, LONGEST),
            0x04 => (Self::FieldList, 2, 1024),
            0x05 => (Self::Other("CREATE DATABASE"), 2, 1024),
            0x06 => (Self::Other("DROP DATABASE"), 2, 1024),
            0x07 => (Self::Other("REFRESH"), 2, 2),
            0x08 => (Self::Other("SHUTDOWN"), 1, 2),
            0x09 => (Self::Statistics, 1, 1),
            0x0a => (Self::ProcessInfo, 1, 1),
            0x0c => (Self::Other("KILL"), 5, 5),
            0x0d => (Self::Upkeep, 1, 1),
            0x0e => (Self::Upkeep, 1, 1),
            0x11 => (Self::ChangeUser, 3, 64 * 1024),
            0x12 | 0x13 | 0x1e => (Self::Replicate, 5, 64 * 1024),
            0x15 => (Self::Upkeep, 10, 2048),
            0x16 => (Self::Prepare, 2, LONGEST),
            0x17 => (Self::Execute, 10, LONGEST),
            0x18 => (Self::LongData, 7, LONGEST),
            0x19 => (Self::Close, 5, 5),
            0x1a => (Self::Upkeep, 5, 5),
            0x1b => (Self::Upkeep, 3, 3),
            0x1c => (Self::Fetch, 9, 9),
            0x1f => (Self::Upkeep, 1, 1),
            0xfa => (Self::BulkExecute, 7, LONGEST),
            _ => return None,
        };
        (least..=most).contains(&length).then_some(command)
    }

    /// Whether it is a request for metrics and spans: it runs a statement, or could be one.
    pub(super) fn counts(self) -> bool {
        !matches!(self, Self::Upkeep | Self::Statistics | Self::ChangeUser)
    }

    /// Whether a statement's text follows.
    pub(super) fn has_text(self) -> bool {
        matches!(self, Self::Query | Self::Prepare)
    }

    /// Of its content, the first bytes: number of the statement and what to do with it. What follows are values.
    pub(super) fn values_begin(self) -> Option<usize> {
        match self {
            Self::Execute => Some(9),
            Self::LongData | Self::BulkExecute => Some(6),
            _ => None,
        }
    }
}

/// Whether text can be the beginning of a statement: printable, but for blanks.
pub(super) fn is_statement(text: &[u8]) -> bool {
    let head = text.get(..text.len().min(64)).unwrap_or_default();
    !head.is_empty() && head.iter().all(|byte| *byte >= b' ' || byte.is_ascii_whitespace())
}

/// Whether this can be a login.
pub(super) fn login_flags(content: &[u8]) -> Option<u32> {
    let mut cursor = Cursor::new(content);
    let flags = cursor.u32_le()?;
    let _largest_packet = cursor.u32_le()?;
    let _charset = cursor.u8()?;
    // MariaDB has more of its flags in the last four.
    let is_zero = cursor.take(19)?.iter().all(|byte| *byte == 0);
    let _more = cursor.take(4)?;
    (flags & SPEAKS_4_1 != 0 && is_zero).then_some(flags)
}

/// Where in a login the answer to the server's challenge is, once its beginning has come.
pub(super) struct LoginSecret {
    pub begin: usize,
    /// Without one it goes to its zero, as clients of old have it.
    pub end: Option<usize>,
}

pub(super) fn login_secret(flags: u32, content: &[u8]) -> Option<LoginSecret> {
    let mut cursor = Cursor::at(content, LOGIN_HEAD_BYTES);
    cursor.zero_ended()?;
    let length = if flags & HAS_LONG_LENGTH != 0 {
        Some(usize::try_from(number(&mut cursor)?).ok()?)
    } else if flags & HAS_LENGTH != 0 {
        Some(usize::from(cursor.u8()?))
    } else {
        None
    };
    let begin = cursor.place();
    Some(LoginSecret { begin, end: length.map(|length| begin.saturating_add(length)) })
}

/// The database that a login names.
pub(super) fn login_database(flags: u32, content: &[u8]) -> Option<&[u8]> {
    let secret = login_secret(flags, content)?;
    let mut cursor = Cursor::at(content, secret.end.unwrap_or(secret.begin));
    if secret.end.is_none() {
        cursor.zero_ended()?;
    }
    (flags & HAS_DATABASE != 0).then(|| cursor.zero_ended())?
}

/// The database that a change of the user names.
pub(super) fn changed_database(content: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor::new(content);
    cursor.zero_ended()?;
    let secret = cursor.u8()?;
    cursor.take(secret.into())?;
    cursor.zero_ended()
}

/// A number whose first byte may say how long it is.
pub(super) fn number(cursor: &mut Cursor<'_>) -> Option<u64> {
    let little = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    match cursor.u8()? {
        0xfb | 0xff => None,
        0xfc => cursor.take(2).map(little),
        0xfd => cursor.take(3).map(little),
        0xfe => cursor.u64_le(),
        byte => Some(byte.into()),
    }
}

/// What the server says of its state in a packet that ends a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State(u16);

impl State {
    /// Another result follows.
    pub(super) fn has_more(self) -> bool {
        self.0 & MORE_RESULTS != 0
    }

    /// Rows are fetched later.
    pub(super) fn has_cursor(self) -> bool {
        self.0 & HAS_CURSOR != 0
    }
}

/// Whether a packet is an EOF as servers have it that say OK otherwise.
pub(super) fn is_old_eof(length: u32, content: &[u8]) -> bool {
    length == 5 && content.first() == Some(&0xfe)
}

/// The state in an OK or EOF of this length; nothing if it is not all there.
pub(super) fn state(length: u32, content: &[u8]) -> Option<State> {
    let mut cursor = Cursor::at(content, 1);
    if is_old_eof(length, content) {
        cursor.take(2)?;
    } else {
        number(&mut cursor)?;
        number(&mut cursor)?;
    }
    cursor.take(2)?.first_chunk().map(|bytes| State(u16::from_le_bytes(*bytes)))
}

/// What an ERR says: its number, and the SQLSTATE.
pub(super) fn error(content: &[u8]) -> Option<(u16, &[u8])> {
    let mut cursor = Cursor::at(content, 1);
    let code = cursor.take(2)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))?;
    let state = match cursor.take(6) {
        Some([b'#', state @ ..]) if state.iter().all(u8::is_ascii_alphanumeric) => state,
        _ => &[],
    };
    Some((code, state))
}
