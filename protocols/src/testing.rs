//! For tests of codecs: dialogues played whole, cut anywhere, and with losses.

#![allow(clippy::panic, reason = "tests fail by panicking")]

use crate::{
    Chunk, Conversation, Definition, Ending, Exchange, Facts, OwnedValue, PerSide, Side, Status, Unpaired,
};

/// What one side says in one go.
pub type Turn = (Side, Vec<u8>);

/// What the client says.
pub fn client(bytes: impl AsRef<[u8]>) -> Turn {
    (Side::Client, bytes.as_ref().to_vec())
}

/// What the server says.
pub fn server(bytes: impl AsRef<[u8]>) -> Turn {
    (Side::Server, bytes.as_ref().to_vec())
}

/// What came of a dialogue.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// The exchanges.
    pub exchanges: Vec<Exchange>,
    /// What stayed alone.
    pub unpaired: Unpaired,
    /// The protocol at the end.
    pub protocol: Option<&'static str>,
}

impl Told {
    /// A line an exchange: name, status, times, attributes.
    pub fn lines(&self) -> Vec<String> {
        self.exchanges.iter().map(line).collect()
    }

    /// Name and status of each exchange.
    pub fn short(&self) -> Vec<String> {
        self.exchanges.iter().map(short).collect()
    }
}

fn name(exchange: &Exchange) -> &str {
    exchange.details.as_ref().map_or("", |details| &*details.name)
}

fn short(exchange: &Exchange) -> String {
    let name = name(exchange);
    match exchange.ending {
        Ending::Answered => format!("{name} {}", exchange.status.label),
        ending => format!("{name} {ending:?}"),
    }
}

/// An exchange as text, without times.
pub fn content(exchange: &Exchange) -> String {
    let mut text = short(exchange);
    let attributes = exchange.details.as_ref().map(|details| details.attributes.as_slice());
    for (key, value) in attributes.unwrap_or_default() {
        match value {
            OwnedValue::Text(value) => text.push_str(&format!(" {key}={value}")),
            OwnedValue::Integer(value) => text.push_str(&format!(" {key}={value}")),
        }
    }
    if let Some(question) = &exchange.question {
        text.push_str(&format!(" {} {} {:?}", question.kind, question.name, question.addresses));
    }
    text
}

/// An exchange as text: when it began, when the response began and ended, then its content.
pub fn line(exchange: &Exchange) -> String {
    format!("{}-{}-{} {}", exchange.begun_ns, exchange.first_ns, exchange.ended_ns, content(exchange))
}

/// How a dialogue is shown to a codec.
#[derive(Debug, Clone)]
pub struct Playing {
    /// Bytes that are kept of each call.
    pub kept_bytes: usize,
    /// Calls move at most so many bytes.
    pub call_bytes: usize,
    /// Which calls are lost, by number, repeated: empty for none.
    pub lost: Vec<bool>,
    /// Whether secrets are hidden first.
    pub redacts: bool,
}

impl Default for Playing {
    fn default() -> Self {
        Self { kept_bytes: usize::MAX, call_bytes: usize::MAX, lost: Vec::new(), redacts: false }
    }
}

/// One call of a dialogue.
struct Call {
    side: Side,
    position: u64,
    size: u64,
    bytes: Vec<u8>,
    time_ns: u64,
}

impl Playing {
    /// The calls; the n-th turn is at 10 n.
    fn calls(&self, definition: &'static Definition, dialogue: &[Turn]) -> Vec<Call> {
        let mut positions = PerSide::<u64>::default();
        let mut calls = Vec::new();
        let mut redactor = definition.redactor.filter(|_| self.redacts).map(|new| new());
        for (turn, (side, bytes)) in dialogue.iter().enumerate() {
            for part in bytes.chunks(self.call_bytes.max(1)) {
                let number = calls.len();
                let place = positions.of(*side);
                let position = *place;
                *place += part.len() as u64;
                let is_lost = !self.lost.is_empty() && self.lost.get(number % self.lost.len()) == Some(&true);
                let mut kept = part.get(..self.kept_bytes.min(part.len())).unwrap_or_default().to_vec();
                if is_lost {
                    kept.clear();
                } else if let Some(redactor) = &mut redactor {
                    redactor.redact(*side, position, part.len() as u64, &mut kept);
                }
                let size = if is_lost { 0 } else { part.len() as u64 };
                calls.push(Call {
                    side: *side,
                    position,
                    size,
                    bytes: kept,
                    time_ns: (turn as u64 + 1) * 10,
                });
            }
        }
        calls.retain(|call| call.size > 0);
        calls
    }

    /// Plays it to the codec of a known protocol.
    pub fn told(&self, definition: &'static Definition, dialogue: &[Turn]) -> Told {
        let facts = Facts { wants_details: true, is_from_start: true, ..Facts::default() };
        self.play(Conversation::of(definition, facts), definition, dialogue)
    }

    /// Plays it to somebody who knows nothing but the port.
    pub fn recognised(&self, definition: &'static Definition, dialogue: &[Turn], server_port: u16) -> Told {
        // Many dialogues begin in the middle.
        let facts = Facts { wants_details: true, server_port, ..Facts::default() };
        self.play(Conversation::new(facts), definition, dialogue)
    }

    fn play(
        &self,
        mut conversation: Conversation,
        definition: &'static Definition,
        dialogue: &[Turn],
    ) -> Told {
        let mut exchanges = Vec::new();
        for call in self.calls(definition, dialogue) {
            let Call { side, position, size, bytes, time_ns } = call;
            conversation.push(side, &Chunk { position, size, bytes: &bytes, time_ns });
            exchanges.extend(conversation.drain());
        }
        conversation.close((dialogue.len() as u64 + 1) * 10);
        exchanges.extend(conversation.drain());
        Told {
            exchanges,
            unpaired: conversation.unpaired(),
            protocol: conversation.protocol().map(|definition| definition.name),
        }
    }
}

