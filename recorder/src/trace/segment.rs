//! The open segment: for each table with rows a journal and a Parquet file that is not complete yet.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use aftertrace_schemas::journal::JournalWriter;
use aftertrace_schemas::manifest::{Segment, TableFile};
use aftertrace_schemas::parquet_format::{self, FileFacts};
use aftertrace_schemas::{TableId, layout};
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;

use super::TraceError;
use super::files::{self, CountedFile, FileState};
use super::queue::{Batch, Span};

/// Room for a file's footer, and for that of each row group in it.
const FOOTER_BYTES: u64 = 8 << 10;
/// Room for the framing of a batch in the journal, and the last block of the files that it makes longer.
const FRAMING_BYTES: u64 = 16 << 10;

/// The segment that is being written.
pub(super) struct OpenSegment {
    number: u32,
    facts: FileFacts,
    journal_dir: PathBuf,
    /// Where the Parquet files grow; renamed when they are complete.
    growing_dir: PathBuf,
    sealed_dir: PathBuf,
    tables: BTreeMap<TableId, OpenTable>,
    span: Span,
    /// Whether a journal file's name is not durable yet.
    new_names: bool,
}

struct OpenTable {
    journal: JournalWriter,
    journal_path: PathBuf,
    parquet: ArrowWriter<CountedFile>,
    parquet_state: FileState,
    parquet_path: PathBuf,
    rows: u64,
    span: Span,
    /// Bytes that the Parquet file will have when it is closed, at most.
    parquet_bytes: u64,
}

impl OpenSegment {
    pub(super) fn create(root: &Path, facts: FileFacts) -> Result<Self, TraceError> {
        let number = facts.segment;
        let sealed_dir = layout::segment_dir(root, number);
        let growing_dir = sealed_dir.with_extension("tmp");
        let journal_dir = layout::journal_dir(root, number);
        files::create_dir(&journal_dir)?;
        files::sync_dir(&root.join(layout::JOURNAL))?;
        files::create_dir(&growing_dir)?;
        Ok(Self {
            number,
            facts,
            journal_dir,
            growing_dir,
            sealed_dir,
            tables: BTreeMap::new(),
            span: Span::NONE,
            new_names: false,
        })
    }

    /// Bytes that may be needed on disk to take a batch.
    pub(super) fn growth(batch: &Batch) -> u64 {
        2 * (batch.journal_bytes + FRAMING_BYTES) + 2 * FOOTER_BYTES
    }

    /// Writes a batch to the journal, from where on it survives the recorder, and to the Parquet file.
    pub(super) fn append(&mut self, batch: &Batch) -> Result<(), TraceError> {
        let table = match self.tables.entry(batch.table) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                self.new_names = true;
                entry.insert(OpenTable::create(
                    batch.table,
                    &self.facts,
                    &self.journal_dir,
                    &self.growing_dir,
                )?)
            }
        };
        table.append(batch)?;
        self.span = self.span.and(batch.span);
        Ok(())
    }

    /// Makes the journal durable.
    pub(super) fn sync(&mut self) -> Result<(), TraceError> {
        for table in self.tables.values_mut() {
            table.journal.sync().map_err(TraceError::io("sync the journal", &table.journal_path))?;
        }
        if self.new_names {
            files::sync_dir(&self.journal_dir)?;
            self.new_names = false;
        }
        Ok(())
    }

    /// Bytes that the Parquet files will have, at most.
    pub(super) fn parquet_bytes(&self) -> u64 {
        self.tables.values().map(|table| table.parquet_bytes).sum()
    }

    /// Bytes on disk now.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.journal_disk_bytes()
            + self.tables.values().map(|table| files::on_disk(table.parquet_state.bytes())).sum::<u64>()
    }

    /// Bytes on disk while and after it is sealed, at most, journal included.
    pub(super) fn reserved_bytes(&self) -> u64 {
        self.journal_disk_bytes()
            + self.tables.values().map(|table| files::on_disk(table.parquet_bytes)).sum::<u64>()
    }

    fn journal_disk_bytes(&self) -> u64 {
        let files = self.tables.values().map(|table| {
            files::on_disk(table.journal.stream_bytes()) + files::on_disk(table.journal.checksum_bytes())
        });
        2 * files::on_disk(1) + files.sum::<u64>()
    }

    /// Completes the Parquet files and renames their folder, from where on they count and the journal does not.
    pub(super) fn seal(self) -> Result<Segment, TraceError> {
        let mut tables = BTreeMap::new();
        for (table, open) in self.tables {
            tables.insert(table.name().to_owned(), open.close()?);
        }
        files::sync_dir(&self.growing_dir)?;
        files::rename_dir(&self.growing_dir, &self.sealed_dir)?;
        let Span { first_seq, last_seq, from, to } = self.span;
        Ok(Segment { number: self.number, first_seq, last_seq, from, to, tables })
    }

    /// Gives up the Parquet files, which frees their space, and keeps the journal.
    pub(super) fn keep_journal_only(&mut self) -> Result<(), TraceError> {
        let synced = self.sync();
        self.tables.clear();
        files::remove_dir(&self.growing_dir).and(synced)
    }
}

