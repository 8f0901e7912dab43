//! SQL without what is in it: statements as shapes, and in two words.
//!
//! In: the text of a statement, whole or cut anywhere. Out: [`normalise`] has a question mark for each literal, so that
//! texts say what is asked and not of whom; [`summary`] has operation and first table, as `SELECT orders`. Pure, one
//! pass, bounded.
//!
//! Rules: the lexical chapters of PostgreSQL
//! (<https://www.postgresql.org/docs/current/sql-syntax-lexical.html>) and MySQL
//! (<https://dev.mysql.com/doc/refman/8.4/en/language-structure.html>).

mod command;
mod named;
mod prepared;
mod secrets;
mod summary;
#[cfg(test)]
mod tests;
mod tokens;

use std::borrow::Cow;

pub(crate) use named::Named;
pub(crate) use prepared::Prepared;
pub(crate) use secrets::StatementSecrets;
pub use summary::{Summary, summary};
use tokens::{Token, Tokens};

use crate::{Definition, Statement};

impl Definition {
    /// What `db.query.text` says without the values that are in it. Doing it again changes nothing.
    pub fn statement_without_literals<'text>(&self, text: &'text [u8]) -> Cow<'text, [u8]> {
        match self.statement {
            Statement::Plain => Cow::Borrowed(text),
            Statement::Sql(dialect) => Cow::Owned(normalise(dialect, text)),
            Statement::Command => Cow::Owned(command::without_values(text)),
        }
    }
}

/// What quotes and comments mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// PostgreSQL: `"name"`, `'text'`, `E'te\'xt'`, `$$text$$`.
    Postgres,
    /// MySQL and MariaDB: `` `name` ``, `'te\'xt'`, `"text"`, `# comment`.
    MySql,
    /// ClickHouse: `` `name` ``, `"name"`, `'te\'xt'`, `# comment`.
    ClickHouse,
    /// Cassandra's CQL: `"name"`, `'text'`, `$$text$$`, `// comment`.
    Cql,
}

/// A normalised statement has at most so many bytes.
const MAX_NORMALISED_BYTES: usize = 4096;

/// The statement without literals, comments, and blanks that say nothing. Literals and parameters become `?`; several of
/// them in a row, or rows of them, become one. Never longer than `text`, and the same again when normalised again.
pub fn normalise(dialect: Dialect, text: &[u8]) -> Vec<u8> {
    let mut shape =
        Shape { text: Vec::with_capacity(text.len().min(MAX_NORMALISED_BYTES)), ..Shape::default() };
    for token in Tokens::new(dialect, text) {
        if !shape.add(token) {
            break;
        }
    }
    while shape.text.last().is_some_and(|last| matches!(last, b';' | b' ')) {
        shape.text.pop();
    }
    shape.text
}

/// A statement as far as it is normalised.
#[derive(Debug, Default)]
struct Shape {
    text: Vec<u8>,
    has_blank: bool,
    depth: u32,
    rows: Rows,
}

/// Where in the rows of VALUES it is: those behind the first are left out.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Rows {
    #[default]
    None,
    /// Behind the word.
    Begin,
    /// In the first row, which ends at this depth.
    First(u32),
    /// Behind a row.
    Behind,
    /// Behind the comma behind a row; whether there was a blank before it.
    Comma { had_blank: bool },
    /// In a further row.
    Further(u32),
}

