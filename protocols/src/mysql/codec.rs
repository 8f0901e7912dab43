//! Reads commands and their answers.
//!
//! The client asks and the server answers, one at a time as a rule; some clients ask more before. Packets are numbered
//! from the command on, which tells an answer's first packet from others.

use std::collections::VecDeque;

use super::answer::{Answer, Kind, Step};
use super::details::{Brings, HEAD_BYTES, MAX_DATABASE_BYTES, describe};
use super::packet::{
    COMPRESSES, COMPRESSES_ZSTD, Command, ENCRYPTS, HEADER_BYTES, Header, LONGEST, header, is_statement,
    login_database, login_flags,
};
use super::query::query;
use crate::statement::Prepared;
use crate::{Attribute, Begun, Codec, Key, Progress, Request, Response, Side, Sink, Status, Stream};

/// Of what the server sends.
const ANSWER_HEAD_BYTES: usize = 32;
/// Commands that may wait for an answer.
const MAX_EXPECTED: usize = 1024;
/// The number by which MariaDB's clients name what they have just prepared.
const LAST_PREPARED: [u8; 4] = [0xff; 4];
/// Turns after which the order of a connection with a gap is trusted again.
const TURNS_TO_TRUST: u32 = 3;

/// What the server is to answer.
#[derive(Debug)]
struct Expected {
    kind: Kind,
    /// What tells its request; none of what does not count.
    key: Option<u64>,
    /// The number of the answer's first packet, if it is known.
    sequence: Option<u8>,
    brings: Brings,
}

/// The state of a connection.
#[derive(Debug, Default)]
pub(super) struct MysqlCodec {
    /// Packets of the client are read one behind the other, without a gap.
    is_synchronous: bool,
    /// Commands were answered: it is this protocol, whatever follows a gap.
    is_certain: bool,
    /// What follows is encrypted or compressed.
    is_opaque: bool,
    /// The last packet of the client goes on in the next.
    is_continued: bool,
    /// Up to its next packet the server is sent a file, or the rest of a command of which it is not known how long it is.
    sends_bulk: bool,
    /// Descriptions of columns end with a packet of their own.
    has_eof: Option<bool>,
    database: Vec<u8>,
    statements: Prepared,
    last_key: u64,
    /// The oldest first.
    expected: VecDeque<Expected>,
    answer: Answer,
    /// A packet of the answer whose end has not come, and what it was.
    unfinished: Option<Step>,
    /// The end of the answer was not kept: its last byte is the last one before the next command.
    is_deaf: bool,
    /// When the last byte of the server moved.
    last_ns: u64,
    /// Something of the server was read; also since the last command.
    hears_server: bool,
    has_answered: bool,
    /// The client does not wait for answers before it asks on.
    is_pipelined: bool,
    /// Behind a gap in what such a client asked: turns, a command and its answer, to be seen before answers are trusted.
    doubts: u32,
}

impl Codec for MysqlCodec {
    fn read(&mut self, side: Side, stream: &mut Stream, sink: &mut dyn Sink) -> Progress {
        let progress = match side {
            Side::Client => self.read_commands(stream, sink),
            Side::Server => self.read_answers(stream, sink),
        };
        match progress {
            Progress::Foreign if self.is_certain => Progress::Lost,
            progress => progress,
        }
    }

    fn lost(&mut self, side: Side) {
        if side == Side::Client {
            self.is_synchronous = false;
            self.is_continued = false;
        }
        if self.is_pipelined {
            self.doubts = TURNS_TO_TRUST;
        }
        self.sends_bulk = false;
        self.expected.clear();
        self.end_answer();
    }

    fn settle(&mut self, sink: &mut dyn Sink) {
        if self.is_deaf {
            self.respond(self.last_ns, sink);
        }
    }

