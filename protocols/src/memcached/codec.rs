//! Pairs commands with replies, which come in their order; quiet commands are passed over when a later one is answered.

use std::collections::VecDeque;

use super::binary::{self, HEADER_BYTES};
use super::text::{self, Answer, Kind, MAX_LINE_BYTES, Reply};
use crate::{Attribute, Begun, Codec, Key, Progress, Request, Response, Side, Sink, Status, Stream};

/// Commands that may wait at a time.
const MAX_EXPECTED: usize = 4096;
/// Of a command's keys, kept for spans, bytes.
const MAX_STATEMENT_BYTES: usize = 1024;
/// The line that ends the values that were found.
const END: &[u8] = b"END\r\n";

/// The state of a connection.
#[derive(Debug, Default)]
pub(super) struct MemcachedCodec {
    expected: VecDeque<Expected>,
    /// A command that nobody answers, whose data has not come to its end.
    one_way: Option<Waiting>,
    reply: Open,
    /// Bytes of a reply were not kept: what comes belongs to it until something is asked again.
    is_blind: bool,
    /// Replies to lost commands may be under way.
    is_unsure: bool,
    /// A reply was what was expected.
    has_read: bool,
}

/// A command that a reply is expected to, or not.
#[derive(Debug)]
struct Expected {
    begun_ns: u64,
    form: Form,
    is_quiet: bool,
    /// Quiet ones are told of when it shows how they ended.
    waiting: Option<Waiting>,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    /// Keys that are asked for; 0 when not all of them were kept. Hash of the opaque flag.
    Text {
        kind: Kind,
        keys: u32,
        opaque: Option<u64>,
    },
    Binary {
        opcode: u8,
        opaque: u32,
    },
}

/// What is told of a command later.
#[derive(Debug)]
struct Waiting {
    begun: Begun,
    name: &'static str,
    statement: Box<[u8]>,
}

/// The reply that is being read.
#[derive(Debug, Default)]
struct Open {
    is_open: bool,
    first_ns: u64,
    /// Values that came.
    found: u32,
    last: Option<Outcome>,
}

/// How a reply ended.
#[derive(Debug, Clone)]
struct Outcome {
    /// Place in the queue of what it answers; none if nothing is known of that.
    place: Option<usize>,
    status: Status,
    code: Box<[u8]>,
}

impl Codec for MemcachedCodec {
    fn read(&mut self, side: Side, stream: &mut Stream, sink: &mut dyn Sink) -> Progress {
        match side {
            Side::Client => self.read_commands(stream, sink),
            Side::Server => self.read_replies(stream, sink),
        }
    }

    fn lost(&mut self, side: Side) {
        self.expected.clear();
        self.is_blind = false;
        self.is_unsure = true;
        match side {
            Side::Client => self.one_way = None,
            Side::Server => self.reply = Open::default(),
        }
    }

    fn memory_bytes(&self) -> usize {
        let waiting = self.expected.iter().filter_map(|expected| expected.waiting.as_ref());
        self.expected.capacity() * size_of::<Expected>()
            + waiting.map(|waiting| waiting.statement.len()).sum::<usize>()
    }
}

impl MemcachedCodec {
    fn read_commands(&mut self, stream: &mut Stream, sink: &mut dyn Sink) -> Progress {
        loop {
            if stream.lacks() > 0 {
                return Progress::Wait;
            }
            if let Some(waiting) = self.one_way.take() {
                waiting.tell(sink, Status::UNKNOWN, stream.last_ns());
            }
            let progress = match stream.bytes().first() {
                None => return Progress::Wait,
                Some(&binary::REQUEST) => self.read_request(stream, sink),
                Some(_) => self.read_line(stream, sink),
            };
            if let Some(progress) = progress {
                return progress;
            }
        }
    }