impl OpenTable {
    fn create(
        table: TableId,
        facts: &FileFacts,
        journal_dir: &Path,
        growing_dir: &Path,
    ) -> Result<Self, TraceError> {
        let journal_path = journal_dir.join(layout::journal_name(table));
        let stream = files::create_file(&journal_path)?;
        let checksums = files::create_file(&journal_dir.join(layout::checksum_name(table)))?;
        let journal = JournalWriter::create(stream, checksums, &table.schema())
            .map_err(TraceError::io("write the journal", &journal_path))?;
        let parquet_path = growing_dir.join(layout::parquet_name(table));
        let file = CountedFile::create(&parquet_path)?;
        let parquet_state = file.state();
        let parquet = parquet_format::writer_properties(table, facts)
            .and_then(|properties| ArrowWriter::try_new(file, table.schema(), Some(properties)))
            .map_err(|error| parquet_error(&error, &parquet_state, &parquet_path))?;
        Ok(Self {
            journal,
            journal_path,
            parquet,
            parquet_state,
            parquet_path,
            rows: 0,
            span: Span::NONE,
            parquet_bytes: FOOTER_BYTES,
        })
    }

    fn append(&mut self, batch: &Batch) -> Result<(), TraceError> {
        self.journal.append(&batch.rows).map_err(TraceError::io("write the journal", &self.journal_path))?;
        self.parquet
            .write(&batch.rows)
            .map_err(|error| parquet_error(&error, &self.parquet_state, &self.parquet_path))?;
        self.rows += batch.rows.num_rows() as u64;
        self.span = self.span.and(batch.span);
        let groups = self.parquet.flushed_row_groups().len() as u64 + 1;
        let data = self.parquet.bytes_written() + self.parquet.in_progress_size();
        self.parquet_bytes = data as u64 + FOOTER_BYTES * (groups + 1);
        Ok(())
    }

    fn close(mut self) -> Result<TableFile, TraceError> {
        let Span { first_seq, last_seq, from, to } = self.span;
        for fact in parquet_format::closing_key_values((first_seq, last_seq), (from, to)) {
            self.parquet.append_key_value_metadata(fact);
        }
        let mut file = self
            .parquet
            .into_inner()
            .map_err(|error| parquet_error(&error, &self.parquet_state, &self.parquet_path))?;
        file.flush()
            .and_then(|()| file.sync())
            .map_err(TraceError::io("sync the file", &self.parquet_path))?;
        let state = &self.parquet_state;
        Ok(TableFile { rows: self.rows, bytes: state.bytes(), crc32c: Some(state.crc32c()) })
    }
}

/// The Parquet writer wraps what the file system said; the file remembers it.
fn parquet_error(error: &ParquetError, state: &FileState, path: &Path) -> TraceError {
    match state.error() {
        Some(source) => TraceError::io("write the file", path)(source),
        None => TraceError::Encode { path: path.to_owned(), reason: error.to_string() },
    }
}
