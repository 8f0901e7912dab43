//! What a recording holds while it goes on, and one turn of its loop.

use std::time::{Duration, Instant};

use aftertrace_schemas::Kind;
use aftertrace_schemas::manifest::Anchor;
use aftertrace_schemas::tables::{CgroupEventKind, Mark, MarkKind, PushStats, TcpEventKind};

use super::accounts::Accounts;
use super::containers::Containers;
use super::data::Data;
use super::error::RecordError;
use super::events::{Event, Item};
use super::logs::Logs;
use super::measuring::Measuring;
use super::process_cgroups::ProcessCgroups;
use super::scope::Scope;
use super::sinks::Sinks;
use super::sweep::{Sweep, is_old_news};
use super::timer::Timer;
use super::waiting_bytes::WaitingBytes;
use super::{Observer, Status};
use crate::config::RecordConfig;
use crate::kernel::Kernel;
use crate::live_state::LiveState;
use crate::sequencer::Sequencer;
use crate::sources::Roots;
use crate::sources::cgroups::Hierarchies;
use crate::sources::clock::{Clock, ClockWatch, SystemClock};
use crate::sources::command_cgroup::CommandCgroup;
use crate::sources::delays::switch::SwitchedOn;
use crate::sources::namespaces::NamespaceSource;
use crate::sources::nat::{NatRequest, NatSource};
use crate::sources::processes::ProcessSource;
use crate::tls::source::TlsSource;
use crate::trace::{TraceWriter, WriterStats};

/// Observations wait so long for what belongs before them: records of other CPUs, the answer of a container runtime.
pub(super) const HOLD: Duration = Duration::from_millis(100);
/// The command's control group may stay in use so long after its end.
const CGROUP_PATIENCE: Duration = Duration::from_millis(500);
/// At the end of a recording, answers of connection tracking are waited for so long.
const NAT_PATIENCE: Duration = Duration::from_millis(500);
/// The ledger is written this often.
const LEDGER_INTERVAL: Duration = Duration::from_secs(1);

/// A recording that goes on.
pub(crate) struct Session<'a> {
    pub(super) config: &'a RecordConfig,
    pub(super) anchor: Anchor,
    pub(super) clock: ClockWatch,
    pub(super) kernel: Kernel,
    pub(super) sinks: Sinks,
    pub(super) sequencer: Sequencer<Item>,
    pub(super) live: LiveState,
    pub(super) accounts: Accounts,
    pub(super) scope: Scope,
    pub(super) cgroups: ProcessCgroups,
    pub(super) hierarchies: Hierarchies,
    pub(super) namespaces: NamespaceSource,
    pub(super) processes: ProcessSource,
    pub(super) containers: Containers,
    pub(super) logs: Logs,
    pub(super) data: Data,
    pub(super) waiting_bytes: WaitingBytes,
    pub(super) tls: TlsSource,
    pub(super) nat: NatSource,
    pub(super) measuring: Measuring,
    pub(super) command_cgroup: Option<CommandCgroup>,
    /// Held until the recording ends, however it does.
    pub(super) _task_delays: Option<SwitchedOn>,
    pub(super) roots: Roots,
    pub(super) timers: Timers,
    /// Number of the latest scrape.
    pub(super) scrapes: u64,
    /// What became of pushed metrics.
    pub(super) pushes: Vec<PushStats>,
    pub(super) rate: Rate,
    /// Longest time that a kernel event waited for its place since that was last written.
    pub(super) longest_wait_ns: u64,
}

/// When something is due.
pub(super) struct Timers {
    ledger: Timer,
    statistics: Timer,
    sweep: Timer,
}

impl Timers {
    pub(super) fn new(config: &RecordConfig, now: Instant) -> Self {
        Self {
            ledger: Timer::new(LEDGER_INTERVAL, now),
            statistics: Timer::new(config.interval, now),
            sweep: Timer::new(config.sweep_interval, now),
        }
    }
}

/// Events a second.
pub(super) struct Rate {
    started: Instant,
    since: Instant,
    events: u64,
    per_second: u64,
}

impl Rate {
    pub(super) fn new(now: Instant) -> Self {
        Self { started: now, since: now, events: 0, per_second: 0 }
    }

    fn turn(&mut self, now: Instant) {
        let seconds = now.duration_since(self.since).as_secs_f64();
        if seconds > 0.0 {
            // A rate for people: the fraction does not matter.
            self.per_second = (self.events as f64 / seconds) as u64;
        }
        self.events = 0;
        self.since = now;
    }
}

