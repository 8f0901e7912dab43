//! Where observations go: the trace, the live registry, or both. Both get the same ones in the same order, which is
//! why a replay of the trace says what the registry said.

use aftertrace_registry::Registry;
use aftertrace_schemas::{Kind, Observation, UnixNanos};

use crate::trace::{TraceError, TraceWriter};

/// Numbers observations and hands them on.
pub(super) struct Sinks {
    next_seq: u64,
    /// The trace, unless nothing is recorded.
    pub(super) writer: Option<TraceWriter>,
    /// The live registry, when this is `serve`.
    pub(super) registry: Option<Registry>,
}

impl Sinks {
    pub(super) fn new(writer: Option<TraceWriter>, registry: Option<Registry>) -> Self {
        Self { next_seq: 0, writer, registry }
    }

    /// Makes a fact the next observation, which is to be appended.
    pub(super) fn next(&mut self, time: UnixNanos, kind: Kind) -> Observation {
        let seq = self.next_seq;
        self.next_seq += 1;
        Observation { seq, time, kind }
    }

    /// Hands an observation on. By reference: they are large, and there are many.
    pub(super) fn append(&mut self, observation: &Observation) -> Result<(), TraceError> {
        if let Some(registry) = &mut self.registry {
            registry.apply(observation);
        }
        match &mut self.writer {
            Some(writer) => writer.append(observation),
            None => Ok(()),
        }
    }

    /// Observations so far.
    pub(super) fn count(&self) -> u64 {
        self.next_seq
    }
}
