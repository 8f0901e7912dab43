//! Reads numbers and pieces off the front of bytes that may be cut anywhere.

/// What is left to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'bytes> {
    bytes: &'bytes [u8],
    place: usize,
}

impl<'bytes> Cursor<'bytes> {
    /// One at the beginning of `bytes`.
    pub(crate) fn new(bytes: &'bytes [u8]) -> Self {
        Self { bytes, place: 0 }
    }

    /// One at `place`, which may be beyond the end.
    pub(crate) fn at(bytes: &'bytes [u8], place: usize) -> Self {
        Self { bytes, place }
    }

    /// Bytes before the next one to read.
    pub(crate) fn place(&self) -> usize {
        self.place
    }

    /// The next so many bytes, if all of them are there.
    pub(crate) fn take(&mut self, length: usize) -> Option<&'bytes [u8]> {
        let end = self.place.checked_add(length)?;
        let taken = self.bytes.get(self.place..end)?;
        self.place = end;
        Some(taken)
    }

    fn array<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        self.take(LENGTH)?.try_into().ok()
    }

    /// A byte.
    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Two bytes, the highest first.
    pub(crate) fn be16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes, the highest first.
    pub(crate) fn be32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }
}
