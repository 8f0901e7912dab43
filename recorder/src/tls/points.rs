//! The probe points of a file: where its TLS functions begin, and where they return.
//!
//! In: an ELF file. Out: [`Points`], one for each TLS implementation in it, or the reason why there are none.
//!
//! All offsets are offsets in the file, as uprobes take them. Return offsets are of return instructions, at which the
//! stack pointer is what it was at the entry of the call (but for Go, which moves stacks): so a probe there that
//! remembers the stack pointer of the entry can tell the return of the call from one of something that the call called.
//! That matters where a function ends in a jump to another, whose return instructions are then listed, too, and which
//! others may call as well.

use std::io;
use std::ops::Range;

use super::callees::{Stubs, Ways};
use super::image::Image;
use super::{callees, gnutls, go, openssl, rustls, symbols};

pub use super::image::ReadAt;

/// An implementation of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stack {
    /// OpenSSL 1.0.2 and later.
    OpenSsl,
    /// BoringSSL and its children such as AWS-LC.
    BoringSsl,
    /// LibreSSL.
    LibreSsl,
    /// GnuTLS.
    GnuTls,
    /// rustls.
    Rustls,
    /// Go's crypto/tls.
    Go,
}

impl Stack {
    /// How it is called in status rows.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenSsl => "OpenSSL",
            Self::BoringSsl => "BoringSSL",
            Self::LibreSsl => "LibreSSL",
            Self::GnuTls => "GnuTLS",
            Self::Rustls => "rustls",
            Self::Go => "Go crypto/tls",
        }
    }
}

/// What a function does with plaintext, and by that what its arguments are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// `(session, buffer, size) -> size or an error`; the plaintext is in the buffer at the return.
    Read,
    /// `(session, buffer, size) -> size or an error`; the plaintext is in the buffer at the entry.
    Write,
    /// `(session, buffer, size, *size read) -> 1 when something was read`.
    ReadEx,
    /// `(session, buffer, size, *size written) -> 1 when something was written`.
    WriteEx,
    /// `(session, buffer, size, flags, *size written) -> 1 when something was written`.
    WriteEx2,
    /// `(reader) -> (pointer, size) or an error`: all that was read so far; what [`Role::Consume`] does not take comes again.
    ReadChunk,
    /// `(reader, size)`: takes so much of what [`Role::ReadChunk`] gave to this thread before.
    Consume,
    /// `(session, ...)`: sends what was written before; what it writes was seen then.
    Flush,
    /// `(session, ...)`: a handshake; the connection it reads and writes is the session's.
    Handshake,
    /// `(session)`: said before the handshake of a session, which any of the others may do.
    Begin,
    /// `(session, fd)`: names the connection of a session.
    SetFd,
    /// `(session)`: the session is gone, and its address will be that of another one.
    Free,
}

impl Role {
    /// Whether the return of a call has to be seen, too.
    pub fn needs_return(self) -> bool {
        !matches!(self, Self::Consume | Self::Begin | Self::SetFd | Self::Free)
    }

    /// The direction of the plaintext, for functions that have any.
    pub(super) fn direction(self) -> Option<Direction> {
        match self {
            Self::Read | Self::ReadEx | Self::ReadChunk => Some(Direction::In),
            Self::Write | Self::WriteEx | Self::WriteEx2 => Some(Direction::Out),
            Self::Consume | Self::Flush | Self::Handshake | Self::Begin | Self::SetFd | Self::Free => None,
        }
    }
}

/// Where plaintext goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    In,
    Out,
}

/// A function to be probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// What it does.
    pub role: Role,
    /// Its symbol.
    pub name: String,
    /// Where it begins. In Go it can begin twice for one call, when its stack has to grow first.
    pub entry_offset: u64,
    /// Every instruction that returns from it, in order; also those of functions that it ends in a jump to.
    pub return_offsets: Vec<u64>,
    /// Jumps out of it that could not be followed, such as through a pointer: calls that leave by them are seen to
    /// begin, but not to end.
    pub exits_unseen: Vec<u64>,
}

/// What to probe of one TLS implementation in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Points {
    /// The implementation.
    pub stack: Stack,
    /// What the file says of its version, for people to read.
    pub version: Option<String>,
    /// The functions, by role; not empty.
    pub functions: Vec<Function>,
    /// Functions that are there but cannot be probed, and why.
    pub skipped: Vec<(String, NoPoints)>,
}

