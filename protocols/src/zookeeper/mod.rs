//! ZooKeeper: sessions, requests by their xid, watches, transactions, authentication, four-letter words.
//!
//! Rules: `zookeeper.jute` and `ZooDefs` of <https://github.com/apache/zookeeper>; every message is a length of four bytes
//! and a record in network order, a text or buffer in it a length and its bytes.

mod codec;
mod messages;
mod redactor;

use crate::{Definition, Opening, Recognition, Side, Statement, System, Transport};
use messages::Shape;

/// ZooKeeper.
pub(crate) static DEFINITION: Definition = Definition {
    name: "zookeeper",
    title: "ZooKeeper",
    opening: Opening::Any,
    ports: &[2181],
    alpn: &[],
    transport: Transport::Stream,
    system: System::Database("zookeeper"),
    statement: Statement::Plain,
    recognise,
    codec: |_| Box::new(codec::ZookeeperCodec::default()),
    redactor: Some(|| Box::new(redactor::ZookeeperRedactor::default())),
};

/// Many protocols begin with a length and small numbers, so that nothing is believed that is not followed by what the
/// operation must have: a path that begins with `/`, then fields that end where the length says. A peer may read the
/// length by itself; its message is then looked at without.
fn recognise(side: Side, bytes: &[u8], size: u64) -> Recognition {
    if side == Side::Client && messages::four_letters(bytes).is_some() && size <= 5 {
        return Recognition::Likely;
    }
    if let Some((length, rest)) = messages::length(bytes)
        && size > 4
        && u64::from(length) + 4 <= size
    {
        let shape = messages::shape(side, rest, length);
        if shape != Shape::Other {
            return recognition(shape, true);
        }
    }
    let body = messages::shape(side, bytes, u32::try_from(size).unwrap_or(u32::MAX));
    match recognition(body, false) {
        Recognition::Open if side == Side::Server && bytes.starts_with(b"Zookeeper version: ") => {
            Recognition::Certain
        }
        Recognition::Open if side == Side::Server && bytes == b"imok" => Recognition::Likely,
        recognition => recognition,
    }
}

fn recognition(shape: Shape, has_length: bool) -> Recognition {
    match shape {
        Shape::Whole if has_length => Recognition::Certain,
        Shape::Whole => Recognition::Likely,
        Shape::Beginning if has_length => Recognition::Likely,
        Shape::Header if has_length => Recognition::Possible,
        Shape::Beginning | Shape::Header | Shape::Other => Recognition::Open,
    }
}

#[cfg(test)]
mod tests;
