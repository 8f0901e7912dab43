//! Feeds the observations of a trace to the registry, as they were fed live.

use std::ops::ControlFlow;

use aftertrace_registry::Registry;
use aftertrace_schemas::{Observation, UnixNanos};

use crate::{Damage, Observations, Order, Progress, Trace};

/// Progress is told every so many observations.
const PROGRESS_STEP: u64 = 1 << 16;

/// What a replay read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// The order of what was read.
    pub order: Order,
    /// What could not be read.
    pub damage: Vec<Damage>,
    /// Time of the last observation applied, Unix nanoseconds.
    pub last: Option<UnixNanos>,
}

/// Applies the trace to `registry`, up to the first observation that is later than `until` (Unix nanoseconds).
pub fn replay(
    trace: &Trace,
    registry: &mut Registry,
    until: Option<UnixNanos>,
    progress: &mut dyn Progress,
) -> Replayed {
    replay_from(trace, 0, registry, until, progress)
}

/// As [`replay`], from the segment with index `first` on.
pub fn replay_from(
    trace: &Trace,
    first: usize,
    registry: &mut Registry,
    until: Option<UnixNanos>,
    progress: &mut dyn Progress,
) -> Replayed {
    let rows = trace.segments.iter().skip(first).map(crate::Segment::rows).sum();
    drive(trace.observations_from(first), rows, until, progress, &mut |observation| {
        registry.apply(observation);
        ControlFlow::Continue(())
    })
}

/// Hands each observation up to `until` to `apply`, until that has enough.
pub(crate) fn drive(
    mut observations: Observations<'_>,
    rows: u64,
    until: Option<UnixNanos>,
    progress: &mut dyn Progress,
    apply: &mut dyn FnMut(&Observation) -> ControlFlow<()>,
) -> Replayed {
    let mut last = None;
    let mut done = 0;
    progress.begin("replaying", Some(rows));
    for observation in observations.by_ref() {
        if until.is_some_and(|until| observation.time > until) {
            break;
        }
        if apply(&observation).is_break() {
            break;
        }
        last = Some(observation.time);
        done += 1;
        if done % PROGRESS_STEP == 0 {
            progress.advance(done);
        }
    }
    progress.end();
    Replayed { order: observations.order(), damage: observations.damage().to_vec(), last }
}
