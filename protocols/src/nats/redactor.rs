//! Blanks what clients say of themselves when they connect, but for what is known to be no secret.

use crate::stream::Pushed;
use crate::{Chunk, Redactor, Secrets, Side, Stream};

use super::line::{self, Line, Next};

/// Texts that stay: all others may be a password, a token, a key or a signature.
const PLAIN: [&[u8]; 5] = [b"name", b"user", b"lang", b"version", b"account"];
/// A name of a field that is longer is none of these.
const MAX_NAME_BYTES: usize = 16;

/// What is known of a connection.
#[derive(Debug, Default)]
pub(super) struct NatsRedactor {
    stream: Stream,
    secrets: Secrets,
    place: Place,
}

/// Where in what the client says the next byte is.
#[derive(Debug, Default)]
enum Place {
    #[default]
    BetweenLines,
    Options(Options),
    /// In options whose beginning was lost.
    Blind,
}

/// Where in a JSON text the next byte is.
#[derive(Debug, Default)]
struct Options {
    /// The last text outside of a value: the name of the value that follows.
    name: Vec<u8>,
    is_value: bool,
    is_text: bool,
    is_escaped: bool,
}

impl Redactor for NatsRedactor {
    fn redact(&mut self, side: Side, position: u64, size: u64, bytes: &mut [u8]) -> usize {
        if side == Side::Server {
            return 0;
        }
        let chunk = Chunk { position, size, bytes, time_ns: 0 };
        if self.stream.push(&chunk) == Pushed::Broken {
            let begins_line = !matches!(line::next(side, self.stream.bytes()), Next::Foreign);
            let was_between = matches!(self.place, Place::BetweenLines);
            self.place = if begins_line || was_between { Place::BetweenLines } else { Place::Blind };
        }
        while self.read() {}
        self.secrets.apply(position, size, bytes)
    }
}

impl NatsRedactor {
    /// Whether something was there to be read.
    fn read(&mut self) -> bool {
        let bytes = self.stream.bytes();
        if bytes.is_empty() {
            return false;
        }
        let here = self.stream.position();
        let line_end = bytes.iter().position(|byte| *byte == b'\n');
        let length = match &mut self.place {
            Place::BetweenLines => match line::next(Side::Client, bytes) {
                Next::Line(Line::Connect(_)) | Next::Long(_) => {
                    self.place = Place::Options(Options::default());
                    return true;
                }
                Next::Line(Line::Message(message)) => message.whole(),
                Next::Line(_) => line_end.unwrap_or_default() as u64 + 1,
                Next::Wait => return false,
                Next::Foreign => {
                    self.stream.discard();
                    return false;
                }
            },
            Place::Options(options) => {
                let text = bytes.get(..line_end.map_or(bytes.len(), |end| end + 1)).unwrap_or_default();
                for (place, byte) in (here..).zip(text) {
                    if options.is_secret(*byte) {
                        self.secrets.add(place, place + 1);
                    }
                }
                text.len() as u64
            }
            Place::Blind => {
                let length = line_end.unwrap_or(bytes.len()) as u64;
                self.secrets.add(here, here + length);
                length + u64::from(line_end.is_some())
            }
        };
        if line_end.is_some() {
            self.place = Place::BetweenLines;
        }
        self.stream.skip(length);
        true
    }
}

impl Options {
    /// Takes the next byte. Whether it is secret.
    fn is_secret(&mut self, byte: u8) -> bool {
        if !self.is_text {
            match byte {
                b'"' => {
                    self.is_text = true;
                    if !self.is_value {
                        self.name.clear();
                    }
                }
                b':' => self.is_value = true,
                b',' | b'{' | b'}' => self.is_value = false,
                _ => {}
            }
            return false;
        }
        if !self.is_escaped && byte == b'"' {
            self.is_text = false;
            return false;
        }
        self.is_escaped = byte == b'\\' && !self.is_escaped;
        if !self.is_value {
            if self.name.len() < MAX_NAME_BYTES {
                self.name.push(byte);
            }
            return false;
        }
        !PLAIN.contains(&self.name.as_slice())
    }
}
