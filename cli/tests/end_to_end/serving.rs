//! A live mode that goes on until it is told to end, and a client for it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{AFTERTRACE, Trace};

/// `aftertrace serve`, ready.
pub struct Serving {
    folder: TempDir,
    process: Child,
    address: String,
}

/// What it answered.
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// The head, as it came.
    pub head: String,
    /// The body, as it came.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

impl Serving {
    /// Starts one on a free port and waits until it is ready; with `record` it also writes a trace.
    pub fn start(flags: &[String], record: bool) -> Self {
        Self::start_with(flags, record, &[])
    }

    /// The same with these environment variables.
    pub fn start_with(flags: &[String], record: bool, environment: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        let mut command = Command::new(AFTERTRACE);
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        if record {
            command.arg("--record").arg(folder.path().join("trace"));
        }
        command
            .args(flags)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut said = String::new();
        let stderr = process.stderr.as_mut().unwrap();
        let mut byte = [0];
        while !said.ends_with("ready\n") {
            assert_eq!(stderr.read(&mut byte).unwrap(), 1, "it ended: {said}");
            said.push(char::from(byte[0]));
        }
        let address = said.split_once("http://").unwrap().1.split_once('/').unwrap().0.to_owned();
        Self { folder, process, address }
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// A directory that goes away with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Asks for a path.
    pub fn get(&self, path: &str, headers: &[&str]) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\r\n", self.address)
            .unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: bytes[end + 4..].to_vec() }
    }

    /// Sends it a signal.
    pub fn send(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits until it ends.
    pub fn wait(self) -> Trace {
        Trace::new(self.folder, self.process.wait_with_output().unwrap())
    }

    /// Ends it as Ctrl-C does.
    pub fn stop(self) -> Trace {
        self.send(Signal::INT);
        self.wait()
    }
}
