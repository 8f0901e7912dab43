//! What the client says.

use super::wire::{Cut, Stop, Wire};

/// Revisions that are known: of later ones the layout is not.
pub(super) const NEWEST_REVISION: u64 = 54492;
/// Of servers of 2017; older ones have no description of the client.
const OLDEST_REVISION: u64 = 54032;

/// From these revisions on a query has a field more, or a hello is followed by more.
const QUOTA_KEY: u64 = 54060;
const VERSION_PATCH: u64 = 54401;
const SETTINGS_AS_TEXTS: u64 = 54429;
const INTERSERVER_SECRET: u64 = 54441;
const OPEN_TELEMETRY: u64 = 54442;
const FORWARDED_FOR: u64 = 54443;
const REFERER: u64 = 54447;
const DISTRIBUTED_DEPTH: u64 = 54448;
const START_TIME: u64 = 54449;
const PARALLEL_REPLICAS: u64 = 54453;
pub(super) const ADDENDUM: u64 = 54458;
pub(super) const PARAMETERS: u64 = 54459;
const CHUNKED_PACKETS: u64 = 54470;
const VERSIONED_PARALLEL_REPLICAS: u64 = 54471;
const GRANTED_ROLES: u64 = 54472;
const LINE_NUMBERS: u64 = 54475;
const TOKEN: u64 = 54476;
const AGENT: u64 = 54485;
const INTERNAL_FLAG: u64 = 54486;
const CURRENT_ROLES: u64 = 54488;

/// Those that change a query, the newest first.
const STEPS: [u64; 14] = [
    CURRENT_ROLES,
    INTERNAL_FLAG,
    AGENT,
    TOKEN,
    LINE_NUMBERS,
    GRANTED_ROLES,
    PARAMETERS,
    PARALLEL_REPLICAS,
    START_TIME,
    DISTRIBUTED_DEPTH,
    OPEN_TELEMETRY,
    INTERSERVER_SECRET,
    SETTINGS_AS_TEXTS,
    VERSION_PATCH,
];

/// Names and the like are not longer.
const MAX_TEXT_BYTES: usize = 1024;
/// A statement is not longer.
const MAX_STATEMENT_BYTES: u64 = 1 << 30;
/// How a server calls itself as a user.
const INTERSERVER: &[u8] = b" INTERSERVER SECRET ";

/// Takes where a secret begins, and its length.
pub(super) type Secret<'function> = &'function mut dyn FnMut(usize, usize);

/// Who connects.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hello<'bytes> {
    pub(super) revision: u64,
    pub(super) database: &'bytes [u8],
}

/// Reads a name and a version: as both sides begin.
pub(super) fn version(wire: &mut Wire<'_>) -> Result<u64, Stop> {
    let name = wire.text(128)?;
    if name.is_empty() || wire.number()? > 1000 || wire.number()? > 1000 {
        return Err(Stop::Bad);
    }
    match wire.number()? {
        revision @ 50_000..60_000 => Ok(revision),
        _ => Err(Stop::Bad),
    }
}

/// Reads a hello behind its first byte.
pub(super) fn hello<'bytes>(wire: &mut Wire<'bytes>, secret: Secret<'_>) -> Result<Hello<'bytes>, Stop> {
    let revision = version(wire)?;
    let database = wire.text(MAX_TEXT_BYTES)?;
    let user = wire.text(MAX_TEXT_BYTES)?;
    secret_text(wire, secret)?;
    if user == INTERSERVER {
        wire.text(MAX_TEXT_BYTES)?;
        wire.bytes(MAX_TEXT_BYTES)?;
    }
    Ok(Hello { revision, database })
}

fn secret_text(wire: &mut Wire<'_>, secret: Secret<'_>) -> Result<(), Stop> {
    let length = usize::try_from(wire.number_to(64 * 1024)?).map_err(|_| Stop::Bad)?;
    secret(wire.taken(), length);
    wire.take(length).map(|_| ())
}

