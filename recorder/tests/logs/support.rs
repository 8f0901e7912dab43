//! A log source with what it gave so far.

use std::path::Path;
use std::time::{Duration, Instant};

use aftertrace_recorder::sources::Roots;
use aftertrace_recorder::sources::clock::{ClockWatch, SystemClock};
use aftertrace_recorder::sources::logs::{FileTarget, LogConfig, LogFormat, LogSource, Place, Targets};
use aftertrace_schemas::Kind;
use aftertrace_schemas::tables::{LogFile, LogLine, LogPattern, Loss, ProbeStatus};

pub(crate) const CGROUP: &str = "/docker/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const PATIENCE: Duration = Duration::from_secs(30);

/// What a source gave.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) lines: Vec<LogLine>,
    pub(crate) patterns: Vec<LogPattern>,
    pub(crate) files: Vec<LogFile>,
    pub(crate) losses: Vec<Loss>,
    pub(crate) probes: Vec<ProbeStatus>,
}

impl Rows {
    fn add(&mut self, batch: Vec<(u64, Kind)>) {
        for (_, row) in batch {
            match row {
                Kind::LogLine(row) => self.lines.push(row),
                Kind::LogPattern(row) => self.patterns.push(row),
                Kind::LogFile(row) => self.files.push(row),
                Kind::Loss(row) => self.losses.push(row),
                Kind::Probe(row) => self.probes.push(row),
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) fn texts(&self) -> Vec<&str> {
        self.lines.iter().map(|row| row.text.as_str()).collect()
    }

    pub(crate) fn lost(&self) -> u64 {
        self.losses.iter().map(|loss| loss.lost).sum()
    }
}

pub(crate) struct Logs {
    source: LogSource,
    pub(crate) rows: Rows,
}

impl Logs {
    pub(crate) fn start(config: LogConfig) -> Self {
        let anchor = ClockWatch::start(SystemClock).anchor();
        let source = LogSource::start(config, &Roots::default(), anchor).unwrap();
        Self { source, rows: Rows::default() }
    }

    /// Follows files, and waits until they are open.
    pub(crate) fn follow(&mut self, files: Vec<FileTarget>) {
        let is_there = |file: &&FileTarget| file.place == Place::Host && Path::new(&file.path).exists();
        let there: Vec<String> = files.iter().filter(is_there).map(|file| file.path.clone()).collect();
        self.follow_all(Targets { files, ..Targets::default() });
        self.wait(|rows| there.iter().all(|path| rows.files.iter().any(|row| row.path == *path)));
    }

    pub(crate) fn follow_all(&mut self, targets: Targets) {
        self.source.follow(targets);
    }

    /// Takes what is there.
    pub(crate) fn take(&mut self) {
        while let Some(batch) = self.source.try_rows() {
            self.rows.add(batch);
        }
    }

    /// Waits until `count` lines are there.
    pub(crate) fn wait_lines(&mut self, count: usize) {
        self.wait(|rows| rows.lines.len() >= count);
    }

    fn wait(&mut self, is_there: impl Fn(&Rows) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_there(&self.rows) {
            assert!(Instant::now() < until, "only {} lines and {:?}", self.rows.lines.len(), self.rows.files);
            if let Some(batch) = self.source.wait_rows(Duration::from_millis(100)) {
                self.rows.add(batch);
            }
        }
    }

    /// Ends it; all that it gave.
    pub(crate) fn finish(mut self) -> Rows {
        self.source.finish();
        let until = Instant::now() + PATIENCE;
        while let Some(batch) = self.source.rest(until) {
            self.rows.add(batch);
        }
        self.rows
    }
}

/// A file of the host.
pub(crate) fn host_file(path: &Path) -> FileTarget {
    FileTarget {
        cgroup: CGROUP.to_owned(),
        source: "app.log".to_owned(),
        path: path.to_str().unwrap().to_owned(),
        place: Place::Host,
        format: LogFormat::Unknown,
        from_start: false,
    }
}

/// Why a test cannot run here. Under CI that is a failure.
pub(crate) fn skipped(reason: Option<&str>) -> bool {
    if let Some(reason) = reason {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI must run this test: {reason}");
        println!("skipped: {reason}");
    }
    reason.is_some()
}
