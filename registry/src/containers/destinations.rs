//! Where a container connects to, and how that went.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use aftertrace_schemas::UnixNanos;

use crate::Limits;
use crate::endpoint::Route;
use crate::losses::{Dropped, Drops, Tally};
use crate::maps::OrderedMap;
use crate::metrics::{Collector, definitions};
use crate::peers::RoundTrips;
use crate::sockets::Counters;

/// Sums of outbound connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) connects: u64,
    pub(crate) failed_connects: u64,
    pub(crate) handshake_ns: u64,
    pub(crate) retransmits: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
}

impl Totals {
    pub(crate) fn add(&mut self, other: &Self) {
        self.connects += other.connects;
        self.failed_connects += other.failed_connects;
        self.handshake_ns = self.handshake_ns.saturating_add(other.handshake_ns);
        self.retransmits += other.retransmits;
        self.bytes_sent = self.bytes_sent.saturating_add(other.bytes_sent);
        self.bytes_received = self.bytes_received.saturating_add(other.bytes_received);
    }

    pub(crate) fn grow(&mut self, growth: Counters) {
        self.retransmits += u64::from(growth.retransmits);
        self.bytes_sent = self.bytes_sent.saturating_add(growth.bytes_sent);
        self.bytes_received = self.bytes_received.saturating_add(growth.bytes_received);
    }
}

/// First and last time of something that may not have happened.
pub(crate) type Span = Option<(UnixNanos, UnixNanos)>;

fn extend(span: &mut Span, time: UnixNanos) {
    *span = Some(span.map_or((time, time), |(first, last)| (first.min(time), last.max(time))));
}

/// One destination of one container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) totals: Totals,
    /// Connections that are open.
    pub(crate) active: u64,
    /// Whether a connection was ever established, in the recording or before.
    pub(crate) established: bool,
    pub(crate) failed: Span,
    pub(crate) retransmitted: Span,
    /// Why the last failed connect failed.
    pub(crate) last_errno: Option<u16>,
    /// What the kernel made of the round-trip times of the connection that was last looked at, microseconds.
    pub(crate) smoothed_rtt_us: Option<u32>,
    /// Where the latest connection came from.
    pub(crate) network_namespace: Option<u32>,
    /// When a connection was last tried or closed.
    last_used: UnixNanos,
}

impl Destination {
    pub(crate) fn new(time: UnixNanos) -> Self {
        Self {
            totals: Totals::default(),
            active: 0,
            established: false,
            failed: None,
            retransmitted: None,
            last_errno: None,
            smoothed_rtt_us: None,
            network_namespace: None,
            last_used: time,
        }
    }

    pub(crate) fn opened(&mut self, time: UnixNanos) {
        self.active += 1;
        self.established = true;
        self.last_used = self.last_used.max(time);
    }

    /// An established connection; `tracked` tells whether its close will be seen.
    pub(crate) fn connected(&mut self, time: UnixNanos, handshake_ns: u64, tracked: bool) {
        self.totals.connects += 1;
        self.totals.handshake_ns = self.totals.handshake_ns.saturating_add(handshake_ns);
        self.opened(time);
        if !tracked {
            self.active -= 1;
        }
    }

    pub(crate) fn connect_failed(&mut self, time: UnixNanos, errno: Option<u16>) {
        self.totals.failed_connects += 1;
        self.last_errno = errno.filter(|errno| *errno != 0).or(self.last_errno);
        extend(&mut self.failed, time);
        self.last_used = self.last_used.max(time);
    }

    pub(crate) fn grew(&mut self, time: UnixNanos, growth: Counters) {
        self.totals.grow(growth);
        if growth.retransmits > 0 {
            extend(&mut self.retransmitted, time);
        }
    }

    /// The kernel's smoothed round-trip time of one of its connections; 0 stands for none yet.
    pub(crate) fn measured(&mut self, smoothed_rtt_us: Option<u32>) {
        self.smoothed_rtt_us = smoothed_rtt_us.filter(|rtt| *rtt > 0).or(self.smoothed_rtt_us);
    }

    /// One of its open connections turned out to go elsewhere.
    fn lost_to(&mut self, other: &mut Self, time: UnixNanos) {
        self.active = self.active.saturating_sub(1);
        other.opened(time);
        other.network_namespace = self.network_namespace.or(other.network_namespace);
    }

    pub(crate) fn closed(&mut self, time: UnixNanos) {
        self.active = self.active.saturating_sub(1);
        self.last_used = self.last_used.max(time);
    }

    fn merge(&mut self, other: &Self) {
        self.totals.add(&other.totals);
        self.active += other.active;
        self.established |= other.established;
        for (mine, theirs) in
            [(&mut self.failed, other.failed), (&mut self.retransmitted, other.retransmitted)]
        {
            if let Some((first, last)) = theirs {
                extend(mine, first);
                extend(mine, last);
            }
        }
        self.last_errno = other.last_errno.or(self.last_errno);
        self.smoothed_rtt_us = other.smoothed_rtt_us.or(self.smoothed_rtt_us);
        self.network_namespace = other.network_namespace.or(self.network_namespace);
        self.last_used = self.last_used.max(other.last_used);
    }

    /// Failed connects, with their times.
    pub(crate) fn failures(&self) -> Option<Tally> {
        self.failed.map(|(first, last)| Tally::new(self.totals.failed_connects, first, last))
    }

