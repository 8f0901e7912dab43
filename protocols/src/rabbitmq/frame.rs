//! Frames, and what methods and properties are made of.

/// A longer frame is none; brokers agree on 128 KiB unless told otherwise.
const MAX_FRAME_BYTES: u32 = 16 * 1024 * 1024;
/// What a frame ends with.
const END_MARK: u8 = 0xce;
/// Type, channel and length.
const PREFIX_BYTES: usize = 7;

/// What a frame has around its content.
pub(super) const FRAME_BYTES: u64 = PREFIX_BYTES as u64 + 1;

/// The class and number of a method.
pub(super) type Method = (u16, u16);

pub(super) const START: Method = (10, 10);
pub(super) const START_OK: Method = (10, 11);
pub(super) const SECURE: Method = (10, 20);
pub(super) const SECURE_OK: Method = (10, 21);
pub(super) const TUNE_OK: Method = (10, 31);
pub(super) const CONNECTION_CLOSE: Method = (10, 50);
pub(super) const UPDATE_SECRET: Method = (10, 70);
pub(super) const CHANNEL_OPEN: Method = (20, 10);
pub(super) const CHANNEL_CLOSE: Method = (20, 40);
pub(super) const QUEUE_DECLARE_OK: Method = (50, 11);
pub(super) const CONSUME: Method = (60, 20);
pub(super) const CONSUME_OK: Method = (60, 21);
pub(super) const PUBLISH: Method = (60, 40);
pub(super) const RETURN: Method = (60, 50);
pub(super) const DELIVER: Method = (60, 60);
pub(super) const GET: Method = (60, 70);
pub(super) const GET_OK: Method = (60, 71);
pub(super) const GET_EMPTY: Method = (60, 72);
pub(super) const ACK: Method = (60, 80);
pub(super) const NACK: Method = (60, 120);
pub(super) const CONFIRM_SELECT: Method = (85, 10);

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Method,
    Header,
    Body,
    Heartbeat,
}

/// A frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'bytes> {
    pub(super) kind: Kind,
    pub(super) channel: u16,
    /// Bytes of its content.
    pub(super) length: u32,
    /// What is there of it.
    pub(super) content: &'bytes [u8],
}

/// What is next.
#[derive(Debug, Clone, Copy)]
pub(super) enum Next<'bytes> {
    Frame(Frame<'bytes>),
    /// Too little is there to say.
    Wait,
    /// No frame.
    Foreign,
}

/// Looks at the frame at the beginning of `bytes`.
pub(super) fn next(bytes: &[u8]) -> Next<'_> {
    let Some(kind) = bytes.first() else { return Next::Wait };
    let kind = match kind {
        1 => Kind::Method,
        2 => Kind::Header,
        3 => Kind::Body,
        8 => Kind::Heartbeat,
        _ => return Next::Foreign,
    };
    let Some([_, high, low, a, b, c, d]) = bytes.first_chunk::<PREFIX_BYTES>() else { return Next::Wait };
    let channel = u16::from_be_bytes([*high, *low]);
    let length = u32::from_be_bytes([*a, *b, *c, *d]);
    let fits = match kind {
        Kind::Method => (4..=MAX_FRAME_BYTES).contains(&length),
        Kind::Header => channel > 0 && (14..=MAX_FRAME_BYTES).contains(&length),
        Kind::Body => channel > 0 && length <= MAX_FRAME_BYTES,
        Kind::Heartbeat => channel == 0 && length == 0,
    };
    let there = bytes.get(PREFIX_BYTES..).unwrap_or_default();
    let end = usize::try_from(length).unwrap_or(usize::MAX).min(there.len());
    let frame = Frame { kind, channel, length, content: there.get(..end).unwrap_or_default() };
    if !fits || frame.has_mark(bytes) == Some(false) {
        return Next::Foreign;
    }
    Next::Frame(frame)
}

impl<'bytes> Frame<'bytes> {
    /// Bytes of all of it.
    pub(super) fn whole(&self) -> u64 {
        FRAME_BYTES + u64::from(self.length)
    }

    /// Whether its end mark is there, and right.
    pub(super) fn has_mark(&self, bytes: &[u8]) -> Option<bool> {
        let place = usize::try_from(self.whole() - 1).ok()?;
        bytes.get(place).map(|mark| *mark == END_MARK)
    }