/// Why a file has no probe points.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPoints {
    /// It is no ELF file.
    #[error("not an ELF file")]
    NotElf,
    /// Not for processors that this knows.
    #[error("{0}")]
    Machine(&'static str),
    /// Nothing in it looks like TLS.
    #[error("no TLS functions that are known")]
    NotTls,
    /// It has TLS, but does not tell where.
    #[error("{} without symbols of its functions", .0.name())]
    Stripped(Stack),
    /// The Go version passes arguments in another way, or keeps its tables in one that is not known.
    #[error("Go version {0} is not supported")]
    GoVersion(String),
    /// The instructions of a function could not be told from each other with certainty.
    #[error("{0}")]
    Code(&'static str),
    /// It contradicts itself.
    #[error("damaged file: {0}")]
    Malformed(&'static str),
    /// It is more than this wants to read.
    #[error("too large: {0}")]
    TooLarge(&'static str),
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(io::ErrorKind),
}

/// Probes in one file. What is known has some dozens; a stranger's file could ask for millions.
const PROBES_LIMIT: usize = 1024;

/// A function that is to be looked at.
pub(super) struct Candidate {
    pub(super) role: Role,
    pub(super) name: String,
    pub(super) bounds: Range<u64>,
    /// Where jumps through a pointer lead to: those of the function, then those of what they lead to.
    pub(super) continues: Vec<u64>,
}

impl Candidate {
    pub(super) fn new(role: Role, name: &str, bounds: Range<u64>) -> Self {
        Self { role, name: name.to_owned(), bounds, continues: Vec::new() }
    }
}

/// Finds the probe points of a file, for each TLS implementation in it.
///
/// # Errors
/// The most telling reason why there are none.
pub fn find(file: &dyn ReadAt) -> Result<Vec<Points>, NoPoints> {
    let image = Image::open(file)?;
    let symbols = symbols::functions(&image)?;
    let mut found = Vec::new();
    let mut reason = NoPoints::NotTls;
    let results = [
        go::points(&image, &symbols),
        openssl::points(&image, &symbols),
        gnutls::points(&image, &symbols),
        rustls::points(&image, &symbols),
    ];
    for result in results {
        match result {
            Ok(points) => found.push(points),
            // The first that knows its implementation to be there says the most.
            Err(error) if reason == NoPoints::NotTls => reason = error,
            Err(_) => {}
        }
    }
    if found.is_empty() { Err(reason) } else { Ok(found) }
}

/// Looks at the functions of one implementation.
///
/// A function that calls another one for the same direction, or ends in a jump to it, is left out: what it passes on is
/// seen there, and would be counted twice.
pub(super) fn assemble(
    image: &Image<'_>,
    stack: Stack,
    version: Option<String>,
    candidates: Vec<Candidate>,
) -> Result<Points, NoPoints> {
    if candidates.is_empty() {
        return Err(NoPoints::NotTls);
    }
    let stubs = Stubs::read(image)?;
    let mut followed = Vec::new();
    let mut skipped = Vec::new();
    for candidate in candidates {
        let ways = if candidate.role.needs_return() {
            callees::follow(image, &stubs, candidate.bounds.clone(), &candidate.continues)
        } else {
            Ok(Ways::default())
        };
        match ways.and_then(|ways| Ok((function(image, &candidate, &ways)?, ways))) {
            Ok((function, ways)) => followed.push((candidate, function, ways)),
            Err(reason) => skipped.push((candidate.name, reason)),
        }
    }
    let entries: Vec<(u64, Option<Direction>)> =
        followed.iter().map(|(one, ..)| (one.bounds.start, one.role.direction())).collect();
    let is_wrapper = |candidate: &Candidate, ways: &Ways| {
        let direction = candidate.role.direction();
        let passes_on = |(entry, other): &(u64, Option<Direction>)| {
            *entry != candidate.bounds.start && *other == direction && ways.calls.contains(entry)
        };
        direction.is_some() && entries.iter().any(passes_on)
    };
    let mut functions: Vec<Function> = followed
        .into_iter()
        .filter(|(candidate, _, ways)| !is_wrapper(candidate, ways))
        .map(|(_, function, _)| function)
        .collect();
    functions.sort_by_key(|function| (function.role, function.entry_offset));
    if functions.iter().map(|function| 1 + function.return_offsets.len()).sum::<usize>() > PROBES_LIMIT {
        return Err(NoPoints::TooLarge("return instructions"));
    }
    if functions.iter().any(|function| function.role.direction().is_some()) {
        return Ok(Points { stack, version, functions, skipped });
    }
    Err(skipped.into_iter().next().map_or(NoPoints::NotTls, |(_, reason)| reason))
}

fn function(image: &Image<'_>, candidate: &Candidate, ways: &Ways) -> Result<Function, NoPoints> {
    let offset =
        |address: u64| image.code_offset_of(address).ok_or(NoPoints::Malformed("a function is not in code"));
    if candidate.role.needs_return() && ways.returns.is_empty() && ways.exits_unseen.is_empty() {
        return Err(NoPoints::Code("a function that never returns"));
    }
    Ok(Function {
        role: candidate.role,
        name: candidate.name.clone(),
        entry_offset: offset(candidate.bounds.start)?,
        return_offsets: ways.returns.iter().copied().map(offset).collect::<Result<_, _>>()?,
        exits_unseen: ways.exits_unseen.iter().copied().map(offset).collect::<Result<_, _>>()?,
    })
}
