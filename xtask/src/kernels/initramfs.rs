//! The root of a guest, as a cpio archive (the "newc" format of the kernel's `buffer-format` document).

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use crate::artifacts::Static;

pub(crate) const DIRECTORY: u32 = 0o040_755;
pub(crate) const PROGRAM: u32 = 0o100_755;
pub(crate) const CHARACTER_DEVICE: u32 = 0o020_600;
pub(crate) const LINK: u32 = 0o120_777;

/// An archive with the recorder, the workload, and the workload again as init.
///
/// # Errors
/// When a binary cannot be read.
pub(crate) fn build(binaries: &Static) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for directory in ["dev", "proc", "sys", "tmp"] {
        archive.add(directory, DIRECTORY, (0, 0), &[])?;
    }
    // The kernel opens it for init before anything is mounted.
    archive.add("dev/console", CHARACTER_DEVICE, (5, 1), &[])?;
    let workload = read(&binaries.workload)?;
    archive.add("init", PROGRAM, (0, 0), &workload)?;
    archive.add("workload", PROGRAM, (0, 0), &workload)?;
    archive.add("aftertrace", PROGRAM, (0, 0), &read(&binaries.recorder)?)?;
    archive.finish()
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// An archive that is being put together.
#[derive(Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// Adds an entry; a link has its target as content. Directories come before what is in them.
    pub(crate) fn add(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) -> Result<()> {
        self.entries += 1;
        let size = u32::try_from(content.len()).context("a file of 4 GiB or more")?;
        let name_size = name.len() as u32 + 1;
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, name_size, 0];
        self.bytes.extend(b"070701");
        for field in fields {
            write!(self.bytes, "{field:08X}")?;
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// The bytes.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>> {
        self.add("TRAILER!!!", 0, (0, 0), &[])?;
        Ok(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn an_entry_is_a_header_a_name_and_aligned_content() {
        let mut archive = Archive::default();
        archive.add("init", PROGRAM, (0, 0), b"12345").unwrap();
        let text = String::from_utf8(archive.bytes).unwrap();
        assert_eq!(text.len(), 116 + 8);
        assert!(text.starts_with("07070100000001000081ED"));
        assert!(text.contains("init\0\0"));
        assert!(text.ends_with("12345\0\0\0"));
    }
}
