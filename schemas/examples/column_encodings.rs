//! Compares Parquet layouts of each column of a table, on real rows.
//!
//! `cargo run --release -p aftertrace-schemas --example column_encodings -- SEGMENT/tcp_events.parquet`
//!
//! Prints bytes and nanoseconds a row for each layout that the column's type has; the one that the table declares is
//! named beside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a measurement, not a product"
)]

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aftertrace_schemas::TableId;
use aftertrace_schemas::parquet_format::ROW_GROUP_ROWS;
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};

/// Bytes and time that a column takes.
fn measure(
    batches: &[RecordBatch],
    dictionary: bool,
    encoding: Option<Encoding>,
    level: i32,
) -> Option<(usize, Duration)> {
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(level).unwrap()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_dictionary_enabled(dictionary);
    if let Some(encoding) = encoding {
        properties = properties.set_encoding(encoding);
    }
    let begun = Instant::now();
    let mut writer = ArrowWriter::try_new(Vec::new(), batches[0].schema(), Some(properties.build())).unwrap();
    for batch in batches {
        // The type may not have this layout.
        writer.write(batch).ok()?;
    }
    let metadata = writer.close().ok()?;
    let bytes = metadata.row_groups().iter().map(|group| group.compressed_size() as usize).sum();
    Some((bytes, begun.elapsed()))
}

fn main() {
    // A layout that a type does not have makes the writer panic: its cell stays empty.
    std::panic::set_hook(Box::new(|_| {}));
    let path = std::env::args().nth(1).expect("a Parquet file of a segment");
    let name = std::path::Path::new(&path).file_stem().unwrap().to_str().unwrap().to_owned();
    let table = TableId::from_name(&name).expect("a file named after its table");
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
    let batches: Vec<RecordBatch> =
        reader.with_batch_size(4096).build().unwrap().map(Result::unwrap).collect();
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    println!("{name}: {rows} rows, zstd level 1; bytes a row (nanoseconds a row)");
    println!("| column | declared | dictionary | delta | byte stream split | plain |");
    println!("|---|---|---|---|---|---|");
    for column in table.columns() {
        let one: Vec<RecordBatch> = batches
            .iter()
            .map(|batch| {
                let index = batch.schema().index_of(column.name).unwrap();
                let schema = Arc::new(Schema::new(vec![batch.schema().field(index).clone()]));
                RecordBatch::try_new(schema, vec![batch.column(index).clone()]).unwrap()
            })
            .collect();
        let cell = |dictionary, encoding| {
            let measured =
                catch_unwind(AssertUnwindSafe(|| measure(&one, dictionary, encoding, 1))).ok().flatten();
            measured.map_or(String::new(), |(bytes, time)| {
                format!("{:.2} ({})", bytes as f64 / rows as f64, time.as_nanos() / rows as u128)
            })
        };
        println!(
            "| `{}` | {:?} | {} | {} | {} | {} |",
            column.name,
            column.encoding,
            cell(true, None),
            cell(false, Some(Encoding::DELTA_BINARY_PACKED)),
            cell(false, Some(Encoding::BYTE_STREAM_SPLIT)),
            cell(false, Some(Encoding::PLAIN)),
        );
    }
}
