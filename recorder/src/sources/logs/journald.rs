//! What systemd units log: `journalctl` of the host, as JSON, for the units that are followed and no others.
//!
//! Its entries are read by a thread of their own, which waits when they are not taken. When the units change it is started again, behind the entry that
//! was read last, so that none is missed or comes twice.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aftertrace_schemas::tables::{ProbeState, ProbeStatus};
use serde_json::Value;

use super::decode::Logged;
use super::lines::Lines;
use super::outlet::Outlet;
use crate::capabilities::{self, CapabilitySet};
use crate::sources::clock::{Clock, SystemClock};
use crate::sources::is_same_directory;

/// Name of this source in probe rows and of its rows' source.
pub const SOURCE: &str = "journald";
/// Where journals are.
const DIRECTORIES: [&str; 2] = ["var/log/journal", "run/log/journal"];
/// Bytes of an entry: a message that is not text comes as a list of numbers.
const ENTRY_BYTES: usize = 1 << 20;
/// It is not started more often than this: units come in bunches.
const PAUSE: Duration = Duration::from_secs(1);
/// After it ended by itself.
const RETRY: Duration = Duration::from_secs(10);

/// Entries that wait to be taken.
const WAITING: usize = 1024;
/// Entries that are taken in a turn.
const TURN: usize = 4096;

/// Units and the control group that each is recorded as.
pub(super) type Units = BTreeMap<String, String>;

/// How to read the journal.
#[derive(Debug, Clone, Default)]
pub struct JournalConfig {
    /// The journal's directory; without one, that of the host.
    pub directory: Option<PathBuf>,
}

struct Running {
    child: Child,
    reader: JoinHandle<()>,
    /// With the boot time at which each was read; none for one that cannot be understood.
    entries: Receiver<(u64, Option<Entry>)>,
}

/// Follows the journal.
pub(super) struct Journal {
    config: JournalConfig,
    host: PathBuf,
    /// Entries from before it are not read, Unix nanoseconds.
    since: i64,
    units: Units,
    running: Option<Running>,
    /// Of the entry that was taken last.
    cursor: Option<String>,
    /// Ends the wait of who takes entries.
    wake: Arc<OwnedFd>,
    started: Option<Instant>,
    retry_at: Option<Instant>,
    is_stale: bool,
    status: Option<ProbeStatus>,
}

impl Journal {
    pub(super) fn new(config: JournalConfig, host: &Path, since: i64, wake: Arc<OwnedFd>) -> Self {
        Self {
            config,
            host: host.to_owned(),
            since,
            units: Units::new(),
            running: None,
            cursor: None,
            wake,
            started: None,
            retry_at: None,
            is_stale: false,
            status: None,
        }
    }

    /// These units are to be followed from now on.
    pub(super) fn follow(&mut self, units: Units) {
        if self.units != units {
            self.units = units;
            self.is_stale = true;
        }
    }

    /// The control groups of units that are followed.
    pub(super) fn cgroups(&self) -> impl Iterator<Item = &str> {
        self.units.values().map(String::as_str)
    }

    /// To be called often: takes entries and starts what should run. Returns its state when that changed.
    pub(super) fn turn(&mut self, now: Instant, outlet: &mut Outlet) -> Option<ProbeStatus> {
        self.take(outlet);
        let ended = self.running.as_mut().and_then(|running| running.child.try_wait().ok().flatten());
        if let Some(status) = ended {
            let words = self.stop(outlet).unwrap_or_default();
            let words = if words.is_empty() { status.to_string() } else { words };
            self.retry_at = Some(now + RETRY);
            self.is_stale = true;
            return self.set_status(ProbeState::Failed, Some(format!("journalctl ended: {words}")));
        }
        let is_paused = self.started.is_some_and(|started| now.duration_since(started) < PAUSE)
            || self.retry_at.is_some_and(|retry| now < retry);
        if !self.is_stale || is_paused {
            return None;
        }
        self.is_stale = false;
        self.stop(outlet);
        if self.units.is_empty() {
            return None;
        }
        self.started = Some(now);
        self.retry_at = None;
        match self.start() {
            Ok(()) => self.set_status(ProbeState::Active, None),
            Err(reason) => {
                self.retry_at = Some(now + RETRY);
                self.is_stale = true;
                self.set_status(ProbeState::Off, Some(reason))
            }
        }
    }

