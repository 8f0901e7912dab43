//! Reads requests and replies. It holds no bytes of its own; what waits is at most [`HEAD_BYTES`] of a message.

use super::messages::{
    self, AUTH, EVENT, HEAD_BYTES, MAX_MESSAGE_BYTES, MULTI, MULTI_READ, SET_WATCHES, Shape,
};
use crate::{Attribute, Codec, Key, Progress, Request, Response, Side, Sink, Status, Stream};

/// What a session begins with has no xid.
const CONNECT: Key = Key::Id(1 << 40);
/// Watches that are set again, in several messages when they are many, all with one xid: counted.
const WATCHES: u64 = 2 << 40;
/// An xid may be so far behind the last one that was seen before bytes were lost.
const MAX_LEAP: i32 = 1 << 20;

/// The state of a connection.
#[derive(Debug, Default)]
pub(super) struct ZookeeperCodec {
    client: Place,
    server: Place,
    /// The connection is one of a word and a text.
    is_word: bool,
    last_xid: Option<i32>,
    answer: Option<Answer>,
    watches: Watches,
}

/// Whether it is known where messages begin.
#[derive(Debug, Default)]
struct Place {
    is_known: bool,
}

/// A reply whose last byte may not have come.
#[derive(Debug)]
struct Answer {
    key: Key,
    first_ns: u64,
    error: i32,
}

#[derive(Debug, Default)]
struct Watches {
    asked: u64,
    answered: u64,
    /// Bytes were lost: which reply is to which is not known any more.
    are_lost: bool,
}

impl Codec for ZookeeperCodec {
    fn read(&mut self, side: Side, stream: &mut Stream, sink: &mut dyn Sink) -> Progress {
        if self.is_word && side == Side::Client {
            stream.skip(stream.bytes().len() as u64 + stream.hole());
            return Progress::Wait;
        }
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
            let read = match side {
                Side::Client => self.read_request(stream, sink),
                Side::Server => self.read_reply(stream, sink),
            };
            if let Some(progress) = read {
                return progress;
            }
        }
    }

    fn lost(&mut self, side: Side) {
        match side {
            Side::Client => self.client = Place::default(),
            Side::Server => {
                self.server = Place::default();
                self.answer = None;
            }
        }
        self.watches.are_lost = true;
    }
}

/// The next message's length and what there is of it, once enough is.
fn next(stream: &Stream) -> Result<(u32, &[u8]), Progress> {
    let bytes = stream.bytes();
    let stop = if stream.is_cut() { Progress::Foreign } else { Progress::Wait };
    let (length, body) = messages::length(bytes).ok_or(stop)?;
    if !(8..=MAX_MESSAGE_BYTES).contains(&length) {
        return Err(Progress::Foreign);
    }
    let body = body.get(..length as usize).unwrap_or(body);
    if body.len() < HEAD_BYTES.min(length as usize) && !stream.is_cut() {
        return Err(Progress::Wait);
    }
    Ok((length, body))
}

impl ZookeeperCodec {
    /// None when a message was read.
    fn read_request(&mut self, stream: &mut Stream, sink: &mut dyn Sink) -> Option<Progress> {
        let begun = stream.begun();
        if self.last_xid.is_none()
            && let Some(word) = messages::four_letters(stream.bytes())
        {
            self.is_word = true;
            let attributes = [Attribute::text("db.operation.name", word.as_bytes())];
            sink.request(&Request {
                name: word.as_bytes(),
                attributes: &attributes,
                ..Request::new(Key::Order, begun)
            });
            stream.skip(stream.bytes().len() as u64 + stream.hole());
            return Some(Progress::Wait);
        }
        let (length, body) = match next(stream) {
            Ok(next) => next,
            Err(progress) => return Some(progress),
        };
        if self.last_xid.is_none() && messages::password(Side::Client, body, length).is_some() {
            let attributes = [Attribute::text("db.operation.name", b"createSession")];
            sink.request(&Request {
                name: b"createSession",
                attributes: &attributes,
                ..Request::new(CONNECT, begun)
            });
            self.client.is_known = true;
            stream.skip(4 + u64::from(length));
            return None;
        }
        let Some((head, shape)) = messages::request(body, length) else { return Some(Progress::Foreign) };
        if !self.client.is_known && (shape == Shape::Header || !self.follows(head.xid)) {
            return Some(Progress::Foreign);
        }
        self.client.is_known = true;
        self.last_xid = Some(if head.xid >= 0 { head.xid } else { self.last_xid.unwrap_or(0) });
        let mut text = Vec::new();
        if sink.wants_details() {
            text.extend_from_slice(head.name.as_bytes());
            if !head.path.is_empty() {
                text.push(b' ');
                text.extend_from_slice(head.path);
            }
        }
        let attributes = [
            Attribute::text("db.operation.name", head.name.as_bytes()),
            Attribute::text("db.query.text", &text),
            Attribute::text("zookeeper.path", head.path),
        ];
        let shown = if head.path.is_empty() { attributes.get(..1) } else { Some(&attributes[..]) };
        let request = Request {
            tag: u64::from(matches!(head.operation, MULTI | MULTI_READ)),
            name: head.name.as_bytes(),
            attributes: shown.filter(|_| sink.wants_details()).unwrap_or_default(),
            ..Request::new(key(head.xid), begun)
        };
        match head.xid {
            SET_WATCHES if self.watches.are_lost => sink.one_way(&request, Status::UNKNOWN, begun.time_ns),
            SET_WATCHES => {
                sink.request(&Request { key: Key::Id(WATCHES | self.watches.asked), ..request });
                self.watches.asked += 1;
            }
            _ => sink.request(&request),
        }
        stream.skip(4 + u64::from(length));
        None
    }

