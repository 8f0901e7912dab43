//! Whether a trace is whole: what is missing, since when, and whether the accounts of the kernel programs balance.

mod accounts;
mod checksums;
mod groups;
mod text;

use std::io::Write;
use std::ops::ControlFlow;

use aftertrace_schemas::tables::{MarkKind, ProbeState};
use aftertrace_schemas::{Kind, Observation, UnixNanos, layout};
use serde::Serialize;

pub use accounts::{Account, GroupAccount};
pub use groups::Group;

use crate::format::{Style, time};
use crate::progress::Part;
use crate::replay::drive;
use crate::{Damage, Observations, Order, Progress, ReportError, ReportFormat, Segment, Trace};
use accounts::Accounts;

/// How far the trace can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing is missing, and every account balances.
    Whole,
    /// What is there is right, but something is missing; the gaps say what.
    UsableWithGaps,
    /// Nothing can be read.
    Unusable,
}

impl Verdict {
    /// The exit code of `verify`: 0, 1 or 2.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Whole => 0,
            Self::UsableWithGaps => 1,
            Self::Unusable => 2,
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::UsableWithGaps => "usable, with gaps",
            Self::Unusable => "unusable",
        }
    }
}

/// Something that is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Not before, Unix nanoseconds.
    pub from: Option<UnixNanos>,
    /// Not after, Unix nanoseconds.
    pub to: Option<UnixNanos>,
    /// How many observations, when that is known.
    pub lost: Option<u64>,
    /// What is missing and why, in words.
    pub what: String,
}

/// The wall clock was set while recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClockStep {
    /// When it was noticed, Unix nanoseconds of the trace's own time.
    pub time: UnixNanos,
    /// Wall clock minus the trace's time since then, nanoseconds.
    pub offset_ns: i64,
}

/// A probe or source that gave no data.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FailedProbe {
    /// Its name.
    pub probe: String,
    /// `failed` or `off`.
    pub state: String,
    /// Why.
    pub reason: String,
}

/// All that `verify` found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verification {
    /// What the user called the trace.
    pub trace: String,
    /// The result.
    pub verdict: Verdict,
    /// First moment, Unix nanoseconds.
    pub started: UnixNanos,
    /// Last moment, Unix nanoseconds.
    pub ended: UnixNanos,
    /// Whether the recorder ended by itself.
    pub ended_cleanly: bool,
    /// What is missing.
    pub gaps: Vec<Gap>,
    /// Accounts that do not balance, in words.
    pub imbalances: Vec<String>,
    /// The last account of each kernel program, CPUs summed.
    pub ledger: Vec<Account>,
    /// Rows in the trace against what the programs' accounts say.
    pub groups: Vec<GroupAccount>,
    /// The order of the observations.
    pub order: Order,
    /// Wall clock changes; times in the trace are not affected.
    pub clock_steps: Vec<ClockStep>,
    /// Probes and sources without data.
    pub probes: Vec<FailedProbe>,
    /// Files that cannot be read.
    pub damage: Vec<Damage>,
    /// Other things worth knowing.
    pub notes: Vec<String>,
}

/// Reads the whole trace and checks it.
pub fn verify(trace: &Trace, progress: &mut dyn Progress) -> Verification {
    verify_while(trace, progress, &mut |_| {})
}

/// As [`verify`], and hands each observation on: one reading serves both.
pub(crate) fn verify_while(
    trace: &Trace,
    progress: &mut dyn Progress,
    visit: &mut dyn FnMut(&Observation),
) -> Verification {
    let mut reading = Reading::default();
    let mut damage = trace.damage.clone();
    let mut order = Order::default();
    let mut rows = 0;
    progress.begin("reading", Some(trace.rows()));
    for (index, segment) in trace.segments.iter().enumerate() {
        reading.accounts.begin_segment(segment.number);
        // One segment at a time, so that its rows stand against its own accounts.
        let observations = Observations::of_segment(segment, order);
        let mut part = Part { step: progress, before: rows };
        let read = drive(observations, segment.rows(), None, &mut part, &mut |observation| {
            reading.add(observation);
            visit(observation);
            ControlFlow::Continue(())
        });
        rows += segment.rows();
        damage.extend(read.damage);
        damage.extend(checksums::changed(trace, segment, &damage));
        order = read.order;
        let last = index + 1 == trace.segments.len();
        let complete = segment.sealed && (!last || trace.ended_cleanly());
        let intact = !damage.iter().any(|damage| damage.file.contains(&folder(segment)));
        reading.accounts.end_segment(complete && intact);
    }
    progress.end();
    reading.conclude(trace, order, damage)
}

