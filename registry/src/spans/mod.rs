//! Spans: one for each exchange that a container had, in the terms of OpenTelemetry's semantic conventions.
//!
//! In: exchanges with their details, and the ends of connections. Out: [`Span`]s, and counts of what was left out or has
//! no parent. Identifiers are hashes of what names a request - the connection, and the place in the client's stream where
//! it begins - so a replay says the same as the live registry, and both ends of a connection find the same ones without
//! having told each other.
//!
//! `context` reads the trace context of requests, `ends` finds the two ends of a connection, `describe` makes attributes,
//! `sampler` chooses when there are too many, `identity` hashes.

mod context;
mod describe;
mod ends;
mod identity;
mod sampler;
mod service;
mod span;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use aftertrace_protocols::{Definition as Protocol, Exchange, Side};
use aftertrace_schemas::UnixNanos;
use serde::{Deserialize, Serialize};

use crate::containers::Container;
use crate::l7::Tls;
use crate::metrics::{Collector, definitions};
use crate::node::Node;
use context::Context;
pub(crate) use ends::{End, Ends, Opened};
use identity::Identity;
use sampler::{Priority, Sampler};
pub use span::{Resource, Span, SpanId, SpanKind, SpanValue, TraceId};

/// Spans that wait to be taken at most. Who wants them takes them after each observation.
const MAX_READY: usize = 65_536;

/// Tells places inside TLS from those of the same connection before it.
const IN_TLS: u64 = 1 << 63;

/// Which spans are made, and of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpanConfig {
    /// Most that are made of what ends in one second; errors come first, then what is slow. None for all.
    pub per_second: Option<usize>,
    /// What takes longer is slow, nanoseconds.
    pub slow_ns: u64,
    /// Whether the values stay in statements, and the parameters in URLs.
    pub keeps_literals: bool,
}

impl Default for SpanConfig {
    fn default() -> Self {
        Self { per_second: Some(100), slow_ns: 1_000_000_000, keeps_literals: false }
    }
}

/// Why a span of a server has no parent although its client may be of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unlinked {
    /// The connection is older than the recording: its ends count bytes from different places.
    Beginning,
    /// Two connections between the same addresses and ports, as in two networks that look alike.
    Ambiguous,
    /// What is in TLS has places of its own, of which the first was not seen.
    Encrypted,
    /// Where the request begins is not known.
    Place,
}

impl Unlinked {
    fn word(self) -> &'static str {
        match self {
            Self::Beginning => "beginning",
            Self::Ambiguous => "ambiguous",
            Self::Encrypted => "encrypted",
            Self::Place => "place",
        }
    }
}

/// An exchange with what a span needs to know of it.
pub(crate) struct Told<'a> {
    pub(crate) protocol: &'static Protocol,
    pub(crate) own_side: Side,
    pub(crate) tls: Option<Tls>,
    pub(crate) is_datagrams: bool,
    pub(crate) exchange: Exchange,
    pub(crate) container: &'a Container,
    pub(crate) node: &'a Node,
    /// The connection; [`End::of_datagrams`] where there is none.
    pub(crate) end: &'a End,
    /// A name that the server's address was found by.
    pub(crate) server_name: Option<&'a Arc<str>>,
}

/// All that concerns spans.
#[derive(Debug)]
pub(crate) struct Spans {
    config: SpanConfig,
    pub(crate) ends: Ends,
    sampler: Option<Sampler>,
    ready: VecDeque<Span>,
    made: BTreeMap<(&'static str, SpanKind), u64>,
    dropped: u64,
    unlinked: BTreeMap<Unlinked, u64>,
}

impl Spans {
    pub(crate) fn new(config: SpanConfig) -> Self {
        Self {
            sampler: config.per_second.map(Sampler::new),
            config,
            ends: Ends::default(),
            ready: VecDeque::new(),
            made: BTreeMap::new(),
            dropped: 0,
            unlinked: BTreeMap::new(),
        }
    }

