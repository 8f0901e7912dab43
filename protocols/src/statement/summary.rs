//! What a statement does and to what, in a few words of which there are few.

use super::Dialect;
use super::tokens::{Token, Tokens};

/// Of a table's name with its schema.
const MAX_TABLE_BYTES: usize = 96;
/// Pieces that are looked at.
const MAX_TOKENS: usize = 512;

/// Operation and table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// What it does, as `SELECT`; one of a fixed list, or empty.
    pub operation: &'static str,
    /// The first table it does it to, with its schema and without quotes; empty when it names none.
    pub table: Vec<u8>,
    /// Whether it names no other.
    pub is_only: bool,
}

impl Summary {
    /// Both, as `SELECT orders`.
    pub fn name(&self) -> Vec<u8> {
        let mut name = self.operation.as_bytes().to_vec();
        if !self.table.is_empty() {
            name.push(b' ');
            name.extend_from_slice(&self.table);
        }
        name
    }
}

/// Where a statement names its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nowhere, or its names are many.
    Nowhere,
    /// Behind this word.
    Behind(&'static str),
    /// Behind the first word, and words like INTO and ONLY.
    Next,
    /// Behind the kind of thing, which belongs to the operation.
    Kind,
    /// Where its main statement has it.
    Main,
}

const OPERATIONS: [(&str, Place); 71] = [
    ("SELECT", Place::Behind("FROM")),
    ("INSERT", Place::Next),
    ("UPDATE", Place::Next),
    ("DELETE", Place::Behind("FROM")),
    ("REPLACE", Place::Next),
    ("MERGE", Place::Next),
    ("WITH", Place::Main),
    ("BEGIN", Place::Nowhere),
    ("START", Place::Nowhere),
    ("COMMIT", Place::Nowhere),
    ("END", Place::Nowhere),
    ("ROLLBACK", Place::Nowhere),
    ("ABORT", Place::Nowhere),
    ("SAVEPOINT", Place::Nowhere),
    ("RELEASE", Place::Nowhere),
    ("SET", Place::Nowhere),
    ("RESET", Place::Nowhere),
    ("SHOW", Place::Nowhere),
    ("CREATE", Place::Kind),
    ("ALTER", Place::Kind),
    ("DROP", Place::Kind),
    ("TRUNCATE", Place::Next),
    ("COPY", Place::Next),
    ("LOAD", Place::Behind("TABLE")),
    ("LOCK", Place::Next),
    ("UNLOCK", Place::Nowhere),
    ("CALL", Place::Next),
    ("DO", Place::Nowhere),
    ("EXPLAIN", Place::Nowhere),
    ("ANALYZE", Place::Next),
    ("VACUUM", Place::Nowhere),
    ("REINDEX", Place::Nowhere),
    ("CLUSTER", Place::Nowhere),
    ("REFRESH", Place::Next),
    ("CHECKPOINT", Place::Nowhere),
    ("DECLARE", Place::Nowhere),
    ("FETCH", Place::Nowhere),
    ("MOVE", Place::Nowhere),
    ("CLOSE", Place::Nowhere),
    ("OPEN", Place::Nowhere),
    ("PREPARE", Place::Nowhere),
    ("EXECUTE", Place::Nowhere),
    ("DEALLOCATE", Place::Nowhere),
    ("DISCARD", Place::Nowhere),
    ("LISTEN", Place::Nowhere),
    ("UNLISTEN", Place::Nowhere),
    ("NOTIFY", Place::Nowhere),
    ("GRANT", Place::Nowhere),
    ("REVOKE", Place::Nowhere),
    ("COMMENT", Place::Nowhere),
    ("VALUES", Place::Nowhere),
    ("TABLE", Place::Next),
    ("USE", Place::Nowhere),
    ("DESCRIBE", Place::Next),
    ("DESC", Place::Next),
    ("KILL", Place::Nowhere),
    ("FLUSH", Place::Nowhere),
    ("OPTIMIZE", Place::Next),
    ("RENAME", Place::Nowhere),
    ("XA", Place::Nowhere),
    ("EXISTS", Place::Next),
    ("SYSTEM", Place::Nowhere),
    ("ATTACH", Place::Nowhere),
    ("DETACH", Place::Nowhere),
    ("CHECK", Place::Next),
    ("BACKUP", Place::Nowhere),
    ("RESTORE", Place::Nowhere),
    ("WATCH", Place::Next),
    ("UNDROP", Place::Next),
    ("EXCHANGE", Place::Nowhere),
    ("LIST", Place::Nowhere),
];

