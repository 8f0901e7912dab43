//! Probes at the points that were found, in real programs: every call that begins also returns, and what the calls say
//! they read and wrote is what went over the connection. Root only; each probe is for one process.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use aftertrace_recorder::sources::Roots;
use aftertrace_recorder::tls::libraries::{MappedFile, executed, open};
use aftertrace_recorder::tls::points::{self, Points, Role, Stack};
use aya::maps::Array;
use aya::programs::UProbe;
use aya::programs::uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeScope};
use aya::{Ebpf, Pod};

use super::build::{run, write};
use super::{go, rust, skipped};

const PATIENCE: Duration = Duration::from_secs(30);
const COOKIE_GO: u64 = 0x100;
const COOKIE_EX: u64 = 0x200;
const COOKIE_RUST: u64 = 0x400;
const COOKIE_CONSUME: u64 = 0x800;

/// Messages that each program sends: 100, the first of 10 bytes and each a byte longer; the answers are twice as long.
const SENT_BYTES: u64 = 100 * 10 + 99 * 100 / 2;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
struct Count {
    entries: u64,
    returns: u64,
    others: u64,
    bytes: u64,
}

#[allow(unsafe_code, reason = "four numbers without gaps")]
// SAFETY: as the reason says.
unsafe impl Pod for Count {}

/// A program that is being traced, and is ended whatever the test does.
struct Traced {
    child: Child,
    input: Option<ChildStdin>,
    bpf: Ebpf,
    slots: Vec<Role>,
    _file: MappedFile,
}

