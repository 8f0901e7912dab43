//! ClickHouse's native protocol: queries, blocks of data both ways, exceptions, the end of the stream.
//!
//! Rules: `Protocol.h`, `ProtocolDefines.h`, `ClientInfo.cpp` and `NativeWriter.cpp` of
//! <https://github.com/ClickHouse/ClickHouse>, and <https://clickhouse.com/docs/native-protocol/basics>. Packets have no
//! length: each is read to its end as the revision that both sides know has it, blocks column by column. Where that
//! cannot go on, since bytes were not kept or a type is not known, the beginning of a later call is looked at strictly.

mod blocks;
mod client;
mod codec;
mod queries;
mod redactor;
mod server;
mod types;
mod wire;

use crate::statement::Dialect;
use crate::{Definition, Opening, Recognition, Side, Statement, System, Transport};
use wire::{Stop, Wire};

/// ClickHouse.
pub(crate) static DEFINITION: Definition = Definition {
    name: "clickhouse",
    title: "ClickHouse",
    opening: Opening::Any,
    ports: &[9000, 9440],
    alpn: &[],
    transport: Transport::Stream,
    system: System::Database("clickhouse"),
    statement: Statement::Sql(Dialect::ClickHouse),
    recognise,
    codec: |_| Box::new(codec::ClickhouseCodec::default()),
    redactor: Some(|| Box::new(redactor::ClickhouseRedactor::default())),
};

/// Packets begin with small numbers, as much else does, so that only whole structures count: a hello with a revision,
/// a query with all of its client's description, a block with its marks, an exception that calls itself one.
fn recognise(side: Side, bytes: &[u8], size: u64) -> Recognition {
    let is_cut = (bytes.len() as u64) < size;
    let mut wire = Wire::new(bytes);
    let seen = match (side, wire.u8()) {
        (Side::Client, Ok(0)) => client::hello(&mut wire, &mut |_, _| {}).map(|_| Recognition::Certain),
        (Side::Client, Ok(1)) => return query(bytes),
        (Side::Server, Ok(0)) => server::hello(&mut wire).map(|_| Recognition::Certain),
        (Side::Server, Ok(2)) => server::exception(&mut wire).map(|_| Recognition::Certain),
        (Side::Client, Ok(2)) | (Side::Server, Ok(1 | 7 | 8 | 10 | 14)) => return block(&mut wire, size),
        (Side::Client, Ok(3 | 4)) | (Side::Server, Ok(4 | 5)) if size == 1 => Ok(Recognition::Possible),
        _ => Ok(Recognition::Open),
    };
    match seen {
        Ok(recognition) => recognition,
        // A name and versions were there.
        Err(Stop::More) if is_cut && wire.taken() > 12 => Recognition::Likely,
        Err(_) => Recognition::Open,
    }
}

fn query(bytes: &[u8]) -> Recognition {
    match client::query_of_unknown_revision(bytes) {
        Ok(_) => Recognition::Certain,
        Err(_) => Recognition::Open,
    }
}

fn block(wire: &mut Wire<'_>, size: u64) -> Recognition {
    let Ok(table) = wire.text(64) else { return Recognition::Open };
    if blocks::is_frame(wire.rest()) == Some(true) {
        return if table.is_empty() { Recognition::Likely } else { Recognition::Possible };
    }
    match blocks::beginning(wire) {
        // The empty block that ends a query's data is all of its call.
        Ok((0, 0)) if wire.taken() as u64 == size => Recognition::Certain,
        Ok((columns, _)) if columns > 0 && blocks::column(wire).is_ok() => Recognition::Certain,
        Ok(_) => Recognition::Likely,
        Err(_) => Recognition::Open,
    }
}

#[cfg(test)]
mod tests;
