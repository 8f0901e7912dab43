//! CPU, memory and uptime of the host: /proc/stat, /proc/meminfo, /proc/uptime in, `NodeStats` rows out.

use aftertrace_schemas::tables::NodeStats;

use super::Roots;
use super::file::FileReader;
use super::own::ticks_per_second;
use super::processes::ticks_to_nanos;
use super::source::{Rows, Source, Subjects, Unavailable};
use super::text::{fields, keyed_number, lines, number};

const NANOS_PER_SECOND: u64 = 1_000_000_000;
const BYTES_PER_KIB: u64 = 1024;
/// /proc/stat grows with the number of interrupts: a large host has some 100 KiB.
const FILE_LIMIT_BYTES: u64 = 4 << 20;

/// Reads the node.
#[derive(Debug)]
pub struct NodeSource {
    roots: Roots,
    ticks_per_second: u64,
    reader: FileReader,
}

impl NodeSource {
    /// Reads the node of `roots`.
    pub fn new(roots: Roots) -> Self {
        Self { roots, ticks_per_second: ticks_per_second(), reader: FileReader::default() }
    }

    /// The node now; `None` when one of the files is unreadable.
    pub fn read(&mut self) -> Option<NodeStats> {
        let stat =
            self.reader.read(&self.roots.proc_file("stat"), FILE_LIMIT_BYTES).ok().and_then(parse_stat)?;
        let uptime_ns = self
            .reader
            .read(&self.roots.proc_file("uptime"), FILE_LIMIT_BYTES)
            .ok()
            .and_then(parse_uptime)?;
        let memory = self.reader.read(&self.roots.proc_file("meminfo"), FILE_LIMIT_BYTES).ok()?;
        let bytes = |key: &[u8]| keyed_number(memory, key).unwrap_or_default().saturating_mul(BYTES_PER_KIB);
        let [user, nice, system, idle, iowait, irq, softirq, steal] =
            stat.ticks.map(|ticks| ticks_to_nanos(ticks, self.ticks_per_second));
        Some(NodeStats {
            uptime_ns,
            logical_cores: stat.cores,
            cpu_user_ns: user,
            cpu_nice_ns: nice,
            cpu_system_ns: system,
            cpu_idle_ns: idle,
            cpu_iowait_ns: iowait,
            cpu_irq_ns: irq,
            cpu_softirq_ns: softirq,
            cpu_steal_ns: steal,
            memory_total_bytes: bytes(b"MemTotal:"),
            memory_free_bytes: bytes(b"MemFree:"),
            memory_available_bytes: bytes(b"MemAvailable:"),
            memory_cached_bytes: bytes(b"Cached:"),
        })
    }
}

impl Source for NodeSource {
    fn name(&self) -> &'static str {
        "node"
    }

    fn measure(&mut self, _: &Subjects, rows: &mut Rows) -> Result<(), Unavailable> {
        let row = self.read().ok_or_else(|| {
            let proc = self.roots.proc.display();
            Unavailable::failed(format!("{proc}/stat, uptime or meminfo cannot be read"))
        })?;
        rows.push(row);
        Ok(())
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    /// user, nice, system, idle, iowait, irq, softirq, steal
    ticks: [u64; 8],
    cores: u32,
}

fn parse_stat(text: &[u8]) -> Option<Stat> {
    let mut ticks = None;
    let mut cores = 0;
    // The lines of processors come first; the long one of interrupts follows.
    for line in lines(text).take_while(|line| line.starts_with(b"cpu")) {
        let mut all = fields(line);
        if all.next() == Some(b"cpu") {
            // Old kernels have fewer modes.
            let mut values = [0; 8];
            for (value, field) in values.iter_mut().zip(all) {
                *value = number(field)?;
            }
            ticks = Some(values);
        } else {
            cores += 1;
        }
    }
    Some(Stat { ticks: ticks?, cores })
}

/// `SECONDS.HUNDREDTHS IDLE`
fn parse_uptime(text: &[u8]) -> Option<u64> {
    let mut parts = fields(text).next()?.splitn(2, |byte| *byte == b'.');
    let seconds = number(parts.next()?)?;
    let fraction = parts.next().unwrap_or(b"0");
    let digits = fraction.get(..fraction.len().min(9))?;
    let scale = 10_u64.pow(9 - u32::try_from(digits.len()).ok()?);
    seconds.checked_mul(NANOS_PER_SECOND)?.checked_add(number(digits)? * scale)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_files_of_a_node_become_one_row() {
        let host = tempfile::tempdir().unwrap();
        let roots = Roots::below(host.path());
        fs::create_dir(&roots.proc).unwrap();
        fs::write(
            roots.proc_file("stat"),
            "cpu  150174 1 26715 647204 1843 2 3396 398 9 9\ncpu0 1 2 3\ncpu7 1 2 3\nintr 5 6 7\nctxt 2833803\n",
        )
        .unwrap();
        fs::write(roots.proc_file("uptime"), "4242.17 8000.00\n").unwrap();
        fs::write(
            roots.proc_file("meminfo"),
            "MemTotal:       1000 kB\nMemFree:    400 kB\nMemAvailable: 700 kB\nBuffers: 1 kB\nCached: 200 kB\nSwapCached: 9 kB\n",
        )
        .unwrap();
        let mut source = NodeSource { roots, ticks_per_second: 100, reader: FileReader::default() };
        assert_eq!(
            source.read().unwrap(),
            NodeStats {
                uptime_ns: 4_242_170_000_000,
                logical_cores: 2,
                cpu_user_ns: 1_501_740_000_000,
                cpu_nice_ns: 10_000_000,
                cpu_system_ns: 267_150_000_000,
                cpu_idle_ns: 6_472_040_000_000,
                cpu_iowait_ns: 18_430_000_000,
                cpu_irq_ns: 20_000_000,
                cpu_softirq_ns: 33_960_000_000,
                cpu_steal_ns: 3_980_000_000,
                memory_total_bytes: 1_024_000,
                memory_free_bytes: 409_600,
                memory_available_bytes: 716_800,
                memory_cached_bytes: 204_800,
            }
        );
        fs::remove_file(host.path().join("proc/uptime")).unwrap();
        assert_eq!(source.read(), None);
    }

    #[test]
    fn this_machine_has_processors_memory_and_an_uptime() {
        let row = NodeSource::new(Roots::default()).read().unwrap();
        assert!(row.logical_cores > 0 && row.memory_total_bytes > row.memory_free_bytes && row.uptime_ns > 0);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parsers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), digits in "[0-9.]{0,40}") {
            let _ = (parse_stat(&bytes), parse_uptime(&bytes), parse_uptime(digits.as_bytes()));
        }
    }
}