    fn start(&mut self) -> Result<(), String> {
        let is_there = |directory: &&str| self.host.join(directory).is_dir();
        if self.config.directory.is_none() && !DIRECTORIES.iter().any(is_there) {
            return Err("there is no journal on this host".to_owned());
        }
        let mut child = self.command().spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => "journalctl is not installed".to_owned(),
            _ => format!("journalctl cannot be started: {error}"),
        })?;
        let Some(stdout) = child.stdout.take() else {
            end(&mut child);
            return Err("journalctl has no output".to_owned());
        };
        let (queue, entries) = sync_channel(WAITING);
        let wake = Arc::clone(&self.wake);
        let read = move || read(stdout, &queue, &wake);
        match capabilities::spawn(SOURCE, CapabilitySet::empty(), read) {
            Ok(reader) => {
                self.running = Some(Running { child, reader, entries });
                Ok(())
            }
            Err(error) => {
                end(&mut child);
                Err(format!("no thread: {error}"))
            }
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new("journalctl");
        command.args(["--output=json", "--follow", "--no-tail", "--quiet", "--all"]);
        command.arg("--output-fields=MESSAGE,PRIORITY,_SYSTEMD_UNIT");
        match &self.cursor {
            Some(cursor) => command.arg(format!("--after-cursor={cursor}")),
            None => {
                let (seconds, rest) =
                    (self.since.div_euclid(1_000_000_000), self.since.rem_euclid(1_000_000_000));
                command.arg(format!("--since=@{seconds}.{:06}", rest / 1_000))
            }
        };
        if let Some(directory) = &self.config.directory {
            let mut argument = OsString::from("--directory=");
            argument.push(directory);
            command.arg(argument);
        }
        command.args(self.units.keys().map(|unit| format!("_SYSTEMD_UNIT={unit}")));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if self.is_elsewhere() {
            let host = self.host.clone();
            enter(&mut command, host);
        }
        command
    }

    /// Whether the host's root is another than the recorder's: it is in a container.
    fn is_elsewhere(&self) -> bool {
        self.config.directory.is_none() && !is_same_directory(&self.host, Path::new("/"))
    }

    /// What it takes to start journalctl.
    pub(super) fn capabilities(&self) -> CapabilitySet {
        if self.is_elsewhere() { CapabilitySet::SYS_CHROOT } else { CapabilitySet::empty() }
    }

    /// Takes entries that were read. Returns whether there may be more at some time.
    fn take(&mut self, outlet: &mut Outlet) -> bool {
        let Some(Running { entries, .. }) = &self.running else { return false };
        for _ in 0..TURN {
            match entries.try_recv() {
                Ok((now_ns, Some(entry))) => {
                    if let Some(cgroup) = self.units.get(&entry.unit) {
                        let logged = Logged {
                            stream: None,
                            time: entry.time,
                            offset: 0,
                            length: entry.message.len() as u64,
                            text: entry.message.into(),
                        };
                        outlet.line((cgroup, SOURCE), &logged, None, entry.priority, now_ns);
                    }
                    self.cursor = entry.cursor.or(self.cursor.take());
                }
                Ok((now_ns, None)) => outlet.lose(None, "unreadable", now_ns),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
        true
    }

    /// Ends it, when it runs, and takes what it had read; returns what it complained of.
    pub(super) fn stop(&mut self, outlet: &mut Outlet) -> Option<String> {
        let words = end(&mut self.running.as_mut()?.child);
        // The reader may wait until entries are taken.
        while self.take(outlet) && !outlet.is_closed {
            std::thread::sleep(Duration::from_millis(1));
        }
        // Nothing is taken any more: a reader that waits ends.
        let Running { reader, entries, .. } = self.running.take()?;
        drop(entries);
        let _ = reader.join();
        Some(words)
    }

    fn set_status(&mut self, state: ProbeState, reason: Option<String>) -> Option<ProbeStatus> {
        let status = ProbeStatus { probe: SOURCE.to_owned(), state, reason };
        if self.status.as_ref() == Some(&status) {
            return None;
        }
        self.status = Some(status.clone());
        Some(status)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if let Some(running) = &mut self.running {
            end(&mut running.child);
        }
    }
}

/// Ends the process; returns the last line of what it complained of.
fn end(child: &mut Child) -> String {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
    let mut words = String::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = stderr.take(4096).read_to_string(&mut words);
    }
    words.lines().last().unwrap_or_default().to_owned()
}

