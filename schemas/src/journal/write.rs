use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;

use super::entry::{ENTRY_BYTES, Entry};

/// A frame buffer that grew beyond this is given back.
const KEPT_BUFFER_BYTES: usize = 1 << 20;

/// Writes the journal of a table.
pub struct JournalWriter {
    /// Encodes into memory; each frame is one write to the file.
    encoder: StreamWriter<Vec<u8>>,
    stream: File,
    checksums: File,
    stream_bytes: u64,
    checksum_bytes: u64,
    unsynced: bool,
}

impl JournalWriter {
    /// Begins a journal in two files, both empty, and writes the schema.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn create(stream: File, checksums: File, schema: &Schema) -> io::Result<Self> {
        let encoder = StreamWriter::try_new(Vec::new(), schema).map_err(as_io)?;
        let mut writer =
            Self { encoder, stream, checksums, stream_bytes: 0, checksum_bytes: 0, unsynced: false };
        writer.write_frame(0)?;
        Ok(writer)
    }

    /// Adds a batch: its bytes, then its checksum. It then survives the death of this process, and with
    /// [`sync`](Self::sync) that of the host.
    ///
    /// # Errors
    /// When a file cannot be written; both are then as before, so that the journal stays whole.
    pub fn append(&mut self, batch: &RecordBatch) -> io::Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if let Err(error) = self.encoder.write(batch) {
            self.encoder.get_mut().clear();
            return Err(as_io(error));
        }
        let rows = u32::try_from(batch.num_rows()).map_err(io::Error::other)?;
        self.write_frame(rows)
    }

    /// Waits until everything is on the disk, the data before its checksums.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.unsynced {
            self.stream.sync_data()?;
            self.checksums.sync_data()?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// Bytes of the stream.
    pub fn stream_bytes(&self) -> u64 {
        self.stream_bytes
    }

    /// Bytes of the checksum file.
    pub fn checksum_bytes(&self) -> u64 {
        self.checksum_bytes
    }

    /// Writes what the encoder holds as one frame.
    fn write_frame(&mut self, rows: u32) -> io::Result<()> {
        let frame = self.encoder.get_ref();
        let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
        let end = self.stream_bytes + u64::from(length);
        let entry = Entry { end, length, rows, crc: crc32c::crc32c(frame) };
        let written = self.stream.write_all(frame).and_then(|()| self.checksums.write_all(&entry.to_bytes()));
        let buffer = self.encoder.get_mut();
        buffer.clear();
        buffer.shrink_to(KEPT_BUFFER_BYTES);
        if let Err(error) = written {
            // A full disk lets a file shrink; should it not, the checksums tell the torn frame.
            let _ = restore(&mut self.stream, self.stream_bytes);
            let _ = restore(&mut self.checksums, self.checksum_bytes);
            return Err(error);
        }
        self.stream_bytes = end;
        self.checksum_bytes += ENTRY_BYTES as u64;
        self.unsynced = true;
        Ok(())
    }
}

fn restore(file: &mut File, bytes: u64) -> io::Result<()> {
    file.set_len(bytes)?;
    file.seek(SeekFrom::Start(bytes)).map(drop)
}

fn as_io(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        other => io::Error::other(other),
    }
}
