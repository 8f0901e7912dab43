//! What the project knows of a protocol: one such constant a protocol, all of them in the catalogue.

use crate::statement::Dialect;
use crate::{Codec, Redactor, Side};

/// How sure it is that bytes are of a protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recognition {
    /// They are not.
    No,
    /// They may be: too few, or of a kind that tells nothing.
    Open,
    /// They look like it, as other things do by chance or by kinship: a length that fits and a known number.
    Possible,
    /// Several independent things fit.
    Likely,
    /// Nothing else looks like this.
    Certain,
}

impl Recognition {
    /// What it counts; `None` rules the protocol out.
    pub(crate) fn score(self) -> Option<u32> {
        match self {
            Self::No => None,
            Self::Open => Some(0),
            Self::Possible => Some(30),
            Self::Likely => Some(60),
            Self::Certain => Some(100),
        }
    }
}

/// What carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A stream: TCP, or TLS in it.
    Stream,
    /// Datagrams as well as streams.
    StreamAndDatagrams,
}

/// What kind of system speaks it: which semantic conventions its spans follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// HTTP.
    Http,
    /// Remote procedure calls, with the value of `rpc.system.name`.
    Rpc(&'static str),
    /// A database, with the value of `db.system.name`.
    Database(&'static str),
    /// A message broker, with the value of `messaging.system`.
    Messaging(&'static str),
    /// A name service.
    Dns,
}

/// How the literals of what `db.query.text` says are told from the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statement {
    /// There is no such text, or it has no literals.
    Plain,
    /// SQL and its kin: literals are quoted, or numbers. [`normalise`](crate::statement::normalise) takes them out.
    Sql(Dialect),
    /// Words: a command, the key that it is about if it is one that has a key there, and values.
    Command,
}

/// What is known of the first bytes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// Nothing.
    Any,
    /// The server speaks first; not in TLS to which the connection turned after that.
    ServerGreets,
    /// The client's first bytes are these.
    ClientSays(&'static [u8]),
}

/// A protocol.
#[derive(Debug)]
pub struct Definition {
    /// Its name in metrics, tables and flags, as `redis`.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// How connections begin.
    pub opening: Opening,
    /// Ports that it is often on: a hint between protocols that fit alike, never more.
    pub ports: &'static [u16],
    /// Names in the TLS handshake's list of application protocols (RFC 7301).
    pub alpn: &'static [&'static [u8]],
    /// What carries it.
    pub transport: Transport,
    /// What its spans are.
    pub system: System,
    /// What its statements are like.
    pub statement: Statement,
    /// Looks at the head of what one call of `side` moved, of a connection of which nothing is known, also in the
    /// middle: `bytes` of `size` were kept, at least one.
    pub recognise: fn(side: Side, bytes: &[u8], size: u64) -> Recognition,
    /// The state for a connection.
    pub codec: fn(Transport) -> Box<dyn Codec>,
    /// Hides credentials; none where the protocol carries none.
    pub redactor: Option<fn() -> Box<dyn Redactor>>,
}
