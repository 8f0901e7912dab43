use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::buffer::{Buffer, MutableBuffer};
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamDecoder;

use super::entry::{ENTRY_BYTES, Entry};
use super::message::{self, PREFIX_BYTES, Prefix};

/// What a journal gave.
#[derive(Debug)]
pub struct JournalRead {
    /// Every whole batch, in order.
    pub batches: Vec<RecordBatch>,
    /// Bytes of the stream that were used.
    pub valid_bytes: u64,
    /// Whether checksums vouch for the batches; false when the checksum file is missing.
    pub verified: bool,
    /// What could not be used, if anything.
    pub cut: Option<Cut>,
}

/// A part of a journal that is torn or damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Bytes of the stream that were not used.
    pub lost_bytes: u64,
    /// What is wrong with the first of them, in words.
    pub reason: String,
}

/// Reads a journal whole.
///
/// # Errors
/// Only when the file cannot be opened. A torn or damaged journal gives what is whole in it.
pub fn read_journal(stream: &Path) -> io::Result<JournalRead> {
    let mut reader = JournalReader::open(stream)?;
    let batches = reader.by_ref().collect();
    let valid_bytes = reader.valid_bytes();
    let verified = reader.is_verified();
    Ok(JournalRead { batches, valid_bytes, verified, cut: reader.into_cut() })
}

/// Reads a journal batch by batch: one frame is in memory at a time.
pub struct JournalReader {
    stream: File,
    stream_bytes: u64,
    /// The checksum entries that are left, or `None` when there is no checksum file.
    entries: Option<std::vec::IntoIter<Option<Entry>>>,
    /// Up to where the stream was looked at.
    position: u64,
    decoder: StreamDecoder,
    /// The schema message, to begin anew after a damaged frame.
    header: Option<Buffer>,
    /// The messages of the current frame that are left.
    frame: Option<Buffer>,
    valid_bytes: u64,
    problem: Option<String>,
}

impl JournalReader {
    /// Opens `<table>.arrows`; its checksums are looked for in `<table>.crc` beside it.
    ///
    /// # Errors
    /// When the stream cannot be opened.
    pub fn open(stream: &Path) -> io::Result<Self> {
        // The checksums first: while a recorder writes, the stream is always ahead of them.
        let mut problem = None;
        let entries = match read_entries(&stream.with_extension("crc")) {
            Ok(entries) => Some(entries.into_iter()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                problem = Some(format!("the checksums cannot be read: {error}"));
                None
            }
        };
        let stream = File::open(stream)?;
        let stream_bytes = stream.metadata()?.len();
        Ok(Self {
            stream,
            stream_bytes,
            entries,
            position: 0,
            decoder: StreamDecoder::new(),
            header: None,
            frame: None,
            valid_bytes: 0,
            problem,
        })
    }

    /// The schema, once the first batch was asked for.
    pub fn schema(&self) -> Option<SchemaRef> {
        self.decoder.schema()
    }

    /// Bytes of the stream that gave batches, or the schema.
    pub fn valid_bytes(&self) -> u64 {
        self.valid_bytes
    }

    /// Whether checksums vouch for the batches.
    pub fn is_verified(&self) -> bool {
        self.entries.is_some()
    }

    /// What could not be used; to be asked after the last batch.
    pub fn into_cut(self) -> Option<Cut> {
        let lost_bytes = self.stream_bytes.saturating_sub(self.valid_bytes);
        if lost_bytes == 0 && self.problem.is_none() {
            return None;
        }
        let reason = self.problem.unwrap_or_else(|| {
            if self.valid_bytes == 0 {
                "it has no schema".to_owned()
            } else {
                format!("{lost_bytes} bytes at the end have no checksum: writing was interrupted")
            }
        });
        Some(Cut { lost_bytes, reason })
    }

    fn note(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }

    /// Loads the next frame; false at the end.
    fn next_frame(&mut self) -> bool {
        match &mut self.entries {
            Some(entries) => match entries.next() {
                Some(Some(entry)) => self.load_checked(entry),
                Some(None) => self.note("an entry of the checksum file is damaged".to_owned()),
                None => return false,
            },
            None => return self.load_unchecked(),
        }
        true
    }

    /// Loads the frame of an entry, when it is in the stream, in its place and whole.
    fn load_checked(&mut self, entry: Entry) {
        let Some(start) = entry.start().filter(|start| *start >= self.position) else {
            return self.note(format!("the checksum file has a frame before byte {}", self.position));
        };
        if entry.end > self.stream_bytes {
            return self.note(format!("it ends in the middle of a batch at byte {}", self.stream_bytes));
        }
        match self.read_at(start, entry.length as usize) {
            Ok(frame) if crc32c::crc32c(&frame) == entry.crc => {
                self.position = entry.end;
                self.frame = Some(frame);
            }
            Ok(_) => self.note(format!("bytes {start} to {} do not match their checksum", entry.end)),
            Err(error) => self.note(format!("bytes {start} to {} cannot be read: {error}", entry.end)),
        }
    }

