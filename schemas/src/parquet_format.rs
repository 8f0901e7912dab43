//! How a table stands in a Parquet file: encodings, row groups, statistics, and the words in its footer.
//!
//! `examples/column_encodings.rs` measures the alternatives on real rows.

use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{Compression, Encoding as Layout, Type, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

use crate::manifest::Anchor;
use crate::{Encoding, FORMAT_VERSION, LEAST_READER_VERSION, TableId, UnixNanos};

/// Most rows of a row group: a bigger one costs the writer memory and gains under 1 % in size.
pub const ROW_GROUP_ROWS: usize = 65_536;
/// Most rows of a page: what a reader skips or decodes at a time.
const PAGE_ROWS: usize = 16_384;
/// A page's bytes before compression.
const PAGE_BYTES: usize = 256 << 10;
/// A dictionary that grows beyond this is given up for plain values: the column does not repeat after all.
const DICTIONARY_BYTES: usize = 256 << 10;

/// What a file says of itself, so that it can be understood when mailed alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFacts {
    /// Number of the segment that it belongs to.
    pub segment: u32,
    /// Name of the host.
    pub host: String,
    /// Id of the boot.
    pub boot_id: String,
    /// The trace's anchor.
    pub anchor: Anchor,
}

/// The properties of a table's Parquet file.
///
/// # Errors
/// When the table has a column that Parquet cannot hold.
pub fn writer_properties(table: TableId, facts: &FileFacts) -> Result<WriterProperties, ParquetError> {
    let mut builder = WriterProperties::builder()
        .set_created_by(concat!("aftertrace ", env!("CARGO_PKG_VERSION")).to_owned())
        // Version 1 has no dictionary for fixed-size binary, which IP addresses are.
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_key_value_metadata(Some(key_values(table, facts)));
    let definitions = table.columns();
    for leaf in leaves(table)?.columns() {
        // A nested column has leaves of its own; the first part of the path is the column.
        let column = leaf.path().parts().first().map(String::as_str).unwrap_or_default();
        let Some(definition) = definitions.iter().find(|definition| definition.name == column) else {
            continue;
        };
        let path = leaf.path().clone();
        let (dictionary, layout) = layout(definition.encoding, leaf);
        builder = builder
            .set_column_dictionary_enabled(path.clone(), dictionary)
            .set_column_statistics_enabled(path.clone(), statistics(definition.encoding));
        if let Some(layout) = layout {
            builder = builder.set_column_encoding(path, layout);
        }
    }
    Ok(builder.build())
}

/// What is known when a file is closed: the span of its rows.
pub fn closing_key_values(seqs: (u64, u64), times: (UnixNanos, UnixNanos)) -> Vec<KeyValue> {
    vec![
        key_value("first_seq", seqs.0),
        key_value("last_seq", seqs.1),
        key_value("from_unix_ns", times.0),
        key_value("to_unix_ns", times.1),
    ]
}

fn key_values(table: TableId, facts: &FileFacts) -> Vec<KeyValue> {
    vec![
        key_value("format_version", FORMAT_VERSION),
        key_value("least_reader_version", LEAST_READER_VERSION),
        key_value("table", table.name()),
        key_value("segment", facts.segment),
        key_value("host", &facts.host),
        key_value("boot_id", &facts.boot_id),
        key_value("anchor_boot_ns", facts.anchor.boot_ns),
        key_value("anchor_realtime_ns", facts.anchor.realtime_ns),
    ]
}

fn key_value(key: &str, value: impl ToString) -> KeyValue {
    KeyValue::new(format!("aftertrace.{key}"), value.to_string())
}

fn leaves(table: TableId) -> Result<SchemaDescriptor, ParquetError> {
    ArrowSchemaConverter::new().convert(&table.schema())
}

/// Whether there is a dictionary, and the encoding of values without one. An encoding that the physical type does
/// not have becomes plain.
fn layout(encoding: Encoding, leaf: &ColumnDescriptor) -> (bool, Option<Layout>) {
    let physical = leaf.physical_type();
    match encoding {
        Encoding::Dictionary => (true, None),
        Encoding::Delta if matches!(physical, Type::INT32 | Type::INT64) => {
            (false, Some(Layout::DELTA_BINARY_PACKED))
        }
        Encoding::ByteStreamSplit
            if matches!(
                physical,
                Type::INT32 | Type::INT64 | Type::FLOAT | Type::DOUBLE | Type::FIXED_LEN_BYTE_ARRAY
            ) =>
        {
            (false, Some(Layout::BYTE_STREAM_SPLIT))
        }
        Encoding::Delta | Encoding::ByteStreamSplit | Encoding::Plain => (false, Some(Layout::PLAIN)),
    }
}

/// Page statistics where they let a reader skip: sequence numbers, times, growing ids. None for free text, which
/// would only copy it into the footer.
fn statistics(encoding: Encoding) -> EnabledStatistics {
    match encoding {
        Encoding::Delta => EnabledStatistics::Page,
        Encoding::Dictionary | Encoding::ByteStreamSplit => EnabledStatistics::Chunk,
        Encoding::Plain => EnabledStatistics::None,
    }
}