impl Shape {
    /// False when there is no room for more.
    fn add(&mut self, token: Token<'_>) -> bool {
        if token == Token::Blank {
            self.has_blank = !self.text.is_empty();
            return true;
        }
        match token {
            Token::Mark(b'(') => self.depth = self.depth.saturating_add(1),
            Token::Mark(b')') => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        if !self.is_of_first_rows(token) {
            return true;
        }
        match token {
            Token::Literal => self.literal(),
            Token::Word(word) if is_constant(word) && matches!(self.last(), Some(b'(' | b',')) => {
                self.literal();
            }
            Token::Word(text) | Token::Name(text) => self.push(text),
            Token::Mark(mark) => {
                self.push(&[mark]);
                if mark == b')' {
                    self.fold_rows();
                }
            }
            Token::Blank => {}
        }
        self.text.len() < MAX_NORMALISED_BYTES
    }

    /// Whether it is neither in a further row nor in the comma before one.
    fn is_of_first_rows(&mut self, token: Token<'_>) -> bool {
        let depth = self.depth;
        match (self.rows, token) {
            (Rows::Begin, Token::Mark(b'(')) => self.rows = Rows::First(depth - 1),
            (Rows::First(end), Token::Mark(b')')) if depth == end => self.rows = Rows::Behind,
            (Rows::Behind, Token::Mark(b',')) => {
                self.rows = Rows::Comma { had_blank: std::mem::take(&mut self.has_blank) };
                return false;
            }
            (Rows::Comma { .. }, Token::Mark(b'(')) => {
                self.rows = Rows::Further(depth - 1);
                return false;
            }
            (Rows::Further(end), token) => {
                if token == Token::Mark(b')') && depth == end {
                    self.rows = Rows::Behind;
                }
                return false;
            }
            (Rows::Comma { had_blank }, _) => {
                self.rows = Rows::None;
                let has_blank = std::mem::replace(&mut self.has_blank, had_blank);
                self.push(b",");
                self.has_blank = has_blank;
            }
            (Rows::Begin | Rows::Behind, _) => self.rows = Rows::None,
            _ => {}
        }
        if matches!(token, Token::Word(word) if word.eq_ignore_ascii_case(b"VALUES")) {
            self.rows = Rows::Begin;
        }
        true
    }

    fn last(&self) -> Option<u8> {
        self.text.last().copied()
    }

    fn push(&mut self, text: &[u8]) {
        if self.text.len() + usize::from(self.has_blank) + text.len() > MAX_NORMALISED_BYTES {
            // What comes later would not fit either; no half names.
            self.text.resize(MAX_NORMALISED_BYTES.max(self.text.len()), b' ');
            return;
        }
        if self.has_blank {
            self.text.push(b' ');
            self.has_blank = false;
        }
        self.text.extend_from_slice(text);
    }

    fn literal(&mut self) {
        self.drop_sign();
        if self.follows_literal() {
            return;
        }
        self.push(b"?");
    }

    /// Leaves out a sign that belongs to the literal that follows.
    fn drop_sign(&mut self) {
        loop {
            let text = self.text.trim_ascii_end();
            let Some((b'-' | b'+', before)) = text.split_last() else { return };
            let before_sign = before.trim_ascii_end();
            let is_sign = before_sign.last().is_none_or(|last| b"(,[=<>*/%+-|&^~!".contains(last));
            if !is_sign {
                return;
            }
            let had_blank = before.len() > before_sign.len();
            self.text.truncate(before_sign.len());
            self.has_blank = had_blank && !self.text.is_empty();
        }
    }

    /// Whether only a comma is between the literal before and this place; then the comma goes too.
    fn follows_literal(&mut self) -> bool {
        let Some((b',', before)) = self.text.trim_ascii_end().split_last() else { return false };
        let before = before.trim_ascii_end();
        if before.last() != Some(&b'?') {
            return false;
        }
        self.text.truncate(before.len());
        self.has_blank = false;
        true
    }

    /// `(?), (?)` is `(?)`.
    fn fold_rows(&mut self) {
        let Some(before) = self.text.strip_suffix(b"(?)") else { return };
        let Some((b',', before)) = before.trim_ascii_end().split_last() else { return };
        let before = before.trim_ascii_end();
        if before.ends_with(b"(?)") {
            self.text.truncate(before.len());
        }
    }
}

/// Words that are literals where values are listed.
fn is_constant(word: &[u8]) -> bool {
    [&b"NULL"[..], b"TRUE", b"FALSE"].iter().any(|constant| constant.eq_ignore_ascii_case(word))
}
