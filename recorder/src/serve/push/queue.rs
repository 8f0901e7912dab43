//! The batches that wait for a receiver: files in a folder, bounded, read again after a restart.
//!
//! In: encoded batches. Out: the oldest. A file is `AFTPUSH1`, when it was collected (Unix milliseconds), how many
//! samples it has, the length and the CRC-32C of its body (all little-endian), and the body. It is written under
//! another name first, so that what has the name of a batch is whole.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"AFTPUSH1";
const HEADER_BYTES: usize = 32;
const LOCK: &str = "lock";
const BATCH: &str = "batch";
const UNFINISHED: &str = "unfinished";

/// Why there is no queue.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// Two processes with one queue would send everything twice.
    #[error("{}: another process pushes from this queue; give this one a --push-dir of its own", .0.display())]
    InUse(PathBuf),
    /// The folder cannot be used.
    #[error("{}: {error}; choose another with --push-dir", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// A batch on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) id: u64,
    pub(super) collected_ms: i64,
    pub(super) samples: u64,
    bytes: u64,
}

/// Samples that the queue lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct QueueLosses {
    pub(super) full: u64,
    pub(super) unwritten: u64,
    pub(super) damaged: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Queue {
    folder: PathBuf,
    limit_bytes: u64,
    batches: VecDeque<Batch>,
    bytes: u64,
    next_id: u64,
    /// A batch that is being sent stays.
    sending: Option<u64>,
    pub(super) losses: QueueLosses,
    /// Locked while the queue is open.
    _lock: File,
}

