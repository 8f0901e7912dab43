//! What is known of the peers of connections: round-trip times, and translations of addresses.

use aftertrace_schemas::UnixNanos;
use aftertrace_schemas::tables::RttProbe;

use crate::Limits;
use crate::endpoint::Endpoint;
use crate::losses::{Dropped, Drops};
use crate::maps::OrderedMap;

/// A translation waits so long for its connection.
const PATIENCE_NS: i64 = 60_000_000_000;

/// The last round-trip time to each host that answered, by network namespace.
#[derive(Debug, Default)]
pub(crate) struct RoundTrips {
    by_peer: OrderedMap<(u32, Endpoint), (u64, UnixNanos)>,
}

impl RoundTrips {
    pub(crate) fn apply(&mut self, row: &RttProbe, limits: &Limits, drops: &mut Drops, time: UnixNanos) {
        let key = (row.network_namespace, Endpoint::new(row.remote_ip, 0));
        let Some(rtt_ns) = row.rtt_ns else {
            self.by_peer.swap_remove(&key);
            return;
        };
        if self.by_peer.len() >= limits.peers && !self.by_peer.contains_key(&key) {
            drops.count(Dropped::Peers, time);
            return;
        }
        self.by_peer.insert(key, (rtt_ns, time));
    }

    /// The round-trip time to the host of an endpoint, nanoseconds.
    pub(crate) fn get(&self, network_namespace: Option<u32>, endpoint: Endpoint) -> Option<u64> {
        self.by_peer.get(&(network_namespace?, endpoint.host())).map(|(rtt_ns, _)| *rtt_ns)
    }

    /// Forgets hosts that were not asked for `idle_ns`.
    pub(crate) fn expire(&mut self, now: UnixNanos, idle_ns: i64) {
        self.by_peer.retain(|_, (_, time)| now.saturating_sub(*time) <= idle_ns);
    }
}

/// Translations of connections that are not open yet, and public addresses that turned out to be the own network's.
#[derive(Debug, Default)]
pub(crate) struct Translations {
    by_connection: OrderedMap<u64, (Endpoint, UnixNanos)>,
    leading_inside: OrderedMap<Endpoint, ()>,
}

impl Translations {
    /// The connection reaches `actual`.
    pub(crate) fn tell(
        &mut self,
        connection_id: u64,
        actual: Endpoint,
        limits: &Limits,
        drops: &mut Drops,
        time: UnixNanos,
    ) {
        if self.by_connection.len() >= limits.peers && !self.by_connection.contains_key(&connection_id) {
            drops.count(Dropped::Peers, time);
            return;
        }
        self.by_connection.insert(connection_id, (actual, time));
    }

    /// What the connection reaches, when that is known; it is told once.
    pub(crate) fn take(&mut self, connection_id: u64) -> Option<Endpoint> {
        if self.by_connection.is_empty() {
            return None;
        }
        self.by_connection.swap_remove(&connection_id).map(|(actual, _)| actual)
    }

    /// The public address of `destination` leads to the own network.
    pub(crate) fn learn(
        &mut self,
        destination: Endpoint,
        limits: &Limits,
        drops: &mut Drops,
        time: UnixNanos,
    ) {
        if self.leading_inside.len() >= limits.peers {
            drops.count(Dropped::Peers, time);
            return;
        }
        self.leading_inside.insert(destination.host(), ());
    }

    pub(crate) fn leads_inside(&self, destination: Endpoint) -> bool {
        self.leading_inside.contains_key(&destination.host())
    }

    /// Forgets translations whose connection never came, or is not shown.
    pub(crate) fn expire(&mut self, now: UnixNanos) {
        self.by_connection.retain(|_, (_, time)| now.saturating_sub(*time) <= PATIENCE_NS);
    }
}
