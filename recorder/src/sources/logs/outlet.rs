//! From lines to rows: within the container's budget when lines are recorded, counted by pattern when they are not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use aftertrace_registry::logs::{Joiner, Level, Message, Patterns};
use aftertrace_schemas::Kind;
use aftertrace_schemas::column::Timestamp;
use aftertrace_schemas::manifest::Anchor;
use aftertrace_schemas::tables::{LogLine, LogPattern};

use super::LogMode;
use super::budget::{Budgets, LogBudget};
use super::decode::Logged;

/// Bytes of a line's text; the rest is cut off.
pub const LINE_BYTES: usize = 64 << 10;
/// Rows that are handed on together, at most.
const BATCH_ROWS: usize = 1024;
/// Bytes of text that are handed on together, up to a line.
const BATCH_BYTES: usize = 256 << 10;
/// What a line costs beside its text: a flood of empty lines is a flood too.
pub const ROW_BYTES: u64 = 32;
/// Patterns of a level and source that are told apart, as in the registry.
const PATTERNS: usize = 256;

/// Rows with the boot times at which they were read.
pub(super) type Batch = Vec<(u64, Kind)>;

/// What one source of a container said, when no text is kept.
#[derive(Default)]
struct SourcePatterns {
    joiners: [Joiner; 3],
    patterns: Patterns,
    counts: BTreeMap<(Level, Arc<str>), u64>,
}

/// Makes rows and hands them on; waits when nobody takes them.
pub(super) struct Outlet {
    mode: LogMode,
    anchor: Anchor,
    budgets: Budgets,
    queue: SyncSender<Batch>,
    batch: Batch,
    batch_bytes: usize,
    /// By control group and source.
    patterns: BTreeMap<(String, String), SourcePatterns>,
    /// Nobody listens any more.
    pub(super) is_closed: bool,
}

impl Outlet {
    pub(super) fn new(mode: LogMode, anchor: Anchor, budget: LogBudget, queue: SyncSender<Batch>) -> Self {
        Self {
            mode,
            anchor,
            budgets: Budgets::new(budget),
            queue,
            batch: Vec::new(),
            batch_bytes: 0,
            patterns: BTreeMap::new(),
            is_closed: false,
        }
    }

    /// A line of a container's log.
    pub(super) fn line(
        &mut self,
        (cgroup, source): (&str, &str),
        logged: &Logged<'_>,
        offset: Option<u64>,
        priority: Option<u8>,
        now_ns: u64,
    ) {
        let text = String::from_utf8_lossy(logged.text.get(..LINE_BYTES).unwrap_or(&logged.text));
        let end = text.floor_char_boundary(LINE_BYTES);
        let text = text.get(..end).unwrap_or_default();
        match self.mode {
            LogMode::Off => {}
            LogMode::Patterns => self.count(cgroup, source, logged.stream, text, priority, now_ns),
            LogMode::Lines => {
                if !self.budgets.admits(cgroup, text.len() as u64 + ROW_BYTES, now_ns) {
                    return;
                }
                self.batch_bytes += text.len();
                let row = LogLine {
                    cgroup: cgroup.to_owned(),
                    source: source.to_owned(),
                    stream: logged.stream.map(str::to_owned),
                    logged: logged.time.map(Timestamp),
                    offset,
                    priority,
                    text: text.to_owned(),
                    text_bytes: logged.length,
                };
                self.row(now_ns, row);
            }
        }
    }

    /// Any row.
    pub(super) fn row(&mut self, now_ns: u64, row: impl Into<Kind>) {
        self.batch.push((now_ns, row.into()));
        if self.batch.len() >= BATCH_ROWS || self.batch_bytes >= BATCH_BYTES {
            self.flush();
        }
    }

    /// Hands on what is there.
    pub(super) fn flush(&mut self) {
        if !self.batch.is_empty() {
            self.batch_bytes = 0;
            let batch = std::mem::take(&mut self.batch);
            self.is_closed |= self.queue.send(batch).is_err();
        }
    }

    /// Tells what was lost, and what was counted by pattern; to be called about once a second.
    pub(super) fn tick(&mut self, now_ns: u64) {
        for loss in self.budgets.take_losses(&self.anchor) {
            self.row(now_ns, loss);
        }
        let now = self.anchor.unix_ns(now_ns);
        for own in self.patterns.values_mut() {
            let SourcePatterns { joiners, patterns, counts } = own;
            for joiner in joiners {
                joiner.flush(now, &mut |message| count(patterns, counts, &message));
            }
        }
        self.give_counts(now_ns);
    }

    /// Counts messages as they are, of all control groups or of those that are not followed any more.
    pub(super) fn finish(&mut self, now_ns: u64, is_over: impl Fn(&str) -> bool) {
        for ((cgroup, _), own) in &mut self.patterns {
            if is_over(cgroup) {
                let SourcePatterns { joiners, patterns, counts } = own;
                for joiner in joiners {
                    joiner.finish(&mut |message| count(patterns, counts, &message));
                }
            }
        }
        self.give_counts(now_ns);
        self.patterns.retain(|(cgroup, _), _| !is_over(cgroup));
        self.budgets.retain(|cgroup| !is_over(cgroup));
    }

    fn give_counts(&mut self, now_ns: u64) {
        let mut rows = Vec::new();
        for ((cgroup, source), own) in &mut self.patterns {
            for ((level, hash), messages) in std::mem::take(&mut own.counts) {
                rows.push(LogPattern {
                    cgroup: cgroup.clone(),
                    source: source.clone(),
                    level: level.word().to_owned(),
                    pattern_hash: hash.to_string(),
                    messages,
                });
            }
        }
        for row in rows {
            self.row(now_ns, row);
        }
    }

    fn count(
        &mut self,
        cgroup: &str,
        source: &str,
        stream: Option<&'static str>,
        text: &str,
        priority: Option<u8>,
        now_ns: u64,
    ) {
        let time = self.anchor.unix_ns(now_ns);
        let own = self.patterns.entry((cgroup.to_owned(), source.to_owned())).or_default();
        let SourcePatterns { joiners: [plain, stdout, stderr], patterns, counts } = own;
        let joiner = match stream {
            Some("stdout") => stdout,
            Some(_) => stderr,
            None => plain,
        };
        joiner.add(time, text, priority, &mut |message| count(patterns, counts, &message));
    }

    /// A line is lost that no budget stands in the way of.
    pub(super) fn lose(&mut self, cgroup: Option<&str>, cause: &'static str, now_ns: u64) {
        self.budgets.lose(cgroup, cause, now_ns);
    }
}

fn count(patterns: &mut Patterns, counts: &mut BTreeMap<(Level, Arc<str>), u64>, message: &Message) {
    let counted = patterns.count(message, PATTERNS, |_| "".into());
    *counts.entry((counted.level, counted.pattern_hash)).or_default() += 1;
}
