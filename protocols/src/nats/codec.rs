//! Reads lines and messages.

use std::collections::VecDeque;

use super::line::{self, Line, MAX_OPENING_BYTES, Message, Next};
use crate::{
    Attribute, Begun, Codec, Key, Method, PerSide, Progress, Request, Response, Side, Sink, Status, Stream,
};

/// Of headers, looked at.
const HEAD_BYTES: u64 = 4096;
/// A trace context that is longer is none.
const MAX_TRACEPARENT_BYTES: usize = 128;
/// Answers that are waited for at a time where the client wants them.
const MAX_EXPECTED: usize = 4000;
/// Lines of a side after which bytes that are none are the middle of a message, not another protocol.
const PROVEN_LINES: u32 = 4;

/// The state of a connection.
#[derive(Debug, Default)]
pub(super) struct NatsCodec {
    halves: PerSide<Half>,
    answers: Answers,
}

/// One direction.
#[derive(Debug, Default)]
struct Half {
    /// Whether the next line begins where it is thought to.
    is_sure: bool,
    lines: u32,
    /// A message of which the last byte has not come.
    ending: Option<Moved>,
}

impl Half {
    /// What to say of bytes that do not fit.
    fn misfit(&self) -> Progress {
        if self.lines >= PROVEN_LINES { Progress::Lost } else { Progress::Foreign }
    }
}

/// A message.
#[derive(Debug)]
struct Moved {
    begun: Begun,
    subject: Box<[u8]>,
    body_bytes: u64,
    traceparent: Box<[u8]>,
}

/// What the server says to what the client says.
#[derive(Debug, Default)]
struct Answers {
    /// Whether it says anything.
    are_wanted: bool,
    /// In order; the identifier of a message, none for all else.
    expected: VecDeque<Option<u64>>,
    last_id: u64,
    /// Which answer is to what is not known any more.
    are_lost: bool,
}

impl Codec for NatsCodec {
    fn read(&mut self, side: Side, stream: &mut Stream, sink: &mut dyn Sink) -> Progress {
        loop {
            if stream.lacks() > 0 {
                return Progress::Wait;
            }
            self.answers.give_up_if_lost(stream.last_ns(), sink);
            if let Some(moved) = self.halves.of(side).ending.take() {
                self.tell(side, &moved, stream.last_ns(), sink);
            }
            let half = self.halves.of(side);
            let bytes = stream.bytes();
            if bytes.is_empty() {
                return Progress::Wait;
            }
            let line = match line::next(side, bytes) {
                Next::Line(line) => line,
                // It is in a call of its own; what follows in what was not kept cannot be read.
                Next::Long(line) if stream.is_cut() => {
                    let length = bytes.len() as u64 + stream.hole();
                    if let Line::Connect(options) = line {
                        self.answers.connected(line::is_verbose(options, false));
                        self.answers.are_lost |= self.answers.are_wanted;
                    }
                    half.is_sure = true;
                    stream.skip(length);
                    continue;
                }
                Next::Long(_) if bytes.len() >= MAX_OPENING_BYTES => return half.misfit(),
                Next::Long(_) | Next::Wait => return Progress::Wait,
                Next::Foreign => return half.misfit(),
            };
            let begun = begun(side, stream);
            let length = match line {
                Line::Message(message) => {
                    let is_right = message.is_ended(bytes);
                    let wanted = message.line_bytes as u64 + message.header_bytes.min(HEAD_BYTES);
                    if is_right == Some(false) || (message.may_lack_letter && !half.is_sure) {
                        return half.misfit();
                    }
                    if (bytes.len() as u64) < wanted && !stream.is_cut() {
                        return Progress::Wait;
                    }
                    half.ending = Some(Moved::new(&message, bytes, begun));
                    message.whole()
                }
                line => {
                    self.line(&line, stream.time_ns(), sink);
                    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or_default();
                    end as u64 + 1
                }
            };
            let half = self.halves.of(side);
            half.is_sure = true;
            half.lines = half.lines.saturating_add(1);
            stream.skip(length);
        }
    }

    fn lost(&mut self, side: Side) {
        let half = self.halves.of(side);
        half.is_sure = false;
        half.ending = None;
        self.answers.are_lost = true;
    }

    fn memory_bytes(&self) -> usize {
        self.answers.expected.capacity() * size_of::<Option<u64>>()
    }
}

impl NatsCodec {
    /// A line that no message follows.
    fn line(&mut self, line: &Line<'_>, time_ns: u64, sink: &mut dyn Sink) {
        match line {
            Line::Connect(options) => {
                self.answers.connected(line::is_verbose(options, true));
                self.answers.expect(None);
            }
            Line::Subscribe | Line::Unsubscribe => self.answers.expect(None),
            Line::Taken => self.answers.answered(Status::OK, b"", time_ns, sink),
            Line::Error(text) if !comes_by_itself(text) => {
                self.answers.answered(Status::FAILED, kind_of_error(text), time_ns, sink);
            }
            Line::Info | Line::Ping | Line::Pong | Line::Error(_) | Line::Message(_) => {}
        }
    }

