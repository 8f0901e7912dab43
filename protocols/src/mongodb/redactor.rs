//! Blanks what users log in with: payloads of SASL in both directions, keys of old, passwords of users that are made or
//! changed, and what a server keeps of passwords. Drivers never compress these commands.

use super::bson::{self, ARRAY, BINARY, DOCUMENT, MAX_KEY_BYTES, STRING, Size};
use super::wire::{self, HEADER_BYTES, Operation};
use crate::cursor::Cursor;
use crate::stream::Pushed;
use crate::{Chunk, PerSide, Redactor, Secrets, Side, Stream};

/// Documents within documents that are followed.
const MAX_DEPTH: usize = 8;

/// What is known of the connection.
#[derive(Debug, Default)]
pub(super) struct MongoRedactor {
    sides: PerSide<Walk>,
}

/// Where in the messages of one side it is.
#[derive(Debug, Default)]
struct Walk {
    stream: Stream,
    secrets: Secrets,
    /// End of the message that is being read.
    message: Option<u64>,
    /// It has sections, of which more may follow.
    has_sections: bool,
    /// Documents that are open: their ends, and what is secret in them.
    open: Vec<(u64, Rule)>,
}

/// What is secret in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Its first key will tell.
    Command,
    Sasl,
    User,
    OldLogin,
    /// A first message, which may log in at once.
    Hello,
    Reply,
    /// A list of users.
    Users,
    KnownUser,
    All,
}

/// What to do with an element.
enum Action {
    Skip,
    Blank,
    Into(Rule),
    /// Nothing in this document is secret.
    Leave,
}

impl Redactor for MongoRedactor {
    fn redact(&mut self, side: Side, position: u64, size: u64, bytes: &mut [u8]) -> usize {
        let walk = self.sides.of(side);
        if walk.stream.push(&Chunk { position, size, bytes, time_ns: 0 }) == Pushed::Broken {
            walk.message = None;
            walk.open.clear();
        }
        let rule = if side == Side::Client { Rule::Command } else { Rule::Reply };
        while walk.stream.lacks() == 0 && walk.step(rule).is_some() {}
        walk.secrets.apply(position, size, bytes)
    }
}

impl Walk {
    /// Reads on. None when more has to come.
    fn step(&mut self, rule: Rule) -> Option<()> {
        let here = self.stream.position();
        let Some(end) = self.message else { return self.begin(rule) };
        if let Some((document_end, rule)) = self.open.last().copied() {
            return self.element(document_end, rule, end);
        }
        // A checksum may be last.
        if !self.has_sections || end.saturating_sub(here) < 5 {
            return self.leave(end);
        }
        let mut cursor = Cursor::new(self.stream.bytes());
        let kind = cursor.u8()?;
        let length = u64::from(cursor.u32_le()?);
        match kind {
            0 => self.enter(here + 1, 1, length, rule, end),
            _ if length < 5 || here + 1 + length > end => self.leave(end),
            _ => self.pass(1 + length),
        }
    }

    /// Reads the beginning of a message.
    fn begin(&mut self, rule: Rule) -> Option<()> {
        let here = self.stream.position();
        let bytes = self.stream.bytes();
        if bytes.len() < HEADER_BYTES {
            return None;
        }
        let Some(header) = wire::header(bytes) else {
            self.stream.discard();
            return None;
        };
        let end = here + u64::from(header.length);
        let mut operation = header.operation;
        let mut before = HEADER_BYTES;
        if operation == Operation::Compressed {
            match wire::unpacked(bytes.get(HEADER_BYTES..HEADER_BYTES + 9)?) {
                // Not compressed after all.
                Some((inner, _)) if bytes.get(HEADER_BYTES + 8) == Some(&0) => operation = inner,
                _ => {}
            }
            before += 9;
        }
        self.has_sections = operation == Operation::Message;
        match operation {
            Operation::Message => {
                self.message = Some(end);
                self.pass(before as u64 + 4)
            }
            Operation::Query | Operation::Reply => {
                let mut cursor = Cursor::at(bytes, before);
                if operation == Operation::Query {
                    cursor.take(4)?;
                    if cursor.zero_ended().is_none() {
                        return if cursor.rest().len() > MAX_KEY_BYTES { self.leave(end) } else { None };
                    }
                    cursor.take(8)?;
                } else {
                    cursor.take(20)?;
                }
                let place = cursor.place() as u64;
                let Some(length) = cursor.u32_le() else {
                    // A reply may have no document.
                    return if here + place >= end { self.leave(end) } else { None };
                };
                self.enter(here + place, place, u64::from(length), rule, end)
            }
            _ => self.leave(end),
        }
    }

