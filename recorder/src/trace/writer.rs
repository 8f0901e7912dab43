//! The caller's side: builders, batches, and the hand-over to the writer thread.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use aftertrace_schemas::manifest::{Manifest, Probe};
use aftertrace_schemas::tables::Loss;
use aftertrace_schemas::{Builders, Kind, Observation, TableId, UnixNanos};
use arrow::array::RecordBatch;

use super::background::{self, Writer};
use super::queue::{Batch, Queue};
use super::{TraceError, WriterOptions};
use crate::capabilities;

/// A batch is handed over at so many rows.
const BATCH_ROWS: usize = 4096;
/// A table's first builders have room for so many rows, later ones for as many as the last batch had.
const FIRST_ROWS: usize = 16;

/// Writes a trace. See the module.
pub struct TraceWriter {
    pending: Vec<Pending>,
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
    options: WriterOptions,
    segment: u32,
    segment_began: Instant,
    /// Bytes that this segment's journal has, or will have once the queue is empty.
    segment_journal_bytes: u64,
    flushed: Instant,
    observations: u64,
    last_time: UnixNanos,
    failed: bool,
}

struct Pending {
    table: TableId,
    builders: Option<Builders>,
    rows_hint: usize,
}

/// How a trace being written stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriterStats {
    /// Observations appended.
    pub observations: u64,
    /// Bytes of the whole directory, in blocks of 4 KiB.
    pub disk_bytes: u64,
    /// Batches that wait for the writer thread.
    pub queued_batches: u32,
    /// Bytes of these.
    pub queued_bytes: u64,
    /// Observations that the writer lost (shed, over the cap, or disk errors).
    pub lost: u64,
    /// Number of the open segment.
    pub segment: u32,
    /// Sealed segments that are kept.
    pub sealed_segments: u32,
    /// Segments that retention dropped.
    pub retired_segments: u64,
}

/// What a finished trace has become.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    /// The last state; the open segment is sealed.
    pub stats: WriterStats,
    /// Whether everything was sealed. False when the writer failed before (the error was given then).
    pub complete: bool,
}

impl TraceWriter {
    /// Makes the trace directory (0700, or takes an empty one that the caller owns), writes the manifest and
    /// starts the writer thread.
    ///
    /// # Errors
    /// When the directory exists and is not empty, is a link or another user's, or cannot be written.
    pub fn create(dir: &Path, manifest: Manifest, options: WriterOptions) -> Result<Self, TraceError> {
        let options = options.fitted()?;
        let queue = Arc::new(Queue::new(options.queue_bytes));
        let writer = Writer::create(dir, manifest, &options, Arc::clone(&queue))?;
        let thread = capabilities::spawn("trace-writer", capabilities::to_write_in(dir), move || {
            background::run(writer)
        })
        .map_err(TraceError::io("start the writer thread", dir))?;
        let now = Instant::now();
        let pending = TableId::ALL
            .iter()
            .map(|table| Pending { table: *table, builders: None, rows_hint: FIRST_ROWS })
            .collect();
        Ok(Self {
            pending,
            queue,
            thread: Some(thread),
            options,
            segment: 1,
            segment_began: now,
            segment_journal_bytes: 0,
            flushed: now,
            observations: 0,
            last_time: 0,
            failed: false,
        })
    }

    /// Adds an observation as a row of its table. Cheap: only every 4,096th row of a table does more than fill
    /// builders. After an error was given once, by whichever method, everything is quietly refused.
    ///
    /// # Errors
    /// What stopped the writer thread, once.
    pub fn append(&mut self, observation: &Observation) -> Result<(), TraceError> {
        if self.failed {
            return Ok(());
        }
        if let Kind::Loss(loss) = &observation.kind {
            self.queue.record_total(loss);
        }
        self.observations += 1;
        self.last_time = self.last_time.max(observation.time);
        let Some(pending) = self.pending.get_mut(observation.kind.table() as usize) else { return Ok(()) };
        let (table, hint) = (pending.table, pending.rows_hint);
        let builders = pending.builders.get_or_insert_with(|| Builders::new(table, hint));
        builders.append(observation);
        if builders.len() < BATCH_ROWS {
            return Ok(());
        }
        self.flush_table(table)?;
        self.surface()
    }

