//! How one Rust value stands in one Arrow column: type, nullability, appending and reading back.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBuilder, ListArray, ListBuilder, MapArray, MapBuilder,
    PrimitiveArray, PrimitiveBuilder, StringArray, StringBuilder,
};
use arrow::datatypes::{
    DataType, Field, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampNanosecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};

use crate::UnixNanos;
use crate::label::Label;

mod bytes;
mod ip;

pub use bytes::Bytes;
pub use ip::Ip;

/// A value that is kept in one column.
pub trait Column: Sized {
    /// Collects values into an array.
    type Builder;
    /// The array that values are read from.
    type Reader;

    /// The Arrow type of the column.
    fn data_type() -> DataType;
    /// Whether a row may have no value. Columns that a later version adds must be nullable.
    fn nullable() -> bool {
        false
    }
    /// An empty builder with room for `rows`.
    fn builder(rows: usize) -> Self::Builder;
    /// Adds this value as the next row.
    fn append(&self, builder: &mut Self::Builder);
    /// The array of what was added; the builder is empty afterwards.
    fn finish(builder: &mut Self::Builder) -> ArrayRef;
    /// The typed array, or `None` when `array` has another type.
    fn reader(array: &ArrayRef) -> Option<Self::Reader>;
    /// The value of a row; `row` is below the length of the array.
    fn read(reader: &Self::Reader, row: usize) -> Self;
}

/// A column type whose builder and reader know nulls, so that `Option` of it is a column too.
pub trait NullableColumn: Column {
    /// Adds a row without a value.
    fn append_null(builder: &mut Self::Builder);
    /// Whether a row has no value.
    fn is_null(reader: &Self::Reader, row: usize) -> bool;
}

impl<C: NullableColumn> Column for Option<C> {
    type Builder = C::Builder;
    type Reader = C::Reader;

    fn data_type() -> DataType {
        C::data_type()
    }
    fn nullable() -> bool {
        true
    }
    fn builder(rows: usize) -> Self::Builder {
        C::builder(rows)
    }
    fn append(&self, builder: &mut Self::Builder) {
        match self {
            Some(value) => value.append(builder),
            None => C::append_null(builder),
        }
    }
    fn finish(builder: &mut Self::Builder) -> ArrayRef {
        C::finish(builder)
    }
    fn reader(array: &ArrayRef) -> Option<Self::Reader> {
        C::reader(array)
    }
    fn read(reader: &Self::Reader, row: usize) -> Self {
        if C::is_null(reader, row) { None } else { Some(C::read(reader, row)) }
    }
}

macro_rules! primitive_column {
    ($($rust:ty => $arrow:ty, $data_type:expr;)*) => {$(
        impl Column for $rust {
            type Builder = PrimitiveBuilder<$arrow>;
            type Reader = PrimitiveArray<$arrow>;

            fn data_type() -> DataType {
                $data_type
            }
            fn builder(rows: usize) -> Self::Builder {
                PrimitiveBuilder::with_capacity(rows)
            }
            fn append(&self, builder: &mut Self::Builder) {
                builder.append_value(*self);
            }
            fn finish(builder: &mut Self::Builder) -> ArrayRef {
                Arc::new(builder.finish())
            }
            fn reader(array: &ArrayRef) -> Option<Self::Reader> {
                array.as_primitive_opt::<$arrow>().cloned()
            }
            fn read(reader: &Self::Reader, row: usize) -> Self {
                reader.value(row)
            }
        }

        impl NullableColumn for $rust {
            fn append_null(builder: &mut Self::Builder) {
                builder.append_null();
            }
            fn is_null(reader: &Self::Reader, row: usize) -> bool {
                reader.is_null(row)
            }
        }
    )*};
}

