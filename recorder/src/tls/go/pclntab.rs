//! Functions by name from the table that Go's runtime makes stack traces with, which stripping leaves.
//!
//! Format: header (magic, two zeros, step of instructions, size of pointers, then words: number of functions and of
//! files, from 1.18 to 1.25 the start of the code, then distances from the header to names, compilation units, files,
//! positions, functions). The functions: pairs of code and of the place of the function's record, relative to the
//! table of functions, and a last code. From 1.18 on code is 32 bits from the start of the code, before it is an
//! address. A record begins with its code and with its name's place among the names. See the Go source files
//! runtime/symtab.go and debug/gosym/pclntab.go.
//!
//! The start of the code is in the runtime's `moduledata`, which begins with a pointer to the header; in a
//! position-independent program that pointer can be in a relocation only.

use std::ops::{ControlFlow, Range};
use std::sync::LazyLock;

use regex::bytes::Regex;

use crate::tls::image::{Image, number, u32_at, u64_at};
use crate::tls::points::{Candidate, NoPoints};
use crate::tls::relocations;
use crate::tls::symbols::Named;

const SECTIONS: &[&str] = &[".gopclntab", ".data.rel.ro.gopclntab"];
const MAGIC_116: u32 = 0xffff_fffa;
const MAGIC_118: u32 = 0xffff_fff0;
const MAGIC_120: u32 = 0xffff_fff1;
const HEADER_BYTES: u64 = 72;
/// The biggest programs have some hundred thousand.
const FUNCTIONS_LIMIT: u64 = 8 << 20;
const NAMES_LIMIT_BYTES: u64 = 512 << 20;
const NAME_LIMIT_BYTES: u64 = 64;
/// Records are looked at in the order of the table, which is that of their places, nearly.
const RECORDS_WINDOW_BYTES: u64 = 256 << 10;
/// There is one pointer to the table; other numbers can look like it.
const PLACES_LIMIT: usize = 64;
/// There is one function of each name.
const FOUND_LIMIT: usize = 16;
/// Beginnings of words in a `moduledata`: after the header come five slices, then that of functions, one pointer, then
/// the least and greatest code of functions, then the start and end of the code.
const MODULE_FUNCTIONS: u64 = 128;
const MODULE_TEXT: u64 = 176;

/// The header in a program whose sections have no names.
#[allow(clippy::unwrap_used, reason = "the expression is constant, and every test compiles it")]
static HEADER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?s-u)[\xfa\xf0\xf1]\xff\xff\xff\x00\x00[\x01\x04]\x08").unwrap());

/// The table.
struct Table {
    /// Where it is in the file and when loaded.
    offset: u64,
    address: u64,
    /// Before 1.18.
    is_old: bool,
    count: u64,
    /// Where names begin in the file, and the functions.
    names: Range<u64>,
    functions: u64,
}

