//! Cassandra and what speaks like it (ScyllaDB, YugabyteDB): the native protocol of CQL, versions 3 to 5, the last with
//! its frames. In: envelopes. Out: an exchange a statement that is run or prepared.
//!
//! Rules: `doc/native_protocol_v3.spec` to `v5.spec` of Cassandra, <https://cassandra.apache.org/doc/latest/>.

mod body;
mod codec;
mod envelope;
mod framing;
mod redactor;
mod scan;

use crate::statement::Dialect;
use crate::{Definition, Opening, Recognition, Side, Statement, System, Transport};
use envelope::{HEADER_BYTES, Header, Opcode};

/// Cassandra.
pub(crate) static DEFINITION: Definition = Definition {
    name: "cassandra",
    title: "Cassandra",
    opening: Opening::Any,
    ports: &[9042, 9142],
    alpn: &[],
    transport: Transport::Stream,
    system: System::Database("cassandra"),
    statement: Statement::Sql(Dialect::Cql),
    recognise,
    codec: |_| Box::new(codec::CassandraCodec::default()),
    redactor: Some(|| Box::new(redactor::CassandraRedactor::default())),
};

/// Headers have few bits that are fixed, so the body has to fit too. Frames carry a checksum of their header. Results
/// go on with any bytes.
fn recognise(side: Side, bytes: &[u8], size: u64) -> Recognition {
    if let Some(frame) = framing::header(bytes) {
        let payload = bytes.get(frame.header_bytes..).unwrap_or_default();
        return match envelope::header(side, payload) {
            Some(_) => Recognition::Certain,
            None => Recognition::Likely,
        };
    }
    let Some(header) = envelope::header(side, bytes) else { return Recognition::Open };
    let body = bytes.get(HEADER_BYTES..).unwrap_or_default();
    let is_exact = size == HEADER_BYTES as u64 + u64::from(header.length);
    match judge(&header, body) {
        Recognition::Certain if !is_exact && size > 2 * HEADER_BYTES as u64 => Recognition::Likely,
        Recognition::Possible if is_exact => Recognition::Likely,
        recognition => recognition,
    }
}

fn judge(header: &Header, body: &[u8]) -> Recognition {
    use crate::cursor::Cursor;
    let mut cursor = Cursor::new(body);
    if header.is_compressed() {
        return Recognition::Possible;
    }
    match header.opcode {
        Opcode::Options if header.length == 0 => Recognition::Likely,
        Opcode::Startup if body.windows(11).any(|window| window == b"CQL_VERSION") => Recognition::Certain,
        Opcode::Query | Opcode::Prepare if header.flags == 0 => {
            let length = cursor.u32_be().unwrap_or(u32::MAX);
            let text = cursor.take_head(usize::try_from(length).unwrap_or(usize::MAX).min(40));
            let is_text = !text.is_empty() && text.iter().all(|byte| matches!(byte, b'\t'..=b'\r' | b' '..));
            if is_text && length < header.length { Recognition::Certain } else { Recognition::Open }
        }
        Opcode::Result if header.flags == 0 && !matches!(cursor.u32_be(), Some(1..=5)) => Recognition::Open,
        Opcode::Ready if header.length != 0 => Recognition::Open,
        _ => Recognition::Possible,
    }
}

#[cfg(test)]
mod tests;
