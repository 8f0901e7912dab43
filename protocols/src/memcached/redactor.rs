//! Blanks what clients log in with: the values of SASL requests, and the `set` that carries user and password where
//! memcached was started with a file of them (`-Y`). That one is like any other `set`, so until the server has granted
//! something every short `set` is taken for it; no reader needs its data.

use super::{binary, text};
use crate::stream::Pushed;
use crate::{Chunk, Redactor, Secrets, Side, Stream};

/// A name and a password are not longer together.
const MAX_LOGIN_BYTES: u64 = 512;

/// What is known of the connection.
#[derive(Debug, Default)]
pub(super) struct MemcachedRedactor {
    stream: Stream,
    secrets: Secrets,
    /// The server has granted something.
    is_granted: bool,
    /// Bytes of the server's line that were seen, up to two, and the first of them.
    line: (u8, u8),
}

impl Redactor for MemcachedRedactor {
    fn redact(&mut self, side: Side, position: u64, size: u64, bytes: &mut [u8]) -> usize {
        if side == Side::Server {
            self.hear(bytes);
            return 0;
        }
        // A break needs no care: the stream goes on at this call.
        let (Pushed::Continues | Pushed::Broken) =
            self.stream.push(&Chunk { position, size, bytes, time_ns: 0 });
        self.read();
        self.secrets.apply(position, size, bytes)
    }
}

impl MemcachedRedactor {
    /// `ERROR` and `CLIENT_ERROR` are all that is said to who has not logged in.
    fn hear(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.is_granted {
                return;
            }
            self.line = match (self.line, byte) {
                (_, b'\n') => (0, 0),
                ((0, _), _) => (1, *byte),
                ((1, first), second) => {
                    self.is_granted = !matches!((first, *second), (b'C', b'L') | (b'E', b'R'));
                    (2, first)
                }
                (line, _) => line,
            };
        }
    }

    fn read(&mut self) {
        loop {
            let here = self.stream.position();
            let bytes = self.stream.bytes();
            match bytes.first() {
                None => return,
                Some(&binary::REQUEST) => {
                    if bytes.len() < binary::HEADER_BYTES {
                        return;
                    }
                    let Some(header) = binary::header(bytes) else { return self.stream.discard() };
                    let begin = here + binary::HEADER_BYTES as u64;
                    let end = begin + u64::from(header.body);
                    if header.is_secret() {
                        self.secrets.add(begin + u64::from(header.extras) + u64::from(header.key), end);
                    }
                    self.stream.skip(end - here);
                }
                Some(_) => {
                    let Some((line, length)) = text::line(bytes) else {
                        if bytes.len() >= text::MAX_LINE_BYTES {
                            self.stream.discard();
                        }
                        return;
                    };
                    let Some(command) = text::command(line) else { return self.stream.discard() };
                    let begin = here + length as u64;
                    let data = command.data.unwrap_or_default();
                    if !self.is_granted && command.name == "set" && data <= MAX_LOGIN_BYTES {
                        self.secrets.add(begin, begin + data);
                    }
                    self.stream.skip(length as u64 + command.data.map_or(0, |data| data + 2));
                }
            }
        }
    }
}
