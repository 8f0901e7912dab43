//! Blanks what clients authenticate with, and passwords in statements.

use super::{FROM_CLIENT, length, startup};
use crate::statement::StatementSecrets;
use crate::{BLANK, Redactor, Side};

/// Where in the client's stream it is.
#[derive(Debug, Default)]
pub(super) struct PostgresRedactor {
    /// The beginning of a message: its type and length, as far as they came.
    header: Vec<u8>,
    /// Bytes of its content that are still to come.
    left: u64,
    is_secret: bool,
    has_begun: bool,
    expected: u64,
    statement: StatementSecrets,
}

impl Redactor for PostgresRedactor {
    fn redact(&mut self, side: Side, position: u64, size: u64, bytes: &mut [u8]) -> usize {
        if side == Side::Server {
            return 0;
        }
        if position != self.expected {
            self.missed(position.saturating_sub(self.expected));
        }
        let mut blanked = 0;
        for byte in &mut *bytes {
            if self.left > 0 {
                self.left -= 1;
                let is_secret = self.is_secret || self.statement.reads(*byte);
                // The zeros that end texts stay.
                if is_secret && (self.is_secret || *byte != 0) {
                    *byte = BLANK;
                    blanked += 1;
                }
                continue;
            }
            self.header.push(*byte);
            self.begin();
        }
        let hole = size.saturating_sub(bytes.len() as u64);
        if hole > 0 {
            self.missed(hole);
        }
        self.expected = position.saturating_add(size);
        blanked
    }
}

impl PostgresRedactor {
    /// Bytes went by unseen.
    fn missed(&mut self, bytes: u64) {
        if bytes <= self.left && self.header.is_empty() {
            self.left -= bytes;
            self.statement.hide();
            return;
        }
        // A message began somewhere in them; the next call is taken for the beginning of one.
        self.left = 0;
        self.header.clear();
        self.has_begun = true;
        self.statement = StatementSecrets::default();
    }

    /// Looks whether the header is whole.
    fn begin(&mut self) {
        let header = self.header.as_slice();
        let (is_typed, wanted) = match header.first() {
            Some(0) if !self.has_begun => (false, 8),
            _ => (true, 5),
        };
        if header.len() < wanted {
            return;
        }
        let (left, is_secret) = if is_typed {
            let kind = header.first().copied().unwrap_or_default();
            let length = header.get(1..).and_then(length);
            match length.filter(|_| FROM_CLIENT.contains(&kind)) {
                Some(length) => (length - 4, kind == b'p'),
                // No message: all of what follows in this place may be anything.
                None => (0, false),
            }
        } else {
            let is_first = startup(header).is_some();
            (if is_first { length(header).unwrap_or(8) - 8 } else { 0 }, false)
        };
        self.has_begun |= is_typed || left > 0;
        self.left = left;
        self.is_secret = is_secret;
        self.header.clear();
        self.statement = StatementSecrets::default();
    }
}
