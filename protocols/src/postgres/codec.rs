//! Reads queries and what comes of them.

use std::collections::VecDeque;

use super::{FROM_CLIENT, FROM_SERVER, GSS, PROTOCOL_3, SSL, length, startup, walk};
use crate::statement::{Dialect, Named, Prepared};
use crate::{Attribute, Begun, Codec, Key, Progress, Request, Response, Side, Sink, Status, Stream};

/// Of a message's content, looked at.
const HEAD_BYTES: usize = 2048;

/// Requests whose kind is remembered; of more than that, answers are told by the server's readiness alone.
const MAX_EXPECTED: usize = 4096;

/// What the server is to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// A simple query: by its readiness.
    Query,
    /// A batch that executes nothing: by its readiness.
    Prepare,
    /// By the end of the result.
    Execute,
    /// The end of a batch that executed something: its readiness answers no request.
    Sync,
}

/// The state of a connection.
#[derive(Debug, Default)]
pub(super) struct PostgresCodec {
    /// A message of the client was read: what follows has types.
    has_begun: bool,
    /// The server answers with one byte whether it goes on encrypted.
    is_asked_for_encryption: bool,
    database: Vec<u8>,
    statements: Prepared,
    portals: Prepared,
    /// Of the batch that the client writes, up to its Sync: when it began, what was prepared, and whether anything is executed.
    batch_begun: Option<Begun>,
    prepared: Vec<u8>,
    executes: bool,
    /// What is to be answered, the oldest first; empty after a gap in what the client said.
    expected: VecDeque<Expected>,
    answer: Answer,
    /// Of a result that goes on, the end was not kept: what the server sends is passed over up to the next request.
    is_deaf: bool,
    /// The server takes the client's rows, up to its next answer.
    takes_rows: bool,
    /// Of those rows it is not known any more where one begins: what the client sends is passed over up to its next request.
    is_blind: bool,
    /// A message whose end has not come, and what it is.
    unfinished: Option<u8>,
}

#[derive(Debug, Default)]
struct Answer {
    first_ns: Option<u64>,
    /// The SQLSTATE of an error.
    error: Option<Vec<u8>>,
}

impl Codec for PostgresCodec {
    fn read(&mut self, side: Side, stream: &mut Stream, sink: &mut dyn Sink) -> Progress {
        loop {
            if stream.lacks() > 0 {
                return Progress::Wait;
            }
            if side == Side::Server
                && let Some(kind) = self.unfinished.take()
            {
                self.answered(kind, stream.last_ns(), sink);
            }
            if side == Side::Server && self.is_deaf {
                stream.skip(stream.bytes().len() as u64 + stream.hole());
                return Progress::Wait;
            }
            if side == Side::Client && self.passes_rows(stream) {
                return Progress::Wait;
            }
            let bytes = stream.bytes();
            if bytes.len() < 5 && stream.is_cut() && side == Side::Server && self.ends_unseen(stream, sink) {
                continue;
            }
            let bytes = stream.bytes();
            if bytes.is_empty() {
                return Progress::Wait;
            }
            if side == Side::Server && self.is_asked_for_encryption {
                self.is_asked_for_encryption = false;
                match bytes.first() {
                    Some(b'N') => stream.skip(1),
                    // What follows is encrypted, or an error.
                    Some(b'E') => {}
                    _ => return Progress::Foreign,
                }
                continue;
            }
            if side == Side::Client && !self.has_begun {
                match self.startup(stream) {
                    Some(Progress::Wait) if stream.bytes().is_empty() => continue,
                    Some(progress) => return progress,
                    None => continue,
                }
            }
            let types = if side == Side::Client { FROM_CLIENT } else { FROM_SERVER };
            let Some((kind, rest)) = bytes.split_first() else { return Progress::Wait };
            if !types.contains(kind) {
                return Progress::Foreign;
            }
            if rest.len() < 4 {
                return if stream.is_cut() { Progress::Lost } else { Progress::Wait };
            }
            let Some(length) = length(rest) else { return Progress::Foreign };
            let content = rest.get(4..).unwrap_or_default();
            let whole = usize::try_from(length - 4).unwrap_or(usize::MAX);
            let wanted = whole.min(HEAD_BYTES);
            let is_read = side == Side::Client || *kind == b'E';
            if is_read && content.len() < wanted && !stream.is_cut() {
                return Progress::Wait;
            }
            let content = content.get(..whole.min(content.len())).unwrap_or_default();
            let (kind, begun) = (*kind, stream.begun());
            match side {
                Side::Client => self.asked(kind, content, begun, sink),
                Side::Server => {
                    self.answers(kind, content, begun.time_ns);
                    self.unfinished = Some(kind);
                }
            }
            stream.skip(1 + length);
        }
    }

