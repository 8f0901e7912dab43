//! Reads requests and responses.

use std::collections::VecDeque;

use super::apis::{self, Api};
use super::findings::{Findings, TopicId, text_of_id};
use super::header::{Header, Judgement, judge};
use super::layout::{Cursor, Found, Walked};
use super::{errors, message_length};
use crate::{Attribute, Begun, Codec, Key, Progress, Request, Response, Side, Sink, Status, Stream};

/// Of a message, looked at: what is behind it is passed over.
const HEAD_BYTES: u64 = 16 * 1024;
/// Topics whose identifiers are remembered, of one connection: at most 70 KB with their names.
const MAX_TOPICS: usize = 256;
/// A longer token of an authentication is none.
const MAX_TOKEN_BYTES: u64 = 512 * 1024;
/// Messages of a side after which bytes that fit nothing are the middle of a message, not another protocol.
const PROVEN_MESSAGES: u32 = 4;

/// Identifiers of responses that follow each other differ by no more: clients count.
const MAX_APART: u32 = 4096;

const DESTINATION: &str = "messaging.destination.name";

/// Not an error but a step: who joins a group is told under which name to do it again.
const MEMBER_ID_REQUIRED: i16 = 79;

/// In a request's tag: it says itself which topic it is about.
const HAS_TOPIC: u64 = 1 << 32;

/// The state of a connection.
#[derive(Debug, Default)]
pub(super) struct KafkaCodec {
    client: Place,
    server: Place,
    /// A produce request without a response, until its last byte came.
    produced: Option<Box<Asked>>,
    answered: Option<Box<Answered>>,
    /// After SaslHandshake version 0, tokens go without headers until the next request.
    is_raw: bool,
    topics: VecDeque<(TopicId, Box<[u8]>)>,
}

/// Whether the next message of a side begins where it is thought to.
#[derive(Debug, Default, Clone, Copy)]
struct Place {
    is_sure: bool,
    messages: u32,
}

impl Place {
    fn read(&mut self) {
        self.is_sure = true;
        self.messages = self.messages.saturating_add(1);
    }

    /// What to say of bytes that do not fit.
    fn misfit(self) -> Progress {
        if self.messages >= PROVEN_MESSAGES { Progress::Lost } else { Progress::Foreign }
    }
}

#[derive(Debug)]
struct Asked {
    begun: Begun,
    name: Vec<u8>,
    client: Box<[u8]>,
    topic: Option<Topic>,
}