/// The protocol that a dialogue is recognised as, on a port that tells nothing.
pub fn recognised(definition: &'static Definition, dialogue: &[Turn]) -> Option<&'static str> {
    Playing::default().recognised(definition, dialogue, 0).protocol
}

/// Plays it as it is.
pub fn told(definition: &'static Definition, dialogue: &[Turn]) -> Told {
    crate::fuzzing::keep(definition, dialogue);
    Playing::default().told(definition, dialogue)
}

/// Checks that calls of any size give the same exchanges.
///
/// # Panics
/// When they do not.
pub fn check_cuts(definition: &'static Definition, dialogue: &[Turn]) {
    let whole: Vec<String> = told(definition, dialogue).exchanges.iter().map(content).collect();
    let longest = dialogue.iter().map(|(_, bytes)| bytes.len()).max().unwrap_or_default();
    for call_bytes in 1..=longest.min(300) {
        let playing = Playing { call_bytes, ..Playing::default() };
        let cut: Vec<String> = playing.told(definition, dialogue).exchanges.iter().map(content).collect();
        assert_eq!(cut, whole, "{} cut into calls of {call_bytes} bytes", definition.name);
    }
}

/// Checks that losses make no exchange that was not there: every one that is answered has request and response of one
/// of the whole dialogue.
///
/// # Panics
/// When one has not.
pub fn check_losses(definition: &'static Definition, dialogue: &[Turn], playing: &Playing) {
    let mut whole = told(definition, dialogue).exchanges;
    let mut seen = playing.told(definition, dialogue).exchanges;
    seen.retain(|exchange| exchange.ending == Ending::Answered);
    // Those that are whole have the first choice.
    seen.retain(|exchange| match whole.iter().position(|one| content(one) == content(exchange)) {
        Some(place) => {
            whole.swap_remove(place);
            false
        }
        None => true,
    });
    // Each needs one of its own, and several may fit.
    let mut taken = vec![None; whole.len()];
    for (number, exchange) in seen.iter().enumerate() {
        let found = give(number, &seen, &whole, &mut taken, &mut vec![false; whole.len()]);
        assert!(found, "{}: {} was never said, with {playing:?}", definition.name, content(exchange));
    }
}

/// Finds one of `whole` for the exchange of this number, moving others if need be (Kuhn's algorithm).
fn give(
    number: usize,
    seen: &[Exchange],
    whole: &[Exchange],
    taken: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    for (place, one) in whole.iter().enumerate() {
        let fits = seen.get(number).is_some_and(|exchange| is_part_of(exchange, one));
        if !fits || tried.get(place) != Some(&false) {
            continue;
        }
        tried.iter_mut().skip(place).take(1).for_each(|tried| *tried = true);
        let holder = taken.get(place).copied().flatten();
        if holder.is_none_or(|holder| give(holder, seen, whole, taken, tried)) {
            taken.iter_mut().skip(place).take(1).for_each(|taken| *taken = Some(number));
            return true;
        }
    }
    false
}

/// Whether nothing in `seen` is other than in `whole`; of a text the beginning is enough, and a status may be unknown.
fn is_part_of(seen: &Exchange, whole: &Exchange) -> bool {
    let attributes = |exchange: &Exchange| {
        exchange.details.as_ref().map(|details| details.attributes.clone()).unwrap_or_default()
    };
    let all = attributes(whole);
    // A statement of which not even the first word was kept.
    let is_nameless = name(seen) == "query";
    (is_nameless || name(whole).starts_with(name(seen)))
        && (seen.status == whole.status || seen.status == Status::UNKNOWN)
        && seen.ending == whole.ending
        && attributes(seen).iter().all(|(key, value)| {
            all.iter().any(|(other, whole)| {
                key == other
                    && match (value, whole) {
                        (OwnedValue::Text(value), OwnedValue::Text(whole)) => whole.starts_with(&**value),
                        (value, whole) => value == whole,
                    }
            })
        })
}

/// Checks that no secret is left however the dialogue is cut, and that the exchanges stay as many and end the same.
///
/// # Panics
/// When one is left, or an exchange is gone.
pub fn check_secrets(definition: &'static Definition, dialogue: &[Turn], secrets: &[&str]) {
    let whole = told(definition, dialogue);
    let ends = |told: &Told| -> Vec<&'static str> {
        told.exchanges.iter().map(|exchange| exchange.status.label).collect()
    };
    let longest = dialogue.iter().map(|(_, bytes)| bytes.len()).max().unwrap_or_default();
    for call_bytes in (1..=longest.min(300)).chain([usize::MAX]) {
        let playing = Playing { call_bytes, redacts: true, ..Playing::default() };
        let mut streams = PerSide::<Vec<u8>>::default();
        for call in playing.calls(definition, dialogue) {
            streams.of(call.side).extend(call.bytes);
        }
        for (secret, stream) in
            secrets.iter().flat_map(|secret| [(secret, &streams.client), (secret, &streams.server)])
        {
            let is_there = stream.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!is_there, "{}: {secret:?} is left in calls of {call_bytes} bytes", definition.name);
        }
        let redacted = playing.told(definition, dialogue);
        assert_eq!(ends(&redacted), ends(&whole), "{} in calls of {call_bytes} bytes", definition.name);
    }
}