    /// Loads the next message without a checksum; false at the end or where the stream is no longer whole: without
    /// frames there is no place to go on from.
    fn load_unchecked(&mut self) -> bool {
        let left = self.stream_bytes.saturating_sub(self.position);
        if left == 0 {
            return false;
        }
        match self.next_message(left) {
            Ok(Some(message)) => {
                self.position += message.len() as u64;
                self.frame = Some(message);
                true
            }
            Ok(None) => {
                self.valid_bytes += PREFIX_BYTES as u64;
                false
            }
            Err(problem) => {
                self.note(format!("{problem}, at byte {}", self.position));
                false
            }
        }
    }

    /// The next whole message, or `None` at the end marker.
    fn next_message(&mut self, left: u64) -> Result<Option<Buffer>, String> {
        const CUT: &str = "it ends in the middle of a batch";
        if left < PREFIX_BYTES as u64 {
            return Err(CUT.to_owned());
        }
        let prefix = self.read_at(self.position, PREFIX_BYTES).map_err(|error| error.to_string())?;
        let prefix = message::prefix(prefix.as_slice().try_into().unwrap_or_default());
        let metadata_bytes = match prefix {
            Prefix::Metadata(bytes) => u64::from(bytes),
            Prefix::End => return Ok(None),
            Prefix::Foreign => return Err("it is no Arrow stream".to_owned()),
        };
        let head = PREFIX_BYTES as u64 + metadata_bytes;
        if head > left {
            return Err(CUT.to_owned());
        }
        let metadata = self
            .read_at(self.position + PREFIX_BYTES as u64, usize::try_from(metadata_bytes).map_err(|_| CUT)?)
            .map_err(|error| error.to_string())?;
        let length = head
            .checked_add(message::facts(&metadata)?.body_bytes)
            .filter(|length| *length <= left)
            .ok_or(CUT)?;
        let length = usize::try_from(length).map_err(|_| CUT)?;
        self.read_at(self.position, length).map(Some).map_err(|error| error.to_string())
    }

    /// Bytes of the stream; the caller has checked that it has them.
    fn read_at(&mut self, start: u64, length: usize) -> io::Result<Buffer> {
        self.stream.seek(SeekFrom::Start(start))?;
        // Aligned, so that arrays are made without a copy.
        let mut bytes = MutableBuffer::from_len_zeroed(length);
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }

    /// The next batch of the current frame, or `None` when it has no more.
    fn next_in_frame(&mut self) -> Option<RecordBatch> {
        while let Some(frame) = self.frame.take().filter(|frame| !frame.is_empty()) {
            match self.decode_first(frame) {
                Ok(Some(batch)) => return Some(batch),
                Ok(None) => {}
                Err(problem) => {
                    self.note(problem);
                    self.restart();
                }
            }
        }
        None
    }

    /// Decodes the first message of a frame and keeps the others.
    fn decode_first(&mut self, frame: Buffer) -> Result<Option<RecordBatch>, String> {
        const DAMAGED: &str = "a frame is no run of whole messages";
        let (prefix, rest) = frame.split_first_chunk::<PREFIX_BYTES>().ok_or(DAMAGED)?;
        let Prefix::Metadata(metadata_bytes) = message::prefix(*prefix) else {
            return Err(DAMAGED.to_owned());
        };
        let metadata = rest.get(..metadata_bytes as usize).ok_or(DAMAGED)?;
        let facts = message::facts(metadata)?;
        let body_bytes = usize::try_from(facts.body_bytes).map_err(|_| DAMAGED)?;
        let length = (PREFIX_BYTES + metadata.len()).checked_add(body_bytes).ok_or(DAMAGED)?;
        if length > frame.len() {
            return Err(DAMAGED.to_owned());
        }
        let first = frame.slice_with_length(0, length);
        self.frame = Some(frame.slice(length));
        let batch = message::decode(&mut self.decoder, first.clone())?;
        if facts.is_schema {
            self.header.get_or_insert(first);
        }
        self.valid_bytes += length as u64;
        Ok(batch)
    }

    /// A new decoder, which knows the schema if the old one did.
    fn restart(&mut self) {
        self.frame = None;
        self.decoder = StreamDecoder::new();
        if let Some(header) = self.header.clone() {
            let _ = message::decode(&mut self.decoder, header);
        }
    }
}

impl Iterator for JournalReader {
    type Item = RecordBatch;

    fn next(&mut self) -> Option<RecordBatch> {
        loop {
            if let Some(batch) = self.next_in_frame() {
                return Some(batch);
            }
            if !self.next_frame() {
                return None;
            }
        }
    }
}

/// The entries of a checksum file, damaged ones as `None`. A torn last one is left out: its frame counts as not written.
fn read_entries(path: &Path) -> io::Result<Vec<Option<Entry>>> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    let (entries, _) = bytes.as_chunks::<ENTRY_BYTES>();
    Ok(entries.iter().map(Entry::from_bytes).collect())
}
