//! Connections with their labels. Each is a few calls, written after the protocol's specification.

mod brokers;
mod databases;
mod others;
mod strangers;

use aftertrace_protocols::testing::Turn;

/// A connection.
pub(crate) struct Sample {
    /// The protocol's name in the catalogue; none when it is of no protocol there.
    pub(crate) label: Option<&'static str>,
    /// What it shows.
    pub(crate) name: &'static str,
    /// Whether it is known from its first byte on.
    pub(crate) is_from_start: bool,
    /// Its calls.
    pub(crate) dialogue: Vec<Turn>,
}

/// All of them.
pub(crate) fn all() -> Vec<Sample> {
    [databases::all(), brokers::all(), others::all(), strangers::all()].into_iter().flatten().collect()
}

/// One from its first byte on.
fn opening(label: &'static str, name: &'static str, dialogue: Vec<Turn>) -> Sample {
    Sample { label: Some(label), name, is_from_start: true, dialogue }
}

/// One that was met in the middle.
fn middle(label: &'static str, name: &'static str, dialogue: Vec<Turn>) -> Sample {
    Sample { is_from_start: false, ..opening(label, name, dialogue) }
}

/// Bytes behind their length in network order.
fn be32(body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    [&(body.len() as u32).to_be_bytes(), body].concat()
}

/// The same where the length counts itself.
fn be32_with_itself(body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    [&(body.len() as u32 + 4).to_be_bytes(), body].concat()
}
