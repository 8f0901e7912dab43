//! Just enough of ELF (64 bits, little endian) to tell a static binary from a dynamic one.

use anyhow::{Context, Result, ensure};

const PT_INTERP: u32 = 3;

/// The dynamic linker that the binary asks for; none when it is static.
///
/// # Errors
/// When `file` is not a 64-bit little-endian ELF file or is cut.
pub(crate) fn interpreter(file: &[u8]) -> Result<Option<String>> {
    ensure!(file.starts_with(b"\x7fELF\x02\x01"), "no 64-bit little-endian ELF header");
    let table = number::<8>(file, 32)?;
    let entry_size = number::<2>(file, 54)?;
    for index in 0..number::<2>(file, 56)? {
        let entry = table + index * entry_size;
        if number::<4>(file, entry)? == PT_INTERP as usize {
            let begin = number::<8>(file, entry + 8)?;
            let end = begin + number::<8>(file, entry + 32)?;
            let name = file.get(begin..end).context("cut")?;
            return Ok(Some(String::from_utf8_lossy(name).trim_end_matches('\0').to_owned()));
        }
    }
    Ok(None)
}

fn number<const BYTES: usize>(file: &[u8], at: usize) -> Result<usize> {
    let bytes = file.get(at..at + BYTES).context("cut")?;
    Ok(bytes.iter().rev().fold(0, |value, &byte| value << 8 | usize::from(byte)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn a_test_binary_asks_for_a_dynamic_linker() {
        let this = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(interpreter(&this).unwrap().unwrap().contains("ld-linux"));
    }

    #[test]
    fn text_is_no_binary() {
        assert!(interpreter(b"#!/bin/sh").is_err());
    }
}
