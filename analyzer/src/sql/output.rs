//! Prints rows, batch by batch: aligned columns, CSV, a JSON object a line, or a Parquet file.

use std::io::{self, Write};

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::arrow::csv;
use datafusion::arrow::json;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::sync::Arc;

use super::SqlError;

/// Column widths are those of the first so many rows, so that any number of rows prints in little memory.
const ROWS_MEASURED: usize = 1000;
/// Longer values are cut in aligned columns; the other formats have them whole.
const WIDEST: usize = 120;

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFormat {
    /// Aligned columns.
    Table,
    /// Comma-separated values with a header.
    Csv,
    /// A JSON object a line.
    Json,
    /// A Parquet file.
    Parquet,
}

type Out<'o> = &'o mut (dyn Write + Send);

/// Prints the rows of one statement.
pub(super) struct Printer<'o> {
    kind: Kind<'o>,
    rows: u64,
}

enum Kind<'o> {
    Table(Table<'o>),
    Csv(Box<csv::Writer<Out<'o>>>, SchemaRef),
    Json(json::LineDelimitedWriter<Out<'o>>),
    Parquet(Box<ArrowWriter<Out<'o>>>),
}

impl<'o> Printer<'o> {
    pub(super) fn new(format: RowFormat, schema: SchemaRef, out: Out<'o>) -> Result<Self, SqlError> {
        let kind = match format {
            RowFormat::Table => Kind::Table(Table::new(&schema, out)),
            RowFormat::Csv => {
                let schema = flat(&schema);
                let mut writer = csv::WriterBuilder::new().with_header(true).build(out);
                // The header stands even when there are no rows.
                writer.write(&RecordBatch::new_empty(schema.clone())).map_err(output)?;
                Kind::Csv(Box::new(writer), schema)
            }
            RowFormat::Json => Kind::Json(
                json::WriterBuilder::new()
                    .with_explicit_nulls(true)
                    .build::<_, json::writer::LineDelimited>(out),
            ),
            RowFormat::Parquet => {
                let level = ZstdLevel::try_new(3).map_err(|error| SqlError::Query(error.to_string()))?;
                let properties =
                    WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
                let writer = ArrowWriter::try_new(out, schema, Some(properties));
                Kind::Parquet(Box::new(writer.map_err(|error| SqlError::Query(error.to_string()))?))
            }
        };
        Ok(Self { kind, rows: 0 })
    }

    pub(super) fn print(&mut self, batch: &RecordBatch) -> Result<(), SqlError> {
        self.rows += batch.num_rows() as u64;
        match &mut self.kind {
            Kind::Table(table) => table.print(batch)?,
            Kind::Csv(writer, schema) => writer.write(&flattened(batch, schema)?).map_err(output)?,
            Kind::Json(writer) => writer.write(batch).map_err(output)?,
            Kind::Parquet(writer) => {
                writer.write(batch).map_err(|error| SqlError::Query(error.to_string()))?
            }
        }
        Ok(())
    }

    /// Ends the output; returns the number of rows.
    pub(super) fn finish(self, row_counts: bool) -> Result<u64, SqlError> {
        match self.kind {
            Kind::Table(table) => table.finish(self.rows, row_counts)?,
            Kind::Csv(..) => {}
            Kind::Json(mut writer) => writer.finish().map_err(output)?,
            Kind::Parquet(writer) => {
                writer.close().map_err(|error| SqlError::Query(error.to_string()))?;
            }
        }
        Ok(self.rows)
    }
}

/// A writer's error: mostly the output's own, such as a closed pipe.
fn output(error: ArrowError) -> SqlError {
    match error {
        ArrowError::IoError(_, error) => SqlError::Output(error),
        ArrowError::CsvError(words) if words.contains("Broken pipe") => {
            SqlError::Output(io::Error::new(io::ErrorKind::BrokenPipe, words))
        }
        other => SqlError::Query(other.to_string()),
    }
}

fn is_flat(data_type: &DataType) -> bool {
    !data_type.is_nested() && !matches!(data_type, DataType::Binary | DataType::FixedSizeBinary(_))
}

/// CSV knows no lists and maps: they become text.
fn flat(schema: &Schema) -> SchemaRef {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| match is_flat(field.data_type()) {
            true => field.as_ref().clone(),
            false => Field::new(field.name(), DataType::Utf8, true),
        })
        .collect();
    Arc::new(Schema::new(fields))
}

fn flattened(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, SqlError> {
    let options = FormatOptions::default().with_display_error(true);
    let column = |column: &ArrayRef| -> Result<ArrayRef, ArrowError> {
        if is_flat(column.data_type()) {
            return Ok(column.clone());
        }
        let cells = ArrayFormatter::try_new(column, &options)?;
        let text = (0..column.len()).map(|row| (!column.is_null(row)).then(|| cells.value(row).to_string()));
        Ok(Arc::new(text.collect::<StringArray>()))
    };
    let columns: Result<Vec<_>, _> = batch.columns().iter().map(column).collect();
    columns.and_then(|columns| RecordBatch::try_new(schema.clone(), columns)).map_err(output)
}

struct Table<'o> {
    out: Out<'o>,
    names: Vec<String>,
    right: Vec<bool>,
    widths: Option<Vec<usize>>,
    waiting: Vec<Vec<String>>,
}

impl<'o> Table<'o> {
    fn new(schema: &Schema, out: Out<'o>) -> Self {
        let fields = schema.fields();
        Self {
            out,
            names: fields.iter().map(|field| field.name().clone()).collect(),
            right: fields.iter().map(|field| field.data_type().is_numeric()).collect(),
            widths: None,
            waiting: Vec::new(),
        }
    }

    fn print(&mut self, batch: &RecordBatch) -> Result<(), SqlError> {
        let options = FormatOptions::default().with_display_error(true).with_null("");
        let cells: Result<Vec<_>, _> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options)).collect();
        let cells = cells.map_err(output)?;
        for row in 0..batch.num_rows() {
            let line = cells.iter().map(|column| cell(&column.value(row).to_string())).collect();
            self.waiting.push(line);
            if self.waiting.len() >= ROWS_MEASURED {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.widths.is_none() {
            let widest = |column: usize, name: &String| {
                let cells =
                    self.waiting.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
                cells.chain([name.chars().count()]).max().unwrap_or_default()
            };
            let widths: Vec<usize> =
                self.names.iter().enumerate().map(|(column, name)| widest(column, name)).collect();
            line(self.out, &self.names, &widths, &[])?;
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
            writeln!(self.out, "{}", rule.join("+"))?;
            self.widths = Some(widths);
        }
        let widths = self.widths.as_deref().unwrap_or_default();
        for row in self.waiting.drain(..) {
            line(self.out, &row, widths, &self.right)?;
        }
        Ok(())
    }

    fn finish(mut self, rows: u64, row_counts: bool) -> io::Result<()> {
        self.flush()?;
        if row_counts {
            writeln!(self.out, "({rows} {})", if rows == 1 { "row" } else { "rows" })?;
        }
        Ok(())
    }
}

/// One line a value: what would break it is shown as an escape.
fn cell(text: &str) -> String {
    let mut cell: String = text.chars().take(WIDEST).flat_map(shown).collect();
    if text.chars().nth(WIDEST).is_some() {
        cell.push('…');
    }
    cell
}

fn shown(c: char) -> impl Iterator<Item = char> {
    let escaped = c.is_control().then(|| c.escape_default());
    let bare = (!c.is_control()).then_some(c);
    escaped.into_iter().flatten().chain(bare)
}

fn line(out: &mut (dyn Write + Send), cells: &[String], widths: &[usize], right: &[bool]) -> io::Result<()> {
    let mut text = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        if column > 0 {
            text.push_str(" |");
        }
        let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
        let before = right.get(column).copied().unwrap_or_default();
        text.push(' ');
        text.extend(if before {
            [padding.as_str(), cell.as_str()]
        } else {
            [cell.as_str(), padding.as_str()]
        });
    }
    writeln!(out, "{}", text.trim_end())
}
