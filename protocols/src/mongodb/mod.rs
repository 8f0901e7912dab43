//! MongoDB's wire protocol: OP_MSG, the queries of old that connections begin with, and both compressed with Snappy.
//! In: messages. Out: an exchange a command, with its name, collection, shape, and what the server made of it.
//!
//! Rules: <https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/>,
//! <https://github.com/mongodb/specifications/blob/master/source/message/OP_MSG.md>.

mod bson;
mod codec;
mod command;
mod redactor;
mod wire;

use crate::{Definition, Opening, Recognition, Side, Statement, System, Transport};
use wire::{Body, HEADER_BYTES};

/// MongoDB.
pub(crate) static DEFINITION: Definition = Definition {
    name: "mongo",
    title: "MongoDB",
    opening: Opening::Any,
    ports: &[27017, 27018, 27019],
    alpn: &[],
    transport: Transport::Stream,
    system: System::Database("mongodb"),
    // Values are left out of the shapes.
    statement: Statement::Plain,
    recognise,
    codec: |_| Box::new(codec::MongoCodec::default()),
    redactor: Some(|| Box::new(redactor::MongoRedactor::default())),
};

/// A header says length, operation and, of requests, that it answers nothing; then come flags, lengths and the first
/// element of a document. The header often is a call of its own. Big messages go on with any bytes.
fn recognise(side: Side, bytes: &[u8], size: u64) -> Recognition {
    let Some(header) = wire::header(bytes) else { return Recognition::Open };
    if (side == Side::Client) != (header.response_to == 0) {
        return Recognition::Open;
    }
    let length = header.length as usize;
    let end = length.min(bytes.len());
    let body = bytes.get(HEADER_BYTES..end).unwrap_or_default();
    if body.is_empty() {
        return if size == HEADER_BYTES as u64 { Recognition::Likely } else { Recognition::Open };
    }
    match wire::body(header.operation, body, length > end) {
        Body::Document { elements: Some(elements), .. } | Body::Query { elements: Some(elements), .. }
            if command::is_plausible(&elements) =>
        {
            Recognition::Certain
        }
        Body::Reply { elements: Some(elements), .. } if command::is_plausible(&elements) => {
            Recognition::Certain
        }
        Body::Foreign => Recognition::Open,
        _ => Recognition::Likely,
    }
}

#[cfg(test)]
mod tests;
