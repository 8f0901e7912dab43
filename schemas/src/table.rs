use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::column::{Column, Timestamp};
use crate::{Kind, SchemaError};

/// How the values of a column are laid out in Parquet. Chosen by measurement, see `docs/decisions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Values that repeat: names, states, addresses, process ids.
    Dictionary,
    /// Integers that grow from row to row: sequence numbers, event times.
    Delta,
    /// Integers without a pattern: durations, ports, byte counts.
    ByteStreamSplit,
    /// Everything else: free text that seldom repeats.
    Plain,
}

/// One column of a table: what the schema documentation prints and the writers need.
#[derive(Debug, Clone)]
pub struct ColumnDefinition {
    /// Name in Arrow, Parquet and SQL.
    pub name: &'static str,
    /// What it holds, with its unit.
    pub doc: &'static str,
    /// The Arrow type.
    pub data_type: DataType,
    /// Whether a row may have no value.
    pub nullable: bool,
    /// The layout in Parquet.
    pub encoding: Encoding,
}

impl ColumnDefinition {
    /// The definition of a column of type `C`.
    pub fn of<C: Column>(name: &'static str, doc: &'static str, encoding: Encoding) -> Self {
        Self { name, doc, data_type: C::data_type(), nullable: C::nullable(), encoding }
    }
}

/// A row type: its name, its columns, and the way to and from Arrow. Implemented by the `table!` macro.
pub trait Table: Sized + Clone + std::fmt::Debug + PartialEq {
    /// Name of the table in SQL and of its files.
    const NAME: &'static str;
    /// What a row is.
    const DOC: &'static str;
    /// One builder a column.
    type Builders;
    /// One typed array a column.
    type Readers;

    /// The columns beside `seq` and `time`.
    fn own_columns() -> Vec<ColumnDefinition>;
    /// Empty builders with room for `rows`.
    fn builders(rows: usize) -> Self::Builders;
    /// Adds this row.
    fn append(&self, builders: &mut Self::Builders);
    /// The arrays of what was added, in the order of the columns.
    fn finish(builders: &mut Self::Builders) -> Vec<ArrayRef>;
    /// The typed arrays of a batch, found by name; columns that an older version lacks read as empty.
    fn readers(batch: &RecordBatch) -> Result<Self::Readers, SchemaError>;
    /// The row with this number, below the number of rows of the batch.
    fn read(readers: &Self::Readers, row: usize) -> Self;
    /// The observation kind that carries such a row.
    fn into_kind(self) -> Kind;

    /// All columns, `seq` and `time` first.
    fn columns() -> Vec<ColumnDefinition> {
        let mut columns = vec![
            ColumnDefinition::of::<u64>(
                "seq",
                "Place of the observation in the one order of the trace, unique across tables.",
                Encoding::Delta,
            ),
            ColumnDefinition::of::<Timestamp>(
                "time",
                "When it happened: boot clock of the host mapped to UTC by the trace's one anchor; never runs backwards on a clock step.",
                Encoding::Delta,
            ),
        ];
        columns.extend(Self::own_columns());
        columns
    }

    /// The Arrow schema of the table.
    fn schema() -> SchemaRef {
        let fields: Vec<Field> = Self::columns()
            .into_iter()
            .map(|column| Field::new(column.name, column.data_type, column.nullable))
            .collect();
        Arc::new(Schema::new(fields))
    }
}

/// Finds a column by name and type. An absent nullable column reads as nulls: an older version wrote the file.
pub(crate) fn find<C: Column>(
    batch: &RecordBatch,
    table: &'static str,
    column: &'static str,
) -> Result<C::Reader, SchemaError> {
    let Some(array) = batch.column_by_name(column) else {
        if C::nullable() {
            let nulls = arrow::array::new_null_array(&C::data_type(), batch.num_rows());
            return C::reader(&nulls).ok_or(SchemaError::MissingColumn { table, column });
        }
        return Err(SchemaError::MissingColumn { table, column });
    };
    if !C::nullable() && array.null_count() > 0 {
        return Err(SchemaError::UnexpectedNull { table, column });
    }
    C::reader(array).ok_or_else(|| SchemaError::ColumnType {
        table,
        column,
        found: array.data_type().clone(),
        expected: C::data_type(),
    })
}
