//! As much of an ELF file as tells what built it: headers and named sections, each read up to a limit.
//!
//! In: anything that can be read at an offset. Out: bytes of sections. Little-endian files of 32 and 64 bits.

use std::fs::File;
use std::os::unix::fs::FileExt;

const MAGIC: &[u8] = b"\x7fELF";
const LITTLE_ENDIAN: u8 = 1;
/// A program has some dozens of sections.
const SECTIONS_LIMIT: u64 = 1024;
const SEGMENTS_LIMIT: u64 = 128;
const NAMES_LIMIT_BYTES: u64 = 64 << 10;
const SEGMENT_LOAD: u64 = 1;
const FLAG_WRITE: u64 = 2;

/// What can be read at an offset.
pub(super) trait ReadAt {
    /// The bytes from `offset` on, `length` of them or as many as there are.
    fn read_at_most(&self, offset: u64, length: u64) -> Vec<u8>;
}

impl ReadAt for File {
    fn read_at_most(&self, offset: u64, length: u64) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let Some(at) = offset.checked_add(filled as u64) else { break };
            match self.read_at(rest, at) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        bytes.truncate(filled);
        bytes
    }
}

/// A piece of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    offset: u64,
    size: u64,
}

/// A section.
#[derive(Debug)]
struct Section {
    name: Vec<u8>,
    piece: Piece,
}

/// A file that is ELF.
pub(super) struct Elf<'a, R> {
    file: &'a R,
    is_64: bool,
    sections: Vec<Section>,
    /// Start of the first writable segment.
    data: Option<Piece>,
}

/// Little-endian numbers of a header that differs with the word size.
struct Header<'a> {
    bytes: &'a [u8],
    is_64: bool,
}

impl Header<'_> {
    fn number(&self, offset: usize, width: usize) -> Option<u64> {
        let bytes = self.bytes.get(offset..)?.get(..width)?;
        Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// A field of `width` bytes at one place in 64-bit files and another in 32-bit ones.
    fn field(&self, in_64: usize, in_32: usize, width: usize) -> Option<u64> {
        self.number(if self.is_64 { in_64 } else { in_32 }, width)
    }

    /// The same for a field as wide as a word of the machine.
    fn word(&self, in_64: usize, in_32: usize) -> Option<u64> {
        if self.is_64 { self.number(in_64, 8) } else { self.number(in_32, 4) }
    }
}

impl<'a, R: ReadAt> Elf<'a, R> {
    /// `None` when it is no ELF file that this can read.
    pub(super) fn open(file: &'a R) -> Option<Self> {
        let bytes = file.read_at_most(0, 64);
        let class = bytes.strip_prefix(MAGIC)?;
        let (Some(class @ 1..=2), Some(&LITTLE_ENDIAN)) = (class.first(), class.get(1)) else { return None };
        let is_64 = *class == 2;
        let header = Header { bytes: &bytes, is_64 };
        let mut elf = Self { file, is_64, sections: Vec::new(), data: None };
        elf.read_segments(&header);
        elf.read_sections(&header);
        Some(elf)
    }

    /// The first bytes of the section with this name.
    pub(super) fn section(&self, name: &str, limit: u64) -> Option<Vec<u8>> {
        let section = self.sections.iter().find(|section| section.name == name.as_bytes())?;
        Some(self.piece(section.piece, limit))
    }

    /// The first bytes of the data that the program may change.
    pub(super) fn data(&self, limit: u64) -> Option<Vec<u8>> {
        Some(self.piece(self.data?, limit))
    }

    /// Tag and value of each entry of the dynamic section.
    pub(super) fn dynamic(&self, limit: u64) -> Vec<(u64, u64)> {
        let bytes = self.section(".dynamic", limit).unwrap_or_default();
        let width = if self.is_64 { 16 } else { 8 };
        let entries = bytes.chunks_exact(width).filter_map(|bytes| {
            let entry = Header { bytes, is_64: self.is_64 };
            Some((entry.word(0, 0)?, entry.word(8, 4)?))
        });
        entries.take_while(|(tag, _)| *tag != 0).collect()
    }

    fn piece(&self, piece: Piece, limit: u64) -> Vec<u8> {
        self.file.read_at_most(piece.offset, piece.size.min(limit))
    }

    fn read_segments(&mut self, header: &Header<'_>) -> Option<()> {
        let (offset, size, count) =
            (header.word(32, 28)?, header.field(54, 42, 2)?, header.field(56, 44, 2)?);
        let bytes = self.table(offset, size, count.min(SEGMENTS_LIMIT), if self.is_64 { 56 } else { 32 })?;
        for bytes in bytes.chunks_exact(usize::try_from(size).ok()?) {
            let segment = Header { bytes, is_64: self.is_64 };
            let is_data = segment.number(0, 4)? == SEGMENT_LOAD && segment.field(4, 24, 4)? & FLAG_WRITE != 0;
            if is_data {
                self.data = Some(Piece { offset: segment.word(8, 4)?, size: segment.word(32, 16)? });
                return Some(());
            }
        }
        None
    }

    fn read_sections(&mut self, header: &Header<'_>) -> Option<()> {
        let (offset, size, count, names) = (
            header.word(40, 32)?,
            header.field(58, 46, 2)?,
            header.field(60, 48, 2)?,
            header.field(62, 50, 2)?,
        );
        let bytes = self.table(offset, size, count.min(SECTIONS_LIMIT), if self.is_64 { 64 } else { 40 })?;
        let rows = bytes.chunks_exact(usize::try_from(size).ok()?).filter_map(|bytes| {
            let section = Header { bytes, is_64: self.is_64 };
            let piece = Piece { offset: section.word(24, 16)?, size: section.word(32, 20)? };
            Some((usize::try_from(section.number(0, 4)?).ok()?, piece))
        });
        let rows: Vec<(usize, Piece)> = rows.collect();
        let (_, names) = *rows.get(usize::try_from(names).ok()?)?;
        let names = self.piece(names, NAMES_LIMIT_BYTES);
        let name_at = |at: usize| names.get(at..)?.split(|byte| *byte == 0).next();
        self.sections = rows
            .iter()
            .filter_map(|(name, piece)| Some(Section { name: name_at(*name)?.to_vec(), piece: *piece }))
            .collect();
        Some(())
    }

    /// The bytes of a table of `count` rows of `size` bytes, which are at least `least`.
    fn table(&self, offset: u64, size: u64, count: u64, least: u64) -> Option<Vec<u8>> {
        (offset > 0 && size >= least && size <= 4 * least)
            .then(|| self.file.read_at_most(offset, size * count))
    }
}
