//! Pairs requests with responses by their stream, which is taken again as soon as it is free.

use std::collections::{BTreeMap, VecDeque};

use super::body::{self, MAX_STATEMENT_BYTES, Said};
use super::envelope::{self, HEADER_BYTES, Header, Opcode};
use super::framing::{self, Deframer};
use crate::statement::{Dialect, Named, Prepared};
use crate::{
    Attribute, Begun, Codec, Key, PerSide, Progress, Request, Response, Side, Sink, Status, Stream, unpack,
};

/// Of a message, looked at.
const HEAD_BYTES: usize = 4096;
/// Statements that are being prepared.
const MAX_PREPARING: usize = 64;
/// Requests that do not count whose response is expected.
const MAX_UNCOUNTED: usize = 64;

/// The state of a connection.
#[derive(Debug, Default)]
pub(super) struct CassandraCodec {
    sides: PerSide<Direction>,
    compression: Compression,
    /// Streams of requests that do not count.
    uncounted: VecDeque<i16>,
    preparing: BTreeMap<i16, Box<[u8]>>,
    prepared: Prepared,
    keyspace: Vec<u8>,
}

#[derive(Debug, Default)]
struct Direction {
    /// Frames are around the envelopes.
    frames: Option<Box<Deframer>>,
    open: Option<Open>,
}

/// Of bodies, before version 5.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Compression {
    #[default]
    Unknown,
    Lz4,
    Snappy,
}

/// A response that is read, but not to its last byte.
#[derive(Debug)]
struct Open {
    stream: i16,
    first_ns: u64,
    status: Status,
    code: String,
}

impl Codec for CassandraCodec {
    fn read(&mut self, side: Side, stream: &mut Stream, sink: &mut dyn Sink) -> Progress {
        if self.sides.of(side).frames.is_none() {
            let progress = self.read_envelopes(side, stream, true, sink);
            if progress != Progress::Foreign || framing::header(stream.bytes()).is_none() {
                return progress;
            }
            self.sides.of(side).frames = Some(Box::new(Deframer::new()));
        }
        let Some(mut frames) = self.sides.of(side).frames.take() else { return Progress::Wait };
        let progress = loop {
            match frames.step(stream) {
                Ok(false) => {}
                Ok(true) => match self.read_envelopes(side, &mut frames.envelopes, false, sink) {
                    Progress::Wait => {}
                    // Frames begin at calls more often than envelopes do.
                    _ => break Progress::Lost,
                },
                Err(progress) => break progress,
            }
        };
        self.sides.of(side).frames = Some(frames);
        progress
    }

    fn lost(&mut self, side: Side) {
        let direction = self.sides.of(side);
        direction.open = None;
        if let Some(frames) = &mut direction.frames {
            **frames = Deframer::new();
        }
        // Any of these may have been answered or changed meanwhile.
        self.uncounted.clear();
        self.preparing.clear();
        self.keyspace.clear();
    }

    fn memory_bytes(&self) -> usize {
        let of = |side: &Direction| {
            side.frames.as_ref().map_or(0, |frames| size_of::<Deframer>() + frames.memory_bytes())
        };
        let preparing = self.preparing.values().map(|text| 64 + text.len()).sum::<usize>();
        of(&self.sides.client) + of(&self.sides.server) + self.prepared.memory_bytes() + preparing
    }
}

impl CassandraCodec {
    /// Reads whole envelopes; if frames may come instead, it stops there as if they were foreign.
    fn read_envelopes(
        &mut self,
        side: Side,
        stream: &mut Stream,
        may_be_framed: bool,
        sink: &mut dyn Sink,
    ) -> Progress {
        loop {
            if stream.lacks() > 0 {
                return Progress::Wait;
            }
            if let Some(open) = self.sides.of(side).open.take() {
                open.tell(stream.last_ns(), sink);
            }
            let bytes = stream.bytes();
            if bytes.len() < HEADER_BYTES {
                return Progress::Wait;
            }
            let Some(header) = envelope::header(side, bytes) else { return Progress::Foreign };
            if may_be_framed && header.version == 5 && framing::header(bytes).is_some() {
                return Progress::Foreign;
            }
            let length = header.length as usize;
            let there = bytes.get(HEADER_BYTES..).unwrap_or_default();
            if there.len() < length.min(HEAD_BYTES) && !stream.is_cut() {
                return Progress::Wait;
            }
            let body = there.get(..length.min(there.len())).unwrap_or_default();
            let unpacked;
            let body = if header.is_compressed() {
                unpacked = self.unpack(body);
                &unpacked
            } else {
                body
            };
            match side {
                Side::Client => {
                    // What comes in frames has places of its own, which a gap moves.
                    let begun = if may_be_framed { stream.begun() } else { stream.time_ns().into() };
                    self.asked(&header, body, begun, sink);
                }
                Side::Server => self.answered(&header, body, stream.time_ns(), sink),
            }
            stream.skip(HEADER_BYTES as u64 + u64::from(header.length));
        }
    }

