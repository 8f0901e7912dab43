//! What containers say to each other: the conversations on their connections, and what came of them.
//!
//! In: what calls moved on connections, and datagrams of name services. Out: exchanges, counted by the containers that
//! had them; names of addresses; counts of what could not be paired.

mod durations;
mod metrics;
mod names;
mod requests;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use aftertrace_protocols::{
    Chunk, Conversation, Definition as Protocol, Exchange, Facts, PerSide, Side, Unpaired,
};
use aftertrace_schemas::UnixNanos;
use aftertrace_schemas::column::Ip;
use aftertrace_schemas::tables::{Datagram, Direction, SocketData};

use crate::Limits;
use crate::containers::{ContainerIndex, RETENTION_NS};
use crate::endpoint::Endpoint;
use crate::losses::{Dropped, Drops};
use crate::maps::OrderedMap;
use crate::metrics::{Collector, definitions};
use crate::processes::ProcessKey;
use crate::spans::End;
pub(crate) use requests::Requests;

/// A request that is not answered in this time will not be.
const REQUEST_TIMEOUT_NS: i64 = 300_000_000_000;
/// As above, for datagrams, where one may be lost; also how long their sockets are remembered.
const DATAGRAM_TIMEOUT_NS: i64 = 30_000_000_000;
/// What a connection is called that speaks nothing known, or has not said enough.
const UNKNOWN: &str = "unknown";

/// Both ends of datagrams that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Pair {
    process: ProcessKey,
    network_namespace: u32,
    local_ip: Ip,
    local_port: u16,
    remote: (Ip, u16),
}

impl Pair {
    pub(crate) fn end(&self) -> End {
        let local = Endpoint::new(self.local_ip, self.local_port);
        End::of_datagrams(local, Endpoint::new(self.remote.0, self.remote.1), self.network_namespace)
    }
}

/// Where an exchange took place.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// On this connection.
    Connection(u64),
    /// In datagrams between these.
    Datagrams(Pair),
}

/// What is known of a connection that has data.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Connection {
    pub(crate) container: ContainerIndex,
    /// The side that the container is.
    pub(crate) own_side: Side,
    pub(crate) server_port: u16,
    /// Whether its first byte was seen.
    pub(crate) is_from_start: bool,
}

#[derive(Debug)]
struct Talk {
    place: Place,
    container: ContainerIndex,
    own_side: Side,
    server_port: u16,
    /// None as long as nothing was said inside TLS.
    tls: Option<Tls>,
    conversation: Conversation,
    unpaired: Unpaired,
    gaps: u64,
    last_used: UnixNanos,
    /// Places of the next datagrams.
    positions: PerSide<u64>,
}

/// What is said inside TLS on a connection, which is counted from its own first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tls {
    /// Whether that was seen.
    pub(crate) is_from_start: bool,
}

/// An exchange that a container had.
#[derive(Debug)]
pub(crate) struct Had {
    pub(crate) place: Place,
    pub(crate) container: ContainerIndex,
    pub(crate) own_side: Side,
    pub(crate) tls: Option<Tls>,
    pub(crate) protocol: &'static Protocol,
    pub(crate) exchange: Exchange,
}

impl Had {
    /// On which connection; none for datagrams.
    pub(crate) fn connection_id(&self) -> Option<u64> {
        match self.place {
            Place::Connection(id) => Some(id),
            Place::Datagrams(_) => None,
        }
    }
}

/// What conversations could not make sense of.
#[derive(Debug, Default)]
struct Left {
    /// By protocol and reason.
    unpaired: BTreeMap<(&'static str, &'static str), u64>,
    /// By protocol.
    gaps: BTreeMap<&'static str, u64>,
}

/// All conversations.
#[derive(Debug, Default)]
pub(crate) struct Talks {
    /// Whether exchanges are to say what spans need.
    wants_details: bool,
    connections: OrderedMap<u64, Talk>,
    datagrams: OrderedMap<Pair, Talk>,
    left: Left,
    names: OrderedMap<IpAddr, (Arc<str>, UnixNanos)>,
    had: VecDeque<Had>,
}

impl Talk {
    fn new(
        place: Place,
        connection: Connection,
        facts: Facts,
        protocol: Option<&'static Protocol>,
        time: UnixNanos,
    ) -> Self {
        let conversation = match protocol {
            Some(protocol) => Conversation::of(protocol, facts),
            None => Conversation::new(facts),
        };
        Self {
            place,
            container: connection.container,
            own_side: connection.own_side,
            server_port: connection.server_port,
            tls: None,
            conversation,
            unpaired: Unpaired::default(),
            gaps: 0,
            last_used: time,
            positions: PerSide::default(),
        }
    }

