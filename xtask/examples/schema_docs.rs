//! Prints `schemas/README.md`; `cargo xtask schema-docs` writes it.

fn main() {
    print!("{}", aftertrace_schemas::docs::markdown());
}
