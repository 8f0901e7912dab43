//! Dubbo 2: calls by identifier, with the service and method that they are of.
//!
//! In: a header of 16 bytes with flags, status, identifier and length, and a body in Hessian 2 or another encoding. Out:
//! exchanges by that identifier. Heartbeats and other events are none, and neither is what the server asks the client.
//!
//! Rules: <https://cn.dubbo.apache.org/en/overview/reference/protocols/tcp/>,
//! <http://hessian.caucho.com/doc/hessian-serialization.html>.

mod body;
mod codec;
mod header;

use crate::{Definition, Opening, Recognition, Side, Statement, System, Transport};
use header::{Header, Next};

/// Dubbo 2.
pub(crate) static DEFINITION: Definition = Definition {
    name: "dubbo",
    title: "Dubbo 2",
    opening: Opening::Any,
    ports: &[20880],
    alpn: &[],
    transport: Transport::Stream,
    system: System::Rpc("dubbo"),
    statement: Statement::Plain,
    recognise,
    codec: |_| Box::new(codec::DubboCodec::default()),
    redactor: None,
};

/// A header has two fixed bytes, flags with a known encoding, a status where there may be one, and a length that ends the
/// call or another header. In the middle of a body there may be any bytes.
fn recognise(_side: Side, bytes: &[u8], size: u64) -> Recognition {
    let Next::Header(header) = header::next(bytes) else { return Recognition::Open };
    let rest = usize::try_from(header.whole()).ok().and_then(|end| bytes.get(end..)).unwrap_or_default();
    let is_followed = matches!(header::next(rest), Next::Header(_));
    let body = bytes.get(Header::BYTES..).unwrap_or_default();
    let has_names = header.is_call() && body::names(header.encoding, body).is_some();
    if header.whole() == size || is_followed || has_names {
        Recognition::Certain
    } else {
        Recognition::Likely
    }
}

#[cfg(test)]
mod tests;
