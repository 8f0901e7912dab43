//! The addresses that a container listens on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use aftertrace_schemas::UnixNanos;

use super::description::Description;
use crate::Limits;
use crate::endpoint::Endpoint;
use crate::losses::{Dropped, Drops};
use crate::maps::OrderedMap;
use crate::metrics::{Collector, definitions};

/// An address that is listened on, in its network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ListenKey {
    pub(crate) endpoint: Endpoint,
    pub(crate) network_namespace: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Listen {
    /// Sockets that listen there; several with SO_REUSEPORT.
    open: u64,
    last_used: UnixNanos,
}

/// Addresses of network namespaces, for sockets that listen on all of them.
pub(crate) type NamespaceAddresses = OrderedMap<u32, Vec<IpAddr>>;

/// All listening addresses of one container.
#[derive(Debug, Default)]
pub(crate) struct Listens {
    by_key: OrderedMap<ListenKey, Listen>,
}

impl Listens {
    /// A socket listens. Returns false, and counts, when there are too many addresses.
    pub(crate) fn open(
        &mut self,
        key: ListenKey,
        time: UnixNanos,
        limits: &Limits,
        drops: &mut Drops,
    ) -> bool {
        if self.by_key.len() >= limits.listens && !self.by_key.contains_key(&key) {
            drops.count(Dropped::Listens, time);
            return false;
        }
        let listen = self.by_key.entry(key).or_insert(Listen { open: 0, last_used: time });
        listen.open += 1;
        listen.last_used = listen.last_used.max(time);
        true
    }

    pub(crate) fn close(&mut self, key: ListenKey, time: UnixNanos) {
        if let Some(listen) = self.by_key.get_mut(&key) {
            listen.open = listen.open.saturating_sub(1);
            listen.last_used = listen.last_used.max(time);
        }
    }

    /// Forgets addresses that nobody has listened on for `idle_ns`.
    pub(crate) fn expire(&mut self, now: UnixNanos, idle_ns: i64) {
        self.by_key.retain(|_, listen| listen.open > 0 || now.saturating_sub(listen.last_used) <= idle_ns);
    }

    /// Takes over another container's addresses. What would be too much is counted.
    pub(crate) fn merge(&mut self, other: Self, time: UnixNanos, limits: &Limits, drops: &mut Drops) {
        for (key, theirs) in other.by_key {
            if let Some(mine) = self.by_key.get_mut(&key) {
                mine.open += theirs.open;
                mine.last_used = mine.last_used.max(theirs.last_used);
            } else if self.by_key.len() < limits.listens {
                self.by_key.insert(key, theirs);
            } else {
                drops.count(Dropped::Listens, time);
            }
        }
    }

    /// Addresses that are listened on now, as bound.
    pub(crate) fn open_endpoints(&self) -> impl Iterator<Item = Endpoint> {
        self.by_key.iter().filter(|(_, listen)| listen.open > 0).map(|(key, _)| key.endpoint)
    }

    pub(crate) fn collect(&self, namespaces: &NamespaceAddresses, collector: &mut Collector) {
        // The same address may be bound by itself and by "any": it is one series, open if one of them is.
        let mut rows: BTreeMap<Endpoint, bool> = BTreeMap::new();
        for (key, listen) in &self.by_key {
            for endpoint in expand(*key, namespaces) {
                *rows.entry(endpoint).or_default() |= listen.open > 0;
            }
        }
        for (endpoint, open) in rows {
            let labels = [("listen_addr", endpoint.to_string().into()), ("proxy", "".into())];
            collector.add(&definitions::LISTEN_INFO, labels, if open { 1.0 } else { 0.0 });
        }
    }
}

/// Addresses of the host at which the runtime listens for the container, while that is alive.
pub(super) fn collect_bindings(
    description: &Description,
    host: Option<u32>,
    namespaces: &NamespaceAddresses,
    is_alive: bool,
    collector: &mut Collector,
) {
    let keys = description
        .bindings
        .iter()
        .map(|endpoint| ListenKey { endpoint: *endpoint, network_namespace: host });
    let endpoints: BTreeSet<Endpoint> = keys.flat_map(|key| expand(key, namespaces)).collect();
    for endpoint in endpoints {
        let labels = [("listen_addr", endpoint.to_string().into()), ("proxy", description.proxy().into())];
        collector.add(&definitions::LISTEN_INFO, labels, if is_alive { 1.0 } else { 0.0 });
    }
}

/// The addresses that "any" stands for: 0.0.0.0 for the namespace's IPv4 addresses, `::` for all of them, as sockets are
/// dual-stack by default. Unchanged while they are not known.
fn expand(key: ListenKey, namespaces: &NamespaceAddresses) -> Vec<Endpoint> {
    let any = key.endpoint.ip();
    let known = key.network_namespace.and_then(|namespace| namespaces.get(&namespace));
    match known {
        Some(addresses) if any.is_unspecified() => {
            let expanded: Vec<Endpoint> = addresses
                .iter()
                .filter(|address| any.is_ipv6() || address.is_ipv4())
                .map(|address| key.endpoint.with_ip(*address))
                .collect();
            if expanded.is_empty() { vec![key.endpoint] } else { expanded }
        }
        _ => vec![key.endpoint],
    }
}
