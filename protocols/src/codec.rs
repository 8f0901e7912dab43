//! What a protocol's codec is given and what it says.

use std::net::IpAddr;

use crate::{Begun, Stream};

/// Which peer sent the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// Who connected: requests.
    Client,
    /// Who accepted: responses.
    Server,
}

impl Side {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// Something that both sides have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PerSide<T> {
    /// The client's.
    pub client: T,
    /// The server's.
    pub server: T,
}

impl<T> PerSide<T> {
    /// That of one side.
    pub fn of(&mut self, side: Side) -> &mut T {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }
}

/// Why a codec stopped reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// All whole messages are read.
    Wait,
    /// The place of the next message is not known any more. The stream goes on at the next call, after [`Codec::lost`].
    Lost,
    /// No message of this protocol begins like this.
    Foreign,
}

/// Reads the messages of one connection. It has the state of the protocol; pairing and time are not its business.
pub trait Codec: Send {
    /// Reads messages off the front of the stream of `side` until it must wait. Called after every call of the
    /// application, also when all of its bytes were skipped: the end of a skipped message may have come.
    fn read(&mut self, side: Side, stream: &mut Stream, sink: &mut dyn Sink) -> Progress;

    /// Bytes of `side` are missing: what it has read of an unfinished message is void. Its next bytes are the
    /// beginning of a later call, often but not always that of a message; [`Progress::Foreign`] passes over a call.
    fn lost(&mut self, side: Side);

    /// Nothing more comes, or nothing came for long: what can only be told for certain with the next request is told.
    fn settle(&mut self, _sink: &mut dyn Sink) {}

    /// Memory that it holds beyond its own size, bytes.
    fn memory_bytes(&self) -> usize {
        0
    }
}

/// What belongs together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// Responses come in the order of the requests.
    Order,
    /// They say which one they answer.
    Id(u64),
    /// They say which one they answer by a number that is taken again as soon as it is free: after a gap it says nothing.
    Slot(u64),
}

/// What the request does, where metrics tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Method {
    /// Nothing of the below.
    #[default]
    Request,
    /// A message goes to a broker.
    Produce,
    /// A message comes from a broker.
    Consume,
}

/// How it ended, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Status {
    /// Value of the label `status`.
    pub label: &'static str,
    /// Whether the request failed.
    pub is_error: bool,
}

impl Status {
    /// It succeeded.
    pub const OK: Self = Self { label: "ok", is_error: false };
    /// It failed.
    pub const FAILED: Self = Self { label: "failed", is_error: true };
    /// The bytes that say it were not kept.
    pub const UNKNOWN: Self = Self { label: "unknown", is_error: false };
}

/// A value of an attribute. Text may be anything; what is not UTF-8 is replaced when it is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'bytes> {
    /// Text.
    Text(&'bytes [u8]),
    /// A number.
    Integer(i64),
}

/// Something about a request or response, named as in OpenTelemetry's semantic conventions where they name it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attribute<'bytes> {
    /// Name.
    pub key: &'static str,
    /// Value.
    pub value: Value<'bytes>,
}

impl<'bytes> Attribute<'bytes> {
    /// A text.
    pub fn text(key: &'static str, value: &'bytes [u8]) -> Self {
        Self { key, value: Value::Text(value) }
    }

    /// A number.
    pub fn integer(key: &'static str, value: i64) -> Self {
        Self { key, value: Value::Integer(value) }
    }
}

/// A request, once all that is wanted of it is read.
#[derive(Debug, Clone, Copy)]
pub struct Request<'bytes> {
    /// How its response is found.
    pub key: Key,
    /// Where and when it begins.
    pub begun: Begun,
    /// What it does.
    pub method: Method,
    /// What the codec wants to know when the response comes: [`Sink::pending`] gives it back.
    pub tag: u64,
    /// Name of its span: few are possible, as `GET` or `SELECT orders`; never a key, path or literal.
    pub name: &'bytes [u8],
    /// More about it.
    pub attributes: &'bytes [Attribute<'bytes>],
}

impl Request<'_> {
    /// A request without details.
    pub fn new(key: Key, begun: impl Into<Begun>) -> Self {
        Self { key, begun: begun.into(), method: Method::Request, tag: 0, name: b"", attributes: &[] }
    }
}

/// A question and its answers, of name services.
#[derive(Debug, Clone, Copy)]
pub struct Question<'bytes> {
    /// Kind of record, as `TypeA`.
    pub kind: &'bytes str,
    /// Name that was asked for.
    pub name: &'bytes str,
    /// Addresses in the answer.
    pub addresses: &'bytes [IpAddr],
}

/// A response, once its last byte is read.
#[derive(Debug, Clone, Copy)]
pub struct Response<'bytes> {
    /// Which request it answers.
    pub key: Key,
    /// When its first byte moved.
    pub first_ns: u64,
    /// When its last byte moved.
    pub last_ns: u64,
    /// How it ended.
    pub status: Status,
    /// More about it.
    pub attributes: &'bytes [Attribute<'bytes>],
    /// What was asked, where metrics tell it apart.
    pub question: Option<Question<'bytes>>,
}

impl Response<'_> {
    /// A response without details.
    pub fn new(key: Key, first_ns: u64, last_ns: u64, status: Status) -> Self {
        Self { key, first_ns, last_ns, status, attributes: &[], question: None }
    }
}

/// Takes what a codec reads.
pub trait Sink {
    /// A request that is to be answered.
    fn request(&mut self, request: &Request<'_>);

    /// A message that nobody answers: an exchange by itself, which `last_ns` ends.
    fn one_way(&mut self, request: &Request<'_>, status: Status, last_ns: u64);

    /// A response. In order it answers the oldest request.
    fn response(&mut self, response: &Response<'_>);

    /// The tag of the request that `key` names; none when it is not known (lost, or older than the recording).
    fn pending(&self, key: Key) -> Option<u64>;

    /// Requests that wait for a response.
    fn in_flight(&self) -> usize;

    /// Forgets a request that turned out not to be answered, as those that a pipeline's error makes the server skip;
    /// it is an exchange that ended like this.
    fn skipped(&mut self, key: Key, status: Status, last_ns: u64);

    /// More about the request that `key` names, as the statement behind an identifier.
    fn annotate(&mut self, key: Key, attributes: &[Attribute<'_>]);

    /// Whether names and attributes are kept; making them may be left out otherwise.
    fn wants_details(&self) -> bool;
}
