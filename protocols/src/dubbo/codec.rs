//! Reads requests and responses.

use super::body;
use super::header::{self, Header, Next};
use crate::{Attribute, Begun, Codec, Key, PerSide, Progress, Request, Response, Side, Sink, Status, Stream};

/// Of a request's body, looked at.
const HEAD_BYTES: u64 = 2048;
/// Messages of a side after which bytes that are none are the middle of one, not another protocol.
const PROVEN_MESSAGES: u32 = 4;

/// The state of a connection.
#[derive(Debug, Default)]
pub(super) struct DubboCodec {
    messages: PerSide<u32>,
    /// A call that nobody answers, of which the last byte has not come.
    one_way: Option<Box<OneWay>>,
    answered: Option<Answered>,
}

#[derive(Debug)]
struct OneWay {
    begun: Begun,
    name: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Answered {
    id: u64,
    first_ns: u64,
    status: u8,
}

impl Codec for DubboCodec {
    fn read(&mut self, side: Side, stream: &mut Stream, sink: &mut dyn Sink) -> Progress {
        loop {
            if stream.lacks() > 0 {
                return Progress::Wait;
            }
            match side {
                Side::Client => self.tell_one_way(stream.last_ns(), sink),
                Side::Server => self.tell_answered(stream.last_ns(), sink),
            }
            let bytes = stream.bytes();
            if bytes.is_empty() {
                return Progress::Wait;
            }
            let messages = self.messages.of(side);
            let header = match header::next(bytes) {
                Next::Header(header) => header,
                Next::Wait => return Progress::Wait,
                Next::Foreign if *messages >= PROVEN_MESSAGES => return Progress::Lost,
                Next::Foreign => return Progress::Foreign,
            };
            let is_asked = side == Side::Client && header.is_call();
            let wanted = Header::BYTES as u64 + u64::from(header.body_bytes).min(HEAD_BYTES);
            if is_asked && (bytes.len() as u64) < wanted && !stream.is_cut() {
                return Progress::Wait;
            }
            *messages = messages.saturating_add(1);
            if is_asked {
                self.ask(&header, bytes, stream.begun(), sink);
            } else if side == Side::Server && !header.is_request() && !header.is_event() {
                let first_ns = stream.time_ns();
                self.answered = Some(Answered { id: header.id, first_ns, status: header.status });
            }
            stream.skip(header.whole());
        }
    }

    fn lost(&mut self, side: Side) {
        match side {
            Side::Client => self.one_way = None,
            Side::Server => self.answered = None,
        }
    }
}

impl DubboCodec {
    fn ask(&mut self, header: &Header, bytes: &[u8], begun: Begun, sink: &mut dyn Sink) {
        let mut name = Vec::new();
        if sink.wants_details() {
            let body = bytes.get(Header::BYTES..).unwrap_or_default();
            let length = usize::try_from(header.body_bytes).unwrap_or(usize::MAX).min(body.len());
            let body = body.get(..length).unwrap_or_default();
            if let Some(names) = body::names(header.encoding, body) {
                name = [names.service, b"/", names.method].concat();
            }
        }
        if header.is_two_way() {
            let key = Key::Id(header.id);
            sink.request(&Request {
                name: &name,
                attributes: &attributes(&name),
                ..Request::new(key, begun)
            });
        } else {
            self.one_way = Some(Box::new(OneWay { begun, name }));
        }
    }

    fn tell_one_way(&mut self, last_ns: u64, sink: &mut dyn Sink) {
        let Some(call) = self.one_way.take() else { return };
        let attributes = attributes(&call.name);
        let request =
            Request { name: &call.name, attributes: &attributes, ..Request::new(Key::Order, call.begun) };
        sink.one_way(&request, Status::OK, last_ns);
    }

    fn tell_answered(&mut self, last_ns: u64, sink: &mut dyn Sink) {
        let Some(answered) = self.answered.take() else { return };
        let status = header::status(answered.status);
        let name = header::status_name(answered.status).unwrap_or_default();
        let attributes = [Attribute::text("rpc.response.status_code", name.as_bytes())];
        sink.response(&Response {
            attributes: &attributes,
            ..Response::new(Key::Id(answered.id), answered.first_ns, last_ns, status)
        });
    }
}

fn attributes(name: &[u8]) -> Vec<Attribute<'_>> {
    if name.is_empty() { Vec::new() } else { vec![Attribute::text("rpc.method", name)] }
}
