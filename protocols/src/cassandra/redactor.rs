//! Blanks what users log in with, in both directions, and passwords in statements. Frames are seen through. In
//! compressed statements passwords are found as far as they are there as they are, which compression leaves them when
//! they come for the first time.

use super::envelope::{self, HEADER_BYTES, Opcode};
use super::framing;
use super::scan::Scan;
use crate::{PerSide, Redactor, Secrets, Side, unpack};

const CHECKSUM_BYTES: u64 = 4;
/// Of a compressed frame, up to where a secret may be: length of literals, header, length of the token.
const PACKED_HEAD_BYTES: usize = 15;

/// What is known of the connection.
#[derive(Debug, Default)]
pub(super) struct CassandraRedactor {
    sides: PerSide<Walk>,
}

impl Redactor for CassandraRedactor {
    fn redact(&mut self, side: Side, position: u64, size: u64, bytes: &mut [u8]) -> usize {
        let walk = self.sides.of(side);
        let size = size.max(bytes.len() as u64);
        if walk.end != position || walk.outer == Outer::Nowhere {
            *walk = Walk { secrets: std::mem::take(&mut walk.secrets), ..Walk::default() };
        }
        walk.feed(side, position, bytes);
        walk.pass(size - bytes.len() as u64);
        walk.end = position.saturating_add(size);
        walk.secrets.apply(position, size, bytes)
    }
}

/// Where in what one side says it is.
#[derive(Debug, Default)]
struct Walk {
    secrets: Secrets,
    /// Of the last call.
    end: u64,
    outer: Outer,
    /// The beginning of what is next, as far as it has come.
    head: Vec<u8>,
    envelopes: Envelopes,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Outer {
    /// At the beginning of a frame or envelope.
    #[default]
    Head,
    /// In an envelope without a frame.
    Envelope,
    /// In a frame's payload, of which so much is to come.
    Payload(u64),
    /// In a compressed one; what it is shows after its head.
    Packed(u64, Option<What>),
    Checksum(u64),
    /// Unknown until the next call.
    Nowhere,
}

/// Envelopes, byte for byte.
#[derive(Debug, Default)]
struct Envelopes {
    head: Vec<u8>,
    /// Of the body, still to come.
    left: u64,
    what: What,
    /// No envelope begins here.
    is_lost: bool,
}

/// What is in a body.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum What {
    #[default]
    Plain,
    /// It is secret, but for its first so many bytes.
    Secret(u64),
    Text(Scan),
}

impl Walk {
    fn feed(&mut self, side: Side, mut place: u64, mut bytes: &[u8]) {
        while let Some(first) = bytes.first() {
            let there = bytes.len() as u64;
            let head_of = |length: u64| bytes.get(..length.min(there) as usize).unwrap_or_default();
            let used = match self.outer {
                Outer::Nowhere => return,
                Outer::Head => {
                    self.head.push(*first);
                    if self.head.len() == framing::HEAD_BYTES {
                        self.decide(side, place + 1 - framing::HEAD_BYTES as u64);
                    }
                    1
                }
                Outer::Envelope => {
                    let used = self.envelopes.feed(side, place, bytes, &mut self.secrets);
                    if self.envelopes.is_lost {
                        self.outer = Outer::Nowhere;
                    } else if self.envelopes.is_between() {
                        self.outer = Outer::Head;
                    }
                    used
                }
                Outer::Payload(left) => {
                    let piece = head_of(left);
                    let used = self.envelopes.feed(side, place, piece, &mut self.secrets);
                    self.outer = payload(left - used);
                    used
                }
                Outer::Packed(left, None) => {
                    self.head.push(*first);
                    let is_known = self.head.len() == PACKED_HEAD_BYTES || left == 1;
                    let what = is_known.then(|| what_is_packed(side, &std::mem::take(&mut self.head)));
                    self.outer = packed(left - 1, what);
                    1
                }
                Outer::Packed(left, Some(mut what)) => {
                    let piece = head_of(left);
                    what.find(place, piece, &mut self.secrets);
                    self.outer = packed(left - piece.len() as u64, Some(what));
                    piece.len() as u64
                }
                Outer::Checksum(left) => {
                    let used = left.min(there);
                    self.outer = checksum(left - used);
                    used
                }
            };
            place += used;
            bytes = bytes.get(used as usize..).unwrap_or_default();
        }
    }

    /// The head at `begin` is there: what begins with it?
    fn decide(&mut self, side: Side, begin: u64) {
        let head = std::mem::take(&mut self.head);
        let Some(frame) = framing::header(&head) else {
            self.outer = Outer::Envelope;
            self.envelopes = Envelopes::default();
            return self.feed(side, begin, &head);
        };
        if frame.is_self_contained {
            self.envelopes = Envelopes::default();
        }
        self.outer = match frame.unpacked {
            None => Outer::Payload(frame.payload.into()),
            Some(_) => Outer::Packed(frame.payload.into(), None),
        };
        let rest = head.get(frame.header_bytes..).unwrap_or_default();
        self.feed(side, begin + frame.header_bytes as u64, rest);
    }

