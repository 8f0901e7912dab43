/// Bytes of an entry of the checksum file.
pub const ENTRY_BYTES: usize = 24;

/// One frame of the stream, as the checksum file knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where the frame ends in the stream.
    pub(super) end: u64,
    /// Bytes of the frame.
    pub(super) length: u32,
    /// Rows in the frame.
    pub(super) rows: u32,
    /// CRC-32C of the frame.
    pub(super) crc: u32,
}

impl Entry {
    /// Where the frame begins in the stream, unless it would begin before the stream.
    pub(super) fn start(&self) -> Option<u64> {
        self.end.checked_sub(u64::from(self.length))
    }

    pub(super) fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        let fields = self
            .end
            .to_le_bytes()
            .into_iter()
            .chain(self.length.to_le_bytes())
            .chain(self.rows.to_le_bytes())
            .chain(self.crc.to_le_bytes());
        for (to, from) in bytes.iter_mut().zip(fields) {
            *to = from;
        }
        let (body, crc) = bytes.split_at_mut(ENTRY_BYTES - 4);
        crc.copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
        bytes
    }

    /// The entry, or `None` when its own checksum is wrong.
    pub(super) fn from_bytes(bytes: &[u8; ENTRY_BYTES]) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return None;
        }
        let (end, rest) = body.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (rows, rest) = rest.split_first_chunk::<4>()?;
        let (crc, _) = rest.split_first_chunk::<4>()?;
        Some(Self {
            end: u64::from_le_bytes(*end),
            length: u32::from_le_bytes(*length),
            rows: u32::from_le_bytes(*rows),
            crc: u32::from_le_bytes(*crc),
        })
    }
}
