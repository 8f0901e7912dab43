//! Lines into messages: stack traces and other continued lines belong to the line that they follow.
//!
//! In: lines of one stream with the times of their observations. Out: messages, each complete when a line comes that
//! begins the next one, or when nothing was added for a second of observed time. There is no other clock, so a replay
//! joins what the live registry joined.

use aftertrace_schemas::UnixNanos;

use super::json::{self, JsonLog};
use super::level::Level;

/// A line that comes this long after the one before begins a message.
pub const TIMEOUT_NS: i64 = 1_000_000_000;
/// Bytes of a message; what is beyond is left out.
pub const MESSAGE_BYTES: usize = 65_536;
/// A timestamp is looked for in so many bytes.
const TIMESTAMP_BYTES: usize = 100;

/// A whole message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Its lines.
    pub text: String,
    /// What the journal said of it.
    pub priority: Option<u8>,
    /// Whether a part of it was left out.
    pub is_cut: bool,
    /// When it is a JSON object.
    json: Option<JsonLog>,
}

impl Message {
    /// How bad it is.
    pub fn level(&self) -> Level {
        if let Some(priority) = self.priority {
            return Level::of_priority(priority);
        }
        match &self.json {
            Some(JsonLog { level: Some(level), .. }) => *level,
            _ => Level::guess(self.essence()),
        }
    }

    /// What patterns are made of and samples show: a JSON log's message, else all of it.
    pub fn essence(&self) -> &str {
        self.json.as_ref().and_then(|json| json.message.as_deref()).unwrap_or(&self.text)
    }
}

/// Where in a stack trace the open message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trace {
    None,
    /// Frames of a Python traceback.
    PythonFrames,
    /// After the exception of a Python traceback.
    PythonEnd,
    /// Another traceback follows.
    PythonChain,
    /// A Go panic.
    Go,
}

#[derive(Debug)]
struct Open {
    text: String,
    priority: Option<u8>,
    has_timestamp: bool,
    trace: Trace,
    last: UnixNanos,
    is_cut: bool,
}

/// Joins the lines of one stream.
#[derive(Debug, Default)]
pub struct Joiner {
    open: Option<Box<Open>>,
}

impl Joiner {
    /// Adds a line; gives the messages that are complete now.
    pub fn add(&mut self, time: UnixNanos, line: &str, priority: Option<u8>, out: &mut impl FnMut(Message)) {
        self.flush(time, out);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if let Some(json) = json::parse(line) {
            self.finish(out);
            out(Message { text: line.to_owned(), priority, is_cut: false, json: Some(json) });
            return;
        }
        if let Some(open) = &mut self.open
            && open.continues(line)
        {
            open.push(line);
            open.last = time.max(open.last);
            return;
        }
        self.finish(out);
        if !line.trim().is_empty() {
            self.open = Some(Box::new(Open::new(time, line, priority)));
        }
    }

    /// Gives the open message if nothing was added to it for long.
    pub fn flush(&mut self, now: UnixNanos, out: &mut impl FnMut(Message)) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.finish(out);
        }
    }

    /// Gives the open message.
    pub fn finish(&mut self, out: &mut impl FnMut(Message)) {
        if let Some(open) = self.open.take() {
            let Open { mut text, priority, is_cut, .. } = *open;
            text.truncate(text.trim_end().len());
            out(Message { text, priority, is_cut, json: None });
        }
    }

    /// When the open message will be complete if nothing is added to it.
    pub fn deadline(&self) -> Option<UnixNanos> {
        self.open.as_ref().map(|open| open.last.saturating_add(TIMEOUT_NS))
    }
}

impl Open {
    fn new(time: UnixNanos, line: &str, priority: Option<u8>) -> Self {
        let trace = if is_traceback(line) {
            Trace::PythonFrames
        } else if is_panic(line) {
            Trace::Go
        } else {
            Trace::None
        };
        let has_timestamp = has_timestamp(line);
        let mut open =
            Self { text: String::new(), priority, has_timestamp, trace, last: time, is_cut: false };
        open.push(line);
        open
    }

