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

    /// All that is left.
    pub(crate) fn rest(&self) -> &'bytes [u8] {
        self.bytes.get(self.place..).unwrap_or_default()
    }

    /// The next so many bytes, if all of them are there.
    pub(crate) fn take(&mut self, length: usize) -> Option<&'bytes [u8]> {
        let end = self.place.checked_add(length)?;
        let taken = self.bytes.get(self.place..end)?;
        self.place = end;
        Some(taken)
    }

    /// As many of the next bytes as are there.
    pub(crate) fn take_head(&mut self, length: usize) -> &'bytes [u8] {
        let there = self.rest();
        let head = there.get(..length.min(there.len())).unwrap_or_default();
        self.place = self.place.saturating_add(length);
        head
    }

    /// Bytes up to the next zero, which is read too.
    pub(crate) fn zero_ended(&mut self) -> Option<&'bytes [u8]> {
        let length = self.rest().iter().position(|byte| *byte == 0)?;
        let text = self.take(length)?;
        self.place += 1;
        Some(text)
    }

    fn array<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        self.take(LENGTH)?.try_into().ok()
    }

    /// A byte.
    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Two bytes, the highest first.
    pub(crate) fn u16_be(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes, the highest first.
    pub(crate) fn u32_be(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Four bytes, the lowest first.
    pub(crate) fn u32_le(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// Four bytes with a sign, the highest first.
    pub(crate) fn i32_be(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    /// Four bytes with a sign, the lowest first.
    pub(crate) fn i32_le(&mut self) -> Option<i32> {
        self.array().map(i32::from_le_bytes)
    }

    /// Eight bytes with a sign, the highest first.
    pub(crate) fn i64_be(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    /// Eight bytes, the lowest first.
    pub(crate) fn u64_le(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}
