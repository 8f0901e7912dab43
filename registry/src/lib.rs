//! What observations mean: containers, processes, connections, metrics and findings.
//!
//! In: [`Observation`](aftertrace_schemas::Observation)s, one by one, in the order of the trace. Out: metric families, findings and
//! a few views of what is alive. Live and in replay the same bytes come out, since nothing else goes in: no clock,
//! file, thread, environment or chance. `clippy.toml` beside this crate forbids those by name.
//!
//! Where things are: [`Registry`] takes each observation to the part that it concerns. `containers/` has the state of
//! a container (processes, destinations, listens, use of its control groups), `logs/` counts messages, `processes` and
//! `sockets` find the container of an event, `l7/` pairs what applications say into requests, `spans/` tells of each request, `node` keeps the host's own figures, `recording` those of the recording
//! itself, [`container_id`] and [`application_type`] are pure
//! functions of names, [`metrics`] has the families and the two text formats.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod application_type;
mod config;
pub mod container_id;
mod containers;
mod endpoint;
mod findings;
mod l7;
pub mod logs;
mod losses;
mod maps;
pub mod metrics;
mod network;
mod node;
mod peers;
mod processes;
mod recording;
mod registry;
mod sockets;
mod spans;
#[cfg(test)]
mod test_support;
#[cfg(test)]
mod tests;
mod views;

pub use config::{Config, Limits, Pattern, SeriesLimits};
pub use findings::{Finding, FindingKind};
pub use metrics::exposition;
pub use network::{Network, NotANetwork};
pub use registry::Registry;
pub use spans::{Resource, Span, SpanConfig, SpanId, SpanKind, SpanValue, TraceId};
pub use views::{ContainerView, DestinationView, TalkerView};

/// Names of the protocols whose requests are understood, as labels have them.
pub fn protocols() -> impl Iterator<Item = &'static str> {
    aftertrace_protocols::catalogue::ALL.iter().map(|protocol| protocol.name)
}
