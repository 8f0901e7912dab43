//! Rows of any table, made from its columns' types, so that a new table is tested without another line.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::sync::Arc;

use aftertrace_schemas::manifest::Anchor;
use aftertrace_schemas::parquet_format::{FileFacts, writer_properties};
use aftertrace_schemas::{Batch, Builders, Observation, TableId};
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryBuilder, Float64Array, Int32Array, Int64Array,
    ListBuilder, MapBuilder, RecordBatch, StringArray, StringBuilder, TimestampNanosecondArray, UInt8Array,
    UInt16Array, UInt32Array, UInt64Array,
};
use arrow::datatypes::DataType;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

const TEXTS: &[&str] = &["", "open", "close", "other", "a/b/c", "größer", "x\ny", "/kubepods/burstable"];

fn text(value: u64) -> &'static str {
    TEXTS[(value % TEXTS.len() as u64) as usize]
}

/// A column of one value a row; every third is null where that is allowed.
fn column(data_type: &DataType, nullable: bool, values: &[u64]) -> ArrayRef {
    let value = |value: &u64| if nullable && value.is_multiple_of(3) { None } else { Some(*value) };
    let rows = values.iter().map(value);
    match data_type {
        DataType::UInt8 => Arc::new(rows.map(|row| row.map(|row| row as u8)).collect::<UInt8Array>()),
        DataType::UInt16 => Arc::new(rows.map(|row| row.map(|row| row as u16)).collect::<UInt16Array>()),
        DataType::UInt32 => Arc::new(rows.map(|row| row.map(|row| row as u32)).collect::<UInt32Array>()),
        DataType::UInt64 => Arc::new(rows.collect::<UInt64Array>()),
        DataType::Int32 => Arc::new(rows.map(|row| row.map(|row| row as i32)).collect::<Int32Array>()),
        DataType::Int64 => Arc::new(rows.map(|row| row.map(|row| row as i64)).collect::<Int64Array>()),
        DataType::Float64 => {
            Arc::new(rows.map(|row| row.map(|row| row as f64 / 7.0)).collect::<Float64Array>())
        }
        DataType::Boolean => Arc::new(rows.map(|row| row.map(|row| row % 2 == 0)).collect::<BooleanArray>()),
        DataType::Utf8 => Arc::new(rows.map(|row| row.map(text)).collect::<StringArray>()),
        DataType::Timestamp(..) => Arc::new(
            rows.map(|row| row.map(|row| row as i64))
                .collect::<TimestampNanosecondArray>()
                .with_timezone("UTC"),
        ),
        DataType::Binary => {
            Arc::new(rows.map(|row| row.map(|row| text(row).as_bytes())).collect::<BinaryArray>())
        }
        DataType::FixedSizeBinary(16) => {
            let mut builder = FixedSizeBinaryBuilder::new(16);
            for row in rows {
                match row {
                    Some(row) => builder.append_value(u128::from(row).wrapping_mul(7).to_be_bytes()).unwrap(),
                    None => builder.append_null(),
                }
            }
            Arc::new(builder.finish())
        }
        DataType::List(_) => {
            let mut builder = ListBuilder::new(StringBuilder::new());
            for row in rows {
                for item in 0..row.unwrap_or_default() % 4 {
                    builder.values().append_value(text(item));
                }
                builder.append(row.is_some());
            }
            Arc::new(builder.finish())
        }
        DataType::Map(..) => {
            let mut builder = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
            for row in rows {
                for item in 0..row.unwrap_or_default() % 4 {
                    builder.keys().append_value(text(item));
                    builder.values().append_value(text(item + 1));
                }
                builder.append(row.is_some()).unwrap();
            }
            Arc::new(builder.finish())
        }
        other => panic!("no rows of type {other} yet"),
    }
}

/// A batch with one row a value.
pub(crate) fn batch(table: TableId, values: &[u64]) -> RecordBatch {
    let columns = table
        .columns()
        .iter()
        .enumerate()
        .map(|(index, definition)| {
            let own: Vec<u64> = values.iter().map(|value| value.rotate_left(index as u32 * 5)).collect();
            column(&definition.data_type, definition.nullable, &own)
        })
        .collect();
    RecordBatch::try_new(table.schema(), columns).unwrap()
}

/// The observations of a batch.
pub(crate) fn observations(table: TableId, batch: &RecordBatch) -> Vec<Observation> {
    let batch = Batch::new(table, batch).unwrap();
    (0..batch.len()).map(|row| batch.observation(row).unwrap()).collect()
}

/// The batch of observations.
pub(crate) fn built(table: TableId, observations: &[Observation]) -> RecordBatch {
    let mut builders = Builders::new(table, 4);
    for observation in observations {
        assert!(builders.append(observation));
    }
    assert_eq!(builders.len(), observations.len());
    builders.finish().unwrap()
}

/// A segment's facts.
pub(crate) fn facts() -> FileFacts {
    FileFacts {
        segment: 7,
        host: "shop-1".to_owned(),
        boot_id: "0b1c".to_owned(),
        anchor: Anchor { boot_ns: 5, realtime_ns: 1_700_000_000_000_000_000 },
    }
}

/// A Parquet file as the recorder writes it.
pub(crate) fn parquet_file(table: TableId, batch: &RecordBatch) -> std::fs::File {
    let file = tempfile::tempfile().unwrap();
    let properties = writer_properties(table, &facts()).unwrap();
    let mut writer =
        ArrowWriter::try_new(file.try_clone().unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    file
}

/// All rows of a Parquet file.
pub(crate) fn parquet_rows(file: std::fs::File) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    reader.map(Result::unwrap).collect()
}
