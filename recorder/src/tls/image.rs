//! As much of an ELF file as is asked for: headers when it is opened, then pieces of stated size.
//!
//! In: anything that can be read at an offset; its bytes are a stranger's. Out: bytes by file offset, by address and by
//! section. The file is read, not mapped: a file that is cut short while it is mapped kills its reader. Little-endian
//! 64-bit files of x86-64 and AArch64.
//!
//! Format: <https://gabi.xinuos.com/>

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::FileExt;

use object::elf::{
    EM_AARCH64, EM_X86_64, FileHeader64, PF_W, PF_X, PT_LOAD, ProgramHeader64, SHF_COMPRESSED, SHN_XINDEX,
    SHT_NOBITS, SectionHeader64,
};
use object::pod::{Pod, from_bytes, slice_from_bytes};
use object::{LittleEndian, U32};

use super::points::NoPoints;

const LE: LittleEndian = LittleEndian;
/// Programs have some dozens; what was compiled with a section a function is linked into few.
const SECTIONS_LIMIT: usize = 4096;
const SEGMENTS_LIMIT: usize = 256;
const SECTION_NAMES_LIMIT_BYTES: u64 = 1 << 20;
/// What one file may cost: two passes over the symbols of the biggest programs, and over what they have as constants.
const READ_LIMIT_BYTES: u64 = 1 << 30;
/// What is read at once of a table that is gone through.
const CHUNK_BYTES: u64 = 256 << 10;

/// What can be read at an offset.
pub trait ReadAt {
    /// Fills as much of the buffer as there is from `offset` on.
    ///
    /// # Errors
    /// When the file cannot be read.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

impl ReadAt for File {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let at = offset.checked_add(filled as u64).ok_or(io::ErrorKind::InvalidInput)?;
            match FileExt::read_at(self, rest, at) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

impl<R: ReadAt + ?Sized> ReadAt for &R {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        (**self).read_at(offset, buffer)
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }
}

/// What the instructions are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machine {
    /// x86-64.
    X86_64,
    /// 64-bit Arm.
    Aarch64,
}

/// A piece of the file and the address that it is linked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) address: u64,
    pub(super) offset: u64,
    /// What the file has of it.
    pub(super) bytes: u64,
    pub(super) is_code: bool,
    /// The program may write to it.
    pub(super) is_data: bool,
}

/// A section that the file has bytes for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) name: Vec<u8>,
    pub(super) kind: u32,
    pub(super) address: u64,
    pub(super) offset: u64,
    pub(super) bytes: u64,
    /// The section that this one belongs to, such as the strings of symbols.
    pub(super) link: u32,
}

impl Section {
    /// Where it is in the file.
    pub(super) fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.bytes)
    }
}

/// An ELF file.
pub(super) struct Image<'a> {
    file: &'a dyn ReadAt,
    pub(super) machine: Machine,
    pub(super) segments: Vec<Segment>,
    /// By index; what has no bytes in the file has none here.
    pub(super) sections: Vec<Section>,
    budget_bytes: Cell<u64>,
}

impl<'a> Image<'a> {
    /// Reads the headers.
    pub(super) fn open(file: &'a dyn ReadAt) -> Result<Self, NoPoints> {
        let mut head = [0; size_of::<FileHeader64<LittleEndian>>()];
        let read = file.read_at(0, &mut head).map_err(|error| NoPoints::Unreadable(error.kind()))?;
        let (Some(b"\x7fELF"), Some(class)) = (head.get(..4), head.get(4)) else {
            return Err(NoPoints::NotElf);
        };
        if read < head.len() {
            return Err(NoPoints::Malformed("the file ends in its header"));
        }
        if *class != 2 || head.get(5) != Some(&1) {
            return Err(NoPoints::Machine("not a 64-bit little-endian file"));
        }
        let (header, _) = from_bytes::<FileHeader64<LittleEndian>>(&head)
            .map_err(|()| NoPoints::Malformed("the file ends in its header"))?;
        let machine = match header.e_machine.get(LE) {
            EM_X86_64 => Machine::X86_64,
            EM_AARCH64 => Machine::Aarch64,
            _ => return Err(NoPoints::Machine("neither x86-64 nor AArch64")),
        };
        let (segments, sections) = (Vec::new(), Vec::new());
        let mut image = Self { file, machine, segments, sections, budget_bytes: Cell::new(READ_LIMIT_BYTES) };
        image.read_segments(header)?;
        image.read_sections(header)?;
        Ok(image)
    }

