//! What commands and replies say.

use super::bson::{ARRAY, DOCUMENT, Element, Elements};
use crate::Status;

/// Of a command's shape, kept for spans, bytes.
const MAX_SHAPE_BYTES: usize = 1024;
const MAX_SHAPE_DEPTH: usize = 12;
/// Names of commands are words.
const MAX_NAME_BYTES: usize = 40;
/// Of names of databases and collections, kept.
const MAX_TARGET_BYTES: usize = 255;

/// Whether a command or reply may begin like this: with a word for a key and a value that it can have.
pub(super) fn is_plausible(elements: &Elements<'_>) -> bool {
    let mut elements = elements.clone();
    match elements.next() {
        Some(first) => !first.key.is_empty() && first.key.iter().all(|byte| matches!(byte, b'!'..=b'~')),
        None => false,
    }
}

/// A command.
#[derive(Debug, Default)]
pub(super) struct Command {
    pub(super) name: Vec<u8>,
    pub(super) collection: Vec<u8>,
    pub(super) database: Vec<u8>,
    /// Its keys, with `?` for values.
    pub(super) shape: Vec<u8>,
}

impl Command {
    /// One of old, which has a name and a full name of a collection.
    pub(super) fn of_old(name: &str, target: &[u8]) -> Self {
        let mut halves = target.splitn(2, |byte| *byte == b'.');
        let (database, collection) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
        Self { name: name.into(), collection: head(collection), database: head(database), shape: Vec::new() }
    }

    pub(super) fn read(elements: &Elements<'_>, wants_details: bool) -> Self {
        let mut command = Self::default();
        for (number, element) in elements.clone().enumerate() {
            if number == 0 {
                // Of old it is wrapped, with what else is to be said around it.
                if matches!(element.key, b"$query" | b"query")
                    && let Some(inner) = element.elements()
                {
                    return Self::read(&inner, wants_details);
                }
                let is_word = element.key.len() <= MAX_NAME_BYTES
                    && element.key.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
                command.name = if is_word { element.key.to_vec() } else { Vec::new() };
                if !names_no_collection(&command.name) {
                    command.collection = head(element.text().unwrap_or_default());
                }
                if !wants_details {
                    return command;
                }
            }
            match element.key {
                b"$db" => command.database = head(element.text().unwrap_or_default()),
                b"collection" if command.name == b"getMore" => {
                    command.collection = head(element.text().unwrap_or_default());
                }
                _ => {}
            }
        }
        if wants_details {
            command.shape = shape(elements, &command.collection);
        }
        command
    }
}

/// Commands whose first value is the name of something else.
fn names_no_collection(name: &[u8]) -> bool {
    let contains = |word: &[u8]| name.windows(word.len()).any(|window| window == word);
    contains(b"User")
        || contains(b"Role")
        || matches!(name, b"logApplicationMessage" | b"getLog" | b"explain")
}

fn head(text: &[u8]) -> Vec<u8> {
    text.get(..text.len().min(MAX_TARGET_BYTES)).unwrap_or_default().to_vec()
}

fn shape(elements: &Elements<'_>, collection: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    text.push(b'{');
    let mut is_first = true;
    for (number, element) in elements.clone().enumerate() {
        // What drivers add to each command.
        if element.key.starts_with(b"$") || matches!(element.key, b"lsid" | b"txnNumber" | b"autocommit") {
            continue;
        }
        if !std::mem::take(&mut is_first) {
            text.extend(b", ");
        }
        write_key(element.key, &mut text);
        if number == 0 && !collection.is_empty() {
            write_key(collection, &mut text);
            text.truncate(text.len() - 2);
        } else {
            write_value(&element, 1, &mut text);
        }
        if text.len() > MAX_SHAPE_BYTES {
            break;
        }
    }
    text.push(b'}');
    text.truncate(MAX_SHAPE_BYTES);
    text
}

fn write_key(key: &[u8], text: &mut Vec<u8>) {
    text.push(b'"');
    for byte in key {
        match byte {
            b'"' | b'\\' => text.extend([b'\\', *byte]),
            0..b' ' => text.push(b'.'),
            _ => text.push(*byte),
        }
    }
    text.extend(b"\": ");
}

fn write_value(element: &Element<'_>, depth: usize, text: &mut Vec<u8>) {
    let Some(elements) = element.elements().filter(|_| depth < MAX_SHAPE_DEPTH) else {
        return text.extend(b"\"?\"");
    };
    let is_array = element.kind == ARRAY;
    text.push(if is_array { b'[' } else { b'{' });
    for (number, inner) in elements.enumerate() {
        if text.len() > MAX_SHAPE_BYTES {
            break;
        }
        // Of a list the first says what it is a list of, if they are not the stages of a pipeline.
        if is_array && number > 0 && inner.kind != DOCUMENT {
            break;
        }
        if number > 0 {
            text.extend(b", ");
        }
        if !is_array {
            write_key(inner.key, text);
        }
        write_value(&inner, depth + 1, text);
    }
    text.push(if is_array { b']' } else { b'}' });
}

/// What a reply says.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) status: Status,
    /// Number of the error.
    pub(super) code: String,
    /// Its name.
    pub(super) code_name: Vec<u8>,
}

impl Outcome {
    pub(super) const fn of(status: Status) -> Self {
        Self { status, code: String::new(), code_name: Vec::new() }
    }

    /// Errors are short and say so first. What is long and cut is known to have succeeded if it has what was asked for.
    /// Writes that failed make a failure of a command that as such was carried out.
    pub(super) fn read(elements: &Elements<'_>) -> Self {
        let mut outcome = Self::of(Status::UNKNOWN);
        let mut is_ok = None;
        let mut has_failed_writes = false;
        let mut has_results = false;
        for element in elements.clone() {
            match element.key {
                b"ok" => is_ok = element.number().map(|number| number != 0),
                b"code" => outcome.code = number_text(&element),
                b"codeName" => outcome.code_name = head(element.text().unwrap_or_default()),
                b"writeErrors" | b"writeConcernError" if !has_failed_writes => {
                    let first = match element.kind {
                        ARRAY => element.elements().and_then(|mut errors| errors.next()),
                        _ => Some(element),
                    };
                    has_failed_writes = first.is_some();
                    for part in first.and_then(|first| first.elements()).into_iter().flatten() {
                        match part.key {
                            b"code" => outcome.code = number_text(&part),
                            b"codeName" => outcome.code_name = head(part.text().unwrap_or_default()),
                            _ => {}
                        }
                    }
                }
                b"nErrors" => has_failed_writes |= element.number().is_some_and(|number| number > 0),
                b"cursor" | b"values" | b"value" => has_results = true,
                _ => {}
            }
        }
        outcome.status = match is_ok {
            Some(false) => Status::FAILED,
            _ if has_failed_writes => Status::FAILED,
            Some(true) => Status::OK,
            None if has_results => Status::OK,
            None => Status::UNKNOWN,
        };
        if !outcome.status.is_error {
            outcome.code.clear();
            outcome.code_name.clear();
        }
        outcome
    }
}

fn number_text(element: &Element<'_>) -> String {
    element.number().map(|number| number.to_string()).unwrap_or_default()
}
