//! `schemas/README.md`: every table and column, written from the definitions.

use std::fmt::Write as _;

use crate::{Encoding, FORMAT_VERSION, LEAST_READER_VERSION, TableId};

/// The text of `schemas/README.md`.
pub fn markdown() -> String {
    let mut text = format!(
        "# Tables of a trace\n\n\
         Written by `cargo xtask schema-docs` from `schemas/src/tables`; do not edit.\n\n\
         Format version {FORMAT_VERSION}, least reader version {LEAST_READER_VERSION}. \
         Every row has its place in the one order of the trace (`seq`) and its time. \
         A segment is `segments/<number>/<table>.parquet`; the newest seconds of a running recording are Arrow IPC \
         streams, `journal/<number>/<table>.arrows`.\n\n"
    );
    for table in TableId::ALL {
        let _ = writeln!(text, "- [`{0}`](#{0}): {1}", table.name(), table.doc().trim());
    }
    for table in TableId::ALL {
        let _ = write!(text, "\n## {}\n\n{}\n\n", table.name(), table.doc().trim());
        text.push_str("| column | type | null | Parquet | meaning |\n|---|---|---|---|---|\n");
        for column in table.columns() {
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} | {} |",
                column.name,
                column.data_type,
                if column.nullable { "yes" } else { "" },
                encoding_name(column.encoding),
                column.doc.replace('|', "\\|"),
            );
        }
    }
    text
}

/// One line a column, sorted by table: the released shape, which may only grow.
pub fn shape() -> String {
    let mut text = String::new();
    for table in TableId::ALL {
        for column in table.columns() {
            let _ = writeln!(
                text,
                "{}.{} {} {}",
                table.name(),
                column.name,
                column.data_type,
                if column.nullable { "nullable" } else { "required" }
            );
        }
    }
    text
}

fn encoding_name(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Dictionary => "dictionary",
        Encoding::Delta => "delta",
        Encoding::ByteStreamSplit => "byte stream split",
        Encoding::Plain => "plain",
    }
}
