//! A block of bytes sent over a serial line: `AFTERTRACE <length> <checksum>\n`, the bytes, nothing else.
//!
//! The line has no flow control and no end of file, so length and checksum tell a whole block from a cut one.

use std::io::{self, Write};

const MAGIC: &str = "AFTERTRACE";

/// Why a received block is not what was sent.
#[derive(Debug, PartialEq, Eq)]
pub enum FrameError {
    /// No header line.
    NoHeader,
    /// Fewer bytes than the header says.
    Cut {
        /// Bytes that the header says.
        expected: usize,
        /// Bytes that came.
        received: usize,
    },
    /// The bytes have another checksum.
    Checksum,
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoHeader => formatter.write_str("nothing was sent"),
            Self::Cut { expected, received } => write!(formatter, "{received} of {expected} bytes came"),
            Self::Checksum => formatter.write_str("the bytes are not those that were sent (checksum)"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Writes `bytes` as a block.
///
/// # Errors
/// Those of `output`.
pub fn send(output: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    writeln!(output, "{MAGIC} {} {:016x}", bytes.len(), checksum(bytes))?;
    output.write_all(bytes)?;
    output.flush()
}

/// The bytes of the block that `received` holds.
///
/// # Errors
/// When the block is not whole.
pub fn open(received: &[u8]) -> Result<&[u8], FrameError> {
    let end = received.iter().position(|&byte| byte == b'\n').ok_or(FrameError::NoHeader)?;
    let (header, rest) = received.split_at(end);
    let header = str::from_utf8(header).map_err(|_| FrameError::NoHeader)?;
    let mut words = header.split(' ');
    let (Some(MAGIC), Some(length), Some(sum)) = (words.next(), words.next(), words.next()) else {
        return Err(FrameError::NoHeader);
    };
    let expected: usize = length.parse().map_err(|_| FrameError::NoHeader)?;
    let body = rest.get(1..).unwrap_or_default();
    let bytes = body.get(..expected).ok_or(FrameError::Cut { expected, received: body.len() })?;
    if sum == format!("{:016x}", checksum(bytes)) { Ok(bytes) } else { Err(FrameError::Checksum) }
}

/// FNV-1a, 64 bits: enough to notice a lost byte.
fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
    use super::*;

    fn sent(bytes: &[u8]) -> Vec<u8> {
        let mut line = Vec::new();
        send(&mut line, bytes).unwrap();
        line
    }

    #[test]
    fn a_block_comes_back_as_it_was_sent() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(open(&sent(&bytes)).unwrap(), bytes);
        assert_eq!(open(&sent(b"")).unwrap(), b"");
    }

    #[test]
    fn a_cut_block_says_how_much_is_missing() {
        let line = sent(b"0123456789");
        assert_eq!(open(&line[..line.len() - 4]), Err(FrameError::Cut { expected: 10, received: 6 }));
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        let mut line = sent(b"0123456789");
        let last = line.len() - 1;
        line[last] ^= 1;
        assert_eq!(open(&line), Err(FrameError::Checksum));
        assert_eq!(open(b""), Err(FrameError::NoHeader));
    }
}
