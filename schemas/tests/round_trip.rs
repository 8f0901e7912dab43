//! What goes into a table comes out of it: through builders, journal and Parquet.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod common;

use aftertrace_schemas::journal::{JournalWriter, read_journal};
use aftertrace_schemas::{Observation, TableId};
use common::{batch, built, observations, parquet_file, parquet_rows};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding};
use proptest::prelude::*;

fn through_parquet(table: TableId, rows: &[Observation]) -> Vec<Observation> {
    let batches = parquet_rows(parquet_file(table, &built(table, rows)));
    batches.iter().flat_map(|batch| observations(table, batch)).collect()
}

fn through_journal(table: TableId, rows: &[Observation]) -> Vec<Observation> {
    let dir = tempfile::tempdir().unwrap();
    let stream = dir.path().join("rows.arrows");
    let checksums = std::fs::File::create(dir.path().join("rows.crc")).unwrap();
    let mut journal =
        JournalWriter::create(std::fs::File::create(&stream).unwrap(), checksums, &table.schema()).unwrap();
    for part in rows.chunks(3) {
        journal.append(&built(table, part)).unwrap();
    }
    let read = read_journal(&stream).unwrap();
    assert!(read.verified && read.cut.is_none(), "{:?}", read.cut);
    read.batches.iter().flat_map(|batch| observations(table, batch)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_table_keeps_arbitrary_rows(values in proptest::collection::vec(any::<u64>(), 1..40)) {
        for table in TableId::ALL.iter().copied() {
            let rows = observations(table, &batch(table, &values));
            prop_assert_eq!(rows.len(), values.len());
            prop_assert_eq!(&through_parquet(table, &rows), &rows, "{} through Parquet", table.name());
            prop_assert_eq!(&through_journal(table, &rows), &rows, "{} through the journal", table.name());
        }
    }
}

#[test]
fn a_file_mailed_alone_says_what_it_is() {
    let file = parquet_file(TableId::Tcp, &batch(TableId::Tcp, &[1, 2, 3]));
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let words = reader.metadata().file_metadata().key_value_metadata().unwrap();
    let word = |key: &str| words.iter().find(|word| word.key == key).and_then(|word| word.value.as_deref());
    assert_eq!(word("aftertrace.format_version"), Some("1"));
    assert_eq!(word("aftertrace.table"), Some("tcp_events"));
    assert_eq!(word("aftertrace.segment"), Some("7"));
    assert_eq!(word("aftertrace.host"), Some("shop-1"));
    assert_eq!(word("aftertrace.boot_id"), Some("0b1c"));
    assert_eq!(word("aftertrace.anchor_realtime_ns"), Some("1700000000000000000"));
}

#[test]
fn columns_have_the_layout_that_their_table_declares() {
    for table in TableId::ALL.iter().copied() {
        let values: Vec<u64> = (1..200).collect();
        let file = parquet_file(table, &batch(table, &values));
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        for column in reader.metadata().row_group(0).columns() {
            let name = column.column_path().parts()[0].clone();
            let definition = table.columns().into_iter().find(|column| column.name == name).unwrap();
            let encodings: Vec<Encoding> = column.encodings().collect();
            let has = |encoding| encodings.contains(&encoding);
            let boolean = column.column_type() == parquet::basic::Type::BOOLEAN;
            let place = format!("{}.{name}: {encodings:?}", table.name());
            assert!(matches!(column.compression(), Compression::ZSTD(_)), "{place}");
            match definition.encoding {
                aftertrace_schemas::Encoding::Dictionary => {
                    assert!(has(Encoding::RLE_DICTIONARY) || boolean, "{place}")
                }
                aftertrace_schemas::Encoding::Delta => assert!(has(Encoding::DELTA_BINARY_PACKED), "{place}"),
                aftertrace_schemas::Encoding::ByteStreamSplit => {
                    assert!(has(Encoding::BYTE_STREAM_SPLIT), "{place}")
                }
                aftertrace_schemas::Encoding::Plain => {
                    assert!(has(Encoding::PLAIN) && !has(Encoding::RLE_DICTIONARY), "{place}");
                    assert!(column.statistics().is_none(), "{place}");
                }
            }
        }
    }
}