impl Session<'_> {
    /// One turn: waits for the kernel, takes what is there, places what is due.
    pub(super) fn step(&mut self, wait: Duration, observer: &mut dyn Observer) -> Result<(), RecordError> {
        self.kernel.wait(wait)?;
        self.drain()?;
        self.take_rows();
        let until_ns =
            SystemClock.boot_ns().saturating_sub(u64::try_from(HOLD.as_nanos()).unwrap_or(u64::MAX));
        self.release(until_ns)?;

        let now = Instant::now();
        if self.timers.ledger.due(now) {
            self.write_accounts(false)?;
            self.rate.turn(now);
            observer.status(&self.status());
            let warnings = self.containers.take_warnings();
            for warning in warnings.into_iter().chain(self.measuring.take_warnings()) {
                observer.warning(&warning);
            }
        }
        if self.timers.statistics.due(now) {
            self.write_own_statistics()?;
            self.report_losses_of_sources()?;
        }
        self.measure(now);
        self.logs.turn(now, &self.live, &self.scope);
        if self.timers.sweep.due(now) {
            self.sweep()?;
        }
        let Some(writer) = &mut self.sinks.writer else { return Ok(()) };
        writer.tick(now)?;
        if writer.segment_is_full(now) {
            self.begin_segment()?;
        }
        Ok(())
    }

    /// Takes every record that waits in the rings.
    pub(super) fn drain(&mut self) -> Result<(), RecordError> {
        let mut made_again = Vec::new();
        let Self { kernel, sequencer, accounts, containers, nat, rate, scope, waiting_bytes, .. } = self;
        kernel.drain(|record| {
            let header = record.header();
            let account = header.account;
            let cpu = u32::from(header.cpu);
            accounts.received(account, cpu);
            rate.events += 1;
            let event = Event::from_record(&record, waiting_bytes);
            if let Event::Cgroup(event) = &event {
                // Asked for now, so that the answer is here when the container's first event gets its place.
                containers.want(&event.path, header.time_ns);
                if event.kind == CgroupEventKind::Created && scope.is_root(&event.path) {
                    made_again.push((event.hierarchy_id, event.cgroup_id));
                }
            }
            if let Event::Tcp(row) = &event
                && row.kind == TcpEventKind::Connect
            {
                nat.want(NatRequest::of_event(row, header.time_ns));
            }
            sequencer.push(header.time_ns, Item::Kernel { account, cpu, event });
        });
        nat.ask();
        // A container or a unit that was asked for starts again: its new group is followed before anything is in it.
        for (hierarchy_id, cgroup_id) in made_again {
            kernel.trace_cgroup(hierarchy_id, cgroup_id)?;
        }
        Ok(())
    }

    /// Takes what the sources delivered.
    fn take_rows(&mut self) {
        let now_ns = SystemClock.boot_ns();
        let measured = self.measuring.take_rows(Instant::now());
        let logged = self.logs.take_rows();
        self.tls.tell();
        let of_tls = self.tls.take_rows().into_iter().map(|row| (now_ns, row));
        let told = self.containers.take_rows().into_iter().chain(self.nat.take_rows()).chain(of_tls);
        for (boot_ns, row) in told.chain(measured).chain(logged) {
            self.sequencer.push(boot_ns.min(now_ns), Item::Row(Box::new(row)));
        }
    }

    /// Gives everything that happened before a moment its place.
    pub(super) fn release(&mut self, until_ns: u64) -> Result<(), RecordError> {
        self.sequencer.release(until_ns);
        let now_ns = SystemClock.boot_ns();
        while let Some((boot_ns, item)) = self.sequencer.take_next() {
            if matches!(item, Item::Kernel { .. }) {
                self.longest_wait_ns = self.longest_wait_ns.max(now_ns.saturating_sub(boot_ns));
            }
            self.place(boot_ns, item)?;
        }
        let decisions = self.data.take_decisions();
        if !decisions.is_empty() {
            self.kernel.decide(&decisions)?;
        }
        Ok(())
    }

    /// Makes a fact the next observation.
    pub(super) fn emit(&mut self, boot_ns: u64, kind: Kind) -> Result<(), RecordError> {
        self.data.observe(&kind);
        self.tls.observe(&kind);
        let observation = self.sinks.next(self.anchor.unix_ns(boot_ns), kind);
        self.sinks.append(&observation)?;
        self.live.apply(&observation);
        Ok(())
    }

    /// Makes a fact of now the next observation.
    pub(super) fn emit_now(&mut self, kind: Kind) -> Result<(), RecordError> {
        let now_ns = SystemClock.boot_ns();
        self.emit(now_ns, kind)
    }

    pub(super) fn mark(&mut self, kind: MarkKind, detail: Option<&str>) -> Result<(), RecordError> {
        let segment = self.sinks.writer.as_ref().map_or(0, TraceWriter::segment);
        self.emit_now(Kind::Mark(Mark { kind, segment, detail: detail.map(str::to_owned) }))
    }

    /// Reads the counters of open connections; compares with what should be alive once its time has come.
    pub(super) fn sweep(&mut self) -> Result<(), RecordError> {
        let mut sweep = Sweep { began_ns: SystemClock.boot_ns(), ..Sweep::default() };
        let live = &self.live;
        let accounts = &mut self.accounts;
        let sequencer = &mut self.sequencer;
        let waiting_bytes = &mut self.waiting_bytes;
        let alive = self.kernel.sweep(|record| {
            let header = record.header();
            let account = header.account;
            let cpu = u32::from(header.cpu);
            accounts.received(account, cpu);
            match Event::from_record(&record, waiting_bytes) {
                // Nothing new since it was last seen.
                Event::Tcp(row) if is_old_news(&row, live) => accounts.set_aside(account, cpu),
                event => sequencer.push(header.time_ns, Item::Kernel { account, cpu, event }),
            }
        })?;
        sweep.alive = alive;
        self.sequencer.push(SystemClock.boot_ns(), Item::Sweep(sweep));
        Ok(())
    }

    /// Ends the open segment and begins the next with all that is alive.
    fn begin_segment(&mut self) -> Result<(), RecordError> {
        self.write_accounts(true)?;
        if let Some(writer) = &mut self.sinks.writer {
            writer.begin_segment()?;
        }
        self.mark(MarkKind::SegmentStart, None)?;
        self.write_accounts(true)?;
        for row in self.measuring.take_stats(true) {
            self.emit_now(Kind::Source(row))?;
        }
        for row in self.pushes.clone() {
            self.emit_now(Kind::Push(row))?;
        }
        let time = self.anchor.unix_ns(SystemClock.boot_ns());
        // Not through `emit`: what is alive already knows of itself.
        let Self { live, sinks, .. } = self;
        for kind in live.snapshot() {
            let observation = sinks.next(time, kind);
            sinks.append(&observation)?;
        }
        self.mark(MarkKind::SnapshotEnd, None)
    }

    /// Whether only processes were asked for by their ids, and they and all their descendants have ended.
    pub(super) fn has_nothing_left(&self) -> bool {
        let filter = &self.config.filter;
        let only_processes =
            !filter.pids.is_empty() && filter.cgroups.is_empty() && filter.containers.is_empty();
        only_processes && self.config.command.is_empty() && self.live.processes().next().is_none()
    }

    pub(super) fn writer_stats(&self) -> WriterStats {
        self.sinks.writer.as_ref().map(TraceWriter::stats).unwrap_or_default()
    }

    pub(super) fn status(&self) -> Status {
        let stats = self.writer_stats();
        Status {
            elapsed: self.rate.started.elapsed(),
            observations: self.sinks.count(),
            events_per_second: self.rate.per_second,
            trace_bytes: stats.disk_bytes,
            lost: stats.lost + self.accounts.lost() + self.logs.lost(),
        }
    }

    /// Ends the recording: takes what the kernel still has, closes the accounts, seals the trace.
    pub(super) fn finish(mut self, reason: &str, observer: &mut dyn Observer) -> Result<Status, RecordError> {
        // A round that is under way began before the end; the last one is to begin now.
        self.measuring.settle();
        self.measuring.measure_all(self.subjects());
        self.sweep()?;
        self.kernel.detach();
        while self.kernel.has_records() {
            self.drain()?;
        }
        self.measuring.settle();
        for (boot_ns, row) in self.nat.settle(NAT_PATIENCE) {
            self.sequencer.push(boot_ns.min(SystemClock.boot_ns()), Item::Row(Box::new(row)));
        }
        self.take_rows();
        for (boot_ns, row) in self.logs.finish() {
            self.sequencer.push(boot_ns, Item::Row(Box::new(row)));
        }
        self.release(u64::MAX)?;
        self.report_losses_of_sources()?;
        self.write_own_statistics()?;
        self.write_accounts(true)?;
        self.mark(MarkKind::End, Some(reason))?;
        let mut status = self.status();
        let Self { sinks, command_cgroup, .. } = self;
        if let Some(writer) = sinks.writer {
            status.trace_bytes = writer.finish(reason)?.stats.disk_bytes;
        }
        if let Some(Err(reason)) = command_cgroup.map(|cgroup| cgroup.remove(CGROUP_PATIENCE)) {
            observer.warning(&reason);
        }
        Ok(status)
    }
}
