//! Blanks what names say is secret in text: headers, query parameters, forms, JSON members, user information in URLs,
//! and lines that log in.
//!
//! It reads byte by byte and remembers where it is, so that it matters neither where calls end nor what a header or a body
//! is. Bytes that follow a hole may be the rest of a secret whose name is not known, so they are blanked up to the end
//! of the line.

use crate::{BLANK, PerSide, Redactor, Side};

/// Of a name, remembered.
const MAX_NAME_BYTES: usize = 64;
/// Names that are secret as they are.
const NAMES: [&str; 6] = ["cookie", "set-cookie", "sig", "pwd", "pass", "jwt"];
/// What makes a name secret wherever it stands in it.
const PARTS: [&str; 15] = [
    "authorization",
    "authentication",
    "x-auth",
    "-auth",
    "_auth",
    "apikey",
    "api-key",
    "api_key",
    "token",
    "secret",
    "password",
    "passwd",
    "signature",
    "credential",
    "access_key",
];

/// Whether a value of this name is to be blanked; the name in lower case.
pub(crate) fn is_secret_name(name: &str) -> bool {
    NAMES.contains(&name) || PARTS.iter().any(|part| name.contains(part))
}

/// Words that begin a line whose rest is a credential, in protocols that people could type.
const LINES: [&str; 5] = ["auth", "pass", "login", "identify", "authenticate"];

/// Where in a text it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    /// Outside of values.
    #[default]
    Text,
    /// In the value of a header: to the end of the line.
    Header,
    /// Behind `name=`.
    Parameter,
    /// Behind `"name":`, before the value.
    Member,
    /// In a string of JSON; whether the byte before is a backslash.
    String { escaped: bool },
    /// In a number or word of JSON.
    Word,
    /// In a string of SQL behind the word for a password.
    Quoted,
    /// Behind `://`, before a slash.
    Authority,
}

/// The state of one direction.
#[derive(Debug)]
pub(crate) struct TextSecrets {
    place: Place,
    /// The name that was read last, in lower case.
    name: Vec<u8>,
    /// Whether the name began its line, or was in quotes.
    begins_line: bool,
    is_quoted: bool,
    /// The name is over: what follows it is blank or a quote.
    is_over: bool,
    at_line_start: bool,
    /// Bytes of `://` that were read.
    slashes: u8,
    /// The next place in the stream that it expects.
    expected: u64,
    /// Part of a line was not kept.
    is_lost: bool,
}

impl Default for TextSecrets {
    fn default() -> Self {
        Self {
            place: Place::Text,
            name: Vec::new(),
            begins_line: false,
            is_quoted: false,
            is_over: false,
            at_line_start: true,
            slashes: 0,
            expected: 0,
            is_lost: false,
        }
    }
}

impl TextSecrets {
    /// Blanks secrets in the kept head of a call that moved `size` bytes. Returns how many bytes it blanked.
    pub(crate) fn redact(&mut self, position: u64, size: u64, bytes: &mut [u8]) -> usize {
        if position != self.expected || self.is_lost {
            self.forget();
            let is_start = is_message_start(bytes);
            let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
            let first = bytes.get(..line).unwrap_or_default().trim_ascii_end();
            // A chunk's length tells nothing, and the codec needs it.
            let is_length = first.len() <= 8 && first.iter().all(u8::is_ascii_hexdigit);
            if !is_start && !is_length {
                self.place = Place::Header;
            }
        }
        self.expected = position.saturating_add(size);
        self.is_lost = (bytes.len() as u64) < size;
        let mut blanked = 0;
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first_mut() {
            if self.place == Place::Authority && *byte != b'@' && !ends_authority(*byte) {
                // User information only if an at sign follows; when that is not known, it may.
                let end = after.iter().position(|byte| *byte == b'@' || ends_authority(*byte));
                if end.and_then(|end| after.get(end)).is_some_and(|end| *end != b'@') {
                    self.place = Place::Text;
                }
            }
            if self.reads(*byte) {
                *byte = BLANK;
                blanked += 1;
            }
            rest = after;
        }
        blanked
    }

    fn forget(&mut self) {
        let expected = self.expected;
        *self = Self { expected, ..Self::default() };
    }

    /// Goes on by one byte; whether it is secret.
    pub(crate) fn reads(&mut self, byte: u8) -> bool {
        match self.place {
            Place::Text => {
                self.text(byte);
                false
            }
            Place::Header => {
                if byte == b'\n' {
                    self.end_line();
                }
                !matches!(byte, b'\r' | b'\n')
            }
            Place::Parameter => {
                let is_over = matches!(byte, b'&' | b' ' | b';' | b'"' | b'\'' | b'\r' | b'\n' | b'#');
                if is_over {
                    self.place = Place::Text;
                    self.text(byte);
                }
                !is_over
            }
            Place::Member => {
                match byte {
                    b' ' | b'\t' | b'\r' | b'\n' => return false,
                    b'"' => self.place = Place::String { escaped: false },
                    b'{' | b'[' => self.place = Place::Text,
                    _ => {
                        self.place = Place::Word;
                        return true;
                    }
                }
                self.name.clear();
                false
            }
            Place::String { escaped: true } => {
                self.place = Place::String { escaped: false };
                true
            }
            Place::String { escaped: false } => {
                match byte {
                    b'\\' => self.place = Place::String { escaped: true },
                    b'"' => self.place = Place::Text,
                    _ => {}
                }
                byte != b'"'
            }
            Place::Word => {
                let is_over = matches!(byte, b',' | b'}' | b']' | b' ' | b'\r' | b'\n');
                if is_over {
                    self.place = Place::Text;
                    self.text(byte);
                }
                !is_over
            }
            Place::Quoted => {
                if byte == b'\'' {
                    self.place = Place::Text;
                }
                byte != b'\''
            }
            Place::Authority => {
                let is_over = byte == b'@' || ends_authority(byte);
                if is_over {
                    self.place = Place::Text;
                    self.text(byte);
                }
                !is_over
            }
        }
    }