impl Queue {
    /// Opens the queue, with what an earlier process left in it.
    pub(super) fn open(folder: &Path, limit_bytes: u64) -> Result<Self, QueueError> {
        let of_folder = |error| QueueError::Folder { path: folder.to_owned(), error };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(of_folder)?;
        let lock = private().truncate(false).open(folder.join(LOCK)).map_err(of_folder)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => QueueError::InUse(folder.to_owned()),
            TryLockError::Error(error) => of_folder(error),
        })?;
        let mut queue = Self {
            folder: folder.to_owned(),
            limit_bytes,
            batches: VecDeque::new(),
            bytes: 0,
            next_id: 0,
            sending: None,
            losses: QueueLosses::default(),
            _lock: lock,
        };
        queue.find().map_err(of_folder)?;
        queue.make_room(0);
        Ok(queue)
    }

    /// Finds what is there.
    fn find(&mut self) -> io::Result<()> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let id: Option<u64> = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
            match (id, path.extension().and_then(|extension| extension.to_str())) {
                (Some(id), Some(BATCH)) => found.push((id, path)),
                // A process ended while it wrote this.
                (Some(_), Some(UNFINISHED)) => fs::remove_file(path)?,
                _ => {}
            }
        }
        found.sort();
        for (id, path) in found {
            self.next_id = id.saturating_add(1);
            match header(&path, id) {
                Ok(batch) => self.add(batch),
                Err(_) => {
                    self.losses.damaged += 1;
                    fs::remove_file(path)?;
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, batch: Batch) {
        self.bytes += batch.bytes;
        self.batches.push_back(batch);
    }

    /// Puts a batch at the end. When there is no room the oldest are lost; what cannot be written is.
    pub(super) fn push(&mut self, collected_ms: i64, samples: u64, body: &[u8]) {
        let bytes = (HEADER_BYTES + body.len()) as u64;
        if bytes > self.limit_bytes {
            self.losses.full += samples;
            return;
        }
        self.make_room(bytes);
        let batch = Batch { id: self.next_id, collected_ms, samples, bytes };
        self.next_id = self.next_id.saturating_add(1);
        match self.write(batch, body) {
            Ok(()) => self.add(batch),
            Err(_) => {
                let _ = fs::remove_file(self.path(batch.id, UNFINISHED));
                self.losses.unwritten += samples;
            }
        }
    }

    fn make_room(&mut self, bytes: u64) {
        while self.bytes + bytes > self.limit_bytes {
            let oldest = self.batches.iter().find(|batch| Some(batch.id) != self.sending).copied();
            let Some(oldest) = oldest else { return };
            self.losses.full += oldest.samples;
            self.remove(oldest.id);
        }
    }

    fn write(&self, batch: Batch, body: &[u8]) -> io::Result<()> {
        let unfinished = self.path(batch.id, UNFINISHED);
        let mut file = private().truncate(true).open(&unfinished)?;
        let length = u32::try_from(body.len()).map_err(io::Error::other)?;
        let header = [
            &MAGIC[..],
            &batch.collected_ms.to_le_bytes(),
            &batch.samples.to_le_bytes(),
            &length.to_le_bytes(),
            &crc32c::crc32c(body).to_le_bytes(),
        ];
        file.write_all(&header.concat())?;
        file.write_all(body)?;
        file.sync_data()?;
        fs::rename(unfinished, self.path(batch.id, BATCH))
    }

    fn path(&self, id: u64, extension: &str) -> PathBuf {
        self.folder.join(format!("{id:020}.{extension}"))
    }

    /// The oldest batch that is newer than `after`, which stays until it is removed or released. Damaged ones are lost.
    pub(super) fn take(&mut self, after: Option<u64>) -> Option<(Batch, Vec<u8>)> {
        loop {
            let batch = *self.batches.iter().find(|batch| after.is_none_or(|after| batch.id > after))?;
            if let Ok(body) = body(&self.path(batch.id, BATCH)) {
                self.sending = Some(batch.id);
                return Some((batch, body));
            }
            self.losses.damaged += batch.samples;
            self.remove(batch.id);
        }
    }

    /// The batch that was taken waits again.
    pub(super) fn release(&mut self) {
        self.sending = None;
    }

    /// Forgets a batch. False when it was not there any more: then it was counted as lost already.
    pub(super) fn remove(&mut self, id: u64) -> bool {
        let place = self.batches.iter().position(|batch| batch.id == id);
        if let Some(place) = place {
            let removed = self.batches.remove(place);
            self.bytes -= removed.map_or(0, |batch| batch.bytes);
            // What cannot be removed is sent again after a restart: receivers take what they have already.
            let _ = fs::remove_file(self.path(id, BATCH));
        }
        if self.sending == Some(id) {
            self.sending = None;
        }
        place.is_some()
    }

    pub(super) fn batches(&self) -> &VecDeque<Batch> {
        &self.batches
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Metrics of a host are nobody else's.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

struct Header {
    collected_ms: i64,
    samples: u64,
    length: u32,
    crc: u32,
}

fn parse_header(bytes: &[u8; HEADER_BYTES]) -> Option<Header> {
    let (magic, rest) = bytes.split_first_chunk()?;
    let (collected_ms, rest) = rest.split_first_chunk()?;
    let (samples, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    (magic == MAGIC).then_some(Header {
        collected_ms: i64::from_le_bytes(*collected_ms),
        samples: u64::from_le_bytes(*samples),
        length: u32::from_le_bytes(*length),
        crc: u32::from_le_bytes(*rest.first_chunk()?),
    })
}

fn read_header(file: &mut File) -> io::Result<Header> {
    let mut bytes = [0; HEADER_BYTES];
    file.read_exact(&mut bytes)?;
    parse_header(&bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// What the header of a file says, when the file has the length that goes with it.
fn header(path: &Path, id: u64) -> io::Result<Batch> {
    let mut file = File::open(path)?;
    let header = read_header(&mut file)?;
    let bytes = HEADER_BYTES as u64 + u64::from(header.length);
    if file.metadata()?.len() != bytes {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Batch { id, collected_ms: header.collected_ms, samples: header.samples, bytes })
}

fn body(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let header = read_header(&mut file)?;
    let mut body = Vec::new();
    file.take(u64::from(header.length)).read_to_end(&mut body)?;
    let is_whole = body.len() as u64 == u64::from(header.length) && crc32c::crc32c(&body) == header.crc;
    if is_whole { Ok(body) } else { Err(io::ErrorKind::InvalidData.into()) }
}

#[cfg(test)]
mod tests;