    fn lost(&mut self, side: Side) {
        match side {
            Side::Client => {
                self.has_begun = true;
                self.batch_begun = None;
                self.executes = false;
                self.expected.clear();
                self.is_deaf = false;
                self.is_blind = self.takes_rows;
            }
            Side::Server => {
                self.unfinished = None;
                self.answer = Answer::default();
            }
        }
    }

    fn memory_bytes(&self) -> usize {
        self.statements.memory_bytes()
            + self.portals.memory_bytes()
            + self.prepared.capacity()
            + self.expected.capacity()
    }
}

/// The text up to its zero, and what follows.
fn text(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    (bytes.get(..end).unwrap_or_default(), bytes.get(end + 1..).unwrap_or_default())
}

impl PostgresCodec {
    /// Reads a message without a type. None when there is another one to read.
    fn startup(&mut self, stream: &mut Stream) -> Option<Progress> {
        let bytes = stream.bytes();
        if bytes.len() < 8 {
            // A type is never 0, a length's first byte always is.
            if bytes.first() != Some(&0) {
                self.has_begun = true;
                return None;
            }
            return Some(if stream.is_cut() { Progress::Lost } else { Progress::Wait });
        }
        let Some(code) = startup(bytes) else {
            self.has_begun = true;
            return None;
        };
        let length = length(bytes).unwrap_or_default();
        if (bytes.len() as u64) < length && !stream.is_cut() {
            return Some(Progress::Wait);
        }
        match code {
            SSL | GSS => self.is_asked_for_encryption = true,
            _ => {
                self.has_begun = true;
                if code >> 16 == PROTOCOL_3 >> 16 {
                    let mut rest = bytes.get(8..).unwrap_or_default();
                    while !rest.is_empty() {
                        let (name, after) = text(rest);
                        let (value, after) = text(after);
                        if name == b"database" || (name == b"user" && self.database.is_empty()) {
                            self.database = value.to_vec();
                        }
                        rest = after;
                    }
                }
            }
        }
        stream.skip(length);
        None
    }

    fn asked(&mut self, kind: u8, content: &[u8], begun: Begun, sink: &mut dyn Sink) {
        self.is_deaf &= !b"QFPBE".contains(&kind);
        match kind {
            b'Q' => {
                let (query, _) = text(content);
                self.request(Expected::Query, query, begun, sink);
            }
            b'F' => {
                self.request(Expected::Query, b"CALL", begun, sink);
            }
            b'P' => {
                self.batch_begun.get_or_insert(begun);
                let (name, rest) = text(content);
                let (query, _) = text(rest);
                if sink.wants_details() {
                    self.statements.set(name, query);
                    self.prepared = query.to_vec();
                }
            }
            b'B' => {
                self.batch_begun.get_or_insert(begun);
                let (portal, rest) = text(content);
                let (statement, _) = text(rest);
                if sink.wants_details() {
                    let query = self.statements.get(statement).unwrap_or_default().to_vec();
                    self.portals.set(portal, &query);
                }
            }
            b'D' => {
                self.batch_begun.get_or_insert(begun);
            }
            b'E' => {
                let (portal, _) = text(content);
                let query = self.portals.get(portal).unwrap_or_default().to_vec();
                let begun = if self.executes { begun } else { self.batch_begun.unwrap_or(begun) };
                self.executes = true;
                self.request(Expected::Execute, &query, begun, sink);
            }
            b'C' => match content.split_first() {
                Some((b'S', name)) => self.statements.remove(text(name).0),
                Some((b'P', name)) => self.portals.remove(text(name).0),
                _ => {}
            },
            b'S' => {
                if let Some(begun) = self.batch_begun.take()
                    && !self.executes
                {
                    let prepared = std::mem::take(&mut self.prepared);
                    self.request(Expected::Prepare, &prepared, begun, sink);
                }
                if std::mem::take(&mut self.executes) {
                    self.expect(Expected::Sync);
                }
            }
            _ => {}
        }
    }