/// The functions with these names.
pub(super) fn functions(image: &Image<'_>, names: &[Named]) -> Result<Vec<Candidate>, NoPoints> {
    let table = find(image)?;
    let wanted = name_places(image, &table, names)?;
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let code_start = if table.is_old { 0 } else { code_start(image, &table)? };
    let mut found = Vec::new();
    let mut window = Window { image, at: 0, bytes: Vec::new() };
    let field_bytes = if table.is_old { 8 } else { 4 };
    let mut last: Option<(u64, u64)> = None;
    // One more row than functions: its code is the end of the last function.
    let end = table.functions + (2 * table.count + 1) * field_bytes;
    let mut error = None;
    let mut visit = |code: u64, place: u64| -> Result<(), NoPoints> {
        if let Some((begin, place)) = last.replace((code, place)) {
            let record = window.get(table.functions.saturating_add(place), 12)?;
            let name = u64::from(u32_at(record, if table.is_old { 8 } else { 4 }).unwrap_or_default());
            if let Some((_, named)) = wanted.iter().find(|(at, _)| *at == name) {
                let bounds = code_start.saturating_add(begin)..code_start.saturating_add(code);
                if found.len() == FOUND_LIMIT {
                    return Err(NoPoints::Malformed("one name for many functions"));
                }
                found.push(Candidate::new(named.role, named.name, bounds));
            }
        }
        Ok(())
    };
    let row_bytes = 2 * field_bytes;
    let mut rows = |_: u64, bytes: &[u8]| {
        for row in bytes.chunks(row_bytes as usize) {
            let (code, place) = row.split_at_checked(field_bytes as usize).unwrap_or((row, &[]));
            if let Err(reason) = visit(number(code), number(place)) {
                error = Some(reason);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    };
    image.walk(table.functions..end, 0, &mut rows)?;
    error.map_or(Ok(found), Err)
}

/// Finds the table and reads its header.
fn find(image: &Image<'_>) -> Result<Table, NoPoints> {
    let unknown = || NoPoints::GoVersion("with a function table of another version".to_owned());
    if let Some(section) = SECTIONS.iter().find_map(|name| image.section(name)) {
        return header(image, section.offset, section.address)?.ok_or_else(unknown);
    }
    let mut found = Ok(None);
    for segment in &image.segments {
        let end = segment.offset.saturating_add(segment.bytes.min(NAMES_LIMIT_BYTES));
        image.walk(segment.offset..end, 8, |at, bytes| {
            for place in HEADER.find_iter(bytes).map(|place| at + place.start() as u64) {
                let address = segment.address.saturating_add(place - segment.offset);
                if address.is_multiple_of(8) {
                    found = header(image, place, address);
                    if !matches!(found, Ok(None)) {
                        return ControlFlow::Break(());
                    }
                }
            }
            ControlFlow::Continue(())
        })?;
        if !matches!(found, Ok(None)) {
            break;
        }
    }
    found?.ok_or_else(unknown)
}

/// `None` when no header of a known version is there.
fn header(image: &Image<'_>, offset: u64, address: u64) -> Result<Option<Table>, NoPoints> {
    let bytes = image.bytes(offset, HEADER_BYTES)?;
    let is_old = match u32_at(&bytes, 0) {
        Some(MAGIC_116) => true,
        Some(MAGIC_118 | MAGIC_120) => false,
        _ => return Ok(None),
    };
    if !matches!(bytes.get(4..8), Some([0, 0, 1 | 4, 8])) {
        return Ok(None);
    }
    let word = |index: usize| u64_at(&bytes, 8 + 8 * index).unwrap_or_default();
    let (names, units, functions) =
        if is_old { (word(2), word(3), word(6)) } else { (word(3), word(4), word(7)) };
    let count = word(0);
    if count == 0 || count > FUNCTIONS_LIMIT || names >= units || units > functions {
        return Ok(None);
    }
    let place = |distance: u64| offset.checked_add(distance).ok_or(NoPoints::Malformed("its function table"));
    let names = place(names)?..place(units)?;
    Ok(Some(Table { offset, address, is_old, count, names, functions: place(functions)? }))
}

/// The places of the names among all names.
fn name_places<'a>(
    image: &Image<'_>,
    table: &Table,
    names: &'a [Named],
) -> Result<Vec<(u64, &'a Named)>, NoPoints> {
    let expression = names.iter().map(|named| regex::escape(named.name)).collect::<Vec<_>>().join("|");
    let expression = Regex::new(&format!(r"(?-u)\x00({expression})\x00"))
        .map_err(|_| NoPoints::Malformed("names that are no expression"))?;
    let mut found = Vec::new();
    let names_end = table.names.end.min(table.names.start.saturating_add(NAMES_LIMIT_BYTES));
    image.walk(table.names.start..names_end, NAME_LIMIT_BYTES, |at, bytes| {
        for one in expression.captures_iter(bytes).filter_map(|found| found.get(1)) {
            let place = at - table.names.start + one.start() as u64;
            if let Some(named) = names.iter().find(|named| named.name.as_bytes() == one.as_bytes())
                && !found.iter().any(|(known, _)| *known == place)
            {
                found.push((place, named));
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Where the code begins that the table's distances are from.
fn code_start(image: &Image<'_>, table: &Table) -> Result<u64, NoPoints> {
    let first = u64::from(u32_at(&image.bytes(table.functions, 4)?, 0).unwrap_or_default());
    let functions = table.address.saturating_add(table.functions - table.offset);
    let mut places = relocations::places_of(image, table.address, PLACES_LIMIT)?;
    places.extend(pointers_to(image, table.address)?);
    let start = places.iter().find_map(|module| {
        let word = |at: u64| relocations::pointer_at(image, module.checked_add(at)?);
        // That the module is this table's is proven by what else it tells of it.
        let is_module = word(MODULE_FUNCTIONS)? == functions
            && word(MODULE_FUNCTIONS + 8)? == table.count + 1
            && word(MODULE_TEXT)?.checked_add(first)? == word(MODULE_TEXT - 16)?;
        is_module.then(|| word(MODULE_TEXT)).flatten()
    });
    start.ok_or(NoPoints::Malformed("it has a Go function table that no module uses"))
}

/// The places of this pointer in the data of the program.
fn pointers_to(image: &Image<'_>, address: u64) -> Result<Vec<u64>, NoPoints> {
    let mut found = Vec::new();
    for segment in image.segments.iter().filter(|segment| segment.is_data) {
        let end = segment.offset.saturating_add(segment.bytes);
        image.walk(segment.offset..end, 0, |at, bytes| {
            for (index, word) in bytes.chunks_exact(8).enumerate() {
                if number(word) == address && found.len() < PLACES_LIMIT {
                    let place = at - segment.offset + 8 * index as u64;
                    found.push(segment.address.saturating_add(place));
                }
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(found)
}

/// A piece of the file that is read ahead.
struct Window<'a, 'b> {
    image: &'a Image<'b>,
    at: u64,
    bytes: Vec<u8>,
}

impl Window<'_, '_> {
    fn get(&mut self, offset: u64, length: usize) -> Result<&[u8], NoPoints> {
        let is_in = offset >= self.at && offset - self.at + length as u64 <= self.bytes.len() as u64;
        if !is_in {
            self.bytes = self.image.bytes_at_most(offset, RECORDS_WINDOW_BYTES)?;
            self.at = offset;
        }
        let start = (offset - self.at) as usize;
        self.bytes
            .get(start..start + length)
            .ok_or(NoPoints::Malformed("a function's record is beyond its end"))
    }
}