    fn memory_bytes(&self) -> usize {
        let brought = |expected: &Expected| match &expected.brings {
            Brings::Nothing => 0,
            Brings::Database(text) | Brings::Statement(text) => text.len(),
        };
        self.statements.memory_bytes()
            + self.database.capacity()
            + self.expected.capacity() * size_of::<Expected>()
            + self.expected.iter().map(brought).sum::<usize>()
    }
}

fn pass_all(stream: &mut Stream) -> Progress {
    stream.skip(stream.bytes().len() as u64 + stream.hole());
    Progress::Wait
}

impl MysqlCodec {
    fn read_commands(&mut self, stream: &mut Stream, sink: &mut dyn Sink) -> Progress {
        loop {
            if stream.lacks() > 0 {
                return Progress::Wait;
            }
            if self.is_opaque || self.sends_bulk {
                return pass_all(stream);
            }
            let bytes = stream.bytes();
            let Some(header) = header(bytes) else {
                if stream.is_cut() && self.is_continued {
                    self.is_continued = false;
                    self.sends_bulk = true;
                    if let Some(last) = self.expected.back_mut() {
                        last.sequence = None;
                    }
                    continue;
                }
                return if stream.is_cut() { Progress::Lost } else { Progress::Wait };
            };
            let content = bytes.get(HEADER_BYTES..).unwrap_or_default();
            let whole = header.length as usize;
            let content = content.get(..whole.min(content.len())).unwrap_or_default();
            if content.len() < whole.min(HEAD_BYTES) && !stream.is_cut() {
                // What cannot be one is not waited for.
                let is_possible = content.first().is_none_or(|first| self.is_packet(header, *first, content));
                return if is_possible { Progress::Wait } else { Progress::Foreign };
            }
            if self.is_continued || header.sequence != 0 {
                let is_first = !self.is_synchronous && self.is_login(header);
                if is_first {
                    let Some(flags) = login_flags(content) else { return Progress::Foreign };
                    self.login(flags, header, content);
                } else if !self.is_synchronous {
                    return Progress::Foreign;
                }
                if let Some(expected) = self.expected.back_mut().filter(|_| self.is_continued) {
                    expected.sequence = Some(header.sequence.wrapping_add(1));
                }
            } else {
                let Some(first) = content.first() else {
                    return if whole > 0 { Progress::Lost } else { Progress::Foreign };
                };
                let command = Command::of(*first, header.length);
                let Some(command) = command.filter(|_| self.is_packet(header, *first, content)) else {
                    return Progress::Foreign;
                };
                if !self.is_synchronous && !fits_call(stream, command, whole as u64) {
                    return Progress::Foreign;
                }
                if self.expected.len() == MAX_EXPECTED {
                    return Progress::Lost;
                }
                self.asked(command, content.get(1..).unwrap_or_default(), stream.begun(), sink);
            }
            self.is_synchronous = true;
            self.is_continued = header.length == LONGEST;
            stream.skip((HEADER_BYTES + whole) as u64);
        }
    }

    /// Whether it may be the packet that opens a connection.
    fn is_login(&self, header: Header) -> bool {
        matches!(header.sequence, 1 | 2) && (32..64 * 1024).contains(&header.length)
    }

    /// Whether a packet can begin like this, as far as it has come.
    fn is_packet(&self, header: Header, first: u8, content: &[u8]) -> bool {
        if self.is_continued || header.sequence != 0 {
            return self.is_synchronous || self.is_login(header);
        }
        let text = query(content.get(1..).unwrap_or_default()).text;
        Command::of(first, header.length)
            .is_some_and(|command| !command.has_text() || text.is_empty() || is_statement(text))
    }

    fn login(&mut self, flags: u32, header: Header, content: &[u8]) {
        self.database = login_database(flags, content).unwrap_or_default().to_vec();
        self.database.truncate(MAX_DATABASE_BYTES);
        let encrypts = flags & ENCRYPTS != 0 && header.length == 32;
        self.is_opaque = encrypts || flags & (COMPRESSES | COMPRESSES_ZSTD) != 0;
    }

