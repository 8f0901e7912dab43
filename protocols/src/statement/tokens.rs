//! The pieces of a statement: names, words, marks, and that a literal was there.

use super::Dialect;

/// A name in quotes that is longer is none: systems allow 64 to 128 bytes.
const MAX_NAME_BYTES: usize = 256;

/// A piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'text> {
    /// Blanks and comments.
    Blank,
    /// A keyword or name as it stands.
    Word(&'text [u8]),
    /// A name with its quotes.
    Name(&'text [u8]),
    /// Text, a number, or a parameter that stands for one.
    Literal,
    /// Any other byte.
    Mark(u8),
}

/// Goes through a statement.
#[derive(Debug, Clone)]
pub(super) struct Tokens<'text> {
    dialect: Dialect,
    rest: &'text [u8],
}

impl<'text> Tokens<'text> {
    pub(super) fn new(dialect: Dialect, text: &'text [u8]) -> Self {
        Self { dialect, rest: text }
    }

    fn has_backslashes(&self) -> bool {
        matches!(self.dialect, Dialect::MySql | Dialect::ClickHouse)
    }

    fn take(&mut self, length: usize) -> &'text [u8] {
        let (taken, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// Bytes of the comment or blanks that are next.
    fn blank(&self) -> Option<usize> {
        let rest = self.rest;
        let line = || rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
        let is_line = match rest {
            [b'-', b'-', ..] => true,
            [b'/', b'/', ..] => self.dialect == Dialect::Cql,
            [b'#', ..] => self.has_backslashes(),
            _ => false,
        };
        match rest {
            _ if is_line => Some(line()),
            [b'/', b'*', ..] => Some(comment(rest, self.dialect == Dialect::Postgres)),
            [byte, ..] if is_blank(*byte) => Some(rest.iter().take_while(|byte| is_blank(**byte)).count()),
            _ => None,
        }
    }

    /// A name in quotes, with them. What is too long for a name is a literal.
    fn name(&mut self, quote: u8) -> Token<'text> {
        let has_backslashes = self.dialect == Dialect::ClickHouse;
        let length = quoted(self.rest, quote, has_backslashes);
        let name = self.take(length);
        if name.len() > MAX_NAME_BYTES { Token::Literal } else { Token::Name(name) }
    }

    fn word(&mut self) -> Token<'text> {
        let length = self.rest.iter().take_while(|byte| is_in_word(**byte)).count();
        let word = self.take(length);
        // Prefixes of strings: E'', B'', X'', N''; in E'' a backslash escapes.
        if let [b'\'', ..] = self.rest
            && let [prefix] = word
            && b"ebxn".contains(&prefix.to_ascii_lowercase())
        {
            let escapes = self.has_backslashes() || prefix.eq_ignore_ascii_case(&b'e');
            let length = quoted(self.rest, b'\'', escapes);
            self.take(length);
            return Token::Literal;
        }
        Token::Word(word)
    }

    /// What a dollar begins.
    fn dollar(&mut self) -> Token<'text> {
        let behind = self.rest.get(1..).unwrap_or_default();
        let digits = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits > 0 {
            self.take(1 + digits);
            return Token::Literal;
        }
        let tag = behind.iter().take_while(|byte| is_in_word(**byte) && **byte != b'$').count();
        let has_dollar_quotes = matches!(self.dialect, Dialect::Postgres | Dialect::Cql);
        if !has_dollar_quotes || behind.get(tag) != Some(&b'$') {
            self.take(1);
            return Token::Mark(b'$');
        }
        let delimiter = self.take(tag + 2);
        let end = self.rest.windows(delimiter.len()).position(|window| window == delimiter);
        self.take(end.map_or(self.rest.len(), |end| end + delimiter.len()));
        Token::Literal
    }

    fn number(&mut self) -> Token<'text> {
        let mut length = 0;
        let mut last = 0;
        for byte in self.rest {
            let is_sign =
                matches!(byte, b'+' | b'-') && matches!(last, b'e' | b'E') && !self.is_hexadecimal();
            if !(is_in_word(*byte) || *byte == b'.' || is_sign) {
                break;
            }
            length += 1;
            last = *byte;
        }
        self.take(length);
        Token::Literal
    }

    fn is_hexadecimal(&self) -> bool {
        matches!(self.rest, [b'0', b'x' | b'X', ..])
    }
}

impl<'text> Iterator for Tokens<'text> {
    type Item = Token<'text>;

    fn next(&mut self) -> Option<Token<'text>> {
        if let Some(mut length) = self.blank() {
            while length > 0 {
                self.take(length);
                length = self.blank().unwrap_or_default();
            }
            return Some(Token::Blank);
        }
        let (first, behind) = self.rest.split_first()?;
        Some(match first {
            b'\'' => {
                let length = quoted(self.rest, b'\'', self.has_backslashes());
                self.take(length);
                Token::Literal
            }
            b'"' if self.dialect == Dialect::MySql => {
                let length = quoted(self.rest, b'"', true);
                self.take(length);
                Token::Literal
            }
            b'"' => self.name(b'"'),
            b'`' if self.dialect != Dialect::Postgres => self.name(b'`'),
            b'$' => self.dollar(),
            b'?' => {
                self.take(1);
                Token::Literal
            }
            b'0'..=b'9' => self.number(),
            b'.' if behind.first().is_some_and(u8::is_ascii_digit) => self.number(),
            byte if is_in_word(*byte) => self.word(),
            byte => {
                self.take(1);
                Token::Mark(*byte)
            }
        })
    }
}

/// Bytes of the quoted text at the beginning of `text`, with its quotes; all of it when its end is not there.
fn quoted(text: &[u8], quote: u8, has_backslashes: bool) -> usize {
    let mut place = 1;
    while let Some(byte) = text.get(place) {
        if *byte == b'\\' && has_backslashes {
            place += 2;
        } else if *byte == quote {
            if text.get(place + 1) != Some(&quote) {
                return place + 1;
            }
            place += 2;
        } else {
            place += 1;
        }
    }
    text.len()
}

/// Bytes of the comment at the beginning of `text`.
fn comment(text: &[u8], nests: bool) -> usize {
    let mut depth = 0_u32;
    let mut place = 0;
    while let Some(rest) = text.get(place..).filter(|rest| !rest.is_empty()) {
        match rest {
            [b'/', b'*', ..] if nests || depth == 0 => {
                depth += 1;
                place += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                place += 2;
                if depth == 0 {
                    return place;
                }
            }
            _ => place += 1,
        }
    }
    text.len()
}

/// Blanks, and control characters as which text that was not kept may appear.
fn is_blank(byte: u8) -> bool {
    byte <= b' '
}

pub(super) fn is_in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}
