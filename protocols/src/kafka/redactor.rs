//! Blanks the bytes of SASL, with and without Kafka's header, SCRAM credentials, what delegation tokens are proven with,
//! new values of settings, and what is forwarded in an envelope.

use std::collections::VecDeque;

use super::header::Header;
use super::layout::Walked;
use super::{apis, message_length};
use crate::stream::Pushed;
use crate::{Chunk, Redactor, Secrets, Side, Stream};

/// Answers with secrets that are waited for at a time.
const MAX_EXPECTED: usize = 64;

/// What is known of a connection.
#[derive(Debug, Default)]
pub(super) struct KafkaRedactor {
    client: Half,
    server: Half,
    expected: VecDeque<Expected>,
    /// After SaslHandshake version 0: its identifier. Tokens without headers follow its answer.
    handshake: Option<u32>,
}

#[derive(Debug, Default)]
struct Half {
    stream: Stream,
    secrets: Secrets,
    /// A message was read: what cannot be read later is the middle of one.
    is_proven: bool,
    has_begun: bool,
    /// Whether it is not known that the next message begins where the stream goes on.
    is_lost: bool,
}

/// An answer with a secret.
#[derive(Debug, Clone, Copy)]
struct Expected {
    correlation: u32,
    /// Bytes of it that tell nothing.
    plain: u64,
}

impl Redactor for KafkaRedactor {
    fn redact(&mut self, side: Side, position: u64, size: u64, bytes: &mut [u8]) -> usize {
        let half = match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        };
        let pushed = half.stream.push(&Chunk { position, size, bytes, time_ns: 0 });
        half.is_lost |= pushed == Pushed::Broken || (!half.has_begun && position > 0);
        half.has_begun = true;
        match side {
            Side::Client => while self.request() {},
            Side::Server => while self.response() {},
        }
        let half = match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        };
        half.secrets.apply(position, size, bytes)
    }
}

impl Half {
    /// Goes on behind a message, whose bytes from `plain` on are secret if there are so many.
    fn pass(&mut self, length: u64, plain: Option<u64>) {
        if let Some(plain) = plain {
            let here = self.stream.position() + 4;
            self.secrets.add(here + plain, here + length);
        }
        self.is_lost = false;
        self.is_proven = true;
        self.stream.skip(4 + length);
    }

    /// What is there cannot be read: by nobody, so that it may as well be blanked.
    fn give_up(&mut self) {
        if self.is_proven {
            let here = self.stream.position();
            let there = self.stream.bytes().len() as u64;
            self.secrets.add(here, here.saturating_add(there));
        }
        self.is_lost = true;
        self.stream.discard();
    }

    /// Whether a message of this length ends where the call does.
    fn ends_call(&self, length: u64) -> bool {
        4 + length == self.stream.bytes().len() as u64 + self.stream.hole()
    }

    fn length(&mut self) -> Option<u64> {
        let bytes = self.stream.bytes();
        if bytes.len() < 4 {
            return None;
        }
        let length = message_length(bytes);
        if length.is_none() {
            self.give_up();
        }
        length
    }

    fn body(&self, length: u64) -> &[u8] {
        let there = self.stream.bytes().get(4..).unwrap_or_default();
        there.get(..usize::try_from(length).unwrap_or(usize::MAX)).unwrap_or(there)
    }
}

impl KafkaRedactor {
    /// Whether a request was there to be read.
    fn request(&mut self) -> bool {
        let half = &mut self.client;
        let Some(length) = half.length() else { return false };
        let body = half.body(length);
        let header = match Header::read(body, length) {
            Ok(header) => header,
            Err(Walked::Short) if (body.len() as u64) < length => return false,
            Err(_) if self.handshake.is_some() => {
                // What went before as the possible beginning of a request is the first letter of a name at most.
                half.pass(length, Some(0));
                return true;
            }
            Err(_) => {
                half.give_up();
                return false;
            }
        };
        let body_begins = header.end as u64;
        let is_flexible = header.api.is_flexible(header.version);
        let begins = matches!(
            header.key,
            apis::SASL_AUTHENTICATE
                | apis::ALTER_USER_SCRAM_CREDENTIALS
                | apis::RENEW_DELEGATION_TOKEN
                | apis::EXPIRE_DELEGATION_TOKEN
                | apis::ALTER_CONFIGS
                | apis::INCREMENTAL_ALTER_CONFIGS
                | apis::ENVELOPE
        );
        // In the answers the error code comes first.
        let plain = match header.key {
            apis::SASL_AUTHENTICATE | apis::CREATE_DELEGATION_TOKEN | apis::DESCRIBE_DELEGATION_TOKEN => {
                Some(6 + u64::from(is_flexible))
            }
            apis::ENVELOPE => Some(4),
            _ => None,
        };
        self.handshake =
            (header.key == apis::SASL_HANDSHAKE && header.version == 0).then_some(header.correlation);
        if let Some(plain) = plain {
            if self.expected.len() >= MAX_EXPECTED {
                self.expected.pop_front();
            }
            self.expected.push_back(Expected { correlation: header.correlation, plain });
        }
        half.pass(length, begins.then_some(body_begins));
        true
    }

    /// Whether a response was there to be read.
    fn response(&mut self) -> bool {
        let half = &mut self.server;
        let Some(length) = half.length() else { return false };
        let body = half.body(length);
        let Some(correlation) = body.get(..4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes)
        else {
            if length < 4 {
                half.pass(length, Some(0));
                return true;
            }
            return false;
        };
        let place = self.expected.iter().position(|expected| expected.correlation == correlation);
        if let Some(expected) = place.and_then(|place| self.expected.remove(place)) {
            half.pass(length, Some(expected.plain));
            return true;
        }
        match self.handshake {
            Some(handshake) if handshake != correlation => half.pass(length, Some(4)),
            _ if !half.is_lost || half.ends_call(length) => half.pass(length, None),
            _ => {
                // It may be the middle of an answer with a secret only when one is waited for.
                half.is_proven &= !self.expected.is_empty();
                half.give_up();
                return false;
            }
        }
        true
    }
}
