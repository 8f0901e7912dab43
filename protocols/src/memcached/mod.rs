//! Memcached: text commands, meta commands and the binary protocol. In: commands and replies. Out: an exchange a
//! command; a miss is a success.
//!
//! Rules: `doc/protocol.txt` and `doc/protocol-binary.txt` of memcached, <https://docs.memcached.org/protocols/>.

mod binary;
mod codec;
mod redactor;
mod text;

use crate::{Definition, Opening, Recognition, Side, Statement, System, Transport};
use text::{Answer, Kind, Reply};

/// Memcached.
pub(crate) static DEFINITION: Definition = Definition {
    name: "memcached",
    title: "Memcached",
    opening: Opening::Any,
    ports: &[11211],
    alpn: &[],
    transport: Transport::Stream,
    system: System::Database("memcached"),
    statement: Statement::Command,
    recognise,
    codec: |_| Box::new(codec::MemcachedCodec::default()),
    redactor: Some(|| Box::new(redactor::MemcachedRedactor::default())),
};

/// A whole line with a known verb and as many numbers as it takes, or a binary header whose lengths fit. Any bytes may
/// be the middle of a value, so nothing rules it out.
fn recognise(side: Side, bytes: &[u8], size: u64) -> Recognition {
    match (side, bytes.first()) {
        (Side::Client, Some(&binary::REQUEST)) => of_header(bytes, size),
        (Side::Server, Some(&binary::RESPONSE)) => of_header(bytes, size),
        (Side::Client, _) => match text::line(bytes).and_then(|(line, _)| text::command(line)) {
            Some(command) => match command.kind {
                Kind::Store => Recognition::Certain,
                // Queues have these too.
                Kind::Admin | Kind::Quit | Kind::Delete => Recognition::Possible,
                _ => Recognition::Likely,
            },
            None => Recognition::Open,
        },
        (Side::Server, _) => match text::line(bytes).and_then(|(line, _)| text::reply(line)) {
            Some(Reply::Value { .. }) => Recognition::Certain,
            Some(Reply::Line(Answer::Stored | Answer::NotStored)) => Recognition::Likely,
            Some(Reply::Line(Answer::Other)) | None => Recognition::Open,
            Some(_) => Recognition::Possible,
        },
    }
}

fn of_header(bytes: &[u8], size: u64) -> Recognition {
    let Some(header) = binary::header(bytes) else { return Recognition::Open };
    let length = binary::HEADER_BYTES as u64 + u64::from(header.body);
    match length {
        _ if !header.has_usual_extras() => Recognition::Open,
        _ if length == size => Recognition::Certain,
        _ => Recognition::Likely,
    }
}

#[cfg(test)]
mod tests;
