//! What is missing: observations that the recorder lost, and what the registry's own limits kept out.

use std::collections::BTreeMap;
use std::sync::Arc;

use aftertrace_schemas::UnixNanos;
use aftertrace_schemas::tables::Loss;

use crate::Limits;
use crate::metrics::{Collector, definitions};

/// What the registry did not keep, by the limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dropped {
    Containers,
    Cgroups,
    Processes,
    Sockets,
    Destinations,
    /// Connections whose data is not looked at any more.
    Conversations,
    /// Domain names.
    Domains,
    Peers,
    Listens,
    Disks,
    /// Lines that were cut, and messages that had more lines than are kept.
    LogBytes,
    LogPatterns,
    LogSources,
    Findings,
    HostObjects,
    LabelBytes,
    /// Not a limit: the connection's process was never seen, so it belongs to no container.
    UnknownProcess,
}

impl Dropped {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Containers => "containers",
            Self::Cgroups => "cgroups",
            Self::Processes => "processes",
            Self::Sockets => "sockets",
            Self::Destinations => "destinations",
            Self::Conversations => "conversations",
            Self::Domains => "domains",
            Self::Peers => "peers",
            Self::Listens => "listens",
            Self::Disks => "disks",
            Self::LogBytes => "log_bytes",
            Self::LogPatterns => "log_patterns",
            Self::LogSources => "log_sources",
            Self::Findings => "findings",
            Self::HostObjects => "host_objects",
            Self::LabelBytes => "label_bytes",
            Self::UnknownProcess => "connections_of_unknown_processes",
        }
    }
}

/// How many, and between which moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    pub(crate) first: UnixNanos,
    pub(crate) last: UnixNanos,
}

impl Tally {
    pub(crate) fn new(count: u64, first: UnixNanos, last: UnixNanos) -> Self {
        Self { count, first, last }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

/// Counts of [`Dropped`]; also keeps label values within their limit, since that drops too.
#[derive(Debug, Default)]
pub(crate) struct Drops {
    counts: BTreeMap<Dropped, Tally>,
}

impl Drops {
    pub(crate) fn count(&mut self, what: Dropped, time: UnixNanos) {
        let one = Tally::new(1, time, time);
        self.counts.entry(what).and_modify(|tally| tally.add(one)).or_insert(one);
    }

    /// The value as a label: cut to the limit at a character's boundary.
    pub(crate) fn label(&mut self, value: &str, limits: &Limits, time: UnixNanos) -> Arc<str> {
        if value.len() <= limits.label_bytes {
            return value.into();
        }
        self.count(Dropped::LabelBytes, time);
        value.get(..value.floor_char_boundary(limits.label_bytes)).unwrap_or_default().into()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Dropped, Tally)> {
        self.counts.iter().map(|(what, tally)| (*what, *tally))
    }

    pub(crate) fn collect(&self, collector: &mut Collector) {
        for (what, tally) in &self.counts {
            collector.add(&definitions::REGISTRY_DROPPED, [("what", what.word().into())], tally.count as f64);
        }
    }
}

/// Losses by source and cause, as the recorder reported them.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    by_cause: BTreeMap<(Arc<str>, Arc<str>), Tally>,
}

impl Losses {
    pub(crate) fn apply(&mut self, loss: &Loss, limits: &Limits, drops: &mut Drops, time: UnixNanos) {
        let lost = Tally::new(loss.lost, loss.from.0, loss.to.0);
        let key = (drops.label(&loss.source, limits, time), drops.label(&loss.cause, limits, time));
        if let Some(tally) = self.by_cause.get_mut(&key) {
            tally.add(lost);
        } else if self.by_cause.len() < limits.host_objects {
            self.by_cause.insert(key, lost);
        } else {
            drops.count(Dropped::HostObjects, time);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str, Tally)> {
        self.by_cause.iter().map(|((source, cause), tally)| (&**source, &**cause, *tally))
    }

    pub(crate) fn collect(&self, collector: &mut Collector) {
        for ((source, cause), tally) in &self.by_cause {
            let labels = [("source", source.clone()), ("cause", cause.clone())];
            collector.add(&definitions::LOST, labels, tally.count as f64);
        }
    }
}
