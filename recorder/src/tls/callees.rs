//! Every return of a function, also where parts of it lie elsewhere and where it ends in a jump to another function.
//!
//! In: an image and the bounds of a function. Out: addresses of return instructions, the jumps that lead to where
//! nobody knows, and what other functions it calls or ends in.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};

use object::LittleEndian;
use object::elf::{R_AARCH64_GLOB_DAT, R_AARCH64_JUMP_SLOT, R_X86_64_GLOB_DAT, R_X86_64_JUMP_SLOT};
use object::elf::{Rela64, SHN_UNDEF, SHT_DYNSYM, Sym64};

use super::image::{Image, Machine};
use super::points::NoPoints;
use super::{code, relocations, unwind};

const LE: LittleEndian = LittleEndian;
/// The functions in question have some hundreds of bytes, in Go some thousands.
const FUNCTION_LIMIT_BYTES: u64 = 64 << 10;
/// Functions and parts of functions that one function is followed into.
const PIECES_LIMIT: usize = 8;
/// Pointers that the loader fills; big libraries have some ten thousand.
const POINTERS_LIMIT: usize = 1 << 18;
/// Long enough for a stub that calls another library.
const STUB_BYTES: u64 = 16;

/// What there is to know of a function's ways out; all by address.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ways {
    /// Return instructions of the function itself, and of those that it ends in a jump to.
    pub(super) returns: BTreeSet<u64>,
    /// Jumps that lead to where nobody knows.
    pub(super) exits_unseen: BTreeSet<u64>,
    /// The functions that it calls, and those that it ends in a jump to.
    pub(super) calls: BTreeSet<u64>,
}

/// Follows the function with these bounds, and on to where its jumps through a pointer lead to, and the jumps of that.
pub(super) fn follow(
    image: &Image<'_>,
    stubs: &Stubs,
    function: Range<u64>,
    continues: &[u64],
) -> Result<Ways, NoPoints> {
    let mut ways = follow_one(image, stubs, function)?;
    for next in continues {
        let bounds = unwind::bounds(image, *next).filter(|bounds| bounds.start == *next);
        let more = bounds.and_then(|bounds| follow_one(image, stubs, bounds).ok());
        let Some(more) = more.filter(|_| !ways.exits_unseen.is_empty()) else { break };
        ways.returns.extend(more.returns);
        ways.exits_unseen = more.exits_unseen;
    }
    Ok(ways)
}

fn follow_one(image: &Image<'_>, stubs: &Stubs, function: Range<u64>) -> Result<Ways, NoPoints> {
    let body = body(image, &function)?;
    let calls = body.calls.iter().map(|target| stubs.destination(image, *target)).collect();
    let mut ways = Ways { calls, ..Ways::default() };
    ways.returns.extend(&body.returns);
    ways.exits_unseen.extend(&body.jumps_unknown);
    let mut pieces = vec![function.clone()];
    let mut jumps = body.jumps;
    while let Some((at, target)) = jumps.pop() {
        if pieces.iter().any(|piece| piece.contains(&target)) {
            continue;
        }
        let target = stubs.destination(image, target);
        ways.calls.insert(target);
        let piece = unwind::bounds(image, target);
        let Some(piece) = piece.filter(|_| pieces.len() < PIECES_LIMIT) else {
            ways.exits_unseen.insert(at);
            continue;
        };
        if pieces.contains(&piece) {
            continue;
        }
        let Ok(body) = self::body(image, &piece) else {
            ways.exits_unseen.insert(at);
            continue;
        };
        // A part that was moved away jumps back. Another function is jumped to at its beginning.
        let is_part = body.jumps.iter().any(|(_, back)| function.contains(back) && *back != function.start);
        if !is_part && piece.start != target {
            ways.exits_unseen.insert(at);
            continue;
        }
        ways.returns.extend(&body.returns);
        ways.exits_unseen.extend(&body.jumps_unknown);
        jumps.extend(body.jumps);
        pieces.push(piece);
    }
    Ok(ways)
}

fn body(image: &Image<'_>, function: &Range<u64>) -> Result<code::Body, NoPoints> {
    let length = function.end.saturating_sub(function.start);
    if length > FUNCTION_LIMIT_BYTES {
        return Err(NoPoints::TooLarge("a function"));
    }
    if length == 0 {
        return Err(NoPoints::Code("a function whose end is not known"));
    }
    let offset =
        image.code_offset_of(function.start).ok_or(NoPoints::Malformed("a function is not in code"))?;
    code::read(image.machine, &image.bytes(offset, length)?, function.start)
}

/// The stubs by which libraries are called, also from within themselves, as far as they lead to something in the file.
pub(super) struct Stubs {
    /// Where the stubs are.
    code: Vec<Range<u64>>,
    /// What the loader puts into the pointers that they jump through.
    pointers: BTreeMap<u64, u64>,
}

impl Stubs {
    /// Reads what the loader is told.
    pub(super) fn read(image: &Image<'_>) -> Result<Self, NoPoints> {
        let kinds = match image.machine {
            Machine::X86_64 => [R_X86_64_JUMP_SLOT, R_X86_64_GLOB_DAT],
            Machine::Aarch64 => [R_AARCH64_JUMP_SLOT, R_AARCH64_GLOB_DAT],
        };
        let plt = image.sections.iter().filter(|section| section.name.starts_with(b".plt"));
        let code: Vec<Range<u64>> =
            plt.map(|section| section.address..section.address.saturating_add(section.bytes)).collect();
        let mut pointers = BTreeMap::new();
        let symbols = image.sections.iter().find(|section| section.kind == SHT_DYNSYM);
        let Some(symbols) = symbols.filter(|_| !code.is_empty()) else { return Ok(Self { code, pointers }) };
        let mut slots: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        let mut count = 0;
        for table in relocations::tables(image) {
            image.walk_rows::<Rela64<LittleEndian>>(table.range(), |row| {
                if kinds.contains(&row.r_type(LE, false)) {
                    slots.entry(row.r_sym(LE, false)).or_default().push(row.r_offset.get(LE));
                    count += 1;
                }
                if count < POINTERS_LIMIT { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        let mut index = 0;
        image.walk_rows::<Sym64<LittleEndian>>(symbols.range(), |symbol| {
            if symbol.st_shndx.get(LE) != SHN_UNDEF {
                let slots = slots.get(&index).into_iter().flatten();
                pointers.extend(slots.map(|slot| (*slot, symbol.st_value.get(LE))));
            }
            index += 1;
            ControlFlow::Continue(())
        })?;
        Ok(Self { code, pointers })
    }

    /// What a stub leads to; for what is no stub, and for one that leads to another file, the same address.
    fn destination(&self, image: &Image<'_>, target: u64) -> u64 {
        let is_stub = self.code.iter().any(|stubs| stubs.contains(&target));
        let pointer = is_stub.then(|| {
            let bytes = image.bytes_at(target, STUB_BYTES).ok()?;
            code::pointer_of_stub(image.machine, &bytes, target)
        });
        pointer.flatten().and_then(|pointer| self.pointers.get(&pointer)).copied().unwrap_or(target)
    }
}
