//! Lines, and the headers of messages.

use crate::Side;

/// A longer line is none; servers take 4 KiB unless told otherwise.
const MAX_LINE_BYTES: usize = 8 * 1024;
/// What opens a connection may be longer.
pub(super) const MAX_OPENING_BYTES: usize = 48 * 1024;
/// A longer message is none; servers take 1 MiB unless told otherwise, and 64 MiB at most.
const MAX_MESSAGE_BYTES: u64 = 64 * 1024 * 1024;
/// What headers begin with.
pub(super) const HEADERS_BEGIN: &[u8] = b"NATS/1.0";

/// A line.
#[derive(Debug, Clone, Copy)]
pub(super) enum Line<'bytes> {
    /// With what the client says of itself.
    Connect(&'bytes [u8]),
    Info,
    Message(Message<'bytes>),
    Subscribe,
    Unsubscribe,
    Ping,
    Pong,
    Taken,
    Error(&'bytes [u8]),
}

/// The line of a message, behind which it follows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'bytes> {
    pub(super) subject: &'bytes [u8],
    /// Bytes of the line with its end.
    pub(super) line_bytes: usize,
    pub(super) header_bytes: u64,
    /// Of the message, with its headers, without its end.
    pub(super) bytes: u64,
    /// It is also the line of a message with headers without its first letter.
    pub(super) may_lack_letter: bool,
}

impl Message<'_> {
    /// All of it, with its line and the end of both.
    pub(super) fn whole(&self) -> u64 {
        self.line_bytes as u64 + self.bytes + 2
    }

    /// Whether it ends where it should; none when that was not kept or has not come.
    pub(super) fn is_ended(&self, bytes: &[u8]) -> Option<bool> {
        let end = usize::try_from(self.whole()).ok()?;
        let last = bytes.get(end.checked_sub(2)?..end)?;
        Some(last == b"\r\n")
    }
}

/// What is next.
#[derive(Debug, Clone, Copy)]
pub(super) enum Next<'bytes> {
    Line(Line<'bytes>),
    /// One of which the end is not there.
    Long(Line<'bytes>),
    /// Too little is there to say.
    Wait,
    /// None that this side says.
    Foreign,
}

/// Looks at the line at the beginning of `bytes`.
pub(super) fn next(side: Side, bytes: &[u8]) -> Next<'_> {
    let end = bytes.iter().take(MAX_OPENING_BYTES).position(|byte| *byte == b'\n');
    let whole = end.map_or(bytes, |end| bytes.get(..=end).unwrap_or_default());
    let text = whole.trim_ascii_end();
    let word_end = text.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(word_end).unwrap_or_default();
    let rest = rest.trim_ascii_start();
    if !may_be_word(side, word) {
        return Next::Foreign;
    }
    if word.len() == text.len() && end.is_none() {
        return Next::Wait;
    }
    let is_long = whole.len() > MAX_LINE_BYTES;
    let opening = match (side, word.to_ascii_uppercase().as_slice()) {
        (Side::Client, b"CONNECT") => Some(Line::Connect(rest)),
        (Side::Server, b"INFO") => Some(Line::Info),
        _ => None,
    };
    if let Some(opening) = opening {
        return match (rest.first(), end) {
            (Some(b'{'), Some(_)) if rest.ends_with(b"}") => Next::Line(opening),
            (Some(b'{'), None) => Next::Long(opening),
            (None, None) => Next::Wait,
            _ => Next::Foreign,
        };
    }
    if end.is_none() {
        return if is_long { Next::Foreign } else { Next::Wait };
    }
    // Ends of lines are of two bytes.
    if is_long || !whole.ends_with(b"\r\n") {
        return Next::Foreign;
    }
    simple(side, word, rest, whole.len()).map_or(Next::Foreign, Next::Line)
}

fn words(side: Side) -> &'static [&'static [u8]] {
    match side {
        Side::Client => &[b"CONNECT", b"PUB", b"HPUB", b"SUB", b"UNSUB", b"PING", b"PONG"],
        Side::Server => &[b"INFO", b"MSG", b"HMSG", b"PING", b"PONG", b"+OK", b"-ERR"],
    }
}

