//! HTTP/2 and gRPC: fields with the table of those said before, padding, continuations, trailers, streams that are
//! reset; also of connections that are older than the recording, and after gaps.
//!
//! Rules: RFC 9113, RFC 7541; for gRPC "gRPC over HTTP2" of its documentation. `frame` reads frames, `hpack`, `huffman`
//! and `fields` read what is in heads, `codec` makes requests and responses of them, `redactor` hides secrets.

mod codec;
mod fields;
mod frame;
mod grpc;
mod head;
mod hpack;
mod huffman;
mod redactor;

use crate::{Definition, Opening, Recognition, Side, Statement, System, Transport};

/// HTTP/2.
pub(crate) static DEFINITION: Definition = Definition {
    name: "http2",
    title: "HTTP/2 and gRPC",
    opening: Opening::ClientSays(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ports: &[80, 443, 8080, 8443, 50051],
    alpn: &[b"h2"],
    transport: Transport::Stream,
    system: System::Http,
    statement: Statement::Plain,
    recognise,
    codec: |_| Box::new(codec::Http2Codec::default()),
    redactor: Some(|| Box::new(redactor::Http2Redactor::default())),
};

/// The client's preface is HTTP/2's alone. Frames that follow each other to the end of the call are hardly anything else.
fn recognise(side: Side, bytes: &[u8], size: u64) -> Recognition {
    let compared = bytes.len().min(frame::PREFACE.len());
    if side == Side::Client && bytes.get(..compared) == frame::PREFACE.get(..compared) {
        return if compared > 3 { Recognition::Certain } else { Recognition::Open };
    }
    let Some(first) = frame::Frame::read(bytes) else {
        // The head of a frame may be read in pieces.
        let may_be = size < frame::HEAD_BYTES as u64
            && bytes.first() == Some(&0)
            && bytes.get(3).is_none_or(|kind| *kind <= 9);
        return if may_be { Recognition::Open } else { Recognition::No };
    };
    if !first.is_likely() {
        return Recognition::No;
    }
    match frame::chain(bytes, size.saturating_sub(bytes.len() as u64)) {
        Some(2..) => Recognition::Likely,
        Some(_) if first.kind == frame::SETTINGS && first.length > 0 => Recognition::Likely,
        Some(_) if first.kind == frame::HEADERS => Recognition::Possible,
        Some(_) => Recognition::Open,
        // The rest of a frame comes later.
        None if size == frame::HEAD_BYTES as u64
            || first.kind == frame::DATA
            || first.kind == frame::HEADERS =>
        {
            Recognition::Open
        }
        None => Recognition::No,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
mod tests;
