//! The peers of outbound connections, also of those that closed lately: short connections are mostly closed whenever
//! somebody looks.

use aftertrace_schemas::UnixNanos;
use aftertrace_schemas::column::Ip;
use aftertrace_schemas::tables::{NatMapping, SocketKind, SocketSnapshot};
use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

/// A peer is remembered so long after it was last connected to.
const MEMORY_NS: i64 = 600_000_000_000;
/// What is over is looked for at most so often.
const TIDY_INTERVAL_NS: i64 = 1_000_000_000;
/// The connection of a translation is seen within this time, or never.
const ORPHAN_NS: i64 = 30_000_000_000;
/// Peers remembered at most; those of open connections are known by these.
const MOST: usize = 4096;

/// Peers and translations of destinations.
#[derive(Debug, Default)]
pub(super) struct Upstreams {
    /// By namespace and address: a process that connected, and when.
    recent: IndexMap<(u32, Ip), (u32, UnixNanos), FxBuildHasher>,
    /// By connection, with when it was told.
    mappings: IndexMap<u64, (UnixNanos, NatMapping), FxBuildHasher>,
    tidied: UnixNanos,
    mappings_tidied: UnixNanos,
}

impl Upstreams {
    /// A connection was tried, is open, or was closed. Returns false when there are too many peers.
    pub(super) fn used(&mut self, time: UnixNanos, socket: &SocketSnapshot) -> bool {
        match self.peer(socket).filter(|_| socket.kind == SocketKind::Outbound) {
            Some(ip) => self.touch(time, (socket.network_namespace, ip), socket.pid),
            None => true,
        }
    }

    fn touch(&mut self, time: UnixNanos, peer: (u32, Ip), pid: u32) -> bool {
        if self.recent.len() >= MOST && !self.recent.contains_key(&peer) {
            if time.saturating_sub(self.tidied) < TIDY_INTERVAL_NS {
                return false;
            }
            self.tidied = time;
            self.recent.retain(|_, (_, used)| time.saturating_sub(*used) <= MEMORY_NS);
            if self.recent.len() >= MOST {
                return false;
            }
        }
        self.recent.insert(peer, (pid, time));
        true
    }

    /// A connect failed. Returns as [`Self::used`] does.
    pub(super) fn failed(&mut self, time: UnixNanos, namespace: u32, ip: Ip, pid: u32) -> bool {
        self.touch(time, (namespace, ip), pid)
    }

    /// The destination of a connection was translated. Returns false when there are more than `most`.
    pub(super) fn translated(
        &mut self,
        time: UnixNanos,
        row: &NatMapping,
        most: usize,
        is_open: impl Fn(u64) -> bool,
    ) -> bool {
        // It is told before the connection opens, or so late that the connection is over and nothing ends it any more.
        if time.saturating_sub(self.mappings_tidied) >= ORPHAN_NS {
            self.mappings_tidied = time;
            self.mappings.retain(|id, (told, _)| time.saturating_sub(*told) < ORPHAN_NS || is_open(*id));
        }
        let fits = self.mappings.len() < most || self.mappings.contains_key(&row.connection_id);
        if fits {
            self.mappings.insert(row.connection_id, (time, row.clone()));
        }
        fits
    }

    /// A connection is over. Returns as [`Self::used`] does.
    pub(super) fn closed(
        &mut self,
        time: UnixNanos,
        connection_id: u64,
        socket: Option<&SocketSnapshot>,
    ) -> bool {
        let fits = socket.is_none_or(|socket| self.used(time, socket));
        self.mappings.swap_remove(&connection_id);
        fits
    }

    /// Translations of open connections.
    pub(super) fn mappings(&self) -> impl Iterator<Item = &NatMapping> {
        self.mappings.values().map(|(_, row)| row)
    }

    /// The address that a connection really goes to.
    pub(super) fn peer(&self, socket: &SocketSnapshot) -> Option<Ip> {
        self.mappings.get(&socket.connection_id).map(|(_, row)| row.actual_ip).or(socket.remote_ip)
    }

    /// Peers that were connected to lately, each with a process that did: namespace, address, process.
    pub(super) fn recent(&self, now: UnixNanos) -> impl Iterator<Item = (u32, Ip, u32)> {
        let recent = self.recent.iter().filter(move |(_, (_, used))| now.saturating_sub(*used) <= MEMORY_NS);
        recent.map(|((namespace, ip), (pid, _))| (*namespace, *ip, *pid))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use aftertrace_schemas::tables::NatSource;

    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn ip(last: u8) -> Ip {
        Ip::from(std::net::IpAddr::from([10, 0, 0, last]))
    }

    fn socket(connection_id: u64, peer: u8) -> SocketSnapshot {
        SocketSnapshot {
            kind: SocketKind::Outbound,
            connection_id,
            pid: 9,
            process_start_ns: 0,
            local_ip: ip(1),
            local_port: 40_000,
            remote_ip: Some(ip(peer)),
            remote_port: Some(80),
            network_namespace: 7,
            opened: None,
            bytes_sent: 0,
            bytes_received: 0,
            retransmits: 0,
        }
    }

    fn mapping(connection_id: u64) -> NatMapping {
        NatMapping {
            connection_id,
            network_namespace: 7,
            local_ip: ip(1),
            local_port: 40_000,
            destination_ip: ip(2),
            destination_port: 80,
            actual_ip: ip(200),
            actual_port: 8080,
            source: NatSource::Conntrack,
        }
    }

    #[test]
    fn a_closed_connections_peer_is_remembered_for_ten_minutes() {
        let mut upstreams = Upstreams::default();
        upstreams.closed(SECOND, 1, Some(&socket(1, 2)));
        assert_eq!(upstreams.recent(600 * SECOND).collect::<Vec<_>>(), [(7, ip(2), 9)]);
        assert_eq!(upstreams.recent(602 * SECOND).count(), 0);
    }

    #[test]
    fn the_peer_of_a_translated_connection_is_what_it_reached() {
        let mut upstreams = Upstreams::default();
        assert!(upstreams.translated(SECOND, &mapping(1), 10, |_| true));
        upstreams.used(SECOND, &socket(1, 2));
        assert_eq!(upstreams.recent(SECOND).collect::<Vec<_>>(), [(7, ip(200), 9)]);
    }

    #[test]
    fn translations_are_forgotten_with_their_connection_or_when_it_never_came() {
        let mut upstreams = Upstreams::default();
        assert!(upstreams.translated(0, &mapping(1), 10, |_| false));
        assert!(upstreams.translated(0, &mapping(2), 10, |_| false));
        upstreams.closed(SECOND, 1, None);
        assert_eq!(upstreams.mappings().count(), 1);
        assert!(upstreams.translated(60 * SECOND, &mapping(3), 10, |id| id == 4));
        assert_eq!(upstreams.mappings().map(|row| row.connection_id).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn a_flood_of_peers_is_bounded() {
        let mut upstreams = Upstreams::default();
        for number in 0..10_000_u32 {
            let ip = Ip::from(std::net::IpAddr::from(number.to_be_bytes()));
            upstreams.failed(i64::from(number), 7, ip, 9);
        }
        assert_eq!(upstreams.recent(10_000).count(), MOST);
        assert!((0..10).all(|id| upstreams.translated(1, &mapping(id), 10, |_| true)));
        assert!(!upstreams.translated(1, &mapping(11), 10, |_| true));
    }
}
