//! What containers and units log: lines joined to messages, messages told apart by level and pattern, and counted.
//!
//! In: `LogLine` rows, or `LogPattern` rows of a recording that keeps no text. Out: `container_log_messages_total`.
//! [`Joiner`] and [`Patterns`] are also what the recorder uses when it is to keep patterns only, so that both ways
//! count the same.

mod join;
mod json;
mod level;
mod pattern;

use std::collections::BTreeMap;
use std::sync::Arc;

use aftertrace_schemas::UnixNanos;
use aftertrace_schemas::tables::{LogLine, LogPattern};

pub use join::{Joiner, MESSAGE_BYTES, Message, TIMEOUT_NS};
pub use level::Level;
pub use pattern::{Counted, Pattern, Patterns, UNCLASSIFIED_HASH, UNCLASSIFIED_SAMPLE};

use crate::Limits;
use crate::losses::{Dropped, Drops};
use crate::metrics::{Collector, definitions};

/// Messages are looked for that nothing was added to at multiples of this.
const FLUSH_GRID_NS: i64 = 250_000_000;

/// One source: standard output, the journal, or a file.
#[derive(Debug, Default)]
struct Source {
    /// By stream: lines of standard error are no part of what standard output says.
    joiners: BTreeMap<Option<Box<str>>, Joiner>,
    patterns: Patterns,
}

/// What one container logs.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    sources: BTreeMap<Arc<str>, Source>,
}

/// What is needed to count a message.
pub(crate) struct Context<'a> {
    pub(crate) time: UnixNanos,
    pub(crate) limits: &'a Limits,
    pub(crate) drops: &'a mut Drops,
}

impl Logs {
    /// A line. Returns when the message that it is in should be looked at again.
    pub(crate) fn line(&mut self, row: &LogLine, context: &mut Context<'_>) -> Option<UnixNanos> {
        if row.text_bytes > row.text.len() as u64 {
            context.drops.count(Dropped::LogBytes, context.time);
        }
        let Source { joiners, patterns } = self.source(&row.source, context)?;
        // A row of an unknown stream comes from a trace of a later version; there are two.
        let stream = row.stream.as_deref().filter(|stream| matches!(*stream, "stdout" | "stderr"));
        let joiner = joiners.entry(stream.map(Into::into)).or_default();
        let time = context.time;
        joiner.add(time, &row.text, row.priority, &mut |message| count(patterns, &message, context));
        joiner.deadline().map(on_grid)
    }

    /// Messages that the recorder counted.
    pub(crate) fn pattern(&mut self, row: &LogPattern, context: &mut Context<'_>) {
        let limit = context.limits.log_patterns;
        if let Some(source) = self.source(&row.source, context)
            && !source.patterns.add(Level::from_word(&row.level), &row.pattern_hash, row.messages, limit)
        {
            context.drops.count(Dropped::LogPatterns, context.time);
        }
    }

    /// Counts the messages that nothing was added to for long. Returns when to look again.
    pub(crate) fn flush(&mut self, context: &mut Context<'_>) -> Option<UnixNanos> {
        let now = context.time;
        let mut next = None;
        for Source { joiners, patterns } in self.sources.values_mut() {
            for joiner in joiners.values_mut() {
                joiner.flush(now, &mut |message| count(patterns, &message, context));
                next = earlier(next, joiner.deadline().map(on_grid));
            }
        }
        next
    }

    /// Counts all messages as they are: no more lines come.
    pub(crate) fn finish(&mut self, context: &mut Context<'_>) {
        for Source { joiners, patterns } in self.sources.values_mut() {
            for joiner in joiners.values_mut() {
                joiner.finish(&mut |message| count(patterns, &message, context));
            }
        }
    }

    /// Takes over what another container logged, which turned out to be the same one.
    pub(crate) fn merge(&mut self, mut other: Self, context: &mut Context<'_>) {
        other.finish(context);
        let limit = context.limits.log_patterns;
        for (name, theirs) in other.sources {
            let Some(mine) = self.source(&name, context) else { continue };
            for _ in 0..mine.patterns.merge(theirs.patterns, limit) {
                context.drops.count(Dropped::LogPatterns, context.time);
            }
        }
    }

    pub(crate) fn collect(&self, collector: &mut Collector) {
        for (name, source) in &self.sources {
            for (level, hash, sample, messages) in source.patterns.iter() {
                let labels = [
                    ("source", name.clone()),
                    ("level", level.word().into()),
                    ("pattern_hash", hash.clone()),
                    ("sample", sample.clone()),
                ];
                collector.add(&definitions::LOG_MESSAGES, labels, messages as f64);
            }
        }
    }

    /// The source of this name, new if need be; `None` when there are too many.
    fn source(&mut self, name: &str, context: &mut Context<'_>) -> Option<&mut Source> {
        if !self.sources.contains_key(name) {
            if self.sources.len() >= context.limits.log_sources {
                context.drops.count(Dropped::LogSources, context.time);
                return None;
            }
            let label = context.drops.label(name, context.limits, context.time);
            return Some(self.sources.entry(label).or_default());
        }
        self.sources.get_mut(name)
    }
}

fn count(patterns: &mut Patterns, message: &Message, context: &mut Context<'_>) {
    let Context { time, limits, drops } = context;
    if message.is_cut {
        drops.count(Dropped::LogBytes, *time);
    }
    let cut =
        |text: &str| text.get(..text.floor_char_boundary(limits.label_bytes)).unwrap_or_default().into();
    if patterns.count(message, limits.log_patterns, cut).is_unclassified {
        drops.count(Dropped::LogPatterns, *time);
    }
}

/// The earlier of two moments, where there is one.
pub(crate) fn earlier(a: Option<UnixNanos>, b: Option<UnixNanos>) -> Option<UnixNanos> {
    a.into_iter().chain(b).min()
}

/// The next moment at which messages are looked at.
fn on_grid(deadline: UnixNanos) -> UnixNanos {
    deadline.div_euclid(FLUSH_GRID_NS).saturating_add(1).saturating_mul(FLUSH_GRID_NS)
}

#[cfg(test)]
mod tests;