/// Has the command run in the host's root.
#[allow(unsafe_code, reason = "between fork and exec")]
fn enter(command: &mut Command, host: PathBuf) {
    let act = move || {
        rustix::process::chroot(&host)?;
        rustix::process::chdir("/")?;
        Ok(())
    };
    // SAFETY: between fork and exec only these two system calls are made, on a path that was allocated before.
    unsafe {
        command.pre_exec(act);
    }
}

/// Reads entries until there are no more, or nobody takes them.
fn read(mut stdout: ChildStdout, queue: &SyncSender<(u64, Option<Entry>)>, wake: &OwnedFd) {
    let mut lines = Lines::new(ENTRY_BYTES, 0, false);
    let mut buffer = vec![0; 64 << 10];
    let mut is_taken = true;
    // When nobody takes them any more, the process is ended too, and there is nothing to read.
    while is_taken {
        let count = match stdout.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let now_ns = SystemClock.boot_ns();
        lines.feed(buffer.get(..count).unwrap_or_default(), &mut |line| {
            let entry = (now_ns, Entry::parse(line.bytes));
            if let Err(TrySendError::Full(entry)) = queue.try_send(entry) {
                super::wake(wake);
                is_taken = queue.send(entry).is_ok();
            }
        });
        super::wake(wake);
    }
}

/// An entry of the journal.
#[derive(Debug, PartialEq)]
struct Entry {
    unit: String,
    message: Vec<u8>,
    priority: Option<u8>,
    cursor: Option<String>,
    /// Unix nanoseconds.
    time: Option<i64>,
}

impl Entry {
    fn parse(line: &[u8]) -> Option<Self> {
        let Ok(Value::Object(mut fields)) = serde_json::from_slice(line) else { return None };
        let text = |value: Option<Value>| {
            value.as_ref().and_then(bytes).map(|text| String::from_utf8_lossy(&text).into_owned())
        };
        let unit = text(fields.remove("_SYSTEMD_UNIT")).unwrap_or_default();
        let time = text(fields.remove("__REALTIME_TIMESTAMP")).and_then(|time| time.parse::<i64>().ok());
        let priority = text(fields.remove("PRIORITY"));
        Some(Self {
            unit,
            message: fields.get("MESSAGE").and_then(bytes).unwrap_or_default(),
            priority: priority.and_then(|priority| priority.parse().ok()),
            cursor: text(fields.remove("__CURSOR")),
            time: time.and_then(|microseconds| microseconds.checked_mul(1_000)),
        })
    }
}

/// The bytes of a field: text, a list of numbers where it is not UTF-8, or a list of both where the field is there
/// several times.
fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Array(items) if items.first().is_some_and(Value::is_number) => {
            items.iter().map(|item| item.as_u64().and_then(|byte| u8::try_from(byte).ok())).collect()
        }
        // One level only: nothing there is a list of lists of lists.
        Value::Array(items) => match items.first()? {
            Value::String(text) => Some(text.clone().into_bytes()),
            Value::Array(numbers) => {
                numbers.iter().map(|item| item.as_u64().and_then(|byte| u8::try_from(byte).ok())).collect()
            }
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_entry_has_text_or_bytes_and_may_have_fields_twice() {
        let parse = |line: &str| Entry::parse(line.as_bytes()).unwrap();
        let entry = parse(
            r#"{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1700000000000001","_SYSTEMD_UNIT":"a.service","PRIORITY":"3","MESSAGE":"no\nway"}"#,
        );
        assert_eq!(
            (entry.unit.as_str(), entry.priority, entry.cursor.as_deref()),
            ("a.service", Some(3), Some("s=1"))
        );
        assert_eq!((entry.time, entry.message), (Some(1_700_000_000_000_001_000), b"no\nway".to_vec()));
        assert_eq!(parse(r#"{"MESSAGE":[104,105,255]}"#).message, [104, 105, 255]);
        assert_eq!(parse(r#"{"MESSAGE":["first","second"]}"#).message, b"first");
        assert_eq!(parse(r#"{"MESSAGE":[[104],"x"]}"#).message, b"h");
        assert_eq!(parse(r#"{"MESSAGE":null,"PRIORITY":"x"}"#).message, b"");
        assert_eq!(Entry::parse(b"-- Boot --"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100), value in "[\\[\\]{}\":,0-9a]{0,40}") {
            let _ = Entry::parse(&bytes);
            let _ = Entry::parse(format!("{{\"MESSAGE\":{value}}}").as_bytes());
        }
    }
}
