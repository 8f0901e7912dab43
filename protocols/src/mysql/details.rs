//! What spans say of commands, and what commands change.

use super::packet::{Command, changed_database};
use super::query::{Query, query};
use crate::statement::{Dialect, Named};
use crate::{Attribute, Request, Sink};

/// Of a packet's content, looked at.
pub(super) const HEAD_BYTES: usize = 2048;
/// Of the name of a database, kept.
pub(super) const MAX_DATABASE_BYTES: usize = 128;

/// What success brings.
#[derive(Debug)]
pub(super) enum Brings {
    Nothing,
    /// The one that is used from now on.
    Database(Box<[u8]>),
    /// The one that is prepared.
    Statement(Box<[u8]>),
}

impl Brings {
    pub(super) fn of(command: Command, content: &[u8]) -> Self {
        let head = content.get(..content.len().min(HEAD_BYTES)).unwrap_or_default();
        let database = match command {
            Command::Prepare => return Self::Statement(head.into()),
            Command::UseDatabase => Some(head),
            Command::Query => used_database(query(head).text),
            Command::ChangeUser => Some(changed_database(head).unwrap_or_default()),
            _ => None,
        };
        database.map_or(Self::Nothing, |name| {
            Self::Database(name.get(..name.len().min(MAX_DATABASE_BYTES)).unwrap_or_default().into())
        })
    }
}

/// Tells of a request with its details; `known` is the text of the statement that it names.
pub(super) fn describe(
    command: Command,
    content: &[u8],
    known: &[u8],
    database: &[u8],
    request: &Request<'_>,
    sink: &mut dyn Sink,
) {
    let head = content.get(..content.len().min(HEAD_BYTES)).unwrap_or_default();
    let asked = if command == Command::Query { query(head) } else { Query::default() };
    let (named, text) = match command {
        Command::Query => (Named::of(Dialect::MySql, asked.text), asked.text),
        Command::Prepare => (Named::prepares(Dialect::MySql, head), head),
        Command::Execute | Command::BulkExecute if known.is_empty() => {
            (Named::default().within("EXECUTE"), known)
        }
        Command::Execute | Command::BulkExecute => (Named::of(Dialect::MySql, known), known),
        Command::Fetch => (Named::of(Dialect::MySql, known).within("FETCH"), known),
        command => (Named::default().within(name(command)), &[][..]),
    };
    let mut attributes = named.attributes(text, database);
    if !asked.traceparent.is_empty() {
        attributes.push(Attribute::text("traceparent", asked.traceparent));
    }
    sink.request(&Request { name: named.name("query"), attributes: &attributes, ..*request });
}

/// What a command is called that has no statement.
fn name(command: Command) -> &'static str {
    match command {
        Command::UseDatabase => "USE",
        Command::FieldList => "FIELD LIST",
        Command::ProcessInfo => "PROCESS LIST",
        Command::Other(name) => name,
        _ => "",
    }
}

/// The database of a statement that uses one from now on.
fn used_database(text: &[u8]) -> Option<&[u8]> {
    let (word, name) = text.trim_ascii().split_at_checked(4)?;
    word.eq_ignore_ascii_case(b"use ").then(|| {
        let name = name.trim_ascii_start();
        let name = name.strip_suffix(b";").unwrap_or(name).trim_ascii_end();
        name.strip_prefix(b"`").and_then(|name| name.strip_suffix(b"`")).unwrap_or(name)
    })
}
