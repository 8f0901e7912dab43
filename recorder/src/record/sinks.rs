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

    /// Makes a fact the next observation.
    pub(super) fn append(&mut self, time: UnixNanos, kind: Kind) -> Result<Observation, TraceError> {
        let observation = Observation { seq: self.next_seq, time, kind };
        self.next_seq += 1;
        if let Some(registry) = &mut self.registry {
            registry.apply(&observation);
        }
        if let Some(writer) = &mut self.writer {
            writer.append(&observation)?;
        }
        Ok(observation)
    }

    /// Observations so far.
    pub(super) fn count(&self) -> u64 {
        self.next_seq
    }
}