fn may_be_word(side: Side, word: &[u8]) -> bool {
    words(side)
        .iter()
        .any(|known| known.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word)))
}

fn simple<'bytes>(side: Side, word: &[u8], rest: &'bytes [u8], line_bytes: usize) -> Option<Line<'bytes>> {
    let mut fields: [&[u8]; 5] = Default::default();
    let mut count = 0;
    for field in rest.split(|byte| matches!(byte, b' ' | b'\t')).filter(|field| !field.is_empty()) {
        if let Some(place) = fields.get_mut(count) {
            *place = field;
        }
        count += 1;
    }
    let given = fields.get(..count).unwrap_or_default();
    let message = |subject, reply: &[u8], header: Option<&[u8]>, size: &[u8]| {
        let bytes = number(size)?;
        let header_bytes = header.map_or(Some(0), number)?;
        let may_lack_letter = header.is_none() && number(reply).is_some();
        let fits = is_subject(subject) && bytes <= MAX_MESSAGE_BYTES && header_bytes <= bytes;
        fits.then_some(Line::Message(Message { subject, line_bytes, header_bytes, bytes, may_lack_letter }))
    };
    match (side, word.to_ascii_uppercase().as_slice(), given) {
        (Side::Client, b"PUB", [subject, size]) => message(subject, b"", None, size),
        (Side::Client, b"PUB", [subject, reply, size]) => message(subject, reply, None, size),
        (Side::Client, b"HPUB", [subject, header, size] | [subject, _, header, size]) => {
            message(subject, b"", Some(header), size)
        }
        (Side::Server, b"MSG", [subject, _, size]) => message(subject, b"", None, size),
        (Side::Server, b"MSG", [subject, _, reply, size]) => message(subject, reply, None, size),
        (Side::Server, b"HMSG", [subject, _, header, size] | [subject, _, _, header, size]) => {
            message(subject, b"", Some(header), size)
        }
        (Side::Client, b"SUB", [subject, _] | [subject, _, _]) => {
            is_subject(subject).then_some(Line::Subscribe)
        }
        (Side::Client, b"UNSUB", [_] | [_, _]) => Some(Line::Unsubscribe),
        (_, b"PING", []) => Some(Line::Ping),
        (_, b"PONG", []) => Some(Line::Pong),
        (Side::Server, b"+OK", []) => Some(Line::Taken),
        (Side::Server, b"-ERR", _) => Some(Line::Error(rest)),
        _ => None,
    }
}

fn is_subject(subject: &[u8]) -> bool {
    !subject.is_empty() && subject.iter().all(|byte| *byte > b' ' && *byte != 0x7f)
}

fn number(digits: &[u8]) -> Option<u64> {
    let is_number = (1..=10).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

/// The value of a header.
pub(super) fn header<'bytes>(headers: &'bytes [u8], name: &[u8]) -> Option<&'bytes [u8]> {
    if !headers.starts_with(HEADERS_BEGIN) {
        return None;
    }
    headers.split(|byte| *byte == b'\n').skip(1).find_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (key, value) = line.split_at_checked(colon)?;
        // A line that was cut says nothing certain.
        let is_it = key.trim_ascii().eq_ignore_ascii_case(name) && value.ends_with(b"\r");
        is_it.then(|| value.get(1..).unwrap_or_default().trim_ascii())
    })
}

/// Whether the client wants an answer to all that it says; none when that was not kept. Servers answer unless told
/// otherwise.
pub(super) fn is_verbose(options: &[u8], is_whole: bool) -> Option<bool> {
    let name = b"\"verbose\"";
    let Some(place) = options.windows(name.len()).position(|window| window == name) else {
        return is_whole.then_some(true);
    };
    let rest = options.get(place + name.len()..).unwrap_or_default().trim_ascii_start();
    let value = rest.strip_prefix(b":")?.trim_ascii_start();
    match value.first() {
        Some(b't') => Some(true),
        Some(b'f') => Some(false),
        _ => None,
    }
}
