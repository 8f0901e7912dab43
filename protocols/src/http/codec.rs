//! Reads requests and responses.

use super::head::{self, FirstLine};
use crate::{Attribute, Begun, Codec, Key, PerSide, Progress, Request, Response, Side, Sink, Status, Stream};

/// A head that is longer than this and not over is none.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// A line with a chunk's length that is longer is none.
const MAX_CHUNK_LINE_BYTES: usize = 4096;

/// Of a request's tag: the response has no body whatever it says.
const TO_HEAD: u64 = 1;
/// As above: a response of success opens a tunnel.
const TO_CONNECT: u64 = 2;

/// Where in its stream a side is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before a message.
    #[default]
    Head,
    /// In a body whose length is known: it is skipped.
    Body,
    /// Before the line with the length of a chunk.
    ChunkLength,
    /// In a chunk: it is skipped.
    Chunk,
    /// In the lines behind the last chunk.
    Trailers,
    /// In a body of unknown length, or one whose lengths were not kept: a call that begins a message ends it.
    Unframed,
}

/// The state of a connection.
#[derive(Debug, Default)]
pub(super) struct HttpCodec {
    places: PerSide<Place>,
    /// The response that is being read: its code and when it began.
    open: Option<(u16, u64)>,
    /// It is another protocol's connection now.
    is_tunnel: bool,
}

impl Codec for HttpCodec {
    fn read(&mut self, side: Side, stream: &mut Stream, sink: &mut dyn Sink) -> Progress {
        loop {
            if self.is_tunnel {
                stream.skip(stream.bytes().len() as u64 + stream.hole());
                return Progress::Wait;
            }
            if stream.lacks() > 0 {
                return Progress::Wait;
            }
            match *self.places.of(side) {
                Place::Body => self.end(side, stream.last_ns(), sink),
                Place::Chunk => *self.places.of(side) = Place::ChunkLength,
                _ if stream.bytes().is_empty() => {
                    // Where the length of a chunk was not kept, the end of the body is not known.
                    let is_lost = stream.is_cut() && *self.places.of(side) != Place::Head;
                    if is_lost {
                        self.unframed(side, stream, sink);
                        continue;
                    }
                    return Progress::Wait;
                }
                Place::Head => match self.head(side, stream, sink) {
                    Ok(()) => {}
                    Err(progress) => return progress,
                },
                Place::ChunkLength => match self.chunk_length(side, stream, sink) {
                    Ok(()) => {}
                    Err(progress) => return progress,
                },
                Place::Trailers => match self.trailers(side, stream, sink) {
                    Ok(()) => {}
                    Err(progress) => return progress,
                },
                Place::Unframed => match head::first_line(stream.bytes()) {
                    FirstLine::Request { .. } if side == Side::Client => *self.places.of(side) = Place::Head,
                    FirstLine::Status { .. } if side == Side::Server => *self.places.of(side) = Place::Head,
                    _ => stream.skip(stream.bytes().len() as u64 + stream.hole()),
                },
            }
        }
    }

    fn lost(&mut self, side: Side) {
        *self.places.of(side) = Place::Head;
        if side == Side::Server {
            self.open = None;
        }
    }
}

impl HttpCodec {
    fn head(&mut self, side: Side, stream: &mut Stream, sink: &mut dyn Sink) -> Result<(), Progress> {
        let bytes = stream.bytes();
        let first = head::first_line(bytes);
        match (side, first) {
            (Side::Client, FirstLine::Request { .. }) | (Side::Server, FirstLine::Status { .. }) => {}
            (_, FirstLine::Cut) if !stream.is_cut() => return Err(Progress::Wait),
            _ => return Err(Progress::Foreign),
        }
        let length = head::length(bytes);
        if length.is_none() && !stream.is_cut() {
            return Err(if bytes.len() > MAX_HEAD_BYTES { Progress::Foreign } else { Progress::Wait });
        }
        let head = bytes.get(..length.unwrap_or(bytes.len())).unwrap_or_default();
        let headers = head::headers(head);
        let (has_body, is_whole) = match first {
            FirstLine::Request { method, target, minor_version, .. } => {
                let begun = match length {
                    Some(_) => stream.begun(),
                    // A trace context may be in what was not kept, and in what the other end kept of it: then they
                    // would name each other's spans in different traces.
                    None => stream.time_ns().into(),
                };
                request(method, target, minor_version, &headers, begun, sink);
                (true, length.is_some())
            }
            FirstLine::Status { code, .. } => {
                let tag = sink.pending(Key::Order).unwrap_or_default();
                if code == 101 || (tag & TO_CONNECT != 0 && (200..300).contains(&code)) {
                    self.open = Some((code, stream.time_ns()));
                    self.is_tunnel = true;
                } else if code >= 200 {
                    self.open = Some((code, stream.time_ns()));
                }
                let has_body = code >= 200 && code != 204 && code != 304 && tag & TO_HEAD == 0;
                (has_body, length.is_some())
            }
            _ => return Err(Progress::Foreign),
        };
        let (content_length, is_chunked) = (headers.content_length, headers.is_chunked);
        let is_final = side == Side::Client || self.open.is_some();
        let length = head.len() as u64;
        let next = match (has_body, is_chunked, content_length) {
            (false, ..) => Place::Body,
            (true, true, _) => Place::ChunkLength,
            (true, false, Some(_)) => Place::Body,
            // A request without a length has no body; a response ends with the connection.
            (true, false, None) if side == Side::Client => Place::Body,
            (true, false, None) => Place::Unframed,
        };
        if !is_whole {
            self.unframed(side, stream, sink);
            return Ok(());
        }
        stream.skip(length);
        if self.is_tunnel {
            // What follows is not HTTP's.
            self.end(side, stream.last_ns(), sink);
            return Ok(());
        }
        if !is_final {
            // 100 and its like announce the response.
            return Ok(());
        }
        match next {
            Place::Body => {
                stream.skip(if has_body { content_length.unwrap_or_default() } else { 0 });
                *self.places.of(side) = Place::Body;
            }
            Place::Unframed => self.unframed(side, stream, sink),
            next => *self.places.of(side) = next,
        }
        Ok(())
    }

