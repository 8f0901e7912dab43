//! The file in which a HotSpot virtual machine publishes its performance counters: bytes in, what they say out.
//!
//! A prologue of 32 bytes, then entries of any length: a header of 20 bytes, the counter's name up to a NUL, its value.
//! The machine writes while it is read, and the bytes may be anybody's: nothing in them is believed.

use std::collections::BTreeMap;

use crate::sources::text::lossy;

const MAGIC: [u8; 4] = [0xca, 0xfe, 0xc0, 0xc0];
const PROLOGUE_BYTES: usize = 32;
const ENTRY_HEADER_BYTES: usize = 20;
const VERSION: u8 = 2;
/// Type letters of the Java virtual machine.
const LONG: u8 = b'J';
const BYTE: u8 = b'B';
const GENERATIONS: std::ops::Range<u32> = 0..2;
const COLLECTORS: std::ops::Range<u32> = 0..3;
/// Young generations have three spaces, others fewer.
const SPACES: std::ops::Range<u32> = 0..8;
/// Names and versions are short; what is longer is cut.
const TEXT_LIMIT_BYTES: usize = 4096;
const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// Of this policy, each generation may grow to the whole heap, and so may several spaces.
const GARBAGE_FIRST: &str = "GarbageFirst";

/// Why a file says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    /// The machine is just starting.
    #[error("the virtual machine has not filled it yet")]
    NotReady,
    /// It is no such file.
    #[error("it has no performance counters of a known version")]
    Malformed,
}

/// What the counters say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) jvm: String,
    pub(super) java_version: String,
    pub(super) heap_size_bytes: u64,
    pub(super) heap_used_bytes: u64,
    pub(super) heap_max_bytes: Option<u64>,
    pub(super) safepoint_time_ns: Option<u64>,
    pub(super) safepoint_sync_time_ns: Option<u64>,
    pub(super) collectors: Vec<Collector>,
}

/// A garbage collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Collector {
    pub(super) name: String,
    pub(super) time_ns: u64,
    pub(super) collections: u64,
}

/// What a file of performance counters says.
pub(super) fn parse(bytes: &[u8]) -> Result<Reading, Unreadable> {
    Ok(Counters::parse(bytes)?.reading())
}

/// Integers in the order of the machine that wrote them.
#[derive(Debug, Clone, Copy)]
struct Order {
    little: bool,
}

impl Order {
    fn u32(self, bytes: &[u8], offset: usize) -> Option<usize> {
        let bytes = *bytes.get(offset..)?.first_chunk::<4>()?;
        usize::try_from(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) }).ok()
    }

    fn i64(self, bytes: &[u8], offset: usize) -> Option<i64> {
        let bytes = *bytes.get(offset..)?.first_chunk::<8>()?;
        Some(if self.little { i64::from_le_bytes(bytes) } else { i64::from_be_bytes(bytes) })
    }
}

/// The counters that are of interest, by name.
#[derive(Debug, Default)]
struct Counters {
    numbers: BTreeMap<String, u64>,
    texts: BTreeMap<String, String>,
}

impl Counters {
    fn parse(bytes: &[u8]) -> Result<Self, Unreadable> {
        let prologue = bytes.get(..PROLOGUE_BYTES).ok_or(Unreadable::NotReady)?;
        let (magic, rest) = prologue.split_at(MAGIC.len());
        let &[order, major, _minor, accessible, ..] = rest else { return Err(Unreadable::Malformed) };
        if magic == [0; 4] {
            return Err(Unreadable::NotReady);
        }
        if magic != MAGIC || order > 1 || major != VERSION {
            return Err(Unreadable::Malformed);
        }
        if accessible == 0 {
            return Err(Unreadable::NotReady);
        }
        let order = Order { little: order == 1 };
        let field = |offset| order.u32(prologue, offset).ok_or(Unreadable::Malformed);
        let (used, mut offset, entries) = (field(8)?, field(24)?, field(28)?);
        let bytes = bytes.get(..used).ok_or(Unreadable::Malformed)?;
        let mut counters = Self::default();
        for _ in 0..entries {
            let rest = bytes.get(offset..).ok_or(Unreadable::Malformed)?;
            let length = order.u32(rest, 0).unwrap_or_default();
            // The machine makes room for an entry before it fills it.
            if length == 0 {
                break;
            }
            let entry = rest.get(..length).filter(|entry| entry.len() >= ENTRY_HEADER_BYTES);
            counters.add(order, entry.ok_or(Unreadable::Malformed)?).ok_or(Unreadable::Malformed)?;
            offset += length;
        }
        Ok(counters)
    }

    /// `None` when the entry contradicts itself.
    fn add(&mut self, order: Order, entry: &[u8]) -> Option<()> {
        let (name_offset, elements, data_offset) =
            (order.u32(entry, 4)?, order.u32(entry, 8)?, order.u32(entry, 16)?);
        let kind = *entry.get(12)?;
        let name = until_nul(entry.get(name_offset..)?);
        if !is_of_interest(name) {
            return Some(());
        }
        let data = entry.get(data_offset..)?;
        match (kind, elements) {
            (LONG, 0) => {
                let value = u64::try_from(order.i64(data, 0)?).unwrap_or_default();
                self.numbers.insert(lossy(name), value);
            }
            (BYTE, 1..) => {
                let text = until_nul(data.get(..elements)?);
                let text = lossy(text.get(..TEXT_LIMIT_BYTES).unwrap_or(text));
                self.texts.insert(lossy(name), text);
            }
            _ => {}
        }
        Some(())
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.numbers.get(name).copied()
    }