primitive_column! {
    u8 => UInt8Type, DataType::UInt8;
    u16 => UInt16Type, DataType::UInt16;
    u32 => UInt32Type, DataType::UInt32;
    u64 => UInt64Type, DataType::UInt64;
    i32 => Int32Type, DataType::Int32;
    i64 => Int64Type, DataType::Int64;
    f64 => Float64Type, DataType::Float64;
}

/// A point in time in a column: Unix nanoseconds, typed as a UTC timestamp for SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub UnixNanos);

impl Column for Timestamp {
    type Builder = PrimitiveBuilder<TimestampNanosecondType>;
    type Reader = PrimitiveArray<TimestampNanosecondType>;

    fn data_type() -> DataType {
        DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
    }
    fn builder(rows: usize) -> Self::Builder {
        PrimitiveBuilder::with_capacity(rows).with_data_type(Self::data_type())
    }
    fn append(&self, builder: &mut Self::Builder) {
        builder.append_value(self.0);
    }
    fn finish(builder: &mut Self::Builder) -> ArrayRef {
        Arc::new(builder.finish())
    }
    fn reader(array: &ArrayRef) -> Option<Self::Reader> {
        array.as_primitive_opt::<TimestampNanosecondType>().cloned()
    }
    fn read(reader: &Self::Reader, row: usize) -> Self {
        Self(reader.value(row))
    }
}

impl NullableColumn for Timestamp {
    fn append_null(builder: &mut Self::Builder) {
        builder.append_null();
    }
    fn is_null(reader: &Self::Reader, row: usize) -> bool {
        reader.is_null(row)
    }
}

impl Column for bool {
    type Builder = BooleanBuilder;
    type Reader = BooleanArray;

    fn data_type() -> DataType {
        DataType::Boolean
    }
    fn builder(rows: usize) -> Self::Builder {
        BooleanBuilder::with_capacity(rows)
    }
    fn append(&self, builder: &mut Self::Builder) {
        builder.append_value(*self);
    }
    fn finish(builder: &mut Self::Builder) -> ArrayRef {
        Arc::new(builder.finish())
    }
    fn reader(array: &ArrayRef) -> Option<Self::Reader> {
        array.as_boolean_opt().cloned()
    }
    fn read(reader: &Self::Reader, row: usize) -> Self {
        reader.value(row)
    }
}

impl NullableColumn for bool {
    fn append_null(builder: &mut Self::Builder) {
        builder.append_null();
    }
    fn is_null(reader: &Self::Reader, row: usize) -> bool {
        reader.is_null(row)
    }
}

/// Builders start with room for this many bytes of text a row.
const TEXT_BYTES_A_ROW: usize = 8;

impl Column for String {
    type Builder = StringBuilder;
    type Reader = StringArray;

    fn data_type() -> DataType {
        DataType::Utf8
    }
    fn builder(rows: usize) -> Self::Builder {
        StringBuilder::with_capacity(rows, rows * TEXT_BYTES_A_ROW)
    }
    fn append(&self, builder: &mut Self::Builder) {
        builder.append_value(self);
    }
    fn finish(builder: &mut Self::Builder) -> ArrayRef {
        Arc::new(builder.finish())
    }
    fn reader(array: &ArrayRef) -> Option<Self::Reader> {
        array.as_string_opt::<i32>().cloned()
    }
    fn read(reader: &Self::Reader, row: usize) -> Self {
        reader.value(row).to_owned()
    }
}

impl NullableColumn for String {
    fn append_null(builder: &mut Self::Builder) {
        builder.append_null();
    }
    fn is_null(reader: &Self::Reader, row: usize) -> bool {
        reader.is_null(row)
    }
}

impl<L: Label> Column for L {
    type Builder = StringBuilder;
    type Reader = StringArray;