/// Reads what follows a hello; whether packets are wrapped in chunks from here on.
pub(super) fn addendum(wire: &mut Wire<'_>, revision: u64) -> Result<bool, Stop> {
    wire.text(MAX_TEXT_BYTES)?;
    let mut is_chunked = false;
    if revision >= CHUNKED_PACKETS {
        for _ in 0..2 {
            is_chunked |= wire.text(32)?.starts_with(b"chunked");
        }
    }
    if revision >= VERSIONED_PARALLEL_REPLICAS {
        wire.number_to(1000)?;
    }
    Ok(is_chunked)
}

/// A query, up to its statement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query<'bytes> {
    pub(super) statement: Cut<'bytes>,
    /// The revision of the one that sends it, if it says so.
    sender: Option<u64>,
}

/// Reads a query behind its first byte.
pub(super) fn query<'bytes>(
    wire: &mut Wire<'bytes>,
    revision: u64,
    secret: Secret<'_>,
) -> Result<Query<'bytes>, Stop> {
    if wire.text(128)?.iter().any(|byte| !byte.is_ascii()) {
        return Err(Stop::Bad);
    }
    let sender = description(wire, revision, secret)?;
    settings(wire, revision)?;
    if revision >= GRANTED_ROLES {
        wire.bytes(MAX_TEXT_BYTES)?;
    }
    if revision >= INTERSERVER_SECRET {
        secret_text(wire, secret)?;
    }
    wire.number_to(5)?;
    wire.number_to(1)?;
    let statement = wire.cut_text(MAX_STATEMENT_BYTES)?;
    let is_text = |byte: &u8| *byte >= b' ' || matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c);
    match statement.head.first() {
        None if statement.length > 0 => Err(Stop::More),
        Some(first)
            if (first.is_ascii_alphabetic() || b"(-/#;".contains(first) || first.is_ascii_whitespace())
                && statement.head.iter().take(64).all(is_text) =>
        {
            Ok(Query { statement, sender })
        }
        _ => Err(Stop::Bad),
    }
}

/// Reads the description of the client.
fn description(wire: &mut Wire<'_>, revision: u64, secret: Secret<'_>) -> Result<Option<u64>, Stop> {
    match wire.u8()? {
        0 => return Ok(None),
        1 | 2 => {}
        _ => return Err(Stop::Bad),
    }
    wire.text(MAX_TEXT_BYTES)?;
    wire.text(128)?;
    let address = wire.text(64)?;
    if !address.is_empty() && !address.contains(&b':') {
        return Err(Stop::Bad);
    }
    if revision >= START_TIME {
        wire.u64()?;
    }
    let mut sender = None;
    let interface = wire.u8()?;
    match interface {
        1 => {
            for _ in 0..3 {
                wire.text(MAX_TEXT_BYTES)?;
            }
            wire.number_to(1000)?;
            wire.number_to(1000)?;
            sender = Some(wire.number_to(60_000)?);
        }
        2 => {
            wire.u8()?;
            wire.text(MAX_TEXT_BYTES)?;
            for since in [FORWARDED_FOR, REFERER] {
                if revision >= since {
                    wire.text(4 * MAX_TEXT_BYTES)?;
                }
            }
        }
        3..=9 => {}
        _ => return Err(Stop::Bad),
    }
    if revision >= QUOTA_KEY {
        wire.text(MAX_TEXT_BYTES)?;
    }
    if revision >= DISTRIBUTED_DEPTH {
        wire.number_to(1 << 20)?;
    }
    if revision >= VERSION_PATCH && interface == 1 {
        wire.number_to(100_000)?;
    }
    if revision >= OPEN_TELEMETRY && flag(wire)? {
        wire.take(24)?;
        wire.text(MAX_TEXT_BYTES)?;
        wire.u8()?;
    }
    if revision >= PARALLEL_REPLICAS {
        wire.number_to(1)?;
        wire.number_to(1 << 20)?;
        wire.number_to(1 << 20)?;
    }
    if revision >= LINE_NUMBERS {
        wire.number_to(1 << 40)?;
        wire.number_to(1 << 40)?;
    }
    if revision >= TOKEN && flag(wire)? {
        secret_text(wire, secret)?;
    }
    if revision >= AGENT {
        wire.text(MAX_TEXT_BYTES)?;
    }
    if revision >= INTERNAL_FLAG {
        flag(wire)?;
    }
    if revision >= CURRENT_ROLES && flag(wire)? {
        return Err(Stop::Bad);
    }
    Ok(sender)
}