/// Words between an operation and its table.
const BETWEEN: [&str; 15] = [
    "INTO",
    "FROM",
    "ONLY",
    "TABLE",
    "TABLES",
    "LOW_PRIORITY",
    "HIGH_PRIORITY",
    "DELAYED",
    "IGNORE",
    "QUICK",
    "MATERIALIZED",
    "VIEW",
    "CONCURRENTLY",
    "LOCAL",
    "OVERWRITE",
];

/// What is made, changed and dropped, and whether its name tells enough to be kept.
const KINDS: [(&str, &str, &str, bool); 14] = [
    ("TABLE", "CREATE TABLE", "ALTER TABLE", true),
    ("VIEW", "CREATE VIEW", "ALTER VIEW", true),
    ("INDEX", "CREATE INDEX", "ALTER INDEX", true),
    ("SEQUENCE", "CREATE SEQUENCE", "ALTER SEQUENCE", true),
    ("DATABASE", "CREATE DATABASE", "ALTER DATABASE", false),
    ("SCHEMA", "CREATE SCHEMA", "ALTER SCHEMA", false),
    ("FUNCTION", "CREATE FUNCTION", "ALTER FUNCTION", false),
    ("PROCEDURE", "CREATE PROCEDURE", "ALTER PROCEDURE", false),
    ("TRIGGER", "CREATE TRIGGER", "ALTER TRIGGER", false),
    ("EXTENSION", "CREATE EXTENSION", "ALTER EXTENSION", false),
    ("TYPE", "CREATE TYPE", "ALTER TYPE", false),
    ("USER", "CREATE USER", "ALTER USER", false),
    ("ROLE", "CREATE ROLE", "ALTER ROLE", false),
    ("SERVER", "CREATE SERVER", "ALTER SERVER", false),
];

/// The same for DROP.
const DROPS: [&str; KINDS.len()] = [
    "DROP TABLE",
    "DROP VIEW",
    "DROP INDEX",
    "DROP SEQUENCE",
    "DROP DATABASE",
    "DROP SCHEMA",
    "DROP FUNCTION",
    "DROP PROCEDURE",
    "DROP TRIGGER",
    "DROP EXTENSION",
    "DROP TYPE",
    "DROP USER",
    "DROP ROLE",
    "DROP SERVER",
];

/// What the first statement of a text does. Nothing when its first word is none that begins a statement, so that there
/// are as many operations as are known and no more.
pub fn summary(dialect: Dialect, text: &[u8]) -> Summary {
    let mut pieces = Pieces { tokens: Tokens::new(dialect, text), left: MAX_TOKENS };
    let first = loop {
        match pieces.next() {
            Some(Token::Mark(b'(' | b';')) => {}
            Some(Token::Word(word)) => break word,
            _ => return Summary::default(),
        }
    };
    let Some((operation, place)) = known(first) else { return Summary::default() };
    match place {
        Place::Main => pieces.main().unwrap_or(Summary { operation, ..Summary::default() }),
        Place::Kind => pieces.kind(operation),
        place => pieces.summary(operation, place),
    }
}

fn known(word: &[u8]) -> Option<(&'static str, Place)> {
    OPERATIONS.into_iter().find(|(operation, _)| is(word, operation))
}

fn is(word: &[u8], keyword: &str) -> bool {
    keyword.as_bytes().eq_ignore_ascii_case(word)
}

/// The pieces of a statement that say something.
struct Pieces<'text> {
    tokens: Tokens<'text>,
    left: usize,
}

