//! Block I/O of a control group by device.

use std::collections::BTreeMap;
use std::path::Path;

use aftertrace_schemas::tables::{CgroupIo, ProbeState};

use super::super::file::FileReader;
use super::super::source::{Rows, Source, Subjects, Unavailable};
use super::super::text::{fields, lines, number, number_u32};
use super::{FILE_LIMIT_BYTES, Hierarchies};
use crate::capabilities::CapabilitySet;

/// Major and minor number.
type Device = (u32, u32);

/// Counters of one device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Io {
    reads: u64,
    writes: u64,
    read_bytes: u64,
    written_bytes: u64,
}

type ByDevice = BTreeMap<Device, Io>;

/// Reads block I/O.
#[derive(Debug, Default)]
pub struct CgroupIoSource {
    hierarchies: Hierarchies,
    reader: FileReader,
}

impl CgroupIoSource {
    /// Reads groups of these hierarchies.
    pub fn new(hierarchies: Hierarchies) -> Self {
        Self { hierarchies, reader: FileReader::default() }
    }

    /// A row a device; none when the group is gone or has done no I/O. Both hierarchies of a hybrid host may have the
    /// controller's files, of which only one counts.
    pub fn read(&mut self, path: &str) -> Vec<CgroupIo> {
        let v1 = self.hierarchies.v1("blkio").and_then(|hierarchy| hierarchy.directory_of(path));
        let v2 = self.hierarchies.v2().and_then(|hierarchy| hierarchy.directory_of(path));
        let mut found = ByDevice::new();
        if let Some(directory) = v1 {
            self.read_v1(&directory, &mut found);
        }
        if let Some(text) =
            v2.filter(|_| found.is_empty()).and_then(|directory| self.text(&directory, "io.stat"))
        {
            parse_v2(text, &mut found);
        }
        let row = |((device_major, device_minor), io): (Device, Io)| CgroupIo {
            cgroup: path.to_owned(),
            device_major,
            device_minor,
            reads: io.reads,
            writes: io.writes,
            read_bytes: io.read_bytes,
            written_bytes: io.written_bytes,
        };
        found.into_iter().map(row).collect()
    }

    fn read_v1(&mut self, directory: &Path, found: &mut ByDevice) {
        if let Some(text) = self.v1_text(directory, "blkio.throttle.io_serviced") {
            parse_v1(text, found, |io| (&mut io.reads, &mut io.writes));
        }
        if let Some(text) = self.v1_text(directory, "blkio.throttle.io_service_bytes") {
            parse_v1(text, found, |io| (&mut io.read_bytes, &mut io.written_bytes));
        }
    }

    /// The figures with those of the groups below it, where the kernel has them: so are those of other controllers.
    fn v1_text(&mut self, directory: &Path, name: &str) -> Option<&[u8]> {
        let recursive = format!("{name}_recursive");
        let name = if directory.join(&recursive).exists() { &recursive } else { name };
        self.text(directory, name)
    }

    fn text(&mut self, directory: &Path, name: &str) -> Option<&[u8]> {
        self.reader.read(&directory.join(name), FILE_LIMIT_BYTES).ok()
    }

    /// Whether v1 is asked and counts nothing on any disk.
    fn counts_nothing(&mut self) -> bool {
        let root = self.hierarchies.v1("blkio").map(|hierarchy| hierarchy.directory.clone());
        let Some(root) = root else { return false };
        let mut found = ByDevice::new();
        self.read_v1(&root, &mut found);
        found.is_empty()
    }
}

impl Source for CgroupIoSource {
    fn name(&self) -> &'static str {
        "cgroup_io"
    }

    fn capabilities(&self) -> CapabilitySet {
        self.hierarchies.capabilities()
    }

    fn measure(&mut self, subjects: &Subjects, rows: &mut Rows) -> Result<(), Unavailable> {
        let mut any = false;
        for path in &subjects.cgroups {
            for row in self.read(path) {
                any = true;
                rows.push(row);
            }
        }
        if !any && self.counts_nothing() {
            let reason = "since 6.10 the kernel counts block I/O of v1 control groups only on disks that have a \
                          throttle rule, and none has";
            return Err(Unavailable { state: ProbeState::Off, reason: reason.to_owned() });
        }
        Ok(())
    }
}

fn device(field: &[u8]) -> Option<Device> {
    let colon = field.iter().position(|byte| *byte == b':')?;
    Some((number_u32(field.get(..colon)?)?, number_u32(field.get(colon + 1..)?)?))
}

/// Lines `MAJOR:MINOR OPERATION NUMBER`; the last one, a total of all, has no device.
fn parse_v1(text: &[u8], found: &mut ByDevice, of: impl Fn(&mut Io) -> (&mut u64, &mut u64)) {
    for line in lines(text) {
        let mut all = fields(line);
        let (Some(device), Some(operation), Some(value)) =
            (all.next().and_then(device), all.next(), all.next().and_then(number))
        else {
            continue;
        };
        let (reads, writes) = of(found.entry(device).or_default());
        match operation {
            b"Read" => *reads = value,
            b"Write" => *writes = value,
            _ => {}
        }
    }
}

/// Lines `MAJOR:MINOR rbytes=N wbytes=N rios=N wios=N ...`. Some kernels write a device that has no figures without
/// ending the line, so a device begins wherever one stands.
fn parse_v2(text: &[u8], found: &mut ByDevice) {
    let mut current = None;
    for field in fields(text) {
        if let Some(device) = device(field) {
            current = Some(device);
            continue;
        }
        let Some(equals) = field.iter().position(|byte| *byte == b'=') else { continue };
        let (key, value) = field.split_at(equals);
        let (Some(device), Some(value)) = (current, value.get(1..).and_then(number)) else { continue };
        let mut set = |of: fn(&mut Io) -> &mut u64| *of(found.entry(device).or_default()) = value;
        match key {
            b"rios" => set(|io| &mut io.reads),
            b"wios" => set(|io| &mut io.writes),
            b"rbytes" => set(|io| &mut io.read_bytes),
            b"wbytes" => set(|io| &mut io.written_bytes),
            _ => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn io(reads: u64, writes: u64, read_bytes: u64, written_bytes: u64) -> Io {
        Io { reads, writes, read_bytes, written_bytes }
    }

    #[test]
    fn a_v2_device_begins_wherever_one_stands_and_other_figures_are_left_alone() {
        let mut found = ByDevice::new();
        let text = b"253:1 253:0 rbytes=8192 wbytes=4096 rios=2 wios=1 dbytes=7 dios=1 cost.usage=9\n7:3 \n8:16 wios=5\n";
        parse_v2(text, &mut found);
        assert_eq!(found, ByDevice::from([((253, 0), io(2, 1, 8192, 4096)), ((8, 16), io(0, 5, 0, 0))]));
    }

    #[test]
    fn v1_totals_and_other_operations_are_not_counted() {
        let mut found = ByDevice::new();
        let text = b"8:0 Read 3\n8:0 Write 4\n8:0 Sync 5\n8:0 Async 2\n8:0 Discard 0\n8:0 Total 7\nTotal 7\n";
        parse_v1(text, &mut found, |io| (&mut io.reads, &mut io.writes));
        assert_eq!(found, ByDevice::from([((8, 0), io(3, 4, 0, 0))]));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parsers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut found = ByDevice::new();
            parse_v2(&bytes, &mut found);
            parse_v1(&bytes, &mut found, |io| (&mut io.reads, &mut io.writes));
            let _ = device(&bytes);
        }
    }
}
