//! The journal of a table: the rows of the open segment, readable at any moment and after any crash.
//!
//! `<table>.arrows` is a plain Arrow IPC stream (no end marker), for any tool that reads one. Beside it,
//! `<table>.crc` has one entry a frame, so that a torn or damaged frame is known for what it is and all the others
//! are still read. A frame is a run of whole IPC messages; the first is the schema.
//!
//! ```text
//! entry, 24 bytes, little endian:
//!   0   u64  offset in the stream at which the frame ends
//!   8   u32  length of the frame, bytes
//!   12  u32  rows in the frame
//!   16  u32  CRC-32C of the frame's bytes
//!   20  u32  CRC-32C of bytes 0..20 of this entry
//! ```

mod entry;
mod message;
mod read;
mod write;

pub use entry::ENTRY_BYTES;
pub use read::{Cut, JournalRead, JournalReader, read_journal};
pub use write::JournalWriter;