    /// To be called often, at least some times in a journal interval: hands over what waited long enough.
    ///
    /// # Errors
    /// What stopped the writer thread, once.
    pub fn tick(&mut self, now: Instant) -> Result<(), TraceError> {
        if self.failed {
            return Ok(());
        }
        if now.saturating_duration_since(self.flushed) >= self.options.half_interval() {
            self.flushed = now;
            self.flush()?;
        }
        self.surface()
    }

    /// Whether the segment has its bytes or its age, so that the caller should begin another.
    pub fn segment_is_full(&self, now: Instant) -> bool {
        !self.failed
            && (self.segment_journal_bytes >= self.options.segment_journal_bytes
                || self.queue.segment_parquet_bytes(self.segment) >= self.options.segment_bytes
                || self.queue.wants_new_segment(self.segment)
                || now.saturating_duration_since(self.segment_began) >= self.options.segment_age)
    }

    /// Ends the open segment, which the writer thread then seals, and begins the next. The caller appends
    /// the snapshot of what is alive next.
    ///
    /// # Errors
    /// What stopped the writer thread, once.
    pub fn begin_segment(&mut self) -> Result<(), TraceError> {
        if self.failed {
            return Ok(());
        }
        self.flush()?;
        self.queue.seal();
        self.segment += 1;
        self.segment_began = Instant::now();
        self.segment_journal_bytes = 0;
        self.surface()
    }

    /// Number of the open segment, from 1.
    pub fn segment(&self) -> u32 {
        self.segment
    }

    /// What the writer lost since the last call; the caller gives these their places in the order and appends them.
    pub fn take_losses(&mut self) -> Vec<Loss> {
        self.queue.take_losses()
    }

    /// Replaces the manifest's list of probes; written within a journal interval.
    pub fn set_probes(&mut self, probes: Vec<Probe>) {
        self.queue.set_probes(probes);
    }

    /// How the trace stands.
    pub fn stats(&self) -> WriterStats {
        WriterStats { observations: self.observations, segment: self.segment, ..self.queue.stats() }
    }

    /// Ends the trace: everything is written and sealed, `ended` is the time of the latest observation, and the
    /// journal is removed.
    ///
    /// # Errors
    /// When the rest could not be written. What was written before stays readable.
    pub fn finish(mut self, end_reason: &str) -> Result<Summary, TraceError> {
        if !self.failed {
            self.flush()?;
        }
        self.queue.finish(self.last_time, end_reason);
        if let Some(thread) = self.thread.take()
            && let Err(panic) = thread.join()
        {
            return Err(background::stopped(panic));
        }
        self.surface()?;
        Ok(Summary { stats: self.stats(), complete: !self.failed })
    }

    fn flush(&mut self) -> Result<(), TraceError> {
        for table in TableId::ALL {
            self.flush_table(*table)?;
        }
        Ok(())
    }

    fn flush_table(&mut self, table: TableId) -> Result<(), TraceError> {
        let Some(pending) = self.pending.get_mut(table as usize) else { return Ok(()) };
        let Some(mut builders) = pending.builders.take().filter(|builders| !builders.is_empty()) else {
            return Ok(());
        };
        pending.rows_hint = (builders.len() * 5 / 4).clamp(FIRST_ROWS, BATCH_ROWS);
        let batch: RecordBatch = builders
            .finish()
            .map_err(|error| TraceError::Encode { path: table.name().into(), reason: error.to_string() })?;
        let batch = Batch::new(table, batch);
        self.segment_journal_bytes += batch.journal_bytes;
        self.queue.push(batch);
        Ok(())
    }

    /// Gives the writer thread's error, once.
    fn surface(&mut self) -> Result<(), TraceError> {
        if self.failed || !self.queue.has_failed() {
            return Ok(());
        }
        self.failed = true;
        self.pending.clear();
        match self.queue.take_error() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

impl Drop for TraceWriter {
    /// Not finished: the writer thread syncs what it has and ends; the trace stays as after a crash.
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if !self.failed {
            let _ = self.flush();
        }
        self.queue.abandon();
        let _ = thread.join();
    }
}
