//! Numbers and texts as packets have them.

use crate::cursor::Cursor;

/// Why a packet was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// It goes on behind what is there.
    More,
    /// It is none.
    Bad,
}

/// Bytes of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wire<'bytes> {
    cursor: Cursor<'bytes>,
}

/// A text of which the end may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut<'bytes> {
    pub(super) head: &'bytes [u8],
    pub(super) length: u64,
}

impl<'bytes> Wire<'bytes> {
    pub(super) fn new(bytes: &'bytes [u8]) -> Self {
        Self { cursor: Cursor::new(bytes) }
    }

    pub(super) fn taken(&self) -> usize {
        self.cursor.place()
    }

    pub(super) fn rest(&self) -> &'bytes [u8] {
        self.cursor.rest()
    }

    pub(super) fn u8(&mut self) -> Result<u8, Stop> {
        self.cursor.u8().ok_or(Stop::More)
    }

    pub(super) fn i32(&mut self) -> Result<i32, Stop> {
        self.cursor.i32_le().ok_or(Stop::More)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Stop> {
        self.cursor.u64_le().ok_or(Stop::More)
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'bytes [u8], Stop> {
        self.cursor.take(length).ok_or(Stop::More)
    }

    /// A number of seven bits a byte, the least first.
    pub(super) fn number(&mut self) -> Result<u64, Stop> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.u8()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        // The ninth byte was not the last: 63 bits are full, and one is left.
        match self.u8()? {
            last @ (0 | 1) => Ok(number | u64::from(last) << 63),
            _ => Err(Stop::Bad),
        }
    }

    /// A number that is at most so much.
    pub(super) fn number_to(&mut self, most: u64) -> Result<u64, Stop> {
        match self.number()? {
            number if number <= most => Ok(number),
            _ => Err(Stop::Bad),
        }
    }

    /// Bytes with their length before them.
    pub(super) fn bytes(&mut self, most: usize) -> Result<&'bytes [u8], Stop> {
        let length = self.number_to(most as u64)?;
        self.take(usize::try_from(length).map_err(|_| Stop::Bad)?)
    }

    /// A text for people: no control characters.
    pub(super) fn text(&mut self, most: usize) -> Result<&'bytes [u8], Stop> {
        let length = self.number_to(most as u64)?;
        let length = usize::try_from(length).map_err(|_| Stop::Bad)?;
        // What cannot become one is known before its end.
        let there = self.rest().get(..length.min(self.rest().len())).unwrap_or_default();
        if there.iter().any(|byte| *byte < b' ' || *byte == 0x7f) {
            return Err(Stop::Bad);
        }
        self.take(length)
    }

    /// The beginning of a long text; what is not there is left out.
    pub(super) fn cut_text(&mut self, most: u64) -> Result<Cut<'bytes>, Stop> {
        let length = self.number_to(most)?;
        let there = usize::try_from(length).unwrap_or(usize::MAX).min(self.rest().len());
        Ok(Cut { head: self.take(there)?, length })
    }
}
