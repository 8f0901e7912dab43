//! NATS: messages to subjects and from subscriptions, with and without headers.
//!
//! In: lines, of which some say how many bytes of a message follow. Out: an exchange a message, which ends with its last
//! byte; where the client asked for it (`verbose`), the status of one that was sent is what the server answers.
//!
//! Rules: <https://docs.nats.io/reference/reference-protocols/nats-protocol>.

mod codec;
mod line;
mod redactor;

use crate::{Definition, Opening, Recognition, Side, Statement, System, Transport};
use line::{Line, Message, Next};

/// NATS.
pub(crate) static DEFINITION: Definition = Definition {
    name: "nats",
    title: "NATS",
    opening: Opening::ServerGreets,
    ports: &[4222],
    alpn: &[],
    transport: Transport::Stream,
    system: System::Messaging("nats"),
    statement: Statement::Plain,
    recognise,
    codec: |_| Box::new(codec::NatsCodec::default()),
    redactor: Some(|| Box::new(redactor::NatsRedactor::default())),
};

/// A message's line has a subject and a length behind which the line ends; what opens a connection is JSON behind a word.
/// In the middle of a message there may be any bytes.
fn recognise(side: Side, bytes: &[u8], _size: u64) -> Recognition {
    let line = match line::next(side, bytes) {
        Next::Line(line) => line,
        Next::Long(Line::Connect(_) | Line::Info) => return Recognition::Certain,
        Next::Long(_) | Next::Wait | Next::Foreign => return Recognition::Open,
    };
    match line {
        Line::Connect(_) | Line::Info => Recognition::Certain,
        Line::Message(message) => match message.is_ended(bytes) {
            Some(true) => Recognition::Certain,
            Some(false) => Recognition::Open,
            None if message.header_bytes > 0 && begins_with_headers(&message, bytes) => Recognition::Certain,
            None => Recognition::Likely,
        },
        Line::Subscribe => Recognition::Likely,
        // Others have such words too.
        Line::Ping | Line::Pong | Line::Taken | Line::Error(_) => Recognition::Possible,
        Line::Unsubscribe => Recognition::Possible,
    }
}

fn begins_with_headers(message: &Message<'_>, bytes: &[u8]) -> bool {
    bytes.get(message.line_bytes..).is_some_and(|rest| rest.starts_with(line::HEADERS_BEGIN))
}

#[cfg(test)]
mod tests;
