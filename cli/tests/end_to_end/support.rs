//! Running the binary under test, and asking the traces that it writes.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// The binary under test.
pub const AFTERTRACE: &str = env!("CARGO_BIN_EXE_aftertrace");

/// Whether recording is possible here; prints why not. Under CI it must be.
pub fn can_record() -> bool {
    let root = rustix::process::geteuid().is_root();
    let btf = Path::new("/sys/kernel/btf/vmlinux").exists();
    if root && btf {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "under CI recording must be possible: root {root}, BTF {btf}");
    eprintln!("SKIPPED: recording needs root (have: {root}) and kernel BTF (have: {btf})");
    false
}

/// Leaves the test when nothing can be recorded here.
macro_rules! needs_recording {
    () => {
        if !$crate::support::can_record() {
            return;
        }
    };
}
pub(crate) use needs_recording;

/// A trace in a directory that goes away with it.
pub struct Trace {
    directory: TempDir,
    /// What the recorder printed and how it ended.
    pub output: Output,
}

impl Trace {
    /// The trace `directory/trace`, written by a process that ended so.
    pub fn new(directory: TempDir, output: Output) -> Self {
        Self { directory, output }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("trace")
    }

    /// The rows of a query, as JSON objects.
    pub fn sql(&self, query: &str) -> Vec<Value> {
        sql(&self.path(), query)
    }

    /// The one number that a query gives.
    pub fn number(&self, query: &str) -> i64 {
        let rows = self.sql(query);
        let row = rows.first().unwrap_or_else(|| panic!("no row from {query}"));
        row.as_object()
            .unwrap()
            .values()
            .next()
            .unwrap()
            .as_i64()
            .unwrap_or_else(|| panic!("{row} from {query}"))
    }

    /// The sample of a metric whose labels contain all of `labels`, at the end of the trace.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let output = Command::new(AFTERTRACE).args(["analyze", "metrics"]).arg(self.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .filter(|line| line.starts_with(name) && line[name.len()..].starts_with(['{', ' ']))
            .find(|line| {
                let has = |before, (key, value)| line.contains(&format!("{before}{key}=\"{value}\""));
                labels.iter().all(|label| has('{', *label) || has(',', *label))
            })
            .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }

    /// `analyze verify` as JSON, with its exit code.
    pub fn verify(&self) -> (i32, Value) {
        verify(&self.path())
    }

    /// Fails unless the trace is whole: nothing lost, every account balanced.
    pub fn assert_whole(&self) {
        let (code, report) = self.verify();
        assert_eq!(code, 0, "not whole: {report:#}");
    }
}

/// A recorder that goes on until it is told to end.
pub struct Recording {
    directory: TempDir,
    process: Child,
}

impl Recording {
    /// Starts one without a command, and waits until it says that it records.
    pub fn start(flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let directory = TempDir::new().unwrap();
        let mut command = start_recording(&directory.path().join("trace"), flags, &[]);
        command.envs(environment.iter().copied());
        Self::spawn(directory, command)
    }

    /// The same by another program, such as `nohup`.
    pub fn start_under(program: &[&str], flags: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).args([AFTERTRACE, "record", "-o"]).arg(directory.path().join("trace"));
        command.args(flags).stdin(Stdio::null()).stdout(Stdio::null());
        Self::spawn(directory, command)
    }

    /// Records a shell script, which makes the file `$READY` when it is.
    pub fn start_command(flags: &[&str], script: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let words = ["/bin/sh", "-c", script].map(str::to_owned);
        let mut command = start_recording(&directory.path().join("trace"), flags, &words);
        let ready = directory.path().join("ready");
        command.env("READY", &ready);
        let recording = Self::spawn(directory, command);
        while !ready.exists() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        recording
    }

    fn spawn(directory: TempDir, mut command: Command) -> Self {
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let stderr = process.stderr.as_mut().unwrap();
        let mut byte = [0];
        while !said.contains("recording to ") || !said.ends_with('\n') {
            assert_eq!(stderr.read(&mut byte).unwrap(), 1, "the recorder ended: {said}");
            said.push(char::from(byte[0]));
        }
        Self { directory, process }
    }

    /// Where the trace is.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("trace")
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Sends it a signal.
    pub fn send(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits until it ends by itself.
    pub fn wait(self) -> Trace {
        Trace { directory: self.directory, output: self.process.wait_with_output().unwrap() }
    }

    /// Ends it as Ctrl-C does.
    pub fn interrupt(self) -> Trace {
        self.signal(Signal::INT)
    }

    /// Ends it with a signal.
    pub fn signal(self, signal: Signal) -> Trace {
        self.send(signal);
        self.wait()
    }
}

/// `analyze verify` as JSON, with its exit code.
pub fn verify(trace: &Path) -> (i32, Value) {
    let output =
        Command::new(AFTERTRACE).args(["analyze", "verify", "--format", "json"]).arg(trace).output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("verify printed no JSON ({error}): {}", String::from_utf8_lossy(&output.stderr))
    });
    (output.status.code().unwrap(), report)
}

/// The rows of a query, as JSON objects.
pub fn sql(trace: &Path, query: &str) -> Vec<Value> {
    let output = Command::new(AFTERTRACE)
        .args(["analyze", "sql", "--quiet", "--format", "json", "-c", query])
        .arg(trace)
        .output()
        .unwrap();
    assert!(output.status.success(), "{query}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    serde_json::Deserializer::from_str(&text).into_iter::<Value>().map(Result::unwrap).collect()
}

/// A command line that runs one of the `workloads` in a process of its own: this test binary again.
pub fn workload(name: &str) -> Vec<String> {
    let this = std::env::current_exe().unwrap();
    let name = format!("workloads::{name}");
    [this.to_str().unwrap(), "--ignored", "--exact", &name, "--nocapture", "--test-threads=1"]
        .map(str::to_owned)
        .to_vec()
}

/// Starts `record -- command`; the caller waits for it.
pub fn start_recording(trace: &Path, flags: &[&str], command: &[String]) -> Command {
    let mut record = Command::new(AFTERTRACE);
    record.arg("record").arg("-o").arg(trace).args(flags).stdin(Stdio::null());
    if !command.is_empty() {
        record.arg("--").args(command);
    }
    record
}

/// Records a command from start to end.
pub fn record(flags: &[&str], command: &[String]) -> Trace {
    record_with(flags, command, &[])
}

/// Records a workload, which must succeed, from start to end.
pub fn record_workload(name: &str) -> Trace {
    let trace = record(&[], &workload(name));
    assert!(trace.output.status.success(), "{}", describe(&trace.output));
    trace
}

/// Records a command that sees these environment variables.
pub fn record_with(flags: &[&str], command: &[String], environment: &[(&str, &str)]) -> Trace {
    let directory = TempDir::new().unwrap();
    let output = start_recording(&directory.path().join("trace"), flags, command)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    Trace { directory, output }
}

/// What a process printed, for a failure message.
pub fn describe(output: &Output) -> String {
    format!(
        "{}\nstdout: {}\nstderr: {}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
