//! Kafka: every API of the protocol, any version of its header, plain and flexible.
//!
//! In: length, then a header with the API's number and version and a correlation identifier, which the response repeats.
//! Out: exchanges by that identifier; the topic, the group and the first error code where the layout of the version is
//! known ([`apis`]).
//!
//! Rules: <https://kafka.apache.org/protocol>.

mod apis;
mod codec;
mod errors;
mod findings;
mod header;
mod layout;
mod redactor;

use crate::{Definition, Opening, Recognition, Side, Statement, System, Transport};
use header::{Header, Judgement};

/// Kafka.
pub(crate) static DEFINITION: Definition = Definition {
    name: "kafka",
    title: "Kafka",
    opening: Opening::Any,
    ports: &[9092, 9093],
    alpn: &[],
    transport: Transport::Stream,
    system: System::Messaging("kafka"),
    statement: Statement::Plain,
    recognise,
    codec: |_| Box::new(codec::KafkaCodec::default()),
    redactor: Some(|| Box::new(redactor::KafkaRedactor::default())),
};

/// A longer message is none: brokers take 100 MiB at most unless told otherwise.
const MAX_MESSAGE_BYTES: u64 = 1 << 30;

/// The length that a message begins with.
fn message_length(bytes: &[u8]) -> Option<u64> {
    let length = u64::from(u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?));
    (length <= MAX_MESSAGE_BYTES).then_some(length)
}

/// A request has a known API in a known version, the name of a client, and a body that fits to its last byte. Who reads
/// a message often reads its length in a call of its own, so that the next one begins behind it. A response says hardly
/// anything. In the middle of a large message there may be any bytes.
fn recognise(side: Side, bytes: &[u8], size: u64) -> Recognition {
    let Some(length) = message_length(bytes) else { return Recognition::Open };
    let is_exact = length + 4 == size;
    let body = bytes.get(4..).unwrap_or_default();
    if side == Side::Server {
        let correlation = body.get(..4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_be_bytes);
        let looks_right = is_exact && length >= 6 && correlation.is_some_and(|number| number >= 0);
        return if looks_right { Recognition::Possible } else { Recognition::Open };
    }
    match header::judge(body, length) {
        Judgement::Whole { has_name: true } => return Recognition::Certain,
        Judgement::Whole { has_name: false } | Judgement::Begins { has_name: true } => {
            return Recognition::Likely;
        }
        Judgement::Begins { has_name: false } => return Recognition::Open,
        Judgement::Other => {}
    }
    match header::judge(bytes, size) {
        Judgement::Whole { has_name: true } => Recognition::Likely,
        Judgement::Begins { has_name: true } => Recognition::Possible,
        // It has the form of a message of something else.
        _ if is_exact && length >= Header::MIN_BYTES && body.len() >= 10 => Recognition::No,
        _ => Recognition::Open,
    }
}

#[cfg(test)]
mod tests;
