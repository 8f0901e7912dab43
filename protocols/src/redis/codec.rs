//! Reads commands and replies.

use super::resp::{HEAD_BYTES, Reader, Step};
use crate::{Attribute, Begun, Codec, Key, Progress, Request, Response, Side, Sink, Status, Stream};

/// Of a command's words, kept for spans, bytes.
const MAX_STATEMENT_BYTES: usize = 1024;
/// A command's name that is longer is none.
const MAX_NAME_BYTES: usize = 32;

/// A request of pub/sub, whose replies are not one for one; as a request's tag.
const SUBSCRIBES: u64 = 1;

/// The state of a connection.
#[derive(Debug, Default)]
pub(super) struct RedisCodec {
    commands: Reader,
    replies: Reader,
    command: Command,
    reply: Reply,
    silence: Silence,
    /// Of the reply that goes on, the end cannot be seen: what the server sends is passed over up to the next command.
    is_deaf: bool,
}

/// Whether the client asked for no replies.
#[derive(Debug, Default, PartialEq, Eq)]
enum Silence {
    #[default]
    None,
    Next,
    Now,
    All,
}

#[derive(Debug, Default)]
struct Command {
    begun: Begun,
    words: u64,
    name: Vec<u8>,
    argument: Vec<u8>,
    statement: Vec<u8>,
}

#[derive(Debug, Default)]
struct Reply {
    is_open: bool,
    first_ns: u64,
    last: Option<Status>,
    kind: u8,
    error: Vec<u8>,
    /// What pub/sub says it is.
    word: Vec<u8>,
}

impl Codec for RedisCodec {
    fn read(&mut self, side: Side, stream: &mut Stream, sink: &mut dyn Sink) -> Progress {
        match side {
            Side::Client => self.read_commands(stream, sink),
            Side::Server => self.read_replies(stream, sink),
        }
    }

    fn lost(&mut self, side: Side) {
        match side {
            Side::Client => {
                self.commands.reset();
                self.command = Command::default();
            }
            Side::Server => {
                self.replies.reset();
                self.reply = Reply::default();
            }
        }
    }

    fn memory_bytes(&self) -> usize {
        self.command.statement.capacity() + self.command.argument.capacity() + self.reply.error.capacity()
    }
}

impl RedisCodec {
    fn read_commands(&mut self, stream: &mut Stream, sink: &mut dyn Sink) -> Progress {
        loop {
            let is_between = self.commands.is_between();
            let begun = stream.begun();
            match stream.bytes().first() {
                None => return Progress::Wait,
                Some(b'*') if is_between => {}
                Some(b'$') if !is_between => {}
                Some(_) if is_between => {
                    // A line of words.
                    let Some((line, rest)) = super::resp::line(stream.bytes()) else {
                        let is_long = stream.bytes().len() > MAX_STATEMENT_BYTES;
                        return if is_long { Progress::Foreign } else { Progress::Wait };
                    };
                    if line.iter().any(|byte| !matches!(byte, b' '..=b'~')) {
                        return Progress::Foreign;
                    }
                    let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
                    self.command.begin(begun);
                    for word in &mut words {
                        self.command.word(word, sink.wants_details());
                    }
                    let length = stream.bytes().len() - rest.len();
                    if self.command.words > 0 {
                        self.asked(sink, begun.time_ns);
                    }
                    stream.skip(length as u64);
                    continue;
                }
                Some(_) => return Progress::Foreign,
            }
            let wants_details = sink.wants_details();
            let command = &mut self.command;
            let (mut is_last, mut is_nameless) = (false, false);
            let step = self.commands.step(stream, |element| {
                if element.depth == 0 {
                    command.begin(begun);
                } else {
                    is_nameless = element.is_cut && command.words == 0;
                    command.word(element.head, wants_details);
                }
                is_last = element.is_last;
            });
            match step {
                // Half a name is another one.
                Step::Read if is_nameless => return Progress::Lost,
                Step::Read if is_last && self.command.words > 0 => self.asked(sink, stream.last_ns()),
                Step::Read => {}
                Step::Wait => return Progress::Wait,
                Step::Foreign => return Progress::Foreign,
            }
        }
    }

    fn asked(&mut self, sink: &mut dyn Sink, last_ns: u64) {
        self.is_deaf = false;
        let command = &self.command;
        let attributes = [
            Attribute::text("db.operation.name", &command.name),
            Attribute::text("db.query.text", &command.statement),
        ];
        let is_subscription = [
            &b"SUBSCRIBE"[..],
            b"PSUBSCRIBE",
            b"SSUBSCRIBE",
            b"UNSUBSCRIBE",
            b"PUNSUBSCRIBE",
            b"SUNSUBSCRIBE",
        ]
        .contains(&command.name.as_slice());
        let request = Request {
            tag: if is_subscription { SUBSCRIBES } else { 0 },
            name: &command.name,
            attributes: if sink.wants_details() { &attributes } else { &[] },
            ..Request::new(Key::Order, command.begun)
        };
        self.silence = match std::mem::take(&mut self.silence) {
            Silence::Next => Silence::Now,
            Silence::Now => Silence::None,
            other => other,
        };
        if command.name == b"CLIENT" && command.argument.starts_with(b"REPLY ") {
            match command.argument.get(6..) {
                Some(b"OFF") => self.silence = Silence::All,
                Some(b"SKIP") if self.silence != Silence::All => self.silence = Silence::Next,
                Some(b"ON") => self.silence = Silence::None,
                _ => {}
            }
        }
        if self.silence == Silence::None {
            sink.request(&request);
        } else {
            sink.one_way(&request, Status::UNKNOWN, last_ns);
        }
    }

