//! The Go version that a program was built with.
//!
//! Format: a header of 32 bytes at a multiple of 16: 14 bytes of magic, the size of pointers, flags. With flag 2 (from
//! Go 1.18) the version follows as its length and text; before, a pointer to a pointer and length of the text does.

use std::ops::ControlFlow;

use crate::tls::image::{Image, u64_at};
use crate::tls::points::NoPoints;

const MAGIC: &[u8] = b"\xff Go buildinf:";
const ALIGNMENT: usize = 16;
const HEADER_BYTES: usize = 32;
const FLAG_INLINE: u8 = 2;
const FLAG_BIG_ENDIAN: u8 = 1;
/// What is searched of the data of a program whose sections have no names.
const SEARCHED_BYTES: u64 = 64 << 20;
const INFO_BYTES: u64 = HEADER_BYTES as u64 + 2 + VERSION_LIMIT_BYTES;
const VERSION_LIMIT_BYTES: u64 = 256;

/// The version; `None` when Go has not built the file.
pub(super) fn version(image: &Image<'_>) -> Result<Option<String>, NoPoints> {
    let place = match image.section(".go.buildinfo") {
        Some(section) => find(image, section.offset, section.bytes)?,
        None => {
            let mut place = None;
            for segment in image.segments.iter().filter(|segment| segment.is_data) {
                place = place.or(find(image, segment.offset, segment.bytes)?);
            }
            place
        }
    };
    let Some(place) = place else { return Ok(None) };
    let header = image.bytes_at_most(place, INFO_BYTES)?;
    let flags = header.get(MAGIC.len() + 1).copied().unwrap_or_default();
    let text = if flags & FLAG_INLINE != 0 {
        inline(header.get(HEADER_BYTES..).unwrap_or_default()).map(<[u8]>::to_vec)
    } else if flags & FLAG_BIG_ENDIAN == 0 {
        u64_at(&header, 16).map(|pointer| pointed(image, pointer)).transpose()?
    } else {
        None
    };
    let text = text.ok_or(NoPoints::Malformed("its Go version cannot be read"))?;
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

/// Where in the file the header is.
fn find(image: &Image<'_>, offset: u64, bytes: u64) -> Result<Option<u64>, NoPoints> {
    let mut found = None;
    image.walk(offset..offset.saturating_add(bytes.min(SEARCHED_BYTES)), 0, |at, bytes| {
        let index = bytes.chunks(ALIGNMENT).position(|chunk| chunk.starts_with(MAGIC));
        found = index.map(|index| at + (index * ALIGNMENT) as u64);
        if found.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(found)
}

/// A length in groups of seven bits, then the text.
fn inline(bytes: &[u8]) -> Option<&[u8]> {
    let (length, text) = match bytes {
        [low, rest @ ..] if *low < 0x80 => (usize::from(*low), rest),
        [low, high, rest @ ..] if *high < 0x80 => (usize::from(low & 0x7f) | usize::from(*high) << 7, rest),
        _ => return None,
    };
    text.get(..length.min(VERSION_LIMIT_BYTES as usize))
}

fn pointed(image: &Image<'_>, pointer: u64) -> Result<Vec<u8>, NoPoints> {
    let text = image.word_at(pointer)?;
    let length = image.word_at(pointer.saturating_add(8))?;
    image.bytes_at(text, length.min(VERSION_LIMIT_BYTES))
}
