//! Sockets that are open, by connection id: whose they are, and the counters that were last seen.

use aftertrace_protocols::Side;

use crate::Limits;
use crate::containers::{ContainerIndex, ListenKey};
use crate::endpoint::Route;
use crate::l7::Connection;
use crate::maps::LookupMap;

/// The kernel's counters of a connection, as last seen. They only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) retransmits: u32,
}

impl Counters {
    /// Takes newer values and returns by how much they grew. Values that are missing or older change nothing.
    pub(crate) fn grow(
        &mut self,
        sent: Option<u64>,
        received: Option<u64>,
        retransmits: Option<u32>,
    ) -> Self {
        let sent = sent.unwrap_or(0).max(self.bytes_sent);
        let received = received.unwrap_or(0).max(self.bytes_received);
        let retransmits = retransmits.unwrap_or(0).max(self.retransmits);
        let growth = Self {
            bytes_sent: sent - self.bytes_sent,
            bytes_received: received - self.bytes_received,
            retransmits: retransmits - self.retransmits,
        };
        *self = Self { bytes_sent: sent, bytes_received: received, retransmits };
        growth
    }
}

/// An open socket of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Socket {
    pub(crate) container: ContainerIndex,
    /// Whether it was seen from its beginning on.
    pub(crate) is_from_start: bool,
    pub(crate) purpose: Purpose,
}

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Outbound {
        route: Route,
        counters: Counters,
    },
    /// Accepted, on this port.
    Inbound {
        port: u16,
    },
    Listen(ListenKey),
}

/// Open sockets that are shown in metrics.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    by_id: LookupMap<u64, Socket>,
}

impl Sockets {
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn contains(&self, id: u64) -> bool {
        self.by_id.contains_key(&id)
    }

    /// The counters of an outbound connection, with its container and route.
    pub(crate) fn outbound(&mut self, id: u64) -> Option<(ContainerIndex, &mut Route, &mut Counters)> {
        let socket = self.by_id.get_mut(&id)?;
        match &mut socket.purpose {
            Purpose::Outbound { route, counters } => Some((socket.container, route, counters)),
            Purpose::Listen(_) | Purpose::Inbound { .. } => None,
        }
    }

    /// What matters for its data; none for one that has none.
    pub(crate) fn connection(&self, id: u64) -> Option<Connection> {
        let socket = self.by_id.get(&id)?;
        let (own_side, server_port) = match socket.purpose {
            Purpose::Outbound { route, .. } => (Side::Client, route.destination.port()),
            Purpose::Inbound { port } => (Side::Server, port),
            Purpose::Listen(_) => return None,
        };
        let Socket { container, is_from_start, .. } = *socket;
        Some(Connection { container, own_side, server_port, is_from_start })
    }

    pub(crate) fn has_room(&self, limits: &Limits) -> bool {
        self.by_id.len() < limits.sockets
    }

    pub(crate) fn insert(&mut self, id: u64, socket: Socket) {
        self.by_id.insert(id, socket);
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<Socket> {
        self.by_id.remove(&id)
    }

    /// Sockets of container `from` are of `to` from now on, or nobody's.
    #[expect(clippy::disallowed_methods, reason = "all get the same change, so the order cannot be seen")]
    pub(crate) fn repoint(&mut self, from: ContainerIndex, to: Option<ContainerIndex>) {
        self.by_id.retain(|_, socket| {
            if socket.container != from {
                return true;
            }
            if let Some(to) = to {
                socket.container = to;
            }
            to.is_some()
        });
    }
}
