//! Bytes as a fuzzer makes them, played to the whole crate: any protocol of the catalogue, or whatever they are taken
//! for, in calls of either side, with holes, losses, redaction and time.
//!
//! The first byte is a set of flags (1: secrets are hidden first, 2: known from the first byte on, 4: with details,
//! 8: datagrams), the second says which protocol: its place in the catalogue, counted from 1 modulo its length and one
//! more; 0 for none. Then come calls: a byte of flags (1: by the server, 2: lost, 4: a hole behind it, 8: what waits
//! for long is given up), a byte with the length of a hole in units of 16 bytes, two with the number of bytes that
//! follow, the lower first, and those.

use std::sync::OnceLock;

use crate::catalogue::ALL;
use crate::testing::Turn;
use crate::{Chunk, Conversation, Definition, Facts, PerSide, Redactor, Side};

const REDACTS: u8 = 1;
const FROM_START: u8 = 2;
const DETAILS: u8 = 4;
const DATAGRAMS: u8 = 8;

const SERVER: u8 = 1;
const LOST: u8 = 2;
const HOLE: u8 = 4;
const EXPIRE: u8 = 8;

/// A connection holds at most so much, whatever comes: two streams' unread bytes, and requests that wait.
const MAX_MEMORY_BYTES: usize = 8 << 20;

/// The environment variable that names the one protocol that [`play`] is to play, whatever the input says.
pub const ONLY: &str = "AFTERTRACE_FUZZ_PROTOCOL";

/// What [`ONLY`] names.
fn only() -> Option<&'static Definition> {
    static ONE: OnceLock<Option<&'static Definition>> = OnceLock::new();
    *ONE.get_or_init(|| {
        let name = std::env::var(ONLY).ok()?;
        let found = ALL.iter().copied().find(|one| one.name == name);
        assert!(found.is_some(), "no protocol is called `{name}`");
        found
    })
}

/// Plays them.
///
/// # Panics
/// When what comes out cannot be.
pub fn play(input: &[u8]) {
    let Some(([flags, protocol], mut rest)) = input.split_first_chunk::<2>() else { return };
    let definition = usize::from(*protocol) % (ALL.len() + 1);
    let definition = definition.checked_sub(1).and_then(|place| ALL.get(place)).copied();
    let definition = only().or(definition);
    let facts = Facts {
        is_from_start: flags & FROM_START != 0,
        wants_details: flags & DETAILS != 0,
        is_datagrams: flags & DATAGRAMS != 0,
        ..Facts::default()
    };
    let mut conversation = match definition {
        Some(definition) => Conversation::of(definition, facts),
        None => Conversation::new(facts),
    };
    let mut redactors: Vec<Box<dyn Redactor>> = match (flags & REDACTS, definition) {
        (0, _) => Vec::new(),
        (_, Some(one)) => one.redactor.into_iter().map(|new| new()).collect(),
        (_, None) => ALL.iter().filter_map(|one| one.redactor).map(|new| new()).collect(),
    };
    let mut positions = PerSide::<u64>::default();
    let (mut time_ns, mut exchanges, mut calls) = (0, 0, 0);
    while let Some(([flags, hole, low, high], behind)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(behind.len());
        let (bytes, next) = behind.split_at(length);
        rest = next;
        time_ns += 1_000;
        let side = if flags & SERVER == 0 { Side::Client } else { Side::Server };
        let hole = if flags & HOLE == 0 { 0 } else { u64::from(*hole) * 16 };
        let size = length as u64 + hole;
        let place = positions.of(side);
        let position = *place;
        *place += size;
        if flags & LOST == 0 && size > 0 {
            let mut kept = bytes.to_vec();
            for redactor in &mut redactors {
                redactor.redact(side, position, size, &mut kept);
            }
            conversation.push(side, &Chunk { position, size, bytes: &kept, time_ns });
        }
        if flags & EXPIRE != 0 {
            conversation.expire(time_ns.saturating_sub(10_000), time_ns);
        }
        exchanges += conversation.drain().count();
        calls += 1_u32;
        // Counting takes longer than most calls.
        if calls.is_power_of_two() || rest.is_empty() {
            let held = conversation.memory_bytes();
            assert!(held < MAX_MEMORY_BYTES, "{held} bytes");
        }
    }
    conversation.close(time_ns);
    exchanges += conversation.drain().count();
    assert!(exchanges <= input.len(), "a request takes at least a byte");
}

/// A dialogue as input for [`play`], with its protocol given or not.
pub fn seed(definition: Option<&'static Definition>, dialogue: &[Turn]) -> Vec<u8> {
    let place = ALL.iter().position(|one| definition.is_some_and(|definition| definition.name == one.name));
    let protocol = place.map_or(0, |place| place as u8 + 1);
    let mut bytes = vec![REDACTS | FROM_START | DETAILS, protocol];
    for (side, turn) in dialogue {
        let flags = if *side == Side::Server { SERVER } else { 0 };
        for part in turn.chunks(u16::MAX.into()) {
            let [low, high] = (part.len() as u16).to_le_bytes();
            bytes.extend([flags, 0, low, high]);
            bytes.extend(part);
        }
    }
    bytes
}

/// The environment variable that names a folder for [`keep`].
pub const SEEDS: &str = "AFTERTRACE_FUZZ_SEEDS";

/// Writes a dialogue of a test as a seed for the fuzzer into the folder that [`SEEDS`] names, if it does.
///
/// # Panics
/// When it cannot be written.
pub fn keep(definition: &'static Definition, dialogue: &[Turn]) {
    let Some(folder) = std::env::var_os(SEEDS) else { return };
    for (known, of) in [("known", Some(definition)), ("unknown", None)] {
        let bytes = seed(of, dialogue);
        // Long ones are rarely of use to a fuzzer.
        if bytes.len() > 16 * 1024 {
            continue;
        }
        let number = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let path = std::path::Path::new(&folder).join(format!("{}-{known}-{number:016x}", definition.name));
        assert!(std::fs::write(&path, bytes).is_ok(), "{} cannot be written", path.display());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_any_protocol_panic(
            flags: u8,
            protocol: u8,
            calls in prop::collection::vec((any::<u8>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..100)), 0..20),
        ) {
            let mut input = vec![flags, protocol];
            for (flags, hole, bytes) in calls {
                input.extend([flags, hole, bytes.len() as u8, 0]);
                input.extend(bytes);
            }
            play(&input);
        }
    }
}
