//! Reads frames.

use std::collections::BTreeMap;

use super::PROTOCOL_HEADER;
use super::channel::{Channel, Confirmation};
use super::content::{Content, Kind};
use super::frame::{self, Arguments, Frame, Method, Next};
use crate::{Begun, Codec, Key, PerSide, Progress, Request, Side, Sink, Status, Stream};

/// Of methods and properties, looked at.
const HEAD_BYTES: u32 = 4096;
/// Channels of a connection that are followed: brokers open 2,047 at most unless told otherwise.
const MAX_CHANNELS: usize = 2048;
/// Frames of a side after which bytes that are none are the middle of one, not another protocol.
const PROVEN_FRAMES: u32 = 4;

/// The state of a connection.
#[derive(Debug, Default)]
pub(super) struct RabbitCodec {
    halves: PerSide<Half>,
    channels: BTreeMap<u16, Channel>,
}

/// One direction.
#[derive(Debug, Default)]
struct Half {
    /// Whether the next frame begins where it is thought to.
    is_sure: bool,
    frames: u32,
    /// Messages that are under way, by channel.
    contents: BTreeMap<u16, Content>,
    /// One whose last frame is being passed over.
    ending: Option<(u16, Content)>,
}

impl Half {
    /// What to say of bytes that do not fit.
    fn misfit(&self) -> Progress {
        if self.frames >= PROVEN_FRAMES { Progress::Lost } else { Progress::Foreign }
    }
}

impl Codec for RabbitCodec {
    fn read(&mut self, side: Side, stream: &mut Stream, sink: &mut dyn Sink) -> Progress {
        loop {
            if stream.lacks() > 0 {
                return Progress::Wait;
            }
            if let Some((channel, content)) = self.halves.of(side).ending.take() {
                self.tell(channel, &content, stream.last_ns(), sink);
            }
            let bytes = stream.bytes();
            if let Some(first) = bytes.first()
                && *first == b'A'
            {
                match bytes.get(..PROTOCOL_HEADER.len()) {
                    Some(PROTOCOL_HEADER) => stream.skip(PROTOCOL_HEADER.len() as u64),
                    Some(_) => return self.halves.of(side).misfit(),
                    None if PROTOCOL_HEADER.starts_with(bytes) => return Progress::Wait,
                    None => return self.halves.of(side).misfit(),
                }
                continue;
            }
            let half = self.halves.of(side);
            let frame = match frame::next(bytes) {
                Next::Frame(frame) => frame,
                Next::Wait => return Progress::Wait,
                Next::Foreign => return half.misfit(),
            };
            let wanted = match frame.kind {
                frame::Kind::Method | frame::Kind::Header => frame.length.min(HEAD_BYTES),
                frame::Kind::Body | frame::Kind::Heartbeat => 0,
            };
            let is_there = frame.content.len() as u64 >= u64::from(wanted);
            if !is_there && !stream.is_cut() {
                return Progress::Wait;
            }
            if !half.is_sure {
                match fits(&frame, bytes, bytes.len() as u64 + stream.hole()) {
                    Some(true) => {}
                    Some(false) => return half.misfit(),
                    None if stream.is_cut() => return half.misfit(),
                    // Its end mark will tell.
                    None => return Progress::Wait,
                }
            }
            let is_cut = stream.is_cut() && (bytes.len() as u64) < frame.whole();
            let begun = match side {
                Side::Client => stream.begun(),
                // The place of what the broker begins names nothing.
                Side::Server => stream.time_ns().into(),
            };
            let whole = frame.whole().saturating_add(self.frame(side, &frame, is_cut, begun, sink));
            let half = self.halves.of(side);
            half.is_sure = true;
            half.frames = half.frames.saturating_add(1);
            stream.skip(whole);
        }
    }

    fn lost(&mut self, side: Side) {
        let half = self.halves.of(side);
        half.is_sure = false;
        half.contents.clear();
        half.ending = None;
        for channel in self.channels.values_mut() {
            channel.lost(side == Side::Client);
        }
    }

