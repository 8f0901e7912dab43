//! Texts of prepared statements, by their names and those of portals.

use std::collections::VecDeque;

/// Statements and portals that are remembered.
const MAX_NAMES: usize = 256;
/// Of a text, remembered.
const MAX_TEXT_BYTES: usize = 1024;

/// A name and what it stands for.
type Named = (Box<[u8]>, Box<[u8]>);

/// Names with what they stand for, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: VecDeque<Named>,
}

impl Names {
    pub(super) fn set(&mut self, name: &[u8], text: &[u8]) {
        self.remove(name);
        if self.known.len() == MAX_NAMES {
            self.known.pop_front();
        }
        self.known
            .push_back((name.into(), text.get(..text.len().min(MAX_TEXT_BYTES)).unwrap_or_default().into()));
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.known.iter().rev().find(|(known, _)| **known == *name).map(|(_, text)| &**text)
    }

    pub(super) fn remove(&mut self, name: &[u8]) {
        self.known.retain(|(known, _)| **known != *name);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.known.iter().map(|(name, text)| name.len() + text.len() + 32).sum()
    }
}

/// The first word of a statement in capitals: what it does.
pub(super) fn operation(text: &[u8]) -> Vec<u8> {
    let word = text.trim_ascii_start().split(|byte| !byte.is_ascii_alphabetic()).next().unwrap_or_default();
    word.iter().take(16).map(u8::to_ascii_uppercase).collect()
}