    fn chunk_length(&mut self, side: Side, stream: &mut Stream, sink: &mut dyn Sink) -> Result<(), Progress> {
        let bytes = stream.bytes();
        let Some(end) = bytes.iter().take(MAX_CHUNK_LINE_BYTES).position(|byte| *byte == b'\n') else {
            if stream.is_cut() {
                self.unframed(side, stream, sink);
                return Ok(());
            }
            return Err(if bytes.len() >= MAX_CHUNK_LINE_BYTES { Progress::Foreign } else { Progress::Wait });
        };
        let line = bytes.get(..end).unwrap_or_default();
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let size = std::str::from_utf8(digits).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let Some(size) = size else { return Err(Progress::Foreign) };
        stream.skip(end as u64 + 1);
        if size == 0 {
            *self.places.of(side) = Place::Trailers;
        } else {
            stream.skip(size.saturating_add(2));
            *self.places.of(side) = Place::Chunk;
        }
        Ok(())
    }

    fn trailers(&mut self, side: Side, stream: &mut Stream, sink: &mut dyn Sink) -> Result<(), Progress> {
        let bytes = stream.bytes();
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            if stream.is_cut() {
                self.unframed(side, stream, sink);
                return Ok(());
            }
            return Err(if bytes.len() > MAX_HEAD_BYTES { Progress::Foreign } else { Progress::Wait });
        };
        let is_last = bytes.get(..end).is_some_and(|line| line.trim_ascii().is_empty());
        stream.skip(end as u64 + 1);
        if is_last {
            self.end(side, stream.last_ns(), sink);
        }
        Ok(())
    }

    /// The end of the body will not be seen: the message ends with this call, and the next begins with some later one.
    fn unframed(&mut self, side: Side, stream: &mut Stream, sink: &mut dyn Sink) {
        stream.skip(stream.bytes().len() as u64 + stream.hole());
        self.end(side, stream.last_ns(), sink);
        *self.places.of(side) = Place::Unframed;
    }

    fn end(&mut self, side: Side, last_ns: u64, sink: &mut dyn Sink) {
        *self.places.of(side) = Place::Head;
        if side == Side::Client {
            return;
        }
        let Some((code, first_ns)) = self.open.take() else { return };
        let attributes = [Attribute::integer("http.response.status_code", i64::from(code))];
        sink.response(&Response {
            attributes: &attributes,
            ..Response::new(Key::Order, first_ns, last_ns, status(code))
        });
    }
}

/// The class of a status code.
pub(crate) fn status(code: u16) -> Status {
    let label = match code / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => return Status::UNKNOWN,
    };
    Status { label, is_error: code >= 400 }
}

fn request(
    method: &[u8],
    target: &[u8],
    minor_version: u8,
    headers: &head::Headers<'_>,
    begun: Begun,
    sink: &mut dyn Sink,
) {
    let tag = match method {
        b"HEAD" => TO_HEAD,
        b"CONNECT" => TO_CONNECT,
        _ => 0,
    };
    let question = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
    let (path, query) = target.split_at(question);
    let version: &[u8] = if minor_version == 0 { b"1.0" } else { b"1.1" };
    let all = [
        Attribute::text("http.request.method", method),
        Attribute::text("url.path", path),
        Attribute::text("url.query", query.get(1..).unwrap_or_default()),
        Attribute::text("server.address", headers.host),
        Attribute::text("user_agent.original", headers.user_agent),
        Attribute::text("network.protocol.version", version),
        Attribute::text("traceparent", headers.traceparent),
        Attribute::text("b3", headers.b3),
        Attribute::text("x-b3-traceid", headers.b3_trace_id),
        Attribute::text("x-b3-spanid", headers.b3_span_id),
        Attribute::text("x-b3-sampled", headers.b3_sampled),
    ];
    let said: Vec<Attribute<'_>> = match sink.wants_details() {
        true => all.into_iter().filter(|one| one.value != crate::Value::Text(b"")).collect(),
        false => Vec::new(),
    };
    sink.request(&Request { tag, name: method, attributes: &said, ..Request::new(Key::Order, begun) });
}