    /// Goes on behind what was not kept.
    fn pass(&mut self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        self.outer = match self.outer {
            Outer::Envelope if bytes <= self.envelopes.left => {
                self.envelopes.pass(bytes);
                if self.envelopes.is_between() { Outer::Head } else { Outer::Envelope }
            }
            Outer::Payload(left) if bytes <= left + CHECKSUM_BYTES => {
                self.envelopes.pass(bytes.min(left));
                if bytes <= left { payload(left - bytes) } else { checksum(left + CHECKSUM_BYTES - bytes) }
            }
            Outer::Packed(left, what) if bytes <= left + CHECKSUM_BYTES => {
                self.head.clear();
                let what = what.or(Some(What::Secret(0)));
                if bytes <= left {
                    packed(left - bytes, what)
                } else {
                    checksum(left + CHECKSUM_BYTES - bytes)
                }
            }
            Outer::Checksum(left) if bytes <= left => checksum(left - bytes),
            _ => Outer::Nowhere,
        };
    }
}

fn payload(left: u64) -> Outer {
    if left == 0 { Outer::Checksum(CHECKSUM_BYTES) } else { Outer::Payload(left) }
}

fn packed(left: u64, what: Option<What>) -> Outer {
    if left == 0 { Outer::Checksum(CHECKSUM_BYTES) } else { Outer::Packed(left, what) }
}

fn checksum(left: u64) -> Outer {
    if left == 0 { Outer::Head } else { Outer::Checksum(left) }
}

fn what_is_packed(side: Side, head: &[u8]) -> What {
    let unpacked = unpack::lz4(head, HEADER_BYTES);
    if unpacked.len() < HEADER_BYTES {
        return What::Secret(0);
    }
    match envelope::header(side, &unpacked).map(|header| What::of(header.opcode, false)) {
        Some(What::Secret(_)) => What::Secret(0),
        Some(what) => what,
        None => What::Plain,
    }
}

impl Envelopes {
    fn is_between(&self) -> bool {
        self.head.is_empty() && self.left == 0
    }

    /// Reads on, at most to the end of an envelope. Returns how many bytes that took.
    fn feed(&mut self, side: Side, place: u64, bytes: &[u8], secrets: &mut Secrets) -> u64 {
        let there = bytes.len() as u64;
        if self.is_lost {
            return there;
        }
        if self.left > 0 {
            let used = self.left.min(there);
            self.what.find(place, bytes.get(..used as usize).unwrap_or_default(), secrets);
            self.left -= used;
            return used;
        }
        let Some(first) = bytes.first() else { return 0 };
        self.head.push(*first);
        if let Some((opcode, left, is_compressed)) = whole_header(side, &self.head) {
            self.head.clear();
            self.left = left;
            self.what = What::of(opcode, is_compressed);
        } else if self.head.len() >= HEADER_BYTES {
            self.is_lost = true;
        }
        1
    }

    fn pass(&mut self, bytes: u64) {
        match self.left.checked_sub(bytes) {
            Some(left) => self.left = left,
            None => self.is_lost = true,
        }
    }
}

/// Opcode, length of the body, whether that is compressed. Before version 3 headers are a byte shorter.
fn whole_header(side: Side, head: &[u8]) -> Option<(Opcode, u64, bool)> {
    let widened = match head {
        [version @ (1 | 2 | 0x81 | 0x82), flags, stream, rest @ ..] if rest.len() == 5 => {
            let stream = [if *version < 0x80 || *stream < 0x80 { 0 } else { 0xff }, *stream];
            [&[version & 0x80 | 3, *flags][..], &stream, rest].concat()
        }
        [1 | 2 | 0x81 | 0x82, ..] => return None,
        _ => head.to_vec(),
    };
    let header = envelope::header(side, &widened)?;
    Some((header.opcode, header.length.into(), header.is_compressed()))
}

impl What {
    fn of(opcode: Opcode, is_compressed: bool) -> Self {
        match opcode {
            // The length comes first.
            Opcode::AuthResponse | Opcode::AuthChallenge | Opcode::AuthSuccess => {
                Self::Secret(if is_compressed { 0 } else { 4 })
            }
            Opcode::Credentials => Self::Secret(0),
            Opcode::Query | Opcode::Prepare | Opcode::Batch => Self::Text(Scan::default()),
            _ => Self::Plain,
        }
    }

    /// Finds the secrets in a piece of a body.
    fn find(&mut self, place: u64, piece: &[u8], secrets: &mut Secrets) {
        match self {
            Self::Plain => {}
            Self::Secret(open) => {
                let length = piece.len() as u64;
                let passed = length.min(*open);
                *open -= passed;
                secrets.add(place + passed, place + length);
            }
            Self::Text(scan) => {
                for (place, byte) in (place..).zip(piece) {
                    if scan.is_secret(*byte) {
                        secrets.add(place, place + 1);
                    }
                }
            }
        }
    }
}
