//! Chooses which spans are kept when a second has too many: errors first, then what is slow, the slowest first; of the
//! rest whole traces, by their identifiers, so that client and server, and other hosts, choose the same ones.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use aftertrace_protocols::{Ending, Exchange};
use aftertrace_schemas::UnixNanos;

use super::span::{Span, TraceId};

/// How long what is chosen from is gathered.
const WINDOW_NS: i64 = 1_000_000_000;

/// What is worth more is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Priority {
    class: Class,
    weight: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Ordinary,
    Slow,
    Error,
}

impl Priority {
    pub(super) fn of(exchange: &Exchange, trace: TraceId, slow_ns: u64) -> Self {
        let chance = u64::from_be_bytes(trace.0.last_chunk().copied().unwrap_or_default());
        if exchange.status.is_error || exchange.ending != Ending::Answered {
            Self { class: Class::Error, weight: chance }
        } else if exchange.duration_ns() > slow_ns {
            Self { class: Class::Slow, weight: exchange.duration_ns() }
        } else {
            Self { class: Class::Ordinary, weight: chance }
        }
    }
}

#[derive(Debug)]
struct Candidate {
    priority: Priority,
    /// Of equals the first stays.
    number: Reverse<u64>,
    span: Span,
}

impl Candidate {
    fn rank(&self) -> (Priority, Reverse<u64>) {
        (self.priority, self.number)
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

/// The best of a second.
#[derive(Debug)]
pub(super) struct Sampler {
    most: usize,
    window: i64,
    number: u64,
    /// The least first.
    candidates: BinaryHeap<Reverse<Candidate>>,
}

impl Sampler {
    pub(super) fn new(most: usize) -> Self {
        Self { most, window: 0, number: 0, candidates: BinaryHeap::new() }
    }

    /// Whether the second is over that was gathered; the next begins.
    pub(super) fn is_over(&mut self, now: UnixNanos) -> bool {
        let window = now.div_euclid(WINDOW_NS);
        let is_over = window != self.window;
        self.window = window;
        is_over
    }

    /// Whether it would be kept as things are.
    pub(super) fn has_room(&self, priority: Priority) -> bool {
        let least = self.candidates.peek().map(|Reverse(least)| least.priority);
        self.candidates.len() < self.most || least.is_some_and(|least| priority > least)
    }

    /// Adds one; how many had to go for it.
    pub(super) fn add(&mut self, priority: Priority, span: Span) -> u64 {
        self.number += 1;
        self.candidates.push(Reverse(Candidate { priority, number: Reverse(self.number), span }));
        if self.candidates.len() <= self.most {
            return 0;
        }
        self.candidates.pop();
        1
    }

    /// What was chosen, in the order in which it ended.
    pub(super) fn take(&mut self) -> Vec<Span> {
        let mut chosen: Vec<Candidate> =
            std::mem::take(&mut self.candidates).into_iter().map(|Reverse(candidate)| candidate).collect();
        chosen.sort_unstable_by_key(|candidate| Reverse(candidate.number));
        chosen.into_iter().map(|candidate| candidate.span).collect()
    }
}
