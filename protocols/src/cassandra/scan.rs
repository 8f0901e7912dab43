//! Finds passwords in statements, byte for byte: `PASSWORD = 'text'`, also without the sign, also in `$$`.

const WORD: &[u8] = b"password";

/// How much of one has been seen.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scan {
    #[default]
    Text,
    /// So many letters of the word.
    Word(usize),
    /// Between the word and the password.
    After,
    /// One `$` of two.
    Dollar,
    Quoted,
    /// A quote in a password: its end, or doubled.
    Quote,
    Dollars,
    /// One `$` in a password.
    LastDollar,
}

impl Scan {
    /// Whether the next byte is of a password.
    pub(super) fn is_secret(&mut self, byte: u8) -> bool {
        let (next, is_secret) = match (*self, byte) {
            (Self::After, b' ' | b'\t' | b'\r' | b'\n' | b'=' | b':') => (Self::After, false),
            (Self::After, b'\'') | (Self::Quote, b'\'') => (Self::Quoted, *self == Self::Quote),
            (Self::After, b'$') => (Self::Dollar, false),
            (Self::Dollar, b'$') => (Self::Dollars, false),
            (Self::Quoted, b'\'') => (Self::Quote, false),
            (Self::Quoted, _) => (Self::Quoted, true),
            (Self::Dollars, b'$') => (Self::LastDollar, false),
            (Self::LastDollar, b'$') => (Self::Text, false),
            (Self::Dollars | Self::LastDollar, _) => (Self::Dollars, true),
            (Self::Word(seen), _) => (Self::letter(seen, byte), false),
            (Self::Text | Self::After | Self::Dollar | Self::Quote, _) => (Self::letter(0, byte), false),
        };
        *self = next;
        is_secret
    }

    fn letter(seen: usize, byte: u8) -> Self {
        let is_letter = |place: usize| WORD.get(place) == Some(&byte.to_ascii_lowercase());
        match seen {
            _ if is_letter(seen) && seen + 1 == WORD.len() => Self::After,
            _ if is_letter(seen) => Self::Word(seen + 1),
            _ if is_letter(0) => Self::Word(1),
            _ => Self::Text,
        }
    }
}
