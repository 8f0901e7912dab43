//! What a span is, whoever writes it.

use std::fmt;
use std::sync::Arc;

pub use aftertrace_protocols::OwnedValue as SpanValue;

/// Names a trace; never all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(pub [u8; 16]);

/// Names a span within its trace; never all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId(pub [u8; 8]);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Which part the process had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SpanKind {
    /// It answered.
    Server,
    /// It asked.
    Client,
    /// It sent a message.
    Producer,
    /// It was given a message.
    Consumer,
}

impl SpanKind {
    /// Its name in metrics and tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }
}

/// Where a span is from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Resource {
    /// `service.name`: the container's id; in Kubernetes that of the workload.
    pub service: Arc<str>,
    /// `container.id`.
    pub container: Arc<str>,
    /// `host.name`.
    pub host: Arc<str>,
    /// `host.id`: the machine's id.
    pub host_id: Arc<str>,
}

impl Resource {
    /// Its attributes, without those that are not known.
    pub fn attributes(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("service.name", &*self.service),
            ("container.id", &*self.container),
            ("host.name", &*self.host),
            ("host.id", &*self.host_id),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
    }
}

/// A span.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Its trace.
    pub trace_id: TraceId,
    /// Itself.
    pub span_id: SpanId,
    /// Of whom it is a part.
    pub parent: Option<SpanId>,
    /// What a trace context said about sampling (W3C `trace-flags`).
    pub flags: Option<u8>,
    /// Which part the process had.
    pub kind: SpanKind,
    /// Of few.
    pub name: Box<str>,
    /// When its first byte moved, Unix nanoseconds.
    pub start_ns: u64,
    /// When its last byte moved.
    pub end_ns: u64,
    /// Whether it counts as failed.
    pub is_error: bool,
    /// The protocol's name in this project, as `postgres`.
    pub protocol: &'static str,
    /// What it was about, in the order in which it became known.
    pub attributes: Vec<(&'static str, SpanValue)>,
    /// Where it is from.
    pub resource: Resource,
}

impl Span {
    /// How long it took, nanoseconds.
    pub fn duration_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }

    /// The value of an attribute.
    pub fn attribute(&self, key: &str) -> Option<&SpanValue> {
        self.attributes.iter().find(|(own, _)| *own == key).map(|(_, value)| value)
    }
}