    fn read_line(&mut self, stream: &mut Stream, sink: &mut dyn Sink) -> Option<Progress> {
        let begun = stream.begun();
        let bytes = stream.bytes();
        let Some((line, length)) = text::line(bytes) else {
            return self.read_cut_line(stream, sink);
        };
        // Where it is certain that a line begins here, also one that the server does not know.
        let is_certain = !self.is_unsure && (self.has_read || !self.expected.is_empty());
        let command = text::command(line).or_else(|| text::other(line).filter(|_| is_certain));
        let Some(command) = command else { return Some(Progress::Foreign) };
        let skip = length as u64 + command.data.map_or(0, |data| data + 2);
        let opaque = command.opaque.map(hash);
        let form = Form::Text { kind: command.kind, keys: command.key_count, opaque };
        let told = Told { begun, name: command.name, keys: command.keys, form };
        if command.is_noreply {
            self.one_way = Some(told.waiting(sink));
        } else if self.expect(&told, command.is_quiet, sink).is_none() {
            return Some(Progress::Lost);
        }
        stream.skip(skip);
        None
    }

    /// A line whose end was not kept. One that asks for many keys is taken to be the last of its call.
    fn read_cut_line(&mut self, stream: &mut Stream, sink: &mut dyn Sink) -> Option<Progress> {
        let bytes = stream.bytes();
        if !stream.is_cut() {
            return Some(if bytes.len() < MAX_LINE_BYTES { Progress::Wait } else { Progress::Foreign });
        }
        // The last key may be a part of one.
        let known = bytes.iter().rposition(|byte| *byte == b' ').and_then(|end| bytes.get(..end));
        let Some(command) = known.and_then(text::command).filter(|command| command.kind == Kind::Get) else {
            return Some(Progress::Lost);
        };
        let form = Form::Text { kind: Kind::Get, keys: 0, opaque: None };
        let told = Told { begun: stream.begun(), name: command.name, keys: command.keys, form };
        if self.expect(&told, false, sink).is_none() {
            return Some(Progress::Lost);
        }
        stream.skip(bytes.len() as u64 + stream.hole());
        None
    }

    fn read_request(&mut self, stream: &mut Stream, sink: &mut dyn Sink) -> Option<Progress> {
        let bytes = stream.bytes();
        if bytes.len() < HEADER_BYTES {
            return Some(if stream.is_cut() { Progress::Lost } else { Progress::Wait });
        }
        let Some(header) = binary::header(bytes) else { return Some(Progress::Foreign) };
        let before = HEADER_BYTES + usize::from(header.extras);
        let end = before + usize::from(header.key);
        if bytes.len() < end && !stream.is_cut() {
            return Some(Progress::Wait);
        }
        let keys = bytes.get(before.min(bytes.len())..end.min(bytes.len())).unwrap_or_default();
        let form = Form::Binary { opcode: header.opcode, opaque: header.opaque };
        let told = Told { begun: stream.begun(), name: header.name(), keys, form };
        if header.is_one_way() {
            self.one_way = Some(told.waiting(sink));
        } else if self.expect(&told, header.is_quiet(), sink).is_none() {
            return Some(Progress::Lost);
        }
        stream.skip(HEADER_BYTES as u64 + u64::from(header.body));
        None
    }

    /// Notes that a reply is to come. None if too many are.
    fn expect(&mut self, told: &Told<'_>, is_quiet: bool, sink: &mut dyn Sink) -> Option<()> {
        // More follows a line that was cut: the reply to what is hidden would be taken for this one's.
        let is_hidden = |one: &Expected| matches!(one.form, Form::Text { kind: Kind::Get, keys: 0, .. });
        if self.expected.len() >= MAX_EXPECTED || self.expected.back().is_some_and(is_hidden) {
            return None;
        }
        self.is_blind = false;
        let waiting = is_quiet.then(|| told.waiting(sink));
        if !is_quiet {
            told.with_request(sink, |sink, request| sink.request(request));
            // What is held to wait is what will be answered.
            self.is_unsure &= sink.in_flight() == 0;
        }
        let begun_ns = told.begun.time_ns;
        self.expected.push_back(Expected { begun_ns, form: told.form, is_quiet, waiting });
        Some(())
    }