    /// Retransmits, with their times.
    pub(crate) fn retransmissions(&self) -> Option<Tally> {
        self.retransmitted.map(|(first, last)| Tally::new(self.totals.retransmits, first, last))
    }

    /// How much it is used: the same for all of its series.
    fn connections(&self) -> f64 {
        let Totals { connects, failed_connects, .. } = self.totals;
        connects.saturating_add(failed_connects).saturating_add(self.active) as f64
    }

    fn collect(&self, [label, actual]: &[Arc<str>; 2], collector: &mut Collector) {
        let totals = &self.totals;
        if totals.failed_connects > 0 {
            let own = [("destination", label.clone())];
            collector.add(&definitions::FAILED_CONNECTS, own, totals.failed_connects as f64);
        }
        if !self.established {
            return;
        }
        let both = || [("destination", label.clone()), ("actual_destination", actual.clone())];
        collector.add(&definitions::CONNECTS, both(), totals.connects as f64);
        collector.add(&definitions::CONNECTION_TIME, both(), totals.handshake_ns as f64 / 1e9);
        collector.add(&definitions::ACTIVE_CONNECTIONS, both(), self.active as f64);
        collector.add(&definitions::BYTES_SENT, both(), totals.bytes_sent as f64);
        collector.add(&definitions::BYTES_RECEIVED, both(), totals.bytes_received as f64);
        if totals.retransmits > 0 {
            collector.add(&definitions::RETRANSMITS, both(), totals.retransmits as f64);
        }
        if let Some(rtt) = self.smoothed_rtt_us {
            collector.add(&definitions::TCP_RTT, both(), f64::from(rtt) / 1e6);
        }
    }
}

/// All destinations of one container.
#[derive(Debug, Default)]
pub(crate) struct Destinations {
    by_route: OrderedMap<Route, Destination>,
}

impl Destinations {
    pub(crate) fn get_mut(&mut self, route: Route) -> Option<&mut Destination> {
        self.by_route.get_mut(&route)
    }

    /// The destination, new if need be; `None` when there are too many.
    pub(crate) fn entry(
        &mut self,
        route: Route,
        time: UnixNanos,
        limits: &Limits,
        drops: &mut Drops,
    ) -> Option<&mut Destination> {
        if self.by_route.len() >= limits.destinations && !self.by_route.contains_key(&route) {
            drops.count(Dropped::Destinations, time);
            return None;
        }
        Some(self.by_route.entry(route).or_insert_with(|| Destination::new(time)))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Route, &Destination)> {
        self.by_route.iter().map(|(route, destination)| (*route, destination))
    }

    /// Takes out what has no open connection and was not used for `idle_ns`.
    pub(crate) fn expire(&mut self, now: UnixNanos, idle_ns: i64) -> Vec<(Route, Destination)> {
        let is_idle = |destination: &Destination| {
            destination.active == 0 && now.saturating_sub(destination.last_used) > idle_ns
        };
        let mut expired = Vec::new();
        self.by_route.retain(|route, destination| {
            if is_idle(destination) {
                expired.push((*route, *destination));
            }
            !is_idle(destination)
        });
        expired
    }

    /// Takes over another container's destinations. What would be too much is counted.
    pub(crate) fn merge(&mut self, other: Self, time: UnixNanos, limits: &Limits, drops: &mut Drops) {
        for (route, destination) in other.by_route {
            if let Some(mine) = self.entry(route, time, limits, drops) {
                mine.merge(&destination);
            }
        }
    }

    /// An open connection on route `from` turned out to go to `to`. Returns false, and counts, when there are too many.
    pub(crate) fn reroute(
        &mut self,
        from: Route,
        to: Route,
        time: UnixNanos,
        limits: &Limits,
        drops: &mut Drops,
    ) -> bool {
        let Some(mut old) = self.by_route.get(&from).copied() else { return false };
        let Some(new) = self.entry(to, time, limits, drops) else { return false };
        old.lost_to(new, time);
        self.by_route.insert(from, old);
        true
    }

    pub(crate) fn collect(&self, round_trips: &RoundTrips, collector: &mut Collector) {
        // Several destinations may be on one host.
        let mut latencies: BTreeMap<IpAddr, u64> = BTreeMap::new();
        let label = |(route, destination): (&Route, _)| {
            let dialled: Arc<str> = route.destination.to_string().into();
            let is_same = route.actual == route.destination;
            let actual = if is_same { dialled.clone() } else { route.actual.to_string().into() };
            ([dialled, actual], *route, destination)
        };
        let mut labelled: Vec<([Arc<str>; 2], Route, &Destination)> =
            self.by_route.iter().map(label).collect();
        // Once here instead of once in each family.
        labelled.sort_unstable_by(|(a, ..), (b, ..)| a.cmp(b));
        for (labels, route, destination) in labelled {
            collector.weigh(Some(destination.connections()));
            destination.collect(&labels, collector);
            if let Some(rtt_ns) = round_trips.get(destination.network_namespace, route.actual) {
                latencies.insert(route.actual.ip(), rtt_ns);
            }
        }
        for (ip, rtt_ns) in latencies {
            let own = [("destination_ip", ip.to_string().into())];
            collector.add(&definitions::NET_LATENCY, own, rtt_ns as f64 / 1e9);
        }
        collector.weigh(None);
    }
}