    fn unpack(&self, body: &[u8]) -> Vec<u8> {
        match self.compression {
            // The length of all comes first.
            Compression::Lz4 => unpack::lz4(body.get(4..).unwrap_or_default(), HEAD_BYTES),
            Compression::Snappy => unpack::snappy(body, HEAD_BYTES),
            Compression::Unknown => Vec::new(),
        }
    }

    fn asked(&mut self, header: &Header, body: &[u8], begun: Begun, sink: &mut dyn Sink) {
        self.uncounted.retain(|stream| *stream != header.stream);
        self.preparing.remove(&header.stream);
        if !header.opcode.is_query() {
            if header.opcode == Opcode::Startup {
                self.compression = match body::compression(body) {
                    Some(name) if name.eq_ignore_ascii_case(b"lz4") => Compression::Lz4,
                    Some(name) if name.eq_ignore_ascii_case(b"snappy") => Compression::Snappy,
                    _ => Compression::Unknown,
                };
            }
            if self.uncounted.len() == MAX_UNCOUNTED {
                self.uncounted.pop_front();
            }
            self.uncounted.push_back(header.stream);
            return;
        }
        let key = Key::Slot(header.stream as u64);
        if !sink.wants_details() {
            return sink.request(&Request::new(key, begun));
        }
        let asked = body::asked(header, body);
        let statement = match self.prepared.get(asked.id) {
            Some(text) if asked.statement.is_empty() => text,
            _ => asked.statement,
        };
        let named = Named::of(Dialect::Cql, statement);
        let named = match header.opcode {
            Opcode::Prepare => named.within("PREPARE"),
            // Of several statements only the first is looked at.
            Opcode::Batch => Named::default().within("BATCH"),
            Opcode::Execute if statement.is_empty() => named.within("EXECUTE"),
            _ => named,
        };
        let mut attributes = named.attributes(statement, &self.keyspace);
        if let Some(level) = asked.consistency {
            attributes.push(Attribute::text("cassandra.consistency.level", level.as_bytes()));
        }
        if let Some(size) = asked.batch {
            attributes.push(Attribute::integer("db.operation.batch.size", size.into()));
        }
        let name = named.name("query");
        sink.request(&Request { name, attributes: &attributes, ..Request::new(key, begun) });
        if header.opcode == Opcode::Prepare && self.preparing.len() < MAX_PREPARING {
            self.preparing.insert(header.stream, statement.into());
        }
    }

    fn answered(&mut self, header: &Header, body: &[u8], first_ns: u64, sink: &dyn Sink) {
        let counts = matches!(header.opcode, Opcode::Result | Opcode::Error);
        let uncounted = self.uncounted.iter().position(|stream| *stream == header.stream);
        if let Some(place) = uncounted {
            self.uncounted.remove(place);
        }
        if !counts || (uncounted.is_some() && sink.pending(Key::Slot(header.stream as u64)).is_none()) {
            return;
        }
        let text = self.preparing.remove(&header.stream);
        let (status, code) = match body::said(header, body) {
            Said::Done => (Status::OK, None),
            Said::Prepared { id } => {
                if let Some(text) = text.filter(|text| !text.is_empty() && id.len() <= MAX_STATEMENT_BYTES) {
                    self.prepared.set(id, &text);
                }
                (Status::OK, None)
            }
            Said::Keyspace(name) => {
                self.keyspace = name.to_vec();
                (Status::OK, None)
            }
            Said::Error(code) => (Status::FAILED, code),
        };
        let code = code.map(|code| format!("0x{code:04x}")).unwrap_or_default();
        self.sides.server.open = Some(Open { stream: header.stream, first_ns, status, code });
    }
}

impl Open {
    fn tell(&self, last_ns: u64, sink: &mut dyn Sink) {
        let code = [Attribute::text("db.response.status_code", self.code.as_bytes())];
        sink.response(&Response {
            attributes: if self.code.is_empty() { &[] } else { &code },
            ..Response::new(Key::Slot(self.stream as u64), self.first_ns, last_ns, self.status)
        });
    }
}
