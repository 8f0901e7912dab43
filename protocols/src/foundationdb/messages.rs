//! Frames, tokens of endpoints, kinds of requests, and whether a reply is an error.

use crate::cursor::Cursor;

/// A longer message is none.
const MAX_MESSAGE_BYTES: u32 = 100 << 20;
/// A token, where the message's root is, and its kind.
pub(super) const LEAST_MESSAGE_BYTES: u32 = 24;
/// The high half of versions, without the bit for how messages are serialised.
const VERSION_MARK: u64 = 0x0FDB;
/// Before it a version does not count as one of today's serialisation.
const SERIALISATION_BIT: u64 = 1 << 60;
/// The length of the connect packet behind its length, of versions since 6.1.
const CONNECT_PACKET_BYTES: u32 = 40;
/// Kinds of several parts have what they are of in the lower bits.
const KIND_BITS: u32 = 24;
/// A part that says that this is either an error or a value.
const ERROR_OR: u32 = 2;
/// An endpoint's place in its process is below this.
const MAX_ENDPOINTS: u32 = 1 << 22;

/// An endpoint of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    first: u64,
    second: u64,
}

impl Token {
    fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        Some(Self { first: cursor.u64_le()?, second: cursor.u64_le()? })
    }

    /// Whether it takes requests, not one reply.
    fn is_stream(self) -> bool {
        self.first & 1 == 1
    }

    /// Whether it is the same in every process.
    fn is_well_known(self) -> bool {
        self.first == u64::MAX
    }

    /// Whether it may be one that a reply is awaited at: random, but for the place in its process.
    fn is_reply(self) -> bool {
        let halves = [self.first as u32, (self.first >> 32) as u32, (self.second >> 32) as u32];
        !self.is_stream()
            && (self.second as u32) < MAX_ENDPOINTS
            && halves.into_iter().all(|half| half > 0xffff)
    }
}

/// Who is told that an endpoint is gone.
const NOT_FOUND: Token = Token { first: u64::MAX, second: 0 };
/// Who is asked for a sign of life.
const PING: Token = Token { first: u64::MAX, second: 1 };

/// What stands between a message's length and its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// A checksum of 8 bytes, since 7.2.
    LongChecksum,
    /// One of 4 bytes.
    Checksum,
    /// Nothing, inside TLS.
    None,
}

impl Layout {
    pub(super) const ALL: [Self; 3] = [Self::LongChecksum, Self::Checksum, Self::None];

    fn checksum_bytes(self) -> usize {
        match self {
            Self::LongChecksum => 8,
            Self::Checksum => 4,
            Self::None => 0,
        }
    }
}

/// The length of the connect packet that bytes begin with.
pub(super) fn connect_packet(bytes: &[u8]) -> Option<u64> {
    let mut cursor = Cursor::new(bytes);
    let (length, version) = (cursor.u32_le()?, cursor.u64_le()?);
    // A port, an identifier, an address, then flags of which one is known.
    cursor.take(14)?;
    let flags = u16::from_le_bytes([cursor.u8()?, cursor.u8()?]);
    let is_one = length == CONNECT_PACKET_BYTES && (version & !SERIALISATION_BIT) >> 48 == VERSION_MARK;
    (is_one && flags <= 1).then_some(4 + u64::from(length))
}

/// A message in its frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'bytes> {
    pub(super) token: Token,
    /// Of the kind of the message.
    kind: u32,
    /// Bytes before the message: length, checksum, token.
    head: usize,
    length: u32,
    /// What there is of the message behind its token.
    body: &'bytes [u8],
}

impl<'bytes> Frame<'bytes> {
    /// Reads what bytes begin with.
    pub(super) fn read(bytes: &'bytes [u8], layout: Layout) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let length = cursor.u32_le()?;
        if !(LEAST_MESSAGE_BYTES..=MAX_MESSAGE_BYTES).contains(&length) {
            return None;
        }
        cursor.take(layout.checksum_bytes())?;
        let token = Token::read(&mut cursor)?;
        let head = cursor.place();
        let content = length as usize - 16;
        let body = cursor.rest().get(..content).unwrap_or(cursor.rest());
        let (_, kind) = (cursor.u32_le()?, cursor.u32_le()?);
        Some(Self { token, kind, head, length, body })
    }

    /// Bytes of it with its frame.
    pub(super) fn end(&self) -> u64 {
        self.head as u64 + u64::from(self.length) - 16
    }

    /// Whether it has the structure of a message: a root with a table of its fields before it.
    pub(super) fn is_whole_message(&self) -> bool {
        let is_kind = self.kind >> KIND_BITS <= 9;
        is_kind && root(self.body).is_some_and(|root| fields(self.body, root).is_some())
    }