    fn text(&self, name: &str) -> &str {
        self.texts.get(name).map_or("", String::as_str)
    }

    /// Ticks of the machine's clock as nanoseconds.
    fn nanos(&self, name: &str) -> Option<u64> {
        let ticks = u128::from(self.number(name)?);
        let frequency = self.number("sun.os.hrt.frequency").filter(|frequency| *frequency > 0);
        let frequency = u128::from(frequency.unwrap_or(NANOS_PER_SECOND));
        Some(u64::try_from(ticks * u128::from(NANOS_PER_SECOND) / frequency).unwrap_or(u64::MAX))
    }

    /// The sum over all spaces of the heap.
    fn spaces(&self, what: &str) -> u64 {
        let names = GENERATIONS.flat_map(|generation| {
            SPACES.map(move |space| format!("sun.gc.generation.{generation}.space.{space}.{what}"))
        });
        names.filter_map(|name| self.number(&name)).fold(0, u64::saturating_add)
    }

    fn heap_max_bytes(&self) -> Option<u64> {
        let generations = GENERATIONS
            .filter_map(|generation| self.number(&format!("sun.gc.generation.{generation}.maxCapacity")));
        let max = if self.text("sun.gc.policy.name") == GARBAGE_FIRST {
            generations.min()
        } else {
            generations.reduce(u64::saturating_add)
        };
        max.filter(|max| *max > 0)
    }

    fn reading(&self) -> Reading {
        let collectors = COLLECTORS.filter_map(|collector| {
            let of = |what: &str| format!("sun.gc.collector.{collector}.{what}");
            Some(Collector {
                name: self.texts.get(&of("name"))?.clone(),
                time_ns: self.nanos(&of("time"))?,
                collections: self.number(&of("invocations")).unwrap_or_default(),
            })
        });
        Reading {
            // What follows the class or the jar are arguments of the program: passwords, for one.
            jvm: self.text("sun.rt.javaCommand").split_whitespace().next().unwrap_or_default().to_owned(),
            java_version: self.text("java.property.java.version").to_owned(),
            heap_size_bytes: self.spaces("capacity"),
            heap_used_bytes: self.spaces("used"),
            heap_max_bytes: self.heap_max_bytes(),
            safepoint_time_ns: self.nanos("sun.rt.safepointTime"),
            safepoint_sync_time_ns: self.nanos("sun.rt.safepointSyncTime"),
            collectors: collectors.collect(),
        }
    }
}