    fn read_replies(&mut self, stream: &mut Stream, sink: &mut dyn Sink) -> Progress {
        loop {
            if stream.lacks() > 0 {
                return Progress::Wait;
            }
            if let Some(outcome) = self.reply.last.take() {
                self.answered(&outcome, stream.last_ns(), sink);
            }
            if self.is_blind {
                stream.skip(stream.bytes().len() as u64 + stream.hole());
                return Progress::Wait;
            }
            if stream.bytes().is_empty() && stream.hole() == 0 {
                return Progress::Wait;
            }
            if !self.reply.is_open {
                self.reply = Open { is_open: true, first_ns: stream.time_ns(), ..Open::default() };
            }
            let progress = match stream.bytes().first() {
                Some(&binary::RESPONSE) if self.reply.found == 0 => self.read_response(stream),
                _ => self.read_reply_line(stream),
            };
            if let Some(progress) = progress {
                return progress;
            }
        }
    }

    fn read_reply_line(&mut self, stream: &mut Stream) -> Option<Progress> {
        let bytes = stream.bytes();
        let Some((line, length)) = text::line(bytes) else { return self.read_cut_reply(stream) };
        let Some(reply) = text::reply(line) else { return Some(Progress::Foreign) };
        let skip = length as u64
            + match reply {
                Reply::Value { data } | Reply::Meta { data: Some(data), .. } => data + 2,
                _ => 0,
            };
        match reply {
            Reply::Value { .. } | Reply::Item => self.reply.found += 1,
            Reply::Log => self.reply = Open::default(),
            Reply::Line(answer) | Reply::Meta { answer, .. } => {
                let opaque = match reply {
                    Reply::Meta { opaque, .. } => opaque.map(hash),
                    _ => None,
                };
                let Ok(place) = self.place_of(answer, opaque) else { return Some(Progress::Lost) };
                let is_error = answer == Answer::Error;
                let code = line.split(|byte| *byte == b' ').next().filter(|_| is_error);
                self.reply.last = Some(Outcome {
                    place,
                    status: if is_error { Status::FAILED } else { Status::OK },
                    code: code.unwrap_or_default().into(),
                });
            }
        }
        stream.skip(skip);
        None
    }

    /// A line that did not come or was not kept to its end.
    fn read_cut_reply(&mut self, stream: &mut Stream) -> Option<Progress> {
        let bytes = stream.bytes();
        if !stream.is_cut() {
            return Some(if bytes.len() < MAX_LINE_BYTES { Progress::Wait } else { Progress::Foreign });
        }
        let has_values = self.reply.found > 0 || bytes.starts_with(b"VALUE ");
        let Ok(Some(place)) = self.place(|one| !one.is_quiet && one.has_lines()) else {
            return Some(Progress::Lost);
        };
        let keys = match self.expected.get(place).map(|one| one.form) {
            Some(Form::Text { keys, .. }) => keys,
            _ => 0,
        };
        if has_values && keys == self.reply.found && keys > 0 && END.starts_with(bytes) {
            // All were found: what ends them is known.
            stream.skip(END.len() as u64);
        } else if has_values && self.expected.len() == 1 {
            stream.skip(bytes.len() as u64 + stream.hole());
            self.is_blind = true;
        } else {
            return Some(Progress::Lost);
        }
        self.reply.last = Some(Outcome { place: Some(place), status: Status::OK, code: Box::default() });
        None
    }

    fn read_response(&mut self, stream: &mut Stream) -> Option<Progress> {
        let bytes = stream.bytes();
        if bytes.len() < HEADER_BYTES {
            return Some(if stream.is_cut() { Progress::Lost } else { Progress::Wait });
        }
        let Some(header) = binary::header(bytes) else { return Some(Progress::Foreign) };
        let skip = HEADER_BYTES as u64 + u64::from(header.body);
        // Statistics come one by one; an empty one ends them.
        if header.opcode != binary::STAT || header.key == 0 || header.status != 0 {
            let is_it = |one: &Expected| matches!(one.form, Form::Binary { opcode, opaque } if opcode == header.opcode && opaque == header.opaque);
            let Ok(place) = self.place(is_it) else { return Some(Progress::Lost) };
            let status = header.outcome();
            let code = if status.is_error { header.status.to_string() } else { String::new() };
            self.reply.last = Some(Outcome { place, status, code: code.into_bytes().into() });
        }
        stream.skip(skip);
        None
    }

    /// Errors do not say what they answer. Quiet commands seldom fail, so it is the first one that is not quiet.
    fn place_of(&self, answer: Answer, opaque: Option<u64>) -> Result<Option<usize>, ()> {
        let is_it = |one: &Expected| one.is_answered_by(answer, opaque);
        if answer == Answer::Error && self.expected.iter().any(|one| !one.is_quiet) {
            return self.place(|one| !one.is_quiet && is_it(one));
        }
        self.place(is_it)
    }

