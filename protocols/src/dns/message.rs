//! One message: header, questions, records. Whatever is cut off is left out.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::cursor::Cursor;

/// Bytes of the fixed part.
pub(super) const HEADER_BYTES: usize = 12;
/// Questions of a message; mDNS asks several at once.
const MAX_QUESTIONS: u16 = 64;
/// A name's length in the message (RFC 1035, 2.3.4).
const MAX_NAME_BYTES: usize = 255;
/// Records of the answer that may say what a message without a question answers.
const MAX_ANSWER_KEYS: usize = 32;

const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const TYPE_OPT: u16 = 41;
const CLASS_IN: u16 = 1;

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// Name without the last dot, `.` for the root; what is not printable is escaped as in zone files.
    pub(super) name: Box<str>,
    /// Number of the kind of record.
    pub(super) kind: u16,
    /// Of both, the same for names that differ only in case.
    pub(super) hash: u64,
}

impl Asked {
    fn new(name: Box<str>, kind: u16) -> Self {
        let mut hasher = DefaultHasher::new();
        for byte in name.bytes() {
            byte.to_ascii_lowercase().hash(&mut hasher);
        }
        kind.hash(&mut hasher);
        let hash = hasher.finish();
        Self { name, kind, hash }
    }
}

/// A message as far as it is there.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) id: u16,
    pub(super) is_response: bool,
    pub(super) opcode: u8,
    /// With the high bits of EDNS.
    pub(super) code: u16,
    /// The first question.
    pub(super) question: Option<Asked>,
    /// Of a message without questions: what its answers are about.
    pub(super) answers: Vec<Asked>,
    pub(super) addresses: Vec<IpAddr>,
    /// Its end is where the records end.
    pub(super) is_whole: bool,
    /// It was not kept to its end.
    pub(super) is_cut: bool,
}

/// Reads a message of `size` bytes of which `bytes` are there. None if it is none, or not even its header is there.
pub(super) fn parse(bytes: &[u8], size: usize) -> Option<Message> {
    let mut cursor = Cursor::new(bytes);
    let id = cursor.u16_be()?;
    let flags = cursor.u16_be()?;
    let (questions, answers) = (cursor.u16_be()?, cursor.u16_be()?);
    let (authorities, additionals) = (cursor.u16_be()?, cursor.u16_be()?);
    let is_response = flags & 0x8000 != 0;
    let opcode = (flags >> 11 & 0xf) as u8;
    let code = flags & 0xf;
    // 3 is not assigned; the bit between RA and AD is zero.
    let is_plausible = matches!(opcode, 0..=2 | 4..=6)
        && (flags & 0x40 == 0 || opcode == 6)
        && (is_response || code == 0)
        && questions <= MAX_QUESTIONS
        && (questions > 0 || is_response || opcode == 6)
        // A question, or a record: no less than this many bytes each.
        && size >= HEADER_BYTES
            + 5 * usize::from(questions)
            + 11 * (usize::from(answers) + usize::from(authorities) + usize::from(additionals));
    if !is_plausible {
        return None;
    }
    let mut message = Message {
        id,
        is_response,
        opcode,
        code,
        question: None,
        answers: Vec::new(),
        addresses: Vec::new(),
        is_whole: false,
        is_cut: bytes.len() < size,
    };
    for number in 0..questions {
        match question(bytes, &mut cursor) {
            Some(asked) if number == 0 => message.question = Some(asked),
            Some(_) => {}
            None if message.is_cut => return Some(message),
            None => return None,
        }
    }
    let sections = [answers, authorities, additionals];
    for (section, count) in sections.into_iter().enumerate() {
        for _ in 0..count {
            let place = cursor.place();
            let Some(record) = record(&mut cursor) else { return Some(message) };
            message.add(bytes, place, section, &record, questions == 0);
        }
    }
    message.is_whole = cursor.place() == size;
    Some(message)
}

