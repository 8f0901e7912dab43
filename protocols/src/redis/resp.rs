//! RESP as it lies in a stream: one element after the other, nested ones counted down, contents skipped.

use crate::Stream;

/// Arrays within arrays that are followed.
const MAX_DEPTH: usize = 32;
/// A line without an end that is this long is none.
const MAX_LINE_BYTES: usize = 4096;
/// Of a string's content, looked at.
pub(super) const HEAD_BYTES: usize = 256;

/// An element. Its content is skipped when it is taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Element<'bytes> {
    /// The byte that it begins with.
    pub(super) kind: u8,
    /// Elements of which it is one, outwards; 0 for a whole message.
    pub(super) depth: usize,
    /// The line of a simple one, the head of the content of a string.
    pub(super) head: &'bytes [u8],
    /// Whether less of it was kept than is looked at.
    pub(super) is_cut: bool,
    /// Whether it is the last of its message.
    pub(super) is_last: bool,
}

/// What is next in a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// An element: its kind, bytes of its header with the line end, bytes of its content with the line end, and
    /// elements in it.
    Element { kind: u8, header: usize, content: u64, elements: u64 },
    /// Not all of it is there.
    Wait,
    /// No RESP.
    Foreign,
}

/// The first line, without its end, and what follows it.
pub(super) fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().take(MAX_LINE_BYTES).position(|byte| *byte == b'\n')?;
    let line = bytes.get(..end)?;
    Some((line.strip_suffix(b"\r").unwrap_or(line), bytes.get(end + 1..)?))
}

/// A decimal number.
pub(super) fn number(line: &[u8]) -> Option<i64> {
    (line.len() <= 19).then(|| std::str::from_utf8(line).ok()?.parse().ok()).flatten()
}

/// Looks at the element at the beginning of `bytes`.
pub(super) fn next(bytes: &[u8]) -> Next {
    let Some((kind, rest)) = bytes.split_first() else { return Next::Wait };
    if !b"*$+-:_,#!=(%~>|".contains(kind) {
        return Next::Foreign;
    }
    let Some((text, after)) = line(rest) else {
        return if rest.len() > MAX_LINE_BYTES { Next::Foreign } else { Next::Wait };
    };
    let header = bytes.len() - after.len();
    let (content, elements) = match kind {
        b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => (0, 0),
        _ => {
            let Some(count) = number(text) else { return Next::Foreign };
            match (kind, u64::try_from(count)) {
                // -1 is nil.
                (_, Err(_)) if count == -1 => (0, 0),
                (b'$' | b'=' | b'!', Ok(length)) => (length.saturating_add(2), 0),
                (b'%' | b'|', Ok(pairs)) => (0, pairs.saturating_mul(2)),
                (b'*' | b'~' | b'>', Ok(elements)) => (0, elements),
                _ => return Next::Foreign,
            }
        }
    };
    Next::Element { kind: *kind, header, content, elements }
}

/// Follows the elements of one direction.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// Elements that are still to come, of each array that is open.
    open: Vec<u64>,
}

/// How reading the next element went.
pub(super) enum Step {
    /// It was handed over.
    Read,
    /// Not all of its head is there.
    Wait,
    /// No RESP.
    Foreign,
}

impl Reader {
    /// Forgets the message that it is in.
    pub(super) fn reset(&mut self) {
        self.open.clear();
    }

    /// Whether the next element begins a message.
    pub(super) fn is_between(&self) -> bool {
        self.open.is_empty()
    }

    /// Hands over the next element, then skips it.
    pub(super) fn step(&mut self, stream: &mut Stream, take: impl FnOnce(&Element<'_>)) -> Step {
        let bytes = stream.bytes();
        let (kind, header, content, elements) = match next(bytes) {
            Next::Element { kind, header, content, elements } => (kind, header, content, elements),
            Next::Wait => return Step::Wait,
            Next::Foreign => return Step::Foreign,
        };
        let wanted = usize::try_from(content.saturating_sub(2)).unwrap_or(usize::MAX).min(HEAD_BYTES);
        let there = bytes.get(header..).unwrap_or_default();
        if there.len() < wanted && !stream.is_cut() {
            return Step::Wait;
        }
        let is_cut = there.len() < wanted;
        let depth = self.open.len();
        let head = match content {
            0 => bytes.get(1..header).unwrap_or_default().trim_ascii_end(),
            _ => there.get(..wanted.min(there.len())).unwrap_or_default(),
        };
        if let Some(left) = self.open.last_mut() {
            *left -= 1;
        }
        if elements > 0 {
            if depth == MAX_DEPTH {
                return Step::Foreign;
            }
            self.open.push(elements);
        }
        while self.open.last() == Some(&0) {
            self.open.pop();
        }
        // An attribute belongs to the message that follows it.
        if depth == 0 && kind == b'|' {
            self.open.push(1);
            if elements > 0 {
                self.open.swap(0, 1);
            }
        }
        take(&Element { kind, depth, head, is_cut, is_last: self.open.is_empty() });
        stream.skip(header as u64 + content);
        Step::Read
    }
}
