//! Which logs a recording follows, and their rows.
//!
//! In: what is alive and recorded, and files that recorded processes open for writing. Out: rows of `sources::logs`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use aftertrace_registry::container_id::{CgroupKind, classify};
use aftertrace_schemas::column::Timestamp;
use aftertrace_schemas::manifest::Anchor;
use aftertrace_schemas::tables::{FileEvent, Loss, ProbeState, ProbeStatus, ProcessSnapshot};
use aftertrace_schemas::{Kind, UnixNanos};

use super::scope::Scope;
use super::timer::Timer;
use crate::live_state::LiveState;
use crate::sources::Roots;
use crate::sources::logs::{
    FileTarget, LOSS_SOURCE, LogConfig, LogFormat, LogMode, LogSource, OUTPUT, Place, SOURCE, Targets,
};

/// Containers that start, and processes through which files are seen, are looked for this often.
const INTERVAL: Duration = Duration::from_secs(1);
/// Batches of rows that are taken in a turn: the recorder's own loop must go round.
const TURN_BATCHES: usize = 8;
/// At the end, rows are waited for so long.
const END_PATIENCE: Duration = Duration::from_secs(4);
/// Files under /var/log that are followed at most.
const MOST_FILES: usize = 4096;

const LOG_FOLDER: &str = "/var/log/";
/// What is below it is another source's: runtimes' own logs, and the journal.
const OTHERS_FOLDERS: [&str; 3] = ["pods/", "containers/", "journal/"];

/// A file that a container writes.
#[derive(Debug)]
struct Written {
    pid: u32,
    mount_namespace: Option<u32>,
    from_start: bool,
}

/// What is followed.
pub(super) struct Logs {
    source: Option<LogSource>,
    timer: Timer,
    /// By control group and path.
    written: BTreeMap<(String, String), Written>,
    told: Targets,
    is_news: bool,
    ready: Vec<(u64, Kind)>,
    lost: u64,
}

impl Logs {
    /// Starts the source, unless logs are switched off. That it cannot be started is a row.
    pub(super) fn start(config: &LogConfig, roots: &Roots, anchor: Anchor, now: Instant) -> Self {
        let (source, status) = if config.mode == LogMode::Off {
            (None, Some((ProbeState::Off, "switched off".to_owned())))
        } else {
            match LogSource::start(config.clone(), roots, anchor) {
                Ok(source) => (Some(source), None),
                Err(error) => (None, Some((ProbeState::Failed, error.to_string()))),
            }
        };
        let probe = |(state, reason)| ProbeStatus { probe: SOURCE.to_owned(), state, reason: Some(reason) };
        let ready = status.map(probe).map(|status| (u64::MAX, Kind::Probe(status)));
        Self {
            source,
            timer: Timer::due_at_once(INTERVAL, now),
            written: BTreeMap::new(),
            told: Targets::default(),
            is_news: false,
            ready: ready.into_iter().collect(),
            lost: 0,
        }
    }

    /// Something changed that may be of concern: it is looked at in the next turn.
    pub(super) fn news(&mut self) {
        self.is_news = true;
    }

    /// A recorded process opened a file for writing.
    pub(super) fn opened(&mut self, event: &FileEvent, live: &LiveState, now: UnixNanos) {
        if self.source.is_none() || !is_log(event) {
            return;
        }
        let Some(process) = live.process(event.pid) else { return };
        let Some(cgroup) = &process.cgroup else { return };
        if matches!(classify(cgroup), CgroupKind::Standalone | CgroupKind::Sandbox) {
            return;
        }
        let key = (cgroup.clone(), event.path.clone());
        if self.written.contains_key(&key) {
            return;
        }
        if self.written.len() >= MOST_FILES {
            self.ready.push((
                u64::MAX,
                Kind::Loss(Loss {
                    source: LOSS_SOURCE.to_owned(),
                    cause: "limit".to_owned(),
                    subject: Some(key.0),
                    lost: 1,
                    from: Timestamp(now),
                    to: Timestamp(now),
                }),
            ));
            return;
        }
        let is_emptied =
            rustix::fs::OFlags::from_bits_retain(event.flags).contains(rustix::fs::OFlags::TRUNC);
        let (pid, mount_namespace) = (process.pid, process.mount_namespace);
        self.written.insert(key, Written { pid, mount_namespace, from_start: is_emptied });
        self.is_news = true;
    }

    /// Follows what is alive now, at intervals and when there are news.
    pub(super) fn turn(&mut self, now: Instant, live: &LiveState, scope: &Scope) {
        if self.source.is_none() || !(self.timer.due(now) | std::mem::take(&mut self.is_news)) {
            return;
        }
        let targets = self.targets(live, scope);
        if targets != self.told
            && let Some(source) = &self.source
        {
            source.follow(targets.clone());
            self.told = targets;
        }
    }

