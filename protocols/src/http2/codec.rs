//! Reads frames and makes requests and responses of them.
//!
//! A response ends with its stream. A frame whose head was not kept may have been one with fields, so the table of that
//! side is forgotten, and reading goes on at the next call in which frames follow each other.

use std::collections::{BTreeMap, BTreeSet};

use super::fields::Header;
use super::frame::{self, CONTINUATION, DATA, Frame, HEAD_BYTES, HEADERS, PREFACE, PUSH_PROMISE, RST_STREAM};
use super::grpc;
use super::head::Head;
use super::hpack::Table;
use crate::http::status_of_code;
use crate::{Attribute, Begun, Codec, Key, PerSide, Progress, Request, Response, Side, Sink, Status, Stream};

/// Fields that are longer than this in one request are not read.
const MAX_BLOCK_BYTES: usize = 32 * 1024;
/// Responses that are under way at a time.
const MAX_OPEN: usize = 4096;
/// Streams that were reset of which that is remembered.
const MAX_GIVEN_UP: usize = 1024;
/// Of a request's tag: it is a call of gRPC.
const IS_GRPC: u64 = 1;
/// As above: it may be one, since not all of its fields were read.
const MAY_BE_GRPC: u64 = 2;
/// A stream that was ended before its response was.
const RESET: Status = Status { label: "reset", is_error: true };

/// Where in its stream a side is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing was read yet.
    #[default]
    Start,
    /// Before a frame.
    Frame,
    /// Somewhere.
    Lost,
}

/// Fields that are still to be completed.
#[derive(Debug)]
struct Block {
    kind: u8,
    stream: u32,
    ends_stream: bool,
    begun: Begun,
    first_ns: u64,
    bytes: Vec<u8>,
}

#[derive(Debug, Default)]
struct Direction {
    place: Place,
    table: Table,
    block: Option<Block>,
    /// The stream that ends with the last byte that was skipped.
    ending: Option<u32>,
}

/// A response that has begun.
#[derive(Debug, Default)]
struct Open {
    code: Option<u16>,
    grpc: Option<u8>,
    /// Whether it is one of gRPC, where its fields tell.
    is_grpc: Option<bool>,
    first_ns: u64,
    last_ns: u64,
}

/// The state of a connection.
#[derive(Debug, Default)]
pub(super) struct Http2Codec {
    sides: PerSide<Direction>,
    /// The client's preface was seen.
    is_from_start: bool,
    open: BTreeMap<u32, Open>,
    /// Streams that were reset: what comes on them is of no request any more.
    given_up: BTreeSet<u32>,
    /// Of the latest request.
    last_stream: u32,
}

impl Codec for Http2Codec {
    fn read(&mut self, side: Side, stream: &mut Stream, sink: &mut dyn Sink) -> Progress {
        loop {
            if stream.lacks() > 0 {
                return Progress::Wait;
            }
            if let Some(id) = self.sides.of(side).ending.take() {
                self.ended(side, id, stream.last_ns(), sink);
            }
            if stream.bytes().is_empty() {
                // The head of the next frame was not kept.
                return if stream.hole() > 0 { Progress::Lost } else { Progress::Wait };
            }
            let outcome = match self.sides.of(side).place {
                Place::Start => self.start(side, stream),
                Place::Frame => self.frame(side, stream, sink),
                Place::Lost => self.seek(side, stream),
            };
            if let Err(progress) = outcome {
                return progress;
            }
        }
    }

    fn lost(&mut self, side: Side) {
        *self.sides.of(side) = Direction { place: Place::Lost, ..Direction::default() };
        self.sides.of(side).table.forget();
    }

    fn settle(&mut self, sink: &mut dyn Sink) {
        for (id, open) in std::mem::take(&mut self.open) {
            if open.code.is_some() {
                respond(id, &open, open.last_ns, sink);
            }
        }
    }

    fn memory_bytes(&self) -> usize {
        let of_side = |side: &Direction| {
            side.table.memory_bytes() + side.block.as_ref().map_or(0, |block| block.bytes.capacity())
        };
        of_side(&self.sides.client)
            + of_side(&self.sides.server)
            + self.open.len() * size_of::<(u32, Open)>() * 2
            + self.given_up.len() * size_of::<u32>() * 2
    }
}

impl Http2Codec {
    fn start(&mut self, side: Side, stream: &mut Stream) -> Result<(), Progress> {
        let bytes = stream.bytes();
        let compared = bytes.len().min(PREFACE.len());
        let is_preface = side == Side::Client && bytes.get(..compared) == PREFACE.get(..compared);
        if is_preface && compared < PREFACE.len() {
            return Err(if stream.is_cut() { Progress::Lost } else { Progress::Wait });
        }
        if is_preface {
            stream.skip(PREFACE.len() as u64);
            self.is_from_start = true;
            self.sides.client.place = Place::Frame;
            return Ok(());
        }
        if side == Side::Client || !self.is_from_start {
            // What was said before is not known.
            self.sides.of(side).table.forget();
            self.sides.of(side).place = Place::Lost;
        } else {
            self.sides.server.place = Place::Frame;
        }
        Ok(())
    }

