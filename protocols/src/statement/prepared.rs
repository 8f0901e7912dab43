//! Texts of prepared statements, by the names, numbers or hashes that stand for them; bounded.

use std::collections::VecDeque;

/// Statements that are remembered of a connection.
const MAX_STATEMENTS: usize = 256;
/// Of a text, remembered.
const MAX_TEXT_BYTES: usize = 1024;

/// A name and what it stands for.
type Named = (Box<[u8]>, Box<[u8]>);

/// Names with what they stand for, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    known: VecDeque<Named>,
}

impl Prepared {
    /// `name` stands for `text` from now on; the oldest makes room.
    pub(crate) fn set(&mut self, name: &[u8], text: &[u8]) {
        self.remove(name);
        if self.known.len() == MAX_STATEMENTS {
            self.known.pop_front();
        }
        self.known
            .push_back((name.into(), text.get(..text.len().min(MAX_TEXT_BYTES)).unwrap_or_default().into()));
    }

    /// What it stands for.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.known.iter().rev().find(|(known, _)| **known == *name).map(|(_, text)| &**text)
    }

    /// It stands for nothing any more.
    pub(crate) fn remove(&mut self, name: &[u8]) {
        self.known.retain(|(known, _)| **known != *name);
    }

    /// Memory that it holds.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.known.iter().map(|(name, text)| name.len() + text.len() + 32).sum()
    }
}
