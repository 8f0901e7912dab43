//! Follows messages, and pairs replies with requests by the token that both have.
//!
//! What the server asks of the client is passed over, and so are pings: they go on whatever the application does.

use std::collections::VecDeque;

use super::messages::{self, Frame, LEAST_MESSAGE_BYTES, Layout, Token};
use crate::{Attribute, Begun, Codec, Key, Progress, Request, Response, Side, Sink, Status, Stream};

/// Tokens that are remembered; the oldest go first.
const MAX_TOKENS: usize = 4096;
/// Of one request.
const MAX_TOKENS_OF_ONE: usize = 8;
/// Of a message, looked at.
const HEAD_BYTES: usize = 1024;
/// The longest frame around the least message.
const LEAST_BYTES: usize = 4 + 8 + LEAST_MESSAGE_BYTES as usize;
/// What nobody has asked for is answered under this key.
const NOBODY: Key = Key::Id(u64::MAX);

/// The state of a connection.
#[derive(Debug, Default)]
pub(super) struct FoundationdbCodec {
    layout: Option<Layout>,
    /// Tokens at which replies are awaited, and the numbers of their requests.
    tokens: VecDeque<(Token, u64)>,
    asked: u64,
    client_is_known: bool,
    server_is_known: bool,
    answer: Option<Answer>,
}

/// A reply whose last byte may not have come.
#[derive(Debug)]
struct Answer {
    key: Key,
    first_ns: u64,
    status: Status,
    code: Option<u16>,
}

impl Codec for FoundationdbCodec {
    fn read(&mut self, side: Side, stream: &mut Stream, sink: &mut dyn Sink) -> Progress {
        loop {
            if stream.lacks() > 0 {
                return Progress::Wait;
            }
            if side == Side::Server {
                self.answered(stream.last_ns(), sink);
            }
            if stream.bytes().is_empty() {
                return Progress::Wait;
            }
            if let Err(progress) = self.read_message(side, stream, sink) {
                return progress;
            }
        }
    }

    fn lost(&mut self, side: Side) {
        match side {
            Side::Client => self.client_is_known = false,
            Side::Server => {
                self.server_is_known = false;
                self.answer = None;
            }
        }
    }

    fn memory_bytes(&self) -> usize {
        self.tokens.capacity() * size_of::<(Token, u64)>()
    }
}

impl FoundationdbCodec {
    fn read_message(&mut self, side: Side, stream: &mut Stream, sink: &mut dyn Sink) -> Result<(), Progress> {
        let bytes = stream.bytes();
        let wants = |there: usize| there > bytes.len() && !stream.is_cut();
        if wants(LEAST_BYTES.min(length(bytes).saturating_add(4))) {
            return Err(Progress::Wait);
        }
        if let Some(length) = messages::connect_packet(bytes) {
            *self.is_known(side) = true;
            stream.skip(length);
            return Ok(());
        }
        let is_known = *self.is_known(side);
        let awaits = |token| self.tokens.iter().any(|(awaited, _)| *awaited == token);
        let layouts = match self.layout {
            Some(known) => [Some(known), None, None],
            None => Layout::ALL.map(Some),
        };
        let mut frames = layouts.into_iter().flatten().filter_map(|layout| {
            let frame = Frame::read(bytes, layout)?;
            // In its place a message is believed when its token is awaited, or its structure is right.
            let is_one = match is_known && self.layout.is_some() {
                true => frame.is_whole_message() || awaits(frame.token),
                false => frame.is_plausible() || awaits(frame.token),
            };
            is_one.then_some((layout, frame))
        });
        let Some((layout, frame)) = frames.next() else {
            let all = HEAD_BYTES.min(length(bytes).saturating_add(4 + 8));
            return Err(if wants(all) { Progress::Wait } else { Progress::Foreign });
        };
        if wants(HEAD_BYTES.min(usize::try_from(frame.end()).unwrap_or(HEAD_BYTES))) {
            return Err(Progress::Wait);
        }
        let begun = stream.begun();
        let end = frame.end();
        let mut asked = None;
        match side {
            Side::Client if frame.is_request() => asked = Some(ask(self.asked, &frame, begun, sink)),
            Side::Client => {}
            Side::Server => self.answer = answer(&mut self.tokens, &frame, begun.time_ns),
        }
        if let Some(tokens) = asked {
            self.remember(tokens);
        }
        self.layout = Some(layout);
        *self.is_known(side) = true;
        stream.skip(end);
        Ok(())
    }

    fn is_known(&mut self, side: Side) -> &mut bool {
        match side {
            Side::Client => &mut self.client_is_known,
            Side::Server => &mut self.server_is_known,
        }
    }

    fn remember(&mut self, tokens: Vec<Token>) {
        for token in tokens {
            if self.tokens.len() == MAX_TOKENS {
                self.tokens.pop_front();
            }
            self.tokens.push_back((token, self.asked));
        }
        self.asked += 1;
    }

    fn answered(&mut self, last_ns: u64, sink: &mut dyn Sink) {
        let Some(Answer { key, first_ns, status, code }) = self.answer.take() else { return };
        let number = code.map(|code| code.to_string()).unwrap_or_default();
        let attributes = [Attribute::text("db.response.status_code", number.as_bytes())];
        sink.response(&Response {
            attributes: if code.is_some() { &attributes } else { &[] },
            ..Response::new(key, first_ns, last_ns, status)
        });
    }
}

/// The length that a message begins with, if it is there.
fn length(bytes: &[u8]) -> usize {
    crate::cursor::Cursor::new(bytes).u32_le().map_or(usize::MAX, |length| length as usize)
}

/// Tells of a request; the tokens at which its reply may be awaited.
fn ask(number: u64, frame: &Frame<'_>, begun: Begun, sink: &mut dyn Sink) -> Vec<Token> {
    let name = frame.request();
    let attributes = [Attribute::text("db.operation.name", name.unwrap_or_default().as_bytes())];
    let request = Request {
        name: name.unwrap_or("request").as_bytes(),
        attributes: if name.is_some() { &attributes } else { &[] },
        ..Request::new(Key::Id(number), begun)
    };
    let tokens: Vec<Token> = frame.reply_tokens(MAX_TOKENS_OF_ONE).collect();
    if tokens.is_empty() {
        // It wants no reply, or what says where was not kept.
        sink.one_way(&request, Status::UNKNOWN, begun.time_ns);
    } else {
        sink.request(&request);
    }
    tokens
}

/// What a message of the server answers.
fn answer(tokens: &mut VecDeque<(Token, u64)>, frame: &Frame<'_>, first_ns: u64) -> Option<Answer> {
    let found = tokens.iter().find(|(token, _)| *token == frame.token).map(|(_, number)| *number);
    let Some(number) = found else {
        let is_reply = frame.is_reply();
        return is_reply.then_some(Answer { key: NOBODY, first_ns, status: Status::UNKNOWN, code: None });
    };
    tokens.retain(|(_, other)| *other != number);
    let (status, code) = match frame.error() {
        Some(Some(code)) => (Status::FAILED, Some(code)),
        Some(None) => (Status::OK, None),
        None => (Status::UNKNOWN, None),
    };
    Some(Answer { key: Key::Id(number), first_ns, status, code })
}
