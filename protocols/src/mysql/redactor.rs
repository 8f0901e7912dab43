//! Blanks what clients authenticate with, passwords in statements, values of prepared statements, and what servers say
//! of statements with passwords.

use super::packet::{Command, ENCRYPTS, HEADER_BYTES, LOGIN_HEAD_BYTES, header, login_flags, login_secret};
use crate::statement::StatementSecrets;
use crate::{BLANK, PerSide, Redactor, Side};

/// Of a login, up to the length of what is secret: a user has at most 128 characters.
const MAX_LOGIN_HEAD_BYTES: usize = 1024;
/// What codecs read of the server's packets: kind and number of an error, state in an OK.
const ERROR_BYTES: u64 = 9;
const END_BYTES: u64 = 24;

/// What is known of the connection.
#[derive(Debug, Default)]
pub(super) struct MysqlRedactor {
    sides: PerSide<Walk>,
    /// What follows is encrypted.
    is_opaque: bool,
    /// The client has opened the connection, or was heard in the middle of it.
    has_begun: bool,
    /// The last statement speaks of a password: so may the answer.
    is_hidden: bool,
}

/// Where in one side's packets it is.
#[derive(Debug, Default)]
struct Walk {
    header: Vec<u8>,
    /// Of the packet's content, still to come, and what came.
    left: u64,
    come: u64,
    what: What,
    /// Of the last call.
    end: u64,
    /// It is known that packets begin where they are looked for.
    is_synchronous: bool,
}

#[derive(Debug, Default)]
enum What {
    /// Nothing in it is secret.
    Plain,
    /// All but the first bytes.
    Secret(u64),
    /// The first byte tells.
    #[default]
    Unknown,
    Statement(StatementSecrets),
    /// The answer to the challenge is known to be in it once its length has come.
    Login(Vec<u8>),
    /// Secret up to this place.
    SecretTo(u64),
    /// Behind the name of the user, which a zero ends.
    User,
    /// Behind that: the length.
    Length,
    /// No packet: up to the end of the call.
    Lost,
}

impl Redactor for MysqlRedactor {
    fn redact(&mut self, side: Side, position: u64, size: u64, bytes: &mut [u8]) -> usize {
        if self.is_opaque {
            return 0;
        }
        let size = size.max(bytes.len() as u64);
        let walk = self.sides.of(side);
        if matches!(walk.what, What::Lost) {
            *walk = Walk { end: position, ..Walk::default() };
        } else if position != walk.end {
            walk.missed(position.saturating_sub(walk.end));
        }
        let mut blanked = 0;
        for byte in &mut *bytes {
            if self.is_secret(side, *byte) {
                *byte = BLANK;
                blanked += 1;
            }
        }
        let walk = self.sides.of(side);
        let hole = size - bytes.len() as u64;
        if hole > 0 && !matches!(walk.what, What::Lost) {
            walk.missed(hole);
        }
        walk.end = position.saturating_add(size);
        blanked
    }
}

impl Walk {
    /// Bytes went by unseen.
    fn missed(&mut self, bytes: u64) {
        if bytes <= self.left && self.header.is_empty() {
            self.left -= bytes;
            self.come += bytes;
            match &mut self.what {
                What::Statement(statement) => statement.hide(),
                What::Plain | What::Secret(_) => {}
                _ => self.what = What::Secret(0),
            }
            return;
        }
        // A packet began somewhere in them; the next call is taken for the beginning of one.
        *self = Self { end: self.end, ..Self::default() };
    }
}

