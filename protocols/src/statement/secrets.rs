//! Finds passwords in statements, byte for byte, for redactors.

use crate::text_secrets::TextSecrets;

/// Behind these words a statement is secret up to its end: literals have too many forms to tell where one ends before
/// that. The first is in every word for a password, the second in MySQL's.
const WORDS: [&[u8]; 2] = [b"passw", b"identified"];
const RECENT_BYTES: usize = 10;

/// Where in a statement it is.
#[derive(Debug, Default)]
pub(crate) struct StatementSecrets {
    /// Connection strings and the like.
    text: TextSecrets,
    /// The last bytes, in lower case.
    recent: [u8; RECENT_BYTES],
    is_hidden: bool,
}

impl StatementSecrets {
    /// Goes on by one byte; whether it is secret.
    pub(crate) fn reads(&mut self, byte: u8) -> bool {
        let is_secret = self.is_hidden || self.text.reads(byte);
        self.recent.rotate_left(1);
        if let Some(last) = self.recent.last_mut() {
            *last = byte.to_ascii_lowercase();
        }
        self.is_hidden |= WORDS.iter().any(|word| self.recent.ends_with(word));
        is_secret
    }

    /// Part of it was not seen: all that follows is secret.
    pub(crate) fn hide(&mut self) {
        self.is_hidden = true;
    }

    /// Whether a password was spoken of.
    pub(crate) fn is_hidden(&self) -> bool {
        self.is_hidden
    }
}
