//! The header of a request, and how much a request looks like one.

use super::MAX_MESSAGE_BYTES;
use super::apis::{self, Api};
use super::layout::{Cursor, Found, Walked};

/// Versions beyond the newest known one that are taken too: their header is the same.
const NEWER_VERSIONS: i16 = 4;
/// A client's name that is longer is none.
const MAX_NAME_BYTES: i16 = 512;
/// Topics have no longer names.
const MAX_TOPIC_BYTES: usize = 249;

/// What a request begins with, behind its length.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header<'bytes> {
    pub(super) key: i16,
    pub(super) version: i16,
    pub(super) correlation: u32,
    pub(super) client: &'bytes [u8],
    pub(super) api: &'static Api,
    /// Where the body begins.
    pub(super) end: usize,
}

impl<'bytes> Header<'bytes> {
    /// The shortest one.
    pub(super) const MIN_BYTES: u64 = 8;

    /// Reads the header of a message of `length` bytes. [`Walked::Short`] when too little of it is there.
    pub(super) fn read(bytes: &'bytes [u8], length: u64) -> Result<Self, Walked> {
        if !(Self::MIN_BYTES..=MAX_MESSAGE_BYTES).contains(&length) || !may_begin(bytes) {
            return Err(Walked::Wrong);
        }
        let mut cursor = Cursor { bytes, at: 0, length, version: 0, is_flexible: false };
        let key = i16::from_be_bytes(cursor.array()?);
        let version = i16::from_be_bytes(cursor.array()?);
        let correlation = u32::from_be_bytes(cursor.array()?);
        let api = apis::find(key).ok_or(Walked::Wrong)?;
        if !takes(api, version) {
            return Err(Walked::Wrong);
        }
        let client = if key == apis::CONTROLLED_SHUTDOWN && version == 0 {
            &[]
        } else {
            match i16::from_be_bytes(cursor.array()?) {
                -1 => &[][..],
                length @ 0..=MAX_NAME_BYTES => cursor.take(u64::try_from(length).unwrap_or_default())?,
                _ => return Err(Walked::Wrong),
            }
        };
        if !is_text(client) {
            return Err(Walked::Wrong);
        }
        if api.is_flexible(version) {
            cursor.tagged()?;
        }
        Ok(Self { key, version, correlation, client, api, end: cursor.at })
    }

    /// Walks over the body in a message of `length` bytes.
    pub(super) fn walk(
        &self,
        bytes: &'bytes [u8],
        length: u64,
        found: &mut dyn FnMut(Found<'bytes>),
    ) -> Walked {
        let mut cursor = Cursor {
            bytes,
            at: self.end,
            length,
            version: self.version,
            is_flexible: self.api.is_flexible(self.version),
        };
        cursor.walk(self.api.request, self.api.is_whole, found)
    }

    /// Whether the layout of this version is known.
    pub(super) fn is_known(&self) -> bool {
        self.version <= self.api.newest
    }
}

fn takes(api: &Api, version: i16) -> bool {
    (0..=api.newest.saturating_add(NEWER_VERSIONS)).contains(&version)
}

/// Whether a request may begin with these bytes, behind its length: false as soon as one byte cannot be.
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    let Some(high) = bytes.first() else { return true };
    let Some(low) = bytes.get(1) else { return *high == 0 };
    let Some(api) = apis::find(i16::from_be_bytes([*high, *low])) else { return false };
    let Some(high) = bytes.get(2) else { return true };
    let Some(low) = bytes.get(3) else { return *high == 0 };
    takes(api, i16::from_be_bytes([*high, *low]))
}

fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(char::is_control))
}

/// How much a message looks like a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// All of it fits, to its last byte.
    Whole { has_name: bool },
    /// What is there of it fits.
    Begins { has_name: bool },
    /// It is none.
    Other,
}

/// Looks at all that is there of a message of `length` bytes.
pub(super) fn judge(bytes: &[u8], length: u64) -> Judgement {
    let header = match Header::read(bytes, length) {
        Ok(header) => header,
        Err(Walked::Short) => return Judgement::Begins { has_name: false },
        Err(_) => return Judgement::Other,
    };
    let has_name = !header.client.is_empty();
    if i32::from_be_bytes(header.correlation.to_be_bytes()) < 0 {
        return Judgement::Other;
    }
    if !header.is_known() {
        return Judgement::Begins { has_name };
    }
    let mut is_right = true;
    let walked = header.walk(bytes, length, &mut |found| {
        is_right &= match found {
            Found::Acks(acks) => (-1..=1).contains(&acks),
            Found::Topic(topic) => is_topic(topic),
            Found::Group(group) => is_text(group),
            _ => true,
        };
    });
    match walked {
        _ if !is_right => Judgement::Other,
        Walked::Wrong => Judgement::Other,
        Walked::Whole(end) if header.api.is_whole => {
            if end as u64 == length {
                Judgement::Whole { has_name }
            } else {
                Judgement::Other
            }
        }
        Walked::Whole(_) | Walked::Enough | Walked::Tail | Walked::Short => Judgement::Begins { has_name },
    }
}

fn is_topic(name: &[u8]) -> bool {
    name.len() <= MAX_TOPIC_BYTES
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}
