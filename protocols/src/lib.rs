//! Application protocols: from what system calls moved to requests and responses.
//!
//! In: [`Chunk`]s of the two streams of a connection, each the head of what one call moved. Out: [`Exchange`]s, a
//! request with its response, status and times, and a count of what could not be paired. Pure: no clock, no I/O, bounded
//! memory. Bytes come from strangers and with holes.
//!
//! A protocol is a module with a [`Definition`], listed in [`catalogue`]: how to recognise it, its [`Codec`], its
//! [`Redactor`]. The rest is one for all of them: [`Classifier`] decides which protocol it is, [`Conversation`] survives
//! holes and pairs.

pub mod catalogue;
mod classifier;
mod codec;
mod conversation;
mod cursor;
#[cfg(test)]
mod damage;
mod definition;
mod exchange;
#[cfg(any(test, feature = "testing"))]
pub mod fuzzing;
mod redact;
pub mod statement;
mod stream;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod text_secrets;
pub mod tls;
mod unpack;

mod cassandra;
mod clickhouse;
mod dns;
mod dubbo;
mod foundationdb;
mod http;
mod http2;
mod kafka;
mod memcached;
mod mongodb;
mod mysql;
mod nats;
mod postgres;
mod rabbitmq;
mod redis;
mod zookeeper;

pub use classifier::{Classifier, Verdict};
pub use codec::{
    Attribute, Codec, Key, Method, PerSide, Progress, Question, Request, Response, Side, Sink, Status, Value,
};
pub use conversation::{Conversation, Facts};
pub use definition::{Definition, Opening, Recognition, Statement, System, Transport};
pub use exchange::{Details, Ending, Exchange, OwnedQuestion, OwnedValue, Unpaired};
pub use redact::{BLANK, Redactor, Secrets, blank, unknown};
pub use stream::{Begun, Chunk, Stream};
