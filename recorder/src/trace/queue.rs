//! Between the caller and the writer thread: a queue bounded by bytes, which sheds whole batches by priority.
//!
//! What is shed is recorded as a loss, in the same step. Tables that the rest cannot be understood without are
//! never shed: they wait for room, and may use a reserve that bulk tables may not.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aftertrace_schemas::column::Timestamp;
use aftertrace_schemas::manifest::Probe;
use aftertrace_schemas::tables::Loss;
use aftertrace_schemas::{TableId, UnixNanos};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{TimestampNanosecondType, UInt64Type};

use super::{TraceError, WriterStats};

/// Kept tables may fill the queue to this multiple of its size...
const RESERVE: usize = 2;
/// ...and then wait for room this long before they are shed after all: the ring reader must go on. While the disk
/// stands still, only the first of them waits.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// What a table's batches are worth when the disk does not keep up; lower ones are shed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Priority {
    /// What applications send and receive.
    Data,
    Logs,
    Files,
    Connections,
    Processes,
    /// Snapshots, marks, losses, accounts: they wait.
    Kept,
}

impl Priority {
    fn of(table: TableId) -> Self {
        match table {
            TableId::SocketData | TableId::Datagram => Self::Data,
            TableId::LogLine => Self::Logs,
            TableId::File => Self::Files,
            TableId::Tcp => Self::Connections,
            TableId::Process => Self::Processes,
            _ => Self::Kept,
        }
    }
}

/// Rows of one table on their way to the disk.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) table: TableId,
    pub(super) rows: RecordBatch,
    pub(super) span: Span,
    /// Bytes in memory.
    memory_bytes: usize,
    /// Bytes in the journal, up to framing.
    pub(super) journal_bytes: u64,
}

/// First and last of a batch or a segment, by order and by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    pub(super) from: UnixNanos,
    pub(super) to: UnixNanos,
}

impl Span {
    /// Of nothing.
    pub(super) const NONE: Self =
        Self { first_seq: u64::MAX, last_seq: 0, from: UnixNanos::MAX, to: UnixNanos::MIN };

    fn of(rows: &RecordBatch) -> Self {
        let mut span = Self::NONE;
        if let Some(seq) = rows.columns().first().and_then(|seq| seq.as_primitive_opt::<UInt64Type>()) {
            for seq in seq.values() {
                span.first_seq = span.first_seq.min(*seq);
                span.last_seq = span.last_seq.max(*seq);
            }
        }
        if let Some(time) =
            rows.columns().get(1).and_then(|time| time.as_primitive_opt::<TimestampNanosecondType>())
        {
            for time in time.values() {
                span.from = span.from.min(*time);
                span.to = span.to.max(*time);
            }
        }
        span
    }

    /// The span of both.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            first_seq: self.first_seq.min(other.first_seq),
            last_seq: self.last_seq.max(other.last_seq),
            from: self.from.min(other.from),
            to: self.to.max(other.to),
        }
    }
}

impl Batch {
    pub(super) fn new(table: TableId, rows: RecordBatch) -> Self {
        let sliced = |array: &dyn Array| array.to_data().get_slice_memory_size().unwrap_or_default();
        let journal_bytes = rows.columns().iter().map(|column| sliced(column) as u64).sum();
        Self { table, span: Span::of(&rows), memory_bytes: rows.get_array_memory_size(), journal_bytes, rows }
    }

    /// What is missing when this batch is.
    pub(super) fn loss(&self, cause: &str) -> Loss {
        Loss {
            source: format!("writer/{}", self.table.name()),
            cause: cause.to_owned(),
            subject: Some(self.table.name().to_owned()),
            lost: self.rows.num_rows() as u64,
            from: Timestamp(self.span.from),
            to: Timestamp(self.span.to),
        }
    }
}

/// What the writer thread is to do next.
#[derive(Debug)]
pub(super) enum Message {
    Batch(Batch),
    Seal,
    Finish {
        ended: UnixNanos,
        reason: String,
    },
    /// The caller is gone without finishing.
    Abandon,
}

/// What the manifest should say beside what the writer thread knows itself.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) probes: Option<Vec<Probe>>,
    pub(super) losses: BTreeMap<String, u64>,
}

/// What the writer thread tells of itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    pub(super) disk_bytes: u64,
    pub(super) segment: u32,
    pub(super) segment_parquet_bytes: u64,
    /// The cap leaves no room for this segment to grow.
    pub(super) cap_reached: bool,
    pub(super) sealed_segments: u32,
    pub(super) retired_segments: u64,
}

#[derive(Default)]
struct State {
    messages: VecDeque<Message>,
    bytes: usize,
    batches: u32,
    losses: Vec<Loss>,
    lost: u64,
    totals: BTreeMap<String, u64>,
    probes: Option<Vec<Probe>>,
    progress: Progress,
    /// A wait was in vain, and nothing was taken since.
    stalled: bool,
    error: Option<TraceError>,
    failed: bool,
}

/// The queue and what both sides tell each other.
pub(super) struct Queue {
    limit_bytes: usize,
    state: Mutex<State>,
    filled: Condvar,
    drained: Condvar,
}

