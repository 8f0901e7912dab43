//! For property tests: dialogues with other bytes in them and noise behind them, and ways to play them.

use proptest::prelude::*;
use proptest::sample::Index;

use crate::Definition;
use crate::testing::{Playing, Turn, client, server};

/// The dialogue with some of its bytes changed, and with calls of any bytes behind it.
pub(crate) fn damaged(dialogue: impl Strategy<Value = Vec<Turn>>) -> impl Strategy<Value = Vec<Turn>> {
    let changes = prop::collection::vec((any::<Index>(), any::<Index>(), any::<u8>()), 0..40);
    let noise = prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..200)), 0..10);
    (dialogue, changes, noise).prop_map(|(mut dialogue, changes, noise)| {
        for (turn, place, byte) in changes {
            let turn = turn.index(dialogue.len());
            if let Some((_, bytes)) = dialogue.get_mut(turn).filter(|(_, bytes)| !bytes.is_empty()) {
                let place = place.index(bytes.len());
                bytes.splice(place..=place, [byte]);
            }
        }
        let said =
            |(is_client, bytes): (bool, Vec<u8>)| if is_client { client(bytes) } else { server(bytes) };
        dialogue.extend(noise.into_iter().map(said));
        dialogue
    })
}

/// Calls of all sizes, kept to any extent, redacted or not.
pub(crate) fn playing() -> impl Strategy<Value = Playing> {
    (1_usize..400, 1_usize..400, any::<bool>()).prop_map(|(call_bytes, kept_bytes, redacts)| Playing {
        call_bytes,
        kept_bytes,
        redacts,
        ..Playing::default()
    })
}

/// Plays it to the codec, and to somebody who knows nothing: neither may panic.
pub(crate) fn check_survives(definition: &'static Definition, dialogue: &[Turn], playing: &Playing) {
    playing.told(definition, dialogue);
    let port = definition.ports.first().copied().unwrap_or_default();
    for port in [0, port] {
        playing.recognised(definition, dialogue, port);
    }
}