    /// Its method, and what follows.
    pub(super) fn method(&self) -> Option<(Method, Arguments<'bytes>)> {
        let mut arguments = Arguments { rest: self.content };
        let method = (arguments.short()?, arguments.short()?);
        Some((method, arguments))
    }

    /// Whether its method is one of the protocol.
    pub(super) fn has_known_method(&self) -> bool {
        let Some(((class, number), _)) = self.method() else { return false };
        let is_of_connection = class == 10;
        let is_known = match class {
            10 => matches!(number, 10 | 11 | 20 | 21 | 30 | 31 | 40 | 41 | 50 | 51 | 60 | 61 | 70 | 71),
            20 => matches!(number, 10 | 11 | 20 | 21 | 40 | 41),
            40 => matches!(number, 10 | 11 | 20 | 21 | 30 | 31 | 40 | 51),
            50 => matches!(number, 10 | 11 | 20 | 21 | 30 | 31 | 40 | 41 | 50 | 51),
            60 => matches!(
                number,
                10 | 11 | 20 | 21 | 30 | 31 | 40 | 50 | 60 | 70 | 71 | 72 | 80 | 90 | 100 | 110 | 111 | 120
            ),
            85 => matches!(number, 10 | 11),
            90 => matches!(number, 10 | 11 | 20 | 21 | 30 | 31),
            _ => false,
        };
        is_known && is_of_connection == (self.channel == 0)
    }
}

/// The arguments of a method, one after the other; none from where they end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arguments<'bytes> {
    rest: &'bytes [u8],
}

impl<'bytes> Arguments<'bytes> {
    fn array<const COUNT: usize>(&mut self) -> Option<[u8; COUNT]> {
        self.take(COUNT)?.try_into().ok()
    }

    /// Eight bits.
    pub(super) fn octet(&mut self) -> Option<u8> {
        self.array().map(|[octet]| octet)
    }

    /// Sixteen bits.
    pub(super) fn short(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Sixty-four bits.
    pub(super) fn long_long(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// A text of at most 255 bytes.
    pub(super) fn short_text(&mut self) -> Option<&'bytes [u8]> {
        let length = usize::from(self.octet()?);
        self.take(length)
    }

    /// A text or table.
    fn long_text(&mut self) -> Option<&'bytes [u8]> {
        let length = usize::try_from(u32::from_be_bytes(self.array()?)).ok()?;
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Option<&'bytes [u8]> {
        // Behind what was not kept there is nothing.
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            self.rest = &[];
            return None;
        };
        self.rest = rest;
        Some(taken)
    }
}

/// What the frame of a message's properties says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Properties<'bytes> {
    pub(super) body_bytes: u64,
    pub(super) traceparent: Option<&'bytes [u8]>,
}

/// Reads the frame of a message's properties.
pub(super) fn properties(content: &[u8]) -> Option<Properties<'_>> {
    let mut arguments = Arguments { rest: content };
    let _class_and_weight: [u8; 4] = arguments.array()?;
    let body_bytes = arguments.long_long()?;
    Some(Properties { body_bytes, traceparent: traceparent(arguments) })
}

/// Looks for the trace context in a message's headers, which are its third property.
fn traceparent(mut arguments: Arguments<'_>) -> Option<&[u8]> {
    let flags = arguments.short()?;
    for flag in [0x8000, 0x4000] {
        if flags & flag != 0 {
            arguments.short_text()?;
        }
    }
    if flags & 0x2000 == 0 {
        return None;
    }
    let mut headers = Arguments { rest: arguments.long_text()? };
    loop {
        let name = headers.short_text()?;
        let value = match headers.octet()? {
            b'S' | b'x' | b'A' | b'F' => headers.long_text()?,
            b't' | b'b' | b'B' => headers.take(1)?,
            b's' | b'u' | b'U' => headers.take(2)?,
            b'I' | b'i' | b'f' => headers.take(4)?,
            b'D' => headers.take(5)?,
            b'l' | b'L' | b'd' | b'T' => headers.take(8)?,
            b'V' => &[],
            _ => return None,
        };
        if name == b"traceparent" {
            return Some(value);
        }
    }
}
