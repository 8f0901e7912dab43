//! RabbitMQ and what else speaks AMQP 0-9-1: messages to exchanges and from queues, on any number of channels.
//!
//! In: the protocol's header, then frames of a type, a channel and a length. Out: a message to the broker is an exchange
//! that ends with its last body frame; where the channel is in confirm mode its status is what the broker says later.
//! A message from the broker is one that began with its method. Other methods are no messages.
//!
//! Rules: <https://www.rabbitmq.com/amqp-0-9-1-protocol>, <https://www.rabbitmq.com/docs/confirms>.

mod channel;
mod codec;
mod content;
mod frame;
mod redactor;

use crate::{Definition, Opening, Recognition, Side, Statement, System, Transport};
use frame::{Frame, Kind, Next};

/// RabbitMQ.
pub(crate) static DEFINITION: Definition = Definition {
    name: "rabbitmq",
    title: "RabbitMQ",
    opening: Opening::ClientSays(b"AMQP"),
    ports: &[5672, 5671],
    alpn: &[],
    transport: Transport::Stream,
    system: System::Messaging("rabbitmq"),
    statement: Statement::Plain,
    recognise,
    codec: |_| Box::new(codec::RabbitCodec::default()),
    redactor: Some(|| Box::new(redactor::RabbitRedactor::default())),
};

/// What a client says first.
const PROTOCOL_HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";

/// A frame has a type, a plausible length and an end mark at its end; one with a method has a known one. In the middle of
/// a body there may be any bytes.
fn recognise(_side: Side, bytes: &[u8], size: u64) -> Recognition {
    if bytes.starts_with(b"AMQP") {
        return match bytes.get(..PROTOCOL_HEADER.len()) {
            Some(PROTOCOL_HEADER) => Recognition::Certain,
            // Another version of it is another protocol.
            Some(_) => Recognition::No,
            None => Recognition::Open,
        };
    }
    let Next::Frame(frame) = frame::next(bytes) else { return Recognition::Open };
    let is_exact = frame.whole() == size;
    match frame.kind {
        Kind::Method if !frame.has_known_method() => Recognition::Open,
        Kind::Method if frame.has_mark(bytes) == Some(true) => Recognition::Certain,
        Kind::Method if has_content(&frame, bytes) || is_exact => Recognition::Likely,
        Kind::Heartbeat => Recognition::Certain,
        Kind::Header if frame.has_mark(bytes) == Some(true) => Recognition::Likely,
        Kind::Body if frame.has_mark(bytes) == Some(true) => Recognition::Possible,
        _ => Recognition::Open,
    }
}

/// Whether the frame of a message's properties follows a method.
fn has_content(frame: &Frame<'_>, bytes: &[u8]) -> bool {
    let rest = usize::try_from(frame.whole()).ok().and_then(|whole| bytes.get(whole..)).unwrap_or_default();
    matches!(frame::next(rest), Next::Frame(Frame { kind: Kind::Header, channel, .. }) if channel == frame.channel)
}

#[cfg(test)]
mod tests;
