//! Blanks scheme and credential of authentications, passwords of sessions, and tokens of SASL.

use super::messages::{self, MAX_MESSAGE_BYTES, SASL, Shape};
use crate::cursor::Cursor;
use crate::stream::Pushed;
use crate::{Chunk, PerSide, Redactor, Secrets, Side, Stream, blank};

/// Steps of SASL whose replies are waited for.
const MAX_STEPS: usize = 8;
/// Bytes of a message that tell where its secrets are: up to the length of the longest scheme's credential.
const ENOUGH_BYTES: usize = 96;

/// What is known of a connection.
#[derive(Debug, Default)]
pub(super) struct ZookeeperRedactor {
    sides: PerSide<Reading>,
    /// The xids of steps of SASL that were not answered.
    steps: Vec<i32>,
}

#[derive(Debug, Default)]
struct Reading {
    stream: Stream,
    secrets: Secrets,
    /// It is known where messages begin.
    is_known: bool,
    /// It once was: the connection is one of this protocol.
    was_known: bool,
}

impl Redactor for ZookeeperRedactor {
    fn redact(&mut self, side: Side, position: u64, size: u64, bytes: &mut [u8]) -> usize {
        let reading = self.sides.of(side);
        if reading.stream.push(&Chunk { position, size, bytes, time_ns: 0 }) == Pushed::Broken {
            reading.is_known = false;
        }
        let is_lost = !reading.read(side, &mut self.steps);
        if is_lost && side == Side::Client && reading.was_known {
            // It may be the rest of a credential, and tells a reader nothing.
            return blank(bytes);
        }
        reading.secrets.apply(position, size, bytes)
    }
}

impl Reading {
    /// Reads what is there. False when it does not know where it is.
    fn read(&mut self, side: Side, steps: &mut Vec<i32>) -> bool {
        loop {
            if self.stream.lacks() > 0 {
                return true;
            }
            let bytes = self.stream.bytes();
            let Some((length, body)) = messages::length(bytes) else { return self.waits(bytes.is_empty()) };
            if messages::four_letters(bytes).is_some() && !self.is_known {
                self.stream.discard();
                return true;
            }
            let enough = ENOUGH_BYTES.min(length as usize);
            if body.len() < enough && !self.stream.is_cut() && length <= MAX_MESSAGE_BYTES {
                // Where a secret is shows before its first byte.
                self.find(side, length, steps);
                return true;
            }
            if messages::shape(side, body, length) == Shape::Other {
                self.is_known = false;
                self.stream.discard();
                return false;
            }
            self.is_known = true;
            self.was_known = true;
            let xid = Cursor::new(body).i32_be();
            let begins_step = side == Side::Client && is_step(body) && steps.len() < MAX_STEPS;
            self.find(side, length, steps);
            if side == Side::Server {
                steps.retain(|step| Some(*step) != xid);
            } else if begins_step {
                steps.extend(xid);
            }
            self.stream.skip(4 + u64::from(length));
        }
    }

    /// A length of which only a part is there.
    fn waits(&self, is_empty: bool) -> bool {
        is_empty || self.is_known || !self.stream.is_cut()
    }

    /// Notes what is known of the secrets in the message that comes next.
    fn find(&mut self, side: Side, length: u32, steps: &[i32]) {
        let begin = self.stream.position() + 4;
        let end = begin + u64::from(length);
        let Some(body) = self.stream.bytes().get(4..) else { return };
        if let Some((place, password)) = messages::password(side, body, length) {
            self.secrets.add(begin + place as u64, begin + (place + password) as u64);
        } else if side == Side::Client
            && let Some(scheme) = messages::scheme(body)
        {
            let behind = begin + scheme.end() as u64;
            self.secrets.add(begin + scheme.begin as u64, behind.min(end));
            self.secrets.add((behind + 4).min(end), end);
        } else if side == Side::Client && is_step(body) {
            self.secrets.add((begin + 12).min(end), end);
        } else if side == Side::Server
            && let Some(xid) = Cursor::new(body).i32_be()
            && steps.contains(&xid)
            && xid >= 0
        {
            self.secrets.add((begin + 20).min(end), end);
        }
    }
}

/// Whether a request is a step of SASL.
fn is_step(body: &[u8]) -> bool {
    let mut cursor = Cursor::new(body);
    matches!((cursor.i32_be(), cursor.i32_be()), (Some(0..), Some(SASL)))
}