impl Drop for Traced {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn compile(directory: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls/probes.bpf.c");
    let object = directory.join("probes.o");
    let clangs =
        ["clang", "clang-19", "clang-18", "clang-17", "clang-16", "clang-15", "clang-14", "clang-20"];
    let clang = clangs.iter().find(|clang| Command::new(clang).arg("--version").output().is_ok()).unwrap();
    let flags = ["-target", "bpfel", "-mcpu=v2", "-O2", "-g", "-Wall", "-Werror", "-c"];
    run(Command::new(clang).args(flags).arg(&source).arg("-o").arg(&object));
    object
}

/// Starts a program that waits for a line, and puts probes into the first file it executes that has this stack.
fn trace(command: &mut Command, stack: Stack, directory: &Path) -> Traced {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let input = child.stdin.take();
    let deadline = Instant::now() + PATIENCE;
    let (file, points) = loop {
        if let Some(found) = find(child.id(), stack) {
            break found;
        }
        assert!(Instant::now() < deadline, "{command:?} executes nothing with {stack:?}");
        std::thread::sleep(Duration::from_millis(20));
    };
    let mut bpf = Ebpf::load_file(compile(directory)).unwrap();
    let mut slots = Vec::new();
    for name in ["enter", "leave"] {
        let program: &mut UProbe = bpf.program_mut(name).unwrap().try_into().unwrap();
        program.load().unwrap();
    }
    for function in points
        .functions
        .iter()
        .filter(|function| !matches!(function.role, Role::Begin | Role::SetFd | Role::Free))
    {
        let mut cookie = slots.len() as u64;
        slots.push(function.role);
        cookie |= match stack {
            Stack::Go => COOKIE_GO,
            Stack::Rustls => COOKIE_RUST,
            _ => 0,
        };
        cookie |= if function.role == Role::Consume { COOKIE_CONSUME } else { 0 };
        cookie |= if matches!(function.role, Role::ReadEx | Role::WriteEx) { COOKIE_EX } else { 0 };
        let mut attach = |name: &str, offset: u64| {
            let program: &mut UProbe = bpf.program_mut(name).unwrap().try_into().unwrap();
            let location = UProbeAttachLocation::AbsoluteOffset(offset);
            let point = UProbeAttachPoint { location, cookie: Some(cookie) };
            let process = UProbeScope::OneProcess(NonZeroU32::new(child.id()).unwrap());
            program.attach(point, file.probe_path(), process).unwrap();
        };
        // Returns first, so that no call is seen to begin and not to end.
        function.return_offsets.iter().for_each(|offset| attach("leave", *offset));
        attach("enter", function.entry_offset);
    }
    Traced { child, input, bpf, slots, _file: file }
}

fn find(pid: u32, stack: Stack) -> Option<(MappedFile, Points)> {
    let roots = Roots::default();
    executed(&roots, pid).ok()?.iter().find_map(|mapping| {
        let file = open(&roots, pid, mapping).ok()?;
        let found = points::find(&file.file).ok()?.into_iter().find(|points| points.stack == stack)?;
        Some((file, found))
    })
}

impl Traced {
    /// Lets the program go on, and gives what was counted when it is through.
    fn finish(mut self, line: &str) -> BTreeMap<Role, Count> {
        let mut input = self.input.take().unwrap();
        input.write_all(line.as_bytes()).unwrap();
        drop(input);
        let text: Vec<String> =
            BufReader::new(self.child.stdout.take().unwrap()).lines().map_while(Result::ok).collect();
        assert!(self.child.wait().unwrap().success(), "{text:?}");
        let counts: Array<_, Count> = Array::try_from(self.bpf.map("counts").unwrap()).unwrap();
        let mut found: BTreeMap<Role, Count> = BTreeMap::new();
        for (slot, role) in self.slots.iter().enumerate() {
            let count = counts.get(&(slot as u32), 0).unwrap();
            let sum = found.entry(*role).or_default();
            sum.entries += count.entries;
            sum.returns += count.returns;
            sum.others += count.others;
            sum.bytes += count.bytes;
        }
        println!("{found:?}");
        found
    }
}

/// A certificate with its key, in one file.
pub(crate) fn certificate(directory: &Path) -> PathBuf {
    let path = directory.join("both.pem");
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    command.args([
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-addext",
        "subjectAltName=DNS:localhost",
    ]);
    command.args(["-subj", "/CN=localhost", "-keyout"]).arg(&path).arg("-out").arg(directory.join("c.pem"));
    run(&mut command);
    let both =
        std::fs::read_to_string(&path).unwrap() + &std::fs::read_to_string(directory.join("c.pem")).unwrap();
    std::fs::write(&path, both).unwrap();
    path
}

fn assert_all(counts: &BTreeMap<Role, Count>, writes: Role, reads: Role) {
    let (write, read) = (counts[&writes], counts[&reads]);
    assert_eq!((write.entries, write.returns), (200, 200), "client and server wrote 100 messages each");
    assert_eq!(write.bytes, 3 * SENT_BYTES);
    assert_eq!(read.entries, read.returns);
    assert_eq!(read.bytes, 3 * SENT_BYTES);
}

const PYTHON: &str = r#"
import socket, ssl, sys, threading

def exactly(connection, count):
    got = b""
    while len(got) < count:
        got += connection.recv(count - len(got))
    return got

def serve(listener, context):
    connection = context.wrap_socket(listener.accept()[0], server_side=True)
    for index in range(100):
        connection.sendall(2 * exactly(connection, 10 + index))

served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
served.load_cert_chain(sys.argv[1])
sys.stdin.readline()
listener = socket.create_server(("127.0.0.1", 0))
server = threading.Thread(target=serve, args=(listener, served))
server.start()
connection = ssl._create_unverified_context().wrap_socket(socket.create_connection(listener.getsockname()))
for index in range(100):
    connection.sendall(b"x" * (10 + index))
    exactly(connection, 20 + 2 * index)
server.join()
"#;

#[test]
fn python_calls_openssl_as_often_as_it_sends() {
    if skipped() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let script = write(directory.path(), "both.py", PYTHON);
    let certificate = certificate(directory.path());
    let mut command = Command::new("/usr/bin/python3");
    command.arg(script).arg(certificate);
    let counts = trace(&mut command, Stack::OpenSsl, directory.path()).finish("go\n");
    assert_all(&counts, Role::WriteEx, Role::ReadEx);
    assert_eq!(counts[&Role::Write], Count::default(), "Python uses the functions with _ex");
}

const NODE: &str = r#"
const fs = require("fs"), tls = require("tls");
const pem = fs.readFileSync(process.argv[2]);
process.stdin.once("data", () => {
    const server = tls.createServer({ key: pem, cert: pem }, (connection) => {
        let got = 0, index = 0;
        connection.on("data", (bytes) => {
            got += bytes.length;
            while (index < 100 && got >= 10 + index) {
                got -= 10 + index;
                connection.write(Buffer.alloc(20 + 2 * index++, "y"));
            }
        });
    });
    server.listen(0, "127.0.0.1", () => {
        let index = 0, got = 0;
        const options = { port: server.address().port, host: "127.0.0.1", rejectUnauthorized: false };
        const connection = tls.connect(options, () => connection.write(Buffer.alloc(10, "x")));
        connection.on("data", (bytes) => {
            got += bytes.length;
            if (got === 20 + 2 * index) {
                got = 0;
                if (++index === 100) process.exit(0);
                connection.write(Buffer.alloc(10 + index, "x"));
            }
        });
    });
});
"#;

#[test]
fn node_calls_openssl_as_often_as_it_sends() {
    if skipped() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let script = write(directory.path(), "both.js", NODE);
    let certificate = certificate(directory.path());
    let mut command = Command::new("node");
    command.arg(script).arg(certificate);
    let counts = trace(&mut command, Stack::OpenSsl, directory.path()).finish("go\n");
    assert_all(&counts, Role::Write, Role::Read);
}

const SERVER: &str = r#"
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
connection = context.wrap_socket(listener.accept()[0], server_side=True)
got = b""
while not got.endswith(b"\r\n\r\n"):
    got += connection.recv(1000)
connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000000)
print(len(got), flush=True)
try:
    connection.unwrap()