    fn data_type() -> DataType {
        DataType::Utf8
    }
    fn builder(rows: usize) -> Self::Builder {
        StringBuilder::with_capacity(rows, rows * TEXT_BYTES_A_ROW)
    }
    fn append(&self, builder: &mut Self::Builder) {
        builder.append_value(self.word());
    }
    fn finish(builder: &mut Self::Builder) -> ArrayRef {
        Arc::new(builder.finish())
    }
    fn reader(array: &ArrayRef) -> Option<Self::Reader> {
        array.as_string_opt::<i32>().cloned()
    }
    fn read(reader: &Self::Reader, row: usize) -> Self {
        L::from_word(reader.value(row))
    }
}

impl<L: Label> NullableColumn for L {
    fn append_null(builder: &mut Self::Builder) {
        builder.append_null();
    }
    fn is_null(reader: &Self::Reader, row: usize) -> bool {
        reader.is_null(row)
    }
}

impl Column for Vec<String> {
    type Builder = ListBuilder<StringBuilder>;
    type Reader = ListArray;

    fn data_type() -> DataType {
        DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))
    }
    fn builder(rows: usize) -> Self::Builder {
        ListBuilder::with_capacity(StringBuilder::new(), rows)
    }
    fn append(&self, builder: &mut Self::Builder) {
        for item in self {
            builder.values().append_value(item);
        }
        builder.append(true);
    }
    fn finish(builder: &mut Self::Builder) -> ArrayRef {
        Arc::new(builder.finish())
    }
    fn reader(array: &ArrayRef) -> Option<Self::Reader> {
        array.as_list_opt::<i32>().filter(|list| list.value_type() == DataType::Utf8).cloned()
    }
    fn read(reader: &Self::Reader, row: usize) -> Self {
        let items = reader.value(row);
        items
            .as_string_opt::<i32>()
            .map(|items| items.iter().map(|item| item.unwrap_or_default().to_owned()).collect())
            .unwrap_or_default()
    }
}

impl NullableColumn for Vec<String> {
    fn append_null(builder: &mut Self::Builder) {
        builder.append(false);
    }
    fn is_null(reader: &Self::Reader, row: usize) -> bool {
        reader.is_null(row)
    }
}

impl Column for BTreeMap<String, String> {
    type Builder = MapBuilder<StringBuilder, StringBuilder>;
    type Reader = MapArray;

    fn data_type() -> DataType {
        let entries = DataType::Struct(
            vec![Field::new("keys", DataType::Utf8, false), Field::new("values", DataType::Utf8, true)]
                .into(),
        );
        DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
    }
    fn builder(_rows: usize) -> Self::Builder {
        MapBuilder::new(None, StringBuilder::new(), StringBuilder::new())
    }
    fn append(&self, builder: &mut Self::Builder) {
        for (key, value) in self {
            builder.keys().append_value(key);
            builder.values().append_value(value);
        }
        // Fails only when keys and values differ in number; the loop above adds them in pairs.
        let _ = builder.append(true);
    }
    fn finish(builder: &mut Self::Builder) -> ArrayRef {
        Arc::new(builder.finish())
    }
    fn reader(array: &ArrayRef) -> Option<Self::Reader> {
        let map = array.as_map_opt()?;
        (map.key_type() == &DataType::Utf8 && map.value_type() == &DataType::Utf8).then(|| map.clone())
    }
    fn read(reader: &Self::Reader, row: usize) -> Self {
        let entries = reader.value(row);
        let (Some(keys), Some(values)) =
            (entries.column(0).as_string_opt::<i32>(), entries.column(1).as_string_opt::<i32>())
        else {
            return Self::new();
        };
        keys.iter()
            .zip(values.iter())
            .map(|(key, value)| (key.unwrap_or_default().to_owned(), value.unwrap_or_default().to_owned()))
            .collect()
    }
}

impl NullableColumn for BTreeMap<String, String> {
    fn append_null(builder: &mut Self::Builder) {
        // As in `append`: no keys, no values.
        let _ = builder.append(false);
    }
    fn is_null(reader: &Self::Reader, row: usize) -> bool {
        reader.is_null(row)
    }
}
