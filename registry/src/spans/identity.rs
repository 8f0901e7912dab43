//! Identifiers of spans and traces: hashes of what names a request.
//!
//! A request is named by its connection and the place in the client's stream where it begins. Both ends of a connection
//! count the same bytes, so both know that place. What has no such place is named by its times and what it says.

use aftertrace_protocols::{Exchange, OwnedValue, Side};
use md5::{Digest, Md5};

use super::span::{SpanId, TraceId};

/// Names a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name(pub(super) [u8; 16]);

/// Names a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RequestName([u8; 16]);

/// Who a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) parent: Option<SpanId>,
    pub(super) flags: Option<u8>,
}

/// The name of what has these parts.
pub(super) fn name(parts: &[&[u8]]) -> Name {
    Name(hash(parts))
}

/// The request that begins there.
pub(super) fn of_place(connection: Name, position: u64) -> RequestName {
    RequestName(hash(&[b"place", &connection.0, &position.to_le_bytes()]))
}

/// A request that is named by all that is known of it.
pub(super) fn of_exchange(connection: Name, exchange: &Exchange) -> RequestName {
    let mut hasher = Md5::new();
    let mut part = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(&connection.0);
    part(&exchange.number.to_le_bytes());
    for time in [exchange.begun_ns, exchange.first_ns, exchange.ended_ns] {
        part(&time.to_le_bytes());
    }
    if let Some(details) = &exchange.details {
        part(details.name.as_bytes());
        for (key, value) in &details.attributes {
            part(key.as_bytes());
            match value {
                OwnedValue::Text(text) => part(text.as_bytes()),
                OwnedValue::Integer(number) => part(&number.to_le_bytes()),
            }
        }
    }
    RequestName(hasher.finalize().into())
}

impl RequestName {
    pub(super) fn trace_id(self) -> TraceId {
        let mut id = hash(&[b"trace", &self.0]);
        // All zero would be none.
        id[15] |= 1;
        TraceId(id)
    }

    pub(super) fn span_id(self, side: Side) -> SpanId {
        let side: &[u8] = match side {
            Side::Client => b"client",
            Side::Server => b"server",
        };
        let [a, b, c, d, e, f, g, h, ..] = hash(&[side, &self.0]);
        SpanId([a, b, c, d, e, f, g, h | 1])
    }
}

fn hash(parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = Md5::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}