    fn memory_bytes(&self) -> usize {
        let under_way = self.halves.client.contents.len() + self.halves.server.contents.len();
        let channels: usize =
            self.channels.values().map(|channel| size_of::<Channel>() + channel.memory_bytes()).sum();
        under_way * 2 * size_of::<Content>() + channels
    }
}

impl RabbitCodec {
    /// Reads a frame. Bytes behind it that belong to it too.
    fn frame(
        &mut self,
        side: Side,
        frame: &Frame<'_>,
        is_cut: bool,
        begun: Begun,
        sink: &mut dyn Sink,
    ) -> u64 {
        let number = frame.channel;
        match frame.kind {
            frame::Kind::Heartbeat => {}
            frame::Kind::Method => {
                // What was under way is given up.
                self.halves.of(side).contents.remove(&number);
                let Some((method, arguments)) = frame.method() else { return 0 };
                let content = match side {
                    Side::Client => self.client_method(number, method, arguments, begun, sink),
                    Side::Server => self.server_method(number, method, arguments, begun, sink),
                };
                let contents = &mut self.halves.of(side).contents;
                if let Some(content) = content
                    && contents.len() < MAX_CHANNELS
                {
                    contents.insert(number, content);
                }
            }
            frame::Kind::Header | frame::Kind::Body => {
                let half = self.halves.of(side);
                let Some(mut content) = half.contents.remove(&number) else { return 0 };
                let is_last = match frame.kind {
                    frame::Kind::Header => {
                        frame::properties(frame.content).map(|properties| content.add_properties(&properties))
                    }
                    _ => content.add_body(u64::from(frame.length)),
                };
                match is_last {
                    Some(true) => half.ending = Some((number, content)),
                    // Where the next frames begin was not kept. Senders write a body's frames in one go.
                    Some(false) if is_cut => {
                        let rest = content.rest_in_frames(u64::from(frame.length));
                        half.ending = Some((number, content));
                        return rest;
                    }
                    Some(false) => {
                        half.contents.insert(number, content);
                    }
                    None => {}
                }
            }
        }
        0
    }

    fn channel(&mut self, number: u16) -> Option<&mut Channel> {
        if !self.channels.contains_key(&number) && self.channels.len() >= MAX_CHANNELS {
            return None;
        }
        Some(self.channels.entry(number).or_default())
    }

    /// A method of the client; a message if one begins.
    fn client_method(
        &mut self,
        number: u16,
        method: Method,
        mut arguments: Arguments<'_>,
        begun: Begun,
        sink: &mut dyn Sink,
    ) -> Option<Content> {
        match method {
            frame::CHANNEL_OPEN => {
                let channel = self.channel(number)?;
                channel.closed(number, Status::UNKNOWN, b"", sink);
                *channel = Channel::opened();
            }
            frame::CHANNEL_CLOSE => self.channel(number)?.closed(number, Status::UNKNOWN, b"", sink),
            frame::CONFIRM_SELECT => self.channel(number)?.confirms(),
            frame::CONSUME => {
                arguments.short()?;
                let (queue, tag) = (arguments.short_text()?, arguments.short_text()?);
                self.channel(number)?.consumes(queue, tag);
            }
            frame::GET => {
                arguments.short()?;
                let queue = arguments.short_text()?;
                self.channel(number)?.gets(queue);
            }
            frame::PUBLISH => {
                arguments.short();
                let exchange = arguments.short_text();
                let routing_key = arguments.short_text().unwrap_or_default();
                let is_mandatory = arguments.octet().is_some_and(|bits| bits & 1 != 0);
                let content = Content::new(Kind::Publish, begun, exchange, routing_key);
                return Some(Content { is_mandatory, ..content });
            }
            _ => {}
        }
        None
    }

