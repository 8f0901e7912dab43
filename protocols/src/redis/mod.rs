//! Redis and what speaks like it (Valkey, KeyDB, Dragonfly): RESP2 and RESP3, inline commands, pipelines, pub/sub.
//!
//! Rules: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

mod codec;
mod redactor;
mod resp;

use crate::{Definition, Opening, Recognition, Side, Statement, System, Transport};

/// Redis.
pub(crate) static DEFINITION: Definition = Definition {
    name: "redis",
    title: "Redis",
    opening: Opening::Any,
    ports: &[6379, 6380, 26379],
    alpn: &[],
    transport: Transport::Stream,
    system: System::Database("redis"),
    statement: Statement::Command,
    recognise,
    codec: |_| Box::new(codec::RedisCodec::default()),
    redactor: Some(|| Box::new(redactor::RedisRedactor::default())),
};

/// A request is an array of strings; nothing else begins `*1\r\n$4\r\n`. An answer of one line looks like other
/// protocols' answers, so it says little.
fn recognise(side: Side, bytes: &[u8], _size: u64) -> Recognition {
    match (side, bytes) {
        (Side::Client, [b'*', rest @ ..]) => match header(rest) {
            Header::Number(1.., [b'$', rest @ ..]) => match header(rest) {
                Header::Number(1.., [first, ..]) if first.is_ascii_alphabetic() => Recognition::Certain,
                Header::Number(1.., []) | Header::Cut => Recognition::Likely,
                _ => Recognition::No,
            },
            Header::Number(1.., []) | Header::Cut => Recognition::Open,
            _ => Recognition::No,
        },
        // Inline commands are for people; one is taken when it is the best known.
        (Side::Client, _) if bytes.starts_with(b"PING\r\n") => Recognition::Likely,
        (Side::Client, _) if is_command(bytes) => Recognition::Possible,
        (Side::Client, _) => Recognition::No,
        (Side::Server, [b'+' | b'-', text @ ..]) => match text.iter().position(|byte| *byte == b'\r') {
            Some(end) if text.get(end + 1).is_none_or(|byte| *byte == b'\n') => Recognition::Possible,
            None if !text.contains(&b'\n') => Recognition::Open,
            _ => Recognition::No,
        },
        (Side::Server, [b'$' | b'*' | b':' | b'%' | b'~' | b'>' | b'|' | b'=' | b'!', rest @ ..]) => {
            match header(rest) {
                Header::Number(..) => Recognition::Likely,
                Header::Cut => Recognition::Open,
                Header::Other => Recognition::No,
            }
        }
        (Side::Server, [b'_', b'\r', ..] | [b'#', b't' | b'f', b'\r', ..]) => Recognition::Possible,
        (Side::Server, [b',' | b'(', ..]) => Recognition::Open,
        (Side::Server, _) => Recognition::No,
    }
}

/// Whether the first word is a command that people type.
fn is_command(bytes: &[u8]) -> bool {
    let end = bytes.iter().position(|byte| matches!(byte, b' ' | b'\r' | b'\n')).unwrap_or(bytes.len());
    let word = bytes.get(..end).unwrap_or_default();
    [&b"AUTH"[..], b"HELLO", b"PING", b"INFO", b"SELECT", b"CONFIG", b"ECHO", b"EXISTS", b"INCR", b"DBSIZE"]
        .iter()
        .any(|command| command.eq_ignore_ascii_case(word))
}

enum Header<'bytes> {
    /// A number and its line end, and what follows.
    Number(i64, &'bytes [u8]),
    Cut,
    Other,
}

fn header(bytes: &[u8]) -> Header<'_> {
    match resp::line(bytes) {
        Some((line, rest)) => resp::number(line).map_or(Header::Other, |number| Header::Number(number, rest)),
        None if bytes.len() < 20 && bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'\r')) => {
            Header::Cut
        }
        None => Header::Other,
    }
}

#[cfg(test)]
mod tests;
