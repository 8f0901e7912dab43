//! One direction of a connection as a codec reads it: bytes at a position, with holes where the kernel shipped only the
//! head of a call, and gaps where calls were lost.

use std::collections::VecDeque;

/// What one system call moved, as far as it was kept.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'bytes> {
    /// Place of its first byte in the stream.
    pub position: u64,
    /// Bytes that the call moved; `bytes` is the head of them.
    pub size: u64,
    /// What was kept.
    pub bytes: &'bytes [u8],
    /// When the call ended, nanoseconds of any one clock.
    pub time_ns: u64,
}

/// Where and when a message begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Begun {
    /// When its first byte moved.
    pub time_ns: u64,
    /// Place of its first byte in the stream, as both ends of a connection count; none where a codec cannot tell.
    pub position: Option<u64>,
}

impl From<u64> for Begun {
    fn from(time_ns: u64) -> Self {
        Self { time_ns, position: None }
    }
}

/// Bytes that a message may keep unread before the codec loses its place.
const MAX_UNREAD_BYTES: usize = 64 * 1024;
/// Calls whose time is known for unread bytes; of older ones the time of the next is taken.
const MAX_MARKS: usize = 256;

/// What adding a chunk did to the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// The codec may read on.
    Continues,
    /// The codec's place was in a gap or the hole of an earlier call, or too much was unread: the stream starts again
    /// at this chunk.
    Broken,
}

/// Bytes that came and were not read, and where they are in the stream.
#[derive(Debug, Default)]
pub struct Stream {
    buffer: Vec<u8>,
    /// Of `buffer`, read already.
    read: usize,
    /// Place of the next byte to read; beyond `end` while a skip goes on.
    position: u64,
    /// Place after the last byte that came, kept or not.
    end: u64,
    /// What lies behind the unread bytes was not kept.
    is_cut: bool,
    /// First positions of the calls that unread bytes came with, and their times.
    marks: VecDeque<(u64, u64)>,
    last_ns: u64,
    started: bool,
}

impl Stream {
    /// One whose first byte is at 0: what does not begin there has lost its beginning.
    pub fn from_start() -> Self {
        Self { started: true, ..Self::default() }
    }