fn is_of_interest(name: &[u8]) -> bool {
    let starts: [&[u8]; 5] = [
        b"sun.gc.generation.",
        b"sun.gc.collector.",
        b"sun.gc.policy.name",
        b"sun.rt.safepoint",
        b"sun.os.hrt.frequency",
    ];
    let whole: [&[u8]; 2] = [b"sun.rt.javaCommand", b"java.property.java.version"];
    whole.contains(&name) || starts.iter().any(|start| name.starts_with(start))
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Writes what a virtual machine would write.
    pub(in crate::sources::jvm) struct Image {
        little: bool,
        entries: Vec<u8>,
        count: u32,
    }

    impl Image {
        pub(in crate::sources::jvm) fn new(little: bool) -> Self {
            Self { little, entries: Vec::new(), count: 0 }
        }

        fn int(&self, value: u32) -> [u8; 4] {
            if self.little { value.to_le_bytes() } else { value.to_be_bytes() }
        }

        fn entry(mut self, name: &str, kind: u8, elements: u32, data: &[u8]) -> Self {
            let name_bytes = (name.len() + 1).next_multiple_of(8) as u32 + 4;
            let data_offset = 20 + name_bytes;
            let length = (data_offset as usize + data.len()).next_multiple_of(8) as u32;
            let mut entry = Vec::new();
            for value in [length, 20, elements] {
                entry.extend(self.int(value));
            }
            entry.extend([kind, 1, 1, 2]);
            entry.extend(self.int(data_offset));
            entry.extend(name.as_bytes());
            entry.resize(data_offset as usize, 0);
            entry.extend(data);
            entry.resize(length as usize, 0);
            self.entries.extend(entry);
            self.count += 1;
            self
        }

        pub(in crate::sources::jvm) fn number(self, name: &str, value: i64) -> Self {
            let data = if self.little { value.to_le_bytes() } else { value.to_be_bytes() };
            self.entry(name, LONG, 0, &data)
        }

        pub(in crate::sources::jvm) fn text(self, name: &str, value: &str) -> Self {
            let mut data = value.as_bytes().to_vec();
            data.push(0);
            self.entry(name, BYTE, data.len() as u32, &data)
        }

        pub(in crate::sources::jvm) fn bytes(&self) -> Vec<u8> {
            let mut bytes = MAGIC.to_vec();
            bytes.extend([u8::from(self.little), 2, 0, 1]);
            bytes.extend(self.int((PROLOGUE_BYTES + self.entries.len()) as u32));
            bytes.extend([0; 12]);
            bytes.extend(self.int(PROLOGUE_BYTES as u32));
            bytes.extend(self.int(self.count));
            bytes.extend(&self.entries);
            // The file is larger than what is used of it.
            bytes.resize(bytes.len().max(32 << 10), 0);
            bytes
        }
    }

    /// A machine with the generational layout of the serial collector.
    pub(in crate::sources::jvm) fn serial(little: bool) -> Image {
        Image::new(little)
            .text("sun.rt.javaCommand", "com.example.Shop --password hunter2")
            .text("java.property.java.version", "17.0.15")
            .text("sun.gc.policy.name", "Copy:MSC")
            .number("sun.os.hrt.frequency", 1_000_000)
            .number("sun.gc.generation.0.maxCapacity", 90)
            .number("sun.gc.generation.0.space.0.capacity", 10)
            .number("sun.gc.generation.0.space.0.used", 1)
            .number("sun.gc.generation.0.space.1.capacity", 20)
            .number("sun.gc.generation.0.space.1.used", 2)
            .number("sun.gc.generation.1.maxCapacity", 180)
            .number("sun.gc.generation.1.space.0.capacity", 100)
            .number("sun.gc.generation.1.space.0.used", 50)
            .number("sun.gc.metaspace.used", 7)
            .text("sun.gc.collector.0.name", "Copy")
            .number("sun.gc.collector.0.time", 2_000_000)
            .number("sun.gc.collector.0.invocations", 3)
            .text("sun.gc.collector.1.name", "MSC")
            .number("sun.gc.collector.1.time", 0)
            .number("sun.rt.safepointTime", 500)
            .number("sun.rt.safepointSyncTime", 20)
    }

    #[test]
    fn counters_are_read_in_both_byte_orders_and_ticks_become_nanoseconds() {
        for little in [true, false] {
            let reading = parse(&serial(little).bytes()).unwrap();
            assert_eq!((reading.heap_size_bytes, reading.heap_used_bytes), (130, 53));
            assert_eq!(reading.heap_max_bytes, Some(270));
            assert_eq!(
                (reading.safepoint_time_ns, reading.safepoint_sync_time_ns),
                (Some(500_000), Some(20_000))
            );
            let copy = Collector { name: "Copy".to_owned(), time_ns: NANOS_PER_SECOND * 2, collections: 3 };
            assert_eq!(reading.collectors[0], copy);
            assert_eq!(reading.collectors.len(), 2);
            assert_eq!(reading.java_version, "17.0.15");
        }
    }

    #[test]
    fn arguments_of_the_program_are_left_out() {
        assert_eq!(parse(&serial(true).bytes()).unwrap().jvm, "com.example.Shop");
        let jar = Image::new(true).text("sun.rt.javaCommand", "/opt/shop.jar token=abc");
        assert_eq!(parse(&jar.bytes()).unwrap().jvm, "/opt/shop.jar");
        assert_eq!(parse(&Image::new(true).bytes()).unwrap().jvm, "");
    }

    #[test]
    fn the_largest_heap_of_garbage_first_is_not_counted_for_each_generation() {
        let image = Image::new(true)
            .text("sun.gc.policy.name", "GarbageFirst")
            .number("sun.gc.generation.0.maxCapacity", 1024 + 24)
            .number("sun.gc.generation.1.maxCapacity", 1024 + 8);
        assert_eq!(parse(&image.bytes()).unwrap().heap_max_bytes, Some(1032));
    }

    #[test]
    fn a_machine_that_starts_is_waited_for_and_what_is_no_such_file_is_an_error() {
        let whole = serial(true).bytes();
        assert_eq!(parse(&[]), Err(Unreadable::NotReady));
        assert_eq!(parse(&[0; 100]), Err(Unreadable::NotReady));
        let mut closed = whole.clone();
        closed[7] = 0;
        assert_eq!(parse(&closed), Err(Unreadable::NotReady));
        for (place, byte) in [(0, 1), (4, 2), (5, 1), (5, 3), (11, 0xff), (27, 0xff)] {
            let mut other = whole.clone();
            other[place] = byte;
            assert_eq!(parse(&other), Err(Unreadable::Malformed), "byte {place}");
        }
        // Room was made for an entry that is not filled yet.
        let mut filling = whole;
        filling[28] += 1;
        filling[8] = filling[8].wrapping_add(64);
        assert!(parse(&filling).is_ok());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn no_change_of_a_file_makes_the_parser_panic(
            changes in proptest::collection::vec((0..1600_usize, any::<u8>()), 1..12),
            little in any::<bool>(),
        ) {
            let mut bytes = serial(little).bytes();
            for (place, byte) in changes {
                bytes[place] = byte;
            }
            let _ = parse(&bytes);
        }
    }
}
