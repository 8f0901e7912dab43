//! One connection: which protocol it speaks, and its exchanges.
//!
//! It is decided from the first calls of both sides, which are kept meanwhile, and stays; a codec that meets what it
//! cannot read without a gap before is wrong, and the question is open again.

use crate::classifier::{Classifier, Verdict};
use crate::exchange::Pairing;
use crate::stream::Pushed;
use crate::{Chunk, Codec, Definition, Exchange, PerSide, Progress, Side, Stream, Transport, Unpaired};

/// Times that a decision may be taken back.
const MAX_CHANGES: u32 = 3;
/// Calls in a row of which a codec can read nothing before it counts as wrong.
const MAX_FOREIGN_CALLS: u32 = 16;

/// What is known of a connection before its first byte.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts {
    /// Port of the side that accepted; 0 when unknown.
    pub server_port: u16,
    /// Whether exchanges carry details for spans.
    pub wants_details: bool,
    /// Whether it is one of datagrams.
    pub is_datagrams: bool,
    /// Whether it is known from its first byte on, which has the position 0.
    pub is_from_start: bool,
    /// Whether it is inside TLS, to which a connection may turn after some words.
    pub is_in_tls: bool,
}

struct Kept {
    side: Side,
    position: u64,
    size: u64,
    time_ns: u64,
    bytes: Box<[u8]>,
}

enum State {
    Undecided { calls: Vec<Kept>, classifier: Classifier },
    Decided { definition: &'static Definition, codec: Box<dyn Codec>, has_read: bool, foreign_calls: u32 },
    Unknown,
}

/// The state of a connection.
pub struct Conversation {
    facts: Facts,
    state: State,
    streams: PerSide<Stream>,
    pairing: Pairing,
    changes: u32,
    gaps: u64,
}

impl std::fmt::Debug for Conversation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Conversation")
            .field("protocol", &self.protocol().map(|definition| definition.name))
            .finish_non_exhaustive()
    }
}

impl Conversation {
    /// One of which nothing was heard.
    pub fn new(facts: Facts) -> Self {
        Self::in_state(undecided(facts.server_port), facts)
    }

    /// One of a protocol that is known.
    pub fn of(definition: &'static Definition, facts: Facts) -> Self {
        Self::in_state(decided(definition, facts), facts)
    }

    fn in_state(state: State, facts: Facts) -> Self {
        let mut pairing = Pairing::new(facts.wants_details);
        let stream = if facts.is_from_start { Stream::from_start } else { Stream::default };
        if !facts.is_from_start {
            // Responses to what was asked before may come first.
            pairing.lost();
        }
        Self {
            facts,
            state,
            streams: PerSide { client: stream(), server: stream() },
            pairing,
            changes: 0,
            gaps: 0,
        }
    }

