//! What the recording says of itself: probes, sources, kernel programs, the recorder.

use std::collections::BTreeMap;
use std::sync::Arc;

use aftertrace_schemas::UnixNanos;
use aftertrace_schemas::tables::{
    BpfProgramStats, LedgerEntry, ProbeState, ProbeStatus, PushStats, RecorderStats, SourceStats,
};

use crate::Limits;
use crate::losses::{Dropped, Drops};
use crate::metrics::definitions::{self, Definition};
use crate::metrics::{Collector, Label};

/// The latest row of each, by name.
type Latest<T> = BTreeMap<Arc<str>, T>;

/// What the recording says of itself.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    probes: Latest<ProbeState>,
    sources: Latest<SourceStats>,
    /// By protocol and endpoint.
    pushes: Latest<PushStats>,
    programs: Latest<BpfProgramStats>,
    /// By program and CPU.
    ledger: Latest<BTreeMap<u32, LedgerEntry>>,
    recorder: Option<Box<RecorderStats>>,
}

/// Where what comes beyond a limit is counted.
pub(crate) struct Account<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) drops: &'a mut Drops,
    pub(crate) time: UnixNanos,
}

impl Account<'_> {
    fn keep<T>(&mut self, latest: &mut Latest<T>, name: &str, row: T) {
        if let Some(known) = latest.get_mut(name) {
            *known = row;
        } else if latest.len() < self.limits.host_objects {
            latest.insert(self.drops.label(name, self.limits, self.time), row);
        } else {
            self.drops.count(Dropped::HostObjects, self.time);
        }
    }
}

impl Recording {
    pub(crate) fn probe(&mut self, row: &ProbeStatus, account: &mut Account<'_>) {
        account.keep(&mut self.probes, &row.probe, row.state);
    }

    pub(crate) fn source(&mut self, row: &SourceStats, account: &mut Account<'_>) {
        account.keep(&mut self.sources, &row.source, row.clone());
    }

    pub(crate) fn push(&mut self, row: &PushStats, account: &mut Account<'_>) {
        account.keep(&mut self.pushes, &format!("{} {}", row.protocol, row.endpoint), row.clone());
    }

    pub(crate) fn program(&mut self, row: &BpfProgramStats, account: &mut Account<'_>) {
        account.keep(&mut self.programs, &row.program, row.clone());
    }

    pub(crate) fn ledger(&mut self, row: &LedgerEntry, account: &mut Account<'_>) {
        if !self.ledger.contains_key(&*row.program) {
            account.keep(&mut self.ledger, &row.program, BTreeMap::new());
        }
        if let Some(by_cpu) = self.ledger.get_mut(&*row.program) {
            if by_cpu.len() < account.limits.host_objects || by_cpu.contains_key(&row.cpu) {
                by_cpu.insert(row.cpu, row.clone());
            } else {
                account.drops.count(Dropped::HostObjects, account.time);
            }
        }
    }

    pub(crate) fn recorder(&mut self, row: &RecorderStats) {
        self.recorder = Some(Box::new(row.clone()));
    }