    /// A method of the server; a message if one begins.
    fn server_method(
        &mut self,
        number: u16,
        method: Method,
        mut arguments: Arguments<'_>,
        begun: Begun,
        sink: &mut dyn Sink,
    ) -> Option<Content> {
        match method {
            frame::QUEUE_DECLARE_OK => {
                let queue = arguments.short_text()?;
                self.channel(number)?.declared(queue);
            }
            frame::CONSUME_OK => {
                let tag = arguments.short_text()?;
                self.channel(number)?.consumes_as(tag);
            }
            frame::DELIVER => {
                let tag = arguments.short_text().unwrap_or_default();
                arguments.long_long();
                arguments.octet();
                let exchange = arguments.short_text();
                let routing_key = arguments.short_text().unwrap_or_default();
                let queue = self.channels.get(&number).and_then(|channel| channel.queue_of(tag));
                let queue = queue.map(Into::into);
                return Some(Content { queue, ..Content::new(Kind::Deliver, begun, exchange, routing_key) });
            }
            frame::GET_OK => {
                arguments.long_long();
                arguments.octet();
                let exchange = arguments.short_text();
                let routing_key = arguments.short_text().unwrap_or_default();
                let queue = self.channels.get_mut(&number).and_then(Channel::got);
                return Some(Content { queue, ..Content::new(Kind::Get, begun, exchange, routing_key) });
            }
            frame::GET_EMPTY => {
                self.channels.get_mut(&number).and_then(Channel::got);
            }
            frame::RETURN => {
                let (_code, text) = (arguments.short()?, arguments.short_text()?);
                let (exchange, routing_key) = (arguments.short_text()?, arguments.short_text()?);
                self.channel(number)?.returned(exchange, routing_key, first_word(text));
                return Some(Content::new(Kind::Return, begun, Some(exchange), routing_key));
            }
            frame::ACK | frame::NACK => {
                let confirmation = Confirmation {
                    number: arguments.long_long()?,
                    is_multiple: arguments.octet()? & 1 != 0,
                    is_taken: method == frame::ACK,
                };
                if let Some(channel) = self.channels.get_mut(&number) {
                    channel.confirmed(number, confirmation, sink);
                }
            }
            frame::CHANNEL_CLOSE | frame::CONNECTION_CLOSE => {
                let code = arguments.short().unwrap_or_default();
                let why = first_word(arguments.short_text().unwrap_or_default());
                let status = if code == 200 { Status::UNKNOWN } else { Status::FAILED };
                let is_all = method == frame::CONNECTION_CLOSE;
                for (of, channel) in self.channels.iter_mut().filter(|(of, _)| is_all || **of == number) {
                    channel.closed(*of, status, why, sink);
                }
            }
            _ => {}
        }
        None
    }

    /// Tells of a message whose last byte came.
    fn tell(&mut self, number: u16, content: &Content, ended_ns: u64, sink: &mut dyn Sink) {
        let answered = match (content.kind, self.channels.get_mut(&number)) {
            (Kind::Return, _) => return,
            (Kind::Publish, Some(channel)) => channel.published(number, content, ended_ns, sink),
            (Kind::Publish | Kind::Deliver | Kind::Get, _) => Err(Status::OK),
        };
        let (name, attributes) =
            if sink.wants_details() { (content.name(), content.attributes()) } else { Default::default() };
        let request = Request {
            method: content.method(),
            name: &name,
            attributes: &attributes,
            ..Request::new(answered.unwrap_or(Key::Order), content.begun)
        };
        match answered {
            Ok(_) => sink.request(&request),
            Err(status) => sink.one_way(&request, status, ended_ns),
        }
    }
}

/// Whether what is thought to be a frame fits in a call of so many bytes of which nothing else is known. None when only
/// what comes can tell.
fn fits(frame: &Frame<'_>, bytes: &[u8], call_bytes: u64) -> Option<bool> {
    if frame.kind == frame::Kind::Method && !frame.has_known_method() {
        return Some(false);
    }
    match frame.has_mark(bytes) {
        Some(is_right) => {
            let rest = usize::try_from(frame.whole()).ok().and_then(|end| bytes.get(end..));
            let is_followed = !matches!(frame::next(rest.unwrap_or_default()), Next::Foreign);
            Some(is_right && is_followed)
        }
        None if frame.whole() == call_bytes => Some(true),
        None if frame.kind == frame::Kind::Method && frame.whole() < call_bytes => Some(true),
        None if frame.kind == frame::Kind::Body => Some(false),
        None => None,
    }
}

/// The name that an explanation begins with, as `NOT_FOUND`.
fn first_word(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == b' ').next().unwrap_or_default()
}
