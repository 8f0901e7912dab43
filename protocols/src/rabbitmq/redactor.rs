//! Blanks what clients answer to mechanisms of authentication, whatever the mechanism, and renewed secrets.

use super::PROTOCOL_HEADER;
use super::frame::{self, Kind, Next};
use crate::{Chunk, PerSide, Redactor, Secrets, Side, Stream};

/// What is known of a connection.
#[derive(Debug, Default)]
pub(super) struct RabbitRedactor {
    halves: PerSide<Half>,
    /// The client was let in: what cannot be read now is no credential.
    is_open: bool,
    is_proven: bool,
}

#[derive(Debug, Default)]
struct Half {
    stream: Stream,
    secrets: Secrets,
}

impl Redactor for RabbitRedactor {
    fn redact(&mut self, side: Side, position: u64, size: u64, bytes: &mut [u8]) -> usize {
        let half = self.halves.of(side);
        half.stream.push(&Chunk { position, size, bytes, time_ns: 0 });
        while self.frame(side) {}
        self.halves.of(side).secrets.apply(position, size, bytes)
    }
}

impl RabbitRedactor {
    /// Whether a frame was there to be read.
    fn frame(&mut self, side: Side) -> bool {
        let half = self.halves.of(side);
        let bytes = half.stream.bytes();
        let here = half.stream.position();
        if !bytes.is_empty() && PROTOCOL_HEADER.starts_with(bytes.get(..8).unwrap_or(bytes)) {
            if bytes.len() < PROTOCOL_HEADER.len() {
                return false;
            }
            half.stream.skip(PROTOCOL_HEADER.len() as u64);
            self.is_proven = true;
            return true;
        }
        let frame = match frame::next(bytes) {
            Next::Frame(frame) => frame,
            Next::Wait => return false,
            Next::Foreign => {
                // The middle of an answer, perhaps, whose beginning was lost.
                if self.is_proven && !self.is_open && side == Side::Client {
                    half.secrets.add(here, here + bytes.len() as u64);
                }
                half.stream.discard();
                return false;
            }
        };
        if frame.kind == Kind::Method {
            let Some((method, _)) = frame.method() else { return false };
            if !frame.has_known_method() {
                half.stream.discard();
                return false;
            }
            if matches!(method, frame::START_OK | frame::SECURE | frame::SECURE_OK | frame::UPDATE_SECRET) {
                // All arguments: the answer is one, and the others are of no use later.
                half.secrets.add(here + 11, here + frame.whole() - 1);
            }
            self.is_proven |= method == frame::START;
            self.is_open |= method == frame::TUNE_OK;
        }
        half.stream.skip(frame.whole());
        true
    }
}