    fn side(&self, direction: Direction) -> Side {
        if direction == Direction::Sent { self.own_side } else { self.own_side.other() }
    }

    fn protocol_name(&self) -> &'static str {
        self.conversation.protocol().map_or(UNKNOWN, |protocol| protocol.name)
    }

    /// Takes what is complete, and counts what stayed alone.
    fn settle(&mut self, had: &mut VecDeque<Had>, left: &mut Left) {
        let gaps = self.conversation.gaps();
        if gaps > self.gaps {
            *left.gaps.entry(self.protocol_name()).or_default() += gaps - self.gaps;
            self.gaps = gaps;
        }
        let now = self.conversation.unpaired();
        if now != self.unpaired {
            let before = std::mem::replace(&mut self.unpaired, now);
            let name = self.protocol_name();
            for (reason, before, now) in [
                ("gap", before.requests_gap, now.requests_gap),
                ("response", before.responses, now.responses),
                ("limit", before.requests_limit, now.requests_limit),
                ("replaced", before.requests_replaced, now.requests_replaced),
            ] {
                if now > before {
                    *left.unpaired.entry((name, reason)).or_default() += now - before;
                }
            }
        }
        let Some(protocol) = self.conversation.protocol() else { return };
        let Self { place, container, own_side, tls, .. } = *self;
        let of = |exchange| Had { place, container, own_side, tls, protocol, exchange };
        had.extend(self.conversation.drain().map(of));
    }
}

/// Time as conversations take it.
fn nanoseconds(time: UnixNanos) -> u64 {
    u64::try_from(time).unwrap_or_default()
}

impl Talks {
    pub(crate) fn new(wants_details: bool) -> Self {
        Self { wants_details, ..Self::default() }
    }

    /// Whether data of this connection was seen.
    pub(crate) fn knows(&self, connection_id: u64) -> bool {
        self.connections.contains_key(&connection_id)
    }

    /// The first data of a connection. False, and counted, when there are too many.
    pub(crate) fn begin(
        &mut self,
        connection_id: u64,
        connection: Connection,
        time: UnixNanos,
        limits: &Limits,
        drops: &mut Drops,
    ) -> bool {
        if self.connections.len() >= limits.conversations {
            drops.count(Dropped::Conversations, time);
            return false;
        }
        let facts = Facts {
            server_port: connection.server_port,
            is_from_start: connection.is_from_start,
            wants_details: self.wants_details,
            ..Facts::default()
        };
        let talk = Talk::new(Place::Connection(connection_id), connection, facts, None, time);
        self.connections.insert(connection_id, talk);
        true
    }

    /// What a call moved on a connection that has begun.
    pub(crate) fn data(&mut self, time: UnixNanos, row: &SocketData) {
        let Some(talk) = self.connections.get_mut(&row.connection_id) else { return };
        if row.tls != talk.tls.is_some() {
            if !row.tls {
                // What is encrypted says nothing more.
                return;
            }
            let is_from_start = row.position == 0;
            talk.tls = Some(Tls { is_from_start });
            talk.conversation = Conversation::new(Facts {
                server_port: talk.server_port,
                is_from_start,
                is_in_tls: true,
                wants_details: self.wants_details,
                ..Facts::default()
            });
            talk.unpaired = Unpaired::default();
            talk.gaps = 0;
        }
        talk.last_used = time;
        let chunk = Chunk {
            position: row.position,
            size: u64::from(row.size_bytes),
            bytes: &row.payload.0,
            time_ns: nanoseconds(time),
        };
        talk.conversation.push(talk.side(row.direction), &chunk);
        talk.settle(&mut self.had, &mut self.left);
    }

    /// A datagram of a name service, of a process of this container.
    pub(crate) fn datagram(
        &mut self,
        time: UnixNanos,
        row: &Datagram,
        container: ContainerIndex,
        limits: &Limits,
        drops: &mut Drops,
    ) {
        let Some(protocol) = aftertrace_protocols::catalogue::find("dns") else { return };
        let pair = Pair {
            process: ProcessKey { pid: row.pid, start_ns: row.process_start_ns },
            network_namespace: row.network_namespace,
            local_ip: row.local_ip,
            local_port: row.local_port,
            remote: (row.remote_ip, row.remote_port),
        };
        let is_client = protocol.ports.contains(&row.remote_port);
        let own_side = if is_client { Side::Client } else { Side::Server };
        if !self.datagrams.contains_key(&pair) && self.datagrams.len() >= limits.conversations {
            drops.count(Dropped::Conversations, time);
            return;
        }
        let wants_details = self.wants_details;
        let talk = self.datagrams.entry(pair).or_insert_with(|| {
            let connection = Connection { container, own_side, server_port: 0, is_from_start: true };
            let facts = Facts { is_from_start: true, is_datagrams: true, wants_details, ..Facts::default() };
            Talk::new(Place::Datagrams(pair), connection, facts, Some(protocol), time)
        });
        talk.last_used = time;
        let side = talk.side(row.direction);
        let position = talk.positions.of(side);
        let chunk = Chunk {
            position: *position,
            size: u64::from(row.size_bytes),
            bytes: &row.payload.0,
            time_ns: nanoseconds(time),
        };
        *position += u64::from(row.size_bytes);
        talk.conversation.push(side, &chunk);
        talk.settle(&mut self.had, &mut self.left);
    }

