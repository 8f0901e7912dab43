//! rustls: the functions by which plaintext goes in and comes out, as far as the compiler left them functions and the
//! file tells their names.
//!
//! A result such as `io::Result<usize>` is two registers: 0, and the size; or 1, and the error. One such as
//! `io::Result<&[u8]>` is the pointer, or 0; and the size, or the error.

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::image::Image;
use super::points::{Candidate, NoPoints, Points, Role, Stack, assemble};
use super::symbols::{Symbol, candidate};

/// What a function is to its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// It is what is probed.
    Function(Role),
    /// It calls the function that gets the plaintext, through a table; it is probed where that is not to be seen.
    Writer,
}

/// Names as the compiler mangles them, in the old way and in the new one.
pub(super) const NAMES: &[(&str, Part)] = &[
    (
        r"_ZN[0-9]+_\$LT\$rustls\.\.[!-~]*Reader\$u20\$as\$u20\$std\.\.io\.\.Read\$GT\$4read17h[0-9a-f]{16}E(?:\.llvm\.[0-9]+)?",
        Part::Function(Role::Read),
    ),
    (
        r"_RNvX[!-~]*6rustls[!-~]*6Reader[!-~]*2io4Read4read(?:C[!-~]*)?(?:\.llvm\.[0-9]+)?",
        Part::Function(Role::Read),
    ),
    (
        r"_ZN[0-9]+_\$LT\$rustls\.\.[!-~]*PlaintextSink\$GT\$5write17h[0-9a-f]{16}E(?:\.llvm\.[0-9]+)?",
        Part::Function(Role::Write),
    ),
    (
        r"_RNvX[!-~]*6rustls[!-~]*13PlaintextSink5write(?:C[!-~]*)?(?:\.llvm\.[0-9]+)?",
        Part::Function(Role::Write),
    ),
    (
        r"_ZN[0-9]+_\$LT\$rustls\.\.[!-~]*Writer\$u20\$as\$u20\$std\.\.io\.\.Write\$GT\$5write17h[0-9a-f]{16}E(?:\.llvm\.[0-9]+)?",
        Part::Writer,
    ),
    (r"_RNvX[!-~]*6rustls[!-~]*6Writer[!-~]*2io5Write5write(?:C[!-~]*)?(?:\.llvm\.[0-9]+)?", Part::Writer),
    (
        r"_ZN6rustls[!-~]*6Reader16into_first_chunk17h[0-9a-f]{16}E(?:\.llvm\.[0-9]+)?",
        Part::Function(Role::ReadChunk),
    ),
    (
        r"_RNvM[!-~]*6rustls[!-~]*6Reader16into_first_chunk(?:C[!-~]*)?(?:\.llvm\.[0-9]+)?",
        Part::Function(Role::ReadChunk),
    ),
    (
        r"_ZN[0-9]+_\$LT\$rustls\.\.[!-~]*Reader\$u20\$as\$u20\$std\.\.io\.\.BufRead\$GT\$7consume17h[0-9a-f]{16}E(?:\.llvm\.[0-9]+)?",
        Part::Function(Role::Consume),
    ),
    (
        r"_RNvX[!-~]*6rustls[!-~]*6Reader[!-~]*2io7BufRead7consume(?:C[!-~]*)?(?:\.llvm\.[0-9]+)?",
        Part::Function(Role::Consume),
    ),
];

#[allow(clippy::unwrap_used, reason = "the expressions are constant, and every test compiles them")]
static PARTS: LazyLock<Vec<(Regex, Part)>> = LazyLock::new(|| {
    let compile = |(name, part): &(&str, Part)| (Regex::new(&format!("(?-u)^(?:{name})$")).unwrap(), *part);
    NAMES.iter().map(compile).collect()
});

/// The probe points.
pub(super) fn points(image: &Image<'_>, symbols: &[Symbol]) -> Result<Points, NoPoints> {
    let found: Vec<(&Symbol, Part)> =
        symbols.iter().filter_map(|symbol| Some((symbol, part(&symbol.name)?))).collect();
    let has_sink = found.iter().any(|(_, part)| *part == Part::Function(Role::Write));
    let candidates: Vec<Candidate> = found
        .iter()
        .filter_map(|(symbol, part)| match part {
            Part::Function(role) => Some(candidate(image, symbol, *role)),
            Part::Writer => (!has_sink).then(|| candidate(image, symbol, Role::Write)),
        })
        .collect();
    assemble(image, Stack::Rustls, None, candidates)
}

fn part(name: &str) -> Option<Part> {
    PARTS.iter().find(|(expression, _)| expression.is_match(name.as_bytes())).map(|(_, part)| *part)
}
