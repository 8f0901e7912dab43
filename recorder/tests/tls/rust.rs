//! rustls, by the names that the compiler gives to functions of a crate with its modules.

use std::path::{Path, PathBuf};
use std::process::Command;

use aftertrace_recorder::tls::points::{Points, Role, Stack};

use super::binutils::{disassemble, find};
use super::build::{run, write};

const LIBRARY: &str = r#"
pub mod conn {
    pub mod connection {
        use std::io;

        pub trait PlaintextSink { fn write(&mut self, bytes: &[u8]) -> io::Result<usize>; }
        pub struct Reader<'a> { pub bytes: &'a [u8] }
        pub struct Writer<'a> { pub sink: &'a mut dyn PlaintextSink }

        impl<'a> Reader<'a> {
            #[inline(never)]
            pub fn into_first_chunk(self) -> io::Result<&'a [u8]> {
                self.bytes.get(1..).ok_or(io::ErrorKind::WouldBlock.into())
            }
        }
        impl io::Read for Reader<'_> {
            #[inline(never)]
            fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> { self.bytes.read(bytes) }
        }
        impl io::BufRead for Reader<'_> {
            #[inline(never)]
            fn fill_buf(&mut self) -> io::Result<&[u8]> { Ok(self.bytes) }
            #[inline(never)]
            fn consume(&mut self, count: usize) { self.bytes = &self.bytes[count..]; }
        }
        impl io::Write for Writer<'_> {
            #[inline(never)]
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> { self.sink.write(bytes) }
            fn flush(&mut self) -> io::Result<()> { Ok(()) }
        }
    }
    pub struct ConnectionCommon<T> { pub data: T, pub bytes: Vec<u8> }
    impl<T> connection::PlaintextSink for ConnectionCommon<T> {
        #[inline(never)]
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.bytes.extend(bytes);
            Ok(bytes.len())
        }
    }
}
"#;

const PROGRAM: &str = r#"
use std::io::{BufRead, Read, Write};
use rustls::conn::{ConnectionCommon, connection::{Reader, Writer}};

fn main() {
    let mut common = ConnectionCommon { data: 7_u8, bytes: Vec::new() };
    Writer { sink: &mut common }.write(b"ping").unwrap();
    let mut reader = Reader { bytes: &common.bytes };
    reader.read(&mut [0; 2]).unwrap();
    reader.consume(1);
    println!("{}", reader.into_first_chunk().unwrap().len());
}
"#;

fn compile(directory: &Path, mangling: &str) -> PathBuf {
    let rustc = || {
        let mut command = Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()));
        command.args(["--edition=2021", "-O"]).arg(format!("-Csymbol-mangling-version={mangling}"));
        if mangling == "legacy" {
            command.arg("-Zunstable-options").env("RUSTC_BOOTSTRAP", "1");
        }
        command
    };
    let library = write(directory, "rustls.rs", LIBRARY);
    let compiled = directory.join("librustls.rlib");
    run(rustc().args(["--crate-type=rlib", "--crate-name=rustls", "-o"]).arg(&compiled).arg(&library));
    let program = directory.join("program");
    let source = write(directory, "main.rs", PROGRAM);
    let library = format!("rustls={}", compiled.display());
    run(rustc().arg("--extern").arg(library).arg("-o").arg(&program).arg(&source));
    program
}

#[test]
fn functions_of_rustls_are_found_under_old_and_new_names() {
    for mangling in ["legacy", "v0"] {
        let directory = tempfile::tempdir().unwrap();
        let program = compile(directory.path(), mangling);
        let found = find(&program).unwrap();
        assert_eq!(found.len(), 1);
        let points: &Points = &found[0];
        assert_eq!(points.stack, Stack::Rustls);
        let roles: Vec<Role> = points.functions.iter().map(|function| function.role).collect();
        assert_eq!(
            roles,
            [Role::Read, Role::Write, Role::ReadChunk, Role::Consume],
            "{mangling}: {points:?}"
        );
        for function in &points.functions {
            let expected = disassemble(&program, &function.name);
            assert_eq!(function.entry_offset, expected.entry, "{}", function.name);
            if function.role.needs_return() {
                assert_eq!(function.return_offsets, expected.returns, "{}", function.name);
                assert!(!expected.returns.is_empty());
            }
        }
        let write = &points.functions[1].name;
        assert!(write.contains("PlaintextSink"), "what the writer calls is probed: {write}");
    }
}
