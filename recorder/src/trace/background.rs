//! The writer thread: batches from the queue go to the open segment; it is synced, sealed and retired here.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aftertrace_schemas::manifest::Manifest;
use aftertrace_schemas::parquet_format::FileFacts;
use aftertrace_schemas::{UnixNanos, layout};

use super::files;
use super::queue::{Batch, Message, Progress, Queue};
use super::retention::Kept;
use super::segment::OpenSegment;
use super::{TraceError, WriterOptions};

/// Sealing makes the manifest longer, and the files' last blocks fuller.
const SEALING_BYTES: u64 = 16 << 10;
/// Age and probes are looked after at least so often.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The writer thread's state.
pub(super) struct Writer {
    queue: Arc<Queue>,
    max_bytes: Option<u64>,
    max_age: Option<Duration>,
    journal_interval: Duration,
    sync_interval: Duration,
    kept: Kept,
    number: u32,
    open: Option<OpenSegment>,
    opened: Instant,
    next_sync: Instant,
    cap_reached: bool,
}

/// Whether the thread goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Go,
    Stop,
}

impl Writer {
    /// Makes the directory with its manifest.
    pub(super) fn create(
        dir: &Path,
        manifest: Manifest,
        options: &WriterOptions,
        queue: Arc<Queue>,
    ) -> Result<Self, TraceError> {
        let root = files::create_output(dir)?;
        files::create_dir(&root.join(layout::SEGMENTS))?;
        files::create_dir(&root.join(layout::JOURNAL))?;
        let now = Instant::now();
        let writer = Self {
            queue,
            max_bytes: options.max_bytes,
            max_age: options.max_age,
            journal_interval: options.journal_interval,
            sync_interval: options.half_interval().min(LONGEST_PAUSE),
            kept: Kept::create(root, manifest)?,
            number: 1,
            open: None,
            opened: now,
            next_sync: now,
            cap_reached: false,
        };
        writer.tell();
        Ok(writer)
    }

    fn work(&mut self) -> Result<(), TraceError> {
        loop {
            let message = self.queue.pop(self.next_sync);
            let next = match message {
                Some(message) => self.take(message)?,
                None => Next::Go,
            };
            if next == Next::Stop {
                return Ok(());
            }
            let now = Instant::now();
            if now >= self.next_sync {
                self.look_after(now)?;
                self.next_sync = Instant::now() + self.sync_interval;
            }
            self.tell();
        }
    }

    fn take(&mut self, message: Message) -> Result<Next, TraceError> {
        match message {
            Message::Batch(batch) => {
                if let Err(error) = self.append(&batch) {
                    self.queue.lose(batch.loss("disk"));
                    return Err(error);
                }
            }
            Message::Seal => {
                self.seal()?;
                self.number += 1;
            }
            Message::Finish { ended, reason } => {
                self.finish(ended, reason)?;
                return Ok(Next::Stop);
            }
            Message::Abandon => {
                if let Some(open) = &mut self.open {
                    open.sync()?;
                }
                return Ok(Next::Stop);
            }
        }
        Ok(Next::Go)
    }

