//! A column of bytes that are no text.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder};
use arrow::datatypes::DataType;

use super::{Column, NullableColumn};

/// Builders start with room for this many bytes a row.
const BYTES_A_ROW: usize = 64;

/// Any bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bytes(pub Box<[u8]>);

impl Column for Bytes {
    type Builder = BinaryBuilder;
    type Reader = BinaryArray;

    fn data_type() -> DataType {
        DataType::Binary
    }
    fn builder(rows: usize) -> Self::Builder {
        BinaryBuilder::with_capacity(rows, rows * BYTES_A_ROW)
    }
    fn append(&self, builder: &mut Self::Builder) {
        builder.append_value(&self.0);
    }
    fn finish(builder: &mut Self::Builder) -> ArrayRef {
        Arc::new(builder.finish())
    }
    fn reader(array: &ArrayRef) -> Option<Self::Reader> {
        array.as_binary_opt::<i32>().cloned()
    }
    fn read(reader: &Self::Reader, row: usize) -> Self {
        Self(reader.value(row).into())
    }
}

impl NullableColumn for Bytes {
    fn append_null(builder: &mut Self::Builder) {
        builder.append_null();
    }
    fn is_null(reader: &Self::Reader, row: usize) -> bool {
        reader.is_null(row)
    }
}