impl Message {
    fn add(&mut self, bytes: &[u8], place: usize, section: usize, record: &Record<'_>, is_unasked: bool) {
        if record.kind == TYPE_OPT && section == 2 {
            self.code |= (record.ttl >> 24 << 4) as u16;
        }
        if section != 0 {
            return;
        }
        if is_unasked
            && self.answers.len() < MAX_ANSWER_KEYS
            && let Some(name) = name(bytes, &mut Cursor::at(bytes, place))
        {
            self.answers.push(Asked::new(name, record.kind));
        }
        // The high bit is mDNS's.
        if record.class & 0x7fff != CLASS_IN {
            return;
        }
        match record.kind {
            TYPE_A => {
                if let Ok(octets) = <[u8; 4]>::try_from(record.data) {
                    self.addresses.push(Ipv4Addr::from(octets).into());
                }
            }
            TYPE_AAAA => {
                if let Ok(octets) = <[u8; 16]>::try_from(record.data) {
                    self.addresses.push(Ipv6Addr::from(octets).into());
                }
            }
            _ => {}
        }
    }
}

struct Record<'bytes> {
    kind: u16,
    class: u16,
    ttl: u32,
    data: &'bytes [u8],
}

fn record<'bytes>(cursor: &mut Cursor<'bytes>) -> Option<Record<'bytes>> {
    pass_name(cursor)?;
    let (kind, class, ttl) = (cursor.u16_be()?, cursor.u16_be()?, cursor.u32_be()?);
    let length = cursor.u16_be()?;
    let data = cursor.take(usize::from(length))?;
    Some(Record { kind, class, ttl, data })
}

fn question<'bytes>(bytes: &'bytes [u8], cursor: &mut Cursor<'bytes>) -> Option<Asked> {
    let name = name(bytes, cursor)?;
    let (kind, class) = (cursor.u16_be()?, cursor.u16_be()?);
    let is_known_class = matches!(class & 0x7fff, 1 | 3 | 4 | 254 | 255);
    (is_known_class && kind != 0 && !is_netbios(&name, kind)).then(|| Asked::new(name, kind))
}

/// NetBIOS has the same messages (RFC 1002), with names of its own.
fn is_netbios(name: &str, kind: u16) -> bool {
    let first = name.split('.').next().unwrap_or_default();
    matches!(kind, 32 | 33) && first.len() == 32 && first.bytes().all(|byte| byte.is_ascii_uppercase())
}

fn pass_name(cursor: &mut Cursor<'_>) -> Option<()> {
    loop {
        match cursor.u8()? {
            0 => return Some(()),
            length @ 1..=63 => cursor.take(usize::from(length)).map(drop)?,
            0xc0.. => return cursor.u8().map(drop),
            _ => return None,
        }
    }
}

/// Reads the name at the cursor, which is moved behind it. Pointers lead backwards only, so they come to an end.
fn name<'bytes>(bytes: &'bytes [u8], cursor: &mut Cursor<'bytes>) -> Option<Box<str>> {
    let mut text = String::new();
    let mut reader = *cursor;
    let mut begin = cursor.place();
    let mut length = 0;
    let mut has_jumped = false;
    loop {
        let size = reader.u8()?;
        match size {
            0 => break,
            1..=63 => {
                let label = reader.take(usize::from(size))?;
                length += label.len() + 1;
                if length >= MAX_NAME_BYTES {
                    return None;
                }
                if !text.is_empty() {
                    text.push('.');
                }
                escape(label, &mut text);
            }
            0xc0.. => {
                let target = usize::from(size & 0x3f) << 8 | usize::from(reader.u8()?);
                if target >= begin {
                    return None;
                }
                if !has_jumped {
                    *cursor = reader;
                    has_jumped = true;
                }
                begin = target;
                reader = Cursor::at(bytes, target);
            }
            _ => return None,
        }
    }
    if !has_jumped {
        *cursor = reader;
    }
    if text.is_empty() {
        text.push('.');
    }
    Some(text.into())
}

/// As zone files have it (RFC 1035, 5.1).
fn escape(label: &[u8], text: &mut String) {
    for byte in label {
        match byte {
            b'.' | b'\\' => {
                text.push('\\');
                text.push(char::from(*byte));
            }
            b'!'..=b'~' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("\\{byte:03}")),
        }
    }
}