    /// It is so late: what was chosen of the seconds before can be taken.
    pub(crate) fn turn(&mut self, now: UnixNanos) {
        if let Some(sampler) = &mut self.sampler
            && sampler.is_over(now)
        {
            let chosen = sampler.take();
            self.give(chosen);
        }
    }

    /// Nothing more comes.
    pub(crate) fn finish(&mut self) {
        if let Some(sampler) = &mut self.sampler {
            let chosen = sampler.take();
            self.give(chosen);
        }
    }

    fn give(&mut self, spans: Vec<Span>) {
        self.ready.extend(spans);
        let beyond = self.ready.len().saturating_sub(MAX_READY);
        self.ready.drain(..beyond);
    }

    /// What can be taken.
    pub(crate) fn drain(&mut self) -> std::collections::vec_deque::Drain<'_, Span> {
        self.ready.drain(..)
    }

    /// An exchange of a container.
    pub(crate) fn add(&mut self, mut told: Told<'_>) {
        let kind = describe::kind(&told);
        let identity = self.identify(&mut told);
        *self.made.entry((told.protocol.name, kind)).or_default() += 1;
        let priority = Priority::of(&told.exchange, identity.trace_id, self.config.slow_ns);
        if let Some(sampler) = &mut self.sampler
            && !sampler.has_room(priority)
        {
            self.dropped += 1;
            return;
        }
        let span = describe::span(told, kind, identity, &self.config);
        match &mut self.sampler {
            Some(sampler) => self.dropped += sampler.add(priority, span),
            None => self.give(vec![span]),
        }
    }

    /// Who the span is, whose child, and in which trace.
    fn identify(&mut self, told: &mut Told<'_>) -> Identity {
        let context = told.exchange.details.as_deref_mut().and_then(Context::take);
        let Told { exchange, end, own_side, tls, is_datagrams, .. } = told;
        let place = match exchange.position {
            _ if !end.is_from_start => Err(Unlinked::Beginning),
            _ if tls.is_some_and(|tls| !tls.is_from_start) => Err(Unlinked::Encrypted),
            Some(position) if tls.is_some() => Ok(position | IN_TLS),
            position => position.ok_or(Unlinked::Place),
        };
        let own = match place {
            Ok(place) => identity::of_place(end.name, place),
            Err(_) => identity::of_exchange(end.name, exchange),
        };
        let span_id = own.span_id(*own_side);
        if let Some(Context { trace_id, span_id: parent, flags }) = context {
            return Identity { trace_id, span_id, parent: Some(parent), flags };
        }
        let client = match *own_side {
            Side::Server if *is_datagrams => None,
            Side::Server if !end.is_from_start => Some(Err(Unlinked::Beginning)),
            Side::Server => end.client,
            Side::Client => None,
        };
        let parent = client.map(|client| client.and_then(|client| Ok(identity::of_place(client, place?))));
        match parent {
            Some(Ok(parent)) => Identity {
                trace_id: parent.trace_id(),
                span_id,
                parent: Some(parent.span_id(Side::Client)),
                flags: None,
            },
            Some(Err(why)) => {
                *self.unlinked.entry(why).or_default() += 1;
                Identity { trace_id: own.trace_id(), span_id, parent: None, flags: None }
            }
            None => Identity { trace_id: own.trace_id(), span_id, parent: None, flags: None },
        }
    }

    pub(crate) fn collect(&self, collector: &mut Collector) {
        for ((protocol, kind), count) in &self.made {
            let labels = [("protocol", (*protocol).into()), ("kind", kind.word().into())];
            collector.add(&definitions::SPANS, labels, *count as f64);
        }
        if self.dropped > 0 {
            collector.add(&definitions::SPANS_DROPPED, [("reason", "sampled".into())], self.dropped as f64);
        }
        for (why, count) in &self.unlinked {
            collector.add(&definitions::SPANS_UNLINKED, [("reason", why.word().into())], *count as f64);
        }
    }
}

/// An address as attributes have it.
fn address(ip: IpAddr) -> SpanValue {
    SpanValue::Text(ip.to_string().into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
mod tests;