    /// The protocol, once decided.
    pub fn protocol(&self) -> Option<&'static Definition> {
        match self.state {
            State::Decided { definition, .. } => Some(definition),
            _ => None,
        }
    }

    /// Whether it was found to be of no protocol in the catalogue: its bytes are of no use.
    pub fn is_unknown(&self) -> bool {
        matches!(self.state, State::Unknown)
    }

    /// Adds what a call of `side` moved. [`drain`](Self::drain) has what it completes.
    pub fn push(&mut self, side: Side, chunk: &Chunk<'_>) {
        match &mut self.state {
            State::Unknown => {}
            State::Decided { .. } => self.read(side, chunk),
            State::Undecided { calls, classifier } => {
                if chunk.position == 0 && self.facts.is_from_start {
                    classifier.begins(side, chunk.bytes, calls.is_empty() && !self.facts.is_in_tls);
                }
                calls.push(Kept {
                    side,
                    position: chunk.position,
                    size: chunk.size,
                    time_ns: chunk.time_ns,
                    bytes: chunk.bytes.into(),
                });
                match classifier.push(side, chunk.bytes, chunk.size) {
                    Verdict::Is(definition) => self.decide(definition),
                    Verdict::Unknown => self.state = State::Unknown,
                    Verdict::Open => {}
                }
            }
        }
    }

    fn decide(&mut self, definition: &'static Definition) {
        let before = std::mem::replace(&mut self.state, decided(definition, self.facts));
        let State::Undecided { calls, .. } = before else { return };
        for call in calls {
            let Kept { side, position, size, time_ns, bytes } = call;
            // A first call may show that the choice was wrong.
            if matches!(self.state, State::Decided { .. }) {
                self.read(side, &Chunk { position, size, bytes: &bytes, time_ns });
            }
        }
    }

    fn read(&mut self, side: Side, chunk: &Chunk<'_>) {
        let State::Decided { codec, has_read, foreign_calls, .. } = &mut self.state else { return };
        let stream = self.streams.of(side);
        let is_new = stream.push(chunk) == Pushed::Broken;
        if is_new {
            self.gaps += 1;
            codec.lost(side);
            self.pairing.lost();
        }
        let before = stream.position();
        match codec.read(side, stream, &mut self.pairing) {
            Progress::Wait => {
                if stream.position() > before {
                    *foreign_calls = 0;
                    *has_read = true;
                }
            }
            Progress::Lost => self.pass(side),
            Progress::Foreign => {
                *foreign_calls += 1;
                let is_wrong = *foreign_calls > MAX_FOREIGN_CALLS || (self.gaps == 0 && !*has_read);
                if is_wrong { self.reconsider() } else { self.pass(side) }
            }
        }
    }

    /// Leaves out what is there, and goes on at the next call.
    fn pass(&mut self, side: Side) {
        if let State::Decided { codec, .. } = &mut self.state {
            codec.lost(side);
        }
        self.streams.of(side).discard();
        self.pairing.lost();
        self.gaps += 1;
    }

    fn reconsider(&mut self) {
        self.changes += 1;
        self.pairing.lost();
        self.streams = PerSide::default();
        self.state =
            if self.changes > MAX_CHANGES { State::Unknown } else { undecided(self.facts.server_port) };
    }

    /// The exchanges that are complete.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Exchange> {
        self.pairing.drain()
    }

    fn settle(&mut self) {
        if let State::Decided { codec, .. } = &mut self.state {
            codec.settle(&mut self.pairing);
        }
    }

    /// The connection ended: what waits for a response will not have one.
    pub fn close(&mut self, time_ns: u64) {
        if let State::Undecided { classifier, .. } = &self.state
            && let Verdict::Is(definition) = classifier.conclude()
        {
            self.decide(definition);
        }
        self.settle();
        self.pairing.close(time_ns);
    }

    /// Gives up waiting for responses to what began before `before_ns`.
    pub fn expire(&mut self, before_ns: u64, now_ns: u64) {
        if self.pairing.oldest_ns().is_some_and(|oldest_ns| oldest_ns < before_ns) {
            self.settle();
            self.pairing.expire(before_ns, now_ns);
        }
        self.streams.client.shrink();
        self.streams.server.shrink();
    }

    /// What could not be paired so far.
    pub fn unpaired(&self) -> Unpaired {
        self.pairing.unpaired()
    }

    /// Times that bytes were missing where a codec needed them.
    pub fn gaps(&self) -> u64 {
        self.gaps
    }

    /// Whether nothing waits for a response.
    pub fn is_idle(&self) -> bool {
        self.pairing.is_idle()
    }

    /// Memory that it holds beyond its own size, bytes.
    pub fn memory_bytes(&self) -> usize {
        let of_state = match &self.state {
            State::Undecided { calls, classifier } => {
                classifier.memory_bytes()
                    + calls.iter().map(|call| size_of::<Kept>() + call.bytes.len()).sum::<usize>()
            }
            State::Decided { codec, .. } => size_of_val(&**codec) + codec.memory_bytes(),
            State::Unknown => 0,
        };
        of_state
            + self.streams.client.memory_bytes()
            + self.streams.server.memory_bytes()
            + self.pairing.memory_bytes()
    }
}

fn undecided(server_port: u16) -> State {
    State::Undecided { calls: Vec::new(), classifier: Classifier::new(server_port) }
}

fn decided(definition: &'static Definition, facts: Facts) -> State {
    let transport = if facts.is_datagrams { Transport::StreamAndDatagrams } else { Transport::Stream };
    State::Decided { definition, codec: (definition.codec)(transport), has_read: false, foreign_calls: 0 }
}
