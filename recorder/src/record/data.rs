//! What applications send and receive: which connections are worth keeping, and no credential among what is kept.
//!
//! In: the heads of calls as the kernel shipped them, in order. Out: rows, and decisions for the kernel programs on what
//! to keep from now on. Which protocol a connection speaks is found out here by the rules that the registry has; what
//! is said in it is the registry's business.

use aftertrace_bpf_programs::wire::{DataRecord, DatagramRecord, flags};
use aftertrace_protocols::{Classifier, Definition, PerSide, Redactor, Side, Verdict, tls};
use aftertrace_schemas::Kind;
use aftertrace_schemas::column::{Bytes, Ip};
use aftertrace_schemas::tables::{Datagram, Direction, SocketData, SocketKind, TcpEventKind};
use rustc_hash::FxHashMap;

use super::observe::process_start_ns;
use super::waiting_bytes::Place;
use crate::config::{DataConfig, Payload};
use crate::kernel::{Decision, Keep};

/// What waits for its place: a call, freed from the ring's memory.
pub(super) struct Call {
    connection_id: u64,
    sock: u64,
    /// The low half of its place in the stream.
    position: u32,
    size: u32,
    flags: u8,
    /// The bytes that were kept.
    pub(super) bytes: Place,
}

impl Call {
    pub(super) fn new(record: &DataRecord, bytes: Place) -> Self {
        let &DataRecord { connection_id, sock, position, size, flags, .. } = record;
        Self { connection_id, sock, position, size, flags, bytes }
    }
}

/// The connections whose data is looked at.
pub(super) struct Data {
    config: DataConfig,
    connections: FxHashMap<u64, Connection>,
    /// What is said inside TLS, by connection.
    plaintexts: FxHashMap<u64, Connection>,
    decisions: Vec<Decision>,
}

struct Connection {
    /// The side that this host's process is.
    own_side: Side,
    server_port: u16,
    /// Known from its first byte on.
    is_from_start: bool,
    is_in_tls: bool,
    positions: PerSide<Option<u64>>,
    stage: Stage,
}