fn flag(wire: &mut Wire<'_>) -> Result<bool, Stop> {
    Ok(wire.number_to(1)? == 1)
}

/// Reads settings up to the empty name that ends them.
fn settings(wire: &mut Wire<'_>, revision: u64) -> Result<(), Stop> {
    loop {
        let name = wire.text(256)?;
        if name.is_empty() {
            return Ok(());
        }
        if revision < SETTINGS_AS_TEXTS {
            untyped_value(wire)?;
        } else {
            wire.number_to(255)?;
            wire.bytes(64 * 1024)?;
        }
    }
}

/// Reads a value of a setting as it was before all were texts: a number or a text, whichever another name or the end
/// follows.
fn untyped_value(wire: &mut Wire<'_>) -> Result<(), Stop> {
    let is_followed_well = |mut behind: Wire<'_>| {
        let name = behind.text(256)?;
        let is_name = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_';
        if name.iter().all(is_name) { Ok(()) } else { Err(Stop::Bad) }
    };
    let mut as_number = *wire;
    as_number.number()?;
    let read = is_followed_well(as_number);
    if read != Err(Stop::Bad) {
        *wire = as_number;
        return read;
    }
    wire.bytes(64 * 1024)?;
    is_followed_well(*wire)
}

/// Reads the parameters behind a statement.
pub(super) fn parameters(wire: &mut Wire<'_>) -> Result<(), Stop> {
    settings(wire, PARAMETERS)
}

/// Notes what may be a secret in the part of a query that is there, between peers that may have agreed on any revision.
pub(super) fn secrets_of_unknown_revision(bytes: &[u8], secret: Secret<'_>) {
    /// Tokens and hashes are longer than what a wrong layout takes for their length.
    const LEAST_BYTES: usize = 16;
    for revision in STEPS.into_iter().filter(|revision| *revision >= INTERSERVER_SECRET) {
        let mut wire = Wire::new(bytes);
        let mut of_this = |begin: usize, length: usize| {
            if length >= LEAST_BYTES {
                secret(begin, length);
            }
        };
        if wire.u8() == Ok(1) {
            let _ = query(&mut wire, revision, &mut of_this);
        }
    }
}

/// Reads a query with its first byte, between peers that may have agreed on any revision: the newest that gives one.
/// The revision is then the highest that has the same layout and that the sender knows.
pub(super) fn query_of_unknown_revision(bytes: &[u8]) -> Result<(Query<'_>, u64, usize), Stop> {
    let mut stop = Stop::Bad;
    let mut next = NEWEST_REVISION + 1;
    for revision in STEPS.into_iter().chain([QUOTA_KEY, OLDEST_REVISION]) {
        let mut wire = Wire::new(bytes);
        let read = match wire.u8()? {
            1 => query(&mut wire, revision, &mut |_, _| {}),
            _ => Err(Stop::Bad),
        };
        match read {
            Ok(query) if query.sender.is_none_or(|sender| sender >= revision) => {
                let highest = query.sender.unwrap_or(u64::MAX).min(next - 1);
                return Ok((query, highest, wire.taken()));
            }
            Err(Stop::More) => stop = Stop::More,
            _ => {}
        }
        next = revision;
    }
    Err(stop)
}