fn folder(segment: &Segment) -> String {
    format!("/{}/", layout::segment_name(segment.number))
}

impl Verification {
    /// The answer for something that cannot be opened at all.
    pub fn unusable(trace: &str, reason: &str) -> Self {
        Self {
            trace: trace.to_owned(),
            verdict: Verdict::Unusable,
            started: 0,
            ended: 0,
            ended_cleanly: false,
            gaps: Vec::new(),
            imbalances: Vec::new(),
            ledger: Vec::new(),
            groups: Vec::new(),
            order: Order::default(),
            clock_steps: Vec::new(),
            probes: Vec::new(),
            damage: Vec::new(),
            notes: vec![reason.to_owned()],
        }
    }

    /// Prints it.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn write(&self, out: &mut dyn Write, format: ReportFormat, style: Style) -> Result<(), ReportError> {
        match format {
            ReportFormat::Json => {
                serde_json::to_writer_pretty(&mut *out, self)?;
                writeln!(out)?;
            }
            ReportFormat::Text => text::write(self, out, style)?,
        }
        Ok(())
    }

    /// Observations that are known to be lost.
    pub fn lost(&self) -> u64 {
        self.gaps.iter().filter_map(|gap| gap.lost).sum()
    }
}

/// What is gathered from the observations.
#[derive(Default)]
struct Reading {
    accounts: Accounts,
    losses: Vec<Gap>,
    lost_rows: u64,
    clock_steps: Vec<ClockStep>,
    probes: std::collections::BTreeMap<String, FailedProbe>,
}

impl Reading {
    fn add(&mut self, observation: &Observation) {
        if let Some(group) = Group::of_row(&observation.kind) {
            self.accounts.add_row(group);
        }
        match &observation.kind {
            Kind::Ledger(row) => self.accounts.add_entry(row),
            Kind::Mark(row) if row.kind == MarkKind::SnapshotEnd => self.accounts.end_opening(),
            Kind::Loss(row) if row.lost > 0 => {
                let subject =
                    row.subject.as_deref().map(|subject| format!(" ({subject})")).unwrap_or_default();
                self.losses.push(Gap {
                    from: Some(row.from.0),
                    to: Some(row.to.0),
                    lost: Some(row.lost),
                    what: format!("{}: {}{subject}", row.source, row.cause),
                });
                if let Some(table) = row.source.strip_prefix("writer/") {
                    self.accounts.add_lost_rows(table, row.lost);
                    self.lost_rows += row.lost;
                }
            }
            Kind::ClockSync(row) if row.step => {
                self.clock_steps.push(ClockStep { time: observation.time, offset_ns: row.offset_ns });
            }
            Kind::Probe(row) if row.state == ProbeState::Active => {
                self.probes.remove(&row.probe);
            }
            Kind::Probe(row) => {
                let failed = FailedProbe {
                    probe: row.probe.clone(),
                    state: row.state.to_string(),
                    reason: row.reason.clone().unwrap_or_default(),
                };
                self.probes.insert(row.probe.clone(), failed);
            }
            _ => {}
        }
    }

