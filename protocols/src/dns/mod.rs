//! DNS: datagrams, streams (RFC 7766, also inside TLS) and what speaks like it (mDNS, LLMNR). In: messages. Out: an
//! exchange a question, with the name, the kind of record and the addresses in the answer.
//!
//! Rules: RFC 1035, RFC 6891 (EDNS), RFC 6762 (mDNS).

mod codec;
mod message;

use crate::{Definition, Opening, Recognition, Side, Statement, System, Transport};
use message::Message;

/// DNS.
pub(crate) static DEFINITION: Definition = Definition {
    name: "dns",
    title: "DNS",
    opening: Opening::Any,
    ports: &[53, 853],
    alpn: &[b"dot"],
    transport: Transport::StreamAndDatagrams,
    system: System::Dns,
    statement: Statement::Plain,
    recognise,
    codec: |transport| Box::new(codec::DnsCodec::new(transport)),
    redactor: None,
};

/// A message that is read to its last byte is no chance: flags, counts, names and lengths all fit. In streams two bytes
/// of length come first, often in a call of their own; a long answer goes on with any bytes.
fn recognise(side: Side, bytes: &[u8], size: u64) -> Recognition {
    let size = usize::try_from(size).unwrap_or(usize::MAX).max(bytes.len());
    if let Some(message) = message::parse(bytes, size) {
        // Who asks is not always known of datagrams.
        let is_expected = message.is_response == (side == Side::Server);
        return match judge(&message) {
            Recognition::Certain if !is_expected => Recognition::Likely,
            recognition => recognition,
        };
    }
    let Some(([high, low], rest)) = bytes.split_first_chunk() else { return Recognition::Open };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let there = rest.get(..length.min(rest.len())).unwrap_or_default();
    match message::parse(there, length) {
        Some(message) if message.is_response == (side == Side::Server) && length + 2 <= size => {
            judge(&message)
        }
        _ => Recognition::Open,
    }
}

fn judge(message: &Message) -> Recognition {
    match message.question {
        Some(_) if message.is_whole => Recognition::Certain,
        Some(_) if message.is_cut => Recognition::Likely,
        None if message.is_whole && !message.answers.is_empty() => Recognition::Likely,
        _ => Recognition::Open,
    }
}

#[cfg(test)]
mod tests;
