//! Where functions begin and end by the tables for unwinding, which are there also in stripped files.
//!
//! In: an address. Out: the piece of code around it that has one entry in the table: a function, or a part of one that
//! the compiler moved away. Only the encodings that linkers write are read.
//!
//! Format: <https://refspecs.linuxfoundation.org/LSB_5.0.0/LSB-Core-generic/LSB-Core-generic/ehframechpt.html>

use std::ops::Range;

use super::image::{Image, u32_at};

/// Version 1; the pointer is 4 bytes relative to itself, the count 4 bytes, rows are 4-byte pairs relative to the table.
const HEADER: [u8; 4] = [1, 0x1b, 0x03, 0x3b];
const HEADER_BYTES: u64 = 12;
const ROW_BYTES: u64 = 8;
/// A length that says that the real one follows in 8 bytes; no linker writes such.
const LONG_ENTRY: u32 = 0xffff_ffff;

/// The bounds of the code that `address` is in.
pub(super) fn bounds(image: &Image<'_>, address: u64) -> Option<Range<u64>> {
    let table = image.section(".eh_frame_hdr")?;
    let head = image.bytes(table.offset, HEADER_BYTES).ok()?;
    if head.get(..4)? != HEADER {
        return None;
    }
    let rows = u64::from(u32_at(&head, 8)?).min(table.bytes / ROW_BYTES);
    let row = |index: u64| -> Option<(u64, u64)> {
        let bytes = image.bytes(table.offset + HEADER_BYTES + index * ROW_BYTES, ROW_BYTES).ok()?;
        Some((relative(table.address, u32_at(&bytes, 0)?), relative(table.address, u32_at(&bytes, 4)?)))
    };
    // The last row that begins at or before the address.
    let (mut low, mut high) = (0, rows);
    while low < high {
        let middle = low + (high - low) / 2;
        if row(middle)?.0 <= address { low = middle + 1 } else { high = middle }
    }
    let (begin, entry) = row(low.checked_sub(1)?)?;
    let bytes = image.bytes_at(entry, 16).ok()?;
    // Its begin is relative to where it stands. That it is the row's proves that it is written as expected.
    let is_read_right =
        u32_at(&bytes, 0)? != LONG_ENTRY && relative(entry.checked_add(8)?, u32_at(&bytes, 8)?) == begin;
    let end = begin.checked_add(u64::from(u32_at(&bytes, 12)?))?;
    (is_read_right && address < end).then_some(begin..end)
}

/// A signed distance from a place.
fn relative(place: u64, distance: u32) -> u64 {
    place.wrapping_add_signed(i64::from(distance.cast_signed()))
}