    fn seek(&mut self, side: Side, stream: &mut Stream) -> Result<(), Progress> {
        if stream.bytes().len() < HEAD_BYTES && !stream.is_cut() {
            return Err(Progress::Wait);
        }
        match frame::find(stream.bytes(), stream.hole()) {
            Some(place) => {
                stream.skip(place as u64);
                self.sides.of(side).place = Place::Frame;
                Ok(())
            }
            // The body of something long may be what comes next.
            None if self.is_from_start => Err(Progress::Lost),
            None => Err(Progress::Foreign),
        }
    }

    fn frame(&mut self, side: Side, stream: &mut Stream, sink: &mut dyn Sink) -> Result<(), Progress> {
        let bytes = stream.bytes();
        let wait = if stream.is_cut() { Progress::Lost } else { Progress::Wait };
        let Some(frame) = Frame::read(bytes) else { return Err(wait) };
        if !frame.is_possible() {
            return Err(Progress::Foreign);
        }
        let payload = bytes.get(HEAD_BYTES..).unwrap_or_default();
        let total = (HEAD_BYTES + frame.length) as u64;
        if frame.has_block() {
            let is_whole = payload.len() >= frame.length;
            if !is_whole && !stream.is_cut() && frame.length <= MAX_BLOCK_BYTES {
                return Err(Progress::Wait);
            }
            let payload = payload.get(..frame.length).unwrap_or(payload);
            self.fields(side, &frame, payload, is_whole, stream, sink);
        } else if frame.kind == RST_STREAM {
            if payload.len() < frame.length {
                return Err(wait);
            }
            let is_error = payload.get(..4) != Some(&[0; 4]);
            stream.skip(total);
            self.reset(frame.stream, is_error, stream.last_ns(), sink);
            return Ok(());
        } else if frame.kind == DATA
            && side == Side::Server
            && let Some(open) = self.open.get_mut(&frame.stream)
        {
            open.last_ns = stream.time_ns();
        }
        if frame.kind == DATA && frame.ends_stream() {
            self.sides.of(side).ending = Some(frame.stream);
        }
        stream.skip(total);
        Ok(())
    }

    /// Takes the fields of a frame, and reads them when they are complete.
    fn fields(
        &mut self,
        side: Side,
        frame: &Frame,
        payload: &[u8],
        is_whole: bool,
        stream: &Stream,
        sink: &mut dyn Sink,
    ) {
        let prefix = frame.prefix_bytes();
        let end = frame.length.saturating_sub(frame.padding_bytes(payload)).min(payload.len());
        let fields = payload.get(prefix..end).unwrap_or_default();
        let direction = self.sides.of(side);
        let mut block = match direction.block.take() {
            Some(block) if frame.kind == CONTINUATION && block.stream == frame.stream => block,
            before => {
                if before.is_some() || frame.kind == CONTINUATION {
                    // Others were missed.
                    direction.table.forget();
                }
                if frame.kind == CONTINUATION {
                    return;
                }
                Block {
                    kind: frame.kind,
                    stream: frame.stream,
                    ends_stream: frame.ends_stream(),
                    begun: stream.begun(),
                    first_ns: stream.time_ns(),
                    bytes: Vec::new(),
                }
            }
        };
        block.bytes.extend_from_slice(fields);
        let is_too_long = block.bytes.len() > MAX_BLOCK_BYTES;
        if is_whole && !frame.ends_headers() && !is_too_long {
            direction.block = Some(block);
            return;
        }
        let mut head = Head { is_whole: is_whole && frame.ends_headers(), ..Head::default() };
        let outcome = direction.table.read(&block.bytes, |header, value| {
            head.has_pseudo |= header.is_pseudo();
            head.has_unknown |= header == Header::Unknown;
            if let Some(value) = value.filter(|_| header.is_wanted()) {
                head.values.push((header, value.to_vec()));
            }
        });
        if outcome.is_err() || !head.is_whole {
            head.is_whole = false;
            direction.table.forget();
        }
        if block.kind == PUSH_PROMISE {
            return;
        }
        match side {
            Side::Client => self.request(&block, &head, sink),
            Side::Server => self.response(&block, &head, sink),
        }
        if block.kind == HEADERS && block.ends_stream {
            self.sides.of(side).ending = Some(block.stream);
        }
    }

