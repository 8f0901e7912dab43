//! FoundationDB's native protocol between processes: the connect packet, then messages to endpoints; a reply goes to the
//! endpoint that its request names.
//!
//! Rules: `FlowTransport.actor.cpp`, `flat_buffers.h`, `fdbrpc.h` and the interfaces of
//! <https://github.com/apple/foundationdb>. What an endpoint's token is like is certain, and so is the frame around a
//! message; the messages' own fields change between releases and are not read.

mod codec;
mod messages;

use crate::{Definition, Opening, Recognition, Side, Statement, System, Transport};
use messages::{Frame, Layout};

/// FoundationDB.
pub(crate) static DEFINITION: Definition = Definition {
    name: "foundationdb",
    title: "FoundationDB",
    opening: Opening::Any,
    ports: &[4500, 4501, 4502, 4503, 4520, 4550, 4600],
    alpn: &[],
    transport: Transport::Stream,
    system: System::Database("foundationdb"),
    statement: Statement::Plain,
    recognise,
    codec: |_| Box::new(codec::FoundationdbCodec::default()),
    redactor: None,
};

/// Both sides begin with a connect packet. Later a request is known by its kind, a reply only by its structure.
fn recognise(_side: Side, bytes: &[u8], size: u64) -> Recognition {
    if messages::connect_packet(bytes).is_some() {
        return Recognition::Certain;
    }
    let frames = Layout::ALL.into_iter().filter_map(|layout| Frame::read(bytes, layout));
    let best = frames.filter(|frame| frame.is_whole_message()).map(|frame| match frame.request() {
        Some(_) => Recognition::Certain,
        None if frame.is_reply() && frame.end() <= size => Recognition::Likely,
        None => Recognition::Open,
    });
    best.max_by_key(|recognition| recognition.score()).unwrap_or(Recognition::Open)
}

#[cfg(test)]
mod tests;
