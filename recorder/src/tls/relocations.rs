//! Pointers in data as they are once the program is loaded.
//!
//! In: an image and an address. Out: the pointer there: the loader's, when it is told to put one there, else the file's.

use std::ops::ControlFlow;

use object::LittleEndian;
use object::elf::{
    R_AARCH64_ABS64, R_AARCH64_RELATIVE, R_X86_64_64, R_X86_64_RELATIVE, Rela64, SHN_UNDEF, SHT_DYNSYM,
    SHT_RELA, Sym64,
};

use super::image::{Image, Machine, Section};
use super::points::NoPoints;

const LE: LittleEndian = LittleEndian;

/// What the loader is told.
pub(super) fn tables<'a>(image: &'a Image<'_>) -> impl Iterator<Item = &'a Section> {
    image.sections.iter().filter(|section| section.kind == SHT_RELA && section.bytes > 0)
}

/// The places that get this pointer, up to a number of them.
pub(super) fn places_of(image: &Image<'_>, pointer: u64, limit: usize) -> Result<Vec<u64>, NoPoints> {
    let (relative, _) = kinds(image.machine);
    let mut places = Vec::new();
    for table in tables(image) {
        image.walk_rows::<Rela64<LittleEndian>>(table.range(), |row| {
            if row.r_type(LE, false) == relative && row.r_addend.get(LE).cast_unsigned() == pointer {
                places.push(row.r_offset.get(LE));
            }
            if places.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
    }
    Ok(places)
}

/// The pointer at an address; `None` when it leads to another file.
pub(super) fn pointer_at(image: &Image<'_>, address: u64) -> Option<u64> {
    let (relative, absolute) = kinds(image.machine);
    let mut found = None;
    for table in tables(image) {
        let walked = image.walk_rows::<Rela64<LittleEndian>>(table.range(), |row| {
            if row.r_offset.get(LE) != address {
                return ControlFlow::Continue(());
            }
            found = Some((row.r_type(LE, false), row.r_sym(LE, false), row.r_addend.get(LE)));
            ControlFlow::Break(())
        });
        walked.ok()?;
    }
    match found {
        None => image.word_at(address).ok(),
        Some((kind, _, addend)) if kind == relative => Some(addend.cast_unsigned()),
        Some((kind, symbol, addend)) if kind == absolute => {
            Some(symbol_value(image, u64::from(symbol))?.wrapping_add_signed(addend))
        }
        Some(_) => None,
    }
}

/// The address of a symbol for linking that the file itself has.
fn symbol_value(image: &Image<'_>, index: u64) -> Option<u64> {
    let symbols = image.sections.iter().find(|section| section.kind == SHT_DYNSYM)?;
    let row_bytes = size_of::<Sym64<LittleEndian>>() as u64;
    let at = symbols.offset + index.checked_mul(row_bytes).filter(|at| *at < symbols.bytes)?;
    let mut value = None;
    let read = image.walk_rows::<Sym64<LittleEndian>>(at..at + row_bytes, |row| {
        value = (row.st_shndx.get(LE) != SHN_UNDEF).then(|| row.st_value.get(LE));
        ControlFlow::Break(())
    });
    read.ok()?;
    value
}

/// The kinds of relocation that are an address of the file, and that of a symbol.
fn kinds(machine: Machine) -> (u32, u32) {
    match machine {
        Machine::X86_64 => (R_X86_64_RELATIVE, R_X86_64_64),
        Machine::Aarch64 => (R_AARCH64_RELATIVE, R_AARCH64_ABS64),
    }
}