impl MysqlRedactor {
    /// Goes on by one byte.
    fn is_secret(&mut self, side: Side, byte: u8) -> bool {
        if matches!(self.sides.of(side).what, What::Lost) {
            return true;
        }
        if self.sides.of(side).left == 0 {
            let walk = self.sides.of(side);
            walk.header.push(byte);
            if walk.header.len() == HEADER_BYTES {
                self.begin(side);
            }
            return false;
        }
        let walk = self.sides.of(side);
        walk.left -= 1;
        let place = walk.come;
        walk.come += 1;
        if matches!(walk.what, What::Unknown) {
            let length = u32::try_from(walk.left + 1).unwrap_or(u32::MAX);
            let what = match side {
                Side::Client => self.what_is_asked(byte, length),
                Side::Server => what_is_said(byte),
            };
            self.sides.of(side).what = what;
            // A byte that is no command may be of a password.
            return matches!(self.sides.of(side).what, What::Lost);
        }
        match &mut walk.what {
            What::Plain | What::Unknown => false,
            What::Lost => true,
            What::Secret(from) => place >= *from,
            What::SecretTo(end) => place < *end,
            What::Statement(statement) => {
                let is_secret = statement.reads(byte);
                self.is_hidden |= statement.is_hidden();
                is_secret
            }
            What::User => {
                if byte == 0 {
                    walk.what = What::Length;
                }
                false
            }
            What::Length => {
                walk.what = What::SecretTo(place + 1 + u64::from(byte));
                false
            }
            What::Login(head) => {
                head.push(byte);
                self.login()
            }
        }
    }

    /// Goes on in a login whose head has one more byte.
    fn login(&mut self) -> bool {
        let walk = &mut self.sides.client;
        let What::Login(head) = &walk.what else { return true };
        if head.len() < LOGIN_HEAD_BYTES {
            return false;
        }
        let Some(flags) = login_flags(head) else {
            walk.what = What::Secret(0);
            return true;
        };
        if head.len() == LOGIN_HEAD_BYTES {
            // It asks for encryption, which begins behind it.
            self.is_opaque = walk.left == 0 && flags & ENCRYPTS != 0;
            return false;
        }
        if let Some(secret) = login_secret(flags, head) {
            walk.is_synchronous = true;
            walk.what = match secret.end {
                Some(end) => What::SecretTo(end as u64),
                None => What::Secret(secret.begin as u64),
            };
            return false;
        }
        if head.len() >= MAX_LOGIN_HEAD_BYTES {
            walk.what = What::Secret(0);
        }
        false
    }

    /// A header is whole.
    fn begin(&mut self, side: Side) {
        let is_hidden = self.is_hidden;
        let has_begun = std::mem::replace(&mut self.has_begun, true);
        let walk = self.sides.of(side);
        let Some(header) = header(&walk.header) else { return };
        walk.header.clear();
        walk.left = header.length.into();
        walk.come = 0;
        walk.what = match (side, header.sequence) {
            (Side::Client, 0) => What::Unknown,
            (Side::Client, 1 | 2) if !has_begun => What::Login(Vec::new()),
            // It may be any bytes.
            (Side::Client, _) if !walk.is_synchronous => What::Lost,
            // Passwords and what proves that one is known; files; the rest of what was too long for a packet.
            (Side::Client, _) => What::Secret(0),
            (Side::Server, _) if is_hidden => What::Unknown,
            (Side::Server, _) => What::Plain,
        };
        if side == Side::Server {
            self.has_begun = has_begun;
        }
    }

    /// What follows this first byte of a command.
    fn what_is_asked(&mut self, byte: u8, length: u32) -> What {
        self.is_hidden = false;
        let Some(command) = Command::of(byte, length) else { return What::Lost };
        self.sides.client.is_synchronous = true;
        match command {
            Command::ChangeUser => What::User,
            Command::Replicate => What::Secret(1),
            // One of them introduces a replica, with its password.
            Command::Upkeep if length > 5 => What::Secret(1),
            command if command.has_text() => What::Statement(StatementSecrets::default()),
            command => match command.values_begin() {
                Some(place) => What::Secret(1 + place as u64),
                None => What::Plain,
            },
        }
    }
}

/// What follows this first byte of an answer to a statement that speaks of passwords.
fn what_is_said(byte: u8) -> What {
    match byte {
        0xff => What::Secret(ERROR_BYTES),
        0x00 | 0xfe => What::Secret(END_BYTES),
        // The number of columns, and descriptions of them or rows, of which nothing is read.
        _ => What::Secret(4),
    }
}
