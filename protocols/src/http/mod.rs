//! HTTP/1.0 and 1.1: pipelines, chunked and cut bodies, upgrades, trace context.
//!
//! Rules: RFC 9110 and RFC 9112.

mod codec;
mod head;

pub(crate) use codec::status as status_of_code;

use crate::text_secrets::TextRedactor;
use crate::{Definition, Opening, Recognition, Side, Statement, System, Transport};

/// HTTP/1.x.
pub(crate) static DEFINITION: Definition = Definition {
    name: "http",
    title: "HTTP/1.x",
    opening: Opening::Any,
    ports: &[80, 8000, 8080, 3000, 5000, 9090],
    alpn: &[b"http/1.1", b"http/1.0"],
    transport: Transport::Stream,
    system: System::Http,
    statement: Statement::Plain,
    recognise,
    codec: |_| Box::new(codec::HttpCodec::default()),
    redactor: Some(|| Box::new(TextRedactor::default())),
};

/// A request line or a status line is HTTP's alone. What is neither may be part of a body.
fn recognise(side: Side, bytes: &[u8], _size: u64) -> Recognition {
    match (side, head::first_line(bytes)) {
        (Side::Client, head::FirstLine::Request { .. }) | (Side::Server, head::FirstLine::Status { .. }) => {
            Recognition::Certain
        }
        (_, head::FirstLine::Cut) => Recognition::Open,
        // Some kinds of the beginnings of a connection that no body has, as it follows a head.
        (_, _) if bytes.starts_with(b"PRI * HTTP/2.0") => Recognition::No,
        (_, _) => Recognition::Open,
    }
}

#[cfg(test)]
mod tests;
