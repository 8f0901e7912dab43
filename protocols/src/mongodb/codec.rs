//! Pairs requests with the replies that name them.

use super::command::{Command, Outcome};
use super::wire::{self, Body, HEADER_BYTES, Header, Operation};
use crate::{Attribute, Begun, Codec, Key, PerSide, Progress, Request, Response, Side, Sink, Status, Stream};

/// Of a message, looked at.
const HEAD_BYTES: usize = 4096;

/// Tag of a request whose reply is one to a command, also where replies are of old.
const COMMAND: u64 = 1;

/// The state of a connection.
#[derive(Debug, Default)]
pub(super) struct MongoCodec {
    open: PerSide<Option<Open>>,
    /// The reply after which another one comes, unasked.
    exhaust: Option<u32>,
}

/// Read, but not to its last byte.
#[derive(Debug)]
enum Open {
    OneWay { begun: Begun, command: Command },
    Response { header: Header, first_ns: u64, outcome: Outcome, more: bool },
}

impl Codec for MongoCodec {
    fn read(&mut self, side: Side, stream: &mut Stream, sink: &mut dyn Sink) -> Progress {
        loop {
            if stream.lacks() > 0 {
                return Progress::Wait;
            }
            if let Some(open) = self.open.of(side).take() {
                self.over(open, stream.last_ns(), sink);
            }
            let bytes = stream.bytes();
            if bytes.is_empty() {
                return Progress::Wait;
            }
            if bytes.len() < HEADER_BYTES {
                return if stream.is_cut() { Progress::Lost } else { Progress::Wait };
            }
            let Some(header) = wire::header(bytes) else { return Progress::Foreign };
            if side == Side::Client && header.response_to != 0 {
                return Progress::Foreign;
            }
            let length = header.length as usize;
            if bytes.len() < length.min(HEAD_BYTES) && !stream.is_cut() {
                return Progress::Wait;
            }
            let body = bytes.get(HEADER_BYTES..length.min(bytes.len())).unwrap_or_default();
            let is_cut = bytes.len() < length;
            let begun = stream.begun();
            let read = match header.operation {
                Operation::Compressed => match wire::unpacked(body) {
                    Some((operation, unpacked)) => {
                        let body = wire::body(operation, &unpacked, true);
                        self.take(side, &header, begun, &body, sink)
                    }
                    None => self.take(side, &header, begun, &Body::Unreadable, sink),
                },
                operation => self.take(side, &header, begun, &wire::body(operation, body, is_cut), sink),
            };
            match read {
                Progress::Wait => stream.skip(length as u64),
                other => return other,
            }
        }
    }

    fn lost(&mut self, side: Side) {
        *self.open.of(side) = None;
    }

    fn memory_bytes(&self) -> usize {
        let of = |open: &Option<Open>| match open {
            Some(Open::OneWay { command, .. }) => command.shape.capacity(),
            _ => 0,
        };
        of(&self.open.client) + of(&self.open.server)
    }
}

impl MongoCodec {
    /// Takes a message. [`Progress::Wait`] when all went well.
    fn take(
        &mut self,
        side: Side,
        header: &Header,
        begun: Begun,
        body: &Body<'_>,
        sink: &mut dyn Sink,
    ) -> Progress {
        match side {
            Side::Client => self.asked(header, begun, body, sink),
            Side::Server => self.answered(header, begun.time_ns, body, sink),
        }
    }