except OSError:
    pass
"#;

const ANSWER_BYTES: u64 = 44 + 1_000_000;

/// A server that takes one request, and ends with the test.
struct Server {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    port: u64,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(directory: &Path) -> Self {
        let script = write(directory, "server.py", SERVER);
        let mut command = Command::new("/usr/bin/python3");
        command.arg(script).arg(certificate(directory)).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut server = Self { child, output, port: 0 };
        server.port = server.number();
        server
    }

    fn number(&mut self) -> u64 {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().parse().unwrap()
    }
}

#[test]
fn curl_reads_through_openssl_what_the_server_sent() {
    if skipped() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start(directory.path());
    let mut command = Command::new("curl");
    command.args(["--http1.1", "--insecure", "--silent", "--output", "/dev/null", "--config", "-"]);
    let line = format!("url = https://127.0.0.1:{}/\n", server.port);
    let counts = trace(&mut command, Stack::OpenSsl, directory.path()).finish(&line);
    assert_eq!(counts[&Role::Write].bytes, server.number());
    assert_eq!(counts[&Role::Read].bytes, ANSWER_BYTES);
    for role in [Role::Read, Role::Write] {
        assert_eq!(counts[&role].entries, counts[&role].returns, "{role:?}");
    }
}

#[test]
fn gnutls_cli_returns_from_functions_that_its_reads_end_in() {
    if skipped() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start(directory.path());
    let port = server.port.to_string();
    let mut waits = Command::new("gnutls-cli");
    waits.args(["--insecure", "--port", &port, "127.0.0.1"]);
    let traced = trace(&mut waits, Stack::GnuTls, directory.path());
    let counts = traced.finish("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(counts[&Role::Write].bytes, server.number());
    assert_eq!(counts[&Role::Read].bytes, ANSWER_BYTES);
    for role in [Role::Read, Role::Write] {
        assert_eq!(counts[&role].entries, counts[&role].returns, "{role:?}");
    }
}

#[test]
fn go_calls_crypto_tls_as_often_as_it_sends_also_when_stripped() {
    if skipped() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for (index, program) in go::talkers().iter().enumerate() {
        let counts = trace(&mut Command::new(&program.path), Stack::Go, directory.path()).finish("go\n");
        println!("program {index}");
        assert_all(&counts, Role::Write, Role::Read);
    }
}

#[test]
fn a_program_with_rustls_reads_and_writes_through_the_functions_that_were_found() {
    if skipped() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", rust::TALKER, "--nocapture"]);
    command.env("CERTIFICATE", certificate(directory.path()));
    let counts = trace(&mut command, Stack::Rustls, directory.path()).finish("go\n");
    assert_eq!(counts[&Role::Write].bytes, 3 * SENT_BYTES);
    assert_eq!(counts[&Role::Write].entries, counts[&Role::Write].returns);
    // The server reads into a buffer, the client takes what there is.
    assert_eq!(counts[&Role::Read].bytes, SENT_BYTES);
    assert_eq!(counts[&Role::Consume].bytes, 2 * SENT_BYTES);
    assert_eq!(counts[&Role::ReadChunk].entries, counts[&Role::ReadChunk].returns);
}
