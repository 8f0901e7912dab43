//! MySQL and MariaDB: statements as text and prepared, several results, files that are loaded, errors with their number.
//!
//! Rules: <https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html>,
//! <https://mariadb.com/kb/en/clientserver-protocol/>.

mod answer;
mod codec;
mod details;
mod packet;
mod query;
mod redactor;
#[cfg(test)]
mod tests;

use crate::cursor::Cursor;
use crate::statement::{self, Dialect};
use crate::{Definition, Opening, Recognition, Side, Statement, System, Transport};
use packet::{
    Command, ENCRYPTS, HEADER_BYTES, LOGIN_HEAD_BYTES, error, header, is_statement, login_flags, state,
};

/// MySQL, and what speaks like it: MariaDB, Percona, Aurora, TiDB, Vitess, ProxySQL.
pub(crate) static DEFINITION: Definition = Definition {
    name: "mysql",
    title: "MySQL",
    opening: Opening::ServerGreets,
    ports: &[3306, 3307, 4000, 6033],
    alpn: &[],
    transport: Transport::Stream,
    system: System::Database("mysql"),
    statement: Statement::Sql(Dialect::MySql),
    recognise,
    codec: |_| Box::new(codec::MysqlCodec::default()),
    redactor: Some(|| Box::new(redactor::MysqlRedactor::default())),
};

fn recognise(side: Side, bytes: &[u8], size: u64) -> Recognition {
    let Some(header) = header(bytes) else { return Recognition::Open };
    let content = bytes.get(HEADER_BYTES..).unwrap_or_default();
    let content = content.get(..content.len().min(header.length as usize)).unwrap_or_default();
    let ends = HEADER_BYTES as u64 + u64::from(header.length);
    match side {
        // Servers read the header in a call of its own.
        Side::Client if size == HEADER_BYTES as u64 => {
            let is_command = header.sequence == 0 && (1..1 << 20).contains(&header.length);
            if is_command { Recognition::Possible } else { Recognition::Open }
        }
        Side::Client if header.sequence == 0 => of_command(header.length, content, ends, size),
        Side::Client if matches!(header.sequence, 1 | 2) && ends == size => of_login(content),
        Side::Server if header.sequence == 0 && ends == size => of_greeting(content),
        Side::Server if header.sequence == 1 => of_answer(header.length, bytes, size),
        _ => Recognition::Open,
    }
}

fn of_command(length: u32, content: &[u8], ends: u64, size: u64) -> Recognition {
    let Some((first, rest)) = content.split_first() else { return Recognition::Open };
    let Some(command) = Command::of(*first, length).filter(|_| ends >= size) else {
        return Recognition::Open;
    };
    match command {
        Command::Query | Command::Prepare if is_statement(query::query(rest).text) => {
            let text = query::query(rest).text;
            let is_known = !statement::summary(Dialect::MySql, text).operation.is_empty();
            if is_known { Recognition::Certain } else { Recognition::Possible }
        }
        // Bits for a cursor, and that it is done once.
        Command::Execute => match rest {
            [_, _, _, _, 0..=0x0f, 1, 0, 0, 0, ..] if ends == size => Recognition::Likely,
            _ => Recognition::Open,
        },
        Command::Close | Command::Upkeep if ends == size && length <= 5 => Recognition::Possible,
        _ => Recognition::Open,
    }
}

fn of_login(content: &[u8]) -> Recognition {
    let Some(flags) = login_flags(content) else { return Recognition::Open };
    let user = content.get(LOGIN_HEAD_BYTES..).unwrap_or_default();
    let is_user =
        user.split(|byte| *byte == 0).next().is_some_and(|user| !user.iter().any(u8::is_ascii_control));
    match user.is_empty() {
        true if flags & ENCRYPTS == 0 => Recognition::Open,
        _ if is_user => Recognition::Certain,
        _ => Recognition::Open,
    }
}

/// Version 10 of the protocol, the server's version, a thread, eight bytes of a challenge, a zero.
fn of_greeting(content: &[u8]) -> Recognition {
    let mut cursor = Cursor::new(content);
    let is_version = |text: &[u8]| {
        text.first().is_some_and(u8::is_ascii_digit)
            && text.contains(&b'.')
            && text.iter().all(u8::is_ascii_graphic)
    };
    let fits = cursor.u8() == Some(10)
        && cursor.zero_ended().is_some_and(is_version)
        && cursor.take(12).is_some()
        && cursor.u8() == Some(0);
    if fits { Recognition::Certain } else { Recognition::Open }
}

fn of_answer(length: u32, bytes: &[u8], size: u64) -> Recognition {
    let ends = HEADER_BYTES as u64 + u64::from(length);
    let content = bytes.get(HEADER_BYTES..).unwrap_or_default();
    match content {
        [0xff, ..] if ends == size => match error(content) {
            Some((1000..=9999, sql_state)) if !sql_state.is_empty() => Recognition::Certain,
            _ => Recognition::Open,
        },
        // How many columns, or a prepared statement; then descriptions of columns, of the catalogue `def`.
        _ if length <= 12 && is_description(bytes, ends) => Recognition::Certain,
        [0x00, ..] if length >= 7 && ends == size => match state(length, content) {
            Some(_) if length == 7 || length < 256 => Recognition::Likely,
            _ => Recognition::Open,
        },
        _ => Recognition::Open,
    }
}

/// Whether the second packet of an answer begins at `place` and describes a column.
fn is_description(bytes: &[u8], place: u64) -> bool {
    let rest = usize::try_from(place).ok().and_then(|place| bytes.get(place..)).unwrap_or_default();
    matches!(rest, [_, _, 0, 2, 3, b'd', b'e', b'f', ..])
}
