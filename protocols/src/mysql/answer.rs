//! The packets of one answer: where it ends, and whether it failed.
//!
//! What the client and server agreed on when they met need not be known: how results end shows which form they have.

use super::packet::{Header, error, is_old_eof, number, state};
use crate::cursor::Cursor;

/// Of a table that is told of, the most columns.
const MAX_COLUMNS: u64 = 1 << 16;
/// A code that says how far the server is, no error.
const PROGRESS: u16 = 0xffff;

/// What kind of answer it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// OK, an error, tables, or several of them.
    Results,
    /// The number of a prepared statement, and what its parameters and columns are.
    Prepared,
    /// Rows up to their end.
    Rows,
    /// One packet, whatever it is.
    Text,
    /// OK or an error.
    Simple,
    /// A dialogue that ends with OK or an error.
    Login,
}

/// What a packet was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// More follow.
    Goes,
    /// The last one.
    Ends,
    /// The last one, unless an EOF follows.
    MayEnd,
    /// The client is to send a file.
    WantsFile,
    /// None like it can be here.
    Foreign,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    /// At the beginning of a result.
    #[default]
    First,
    /// So many descriptions of columns follow.
    Columns(u64),
    /// What follows them.
    BehindColumns,
    Rows,
    /// Descriptions of parameters, then of columns.
    Parameters(u64, u64),
    /// An EOF may follow.
    End,
    /// More of a packet that was too long for one.
    Continued,
}

/// An answer as far as it came.
#[derive(Debug, Default)]
pub(super) struct Answer {
    place: Place,
    /// When its first byte moved.
    pub first_ns: Option<u64>,
    /// The number of the next packet, where they are counted on.
    pub sequence: Option<u8>,
    /// Number and SQLSTATE of the error that ended it; 0 and none if they were not kept.
    pub error: Option<(u16, Vec<u8>)>,
    /// The number of the statement that was prepared.
    pub statement: Option<[u8; 4]>,
}

impl Answer {
    /// Goes on by a packet of which `content` was kept, at least its first byte, if it has one. `has_eof`: whether it is
    /// known that descriptions end with an EOF; it is learned here.
    pub(super) fn read(
        &mut self,
        kind: Kind,
        header: Header,
        content: &[u8],
        has_eof: &mut Option<bool>,
    ) -> Step {
        let length = header.length;
        if self.place == Place::Continued {
            if length < super::packet::LONGEST {
                self.place = Place::Rows;
            }
            return Step::Goes;
        }
        let Some(first) = content.first() else { return Step::Foreign };
        if *first == 0xff {
            return match error(content) {
                Some((PROGRESS, _)) => {
                    self.sequence = None;
                    Step::Goes
                }
                Some((code, state)) => {
                    self.error = Some((code, state.to_vec()));
                    Step::Ends
                }
                // Its number was not kept.
                None => {
                    self.error = Some((0, Vec::new()));
                    Step::Ends
                }
            };
        }
        match (self.place, kind) {
            (Place::First, Kind::Text) => Step::Ends,
            (Place::First, Kind::Simple) => {
                if matches!(first, 0x00 | 0xfe) {
                    Step::Ends
                } else {
                    Step::Foreign
                }
            }
            (Place::First, Kind::Login) => {
                self.sequence = None;
                if *first == 0 { Step::Ends } else { Step::Goes }
            }
            (Place::First, Kind::Prepared) => self.prepared(content),
            (Place::First, Kind::Results) => self.result(length, content),
            (Place::Columns(left), _) => {
                self.place = if left > 1 { Place::Columns(left - 1) } else { Place::BehindColumns };
                Step::Goes
            }
            (Place::BehindColumns, _) if is_old_eof(length, content) => {
                *has_eof = Some(true);
                self.place = Place::Rows;
                if state(length, content).is_some_and(|state| state.has_cursor()) {
                    Step::Ends
                } else {
                    Step::Goes
                }
            }
            (Place::First | Place::BehindColumns | Place::Rows, _) => {
                // In a row it would begin a value that is too long for the packet.
                if *first == 0xfe && length < super::packet::LONGEST {
                    return self.ended(length, content);
                }
                self.place = if length == super::packet::LONGEST { Place::Continued } else { Place::Rows };
                Step::Goes
            }
            (Place::Parameters(parameters, columns), _) => {
                let is_eof = is_old_eof(length, content);
                if is_eof {
                    *has_eof = Some(true);
                }
                let left = match (is_eof, parameters, columns) {
                    (true, ..) => (parameters, columns),
                    (_, 1.., _) => (parameters - 1, columns),
                    _ => (0, columns.saturating_sub(1)),
                };
                self.described(left, is_eof, *has_eof)
            }
            (Place::End, _) => {
                if is_old_eof(length, content) {
                    Step::Ends
                } else {
                    Step::Foreign
                }
            }
            (Place::Continued, _) => Step::Foreign,
        }
    }