    fn read_segments(&mut self, header: &FileHeader64<LittleEndian>) -> Result<(), NoPoints> {
        let count = usize::from(header.e_phnum.get(LE));
        if count > SEGMENTS_LIMIT {
            return Err(NoPoints::TooLarge("program headers"));
        }
        if usize::from(header.e_phentsize.get(LE)) != size_of::<ProgramHeader64<LittleEndian>>() {
            return Err(NoPoints::Malformed("its program headers have no size that is known"));
        }
        let bytes = self.rows::<ProgramHeader64<LittleEndian>>(header.e_phoff.get(LE), count)?;
        self.segments = cast::<ProgramHeader64<LittleEndian>>(&bytes)
            .iter()
            .filter(|segment| segment.p_type.get(LE) == PT_LOAD)
            .map(|segment| Segment {
                address: segment.p_vaddr.get(LE),
                offset: segment.p_offset.get(LE),
                bytes: segment.p_filesz.get(LE),
                is_code: segment.p_flags.get(LE) & PF_X != 0,
                is_data: segment.p_flags.get(LE) & PF_W != 0,
            })
            .collect();
        Ok(())
    }

    /// A file without sections is one that was stripped of them.
    fn read_sections(&mut self, header: &FileHeader64<LittleEndian>) -> Result<(), NoPoints> {
        let (offset, count) = (header.e_shoff.get(LE), usize::from(header.e_shnum.get(LE)));
        if offset == 0 || count == 0 {
            return Ok(());
        }
        if count > SECTIONS_LIMIT {
            return Err(NoPoints::TooLarge("section headers"));
        }
        if usize::from(header.e_shentsize.get(LE)) != size_of::<SectionHeader64<LittleEndian>>() {
            return Err(NoPoints::Malformed("its section headers have no size that is known"));
        }
        let bytes = self.rows::<SectionHeader64<LittleEndian>>(offset, count)?;
        let rows = cast::<SectionHeader64<LittleEndian>>(&bytes);
        let names = match header.e_shstrndx.get(LE) {
            SHN_XINDEX => None,
            index => rows.get(usize::from(index)),
        };
        let names = match names.filter(|names| names.sh_type.get(LE) != SHT_NOBITS) {
            Some(names) => self
                .bytes(names.sh_offset.get(LE), names.sh_size.get(LE).min(SECTION_NAMES_LIMIT_BYTES))
                .map_err(|_| NoPoints::Malformed("the names of its sections are beyond its end"))?,
            None => Vec::new(),
        };
        self.sections = rows
            .iter()
            .map(|row| {
                let kind = row.sh_type.get(LE);
                let is_compressed = row.sh_flags.get(LE) & u64::from(SHF_COMPRESSED) != 0;
                let has_bytes = kind != SHT_NOBITS && !is_compressed;
                Section {
                    name: text_at(&names, row.sh_name.get(LE) as usize).to_vec(),
                    kind,
                    address: row.sh_addr.get(LE),
                    offset: row.sh_offset.get(LE),
                    bytes: if has_bytes { row.sh_size.get(LE) } else { 0 },
                    link: row.sh_link.get(LE),
                }
            })
            .collect();
        Ok(())
    }