    fn targets(&mut self, live: &LiveState, scope: &Scope) -> Targets {
        // What was asked for by process alone has no log of its own: its container's is also others'.
        let mut files: Vec<FileTarget> = live
            .containers()
            .filter(|row| scope.admits_cgroup(&row.cgroup))
            .filter_map(|row| {
                let path = row.log_path.clone().filter(|path| path.starts_with('/'))?;
                Some(FileTarget {
                    cgroup: row.cgroup.clone(),
                    source: OUTPUT.to_owned(),
                    path,
                    place: Place::Host,
                    format: row.log_format.as_deref().map_or(LogFormat::Unknown, LogFormat::from_name),
                    from_start: false,
                })
            })
            .collect();

        // A file is seen through any process of its container.
        let mut ways: BTreeMap<&str, &ProcessSnapshot> = BTreeMap::new();
        for process in live.processes() {
            if let Some(cgroup) = process.cgroup.as_deref() {
                let way = ways.entry(cgroup).or_insert(process);
                if process.pid < way.pid {
                    *way = process;
                }
            }
        }
        self.written.retain(|(cgroup, _), written| {
            let is_way = |process: &&ProcessSnapshot| {
                process.cgroup.as_deref() == Some(cgroup)
                    && process.mount_namespace == written.mount_namespace
            };
            if live.process(written.pid).filter(is_way).is_some() {
                return true;
            }
            let other = ways.get(cgroup.as_str()).copied().filter(is_way);
            if let Some(other) = other {
                written.pid = other.pid;
            }
            other.is_some()
        });
        files.extend(self.written.iter().map(|((cgroup, path), written)| FileTarget {
            cgroup: cgroup.clone(),
            source: path.clone(),
            path: path.clone(),
            place: Place::Process { pid: written.pid, mount_namespace: written.mount_namespace },
            format: LogFormat::Plain,
            from_start: written.from_start,
        }));

        let cgroups: BTreeSet<&str> =
            ways.into_keys().filter(|cgroup| scope.admits_cgroup(cgroup)).chain(scope.roots()).collect();
        let units = cgroups.into_iter().filter_map(|cgroup| match classify(cgroup) {
            CgroupKind::Systemd { unit } => {
                let name = unit.rsplit('/').next()?.to_owned();
                Some((name, unit))
            }
            _ => None,
        });
        Targets { files, units: units.collect() }
    }

    /// Rows that arrived.
    pub(super) fn take_rows(&mut self) -> Vec<(u64, Kind)> {
        let mut rows = std::mem::take(&mut self.ready);
        for _ in 0..TURN_BATCHES {
            match self.source.as_ref().and_then(LogSource::try_rows) {
                Some(batch) => rows.extend(batch),
                None => break,
            }
        }
        self.count_lost(&rows);
        rows
    }

    /// The last rows: all that was logged until now.
    pub(super) fn finish(&mut self) -> Vec<(u64, Kind)> {
        let Some(source) = self.source.take() else { return Vec::new() };
        source.finish();
        let until = Instant::now() + END_PATIENCE;
        let rows: Vec<_> = std::iter::from_fn(|| source.rest(until)).flatten().collect();
        self.count_lost(&rows);
        rows
    }

    fn count_lost(&mut self, rows: &[(u64, Kind)]) {
        let lost = rows.iter().map(|(_, row)| if let Kind::Loss(loss) = row { loss.lost } else { 0 });
        self.lost += lost.sum::<u64>();
    }

    /// Lines lost so far.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }
}

/// Whether what was opened is a log: only written to, under /var/log, and no other source's.
fn is_log(event: &FileEvent) -> bool {
    let flags = rustix::fs::OFlags::from_bits_retain(event.flags);
    let is_written = flags & rustix::fs::OFlags::RWMODE == rustix::fs::OFlags::WRONLY;
    let is_below = event.path.strip_prefix(LOG_FOLDER).is_some_and(|rest| {
        !rest.is_empty()
            && !OTHERS_FOLDERS.iter().any(|folder| rest.starts_with(folder))
            && !rest.split('/').any(|part| part == "..")
    });
    is_written && is_below
}

#[cfg(test)]
mod tests {
    use aftertrace_schemas::tables::FileEventKind;

    use super::*;

    fn event(path: &str, flags: u32) -> FileEvent {
        FileEvent {
            kind: FileEventKind::Open,
            pid: 1,
            process_start_ns: 0,
            fd: 3,
            path: path.to_owned(),
            flags,
            device_major: 0,
            device_minor: 0,
            inode: 1,
            mount_id: 1,
        }
    }

    #[test]
    fn files_under_var_log_that_are_only_written_are_logs() {
        let (write_only, read_write) = (1, 2);
        assert!(is_log(&event("/var/log/app/error.log", write_only)));
        for path in
            ["/var/log/", "/var/log/pods/a/0.log", "/var/log/journal/x", "/var/log/../lib/x", "var/log/a"]
        {
            assert!(!is_log(&event(path, write_only)), "{path}");
        }
        assert!(!is_log(&event("/var/log/lastlog", read_write)));
    }
}