impl Queue {
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, state: Mutex::default(), filled: Condvar::new(), drained: Condvar::new() }
    }

    /// Every update leaves the state whole, so that a panic elsewhere does not spoil it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a batch over, or sheds it or less important ones when there is no room.
    pub(super) fn push(&self, batch: Batch) {
        let mut state = self.state();
        let priority = Priority::of(batch.table);
        let limit = if priority == Priority::Kept { self.limit_bytes * RESERVE } else { self.limit_bytes };
        let deadline = Instant::now() + LONGEST_WAIT;
        while state.bytes + batch.memory_bytes > limit && state.bytes > 0 && !state.failed {
            if state.shed_below(priority) {
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if priority != Priority::Kept || left.is_zero() || state.stalled {
                state.stalled |= left.is_zero();
                state.lose(batch.loss("queue_full"));
                return;
            }
            state = self.drained.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.failed {
            state.lose(batch.loss("disk"));
            return;
        }
        state.bytes += batch.memory_bytes;
        state.batches += 1;
        state.messages.push_back(Message::Batch(batch));
        self.filled.notify_one();
    }

    fn send(&self, message: Message) {
        self.state().messages.push_back(message);
        self.filled.notify_one();
    }

    pub(super) fn seal(&self) {
        self.send(Message::Seal);
    }

    pub(super) fn finish(&self, ended: UnixNanos, reason: &str) {
        self.send(Message::Finish { ended, reason: reason.to_owned() });
    }

    pub(super) fn abandon(&self) {
        self.send(Message::Abandon);
    }

    /// The next message, or `None` at the deadline. A batch counts as queued until the next call.
    pub(super) fn pop(&self, deadline: Instant) -> Option<Message> {
        let mut state = self.state();
        loop {
            if let Some(message) = state.messages.pop_front() {
                if let Message::Batch(batch) = &message {
                    state.bytes = state.bytes.saturating_sub(batch.memory_bytes);
                    state.batches = state.batches.saturating_sub(1);
                    state.stalled = false;
                    self.drained.notify_all();
                }
                return Some(message);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            state = self.filled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Counts a loss that is in the stream, for the manifest.
    pub(super) fn record_total(&self, loss: &Loss) {
        *self.state().totals.entry(total_key(loss)).or_default() += loss.lost;
    }

    /// The writer thread lost rows.
    pub(super) fn lose(&self, loss: Loss) {
        self.state().lose(loss);
    }

    pub(super) fn take_losses(&self) -> Vec<Loss> {
        std::mem::take(&mut self.state().losses)
    }

    pub(super) fn set_probes(&self, probes: Vec<Probe>) {
        self.state().probes = Some(probes);
    }

    /// What the manifest should say: probes if they changed, and all losses, also those that are not in the stream yet.
    pub(super) fn facts(&self) -> Facts {
        let mut state = self.state();
        let mut losses = state.totals.clone();
        for loss in &state.losses {
            *losses.entry(total_key(loss)).or_default() += loss.lost;
        }
        Facts { probes: state.probes.take(), losses }
    }

    pub(super) fn has_new_probes(&self) -> bool {
        self.state().probes.is_some()
    }

    pub(super) fn set_progress(&self, progress: Progress) {
        self.state().progress = progress;
    }

    pub(super) fn segment_parquet_bytes(&self, segment: u32) -> u64 {
        let progress = self.state().progress;
        if progress.segment == segment { progress.segment_parquet_bytes } else { 0 }
    }

    pub(super) fn wants_new_segment(&self, segment: u32) -> bool {
        let progress = self.state().progress;
        progress.segment == segment && progress.cap_reached
    }

    /// The writer thread gives up; what comes from now on is dropped.
    pub(super) fn fail(&self, error: TraceError) {
        let mut state = self.state();
        if !state.failed {
            state.failed = true;
            state.error = Some(error);
        }
        for message in std::mem::take(&mut state.messages) {
            if let Message::Batch(batch) = message {
                state.lose(batch.loss("disk"));
            }
        }
        state.bytes = 0;
        state.batches = 0;
        self.drained.notify_all();
    }

    pub(super) fn has_failed(&self) -> bool {
        self.state().failed
    }

    pub(super) fn take_error(&self) -> Option<TraceError> {
        self.state().error.take()
    }

    pub(super) fn stats(&self) -> WriterStats {
        let state = self.state();
        WriterStats {
            disk_bytes: state.progress.disk_bytes,
            queued_batches: state.batches,
            queued_bytes: state.bytes as u64,
            lost: state.lost,
            sealed_segments: state.progress.sealed_segments,
            retired_segments: state.progress.retired_segments,
            ..WriterStats::default()
        }
    }
}

impl State {
    /// Sheds the newest batch of the least important table below `priority`, if there is one.
    fn shed_below(&mut self, priority: Priority) -> bool {
        let candidates = self.messages.iter().enumerate().filter_map(|(index, message)| match message {
            Message::Batch(batch) if Priority::of(batch.table) < priority => {
                Some((index, Priority::of(batch.table)))
            }
            _ => None,
        });
        let Some((index, _)) =
            candidates.min_by_key(|(index, priority)| (*priority, std::cmp::Reverse(*index)))
        else {
            return false;
        };
        if let Some(Message::Batch(batch)) = self.messages.remove(index) {
            self.bytes = self.bytes.saturating_sub(batch.memory_bytes);
            self.batches = self.batches.saturating_sub(1);
            self.lose(batch.loss("queue_full"));
        }
        true
    }

    /// Remembers a loss, joined with one of the same source and cause that was not taken yet.
    fn lose(&mut self, loss: Loss) {
        self.lost += loss.lost;
        let same = |known: &&mut Loss| known.source == loss.source && known.cause == loss.cause;
        match self.losses.iter_mut().find(same) {
            Some(known) => {
                known.lost += loss.lost;
                known.from = known.from.min(loss.from);
                known.to = known.to.max(loss.to);
            }
            None => self.losses.push(loss),
        }
    }
}

fn total_key(loss: &Loss) -> String {
    format!("{}/{}", loss.source, loss.cause)
}

#[cfg(test)]
mod tests;