    fn read_replies(&mut self, stream: &mut Stream, sink: &mut dyn Sink) -> Progress {
        loop {
            if stream.lacks() > 0 {
                return Progress::Wait;
            }
            if let Some(status) = self.reply.last.take() {
                self.answered(status, stream.last_ns(), sink);
            }
            if self.is_deaf {
                stream.skip(stream.bytes().len() as u64 + stream.hole());
                return Progress::Wait;
            }
            if stream.bytes().is_empty() {
                if stream.is_cut() && !self.replies.is_between() && self.ends_unseen(stream, sink) {
                    continue;
                }
                return Progress::Wait;
            }
            if self.replies.is_between() {
                self.reply.begin(stream.time_ns());
            }
            let reply = &mut self.reply;
            match self.replies.step(stream, |element| reply.element(element)) {
                Step::Read => {}
                Step::Wait if stream.is_cut() && self.ends_unseen(stream, sink) => {}
                Step::Wait => return Progress::Wait,
                Step::Foreign => return Progress::Foreign,
            }
        }
    }

    /// The rest of a reply of many elements was not kept. When nothing else is in flight, this is the answer, and it
    /// goes on to the next command; otherwise it cannot be told where the next one begins.
    fn ends_unseen(&mut self, stream: &mut Stream, sink: &mut dyn Sink) -> bool {
        if sink.in_flight() != 1 || self.reply.kind == 0 {
            return false;
        }
        stream.skip(stream.bytes().len() as u64 + stream.hole());
        self.replies.reset();
        self.answered(Status::OK, stream.last_ns(), sink);
        self.is_deaf = true;
        true
    }

    fn answered(&mut self, status: Status, last_ns: u64, sink: &mut dyn Sink) {
        let reply = &mut self.reply;
        reply.is_open = false;
        let is_subscription = reply.word.ends_with(b"subscribe");
        let expected = sink.pending(Key::Order);
        // Messages come by themselves; of a subscription to several channels the first reply is the answer.
        let is_message =
            [&b"message"[..], b"pmessage", b"smessage", b"invalidate"].contains(&reply.word.as_slice());
        if is_message
            || (is_subscription && expected != Some(SUBSCRIBES))
            || (reply.kind == b'>' && !is_subscription)
        {
            return;
        }
        let code = reply.error.split(|byte| *byte == b' ').next().unwrap_or_default();
        let attributes = [Attribute::text("db.response.status_code", code)];
        sink.response(&Response {
            attributes: if status.is_error { &attributes } else { &[] },
            ..Response::new(Key::Order, reply.first_ns, last_ns, status)
        });
    }
}

impl Command {
    fn begin(&mut self, begun: Begun) {
        self.begun = begun;
        self.words = 0;
        self.name.clear();
        self.argument.clear();
        self.statement.clear();
    }

    fn word(&mut self, word: &[u8], wants_details: bool) {
        match self.words {
            0 => self.name.extend(word.iter().take(MAX_NAME_BYTES).map(u8::to_ascii_uppercase)),
            1 | 2 if self.name == b"CLIENT" => {
                if self.words == 2 {
                    self.argument.push(b' ');
                }
                self.argument.extend(word.iter().take(MAX_NAME_BYTES).map(u8::to_ascii_uppercase));
            }
            _ => {}
        }
        self.words += 1;
        if wants_details && self.statement.len() + word.len() < MAX_STATEMENT_BYTES {
            if self.words > 1 {
                self.statement.push(b' ');
            }
            self.statement.extend_from_slice(word);
        }
    }
}

impl Reply {
    fn begin(&mut self, time_ns: u64) {
        if !self.is_open {
            self.is_open = true;
            self.first_ns = time_ns;
            self.kind = 0;
            self.error.clear();
            self.word.clear();
        }
    }

    fn element(&mut self, element: &super::resp::Element<'_>) {
        // What follows an attribute is the reply itself, one level down.
        if self.kind == 0 && element.kind != b'|' && element.depth < 2 {
            self.kind = element.kind;
            if matches!(element.kind, b'-' | b'!') {
                self.error.extend(element.head.iter().take(HEAD_BYTES));
            }
        } else if self.kind != 0
            && self.word.is_empty()
            && matches!(self.kind, b'*' | b'>')
            && matches!(element.kind, b'$' | b'+')
        {
            self.word.extend(element.head.iter().take(MAX_NAME_BYTES));
        }
        if element.is_last {
            self.last = Some(if matches!(self.kind, b'-' | b'!') { Status::FAILED } else { Status::OK });
        }
    }
}