    /// The place of what is answered: behind quiet ones only. None if nothing is expected, an error if it does not fit.
    fn place(&self, is_it: impl Fn(&Expected) -> bool) -> Result<Option<usize>, ()> {
        for (place, one) in self.expected.iter().enumerate() {
            if is_it(one) {
                return Ok(Some(place));
            }
            if !one.is_quiet {
                return Err(());
            }
        }
        if self.expected.is_empty() { Ok(None) } else { Err(()) }
    }

    fn answered(&mut self, outcome: &Outcome, last_ns: u64, sink: &mut dyn Sink) {
        let first_ns = self.reply.first_ns;
        self.reply = Open::default();
        let code = [Attribute::text("db.response.status_code", &outcome.code)];
        let response = Response {
            attributes: if outcome.code.is_empty() { &[] } else { &code },
            ..Response::new(Key::Order, first_ns, last_ns, outcome.status)
        };
        let Some(place) = outcome.place else { return sink.response(&response) };
        self.has_read = true;
        let answered_ns = self.expected.get(place).map_or(first_ns, |one| one.begun_ns);
        let is_unsure = self.is_unsure;
        for silent in self.expected.drain(..place) {
            // It was over when the next call came, or else at the latest when something behind it was answered.
            let ended_ns = if answered_ns > silent.begun_ns { answered_ns } else { first_ns };
            if let Some(waiting) = silent.waiting.filter(|_| !is_unsure) {
                waiting.tell(sink, Status::OK, ended_ns);
            }
        }
        match self.expected.pop_front().and_then(|one| one.waiting) {
            Some(waiting) if !is_unsure => waiting.tell(sink, outcome.status, last_ns),
            Some(_) => {}
            None => sink.response(&response),
        }
    }
}

impl Expected {
    fn is_answered_by(&self, answer: Answer, said: Option<u64>) -> bool {
        match self.form {
            Form::Text { kind, opaque, .. } => {
                text::fits(kind, self.is_quiet, answer) && said.is_none_or(|said| opaque == Some(said))
            }
            Form::Binary { .. } => false,
        }
    }

    /// Whether its reply has many lines.
    fn has_lines(&self) -> bool {
        matches!(self.form, Form::Text { kind: Kind::Get | Kind::Admin, .. })
    }
}

/// A command as it is told of.
struct Told<'bytes> {
    begun: Begun,
    name: &'static str,
    keys: &'bytes [u8],
    form: Form,
}

impl Told<'_> {
    fn statement(&self) -> Vec<u8> {
        let keys = self.keys.get(..self.keys.len().min(MAX_STATEMENT_BYTES)).unwrap_or_default();
        let space: &[u8] = if keys.is_empty() { b"" } else { b" " };
        [self.name.as_bytes(), space, keys].concat()
    }

    fn waiting(&self, sink: &dyn Sink) -> Waiting {
        let statement = if sink.wants_details() { self.statement() } else { Vec::new() };
        Waiting { begun: self.begun, name: self.name, statement: statement.into() }
    }

    fn with_request(&self, sink: &mut dyn Sink, tell: impl FnOnce(&mut dyn Sink, &Request<'_>)) {
        let waiting = self.waiting(sink);
        waiting.with_request(sink, tell);
    }
}

impl Waiting {
    fn with_request(&self, sink: &mut dyn Sink, tell: impl FnOnce(&mut dyn Sink, &Request<'_>)) {
        let attributes = [
            Attribute::text("db.operation.name", self.name.as_bytes()),
            Attribute::text("db.query.text", &self.statement),
        ];
        let request = Request {
            name: self.name.as_bytes(),
            attributes: if sink.wants_details() { &attributes } else { &[] },
            ..Request::new(Key::Order, self.begun)
        };
        tell(sink, &request);
    }

    fn tell(&self, sink: &mut dyn Sink, status: Status, last_ns: u64) {
        self.with_request(sink, |sink, request| sink.one_way(request, status, last_ns));
    }
}

fn hash(bytes: &[u8]) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
