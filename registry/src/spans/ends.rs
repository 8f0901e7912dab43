//! The ends of connections, and which two are of the same one.
//!
//! Who accepts a connection looks for who dialled it: the same addresses and ports, as the client reaches the server behind
//! address translation, and not accepted by anyone yet. What could be two connections is taken for neither.

use aftertrace_schemas::UnixNanos;

use super::Unlinked;
use super::identity::{self, Name};
use crate::endpoint::Endpoint;
use crate::maps::{LookupMap, OrderedMap};

/// A connection that its client has closed already may still wait to be accepted for so long.
const GRACE_NS: i64 = 10_000_000_000;

/// One end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    pub(super) name: Name,
    pub(super) local: Endpoint,
    pub(super) peer: Endpoint,
    pub(super) is_from_start: bool,
    /// Of who accepted: the name of the client's end, or why it is not known; none when no client of this host dialled.
    pub(super) client: Option<Result<Name, Unlinked>>,
}

impl End {
    /// That of datagrams between the same two.
    pub(crate) fn of_datagrams(local: Endpoint, peer: Endpoint, network_namespace: u32) -> Self {
        let [local_text, peer_text] = [local, peer].map(|end| end.to_string());
        let namespace = network_namespace.to_le_bytes();
        let name = identity::name(&[b"datagrams", local_text.as_bytes(), peer_text.as_bytes(), &namespace]);
        Self { name, local, peer, is_from_start: false, client: None }
    }
}

/// A connection as both ends know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Pair {
    client: Endpoint,
    server: Endpoint,
    /// Of loopback, which every network namespace has one of.
    network_namespace: Option<u32>,
}

impl Pair {
    /// None when it says too little to tell connections apart.
    fn new(client: Endpoint, server: Endpoint, network_namespace: Option<u32>) -> Option<Self> {
        if !client.ip().is_loopback() && !server.ip().is_loopback() {
            return Some(Self { client, server, network_namespace: None });
        }
        Some(Self { client, server, network_namespace: Some(network_namespace?) })
    }
}

/// A connection that was dialled.
#[derive(Debug)]
struct Dial {
    name: Name,
    /// Clients that have it open: more than one are in networks that look alike.
    open: u32,
    is_ambiguous: bool,
    is_accepted: bool,
    closed: Option<UnixNanos>,
}

/// What is known of a connection when it opens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opened {
    pub(crate) connection_id: u64,
    pub(crate) local: Endpoint,
    pub(crate) peer: Endpoint,
    pub(crate) network_namespace: Option<u32>,
    /// None when it was open before the recording began.
    pub(crate) time: Option<UnixNanos>,
}

impl Opened {
    fn end(&self) -> End {
        let [local, peer] = [self.local, self.peer].map(|end| end.to_string());
        let time = self.time.map_or([0; 8], i64::to_le_bytes);
        let parts = [&self.connection_id.to_le_bytes(), local.as_bytes(), peer.as_bytes(), &time[..]];
        End {
            name: identity::name(&parts),
            local: self.local,
            peer: self.peer,
            is_from_start: self.time.is_some(),
            client: None,
        }
    }
}

/// All ends of open connections.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    by_connection: LookupMap<u64, (End, Option<Pair>)>,
    dials: OrderedMap<Pair, Dial>,
}

impl Ends {
    /// Someone of this host dialled, and reached `actual`.
    pub(crate) fn dialled(&mut self, opened: &Opened, actual: Endpoint) {
        let end = opened.end();
        let pair = opened.time.and_then(|_| Pair::new(opened.local, actual, opened.network_namespace));
        self.by_connection.insert(opened.connection_id, (End { peer: actual, ..end }, pair));
        if let Some(pair) = pair {
            self.dial(pair, end.name);
        }
    }

    fn dial(&mut self, pair: Pair, name: Name) {
        let dial = Dial { name, open: 1, is_ambiguous: false, is_accepted: false, closed: None };
        match self.dials.get_mut(&pair).filter(|known| known.open > 0) {
            Some(known) => {
                known.open += 1;
                known.is_ambiguous = true;
            }
            None => {
                self.dials.insert(pair, dial);
            }
        }
    }

    /// Behind address translation it reached another one than was thought.
    pub(crate) fn rerouted(&mut self, connection_id: u64, actual: Endpoint) {
        let Some((end, pair)) = self.by_connection.get_mut(&connection_id) else { return };
        end.peer = actual;
        let Some(before) = *pair else { return };
        let after = Pair { server: actual, ..before };
        let name = end.name;
        *pair = Some(after);
        if self.dials.get(&before).is_some_and(|dial| dial.name == name && dial.open == 1) {
            self.dials.swap_remove(&before);
            self.dial(after, name);
        }
    }

    /// Someone of this host accepted.
    pub(crate) fn accepted(&mut self, opened: &Opened) {
        let end = opened.end();
        let pair = Pair::new(opened.peer, opened.local, opened.network_namespace);
        let dial = pair.and_then(|pair| self.dials.get_mut(&pair)).filter(|_| opened.time.is_some());
        let client = match dial {
            // It came from elsewhere, or from what no container here is.
            None => None,
            Some(dial) if dial.is_ambiguous => Some(Err(Unlinked::Ambiguous)),
            // Of another one, whose dialling was not seen.
            Some(dial) if dial.is_accepted => None,
            Some(dial) => {
                dial.is_accepted = true;
                Some(Ok(dial.name))
            }
        };
        self.by_connection.insert(opened.connection_id, (End { client, ..end }, None));
    }

    /// The end of a connection.
    pub(crate) fn get(&self, connection_id: u64) -> Option<&End> {
        self.by_connection.get(&connection_id).map(|(end, _)| end)
    }

    /// A connection ended at this end.
    pub(crate) fn closed(&mut self, connection_id: u64, time: UnixNanos) {
        let Some((_, Some(pair))) = self.by_connection.remove(&connection_id) else { return };
        let Some(dial) = self.dials.get_mut(&pair) else { return };
        dial.open = dial.open.saturating_sub(1);
        if dial.open == 0 {
            dial.closed = Some(time);
        }
    }

    /// Events were lost, perhaps that of a dial that is about to be accepted: what waits is not it for certain.
    pub(crate) fn lost(&mut self) {
        for dial in self.dials.values_mut() {
            dial.is_accepted = true;
        }
    }

    /// Forgets dials that nobody will accept any more.
    pub(crate) fn expire(&mut self, now: UnixNanos) {
        self.dials.retain(|_, dial| dial.closed.is_none_or(|closed| now.saturating_sub(closed) <= GRACE_NS));
    }
}
