//! A journal gives every whole batch, whatever happened to its files.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::fs;
use std::path::PathBuf;

use aftertrace_schemas::TableId;
use aftertrace_schemas::journal::{ENTRY_BYTES, JournalRead, JournalReader, JournalWriter, read_journal};
use arrow::array::RecordBatch;
use common::batch;
use proptest::prelude::*;

const TABLE: TableId = TableId::Loss;

/// A small journal: its folder, its batches, and where each frame ends; the first frame is the schema.
struct Journal {
    dir: tempfile::TempDir,
    batches: Vec<RecordBatch>,
    ends: Vec<usize>,
    stream: Vec<u8>,
    checksums: Vec<u8>,
}

impl Journal {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let stream = fs::File::create(dir.path().join("losses.arrows")).unwrap();
        let checksums = fs::File::create(dir.path().join("losses.crc")).unwrap();
        let mut writer = JournalWriter::create(stream, checksums, &TABLE.schema()).unwrap();
        let mut ends = vec![writer.stream_bytes() as usize];
        let batches: Vec<RecordBatch> =
            [&[1, 2, 3][..], &[4], &[5, 6, 7, 8, 9]].iter().map(|values| batch(TABLE, values)).collect();
        for batch in &batches {
            writer.append(batch).unwrap();
            ends.push(writer.stream_bytes() as usize);
        }
        assert_eq!(writer.checksum_bytes() as usize, ends.len() * ENTRY_BYTES);
        let stream = fs::read(dir.path().join("losses.arrows")).unwrap();
        let checksums = fs::read(dir.path().join("losses.crc")).unwrap();
        assert_eq!(ends.last(), Some(&stream.len()));
        Self { dir, batches, ends, stream, checksums }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("losses.arrows")
    }

    /// Reads with these bytes in place of the files'.
    fn read(&self, stream: &[u8], checksums: Option<&[u8]>) -> JournalRead {
        let path = self.dir.path().join("losses.crc");
        // Removed, not overwritten: some file systems sync a file that is truncated and written again.
        fs::remove_file(self.path()).unwrap_or_default();
        fs::remove_file(&path).unwrap_or_default();
        fs::write(self.path(), stream).unwrap();
        if let Some(checksums) = checksums {
            fs::write(path, checksums).unwrap();
        }
        read_journal(&self.path()).unwrap()
    }

    /// Batches that lie wholly in the first bytes of the stream.
    fn whole_within(&self, bytes: usize) -> &[RecordBatch] {
        let frames = self.ends.iter().filter(|end| **end <= bytes).count();
        &self.batches[..frames.saturating_sub(1)]
    }
}

#[test]
fn a_whole_journal_reads_whole() {
    let journal = Journal::new();
    let read = journal.read(&journal.stream, Some(&journal.checksums));
    assert_eq!(read.batches, journal.batches);
    assert_eq!(read.valid_bytes as usize, journal.stream.len());
    assert!(read.verified);
    assert_eq!(read.cut, None);
}

#[test]
fn any_arrow_reader_reads_the_stream_as_it_is() {
    let journal = Journal::new();
    let file = fs::File::open(journal.path()).unwrap();
    let reader = arrow::ipc::reader::StreamReader::try_new(file, None).unwrap();
    assert_eq!(reader.map(Result::unwrap).collect::<Vec<_>>(), journal.batches);
}

#[test]
fn a_stream_cut_anywhere_gives_the_batches_before_the_cut() {
    let journal = Journal::new();
    for bytes in 0..journal.stream.len() {
        let read = journal.read(&journal.stream[..bytes], Some(&journal.checksums));
        let whole = journal.whole_within(bytes);
        assert_eq!(read.batches, whole, "cut at {bytes}");
        let cut = read.cut.unwrap();
        assert_eq!(read.valid_bytes + cut.lost_bytes, bytes as u64, "{}", cut.reason);
    }
}

#[test]
fn checksums_cut_anywhere_give_the_batches_that_they_cover() {
    let journal = Journal::new();
    for bytes in 0..journal.checksums.len() {
        let read = journal.read(&journal.stream, Some(&journal.checksums[..bytes]));
        let covered = (bytes / ENTRY_BYTES).saturating_sub(1);
        assert_eq!(read.batches, journal.batches[..covered], "cut at {bytes}");
        let cut = read.cut.unwrap();
        assert!(cut.lost_bytes > 0 && read.verified);
    }
}