enum Stage {
    /// Its protocol is not known: redacted as any that it may be.
    Open { classifier: Classifier, redactors: Option<Vec<(&'static str, Box<dyn Redactor>)>> },
    /// It is.
    Known { redactor: Option<Box<dyn Redactor>> },
    /// It is none of the catalogue, or encrypted, and all of it is asked for.
    Opaque { redactor: Box<dyn Redactor> },
    /// As before, and nothing is kept any more.
    Ignored,
}

impl Data {
    pub(super) fn new(config: DataConfig) -> Self {
        Self {
            config,
            connections: FxHashMap::default(),
            plaintexts: FxHashMap::default(),
            decisions: Vec::new(),
        }
    }

    /// Notes what an observation says of connections.
    pub(super) fn observe(&mut self, kind: &Kind) {
        if self.config.payload == Payload::Off {
            return;
        }
        match kind {
            Kind::Tcp(row) => match row.kind {
                TcpEventKind::Connect => self.opened(row.connection_id, Side::Client, row.remote_port, true),
                TcpEventKind::Accept => self.opened(row.connection_id, Side::Server, row.local_port, true),
                TcpEventKind::Close => {
                    self.connections.remove(&row.connection_id);
                    self.plaintexts.remove(&row.connection_id);
                }
                _ => {}
            },
            Kind::SocketSnapshot(row) => match row.kind {
                SocketKind::Outbound => self.opened(row.connection_id, Side::Client, row.remote_port, false),
                SocketKind::Inbound => {
                    self.opened(row.connection_id, Side::Server, Some(row.local_port), false)
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn opened(&mut self, connection_id: u64, own_side: Side, server_port: Option<u16>, is_from_start: bool) {
        let mut connection = Connection::new(own_side, server_port.unwrap_or_default());
        connection.is_from_start = is_from_start;
        self.connections.entry(connection_id).or_insert(connection);
    }

    /// Leaves of a datagram what is asked for.
    pub(super) fn limit(&self, row: &mut Datagram) {
        if self.config.payload == Payload::None {
            row.payload = Bytes::default();
        }
    }

    /// Takes what is decided, for the kernel.
    pub(super) fn take_decisions(&mut self) -> Vec<Decision> {
        std::mem::take(&mut self.decisions)
    }

    /// The row of a call; none when it is not kept.
    pub(super) fn row(&mut self, call: &Call, mut bytes: Box<[u8]>) -> Option<SocketData> {
        let &Call { connection_id, sock, position, size, .. } = call;
        let is_sent = u16::from(call.flags) & flags::SENT != 0;
        let is_plaintext = u16::from(call.flags) & flags::PLAINTEXT != 0;
        // One whose beginning was not told of, since it was lost.
        let mut connection =
            self.connections.entry(connection_id).or_insert_with(|| Connection::new(Side::Client, 0));
        if is_plaintext {
            let of = (connection.own_side, connection.server_port);
            let plaintext = self.plaintexts.entry(connection_id);
            connection = plaintext.or_insert_with(|| Connection::new(of.0, of.1));
            connection.is_in_tls = true;
        }
        let side = if is_sent { connection.own_side } else { connection.own_side.other() };
        let position = connection.position(side, position, size);
        let decided = connection.look(side, position, size, &mut bytes, self.config);
        if let Some(keep) = decided {
            self.decisions.push(Decision { sock, connection_id, is_plaintext, keep });
        }
        if matches!(connection.stage, Stage::Ignored) {
            return None;
        }
        if self.config.payload == Payload::None {
            bytes = Box::default();
        }
        Some(SocketData {
            connection_id,
            direction: direction(is_sent),
            position,
            size_bytes: size,
            tls: is_plaintext,
            payload: Bytes(bytes),
        })
    }
}

impl Connection {
    fn new(own_side: Side, server_port: u16) -> Self {
        let stage = Stage::Open { classifier: Classifier::new(server_port), redactors: None };
        Self {
            own_side,
            server_port,
            is_from_start: false,
            is_in_tls: false,
            positions: PerSide::default(),
            stage,
        }
    }

    /// The place of a call in its stream. The kernel gives the low half of it.
    fn position(&mut self, side: Side, low: u32, size: u32) -> u64 {
        let expected = self.positions.of(side);
        let position = match *expected {
            None => u64::from(low),
            Some(expected) => {
                // The nearest place that has this low half.
                let ahead = low.wrapping_sub(expected as u32).cast_signed();
                expected.saturating_add_signed(i64::from(ahead))
            }
        };
        *expected = Some(position.saturating_add(u64::from(size)));
        position
    }

    /// Finds out what is spoken, and blanks what is secret. What the kernel is to keep, when that changes.
    fn look(
        &mut self,
        side: Side,
        position: u64,
        size: u32,
        bytes: &mut [u8],
        config: DataConfig,
    ) -> Option<Keep> {
        let size = u64::from(size);
        let is_encrypted = match self.stage {
            Stage::Open { .. } => tls::is_record(bytes),
            // In the middle of a message any bytes may come; some protocols turn to TLS after they have begun.
            Stage::Known { .. } => side == Side::Client && tls::is_client_hello(bytes),
            Stage::Opaque { .. } | Stage::Ignored => false,
        };
        if is_encrypted {
            self.stage = Stage::Ignored;
            return Some(Keep::Encrypted);
        }
        match &mut self.stage {
            Stage::Ignored => None,
            Stage::Opaque { redactor } => {
                redactor.redact(side, position, size, bytes);
                None
            }
            Stage::Known { redactor } => {
                if let Some(redactor) = redactor {
                    redactor.redact(side, position, size, bytes);
                }
                None
            }
            Stage::Open { classifier, redactors } => {
                // Of what is inside TLS, 0 is the beginning, and nothing else is.
                if position == 0 && (self.is_from_start || self.is_in_tls) {
                    classifier.begins(side, bytes, redactors.is_none() && !self.is_in_tls);
                }
                let verdict = classifier.push(side, bytes, size);
                let redactors = redactors.get_or_insert_with(|| redactors_of(classifier.candidates()));
                if let Verdict::Is(definition) = verdict {
                    // The others would blank what is none of their business.
                    redactors.retain(|(name, _)| *name == definition.name);
                }
                for (_, redactor) in redactors.iter_mut() {
                    redactor.redact(side, position, size, bytes);
                }
                match verdict {
                    Verdict::Open => None,
                    Verdict::Unknown => Some(self.give_up(config)),
                    Verdict::Is(_) => {
                        let redactor = redactors.pop().map(|(_, redactor)| redactor);
                        self.stage = Stage::Known { redactor };
                        Some(Keep::Bytes(config.kept_bytes()))
                    }
                }
            }
        }
    }

    fn give_up(&mut self, config: DataConfig) -> Keep {
        match config.payload {
            Payload::Full => {
                self.stage = Stage::Opaque { redactor: aftertrace_protocols::unknown() };
                Keep::Bytes(config.kept_bytes())
            }
            Payload::Head | Payload::None | Payload::Off => {
                self.stage = Stage::Ignored;
                Keep::Nothing
            }
        }
    }
}

/// Name of the redactor for what is not known.
const UNKNOWN: &str = "unknown";

fn redactors_of(
    candidates: impl Iterator<Item = &'static Definition>,
) -> Vec<(&'static str, Box<dyn Redactor>)> {
    let of_candidates = candidates.filter_map(|definition| Some((definition.name, (definition.redactor?)())));
    // What they all rule out may still be text.
    of_candidates.chain([(UNKNOWN, aftertrace_protocols::unknown())]).collect()
}

fn direction(is_sent: bool) -> Direction {
    if is_sent { Direction::Sent } else { Direction::Received }
}

/// The row of a datagram.
pub(super) fn datagram(record: &DatagramRecord, bytes: &[u8]) -> Datagram {
    Datagram {
        pid: record.pid,
        process_start_ns: process_start_ns(record.start_ns),
        direction: direction(u16::from(record.flags) & flags::SENT != 0),
        local_ip: Ip(record.local_ip),
        local_port: record.local_port,
        remote_ip: Ip(record.remote_ip),
        remote_port: record.remote_port,
        network_namespace: record.network_namespace,
        size_bytes: record.size,
        payload: Bytes(bytes.into()),
    }
}

#[cfg(test)]
mod tests;