    fn append(&mut self, batch: &Batch) -> Result<(), TraceError> {
        let reserved = self.open.as_ref().map_or(2 * files::on_disk(1), OpenSegment::reserved_bytes);
        let needed = reserved + OpenSegment::growth(batch) + SEALING_BYTES;
        if let Some(max_bytes) = self.max_bytes
            && !self.kept.make_room(needed, max_bytes)?
        {
            // The open segment alone fills the cap: the caller is asked for a new one, which frees the journal.
            self.cap_reached = true;
            self.queue.lose(batch.loss("limit"));
            return Ok(());
        }
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                let facts = self.facts();
                // Its first rows waited in the builders before.
                self.opened = Instant::now().checked_sub(self.journal_interval).unwrap_or(self.opened);
                self.open.insert(OpenSegment::create(self.kept.root(), facts)?)
            }
        };
        open.append(batch)
    }

    fn facts(&self) -> FileFacts {
        let manifest = &self.kept.manifest;
        FileFacts {
            segment: self.number,
            host: manifest.host.hostname.clone(),
            boot_id: manifest.host.boot_id.clone(),
            anchor: manifest.anchor,
        }
    }

    /// Seals the open segment, if it has rows. Only when the manifest lists it is its journal removed.
    fn seal(&mut self) -> Result<(), TraceError> {
        self.cap_reached = false;
        let Some(open) = self.open.take() else { return Ok(()) };
        // Should sealing fail, the journal is what remains: it is made durable first.
        let segment = self.sealing(open)?;
        let journal = layout::journal_dir(self.kept.root(), segment.number);
        self.update_manifest();
        self.kept.add(segment, self.opened)?;
        files::remove_dir(&journal)
    }

    fn sealing(
        &mut self,
        mut open: OpenSegment,
    ) -> Result<aftertrace_schemas::manifest::Segment, TraceError> {
        open.sync()?;
        open.seal()
    }

    /// Brings the manifest's probes and losses up to date, in memory.
    fn update_manifest(&mut self) {
        let facts = self.queue.facts();
        self.kept.manifest.losses = facts.losses;
        if let Some(probes) = facts.probes {
            self.kept.manifest.probes = probes;
        }
    }

    fn look_after(&mut self, now: Instant) -> Result<(), TraceError> {
        if let Some(open) = &mut self.open {
            open.sync()?;
        }
        if let Some(max_age) = self.max_age {
            self.kept.drop_older(max_age, now)?;
        }
        if self.queue.has_new_probes() {
            self.update_manifest();
            self.kept.write_manifest()?;
        }
        Ok(())
    }

    fn finish(&mut self, ended: UnixNanos, reason: String) -> Result<(), TraceError> {
        self.seal()?;
        self.update_manifest();
        self.kept.manifest.ended = Some(ended);
        self.kept.manifest.end_reason = Some(reason);
        self.kept.write_manifest()?;
        files::remove_dir(&self.kept.root().join(layout::JOURNAL))?;
        files::sync_dir(self.kept.root())?;
        self.tell();
        Ok(())
    }

    /// Gives up: frees the space of what is only half written, and says in the manifest why the trace ends here.
    fn fail(&mut self, error: TraceError) {
        let reason = error.to_string();
        // Nothing more can be done about a second error; the first is the one to report.
        let sealed = layout::segment_dir(self.kept.root(), self.number);
        if let Some(open) = &mut self.open {
            let _ = open.keep_journal_only();
        } else if sealed.is_dir() {
            let _ = files::remove_dir(&layout::journal_dir(self.kept.root(), self.number));
        } else {
            let _ = files::remove_dir(&sealed.with_extension("tmp"));
        }
        self.queue.fail(error);
        self.update_manifest();
        self.kept.manifest.end_reason = Some(reason);
        let _ = self.kept.write_manifest();
        self.tell();
    }

    fn tell(&self) {
        let open = self.open.as_ref();
        self.queue.set_progress(Progress {
            disk_bytes: self.kept.disk_bytes() + open.map_or(0, OpenSegment::disk_bytes),
            segment: self.number,
            segment_parquet_bytes: open.map_or(0, OpenSegment::parquet_bytes),
            cap_reached: self.cap_reached,
            sealed_segments: self.kept.segments(),
            retired_segments: self.kept.manifest.retired.segments,
        });
    }
}

/// The thread.
pub(super) fn run(mut writer: Writer) {
    let error = match catch_unwind(AssertUnwindSafe(|| writer.work())) {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error,
        Err(panic) => stopped(panic),
    };
    writer.fail(error);
}

/// The error for a thread that panicked.
pub(super) fn stopped(panic: Box<dyn Any + Send>) -> TraceError {
    let words =
        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    TraceError::Stopped { reason: words.unwrap_or("no further words").to_owned() }
}