    fn end_line(&mut self) {
        self.place = Place::Text;
        self.name.clear();
        self.at_line_start = true;
        self.is_over = false;
        self.is_quoted = false;
    }

    fn text(&mut self, byte: u8) {
        self.slashes = match (byte, self.slashes) {
            (b':', _) => 1,
            (b'/', 1) => 2,
            (b'/', 2) => {
                self.place = Place::Authority;
                0
            }
            _ => 0,
        };
        match byte {
            b'\n' => self.end_line(),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => {
                if self.is_over || self.name.is_empty() {
                    self.name.clear();
                    self.begins_line = self.at_line_start;
                    self.is_over = false;
                }
                if self.name.len() < MAX_NAME_BYTES {
                    self.name.push(byte.to_ascii_lowercase());
                }
                self.at_line_start = false;
            }
            b'"' => {
                // Before a name it opens, behind one it closes.
                if self.name.is_empty() || self.is_over {
                    self.name.clear();
                    self.is_over = false;
                    self.is_quoted = false;
                } else {
                    self.is_quoted = true;
                }
                self.at_line_start = false;
            }
            b'=' | b':' => {
                let is_secret = is_secret_name(std::str::from_utf8(&self.name).unwrap_or_default());
                if is_secret {
                    match (byte, self.is_quoted, self.begins_line) {
                        (b'=', ..) => self.place = Place::Parameter,
                        (_, true, _) => self.place = Place::Member,
                        (_, false, true) => self.place = Place::Header,
                        _ => {}
                    }
                }
                self.name.clear();
                self.is_quoted = false;
                self.at_line_start = false;
            }
            b'\'' if is_secret_name(std::str::from_utf8(&self.name).unwrap_or_default()) => {
                self.place = Place::Quoted;
                self.name.clear();
            }
            b' ' | b'\t' => {
                let begins = self.begins_line
                    && !self.is_over
                    && LINES.iter().any(|word| word.as_bytes() == self.name);
                if begins {
                    self.place = Place::Header;
                }
                self.is_over = true;
            }
            _ => {
                self.name.clear();
                self.is_quoted = false;
                self.at_line_start = false;
            }
        }
    }
}

fn ends_authority(byte: u8) -> bool {
    matches!(byte, b'/' | b'?' | b'#' | b' ' | b'"' | b'\'' | b'\r' | b'\n' | b'<' | b'>' | b',')
}

/// For connections of which it is not known what they speak.
#[derive(Debug, Default)]
pub(crate) struct TextRedactor {
    sides: PerSide<TextSecrets>,
}

impl Redactor for TextRedactor {
    fn redact(&mut self, side: Side, position: u64, size: u64, bytes: &mut [u8]) -> usize {
        self.sides.of(side).redact(position, size, bytes)
    }
}

/// Whether a request or response begins here, rather than something in the middle of one.
fn is_message_start(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    line.starts_with(b"HTTP/1.") || line.windows(8).any(|window| window == b" HTTP/1.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        let size = bytes.len() as u64;
        TextSecrets::default().redact(0, size, &mut bytes);
        String::from_utf8(bytes).unwrap_or_default()
    }

    #[test]
    fn values_of_secret_names_are_blanked_and_others_stay() {
        assert_eq!(
            redacted("Host: a\r\nAuthorization: Bearer x\r\n\r\n"),
            "Host: a\r\nAuthorization:*********\r\n\r\n"
        );
        assert_eq!(redacted("GET /a?token=abc&b=1 HTTP/1.1\r\n"), "GET /a?token=***&b=1 HTTP/1.1\r\n");
        assert_eq!(redacted(r#"{"password": "a\"b", "user": "c"}"#), r#"{"password": "****", "user": "c"}"#);
        assert_eq!(redacted("Location: http://me:pw@host/x\r\n"), "Location: http://*****@host/x\r\n");
        assert_eq!(redacted("Location: http://host/x@y\r\n"), "Location: http://host/x@y\r\n");
        assert_eq!(redacted("AUTH x\r\nPASS y\n"), "AUTH *\r\nPASS *\n");
        assert_eq!(redacted("Content-Length: 5\r\nAuthor: me\r\n"), "Content-Length: 5\r\nAuthor: me\r\n");
    }
}