impl<'text> Pieces<'text> {
    fn next(&mut self) -> Option<Token<'text>> {
        loop {
            self.left = self.left.checked_sub(1)?;
            match self.tokens.next()? {
                Token::Blank => {}
                token => return Some(token),
            }
        }
    }

    /// The statement behind WITH and its list.
    fn main(&mut self) -> Option<Summary> {
        let mut depth = 0_u32;
        loop {
            match self.next()? {
                Token::Mark(b'(') => depth += 1,
                Token::Mark(b')') => depth = depth.saturating_sub(1),
                Token::Word(word) if depth == 0 => match known(word) {
                    Some((operation, place @ (Place::Behind("FROM") | Place::Next)))
                        if ["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE"].contains(&operation) =>
                    {
                        // The list names tables too.
                        return Some(Summary { is_only: false, ..self.summary(operation, place) });
                    }
                    _ => {}
                },
                _ => {}
            }
        }
    }

    fn kind(&mut self, operation: &'static str) -> Summary {
        // OR REPLACE, UNIQUE, TEMPORARY, DEFINER = ... stand between.
        for _ in 0..16 {
            let Some(Token::Word(word)) = self.next() else { continue };
            let place = KINDS.iter().position(|(kind, ..)| is(word, kind));
            let Some(((_, create, alter, is_named), drop)) =
                place.and_then(|place| KINDS.get(place).zip(DROPS.get(place)))
            else {
                continue;
            };
            let operation = match operation {
                "CREATE" => create,
                "ALTER" => alter,
                _ => drop,
            };
            let table = if *is_named { self.named() } else { Vec::new() };
            // An index is none, and a view has others.
            let is_only = !table.is_empty() && operation.ends_with(" TABLE");
            return Summary { operation, table, is_only };
        }
        Summary { operation, ..Summary::default() }
    }

    fn summary(&mut self, operation: &'static str, place: Place) -> Summary {
        let table = self.table(place);
        let is_only = !table.is_empty() && operation != "CALL" && self.names_no_other();
        Summary { operation, table, is_only }
    }

    /// Whether no table is named behind the first one, as far as is looked.
    fn names_no_other(&mut self) -> bool {
        // A comma behind the name, or its other name, goes on with the list.
        let mut words = 0;
        while let Some(token) = self.next() {
            match token {
                Token::Mark(b',') if words <= 2 => return false,
                Token::Mark(b';') => return self.next().is_none(),
                Token::Word(word)
                    if ["JOIN", "FROM", "USING", "UNION"].iter().any(|other| is(word, other)) =>
                {
                    return false;
                }
                Token::Word(_) | Token::Name(_) => words += 1,
                _ => words = u32::MAX / 2,
            }
        }
        true
    }

    /// The name behind IF NOT EXISTS and the like; an index is known by its table.
    fn named(&mut self) -> Vec<u8> {
        let mut token = self.next();
        while let Some(Token::Word(word)) = token {
            if !["IF", "NOT", "EXISTS", "ONLY", "CONCURRENTLY"].iter().any(|between| is(word, between)) {
                break;
            }
            token = self.next();
        }
        self.qualified(token)
    }

    fn table(&mut self, place: Place) -> Vec<u8> {
        match place {
            Place::Next => {
                let mut token = self.next();
                while let Some(Token::Word(word)) = token {
                    if !BETWEEN.iter().any(|between| is(word, between)) {
                        break;
                    }
                    token = self.next();
                }
                self.qualified(token)
            }
            Place::Behind(wanted) => self.behind(wanted),
            Place::Nowhere | Place::Kind | Place::Main => Vec::new(),
        }
    }

    /// The name behind a word, which may stand in a query in brackets, but not among a function's arguments.
    fn behind(&mut self, wanted: &str) -> Vec<u8> {
        // A bit for each open bracket, the innermost lowest: whether a query is in it.
        let mut queries = 1_u64;
        let mut opens = false;
        loop {
            let Some(token) = self.next() else { return Vec::new() };
            match token {
                Token::Mark(b'(') => {
                    queries <<= 1;
                    opens = true;
                    continue;
                }
                Token::Mark(b')') => queries >>= 1,
                Token::Mark(b';') => return Vec::new(),
                Token::Word(word) if opens && (is(word, "SELECT") || is(word, "WITH")) => queries |= 1,
                Token::Word(word) if queries & 1 != 0 && is(word, wanted) => {
                    let token = self.next();
                    match token {
                        Some(Token::Mark(b'(')) => {
                            queries <<= 1;
                            opens = true;
                            continue;
                        }
                        Some(Token::Word(word)) if is(word, "ONLY") || is(word, "LATERAL") => {
                            let token = self.next();
                            return self.qualified(token);
                        }
                        token => return self.qualified(token),
                    }
                }
                _ => {}
            }
            opens = false;
        }
    }

    /// The name that begins with this piece, with what dots join to it.
    fn qualified(&mut self, first: Option<Token<'text>>) -> Vec<u8> {
        let mut name = Vec::new();
        let mut token = first;
        for _ in 0..4 {
            match token {
                Some(Token::Word(part)) => name.extend_from_slice(part),
                Some(Token::Name(part)) => {
                    let inner = part.get(1..part.len().saturating_sub(1)).unwrap_or_default();
                    name.extend_from_slice(inner);
                }
                _ => break,
            }
            let before = (self.tokens.clone(), self.left);
            if self.next() != Some(Token::Mark(b'.')) {
                (self.tokens, self.left) = before;
                break;
            }
            name.push(b'.');
            token = self.next();
        }
        if name.last() == Some(&b'.') {
            name.pop();
        }
        if name.len() > MAX_TABLE_BYTES || name.iter().any(u8::is_ascii_control) { Vec::new() } else { name }
    }
}
