//! Decides which protocol a connection speaks, from the heads of its first calls in both directions.

use crate::catalogue::ALL;
use crate::{Definition, Opening, PerSide, Side};

/// Calls that are looked at before a connection counts as of no known protocol.
const MAX_CALLS: u32 = 8;
/// A call of fewer bytes tells nothing: some clients read byte by byte up to the end of a line...
const TELLING_BYTES: u64 = 4;
/// ...of which so many are looked at.
const MAX_SMALL_CALLS: u32 = 1024;
/// Bytes of them.
const MAX_BYTES: usize = 16 * 1024;
/// A score of one side that decides at once.
const CERTAIN: u32 = 100;
/// A score that decides when both sides were heard.
const ENOUGH: u32 = 60;
/// A score that decides when nothing more is waited for.
const LEAST: u32 = 30;
/// What the port adds.
const PORT: u32 = 15;

/// What is decided.
#[derive(Debug, Clone, Copy)]
pub enum Verdict {
    /// Nothing yet.
    Open,
    /// It speaks this one.
    Is(&'static Definition),
    /// It speaks none in the catalogue.
    Unknown,
}

#[derive(Debug, Clone, Copy, Default)]
struct Score {
    is_out: bool,
    sides: PerSide<u32>,
}

/// What was seen of a connection so far.
#[derive(Debug)]
pub struct Classifier {
    scores: Box<[Score]>,
    server_port: u16,
    calls: u32,
    small_calls: u32,
    bytes: usize,
}

impl Classifier {
    /// Of a connection to this port; 0 when it is not known.
    pub fn new(server_port: u16) -> Self {
        Self {
            scores: vec![Score::default(); ALL.len()].into(),
            server_port,
            calls: 0,
            small_calls: 0,
            bytes: 0,
        }
    }

    /// Notes the first bytes of a side, before they are looked at; `is_greeting` if they are the first of both, and not inside
    /// TLS. That rules out what begins otherwise.
    pub fn begins(&mut self, side: Side, bytes: &[u8], is_greeting: bool) {
        for (score, definition) in self.scores.iter_mut().zip(ALL).filter(|_| side == Side::Client) {
            score.is_out |= match definition.opening {
                Opening::Any => false,
                Opening::ServerGreets => is_greeting,
                Opening::ClientSays(opening) => {
                    bytes.iter().zip(opening).any(|(said, expected)| said != expected)
                }
            };
        }
    }

    /// Looks at the head of a call of `side` that moved `size` bytes.
    pub fn push(&mut self, side: Side, bytes: &[u8], size: u64) -> Verdict {
        if !bytes.is_empty() {
            for (score, definition) in self.scores.iter_mut().zip(ALL).filter(|(score, _)| !score.is_out) {
                match (definition.recognise)(side, bytes, size).score() {
                    Some(points) => {
                        let best = score.sides.of(side);
                        *best = points.max(*best);
                    }
                    None => score.is_out = true,
                }
            }
        }
        if size < TELLING_BYTES {
            self.small_calls += 1;
        } else {
            self.calls += 1;
        }
        self.bytes += bytes.len();
        let is_last =
            self.calls >= MAX_CALLS || self.small_calls >= MAX_SMALL_CALLS || self.bytes >= MAX_BYTES;
        self.choose(is_last)
    }

    /// What it is, now that nothing more comes: what one side said must do.
    pub fn conclude(&self) -> Verdict {
        match self.choose(true) {
            Verdict::Is(definition) if self.points(definition) >= ENOUGH => Verdict::Is(definition),
            _ => Verdict::Unknown,
        }
    }

    fn points(&self, of: &Definition) -> u32 {
        let found = self.scores.iter().zip(ALL).find(|(_, definition)| definition.name == of.name);
        found.map_or(0, |(score, _)| score.sides.client + score.sides.server)
    }

    /// The protocols that it may still be.
    pub fn candidates(&self) -> impl Iterator<Item = &'static Definition> + '_ {
        self.scores.iter().zip(ALL).filter(|(score, _)| !score.is_out).map(|(_, definition)| *definition)
    }

    /// Memory that it holds beyond its own size, bytes.
    pub fn memory_bytes(&self) -> usize {
        size_of_val(&*self.scores)
    }

    fn choose(&self, is_last: bool) -> Verdict {
        let mut best: Option<(u32, &'static Definition, bool)> = None;
        let mut second = 0;
        let mut is_open = false;
        for (score, definition) in self.scores.iter().zip(ALL).filter(|(score, _)| !score.is_out) {
            is_open = true;
            let PerSide { client, server } = score.sides;
            if client + server == 0 {
                continue;
            }
            let port = if definition.ports.contains(&self.server_port) { PORT } else { 0 };
            let total = client + server + port;
            match best {
                Some((of_best, ..)) if total <= of_best => second = second.max(total),
                _ => {
                    second = best.map_or(second, |(of_best, ..)| second.max(of_best));
                    let is_sure = client.max(server) >= CERTAIN || (client > 0 && server > 0);
                    best = Some((total, definition, is_sure));
                }
            }
        }
        match best {
            Some((total, definition, is_sure))
                if total > second && ((is_sure && total >= ENOUGH) || (is_last && total >= LEAST)) =>
            {
                Verdict::Is(definition)
            }
            _ if !is_open || is_last => Verdict::Unknown,
            _ => Verdict::Open,
        }
    }
}
