//! `table!`: one definition gives the Rust row, the Arrow columns, their Parquet encodings and their docs.

/// Defines a row type and implements [`crate::Table`] for it.
///
/// ```ignore
/// table! {
///     /// What a row is.
///     pub struct Row in "rows" as RowKind {
///         /// What the column holds, in which unit.
///         [Delta] count: u64,
///     }
/// }
/// ```
macro_rules! table {
    (
        $(#[doc = $doc:literal])+
        pub struct $row:ident in $name:literal as $kind:ident {
            $($(#[doc = $column_doc:literal])+ [$encoding:ident] $column:ident: $type:ty,)+
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq)]
        pub struct $row {
            $($(#[doc = $column_doc])+ pub $column: $type,)+
        }

        const _: () = {
            use $crate::column::Column;

            #[doc = "One builder a column."]
            pub struct Builders {
                $($column: <$type as Column>::Builder,)+
            }

            #[doc = "One typed array a column."]
            pub struct Readers {
                $($column: <$type as Column>::Reader,)+
            }

            impl $crate::Table for $row {
                const NAME: &'static str = $name;
                const DOC: &'static str = concat!($($doc,)+);
                type Builders = Builders;
                type Readers = Readers;

                fn own_columns() -> Vec<$crate::ColumnDefinition> {
                    vec![$($crate::ColumnDefinition::of::<$type>(
                        stringify!($column),
                        concat!($($column_doc,)+).trim_ascii(),
                        $crate::Encoding::$encoding,
                    ),)+]
                }
                fn builders(rows: usize) -> Builders {
                    Builders { $($column: <$type as Column>::builder(rows),)+ }
                }
                fn append(&self, builders: &mut Builders) {
                    $(Column::append(&self.$column, &mut builders.$column);)+
                }
                fn finish(builders: &mut Builders) -> Vec<arrow::array::ArrayRef> {
                    vec![$(<$type as Column>::finish(&mut builders.$column),)+]
                }
                fn readers(batch: &arrow::array::RecordBatch) -> Result<Readers, $crate::SchemaError> {
                    Ok(Readers { $($column: $crate::table::find::<$type>(batch, $name, stringify!($column))?,)+ })
                }
                fn read(readers: &Readers, row: usize) -> Self {
                    Self { $($column: <$type as Column>::read(&readers.$column, row),)+ }
                }
                fn into_kind(self) -> $crate::Kind {
                    $crate::Kind::$kind(self)
                }
            }
        };
    };
}