    /// Tells of a message whose last byte came.
    fn tell(&mut self, side: Side, moved: &Moved, ended_ns: u64, sink: &mut dyn Sink) {
        let (method, operation, kind): (_, &[u8], &[u8]) = match side {
            Side::Client => (Method::Produce, b"publish", b"send"),
            Side::Server => (Method::Consume, b"deliver", b"receive"),
        };
        let (mut name, mut attributes) = (Vec::new(), Vec::new());
        if sink.wants_details() {
            name.extend_from_slice(operation);
            name.push(b' ');
            // Behind the first dot there are often identifiers.
            name.extend(moved.subject.iter().take_while(|byte| **byte != b'.'));
            let bytes = i64::try_from(moved.body_bytes).unwrap_or(i64::MAX);
            attributes.extend([
                Attribute::text("messaging.operation.name", operation),
                Attribute::text("messaging.operation.type", kind),
                Attribute::text("messaging.destination.name", &moved.subject),
                Attribute::integer("messaging.message.body.size", bytes),
            ]);
            if !moved.traceparent.is_empty() {
                attributes.push(Attribute::text("traceparent", &moved.traceparent));
            }
        }
        let answered = match side {
            Side::Client => self.answers.expect_to_message(),
            Side::Server => Err(Status::OK),
        };
        let request = Request {
            method,
            name: &name,
            attributes: &attributes,
            ..Request::new(answered.unwrap_or(Key::Order), moved.begun)
        };
        match answered {
            Ok(_) => sink.request(&request),
            Err(status) => sink.one_way(&request, status, ended_ns),
        }
    }
}

/// Where and when a message begins; only the client's have a place that names them.
fn begun(side: Side, stream: &Stream) -> Begun {
    match side {
        Side::Client => stream.begun(),
        Side::Server => stream.time_ns().into(),
    }
}

impl Moved {
    fn new(message: &Message<'_>, bytes: &[u8], begun: Begun) -> Self {
        let headers = bytes.get(message.line_bytes..).unwrap_or_default();
        let length = usize::try_from(message.header_bytes).unwrap_or(usize::MAX).min(headers.len());
        let headers = headers.get(..length).unwrap_or_default();
        let traceparent = line::header(headers, b"traceparent").unwrap_or_default();
        let traceparent = if traceparent.len() > MAX_TRACEPARENT_BYTES { &[] } else { traceparent };
        Self {
            begun,
            subject: message.subject.into(),
            body_bytes: message.bytes - message.header_bytes,
            traceparent: traceparent.into(),
        }
    }
}

impl Answers {
    /// The client says whether it wants answers.
    fn connected(&mut self, is_verbose: Option<bool>) {
        self.are_wanted = is_verbose.unwrap_or_default();
    }

    fn expect(&mut self, id: Option<u64>) {
        if !self.are_wanted || self.are_lost {
            return;
        }
        if self.expected.len() >= MAX_EXPECTED {
            self.are_lost = true;
            return;
        }
        self.expected.push_back(id);
    }

    /// The key of a message that will be answered, or the status that it has at once.
    fn expect_to_message(&mut self) -> Result<Key, Status> {
        if !self.are_wanted {
            return Err(Status::OK);
        }
        self.last_id += 1;
        self.expect(Some(self.last_id));
        if self.are_lost { Err(Status::UNKNOWN) } else { Ok(Key::Id(self.last_id)) }
    }

    fn answered(&mut self, status: Status, why: &[u8], time_ns: u64, sink: &mut dyn Sink) {
        // A server that answers was asked to, also when that was not seen.
        if !self.are_wanted && !status.is_error {
            self.are_wanted = true;
            self.are_lost = true;
        }
        let Some(Some(id)) = self.expected.pop_front() else { return };
        let attributes = [Attribute::text("error.type", why)];
        sink.response(&Response {
            attributes: if status.is_error { &attributes } else { &[] },
            ..Response::new(Key::Id(id), time_ns, time_ns, status)
        });
    }

    fn give_up_if_lost(&mut self, time_ns: u64, sink: &mut dyn Sink) {
        if self.are_lost {
            for id in self.expected.drain(..).flatten() {
                sink.skipped(Key::Id(id), Status::UNKNOWN, time_ns);
            }
        }
    }
}

/// Whether an error answers nothing that the client said.
fn comes_by_itself(text: &[u8]) -> bool {
    let text = text.to_ascii_lowercase();
    let begins: [&[u8]; 6] = [
        b"'stale",
        b"'slow",
        b"'server shutdown",
        b"'authentication timeout",
        b"'user auth",
        b"'maximum conn",
    ];
    begins.iter().any(|begin| text.starts_with(begin))
}

/// An error without the subject that it is about.
fn kind_of_error(text: &[u8]) -> &[u8] {
    let text = text.trim_ascii();
    let text = text.strip_prefix(b"'").unwrap_or(text);
    let text = text.strip_suffix(b"'").unwrap_or(text);
    let subject = text.iter().position(|byte| *byte == b'"').unwrap_or(text.len());
    let text = text.get(..subject).unwrap_or_default().trim_ascii_end();
    text.strip_suffix(b" to").unwrap_or(text)
}
