//! A table's file: what it holds, and its batches one after another.

use std::fs::File;
use std::path::Path;

use aftertrace_schemas::journal::JournalReader;
use aftertrace_schemas::{Batch, TableId};
use arrow::array::{ArrowPrimitiveType, AsArray, RecordBatch};
use arrow::datatypes::{TimestampNanosecondType, UInt64Type};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::statistics::Statistics;

use crate::damage::guarded;
use crate::trace::{TableFile, span};

/// Rows a batch: some twenty tables are open at a time.
const BATCH_ROWS: usize = 8192;

/// Rows and ranges of a file, from its footer, or from all of a journal. Also why a part of a journal cannot be read.
pub(crate) fn describe(
    table: TableId,
    path: &Path,
    name: &str,
    sealed: bool,
    bytes: u64,
) -> Result<(TableFile, Option<String>), String> {
    let mut file = TableFile {
        table,
        path: path.to_owned(),
        name: name.to_owned(),
        sealed,
        rows: 0,
        bytes,
        seqs: None,
        times: None,
    };
    if sealed {
        let reader = guarded(|| parquet(path))?;
        let metadata = reader.metadata();
        file.rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or_default();
        // `seq` is unsigned; Parquet keeps its bits in a signed integer.
        file.seqs = range(metadata, "seq").map(|(from, to)| (from as u64, to as u64));
        file.times = range(metadata, "time");
        return Ok((file, None));
    }
    let mut journal = guarded(|| open_journal(path))?;
    while let Some(batch) = guarded(|| Ok(journal.next()))? {
        // Whether the columns are a table's.
        Batch::new(table, &batch).map_err(|error| error.to_string())?;
        file.rows += batch.num_rows() as u64;
        file.seqs = span(file.seqs.into_iter().chain(values::<UInt64Type>(&batch, "seq")));
        file.times = span(file.times.into_iter().chain(values::<TimestampNanosecondType>(&batch, "time")));
    }
    Ok((file, journal.into_cut().map(|cut| cut.reason)))
}

/// Least and greatest value of a column of a batch.
fn values<T: ArrowPrimitiveType<Native: Ord>>(
    batch: &RecordBatch,
    column: &str,
) -> Option<(T::Native, T::Native)> {
    let values = batch.column_by_name(column)?.as_primitive_opt::<T>()?.values();
    Some((values.iter().min().copied()?, values.iter().max().copied()?))
}

fn open_journal(path: &Path) -> Result<JournalReader, String> {
    JournalReader::open(path).map_err(|error| error.to_string())
}

fn parquet(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| error.to_string())
}

/// Least and greatest value of a 64-bit column, when every row group says so.
fn range(metadata: &ParquetMetaData, column: &str) -> Option<(i64, i64)> {
    let columns = metadata.file_metadata().schema_descr();
    let index = (0..columns.num_columns()).find(|index| columns.column(*index).path().string() == column)?;
    let of_group = |group: &RowGroupMetaData| match group.columns().get(index)?.statistics()? {
        Statistics::Int64(values) => Some((*values.min_opt()?, *values.max_opt()?)),
        _ => None,
    };
    let groups: Option<Vec<_>> = metadata.row_groups().iter().map(of_group).collect();
    span(groups?.into_iter())
}

/// The batches of a file, in its order.
pub(crate) enum Batches {
    Parquet(Box<ParquetRecordBatchReader>),
    Journal(Box<JournalReader>),
}

impl Batches {
    pub(crate) fn open(file: &TableFile) -> Result<Self, String> {
        if file.sealed {
            let reader = guarded(|| {
                let builder = parquet(&file.path)?.with_batch_size(BATCH_ROWS);
                builder.build().map_err(|error| error.to_string())
            })?;
            return Ok(Self::Parquet(Box::new(reader)));
        }
        Ok(Self::Journal(Box::new(guarded(|| open_journal(&file.path))?)))
    }

    /// The next rows, or `None` at the end.
    pub(crate) fn next(&mut self, table: TableId) -> Result<Option<Batch>, String> {
        let batch = match self {
            Self::Parquet(reader) => {
                guarded(|| reader.next().transpose().map_err(|error| error.to_string()))?
            }
            Self::Journal(reader) => guarded(|| Ok(reader.next()))?,
        };
        batch.map(|batch| Batch::new(table, &batch).map_err(|error| error.to_string())).transpose()
    }
}

/// All whole batches of a journal.
pub(crate) fn journal_batches(path: &Path) -> Result<Vec<RecordBatch>, String> {
    guarded(|| Ok(open_journal(path)?.collect()))
}