    /// Opens the document of `length` bytes at `begin`, which is `before` bytes away.
    fn enter(&mut self, begin: u64, before: u64, length: u64, rule: Rule, end: u64) -> Option<()> {
        if length < 5 || begin + length > end {
            return self.leave(end);
        }
        self.message = Some(end);
        self.open.push((begin + length, rule));
        self.pass(before + 4)
    }

    /// Goes on behind the message.
    fn leave(&mut self, end: u64) -> Option<()> {
        self.message = None;
        self.open.clear();
        self.pass(end.saturating_sub(self.stream.position()))
    }

    fn pass(&mut self, bytes: u64) -> Option<()> {
        self.stream.skip(bytes);
        Some(())
    }

    /// Reads an element of the innermost document.
    fn element(&mut self, document_end: u64, rule: Rule, message_end: u64) -> Option<()> {
        let here = self.stream.position();
        let bytes = self.stream.bytes();
        let kind = *bytes.first()?;
        if kind == 0 || here >= document_end {
            self.open.pop();
            return self.pass(document_end.saturating_sub(here));
        }
        let mut cursor = Cursor::at(bytes, 1);
        let Some(key) = cursor.zero_ended() else {
            return if bytes.len() > MAX_KEY_BYTES { self.leave(message_end) } else { None };
        };
        let header = cursor.place();
        let size = match bson::size(kind, cursor.rest()) {
            Size::Known(size) => size,
            Size::Cut if bytes.len() < 4 * MAX_KEY_BYTES => return None,
            Size::Cut | Size::Wrong => return self.leave(message_end),
        };
        let begin = here + header as u64;
        if begin + size > document_end {
            return self.leave(message_end);
        }
        match rule.action(kind, key) {
            (Action::Leave, _) => {
                self.open.pop();
                return self.pass(document_end.saturating_sub(here));
            }
            (Action::Into(inner), next) => {
                self.become_rule(next);
                if self.open.len() < MAX_DEPTH && size >= 5 {
                    self.open.push((begin + size, inner));
                    return self.pass(header as u64 + 4);
                }
            }
            (Action::Blank, next) => {
                self.become_rule(next);
                match kind {
                    STRING => self.secrets.add(begin + 4, (begin + size).saturating_sub(1)),
                    BINARY => self.secrets.add(begin + 5, begin + size),
                    _ => {}
                }
            }
            (Action::Skip, next) => self.become_rule(next),
        }
        self.pass(header as u64 + size)
    }

    fn become_rule(&mut self, rule: Rule) {
        if let Some((_, innermost)) = self.open.last_mut() {
            *innermost = rule;
        }
    }
}

impl Rule {
    /// What to do with an element, and the rule for those behind it.
    fn action(self, kind: u8, key: &[u8]) -> (Action, Self) {
        let is_nested = matches!(kind, DOCUMENT | ARRAY);
        let action = match (self, key) {
            (Self::Command, b"saslStart" | b"saslContinue") => return (Action::Skip, Self::Sasl),
            (Self::Command, b"createUser" | b"updateUser") => return (Action::Skip, Self::User),
            (Self::Command, b"hello" | b"isMaster" | b"ismaster") => return (Action::Skip, Self::Hello),
            (Self::Command, b"authenticate" | b"copydb" | b"copydbsaslstart") => {
                return (Action::Skip, Self::OldLogin);
            }
            (Self::Command, b"$query" | b"query") if is_nested => Action::Into(Self::Command),
            (Self::Command, _) => Action::Leave,
            (Self::Sasl | Self::Reply | Self::OldLogin, b"payload")
            | (Self::User, b"pwd")
            | (Self::OldLogin, b"key" | b"nonce" | b"pwd") => Action::Blank,
            (Self::Hello, b"speculativeAuthenticate") if is_nested => Action::Into(Self::Command),
            (Self::Reply, b"speculativeAuthenticate") if is_nested => Action::Into(Self::Sasl),
            (Self::Reply, b"users") if is_nested => Action::Into(Self::Users),
            (Self::Users, _) if is_nested => Action::Into(Self::KnownUser),
            (Self::KnownUser, b"credentials") | (Self::All, _) if is_nested => Action::Into(Self::All),
            (Self::All, _) => Action::Blank,
            _ => Action::Skip,
        };
        (action, self)
    }
}