    pub(crate) fn collect(&self, collector: &mut Collector) {
        for (probe, state) in &self.probes {
            let value = match state {
                ProbeState::Active => 1.0,
                ProbeState::Failed => 0.0,
                ProbeState::Off | ProbeState::Other => continue,
            };
            collector.add(&definitions::PROBE_UP, [("probe", probe.clone())], value);
        }
        for (source, row) in &self.sources {
            collect_source(source, row, collector);
        }
        for row in self.pushes.values() {
            collect_push(row, collector);
        }
        for (program, row) in &self.programs {
            let label = || [("program", program.clone())];
            if row.runs > 0 {
                collector.add(&definitions::BPF_RUNS, label(), row.runs as f64);
                collector.add(&definitions::BPF_RUN_TIME, label(), seconds(row.run_time_ns));
            }
            collector.add(&definitions::BPF_MISSED, label(), row.missed as f64);
        }
        for (program, by_cpu) in &self.ledger {
            collect_ledger(program, by_cpu, collector);
        }
        if let Some(recorder) = &self.recorder {
            collect_recorder(recorder, collector);
        }
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

fn collect_source(source: &Arc<str>, row: &SourceStats, collector: &mut Collector) {
    let rows: [(&'static Definition, f64); 4] = [
        (&definitions::SOURCE_ROUNDS, row.rounds as f64),
        (&definitions::SOURCE_FAILURES, row.failures as f64),
        (&definitions::SOURCE_SKIPPED, row.skipped as f64),
        (&definitions::SOURCE_DURATION, seconds(row.duration_ns)),
    ];
    for (definition, value) in rows {
        collector.add(definition, [("source", source.clone())], value);
    }
    if let Some(succeeded) = row.succeeded {
        let label: [Label; 1] = [("source", source.clone())];
        collector.add(&definitions::SOURCE_SUCCESS, label, succeeded.0 as f64 / 1e9);
    }
}

fn collect_push(row: &PushStats, collector: &mut Collector) {
    let endpoint: Arc<str> = row.endpoint.as_str().into();
    let protocol: Arc<str> = row.protocol.to_string().into();
    let labels = || [("endpoint", endpoint.clone()), ("protocol", protocol.clone())];
    let rows: [(&'static Definition, f64); 5] = [
        (&definitions::PUSH_SAMPLES, row.sent_samples as f64),
        (&definitions::PUSH_RETRIES, row.retries as f64),
        (&definitions::PUSH_SKIPPED, row.skipped_collections as f64),
        (&definitions::PUSH_QUEUED_SAMPLES, row.queued_samples as f64),
        (&definitions::PUSH_QUEUED_BYTES, row.queued_bytes as f64),
    ];
    for (definition, value) in rows {
        collector.add(definition, labels(), value);
    }
    let lost = [
        ("queue_full", row.lost_queue_full),
        ("rejected", row.lost_rejected),
        ("unwritten", row.lost_unwritten),
        ("damaged", row.lost_damaged),
    ];
    for (cause, samples) in lost {
        let [endpoint, protocol] = labels();
        collector.add(&definitions::PUSH_LOST, [endpoint, protocol, ("cause", cause.into())], samples as f64);
    }
    for (definition, time) in
        [(&definitions::PUSH_OLDEST, row.oldest), (&definitions::PUSH_SUCCESS, row.succeeded)]
    {
        if let Some(time) = time {
            collector.add(definition, labels(), time.0 as f64 / 1e9);
        }
    }
}

fn collect_ledger(program: &Arc<str>, by_cpu: &BTreeMap<u32, LedgerEntry>, collector: &mut Collector) {
    let sum = |of: fn(&LedgerEntry) -> u64| by_cpu.values().map(of).fold(0, u64::saturating_add) as f64;
    let rows: [(&'static Definition, f64); 6] = [
        (&definitions::BPF_SEEN, sum(|row| row.seen)),
        (&definitions::BPF_FILTERED, sum(|row| row.filtered)),
        (&definitions::BPF_SUBMITTED, sum(|row| row.submitted)),
        (&definitions::BPF_RECEIVED, sum(|row| row.received)),
        (&definitions::BPF_SET_ASIDE, sum(|row| row.set_aside)),
        (&definitions::BPF_RECORDED, sum(|row| row.recorded)),
    ];
    for (definition, value) in rows {
        collector.add(definition, [("program", program.clone())], value);
    }
    let causes = [
        ("ring_full", sum(|row| row.dropped_ring_full)),
        ("map_full", sum(|row| row.dropped_map_full)),
        ("read_fault", sum(|row| row.dropped_read_fault)),
    ];
    for (cause, value) in causes {
        let labels = [("program", program.clone()), ("cause", cause.into())];
        collector.add(&definitions::BPF_DROPPED, labels, value);
    }
}

fn collect_recorder(row: &RecorderStats, collector: &mut Collector) {
    for (mode, ns) in [("user", row.cpu_user_ns), ("system", row.cpu_system_ns)] {
        collector.add(&definitions::RECORDER_CPU, [("mode", mode.into())], seconds(ns));
    }
    let rows: [(&'static Definition, Option<f64>); 9] = [
        (&definitions::RECORDER_MEMORY, Some(row.resident_bytes as f64)),
        (&definitions::RECORDER_KERNEL_MEMORY, Some(row.kernel_memory_bytes as f64)),
        (&definitions::RECORDER_OBSERVATIONS, Some(row.observations as f64)),
        (&definitions::RECORDER_TRACE, Some(row.trace_bytes as f64)),
        (&definitions::RECORDER_BATCHES, Some(f64::from(row.queued_batches))),
        (&definitions::RECORDER_WAITING, row.waiting_observations.map(f64::from)),
        (&definitions::RECORDER_LAG, row.longest_wait_ns.map(seconds)),
        (&definitions::RECORDER_PROCESSES, Some(f64::from(row.processes))),
        (&definitions::RECORDER_SOCKETS, Some(f64::from(row.sockets))),
    ];
    for (definition, value) in rows {
        if let Some(value) = value {
            collector.add(definition, [], value);
        }
    }
}