    /// The first packet of a result.
    fn result(&mut self, length: u32, content: &[u8]) -> Step {
        match content {
            [0x00, ..] if length >= 7 => self.ended(length, content),
            [0xfb, ..] => {
                self.sequence = None;
                Step::WantsFile
            }
            [0xfe, ..] if length == 5 => self.ended(length, content),
            _ => match columns(length, content) {
                Some((count, is_described)) => {
                    self.place = if is_described { Place::Columns(count) } else { Place::BehindColumns };
                    Step::Goes
                }
                None => Step::Foreign,
            },
        }
    }

    fn ended(&mut self, length: u32, content: &[u8]) -> Step {
        if state(length, content).is_some_and(|state| state.has_more()) {
            self.place = Place::First;
            return Step::Goes;
        }
        Step::Ends
    }

    fn prepared(&mut self, content: &[u8]) -> Step {
        let mut cursor = Cursor::new(content);
        let (Some(0), statement) = (cursor.u8(), cursor.take(4)) else { return Step::Foreign };
        self.statement = statement.and_then(|bytes| bytes.first_chunk().copied());
        let mut count = || cursor.take(2)?.first_chunk().map(|bytes| u64::from(u16::from_le_bytes(*bytes)));
        let (columns, parameters) = (count().unwrap_or_default(), count().unwrap_or_default());
        if columns + parameters == 0 {
            return Step::Ends;
        }
        self.place = Place::Parameters(parameters, columns);
        Step::Goes
    }

    /// So many descriptions are left.
    fn described(&mut self, (parameters, columns): (u64, u64), is_eof: bool, has_eof: Option<bool>) -> Step {
        self.place = Place::Parameters(parameters, columns);
        if parameters + columns > 0 {
            return Step::Goes;
        }
        if is_eof {
            return Step::Ends;
        }
        self.place = Place::End;
        if has_eof == Some(true) { Step::Goes } else { Step::MayEnd }
    }

    /// Whether something of it came.
    pub(super) fn has_begun(&self) -> bool {
        self.first_ns.is_some()
    }
}

/// How many columns a table has, and whether their descriptions follow: MariaDB says so behind the number, MySQL before.
fn columns(length: u32, content: &[u8]) -> Option<(u64, bool)> {
    if let (2, [first, second, ..]) = (length, content) {
        let (count, is_described) = match (first, second) {
            (0, count) => (*count, false),
            (count, 0 | 1) => (*count, *second == 1),
            (1, count) => (*count, true),
            _ => return None,
        };
        return Some((count.into(), is_described));
    }
    let mut cursor = Cursor::new(content);
    let count = number(&mut cursor).filter(|count| (1..=MAX_COLUMNS).contains(count))?;
    let is_described = match usize::try_from(length).ok()?.checked_sub(cursor.place())? {
        0 => true,
        1 => cursor.u8() != Some(0),
        _ => return None,
    };
    Some((count, is_described))
}