    fn asked(&mut self, header: &Header, begun: Begun, body: &Body<'_>, sink: &mut dyn Sink) -> Progress {
        let wants_details = sink.wants_details();
        let (command, more, tag) = match body {
            Body::Document { elements, more } => {
                let command = elements.as_ref().map(|elements| Command::read(elements, wants_details));
                (command.unwrap_or_default(), *more, COMMAND)
            }
            Body::Query { collection, elements: Some(elements) } => {
                let database = Command::of_old("", collection).database;
                (Command { database, ..Command::read(elements, wants_details) }, false, COMMAND)
            }
            Body::Query { collection, elements: None } => (Command::of_old("query", collection), false, 0),
            Body::GetMore { collection } => (Command::of_old("getMore", collection), false, 0),
            Body::OneWay { name, collection } => (Command::of_old(name, collection), true, 0),
            Body::Unreadable => (Command::default(), false, 0),
            Body::Cut => return Progress::Lost,
            Body::Reply { .. } | Body::Foreign => return Progress::Foreign,
        };
        if more {
            self.open.client = Some(Open::OneWay { begun, command });
        } else {
            command.with_request(Key::Id(header.id.into()), begun, tag, sink, |sink, request| {
                sink.request(request);
            });
        }
        Progress::Wait
    }

    fn answered(&mut self, header: &Header, first_ns: u64, body: &Body<'_>, sink: &mut dyn Sink) -> Progress {
        let (outcome, more) = match body {
            Body::Document { elements: Some(elements), more } => (Outcome::read(elements), *more),
            Body::Document { elements: None, more } => (Outcome::of(Status::UNKNOWN), *more),
            Body::Reply { is_failed: true, .. } => (Outcome::of(Status::FAILED), false),
            Body::Reply { elements, .. } => {
                // Documents of users may have a field `ok`.
                let is_command = sink.pending(Key::Id(header.response_to.into())) == Some(COMMAND);
                let elements = elements.as_ref().filter(|_| is_command);
                (elements.map_or(Outcome::of(Status::OK), Outcome::read), false)
            }
            Body::Unreadable | Body::Cut => (Outcome::of(Status::UNKNOWN), false),
            Body::Query { .. } | Body::GetMore { .. } | Body::OneWay { .. } | Body::Foreign => {
                return Progress::Foreign;
            }
        };
        self.open.server = Some(Open::Response { header: *header, first_ns, outcome, more });
        Progress::Wait
    }

    fn over(&mut self, open: Open, last_ns: u64, sink: &mut dyn Sink) {
        match open {
            Open::OneWay { begun, command } => {
                command.with_request(Key::Order, begun, 0, sink, |sink, request| {
                    sink.one_way(request, Status::UNKNOWN, last_ns);
                });
            }
            Open::Response { header, first_ns, outcome, more } => {
                let key = Key::Id(header.response_to.into());
                let goes_on = sink.pending(key).is_none() && self.exhaust == Some(header.response_to);
                if more {
                    self.exhaust = Some(header.id);
                } else if goes_on {
                    self.exhaust = None;
                }
                if goes_on {
                    return;
                }
                let attributes = [
                    Attribute::text("db.response.status_code", outcome.code.as_bytes()),
                    Attribute::text("error.type", &outcome.code_name),
                ];
                let known = match (outcome.code.is_empty(), outcome.code_name.is_empty()) {
                    (true, _) => 0,
                    (false, true) => 1,
                    (false, false) => 2,
                };
                sink.response(&Response {
                    attributes: attributes.get(..known).unwrap_or_default(),
                    ..Response::new(key, first_ns, last_ns, outcome.status)
                });
            }
        }
    }
}

impl Command {
    fn with_request(
        &self,
        key: Key,
        begun: Begun,
        tag: u64,
        sink: &mut dyn Sink,
        tell: impl FnOnce(&mut dyn Sink, &Request<'_>),
    ) {
        if !sink.wants_details() {
            return tell(sink, &Request { tag, ..Request::new(key, begun) });
        }
        let space: &[u8] = if self.collection.is_empty() { b"" } else { b" " };
        let name = [&self.name, space, &self.collection].concat();
        let mut attributes = Vec::with_capacity(4);
        for (key, value) in [
            ("db.operation.name", &self.name),
            ("db.namespace", &self.database),
            ("db.collection.name", &self.collection),
            ("db.query.text", &self.shape),
        ] {
            if !value.is_empty() {
                attributes.push(Attribute::text(key, value));
            }
        }
        tell(sink, &Request { tag, name: &name, attributes: &attributes, ..Request::new(key, begun) });
    }
}
