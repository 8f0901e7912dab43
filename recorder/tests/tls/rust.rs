//! rustls, by the names that the compiler gives to functions of a crate with its modules.

use std::io::{self, BufRead, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use aftertrace_recorder::tls::points::{Points, Role, Stack};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned, crypto::ring,
};

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

/// The name of the test that is a program with rustls.
pub(crate) const TALKER: &str = "rust::both_ends_of_a_connection_talk";

#[test]
#[ignore = "is started by another test, which looks at it"]
fn both_ends_of_a_connection_talk() {
    let path = std::env::var_os("CERTIFICATE").unwrap();
    io::stdin().lock().read_line(&mut String::new()).unwrap();
    let certificate = CertificateDer::from_pem_file(&path).unwrap();
    let key = PrivateKeyDer::from_pem_file(&path).unwrap();
    let provider = Arc::new(ring::default_provider());
    let server =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let server = server.unwrap().with_no_client_auth().with_single_cert(vec![certificate.clone()], key);
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let client = client.with_root_certificates(roots).with_no_client_auth();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = std::thread::spawn(move || {
        let connection = ServerConnection::new(Arc::new(server.unwrap())).unwrap();
        serve(StreamOwned::new(connection, listener.accept().unwrap().0));
    });
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address).unwrap());
    for index in 0..100 {
        stream.write_all(&vec![b'x'; 10 + index]).unwrap();
        take(&mut stream, 20 + 2 * index);
    }
    serving.join().unwrap();
}

fn serve(mut stream: StreamOwned<ServerConnection, TcpStream>) {
    for index in 0..100 {
        let mut bytes = vec![0; 10 + index];
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(&[bytes.clone(), bytes].concat()).unwrap();
    }
}

/// Reads as asynchronous programs do: without copying.
fn take(stream: &mut StreamOwned<ClientConnection, TcpStream>, count: usize) {
    let mut got = 0;
    while got < count {
        let available = match stream.conn.reader().into_first_chunk() {
            Ok(chunk) => chunk.len(),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                stream.conn.read_tls(&mut stream.sock).unwrap();
                stream.conn.process_new_packets().unwrap();
                continue;
            }
        };
        let taken = available.min(count - got);
        stream.conn.reader().consume(taken);
        got += taken;
    }
}
