//! Older and newer files than this build's: added columns are fine, everything else is named.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::sync::Arc;

use aftertrace_schemas::{Batch, Kind, SchemaError, TableId};
use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema};
use common::{batch, observations, parquet_file, parquet_rows};

fn without(rows: &RecordBatch, column: &str) -> RecordBatch {
    let schema = rows.schema();
    let kept: Vec<usize> =
        (0..rows.num_columns()).filter(|index| schema.field(*index).name() != column).collect();
    assert_eq!(kept.len() + 1, rows.num_columns(), "{column} is a column");
    rows.project(&kept).unwrap()
}

fn with(rows: &RecordBatch, field: Field, column: ArrayRef) -> RecordBatch {
    let mut fields: Vec<Field> = rows.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.push(field);
    let columns = rows.columns().iter().cloned().chain([column]).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

#[test]
fn a_file_from_before_a_nullable_column_reads_with_nothing_in_it() {
    let old = without(&batch(TableId::Tcp, &[1, 2, 4]), "smoothed_rtt_us");
    let read = parquet_rows(parquet_file(TableId::Tcp, &old));
    let rows = observations(TableId::Tcp, &read[0]);
    assert_eq!(rows.len(), 3);
    for row in rows {
        let Kind::Tcp(event) = row.kind else { panic!("{row:?}") };
        assert_eq!(event.smoothed_rtt_us, None);
    }
}

#[test]
fn every_nullable_column_may_be_absent_and_every_required_one_is_named() {
    for table in TableId::ALL.iter().copied() {
        let rows = batch(table, &[1, 2, 4]);
        for column in table.columns() {
            let found = Batch::new(table, &without(&rows, column.name));
            match found {
                Ok(batch) => assert!(column.nullable && batch.observation(2).is_some(), "{}", column.name),
                Err(SchemaError::MissingColumn { table: of, column: name }) => {
                    assert!(!column.nullable);
                    assert_eq!((of, name), (table.name(), column.name));
                }
                Err(other) => panic!("{}.{}: {other}", table.name(), column.name),
            }
        }
    }
}

#[test]
fn the_error_for_a_missing_required_column_says_which() {
    let damaged = without(&batch(TableId::Tcp, &[1]), "connection_id");
    let error = Batch::new(TableId::Tcp, &damaged).err().unwrap();
    assert!(error.to_string().starts_with("table `tcp_events` has no column `connection_id`"), "{error}");
}

#[test]
fn a_column_that_a_newer_version_added_is_passed_over() {
    let rows = batch(TableId::Loss, &[1, 2]);
    let field = Field::new("mood", DataType::Utf8, true);
    let newer = with(&rows, field, Arc::new(StringArray::from(vec!["good", "bad"])));
    assert_eq!(observations(TableId::Loss, &newer), observations(TableId::Loss, &rows));
}

#[test]
fn a_column_of_another_type_is_named_with_both_types() {
    let rows = without(&batch(TableId::Loss, &[1]), "lost");
    let other =
        with(&rows, Field::new("lost", DataType::UInt32, false), Arc::new(UInt32Array::from(vec![1])));
    let error = Batch::new(TableId::Loss, &other).err().unwrap();
    assert_eq!(error.to_string(), "column `losses.lost` has type UInt32, expected UInt64");
}

#[test]
fn a_null_in_a_required_column_is_named() {
    let rows = without(&batch(TableId::Loss, &[1, 2]), "source");
    let nulls = Arc::new(StringArray::from(vec![Some("a"), None]));
    let other = with(&rows, Field::new("source", DataType::Utf8, true), nulls);
    let error = Batch::new(TableId::Loss, &other).err().unwrap();
    assert_eq!(error.to_string(), "column `losses.source` holds nulls but is required");
}
