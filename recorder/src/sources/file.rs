//! Reading small kernel files into one buffer that is used again.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

/// Reads files whole, up to a limit, without a new allocation each time.
#[derive(Debug, Default)]
pub(crate) struct FileReader {
    buffer: Vec<u8>,
}

impl FileReader {
    /// The first `limit_bytes` of a file.
    pub(crate) fn read(&mut self, path: &Path, limit_bytes: u64) -> io::Result<&[u8]> {
        self.read_from(File::open(path)?, limit_bytes)
    }

    /// The first `limit_bytes` of a file that is open.
    pub(crate) fn read_fd(&mut self, file: OwnedFd, limit_bytes: u64) -> io::Result<&[u8]> {
        self.read_from(File::from(file), limit_bytes)
    }

    fn read_from(&mut self, file: File, limit_bytes: u64) -> io::Result<&[u8]> {
        self.buffer.clear();
        // Not read_to_end on the file itself: it asks for the size first, which kernel files don't have.
        file.take(limit_bytes).read_to_end(&mut self.buffer)?;
        Ok(&self.buffer)
    }
}

/// The first line of a file without blanks around it; `None` when it is unreadable or empty.
pub(crate) fn first_line(path: &Path) -> Option<String> {
    let mut reader = FileReader::default();
    let text = reader.read(path, 4096).ok()?;
    let line = super::text::lossy(text.split(|byte| *byte == b'\n').next()?);
    let line = line.trim();
    (!line.is_empty()).then(|| line.to_owned())
}