    /// Whether a request's xid may be the next one.
    fn follows(&self, xid: i32) -> bool {
        match self.last_xid {
            Some(last) if xid >= 0 => (1..=MAX_LEAP).contains(&(xid.wrapping_sub(last) & i32::MAX)),
            _ => true,
        }
    }

    /// None when a message was read.
    fn read_reply(&mut self, stream: &mut Stream, sink: &mut dyn Sink) -> Option<Progress> {
        let first_ns = stream.time_ns();
        if self.is_word {
            // What follows the first piece of text is more of it, until the server ends the connection.
            if sink.pending(Key::Order).is_some() {
                let is_refused =
                    contains(stream.bytes(), b"is not executed because it is not in the whitelist");
                let status = if is_refused { Status::FAILED } else { Status::OK };
                stream.skip(stream.bytes().len() as u64 + stream.hole());
                sink.response(&Response::new(Key::Order, first_ns, stream.last_ns(), status));
            }
            stream.skip(stream.bytes().len() as u64 + stream.hole());
            return Some(Progress::Wait);
        }
        let (length, body) = match next(stream) {
            Ok(next) => next,
            Err(progress) => return Some(progress),
        };
        let answer = |key, error| Some(Answer { key, first_ns, error });
        if sink.pending(CONNECT).is_some() && messages::password(Side::Server, body, length).is_some() {
            self.answer = answer(CONNECT, 0);
        } else {
            let Some((reply, shape)) = messages::reply(body, length) else { return Some(Progress::Foreign) };
            let pending = sink.pending(key(reply.xid));
            if !self.server.is_known && shape == Shape::Header && pending.is_none() {
                return Some(Progress::Foreign);
            }
            self.answer = match reply.xid {
                EVENT => None,
                SET_WATCHES if self.watches.are_lost || self.watches.answered == self.watches.asked => None,
                SET_WATCHES => {
                    self.watches.answered += 1;
                    answer(Key::Id(WATCHES | (self.watches.answered - 1)), reply.error)
                }
                _ if reply.error == 0 && pending == Some(1) => {
                    answer(key(reply.xid), messages::error_of_several(body))
                }
                _ => answer(key(reply.xid), reply.error),
            };
        }
        self.server.is_known = true;
        stream.skip(4 + u64::from(length));
        None
    }

    fn answered(&mut self, last_ns: u64, sink: &mut dyn Sink) {
        let Some(Answer { key, first_ns, error }) = self.answer.take() else { return };
        let status = if messages::is_failure(error) { Status::FAILED } else { Status::OK };
        let name = messages::error(error).unwrap_or_default();
        let attributes = [Attribute::text("db.response.status_code", name.as_bytes())];
        sink.response(&Response {
            attributes: if error == 0 { &[] } else { &attributes },
            ..Response::new(key, first_ns, last_ns, status)
        });
    }
}

/// How the reply of a request is found. Those to authentications all have the same xid.
fn key(xid: i32) -> Key {
    match xid {
        AUTH => Key::Order,
        _ => Key::Id(u64::from(xid.cast_unsigned())),
    }
}

fn contains(bytes: &[u8], words: &[u8]) -> bool {
    bytes.windows(words.len()).any(|window| window == words)
}
