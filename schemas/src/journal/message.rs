//! Messages of an IPC stream, checked before they are decoded: nothing is allocated by a length that the bytes at
//! hand do not have.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::{MessageHeader, root_as_message};

/// Before each message: a continuation marker and the length of its metadata.
pub(super) const PREFIX_BYTES: usize = 8;
const CONTINUATION: [u8; 4] = [0xff; 4];

/// What the next bytes of a stream are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prefix {
    /// A message, whose metadata has this length.
    Metadata(u32),
    /// The end marker: a length of 0.
    End,
    /// No message.
    Foreign,
}

pub(super) fn prefix(bytes: [u8; PREFIX_BYTES]) -> Prefix {
    let (marker, length) = bytes.split_at(CONTINUATION.len());
    let length = length.try_into().map(u32::from_le_bytes).unwrap_or_default();
    match (marker == CONTINUATION, length) {
        (false, _) => Prefix::Foreign,
        (true, 0) => Prefix::End,
        (true, length) => Prefix::Metadata(length),
    }
}

/// What a message's metadata says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    /// Length of the body that follows.
    pub(super) body_bytes: u64,
    /// Whether it is the schema; otherwise it is a batch.
    pub(super) is_schema: bool,
}

/// Reads metadata; an error in words when it is damaged, or of a kind that no journal has.
pub(super) fn facts(metadata: &[u8]) -> Result<Facts, &'static str> {
    let message = root_as_message(metadata).map_err(|_| "a message's metadata is damaged")?;
    let body_bytes = u64::try_from(message.bodyLength()).map_err(|_| "a message has a negative length")?;
    match message.header_type() {
        MessageHeader::Schema => Ok(Facts { body_bytes, is_schema: true }),
        MessageHeader::RecordBatch => {
            let batch = message.header_as_record_batch().ok_or("a message has no batch")?;
            // Compressed bodies state their own sizes; the writer makes none.
            if batch.compression().is_some() {
                return Err("a batch is compressed, which no journal's is");
            }
            let within = |offset: i64, length: i64| {
                let end = offset.checked_add(length).and_then(|end| u64::try_from(end).ok());
                offset >= 0 && length >= 0 && end.is_some_and(|end| end <= body_bytes)
            };
            let fits = batch
                .buffers()
                .is_none_or(|buffers| buffers.iter().all(|buffer| within(buffer.offset(), buffer.length())));
            if fits {
                Ok(Facts { body_bytes, is_schema: false })
            } else {
                Err("a batch points outside of its message")
            }
        }
        _ => Err("a message is of a kind that no journal has"),
    }
}

/// Decodes one whole message. The decoder is known to panic on some damaged input; here that is one more way to
/// say "damaged". After an error the decoder is of no more use.
pub(super) fn decode(decoder: &mut StreamDecoder, message: Buffer) -> Result<Option<RecordBatch>, String> {
    let mut rest = message;
    let mut decode = || decoder.decode(&mut rest).map_err(|error| error.to_string());
    catch_unwind(AssertUnwindSafe(&mut decode)).unwrap_or_else(|_| Err("a batch is damaged".to_owned()))
}
