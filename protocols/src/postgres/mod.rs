//! PostgreSQL: simple and extended queries, pipelines, COPY, errors with their SQLSTATE.
//!
//! Rules: <https://www.postgresql.org/docs/current/protocol.html>, protocol 3.0.

mod codec;
mod redactor;

use crate::statement::Dialect;
use crate::{Definition, Opening, Recognition, Side, Statement, System, Transport};

/// PostgreSQL, and what speaks like it: PgBouncer, CockroachDB.
pub(crate) static DEFINITION: Definition = Definition {
    name: "postgres",
    title: "PostgreSQL",
    opening: Opening::Any,
    ports: &[5432, 6432, 26257],
    alpn: &[b"postgresql"],
    transport: Transport::Stream,
    system: System::Database("postgresql"),
    statement: Statement::Sql(Dialect::Postgres),
    recognise,
    codec: |_| Box::new(codec::PostgresCodec::default()),
    redactor: Some(|| Box::new(redactor::PostgresRedactor::default())),
};

/// Types of messages that clients send, and servers.
const FROM_CLIENT: &[u8] = b"QPBEDCSFXHdcfp";
const FROM_SERVER: &[u8] = b"RKSZTDC123nNtEIGHWAdcsvV";
/// The longest message that is taken for one.
const MAX_MESSAGE_BYTES: u64 = 1 << 30;

/// Kinds of the first message of a client, which has a code in the place of a type.
const PROTOCOL_3: u32 = 3 << 16;
const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;

/// The length that a message says, without its type; and the code of one without a type.
fn length(bytes: &[u8]) -> Option<u64> {
    let length = u64::from(u32::from_be_bytes(*bytes.first_chunk()?));
    (4..=MAX_MESSAGE_BYTES).contains(&length).then_some(length)
}

/// The code of a first message, when it is one.
fn startup(bytes: &[u8]) -> Option<u32> {
    let length = length(bytes)?;
    let code = u32::from_be_bytes(*bytes.get(4..)?.first_chunk()?);
    match code {
        SSL | GSS => (length == 8).then_some(code),
        CANCEL => (length == 16).then_some(code),
        _ => (code >> 16 == PROTOCOL_3 >> 16 && (9..=10_000).contains(&length)).then_some(code),
    }
}

/// Follows the messages of a call to its end: how many there are, the type of the last, and whether it ends there.
fn walk(bytes: &[u8], size: u64, types: &[u8]) -> Option<(u32, u8, bool)> {
    let mut at = 0_u64;
    let mut messages = 0;
    let mut last = 0;
    while at < size {
        let Some(rest) =
            usize::try_from(at).ok().and_then(|at| bytes.get(at..)).filter(|rest| rest.len() >= 5)
        else {
            return (messages > 0).then_some((messages, last, false));
        };
        let kind = *rest.first()?;
        if !types.contains(&kind) {
            return None;
        }
        at += 1 + length(rest.get(1..)?)?;
        last = kind;
        messages += 1;
    }
    Some((messages, last, at == size))
}

fn recognise(side: Side, bytes: &[u8], size: u64) -> Recognition {
    match side {
        Side::Client => {
            if let Some(code) = startup(bytes) {
                // A version alone could be chance; with the name of a parameter it is none.
                let has_user = bytes.windows(5).any(|window| window == b"user\0");
                return if matches!(code, SSL | GSS) || has_user {
                    Recognition::Certain
                } else {
                    Recognition::Likely
                };
            }
            match walk(bytes, size, FROM_CLIENT) {
                Some((1, b'Q', true)) if is_query(bytes) => Recognition::Certain,
                // A batch ends with Sync or Flush.
                Some((2.., b'S' | b'H', true)) => Recognition::Certain,
                Some((_, b'p', true)) => Recognition::Possible,
                _ => Recognition::Open,
            }
        }
        Side::Server => match (bytes, walk(bytes, size, FROM_SERVER)) {
            ([b'S' | b'N'], _) => Recognition::Open,
            ([b'R', 0, 0, 0, _, ..], Some(_)) => Recognition::Likely,
            (_, Some((2.., b'Z', true))) => Recognition::Certain,
            (_, Some((2.., ..))) => Recognition::Possible,
            _ => Recognition::Open,
        },
    }
}

/// Whether it is a query: text that ends with a zero, if its end is there.
fn is_query(bytes: &[u8]) -> bool {
    let text = bytes.get(5..).unwrap_or_default();
    let text = text.strip_suffix(b"\0").unwrap_or(text);
    !text.contains(&0) && text.first().is_none_or(|byte| byte.is_ascii())
}

#[cfg(test)]
mod tests;