    fn request(&mut self, block: &Block, head: &Head, sink: &mut dyn Sink) {
        // Others are behind the body of an earlier one.
        if block.stream <= self.last_stream || !head.has_pseudo {
            return;
        }
        self.last_stream = block.stream;
        let method = head.get(Header::Method);
        let target = head.get(Header::Path);
        let (is_grpc, tag) = match head.is_grpc() {
            Some(true) => (true, IS_GRPC),
            Some(false) => (false, 0),
            None => (false, MAY_BE_GRPC),
        };
        let question = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
        let (path, query) = target.split_at(question);
        let authority = match head.get(Header::Authority) {
            b"" => head.get(Header::Host),
            authority => authority,
        };
        let (system, call) = match is_grpc {
            true => (&b"grpc"[..], path.strip_prefix(b"/").unwrap_or(path)),
            false => (&b""[..], &b""[..]),
        };
        let all = [
            Attribute::text("http.request.method", method),
            Attribute::text("url.path", path),
            Attribute::text("url.query", query.get(1..).unwrap_or_default()),
            Attribute::text("server.address", authority),
            Attribute::text("user_agent.original", head.get(Header::UserAgent)),
            Attribute::text("network.protocol.version", b"2"),
            Attribute::text("rpc.system.name", system),
            Attribute::text("rpc.method", call),
            Attribute::text("traceparent", head.get(Header::Traceparent)),
            Attribute::text("b3", head.get(Header::B3)),
            Attribute::text("x-b3-traceid", head.get(Header::B3TraceId)),
            Attribute::text("x-b3-spanid", head.get(Header::B3SpanId)),
            Attribute::text("x-b3-sampled", head.get(Header::B3Sampled)),
        ];
        let said: Vec<Attribute<'_>> = match sink.wants_details() {
            true => all.into_iter().filter(|one| one.value != crate::Value::Text(b"")).collect(),
            false => Vec::new(),
        };
        // Of a head that was not read whole no place is told: the other end may know its trace context.
        let begun = if head.is_whole { block.begun } else { block.begun.time_ns.into() };
        let key = Key::Id(block.stream.into());
        let name = match tag {
            IS_GRPC => call,
            MAY_BE_GRPC => b"",
            _ => method,
        };
        sink.request(&Request { tag, name, attributes: &said, ..Request::new(key, begun) });
    }

    fn response(&mut self, block: &Block, head: &Head, sink: &mut dyn Sink) {
        let code: Option<u16> = head.number(Header::Status);
        if code.is_some_and(|code| code < 200) {
            // It announces the response.
            return;
        }
        let is_waited_for = sink.pending(Key::Id(block.stream.into())).is_some();
        if !is_waited_for && !self.open.contains_key(&block.stream) {
            // Of a request that was given up it was on its way already; of trailers the head was missed.
            if self.given_up.contains(&block.stream) || !head.has_pseudo {
                return;
            }
        }
        if self.open.len() >= MAX_OPEN
            && let Some((id, open)) = self.open.pop_first()
        {
            respond(id, &open, open.last_ns, sink);
        }
        let open = self
            .open
            .entry(block.stream)
            .or_insert_with(|| Open { first_ns: block.first_ns, ..Open::default() });
        open.code = open.code.or(code);
        open.is_grpc = open.is_grpc.or(head.is_grpc().filter(|_| head.has_pseudo));
        open.grpc = head.number(Header::GrpcStatus).or(open.grpc);
        open.last_ns = block.first_ns;
    }

    /// The last byte of one side's stream was read.
    fn ended(&mut self, side: Side, id: u32, last_ns: u64, sink: &mut dyn Sink) {
        if side == Side::Client {
            return;
        }
        match self.open.remove(&id) {
            Some(open) => respond(id, &open, last_ns, sink),
            None if sink.pending(Key::Id(id.into())).is_some() => {
                respond(id, &Open { first_ns: last_ns, ..Open::default() }, last_ns, sink);
            }
            None => {}
        }
    }

    fn reset(&mut self, id: u32, is_error: bool, last_ns: u64, sink: &mut dyn Sink) {
        let open = self.open.remove(&id);
        let key = Key::Id(id.into());
        self.given_up.insert(id);
        if self.given_up.len() > MAX_GIVEN_UP {
            self.given_up.pop_first();
        }
        if sink.pending(key).is_none() {
            return;
        }
        match open {
            Some(open) if !is_error => respond(id, &open, last_ns, sink),
            _ => sink.skipped(key, RESET, last_ns),
        }
    }
}

fn respond(id: u32, open: &Open, last_ns: u64, sink: &mut dyn Sink) {
    let key = Key::Id(id.into());
    let tag = sink.pending(key).unwrap_or_default();
    let may_be_grpc = match open.is_grpc {
        Some(is_grpc) => is_grpc || tag & IS_GRPC != 0,
        None => tag != 0,
    };
    let of_http = open.code.map_or(Status::UNKNOWN, status_of_code);
    let status = match open.grpc {
        Some(code) => grpc::status(code),
        // It is in fields that were not read.
        None if may_be_grpc && !of_http.is_error => Status::UNKNOWN,
        None => of_http,
    };
    let code = open.code.map(|code| Attribute::integer("http.response.status_code", code.into()));
    let grpc = open.grpc.map(|code| Attribute::text("rpc.response.status_code", grpc::name(code).as_bytes()));
    let attributes: Vec<Attribute<'_>> = code.into_iter().chain(grpc).collect();
    sink.response(&Response {
        attributes: &attributes,
        ..Response::new(key, open.first_ns, last_ns, status)
    });
}
