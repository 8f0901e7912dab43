//! Go's crypto/tls: `Conn.Read` and `Conn.Write`, by symbols or by the tables that every Go program carries.
//!
//! Arguments are in registers from Go 1.17 on (1.18 on AArch64). A function's bounds in Go's own tables include the
//! filling after it.

mod buildinfo;
mod pclntab;

use super::image::{Image, Machine};
use super::points::{Candidate, NoPoints, Points, Role, Stack, assemble};
use super::symbols::{Named, Symbol, candidate};

/// The functions.
pub(super) const FUNCTIONS: &[Named] = &[
    Named { name: "crypto/tls.(*Conn).Read", role: Role::Read },
    Named { name: "crypto/tls.(*Conn).Write", role: Role::Write },
    Named { name: "crypto/tls.(*Conn).clientHandshake", role: Role::Handshake },
    Named { name: "crypto/tls.(*Conn).serverHandshake", role: Role::Handshake },
];

/// The probe points.
pub(super) fn points(image: &Image<'_>, symbols: &[Symbol]) -> Result<Points, NoPoints> {
    let Some(version) = buildinfo::version(image)? else { return Err(NoPoints::NotTls) };
    let by_symbol = FUNCTIONS.iter().filter_map(|named| {
        let symbol = symbols.iter().find(|symbol| symbol.name == named.name && symbol.bytes > 0)?;
        Some(candidate(image, symbol, named.role))
    });
    let mut candidates: Vec<Candidate> = by_symbol.collect();
    if candidates.is_empty() {
        candidates = match pclntab::functions(image, FUNCTIONS) {
            // A version that is too old has tables that are too old, and says more.
            Err(_) if !is_supported(image.machine, &version) => return Err(NoPoints::GoVersion(version)),
            result => result?,
        };
    }
    if candidates.is_empty() {
        return Err(NoPoints::NotTls);
    }
    if !is_supported(image.machine, &version) {
        return Err(NoPoints::GoVersion(version));
    }
    assemble(image, Stack::Go, Some(version), candidates)
}

/// Whether arguments are in registers. A version without a number is one between releases, and not an old one.
fn is_supported(machine: Machine, version: &str) -> bool {
    let least = match machine {
        Machine::X86_64 => 17,
        Machine::Aarch64 => 18,
    };
    let numbers = version.split_once("go1.").map(|(_, rest)| rest);
    let minor =
        numbers.and_then(|rest| rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok());
    minor.is_none_or(|minor: u32| minor >= least)
}