    /// Unread bytes up to the next hole.
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(self.read..).unwrap_or_default()
    }

    /// Whether what follows [`bytes`](Self::bytes) was not kept, so that waiting for it is in vain.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Bytes of earlier skips that have not come.
    pub fn lacks(&self) -> u64 {
        self.position.saturating_sub(self.end)
    }

    /// Place of the next byte to read.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Bytes of the call behind the unread ones that were not kept.
    pub fn hole(&self) -> u64 {
        self.end.saturating_sub(self.position).saturating_sub(self.bytes().len() as u64)
    }

    /// End of the call that moved the next unread byte.
    pub fn time_ns(&self) -> u64 {
        self.marks
            .iter()
            .rev()
            .find(|(begin, _)| *begin <= self.position)
            .or(self.marks.front())
            .map_or(self.last_ns, |(_, time)| *time)
    }

    /// Where and when a message begins of which the next unread byte is the first.
    pub fn begun(&self) -> Begun {
        Begun { time_ns: self.time_ns(), position: Some(self.position) }
    }

    /// End of the call that moved the last byte that was read or skipped. Right once [`lacks`](Self::lacks) is 0.
    pub fn last_ns(&self) -> u64 {
        self.last_ns
    }

    /// Goes on by so many bytes, through holes, and also through what has not come.
    pub fn skip(&mut self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        self.position = self.position.saturating_add(bytes);
        let unread = self.bytes().len();
        let taken = usize::try_from(bytes).unwrap_or(usize::MAX).min(unread);
        self.read += taken;
        if bytes > unread as u64 {
            self.is_cut = self.position < self.end;
        }
        if self.read == self.buffer.len() {
            self.buffer.clear();
            self.read = 0;
        }
        // The call that has the last byte passed.
        let last = self.position - 1;
        while self.marks.get(1).is_some_and(|(begin, _)| *begin <= last) {
            self.marks.pop_front();
        }
        if let Some((begin, time)) = self.marks.front()
            && *begin <= last
        {
            self.last_ns = *time;
        }
        if self.position >= self.end {
            self.marks.clear();
        }
    }

    /// Leaves out all that came.
    pub(crate) fn discard(&mut self) {
        self.buffer.clear();
        self.read = 0;
        self.position = self.end;
        self.is_cut = false;
        self.marks.clear();
    }

    /// Adds what a call moved.
    pub(crate) fn push(&mut self, chunk: &Chunk<'_>) -> Pushed {
        let size = chunk.size.max(chunk.bytes.len() as u64);
        let end = chunk.position.saturating_add(size);
        if !self.started {
            self.started = true;
            self.position = chunk.position;
            self.end = chunk.position;
        }
        if end <= self.position && chunk.position >= self.end {
            // All of it is skipped.
            self.end = end;
            self.last_ns = chunk.time_ns;
            return Pushed::Continues;
        }
        let unread_end = self.position.saturating_add(self.bytes().len() as u64);
        let joins =
            !self.is_cut && chunk.position <= unread_end && chunk.position >= self.end.min(self.position);
        let into = unread_end.saturating_sub(chunk.position);
        let kept = match usize::try_from(into).ok().and_then(|into| chunk.bytes.get(into..)) {
            // The skip ends in what was not kept of this call. A codec that knows what is there may skip it too.
            None if self.lacks() > 0 => Some(&[][..]),
            kept => kept,
        };
        match kept {
            Some(kept) if joins && self.bytes().len() + kept.len() <= MAX_UNREAD_BYTES => {
                self.append(kept, chunk, end, size);
                Pushed::Continues
            }
            _ => {
                self.buffer.clear();
                self.read = 0;
                self.marks.clear();
                self.position = chunk.position;
                self.append(chunk.bytes, chunk, end, size);
                Pushed::Broken
            }
        }
    }

    fn append(&mut self, kept: &[u8], chunk: &Chunk<'_>, end: u64, size: u64) {
        if self.read > 0 {
            self.buffer.drain(..self.read);
            self.read = 0;
        }
        self.buffer.extend_from_slice(kept);
        if self.marks.len() == MAX_MARKS {
            self.marks.pop_front();
        }
        self.marks.push_back((chunk.position, chunk.time_ns));
        self.is_cut = (chunk.bytes.len() as u64) < size;
        self.end = end;
    }

    /// Bytes that it holds on to.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.buffer.capacity() + self.marks.capacity() * size_of::<(u64, u64)>()
    }

    /// Gives back memory that an unusually long message took.
    pub(crate) fn shrink(&mut self) {
        if self.bytes().is_empty() {
            self.buffer = Vec::new();
            self.read = 0;
            self.marks.shrink_to(4);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(position: u64, size: u64, bytes: &[u8]) -> Chunk<'_> {
        Chunk { position, size, bytes, time_ns: position * 10 + 7 }
    }

    #[test]
    fn bytes_of_calls_that_follow_each_other_are_one_text() {
        let mut stream = Stream::default();
        assert_eq!(stream.push(&chunk(100, 3, b"abc")), Pushed::Continues);
        assert_eq!(stream.push(&chunk(103, 2, b"de")), Pushed::Continues);
        assert_eq!(stream.bytes(), b"abcde");
        assert_eq!(stream.time_ns(), 1007);
        stream.skip(3);
        assert_eq!((stream.last_ns(), stream.time_ns()), (1007, 1037));
        stream.skip(2);
        assert_eq!((stream.last_ns(), stream.lacks()), (1037, 0));
    }

    #[test]
    fn a_skip_goes_through_holes_gaps_and_what_has_not_come() {
        let mut stream = Stream::default();
        stream.push(&chunk(0, 1000, b"head"));
        assert!(stream.is_cut());
        assert_eq!(stream.hole(), 996);
        stream.skip(3000);
        assert_eq!(stream.lacks(), 2000);
        assert_eq!(stream.push(&chunk(1000, 500, b"x")), Pushed::Continues);
        assert_eq!(stream.lacks(), 1500);
        // A call was lost within what is skipped: no harm.
        assert_eq!(stream.push(&chunk(2000, 1000, b"y")), Pushed::Continues);
        assert_eq!((stream.lacks(), stream.last_ns()), (0, 20_007));
        assert_eq!(stream.push(&chunk(3000, 4, b"next")), Pushed::Continues);
        assert_eq!(stream.bytes(), b"next");
    }

    #[test]
    fn a_skip_may_end_inside_a_call() {
        let mut stream = Stream::default();
        stream.push(&chunk(0, 2, b"ab"));
        stream.skip(4);
        assert_eq!(stream.push(&chunk(2, 5, b"cdefg")), Pushed::Continues);
        assert_eq!(stream.bytes(), b"efg");
    }

    #[test]
    fn the_stream_breaks_when_the_next_byte_to_read_was_not_kept_or_is_lost() {
        let mut cut = Stream::default();
        cut.push(&chunk(0, 10, b"abc"));
        assert_eq!(cut.push(&chunk(10, 2, b"xy")), Pushed::Broken);
        assert_eq!((cut.bytes(), cut.position()), (&b"xy"[..], 10));

        let mut lost = Stream::default();
        lost.push(&chunk(0, 3, b"abc"));
        assert_eq!(lost.push(&chunk(5, 2, b"xy")), Pushed::Broken);

        let mut into_a_hole = Stream::default();
        into_a_hole.push(&chunk(0, 3, b"abc"));
        into_a_hole.skip(8);
        assert_eq!(into_a_hole.push(&chunk(3, 20, b"xy")), Pushed::Continues);
        assert_eq!((into_a_hole.bytes(), into_a_hole.hole(), into_a_hole.is_cut()), (&b""[..], 15, true));
        assert_eq!(into_a_hole.push(&chunk(23, 2, b"xy")), Pushed::Broken);
    }

    #[test]
    fn what_is_known_of_a_hole_can_be_skipped() {
        let mut stream = Stream::default();
        stream.push(&chunk(0, 3, b"abc"));
        stream.skip(8);
        stream.push(&chunk(3, 20, b"xy"));
        stream.skip(15);
        assert_eq!(stream.push(&chunk(23, 2, b"xy")), Pushed::Continues);
        assert_eq!(stream.bytes(), b"xy");
    }

    #[test]
    fn what_is_never_read_does_not_grow_without_bound() {
        let mut stream = Stream::default();
        let kilobyte = [b'x'; 1024];
        let mut broken = 0;
        for call in 0..1000 {
            broken += u32::from(stream.push(&chunk(call * 1024, 1024, &kilobyte)) == Pushed::Broken);
        }
        assert!(broken > 10 && stream.bytes().len() <= MAX_UNREAD_BYTES);
    }
}