#[test]
fn a_damaged_byte_of_the_stream_costs_its_own_batch_and_no_other() {
    let journal = Journal::new();
    for position in 0..journal.stream.len() {
        let mut stream = journal.stream.clone();
        stream[position] ^= 0x10;
        let read = journal.read(&stream, Some(&journal.checksums));
        let frame = journal.ends.iter().position(|end| position < *end).unwrap();
        let expected: Vec<RecordBatch> = match frame {
            // Without its schema nothing can be read.
            0 => Vec::new(),
            frame => {
                let others = journal.batches.iter().enumerate().filter(|(index, _)| index + 1 != frame);
                others.map(|(_, batch)| batch.clone()).collect()
            }
        };
        assert_eq!(read.batches, expected, "damaged at {position}");
        assert!(read.cut.is_some_and(|cut| cut.lost_bytes > 0));
    }
}

#[test]
fn a_damaged_byte_of_the_checksums_costs_its_own_batch_and_no_other() {
    let journal = Journal::new();
    for position in ENTRY_BYTES..journal.checksums.len() {
        let mut checksums = journal.checksums.clone();
        checksums[position] ^= 0x01;
        let read = journal.read(&journal.stream, Some(&checksums));
        let damaged = position / ENTRY_BYTES - 1;
        let others = journal.batches.iter().enumerate().filter(|(index, _)| *index != damaged);
        assert_eq!(read.batches, others.map(|(_, batch)| batch.clone()).collect::<Vec<_>>());
        assert!(read.cut.is_some());
    }
}

#[test]
fn without_checksums_a_cut_stream_still_gives_what_is_whole_but_not_as_verified() {
    let journal = Journal::new();
    let read = journal.read(&journal.stream, None);
    assert_eq!((read.batches.len(), read.verified, read.cut), (3, false, None));
    for bytes in 0..journal.stream.len() {
        let read = journal.read(&journal.stream[..bytes], None);
        assert_eq!(read.batches, journal.whole_within(bytes), "cut at {bytes}");
        assert!(!read.verified);
        // Where a frame ends nothing is missing, as far as anyone can tell.
        assert_eq!(read.cut.is_none(), bytes == 0 || journal.ends.contains(&bytes), "cut at {bytes}");
    }
}

#[test]
fn without_checksums_no_damaged_byte_is_an_error_or_a_panic() {
    let journal = Journal::new();
    for position in 0..journal.stream.len() {
        for bit in [0x01, 0x80] {
            let mut stream = journal.stream.clone();
            stream[position] ^= bit;
            assert!(!journal.read(&stream, None).verified);
        }
    }
}

#[test]
fn a_length_that_the_file_does_not_have_is_not_allocated() {
    let journal = Journal::new();
    let schema = journal.ends[0];
    let mut stream = journal.stream[..schema].to_vec();
    stream.extend([0xff, 0xff, 0xff, 0xff, 0xf0, 0xff, 0xff, 0x7f]);
    let cut = journal.read(&stream, None).cut.unwrap();
    assert_eq!(
        (cut.lost_bytes, cut.reason.contains("in the middle of a batch")),
        (8, true),
        "{}",
        cut.reason
    );
}

#[test]
fn a_growing_journal_reads_at_any_moment() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("losses.arrows");
    let checksums = fs::File::create(dir.path().join("losses.crc")).unwrap();
    let mut writer =
        JournalWriter::create(fs::File::create(&path).unwrap(), checksums, &TABLE.schema()).unwrap();
    for count in 0..20 {
        let mut reader = JournalReader::open(&path).unwrap();
        assert_eq!(reader.by_ref().count(), count);
        assert_eq!(reader.into_cut(), None);
        writer.append(&batch(TABLE, &[count as u64])).unwrap();
        writer.sync().unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_bytes_are_an_error_or_a_panic(
        stream in proptest::collection::vec(any::<u8>(), 0..300),
        checksums in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..100)),
    ) {
        let journal = Journal::new();
        prop_assert_eq!(journal.read(&stream, checksums.as_deref()).batches.len(), 0);
    }

    #[test]
    fn any_damage_leaves_only_batches_that_were_written(
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let journal = Journal::new();
        let mut stream = journal.stream.clone();
        for (position, value) in damage {
            let position = position.index(stream.len());
            stream[position] = value;
        }
        let read = journal.read(&stream, Some(&journal.checksums));
        prop_assert!(read.batches.iter().all(|batch| journal.batches.contains(batch)));
        // What is read without checksums may be wrong, but is read without harm.
        let _ = journal.read(&stream, None);
    }
}
