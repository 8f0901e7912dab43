use arrow::datatypes::DataType;
use arrow::error::ArrowError;

/// Why rows could not be written to, or read from, the columns of a table.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// A column that every version of the table has is not there.
    #[error("table `{table}` has no column `{column}`: the file is damaged or is not an aftertrace table")]
    MissingColumn {
        /// The table's name.
        table: &'static str,
        /// The column's name.
        column: &'static str,
    },
    /// A column has another type than every version of the table gave it.
    #[error("column `{table}.{column}` has type {found}, expected {expected}")]
    ColumnType {
        /// The table's name.
        table: &'static str,
        /// The column's name.
        column: &'static str,
        /// The type in the file.
        found: DataType,
        /// The type of this build's schema.
        expected: DataType,
    },
    /// A required column holds a null.
    #[error("column `{table}.{column}` holds nulls but is required")]
    UnexpectedNull {
        /// The table's name.
        table: &'static str,
        /// The column's name.
        column: &'static str,
    },
    /// Arrow refused the arrays.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}