    fn asked(&mut self, command: Command, content: &[u8], begun: Begun, sink: &mut dyn Sink) {
        if self.is_deaf {
            self.respond(self.last_ns, sink);
        }
        let kind = match command {
            Command::Quit | Command::LongData | Command::Replicate => return,
            Command::Close => return self.statements.remove(content.get(..4).unwrap_or_default()),
            Command::Query | Command::ProcessInfo | Command::Execute | Command::BulkExecute => Kind::Results,
            Command::Prepare => Kind::Prepared,
            Command::FieldList | Command::Fetch => Kind::Rows,
            Command::Statistics => Kind::Text,
            Command::ChangeUser => Kind::Login,
            Command::UseDatabase | Command::Other(_) | Command::Upkeep => Kind::Simple,
        };
        if command == Command::ChangeUser {
            self.statements = Prepared::default();
        }
        if self.doubts > 0 {
            self.doubts = if self.has_answered { self.doubts - 1 } else { TURNS_TO_TRUST };
            self.has_answered = false;
            if self.doubts > 0 {
                return;
            }
        }
        let mut key = None;
        let mut brings = Brings::Nothing;
        if command.counts() {
            self.last_key += 1;
            key = Some(self.last_key);
            let request = Request::new(Key::Slot(self.last_key), begun);
            if sink.wants_details() {
                let known = self.known(content);
                describe(command, content, known, &self.database, &request, sink);
            } else {
                sink.request(&request);
            }
        }
        if sink.wants_details() {
            brings = Brings::of(command, content);
        }
        let sequence = Some(1);
        self.expected.push_back(Expected { kind, key, sequence, brings });
    }

    /// The text of the statement that a command names.
    fn known(&self, content: &[u8]) -> &[u8] {
        let number = content.get(..4).unwrap_or_default();
        // The one that is being prepared has no number yet.
        match self.expected.back().filter(|_| number == LAST_PREPARED).map(|last| &last.brings) {
            Some(Brings::Statement(text)) => text,
            _ => self.statements.get(number).unwrap_or_default(),
        }
    }

    fn read_answers(&mut self, stream: &mut Stream, sink: &mut dyn Sink) -> Progress {
        loop {
            if stream.lacks() > 0 {
                return Progress::Wait;
            }
            self.last_ns = stream.last_ns();
            match self.unfinished.take() {
                Some(Step::Ends) => self.respond(stream.last_ns(), sink),
                Some(Step::MayEnd) if !self.is_eof_next(stream.bytes()) => {
                    self.respond(stream.last_ns(), sink);
                }
                Some(Step::WantsFile) => self.sends_bulk = true,
                _ => {}
            }
            self.has_answered |= !stream.bytes().is_empty();
            // In the middle of a connection what it said before may be lost.
            if !std::mem::replace(&mut self.hears_server, true)
                && stream.position() > 0
                && self.expected.len() > 1
            {
                return Progress::Lost;
            }
            let Some(expected) = self.expected.front() else { return pass_all(stream) };
            if self.is_deaf || self.is_opaque {
                let progress = pass_all(stream);
                self.last_ns = stream.last_ns();
                return progress;
            }
            let bytes = stream.bytes();
            let content = bytes.get(HEADER_BYTES..).unwrap_or_default();
            let header = header(bytes);
            let whole = header.map_or(1, |header| header.length as usize);
            let content = content.get(..whole.min(content.len())).unwrap_or_default();
            if content.len() < whole.min(ANSWER_HEAD_BYTES) {
                if !stream.is_cut() {
                    return Progress::Wait;
                }
                if content.is_empty() {
                    // The end of the answer may be in what was not kept.
                    if self.expected.len() != 1 || !self.answer.has_begun() {
                        return Progress::Lost;
                    }
                    self.is_deaf = true;
                    continue;
                }
            }
            let Some(header) = header else { return Progress::Wait };
            let is_first = !self.answer.has_begun();
            let counted = if is_first { expected.sequence } else { self.answer.sequence };
            if counted.is_some_and(|counted| counted != header.sequence) && expected.kind != Kind::Login {
                let next = self.expected.get(1).and_then(|next| next.sequence);
                if is_first && super::packet::is_old_eof(header.length, content) {
                    // It ends the descriptions of the answer before.
                    stream.skip((HEADER_BYTES + whole) as u64);
                    continue;
                }
                if !is_first && next == Some(header.sequence) {
                    self.respond(self.last_ns, sink);
                    continue;
                }
                return Progress::Foreign;
            }
            self.answer.first_ns.get_or_insert(stream.time_ns());
            self.answer.sequence = Some(header.sequence.wrapping_add(1));
            let kind = expected.kind;
            let step = self.answer.read(kind, header, content, &mut self.has_eof);
            if step == Step::Foreign {
                return Progress::Foreign;
            }
            self.sends_bulk = false;
            self.unfinished = Some(step);
            stream.skip((HEADER_BYTES + whole) as u64);
        }
    }

