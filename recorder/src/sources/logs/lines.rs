//! Bytes into lines, whatever the pieces in which they come.
//!
//! A line that is longer than the limit keeps its beginning; the rest is counted in its length and nowhere held.

/// A line without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Where it begins in the file.
    pub(super) offset: u64,
    /// Its bytes, up to the limit.
    pub(super) bytes: &'a [u8],
    /// Bytes that it had.
    pub(super) length: u64,
}

/// Puts lines together.
#[derive(Debug)]
pub(super) struct Lines {
    limit: usize,
    /// The beginning of a line that has no end yet.
    pending: Vec<u8>,
    pending_length: u64,
    /// Where the line begins that has no end yet.
    begin: u64,
    /// The rest of a line whose beginning was not read is none.
    skips: bool,
}

impl Lines {
    /// Lines of at most `limit` bytes, from `begin` on. With `skips` what comes before the first end of a line is none.
    pub(super) fn new(limit: usize, begin: u64, skips: bool) -> Self {
        Self { limit, pending: Vec::new(), pending_length: 0, begin, skips }
    }

    /// Where the first line begins that was not given yet.
    pub(super) fn begin(&self) -> u64 {
        self.begin
    }

    /// Takes the next bytes; gives the lines that have ended.
    pub(super) fn feed(&mut self, bytes: &[u8], out: &mut impl FnMut(Line<'_>)) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (head, tail) = rest.split_at(end);
            rest = tail.get(1..).unwrap_or_default();
            if self.pending_length == 0 {
                self.give(head.get(..self.limit).unwrap_or(head), head.len() as u64, out);
            } else {
                self.keep(head);
                self.give_pending(out);
            }
            self.begin += 1;
        }
        self.keep(rest);
    }

    /// No more bytes come: what has no end is a line too.
    pub(super) fn finish(&mut self, out: &mut impl FnMut(Line<'_>)) {
        if self.pending_length > 0 {
            self.give_pending(out);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = self.limit.saturating_sub(self.pending.len());
        self.pending.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        self.pending_length += bytes.len() as u64;
    }

    fn give_pending(&mut self, out: &mut impl FnMut(Line<'_>)) {
        let (mut pending, length) = (std::mem::take(&mut self.pending), self.pending_length);
        self.give(&pending, length, out);
        pending.clear();
        self.pending = pending;
        self.pending_length = 0;
    }

    fn give(&mut self, bytes: &[u8], length: u64, out: &mut impl FnMut(Line<'_>)) {
        if !std::mem::take(&mut self.skips) {
            out(Line { offset: self.begin, bytes, length });
        }
        self.begin += length;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Owned = (u64, Vec<u8>, u64);

    fn fed(lines: &mut Lines, chunks: &[&[u8]]) -> Vec<Owned> {
        let mut all = Vec::new();
        let mut keep = |line: Line<'_>| all.push((line.offset, line.bytes.to_vec(), line.length));
        chunks.iter().for_each(|chunk| lines.feed(chunk, &mut keep));
        lines.finish(&mut keep);
        all
    }

    #[test]
    fn a_line_over_the_limit_is_cut_and_its_length_is_known() {
        let lines = fed(&mut Lines::new(4, 10, false), &[b"abcdefgh", b"ij\nkl\n", b"mnopqr\n"]);
        assert_eq!(lines, [(10, b"abcd".to_vec(), 10), (21, b"kl".to_vec(), 2), (24, b"mnop".to_vec(), 6)]);
    }

    #[test]
    fn the_rest_of_a_line_that_began_before_is_left_out() {
        let mut lines = Lines::new(100, 5, true);
        assert_eq!(fed(&mut lines, &[b"st of it", b"\nnext\n"]), [(14, b"next".to_vec(), 4)]);
        assert_eq!(lines.begin(), 19);
    }

    proptest! {
        #[test]
        fn any_pieces_give_the_same_lines(
            text in "[ab\n]{0,200}", cuts in proptest::collection::vec(0..200_usize, 0..10), limit in 1..20_usize,
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= bytes.len()).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            let pieces = fed(&mut Lines::new(limit, 0, false), &chunks);
            let whole: Vec<Owned> = {
                let mut at = 0;
                let mut lines: Vec<Owned> = Vec::new();
                for line in text.split_inclusive('\n') {
                    let own = line.strip_suffix('\n').unwrap_or(line);
                    let kept = own.as_bytes()[..own.len().min(limit)].to_vec();
                    lines.push((at, kept, own.len() as u64));
                    at += line.len() as u64;
                }
                lines
            };
            prop_assert_eq!(pieces, whole);
        }
    }
}