    fn push(&mut self, line: &str) {
        if !self.text.is_empty() {
            if self.text.len() >= MESSAGE_BYTES {
                self.is_cut = true;
                return;
            }
            self.text.push('\n');
        }
        let room = MESSAGE_BYTES.saturating_sub(self.text.len());
        let fitting = line.get(..line.floor_char_boundary(room)).unwrap_or_default();
        self.is_cut |= fitting.len() < line.len();
        self.text.push_str(fitting);
    }

    /// Whether a line belongs to this message.
    fn continues(&mut self, line: &str) -> bool {
        let is_blank = line.trim().is_empty();
        match self.trace {
            Trace::PythonFrames if is_blank || is_indented(line) => return true,
            Trace::PythonFrames => {
                self.trace = Trace::PythonEnd;
                return true;
            }
            Trace::PythonEnd if is_chained(line) => {
                self.trace = Trace::PythonChain;
                return true;
            }
            Trace::PythonChain if is_traceback(line) => {
                self.trace = Trace::PythonFrames;
                return true;
            }
            Trace::Go if is_go_trace(line) => return true,
            _ => {}
        }
        if is_blank {
            return true;
        }
        if is_panic(line) {
            return false;
        }
        if is_traceback(line) {
            // What a logger prints below its message; one that nobody caught is a message by itself.
            let belongs = self.trace == Trace::None
                && match Level::guess(&self.text) {
                    Level::Critical | Level::Error | Level::Warning => true,
                    Level::Unknown => self.has_timestamp,
                    Level::Info | Level::Debug => false,
                };
            if belongs {
                self.trace = Trace::PythonFrames;
            }
            return belongs;
        }
        is_indented(line)
            || line.starts_with('}')
            || line.starts_with("Caused by: ")
            || line.starts_with("for call at")
            || self.has_timestamp && !has_timestamp(line)
    }
}

fn is_indented(line: &str) -> bool {
    line.starts_with('\t') || line.starts_with("  ")
}

fn is_traceback(line: &str) -> bool {
    line.starts_with("Traceback (most recent call last)")
}

fn is_chained(line: &str) -> bool {
    line.starts_with("During handling of the above exception")
        || line.starts_with("The above exception was the direct cause")
}

fn is_panic(line: &str) -> bool {
    line.starts_with("panic: ") || line.starts_with("fatal error: ")
}

/// Lines below a Go panic.
fn is_go_trace(line: &str) -> bool {
    let is_call = || {
        line.ends_with(')')
            && line.split_once('(').is_some_and(|(function, _)| {
                function.contains('.') && !function.contains(char::is_whitespace)
            })
    };
    is_indented(line)
        || ["goroutine ", "created by ", "[signal ", "exit status ", "runtime stack:", "..."]
            .iter()
            .any(|beginning| line.starts_with(beginning))
        || is_call()
}

/// Whether there is a time of day, `12:34:56`, near the beginning.
pub(super) fn has_timestamp(line: &str) -> bool {
    let head = line.as_bytes().get(..TIMESTAMP_BYTES.min(line.len())).unwrap_or_default();
    // MAC addresses and the like look similar, but go on. A colon may stand before it after a year, as in web servers'
    // logs.
    let borders = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_digit() && *byte != b':');
    let follows_a_year = |at: usize| {
        let before = at.checked_sub(5).and_then(|from| head.get(from..at));
        before.is_some_and(|before| {
            before.ends_with(b":") && before.iter().take(4).all(|byte| byte.is_ascii_digit())
        })
    };
    head.windows(8).enumerate().any(|(at, window)| {
        let is_time = window.iter().enumerate().all(|(index, byte)| {
            if index == 2 || index == 5 { *byte == b':' } else { byte.is_ascii_digit() }
        });
        is_time
            && (follows_a_year(at) || borders(at.checked_sub(1).and_then(|before| head.get(before))))
            && borders(line.as_bytes().get(at + 8))
    })
}