    fn conclude(self, trace: &Trace, order: Order, damage: Vec<Damage>) -> Verification {
        let mut gaps = self.losses;
        gaps.extend(damage.iter().map(|damage| damaged_gap(trace, damage)));
        gaps.extend(holes(trace));
        gaps.extend(cuts(trace));
        gaps.extend(unclean_end(trace));
        gaps.extend(retired_losses(trace, &gaps));
        let mut imbalances = self.accounts.segment_imbalances();
        if trace.ended_cleanly() {
            imbalances.extend(self.accounts.final_imbalances());
        }
        let unexplained = order.missing.saturating_sub(self.lost_rows);
        if unexplained > 0 && gaps.is_empty() {
            imbalances
                .push(format!("{unexplained} sequence numbers between the first and the last have no row"));
        }
        if order.repeated > 0 {
            imbalances.push(format!("{} rows repeat the sequence number of another", order.repeated));
        }
        if order.out_of_order > 0 {
            imbalances.push(format!("{} rows are out of order", order.out_of_order));
        }
        let mut notes = trace.notes.clone();
        if let Some(retired) =
            trace.manifest.as_ref().map(|manifest| manifest.retired).filter(|r| r.segments > 0)
        {
            let since = trace.manifest.as_ref().map(|manifest| time(manifest.started)).unwrap_or_default();
            notes.push(format!(
                "recording since {since}; the {} oldest segments were dropped, as asked for",
                retired.segments
            ));
        }
        let verdict = match (order.observations, gaps.is_empty() && imbalances.is_empty()) {
            (0, _) => Verdict::Unusable,
            (_, true) => Verdict::Whole,
            (_, false) => Verdict::UsableWithGaps,
        };
        Verification {
            trace: trace.name.clone(),
            verdict,
            started: trace.started(),
            ended: trace.ended(),
            ended_cleanly: trace.ended_cleanly(),
            gaps,
            imbalances,
            ledger: self.accounts.ledger(),
            groups: self.accounts.groups(),
            order,
            clock_steps: self.clock_steps,
            probes: self.probes.into_values().collect(),
            damage,
            notes,
        }
    }
}

/// A damaged file may lack rows of its whole segment.
fn damaged_gap(trace: &Trace, damage: &Damage) -> Gap {
    let segment = trace.segments.iter().find(|segment| damage.file.contains(&folder(segment)));
    let listed = trace
        .manifest
        .iter()
        .flat_map(|manifest| &manifest.segments)
        .find(|listed| damage.file.contains(&layout::segment_name(listed.number)));
    let times = listed.map(|listed| (listed.from, listed.to)).or(segment.and_then(Segment::times));
    Gap {
        from: times.map(|t| t.0),
        to: times.map(|t| t.1),
        lost: None,
        what: format!("damaged file {damage}"),
    }
}

/// Segments that are missing between others.
fn holes(trace: &Trace) -> Vec<Gap> {
    let listed = |number| {
        let mut segments = trace.manifest.iter().flat_map(|manifest| &manifest.segments);
        segments.any(|segment| segment.number == number)
    };
    let pairs = trace.segments.iter().zip(trace.segments.iter().skip(1));
    pairs
        .filter(|(before, after)| before.number + 1 < after.number)
        // A listed one is reported as damage already.
        .filter(|(before, after)| !(before.number + 1..after.number).all(listed))
        .map(|(before, after)| Gap {
            from: before.times().map(|times| times.1),
            to: after.times().map(|times| times.0),
            lost: None,
            what: format!("segments between {} and {} are missing", before.number, after.number),
        })
        .collect()
}

/// Journals that are torn at their end, as a crash leaves them, or damaged within.
fn cuts(trace: &Trace) -> impl Iterator<Item = Gap> {
    trace.segments.iter().flat_map(|segment| {
        let times = segment.times();
        segment.cuts.iter().map(move |cut| Gap {
            from: times.map(|times| times.0),
            to: times.map(|times| times.1),
            lost: None,
            what: format!("torn journal {cut}"),
        })
    })
}

fn unclean_end(trace: &Trace) -> Option<Gap> {
    if trace.ended_cleanly() {
        return None;
    }
    let last = trace.times().map(|(_, to)| to);
    let interval_ms = trace.manifest.as_ref().map(|manifest| manifest.options.journal_interval_ms);
    let within = interval_ms.map(|ms| format!(", {ms} ms of it at most")).unwrap_or_default();
    let what = format!(
        "not ended cleanly: what came after the last row is missing{within} (or it is still recording)"
    );
    Some(Gap { from: last, to: None, lost: None, what })
}

/// Losses that only the manifest still knows of, since their rows were in segments that retention dropped.
fn retired_losses(trace: &Trace, gaps: &[Gap]) -> Option<Gap> {
    let manifest = trace.manifest.as_ref()?;
    let total: u64 = manifest.losses.values().sum();
    let known: u64 = gaps.iter().filter_map(|gap| gap.lost).sum();
    let lost = total.checked_sub(known).filter(|lost| *lost > 0)?;
    let until = trace.times().map(|(from, _)| from);
    let what = "lost in segments that retention dropped since".to_owned();
    Some(Gap { from: Some(manifest.started), to: until, lost: Some(lost), what })
}