    /// A connection ended.
    pub(crate) fn closed(&mut self, connection_id: u64, time: UnixNanos) {
        let Some(mut talk) = self.connections.swap_remove(&connection_id) else { return };
        talk.conversation.close(nanoseconds(time));
        talk.settle(&mut self.had, &mut self.left);
    }

    /// Takes one of the exchanges that are complete.
    pub(crate) fn next_exchange(&mut self) -> Option<Had> {
        self.had.pop_front()
    }

    /// Addresses that a name was found to have.
    pub(crate) fn learn(
        &mut self,
        name: &str,
        addresses: &[IpAddr],
        time: UnixNanos,
        limits: &Limits,
        drops: &mut Drops,
    ) {
        let mut label: Option<Arc<str>> = None;
        for address in addresses {
            if !self.names.contains_key(address) && self.names.len() >= limits.peers {
                drops.count(Dropped::Peers, time);
                return;
            }
            let label = label.get_or_insert_with(|| drops.label(name, limits, time)).clone();
            self.names.insert(*address, (label, time));
        }
    }

    /// The name of an address.
    pub(crate) fn name_of(&self, address: IpAddr) -> Option<&Arc<str>> {
        self.names.get(&address).map(|(name, _)| name)
    }

    /// Gives up requests that will not be answered, and what takes too much memory.
    pub(crate) fn expire(&mut self, now: UnixNanos, limits: &Limits, drops: &mut Drops) {
        let Self { connections, datagrams, left, had, names, .. } = self;
        let mut bytes = 0;
        for talk in connections.values_mut() {
            talk.conversation.expire(nanoseconds(now.saturating_sub(REQUEST_TIMEOUT_NS)), nanoseconds(now));
            talk.settle(had, left);
            bytes += size_of::<Talk>() + talk.conversation.memory_bytes();
        }
        for talk in datagrams.values_mut() {
            talk.conversation.expire(nanoseconds(now.saturating_sub(DATAGRAM_TIMEOUT_NS)), nanoseconds(now));
            talk.settle(had, left);
            bytes += size_of::<Talk>() + talk.conversation.memory_bytes();
        }
        datagrams.retain(|_, talk| now.saturating_sub(talk.last_used) <= DATAGRAM_TIMEOUT_NS);
        // Its next data begins it anew, in the middle.
        while bytes > limits.conversation_bytes {
            let Some((_, talk)) = connections.swap_remove_index(0) else { break };
            bytes = bytes.saturating_sub(size_of::<Talk>() + talk.conversation.memory_bytes());
            drops.count(Dropped::Conversations, now);
        }
        names.retain(|_, (_, learnt)| now.saturating_sub(*learnt) <= RETENTION_NS);
    }

    /// Conversations of container `from` are those of `to` from now on, or nobody's.
    pub(crate) fn repoint(&mut self, from: ContainerIndex, to: Option<ContainerIndex>) {
        let change = |talk: &mut Talk| {
            if talk.container != from {
                return true;
            }
            if let Some(to) = to {
                talk.container = to;
            }
            to.is_some()
        };
        self.connections.retain(|_, talk| change(talk));
        self.datagrams.retain(|_, talk| change(talk));
    }

    pub(crate) fn collect(&self, collector: &mut Collector) {
        for ((protocol, reason), count) in &self.left.unpaired {
            let labels = [("protocol", (*protocol).into()), ("reason", (*reason).into())];
            collector.add(&definitions::L7_UNPAIRED, labels, *count as f64);
        }
        for (protocol, count) in &self.left.gaps {
            collector.add(&definitions::L7_GAPS, [("protocol", (*protocol).into())], *count as f64);
        }
        let mut open: BTreeMap<&'static str, u64> = BTreeMap::new();
        for talk in self.connections.values() {
            *open.entry(talk.protocol_name()).or_default() += 1;
        }
        for (protocol, count) in open {
            collector.add(&definitions::L7_CONNECTIONS, [("protocol", protocol.into())], count as f64);
        }
    }
}

/// A name as a label.
pub(crate) fn domain(name: &str) -> String {
    names::normalise(name)
}