/// What is said of a topic: an attribute's name and its value.
type Topic = (&'static str, Box<[u8]>);

#[derive(Debug)]
struct Answered {
    key: Key,
    first_ns: u64,
    status: Status,
    error: Option<i16>,
    topic: Option<Topic>,
}

impl Codec for KafkaCodec {
    fn read(&mut self, side: Side, stream: &mut Stream, sink: &mut dyn Sink) -> Progress {
        loop {
            if stream.lacks() > 0 {
                return Progress::Wait;
            }
            let step = match side {
                Side::Client => {
                    self.tell_produced(stream.last_ns(), sink);
                    self.read_request(stream, sink)
                }
                Side::Server => {
                    self.tell_answered(stream.last_ns(), sink);
                    self.read_response(stream, sink)
                }
            };
            if let Some(progress) = step {
                return progress;
            }
        }
    }

    fn lost(&mut self, side: Side) {
        match side {
            Side::Client => {
                self.client.is_sure = false;
                self.produced = None;
            }
            Side::Server => {
                self.server.is_sure = false;
                self.answered = None;
            }
        }
    }

    fn memory_bytes(&self) -> usize {
        self.topics.capacity() * size_of::<(TopicId, Box<[u8]>)>()
            + self.topics.iter().map(|(_, name)| name.len()).sum::<usize>()
    }
}

impl KafkaCodec {
    /// Reads a request. None when it is read.
    fn read_request(&mut self, stream: &mut Stream, sink: &mut dyn Sink) -> Option<Progress> {
        let bytes = stream.bytes();
        if bytes.len() < 4 {
            return Some(Progress::Wait);
        }
        let Some(length) = message_length(bytes) else { return Some(self.client.misfit()) };
        let body = within(bytes, length);
        let has_all = body.len() as u64 == length || stream.is_cut();
        let header = match Header::read(body, length) {
            Ok(header) => header,
            Err(Walked::Short) if !has_all => return Some(Progress::Wait),
            Err(_) if self.is_raw && length <= MAX_TOKEN_BYTES => {
                stream.skip(4 + length);
                return None;
            }
            Err(Walked::Short) if self.client.is_sure => {
                stream.skip(4 + length);
                return None;
            }
            Err(_) => return Some(self.client.misfit()),
        };
        if (body.len() as u64) < length.min(HEAD_BYTES) && !has_all {
            return Some(Progress::Wait);
        }
        if !self.client.is_sure && judge(body, length) == Judgement::Other {
            return Some(self.client.misfit());
        }
        let mut findings = Findings::default();
        if header.is_known() {
            header.walk(body, length, &mut |found| findings.add(found));
        }
        self.is_raw = header.key == apis::SASL_HANDSHAKE && header.version == 0;
        self.ask(&header, &findings, stream.begun(), sink);
        self.client.read();
        stream.skip(4 + length);
        None
    }

    fn ask(&mut self, header: &Header<'_>, findings: &Findings<'_>, begun: Begun, sink: &mut dyn Sink) {
        let topic = if sink.wants_details() { self.topic_of(findings) } else { None };
        let mut tag =
            (u64::from(header.key.cast_unsigned()) << 16) | u64::from(header.version.cast_unsigned());
        if findings.topic.is_some() || findings.topic_id.is_some() {
            tag |= HAS_TOPIC;
        }
        let is_unanswered = header.key == apis::PRODUCE && findings.acks == Some(0);
        let mut name = Vec::new();
        if sink.wants_details() {
            name.extend_from_slice(header.api.name.as_bytes());
            if let Some((DESTINATION, topic)) = &topic
                && header.key == apis::PRODUCE
            {
                name.push(b' ');
                name.extend_from_slice(topic);
            }
        }
        if is_unanswered {
            self.produced = Some(Box::new(Asked { begun, name, client: header.client.into(), topic }));
            return;
        }
        let mut attributes = Vec::new();
        if sink.wants_details() {
            attributes.push(Attribute::text("messaging.operation.name", header.api.name.as_bytes()));
            if let Some(kind) = operation_type(header.key) {
                attributes.push(Attribute::text("messaging.operation.type", kind.as_bytes()));
            }
            if !header.client.is_empty() {
                attributes.push(Attribute::text("messaging.client.id", header.client));
            }
            if let Some(group) = findings.group {
                attributes.push(Attribute::text("messaging.consumer.group.name", group));
            }
            if let Some((key, topic)) = &topic {
                attributes.push(Attribute::text(key, topic));
            }
        }
        let key = Key::Id(u64::from(header.correlation));
        sink.request(&Request { tag, name: &name, attributes: &attributes, ..Request::new(key, begun) });
    }

    fn tell_produced(&mut self, last_ns: u64, sink: &mut dyn Sink) {
        let Some(asked) = self.produced.take() else { return };
        let mut attributes = vec![
            Attribute::text("messaging.operation.name", b"Produce"),
            Attribute::text("messaging.operation.type", b"send"),
        ];
        if !asked.client.is_empty() {
            attributes.push(Attribute::text("messaging.client.id", &asked.client));
        }
        if let Some((key, topic)) = &asked.topic {
            attributes.push(Attribute::text(key, topic));
        }
        let request = Request {
            name: &asked.name,
            attributes: if sink.wants_details() { &attributes } else { &[] },
            ..Request::new(Key::Order, asked.begun)
        };
        sink.one_way(&request, Status::OK, last_ns);
    }

    /// Reads a response. None when it is read.
    fn read_response(&mut self, stream: &mut Stream, sink: &mut dyn Sink) -> Option<Progress> {
        let bytes = stream.bytes();
        if bytes.len() < 4 {
            return Some(Progress::Wait);
        }
        let Some(length) = message_length(bytes) else { return Some(self.server.misfit()) };
        if length < 4 {
            // A mechanism's last token may be empty.
            if self.is_raw {
                stream.skip(4 + length);
                return None;
            }
            return Some(self.server.misfit());
        }
        let body = within(bytes, length);
        let Some(correlation) = body.get(..4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes)
        else {
            if !stream.is_cut() {
                return Some(Progress::Wait);
            }
            if !self.server.is_sure {
                return Some(self.server.misfit());
            }
            stream.skip(4 + length);
            return None;
        };
        let key = Key::Id(u64::from(correlation));
        let tag = sink.pending(key);
        if tag.is_none() {
            if self.is_raw {
                stream.skip(4 + length);
                return None;
            }
            // Nothing else speaks for it being a message than its end being that of the call.
            if !self.server.is_sure && 4 + length != bytes.len() as u64 + stream.hole() {
                return Some(self.server.misfit());
            }
        } else if (body.len() as u64) < length.min(HEAD_BYTES) && !stream.is_cut() {
            return Some(Progress::Wait);
        }
        let is_followed = is_followed(bytes, length, stream.hole(), correlation);
        let (answered, is_right) =
            self.answer(key, tag, body, length, stream.time_ns(), sink.wants_details());
        // Behind a loss a known identifier may be chance.
        let fits = is_followed && is_right;
        if !fits && !self.server.is_sure {
            return Some(self.server.misfit());
        }
        self.answered = Some(Box::new(answered));
        self.server.read();
        stream.skip(4 + length);
        None
    }

    /// What a response says, and whether that is possible.
    fn answer(
        &mut self,
        key: Key,
        tag: Option<u64>,
        body: &[u8],
        length: u64,
        first_ns: u64,
        wants_details: bool,
    ) -> (Answered, bool) {
        let mut is_right = true;
        let mut answered = Answered { key, first_ns, status: Status::UNKNOWN, error: None, topic: None };
        if let Some(tag) = tag
            && let Some((number, version, api)) = untag(tag)
            && version <= api.newest
        {
            let mut findings = Findings::default();
            let walked = self.walk_response(body, length, (number, version, api), &mut findings);
            if walked == Walked::Wrong {
                return (answered, false);
            }
            findings.error = findings.error.filter(|code| *code != MEMBER_ID_REQUIRED);
            is_right = findings.error.is_none_or(|code| errors::name(code).is_some());
            answered.error = findings.error;
            answered.status = match (findings.error, walked) {
                (Some(_), _) => Status::FAILED,
                (None, Walked::Short) => Status::UNKNOWN,
                (None, _) => Status::OK,
            };
            // The answer to a fetch says what was fetched where the session knew what to fetch.
            if wants_details && tag & HAS_TOPIC == 0 && matches!(number, apis::FETCH | apis::SHARE_FETCH) {
                answered.topic = self.topic_of(&findings);
            }
        }
        (answered, is_right)
    }

    fn walk_response<'bytes>(
        &mut self,
        body: &'bytes [u8],
        length: u64,
        (number, version, api): (i16, i16, &'static Api),
        findings: &mut Findings<'bytes>,
    ) -> Walked {
        let is_flexible = api.is_flexible(version);
        let mut cursor = Cursor { bytes: body, at: 4, length, version, is_flexible };
        // For a client that does not know the versions yet, the header of this one answer stays as it was.
        if is_flexible
            && number != apis::API_VERSIONS
            && let Err(ended) = cursor.tagged()
        {
            return ended;
        }
        let is_metadata = number == apis::METADATA;
        let mut last: Option<&[u8]> = None;
        let mut learnt = Vec::new();
        let walked = cursor.walk(api.response, false, &mut |found| {
            match found {
                Found::Topic(name) if is_metadata => last = Some(name),
                Found::TopicId(id) if is_metadata => {
                    if let Some(name) = last.take()
                        && id != [0; 16]
                    {
                        learnt.push((id, name));
                    }
                }
                _ => {}
            }
            findings.add(found);
        });
        if walked != Walked::Wrong {
            for (id, name) in learnt {
                self.learn(id, name);
            }
        }
        walked
    }

    fn learn(&mut self, id: TopicId, name: &[u8]) {
        if self.topic(id).is_some() {
            return;
        }
        if self.topics.len() >= MAX_TOPICS {
            self.topics.pop_front();
        }
        self.topics.push_back((id, name.into()));
    }

    /// The one topic that a message is about: its name where it is known, else its identifier.
    fn topic_of(&self, findings: &Findings<'_>) -> Option<Topic> {
        if let Some(name) = findings.topic {
            return Some((DESTINATION, name.into()));
        }
        let id = findings.topic_id?;
        Some(match self.topic(id) {
            Some(name) => (DESTINATION, name.into()),
            None => ("messaging.kafka.topic.id", text_of_id(id).as_slice().into()),
        })
    }

    fn topic(&self, id: TopicId) -> Option<&[u8]> {
        self.topics.iter().find(|(known, _)| *known == id).map(|(_, name)| &**name)
    }

    fn tell_answered(&mut self, last_ns: u64, sink: &mut dyn Sink) {
        let Some(answered) = self.answered.take() else { return };
        let number;
        let mut attributes = Vec::new();
        if let Some((key, topic)) = &answered.topic {
            attributes.push(Attribute::text(key, topic));
        }
        if let Some(code) = answered.error {
            number = code.to_string();
            let error = errors::name(code).unwrap_or(&number);
            attributes.push(Attribute::text("error.type", error.as_bytes()));
        }
        sink.response(&Response {
            attributes: &attributes,
            ..Response::new(answered.key, answered.first_ns, last_ns, answered.status)
        });
    }
}

/// Whether behind a response comes the end of the call, or what may be the next response, as far as can be seen.
fn is_followed(bytes: &[u8], length: u64, hole: u64, correlation: u32) -> bool {
    let end = 4 + length;
    if end >= bytes.len() as u64 + hole {
        return true;
    }
    let next = usize::try_from(end).ok().and_then(|end| bytes.get(end..)).unwrap_or_default();
    let Some(number) = next.get(4..8).and_then(|next| next.try_into().ok()).map(u32::from_be_bytes) else {
        return true;
    };
    message_length(next).is_some_and(|length| length > 4) && number.abs_diff(correlation) <= MAX_APART
}

/// What is there of a message's body, behind its length.
fn within(bytes: &[u8], length: u64) -> &[u8] {
    let there = bytes.get(4..).unwrap_or_default();
    let end = usize::try_from(length).unwrap_or(usize::MAX).min(there.len());
    there.get(..end).unwrap_or_default()
}

fn untag(tag: u64) -> Option<(i16, i16, &'static Api)> {
    let number = i16::try_from((tag >> 16) & 0xffff).ok()?;
    let version = i16::try_from(tag & 0xffff).ok()?;
    Some((number, version, apis::find(number)?))
}

fn operation_type(api: i16) -> Option<&'static str> {
    match api {
        apis::PRODUCE => Some("send"),
        apis::FETCH | apis::SHARE_FETCH => Some("receive"),
        apis::OFFSET_COMMIT | apis::SHARE_ACKNOWLEDGE => Some("settle"),
        _ => None,
    }
}