    /// Whether the descriptions of a prepared statement go on with the packet that ends them.
    fn is_eof_next(&self, bytes: &[u8]) -> bool {
        matches!(bytes, [5, 0, 0, sequence, 0xfe, ..] if Some(*sequence) == self.answer.sequence)
    }

    /// The oldest command is answered.
    fn respond(&mut self, last_ns: u64, sink: &mut dyn Sink) {
        self.is_deaf = false;
        self.unfinished = None;
        let Answer { first_ns, error, statement, .. } = std::mem::take(&mut self.answer);
        let Some(expected) = self.expected.pop_front() else { return };
        self.is_certain = true;
        self.is_pipelined |= !self.expected.is_empty();
        let status = if error.is_some() { Status::FAILED } else { Status::OK };
        if error.is_none() {
            match (expected.brings, statement) {
                (Brings::Database(name), _) => self.database = name.into(),
                (Brings::Statement(text), Some(number)) => self.statements.set(&number, &text),
                _ => {}
            }
        }
        let Some(key) = expected.key else { return };
        let response = Response::new(Key::Slot(key), first_ns.unwrap_or(last_ns), last_ns, status);
        let Some((code, state)) = error else { return sink.response(&response) };
        let code = code.to_string();
        let attributes = [
            Attribute::text("db.response.status_code", code.as_bytes()),
            Attribute::text("mysql.sqlstate", &state),
        ];
        let known = match (code.as_str(), state.as_slice()) {
            // It was not kept.
            ("0", _) => 0,
            (_, []) => 1,
            _ => 2,
        };
        sink.response(&Response { attributes: attributes.get(..known).unwrap_or_default(), ..response });
    }

    fn end_answer(&mut self) {
        self.answer = Answer::default();
        self.unfinished = None;
        self.is_deaf = false;
    }
}

/// Whether a command is where calls have one, when it is not known that one is here: at the end of a call, before another
/// command, or long.
fn fits_call(stream: &Stream, command: Command, length: u64) -> bool {
    if stream.bytes().get(HEADER_BYTES + 1..HEADER_BYTES + 5) == Some(&LAST_PREPARED) {
        // What was prepared is not known, and its answer may come first.
        return false;
    }
    let there = stream.bytes().len() as u64 + stream.hole();
    let ends = HEADER_BYTES as u64 + length;
    if ends >= there {
        return ends == there || command.has_text() || command.values_begin().is_some();
    }
    let behind = usize::try_from(ends).ok().and_then(|ends| stream.bytes().get(ends..));
    match behind.unwrap_or_default() {
        [low, middle, high, 0, first, ..] => {
            let length = u32::from_le_bytes([*low, *middle, *high, 0]);
            Command::of(*first, length).is_some()
        }
        // More is to come.
        [] if stream.is_cut() => command.has_text(),
        behind => !stream.is_cut() && behind.get(3).is_none_or(|sequence| *sequence == 0),
    }
}
