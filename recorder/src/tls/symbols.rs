//! Functions by name: the symbols for linking, and those for debugging.
//!
//! In: an image. Out: name, address and size of the functions that any TLS implementation has. Tables of strings can be hundreds of
//! megabytes, so they are gone through and not kept: first the strings for what matches, then the symbols for whose
//! name begins where something matched. (A name can be the end of a longer string that the linker shares.)

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use object::elf::{SHN_UNDEF, SHT_DYNSYM, SHT_SYMTAB, STT_FUNC, STT_GNU_IFUNC, Sym64};
use object::{LittleEndian, U16};
use regex::bytes::Regex;

use super::image::{Image, Section};
use super::points::{Candidate, NoPoints, Role};
use super::{gnutls, go, openssl, rustls, unwind};

/// The longest name that is found; mangled ones of Rust are some hundreds of bytes long.
const NAME_LIMIT_BYTES: u64 = 4096;
/// Strings that match, and functions that have one as their name: of generic functions there can be some.
const NAMES_LIMIT: usize = 1024;
const FOUND_LIMIT: usize = 128;

/// A function that the file has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Symbol {
    pub(super) name: String,
    pub(super) address: u64,
    pub(super) bytes: u64,
}

/// A function by its name.
pub(super) struct Named {
    pub(super) name: &'static str,
    pub(super) role: Role,
}

/// All names that are looked for, each with the zero after it.
#[allow(clippy::unwrap_used, reason = "the expression is constant, and every test compiles it")]
static NAMES: LazyLock<Regex> = LazyLock::new(|| {
    let tables = [openssl::FUNCTIONS, gnutls::FUNCTIONS, go::FUNCTIONS];
    let named = tables.into_iter().flatten().map(|function| function.name);
    let mut names: Vec<String> =
        named.chain(openssl::BORING.iter().chain(openssl::METHODS).copied()).map(regex::escape).collect();
    names.extend(rustls::NAMES.iter().map(|(name, _)| (*name).to_owned()));
    Regex::new(&format!(r"(?-u)(?:{})\x00", names.join("|"))).unwrap()
});

/// The functions that some TLS implementation has, each address and name once.
pub(super) fn functions(image: &Image<'_>) -> Result<Vec<Symbol>, NoPoints> {
    let mut found: BTreeMap<(u64, String), u64> = BTreeMap::new();
    for table in &image.sections {
        if table.kind == SHT_DYNSYM || table.kind == SHT_SYMTAB {
            read_table(image, table, &NAMES, &mut found)?;
        }
    }
    let symbol = |((address, name), bytes)| Symbol { name, address, bytes };
    Ok(found.into_iter().map(symbol).collect())
}

/// The functions that have these names.
pub(super) fn candidates(image: &Image<'_>, symbols: &[Symbol], names: &[Named]) -> Vec<Candidate> {
    let named = symbols.iter().filter_map(|symbol| {
        let named = names.iter().find(|named| named.name == symbol.name)?;
        Some(candidate(image, symbol, named.role))
    });
    named.collect()
}

/// A symbol may have no size; then the tables for unwinding know it.
pub(super) fn candidate(image: &Image<'_>, symbol: &Symbol, role: Role) -> Candidate {
    let end = match symbol.bytes {
        0 => unwind::bounds(image, symbol.address).filter(|bounds| bounds.start == symbol.address),
        bytes => symbol.address.checked_add(bytes).map(|end| symbol.address..end),
    };
    Candidate::new(role, &symbol.name, end.unwrap_or(symbol.address..symbol.address))
}

fn read_table(
    image: &Image<'_>,
    table: &Section,
    names: &Regex,
    found: &mut BTreeMap<(u64, String), u64>,
) -> Result<(), NoPoints> {
    let Some(strings) = image.sections.get(table.link as usize) else {
        return Err(NoPoints::Malformed("symbols have no strings"));
    };
    let matches = matching(image, strings, names)?;
    if matches.is_empty() {
        return Ok(());
    }
    image.walk_rows::<Sym64<LittleEndian>>(table.range(), |symbol| {
        let is_function = matches!(symbol.st_info & 0xf, STT_FUNC | STT_GNU_IFUNC);
        let section: U16<LittleEndian> = symbol.st_shndx;
        if is_function
            && section.get(LittleEndian) != SHN_UNDEF
            && let Some(name) = matches.get(&u64::from(symbol.st_name.get(LittleEndian)))
        {
            let bytes = found.entry((symbol.st_value.get(LittleEndian), name.clone())).or_default();
            *bytes = symbol.st_size.get(LittleEndian).max(*bytes);
        }
        if found.len() < FOUND_LIMIT { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })
}

/// The strings that match, by where they begin in the table.
fn matching(image: &Image<'_>, strings: &Section, names: &Regex) -> Result<BTreeMap<u64, String>, NoPoints> {
    let mut found = BTreeMap::new();
    image.walk(strings.range(), NAME_LIMIT_BYTES, |at, bytes| {
        for one in names.find_iter(bytes) {
            let name = one.as_bytes().strip_suffix(b"\0").unwrap_or_default();
            if let Ok(name) = std::str::from_utf8(name) {
                found.insert(at - strings.offset + one.start() as u64, name.to_owned());
            }
        }
        if found.len() < NAMES_LIMIT { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(found)
}