    /// The section with this name, if it has bytes.
    pub(super) fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name.as_bytes() && section.bytes > 0)
    }

    /// Where in the file the byte with this address is.
    pub(super) fn offset_of(&self, address: u64) -> Option<u64> {
        let segment =
            self.segments.iter().find(|segment| is_within(address, segment.address, segment.bytes))?;
        (address - segment.address).checked_add(segment.offset)
    }

    /// The same for an instruction.
    pub(super) fn code_offset_of(&self, address: u64) -> Option<u64> {
        let holds =
            |segment: &&Segment| segment.is_code && is_within(address, segment.address, segment.bytes);
        let segment = self.segments.iter().find(holds)?;
        (address - segment.address).checked_add(segment.offset)
    }

    /// `length` bytes of the file from `offset` on, all of them.
    pub(super) fn bytes(&self, offset: u64, length: u64) -> Result<Vec<u8>, NoPoints> {
        let bytes = self.bytes_at_most(offset, length)?;
        if bytes.len() as u64 != length {
            return Err(NoPoints::Malformed("a piece of it is beyond its end"));
        }
        Ok(bytes)
    }

    /// The same, or as many as there are.
    pub(super) fn bytes_at_most(&self, offset: u64, length: u64) -> Result<Vec<u8>, NoPoints> {
        let rest =
            self.budget_bytes.get().checked_sub(length).ok_or(NoPoints::TooLarge("all that is read"))?;
        self.budget_bytes.set(rest);
        let length = usize::try_from(length).map_err(|_| NoPoints::TooLarge("a piece"))?;
        let mut bytes = vec![0; length];
        let read =
            self.file.read_at(offset, &mut bytes).map_err(|error| NoPoints::Unreadable(error.kind()))?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// `length` bytes from `address` on, all of them.
    pub(super) fn bytes_at(&self, address: u64, length: u64) -> Result<Vec<u8>, NoPoints> {
        let offset = self.offset_of(address).ok_or(NoPoints::Malformed("an address is in no segment"))?;
        self.bytes(offset, length)
    }

    /// A little-endian number at an address.
    pub(super) fn word_at(&self, address: u64) -> Result<u64, NoPoints> {
        Ok(number(&self.bytes_at(address, 8)?))
    }

    /// Goes through a piece of the file. What `visit` gets after the first time begins with the last `overlap` bytes
    /// of what it got before, so that no text is cut; and it gets where that is in the file.
    pub(super) fn walk(
        &self,
        range: Range<u64>,
        overlap: u64,
        mut visit: impl FnMut(u64, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), NoPoints> {
        let mut at = range.start;
        while at < range.end {
            let length = (range.end - at).min(CHUNK_BYTES.max(2 * overlap));
            let bytes = self.bytes_at_most(at, length)?;
            let is_last = (bytes.len() as u64) < length || at + length == range.end;
            if visit(at, &bytes).is_break() || is_last {
                break;
            }
            at += length - overlap;
        }
        Ok(())
    }

    /// Goes through the rows of a table.
    pub(super) fn walk_rows<T: Pod>(
        &self,
        range: Range<u64>,
        mut visit: impl FnMut(&T) -> ControlFlow<()>,
    ) -> Result<(), NoPoints> {
        let row_bytes = (size_of::<T>() as u64).max(1);
        let chunk_bytes = CHUNK_BYTES / row_bytes * row_bytes;
        let mut at = range.start;
        while at < range.end {
            let bytes = self.bytes_at_most(at, chunk_bytes.min(range.end - at))?;
            for row in cast::<T>(&bytes) {
                if visit(row).is_break() {
                    return Ok(());
                }
            }
            if (bytes.len() as u64) < chunk_bytes {
                break;
            }
            at += chunk_bytes;
        }
        Ok(())
    }

    fn rows<T: Pod>(&self, offset: u64, count: usize) -> Result<Vec<u8>, NoPoints> {
        self.bytes(offset, (count * size_of::<T>()) as u64)
    }
}

/// The rows of a table, without what is too short to be one.
fn cast<T: Pod>(bytes: &[u8]) -> &[T] {
    slice_from_bytes(bytes, bytes.len() / size_of::<T>().max(1)).map_or(&[], |(rows, _)| rows)
}

fn is_within(address: u64, start: u64, bytes: u64) -> bool {
    address.checked_sub(start).is_some_and(|at| at < bytes)
}

/// The text from `at` to the next zero.
pub(super) fn text_at(bytes: &[u8], at: usize) -> &[u8] {
    bytes.get(at..).and_then(|rest| rest.split(|byte| *byte == 0).next()).unwrap_or_default()
}

/// A little-endian number of at most 8 bytes.
pub(super) fn number(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// The 32-bit number at an offset of these bytes.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let (number, _) = from_bytes::<U32<LittleEndian>>(bytes.get(at..)?).ok()?;
    Some(number.get(LE))
}

/// The 64-bit number at an offset of these bytes.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(number(bytes.get(at..)?.get(..8)?))
}
