//! Numbers and texts off the front of bytes, for protocols of fixed fields: what is not there is `None`.

/// The bytes that are left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scan<'bytes> {
    rest: &'bytes [u8],
    taken: usize,
}

impl<'bytes> Scan<'bytes> {
    pub(crate) fn new(bytes: &'bytes [u8]) -> Self {
        Self { rest: bytes, taken: 0 }
    }

    /// Bytes that were taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    /// What is left.
    pub(crate) fn rest(&self) -> &'bytes [u8] {
        self.rest
    }

    pub(crate) fn take(&mut self, length: usize) -> Option<&'bytes [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        self.taken += length;
        Some(taken)
    }

    fn array<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        self.take(LENGTH)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn i32_be(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub(crate) fn i64_be(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    pub(crate) fn i32_le(&mut self) -> Option<i32> {
        self.array().map(i32::from_le_bytes)
    }

    pub(crate) fn u32_le(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64_le(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}