    /// What a request asks for, when it is known.
    pub(super) fn request(&self) -> Option<&'static str> {
        let name = request_name(self.kind)?;
        self.token.is_stream().then_some(name)
    }

    /// Whether it is a request that is to be answered, as far as its endpoint tells.
    pub(super) fn is_request(&self) -> bool {
        self.token.is_stream() && self.token != NOT_FOUND && self.token != PING
    }

    /// Whether it is an answer to one.
    pub(super) fn is_reply(&self) -> bool {
        self.token.is_reply() && self.kind >> KIND_BITS == ERROR_OR
    }

    /// Whether its endpoint is one that messages of its kind go to.
    pub(super) fn is_plausible(&self) -> bool {
        self.is_whole_message() && (self.is_reply() || self.request().is_some() || self.token.is_well_known())
    }

    /// The tokens in it that a reply may be awaited at, at most so many.
    pub(super) fn reply_tokens(&self, most: usize) -> impl Iterator<Item = Token> + '_ {
        let places = (8..self.body.len()).step_by(4);
        let tokens = places.filter_map(|place| Token::read(&mut Cursor::new(self.body.get(place..)?)));
        tokens.filter(|token| token.is_reply()).take(most)
    }

    /// Whether a reply is an error, and its code; none when that is not there.
    pub(super) fn error(&self) -> Option<Option<u16>> {
        let body = self.body;
        let table = root(body)?;
        let at = |field| place(body, table, field);
        match body.get(at(0)?)? {
            1 => {
                let error = follow(body, at(1)?)?;
                let code = body.get(place(body, error, 0)?..)?;
                Some(Some(u16::from_le_bytes([*code.first()?, *code.get(1)?])))
            }
            2 => Some(None),
            _ => None,
        }
    }
}

fn u32_at(body: &[u8], place: usize) -> Option<u32> {
    Cursor::new(body.get(place..)?).u32_le()
}

fn u16_at(body: &[u8], place: usize) -> Option<usize> {
    let bytes = body.get(place..)?;
    Some(usize::from(u16::from_le_bytes([*bytes.first()?, *bytes.get(1)?])))
}

/// Where an offset at a place leads.
fn follow(body: &[u8], place: usize) -> Option<usize> {
    place.checked_add(u32_at(body, place)? as usize)
}

/// Where the root table is.
fn root(body: &[u8]) -> Option<usize> {
    follow(body, 0).filter(|place| *place >= 8)
}

/// Where the table of a table's fields is, and its length.
fn fields(body: &[u8], table: usize) -> Option<(usize, usize)> {
    let back = i64::from(u32_at(body, table)?.cast_signed());
    let begin = usize::try_from(i64::try_from(table).ok()? - back).ok()?;
    let (length, of_table) = (u16_at(body, begin)?, u16_at(body, begin + 2)?);
    let is_one = begin >= 8 && length >= 4 && length % 2 == 0 && of_table >= 4;
    is_one.then_some((begin, length))
}

/// Where a field of a table is.
fn place(body: &[u8], table: usize, field: usize) -> Option<usize> {
    let (begin, length) = fields(body, table)?;
    let entry = 4 + 2 * field;
    let offset = if entry < length { u16_at(body, begin + entry)? } else { 0 };
    (offset >= 4).then_some(table + offset)
}

/// Names of requests by their kind. One kind may have several: the commonest is named.
fn request_name(kind: u32) -> Option<&'static str> {
    Some(match kind {
        93_948 => "commitTransaction",
        214_727 => "getLeader",
        214_728 => "openDatabase",
        214_729 => "checkDescriptorMutable",
        838_566 => "getReadVersion",
        994_279 => "getStorageServerRejoinInfo",
        1_795_961 => "waitMetrics",
        3_978_640 => "storageQueuingMetrics",
        6_795_746 => "getKeyValues",
        6_795_747 => "getMappedKeyValues",
        8_454_530 => "getValue",
        9_144_680 => "getKeyServerLocations",
        10_259_266 => "readHotSubRange",
        10_457_870 => "getKey",
        10_463_876 => "splitMetrics",
        10_725_174 => "splitRange",
        10_726_174 => "changeFeed",
        11_403_900 => "getHealthMetrics",
        12_954_034 => "getRawCommittedVersion",
        13_261_233 => "protocolInfo",
        13_290_999 => "getStorageMetrics",
        14_747_733 => "watchValue",
        15_250_781 => "txnState",
        15_860_168 => "getShardState",
        _ => return None,
    })
}
