//! Whole block devices: /proc/diskstats in, `DiskStats` rows out. Partitions are left out: their numbers are in
//! those of the device.

use aftertrace_schemas::tables::DiskStats;

use super::Roots;
use super::file::FileReader;
use super::source::{Rows, Source, Subjects, Unavailable};
use super::text::{fields, lines, lossy, number};

/// The unit of /proc/diskstats, whatever the device's own sectors are.
const SECTOR_BYTES: u64 = 512;
const NANOS_PER_MILLI: u64 = 1_000_000;
const FILE_LIMIT_BYTES: u64 = 4 << 20;

/// Reads disks.
#[derive(Debug)]
pub struct DiskSource {
    roots: Roots,
    reader: FileReader,
}

impl DiskSource {
    /// Reads the disks of `roots`.
    pub fn new(roots: Roots) -> Self {
        Self { roots, reader: FileReader::default() }
    }

    /// A row a device.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&mut self) -> std::io::Result<Vec<DiskStats>> {
        let text = self.reader.read(&self.roots.proc_file("diskstats"), FILE_LIMIT_BYTES)?;
        Ok(lines(text).filter_map(parse_line).collect())
    }
}

impl Source for DiskSource {
    fn name(&self) -> &'static str {
        "disks"
    }

    fn measure(&mut self, _: &Subjects, rows: &mut Rows) -> Result<(), Unavailable> {
        let found = self.read().map_err(|error| {
            Unavailable::failed(format!("{}/diskstats: {error}", self.roots.proc.display()))
        })?;
        found.into_iter().for_each(|row| rows.push(row));
        Ok(())
    }
}

/// `MAJOR MINOR NAME READS MERGED SECTORS MS WRITES MERGED SECTORS MS IN_FLIGHT IO_MS ...`
fn parse_line(line: &[u8]) -> Option<DiskStats> {
    let mut all = fields(line).skip(2);
    let name = all.next().filter(|name| is_whole_device(name))?;
    let mut values = [0; 10];
    for value in &mut values {
        *value = number(all.next()?)?;
    }
    let [reads, _, read_sectors, read_ms, writes, _, written_sectors, write_ms, _, io_ms] = values;
    Some(DiskStats {
        device: lossy(name),
        reads,
        writes,
        read_bytes: read_sectors.saturating_mul(SECTOR_BYTES),
        written_bytes: written_sectors.saturating_mul(SECTOR_BYTES),
        read_time_ns: read_ms.saturating_mul(NANOS_PER_MILLI),
        write_time_ns: write_ms.saturating_mul(NANOS_PER_MILLI),
        io_time_ns: io_ms.saturating_mul(NANOS_PER_MILLI),
    })
}

/// dm-N, sdX, hdX, xvdX, vdX, mdN, mmcblkN, nvmeNnN, rbdN.
fn is_whole_device(name: &[u8]) -> bool {
    let digits = |rest: &[u8]| !rest.is_empty() && rest.iter().all(u8::is_ascii_digit);
    let letters = |rest: &[u8]| !rest.is_empty() && rest.iter().all(u8::is_ascii_lowercase);
    let after = |prefix: &[u8]| name.strip_prefix(prefix);
    if let Some(rest) = after(b"nvme") {
        let mut parts = rest.splitn(2, |byte| *byte == b'n');
        return parts.next().is_some_and(digits) && parts.next().is_some_and(digits);
    }
    [b"dm-".as_slice(), b"md", b"mmcblk", b"rbd"].iter().any(|prefix| after(prefix).is_some_and(digits))
        || [b"sd".as_slice(), b"hd", b"xvd", b"vd"].iter().any(|prefix| after(prefix).is_some_and(letters))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_becomes_a_row_in_bytes_and_nanoseconds() {
        let host = tempfile::tempdir().unwrap();
        let roots = Roots::below(host.path());
        fs::create_dir(&roots.proc).unwrap();
        fs::write(
            roots.proc_file("diskstats"),
            "   7       0 loop0 1 0 1 0 1 0 1 0 0 0 0\n 254       0 vda 2 37163 4 6 8 54347 10 12 0 14 157767 8792 88\n 254 1 vda1 1 1 1 1 1 1 1 1 1 1 1\n",
        )
        .unwrap();
        let row = DiskStats {
            device: "vda".to_owned(),
            reads: 2,
            writes: 8,
            read_bytes: 2048,
            written_bytes: 5120,
            read_time_ns: 6_000_000,
            write_time_ns: 12_000_000,
            io_time_ns: 14_000_000,
        };
        assert_eq!(DiskSource::new(roots).read().unwrap(), [row]);
    }

    #[test]
    fn whole_devices_are_told_from_partitions_and_the_rest() {
        let names =
            ["dm-0", "sda", "hdb", "xvdc", "vdaa", "md127", "mmcblk0", "nvme0n1", "nvme10n12", "rbd0"];
        for name in names {
            assert!(is_whole_device(name.as_bytes()), "{name}");
        }
        let others = [
            "sda1",
            "nvme0n1p1",
            "nvme0",
            "nvme0c0n1",
            "mmcblk0p1",
            "loop0",
            "zram0",
            "sr0",
            "md",
            "dm-",
            "rbd0p1",
            "",
        ];
        for name in others {
            assert!(!is_whole_device(name.as_bytes()), "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (parse_line(&bytes), is_whole_device(&bytes));
        }
    }
}
