//! What a recording says of itself: the accounts, what was lost, what it costs.

use aftertrace_schemas::Kind;
use aftertrace_schemas::column::Timestamp;
use aftertrace_schemas::tables::{BpfProgramStats, Loss, RecorderStats};

use super::error::RecordError;
use super::session::Session;
use crate::sources::clock::{Clock, SystemClock};
use crate::sources::{nat, own};
use crate::trace::TraceWriter;

impl Session<'_> {
    /// Writes the accounts and what was lost: those that changed, or all.
    pub(super) fn write_accounts(&mut self, all: bool) -> Result<(), RecordError> {
        let ledger = self.kernel.ledger();
        let costs = self.kernel.program_costs();
        let now = self.anchor.unix_ns(SystemClock.boot_ns());
        let missed = costs.iter().map(|cost| (cost.program, cost.missed));
        let mut rows = self.accounts.losses(&ledger, missed, now);
        let writer = self.sinks.writer.as_mut();
        rows.extend(writer.map(TraceWriter::take_losses).unwrap_or_default().into_iter().map(Kind::Loss));
        rows.extend(self.accounts.rows(&ledger, all));
        for row in rows {
            self.emit_now(row)?;
        }
        Ok(())
    }

    /// Writes what the recorder and its kernel programs cost, and the clocks.
    pub(super) fn write_own_statistics(&mut self) -> Result<(), RecordError> {
        for cost in self.kernel.program_costs() {
            self.emit_now(Kind::BpfProgram(BpfProgramStats {
                program: cost.program.to_owned(),
                runs: cost.run_count,
                run_time_ns: cost.run_time_ns,
                missed: cost.missed,
            }))?;
        }
        for row in self.measuring.take_stats(false) {
            self.emit_now(Kind::Source(row))?;
        }
        let stats = self.writer_stats();
        let own = own::usage(&self.roots);
        let row = RecorderStats {
            cpu_user_ns: own.cpu_user_ns,
            cpu_system_ns: own.cpu_system_ns,
            resident_bytes: own.resident_bytes,
            kernel_memory_bytes: self.kernel.memory_bytes(),
            observations: self.sinks.count(),
            trace_bytes: stats.disk_bytes,
            queued_batches: stats.queued_batches,
            processes: u32::try_from(self.live.processes().len()).unwrap_or(u32::MAX),
            sockets: u32::try_from(self.live.sockets().len()).unwrap_or(u32::MAX),
            waiting_observations: Some(u32::try_from(self.sequencer.len()).unwrap_or(u32::MAX)),
            longest_wait_ns: Some(std::mem::take(&mut self.longest_wait_ns)),
        };
        self.emit_now(Kind::Recorder(row))?;
        let sync = self.clock.sample();
        self.emit_now(Kind::ClockSync(sync))
    }

    /// Measurements that were due while the one before had not ended: files of the host took too long. Connections
    /// whose translation was not asked for. And what is alive, or a control group, and could not be held: it misses from
    /// later snapshots.
    pub(super) fn report_losses_of_sources(&mut self) -> Result<(), RecordError> {
        let now = self.anchor.unix_ns(SystemClock.boot_ns());
        let interval_ns = i64::try_from(self.config.interval.as_nanos()).unwrap_or(i64::MAX);
        let of_source = |source: &str| format!("source/{source}");
        let of_nat = self.nat.take_losses();
        let skipped = self.measuring.take_skipped().into_iter();
        let unheld = self.live.take_overflow().into_iter();
        let losses = skipped
            .map(|(source, lost)| (of_source(source), "deadline", None, lost))
            .chain([
                (of_source(nat::SOURCE), "queue_full", None, of_nat.queue_full),
                (of_source(nat::SOURCE), "deadline", None, of_nat.deadline),
                (of_source(nat::SOURCE), "namespace_gone", None, of_nat.namespace_gone),
                ("live_state".to_owned(), "limit", Some("cgroup_paths"), self.cgroups.take_overflow()),
            ])
            .chain(unheld.map(|(what, lost)| ("live_state".to_owned(), "limit", Some(what), lost)));
        for (source, cause, subject, lost) in losses.filter(|(_, _, _, lost)| *lost > 0).collect::<Vec<_>>() {
            self.emit_now(Kind::Loss(Loss {
                source,
                cause: cause.to_owned(),
                subject: subject.map(str::to_owned),
                lost,
                from: Timestamp(now.saturating_sub(interval_ns)),
                to: Timestamp(now),
            }))?;
        }
        Ok(())
    }
}