    /// Rows are small and calls are large, so that most rows begin where nothing was kept. They are of no use: what comes
    /// is passed over until the server has answered and a call begins with messages. Whether that was done.
    fn passes_rows(&mut self, stream: &mut Stream) -> bool {
        self.is_blind |= self.takes_rows && stream.is_cut() && stream.bytes().len() < 5;
        if !self.is_blind {
            return false;
        }
        let bytes = stream.bytes();
        let size = bytes.len() as u64 + stream.hole();
        // After an error, rows may come that were under way.
        let is_request = bytes.first().is_some_and(|kind| !b"dcf".contains(kind))
            && walk(bytes, size, FROM_CLIENT).is_some();
        if !self.takes_rows && is_request {
            self.is_blind = false;
            return false;
        }
        stream.skip(size);
        true
    }

    fn expect(&mut self, kind: Expected) {
        if self.expected.len() < MAX_EXPECTED {
            self.expected.push_back(kind);
        }
    }

    fn request(&mut self, kind: Expected, query: &[u8], begun: Begun, sink: &mut dyn Sink) {
        self.expect(kind);
        if !sink.wants_details() {
            sink.request(&Request::new(Key::Order, begun));
            return;
        }
        let named = match kind {
            Expected::Prepare => Named::prepares(Dialect::Postgres, query),
            _ => Named::of(Dialect::Postgres, query),
        };
        let attributes = named.attributes(query, &self.database);
        sink.request(&Request {
            name: named.name("query"),
            attributes: &attributes,
            ..Request::new(Key::Order, begun)
        });
    }

    /// The head of a message of the server.
    fn answers(&mut self, kind: u8, content: &[u8], time_ns: u64) {
        // Notices and the like come at any time, and readiness is no answer.
        if b"NSARKvVZ".contains(&kind) {
            return;
        }
        self.answer.first_ns.get_or_insert(time_ns);
        if kind == b'E' {
            let mut rest = content;
            let mut code = Vec::new();
            while let Some((field, after)) = rest.split_first().filter(|(field, _)| **field != 0) {
                let (value, after) = text(after);
                if *field == b'C' {
                    code = value.to_vec();
                }
                rest = after;
            }
            self.answer.error = Some(code);
        }
    }

    /// The end of a message of the server.
    fn answered(&mut self, kind: u8, last_ns: u64, sink: &mut dyn Sink) {
        match kind {
            b'G' | b'W' => self.takes_rows = true,
            b'C' | b'E' | b'Z' => self.takes_rows = false,
            _ => {}
        }
        match kind {
            b'C' | b'I' | b's' if self.executes_next() && self.answer.error.is_none() => {
                self.respond(last_ns, sink);
            }
            b'E' if self.executes_next() => {
                self.respond(last_ns, sink);
                // Up to Sync the server skips all.
                while self.executes_next() {
                    self.expected.pop_front();
                    sink.skipped(Key::Order, Status::FAILED, last_ns);
                }
            }
            b'Z' => {
                // Those that are left were answered in a gap.
                while self.executes_next() {
                    self.expected.pop_front();
                }
                match self.expected.front() {
                    Some(Expected::Sync) => _ = self.expected.pop_front(),
                    // With nothing expected it is the end of what was asked in a gap, or of the login.
                    None if self.answer.first_ns.is_none() => {}
                    _ => self.respond(last_ns, sink),
                }
                self.answer = Answer::default();
            }
            _ => {}
        }
    }

    fn executes_next(&self) -> bool {
        self.expected.front() == Some(&Expected::Execute)
    }

    /// The rest of the server's call was not kept, and the end of the result may be in it. When nothing else is in
    /// flight, and rows or an error were seen, this is the answer, and it goes on to the next request; otherwise it
    /// cannot be told where the next one begins.
    fn ends_unseen(&mut self, stream: &mut Stream, sink: &mut dyn Sink) -> bool {
        let requests = self.expected.iter().filter(|one| **one != Expected::Sync).count();
        if requests != 1 || self.answer.first_ns.is_none() {
            return false;
        }
        stream.skip(stream.bytes().len() as u64 + stream.hole());
        self.respond(stream.last_ns(), sink);
        self.expected.clear();
        self.is_deaf = true;
        true
    }

    fn respond(&mut self, last_ns: u64, sink: &mut dyn Sink) {
        self.expected.pop_front();
        let Answer { first_ns, error } = std::mem::take(&mut self.answer);
        let status = if error.is_some() { Status::FAILED } else { Status::OK };
        let code = error.unwrap_or_default();
        let attributes = [Attribute::text("db.response.status_code", &code)];
        sink.response(&Response {
            attributes: if code.is_empty() { &[] } else { &attributes },
            ..Response::new(Key::Order, first_ns.unwrap_or(last_ns), last_ns, status)
        });
    }
}
