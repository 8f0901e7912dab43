//! Has the sources of snapshots measure, each in a thread of its own: files of a sick host can take their time.
//!
//! In: what the recording follows, when a round is due. Out: rows with the boot time at which each was read, a probe
//! row whenever a source begins or ceases to work, and an account of what each source did.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use aftertrace_schemas::Kind;
use aftertrace_schemas::column::Timestamp;
use aftertrace_schemas::manifest::Anchor;
use aftertrace_schemas::tables::{Loss, ProbeState, ProbeStatus, SourceStats};

use super::timer::Timer;
use crate::capabilities;
use crate::sources::clock::{Clock, SystemClock};
use crate::sources::source::{Rows, Source, Subjects, Unavailable};

/// At the end of a recording, the last measurement may take so long.
const PATIENCE: Duration = Duration::from_secs(2);

/// What came of one round.
struct Round {
    rows: Rows,
    outcome: Result<(), Unavailable>,
    took: Duration,
    ended_boot_ns: u64,
}

/// The handle of one source's thread.
struct Worker {
    name: &'static str,
    deadline: Duration,
    interval: Duration,
    timer: Timer,
    requests: Sender<Arc<Subjects>>,
    rounds: Receiver<Round>,
    /// Since when a round is under way.
    asked: Option<Instant>,
    stats: SourceStats,
    stats_changed: bool,
    /// Rounds left out since they were last reported.
    skipped: u64,
    status: Option<ProbeStatus>,
}

/// All sources.
pub(super) struct Measuring {
    anchor: Anchor,
    workers: Vec<Worker>,
    ready: Vec<(u64, Kind)>,
    warnings: Vec<String>,
}

impl Measuring {
    /// Starts a thread for each source; all are due at the first call of [`Self::measure`].
    pub(super) fn start(sources: Vec<Box<dyn Source>>, base: Duration, anchor: Anchor, now: Instant) -> Self {
        let mut measuring = Self { anchor, workers: Vec::new(), ready: Vec::new(), warnings: Vec::new() };
        for source in sources {
            let name = source.name();
            match Worker::start(source, base, now) {
                Ok(worker) => measuring.workers.push(worker),
                Err(error) => {
                    measuring.warnings.push(format!("{name} is not recorded: no thread: {error}"));
                    measuring.ready.push((
                        u64::MAX,
                        Kind::Probe(ProbeStatus {
                            probe: name.to_owned(),
                            state: ProbeState::Failed,
                            reason: Some(format!("no thread: {error}")),
                        }),
                    ));
                }
            }
        }
        measuring
    }

    /// Asks the sources that are due, but for those whose last round is still under way.
    pub(super) fn measure(&mut self, now: Instant, subjects: impl FnOnce() -> Subjects) {
        let due: Vec<&mut Worker> =
            self.workers.iter_mut().filter_map(|worker| worker.timer.due(now).then_some(worker)).collect();
        if due.is_empty() {
            return;
        }
        let subjects = Arc::new(subjects());
        for worker in due {
            worker.ask(&subjects, now);
        }
    }

    /// Asks all sources, due or not: for the last time.
    pub(super) fn measure_all(&mut self, subjects: Subjects) {
        let subjects = Arc::new(subjects);
        let now = Instant::now();
        for worker in &mut self.workers {
            worker.ask(&subjects, now);
        }
    }

    /// The rows that arrived; those of `u64::MAX` are of now.
    pub(super) fn take_rows(&mut self, now: Instant) -> Vec<(u64, Kind)> {
        for worker in &mut self.workers {
            loop {
                match worker.rounds.try_recv() {
                    Ok(round) => worker.ended(round, &self.anchor, &mut self.ready, &mut self.warnings),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => {
                        let reason = "its thread ended".to_owned();
                        worker.set_status(
                            ProbeState::Failed,
                            Some(reason),
                            &mut self.ready,
                            &mut self.warnings,
                        );
                        break;
                    }
                }
            }
            if let Some(asked) = worker.asked
                && now.duration_since(asked) > worker.deadline
            {
                let reason = format!("no answer within {:?}", worker.deadline);
                worker.set_status(ProbeState::Failed, Some(reason), &mut self.ready, &mut self.warnings);
            }
        }
        std::mem::take(&mut self.ready)
    }

    /// What each source did, of those that did something since the last call, or of all.
    pub(super) fn take_stats(&mut self, all: bool) -> Vec<SourceStats> {
        let changed = self.workers.iter_mut().filter(|worker| worker.stats_changed || all);
        changed
            .map(|worker| {
                worker.stats_changed = false;
                worker.stats.clone()
            })
            .collect()
    }

    /// What each source did so far.
    pub(super) fn stats(&self) -> impl Iterator<Item = &SourceStats> {
        self.workers.iter().map(|worker| &worker.stats)
    }

    /// Rounds that were left out since the last call, by source.
    pub(super) fn take_skipped(&mut self) -> BTreeMap<&'static str, u64> {
        let skipped = self.workers.iter_mut().filter(|worker| worker.skipped > 0);
        skipped.map(|worker| (worker.name, std::mem::take(&mut worker.skipped))).collect()
    }

    /// What the operator should know.
    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Waits for the rounds that are under way, with patience that ends.
    pub(super) fn settle(&mut self) {
        let until = Instant::now() + PATIENCE;
        for worker in &mut self.workers {
            while worker.asked.is_some()
                && let Ok(round) = worker.rounds.recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                worker.ended(round, &self.anchor, &mut self.ready, &mut self.warnings);
            }
        }
    }
}

impl Worker {
    fn start(mut source: Box<dyn Source>, base: Duration, now: Instant) -> std::io::Result<Self> {
        let (requests, incoming) = channel::<Arc<Subjects>>();
        let (outgoing, rounds) = channel();
        let (name, deadline, interval) = (source.name(), source.deadline(), source.interval(base));
        capabilities::spawn(name, source.capabilities(), move || {
            while let Ok(subjects) = incoming.recv() {
                let began = Instant::now();
                let mut rows = Rows::default();
                let outcome = source.measure(&subjects, &mut rows);
                let round =
                    Round { rows, outcome, took: began.elapsed(), ended_boot_ns: SystemClock.boot_ns() };
                if outgoing.send(round).is_err() {
                    break;
                }
            }
        })?;
        let stats = SourceStats {
            source: name.to_owned(),
            rounds: 0,
            failures: 0,
            skipped: 0,
            duration_ns: 0,
            succeeded: None,
        };
        Ok(Self {
            name,
            deadline,
            interval,
            timer: Timer::due_at_once(interval, now),
            requests,
            rounds,
            asked: None,
            stats,
            stats_changed: true,
            skipped: 0,
            status: None,
        })
    }

    fn ask(&mut self, subjects: &Arc<Subjects>, now: Instant) {
        if self.asked.is_some() {
            self.skipped += 1;
            self.stats.skipped += 1;
            self.stats_changed = true;
        } else if self.requests.send(Arc::clone(subjects)).is_ok() {
            self.asked = Some(now);
        }
    }

    fn ended(
        &mut self,
        mut round: Round,
        anchor: &Anchor,
        rows: &mut Vec<(u64, Kind)>,
        warnings: &mut Vec<String>,
    ) {
        self.asked = None;
        self.stats.rounds += 1;
        self.stats.duration_ns += u64::try_from(round.took.as_nanos()).unwrap_or(u64::MAX);
        self.stats_changed = true;
        let to = anchor.unix_ns(round.ended_boot_ns);
        let interval_ns = i64::try_from(self.interval.as_nanos()).unwrap_or(i64::MAX);
        for missed in round.rows.take_missed() {
            rows.push((
                u64::MAX,
                Kind::Loss(Loss {
                    source: format!("source/{}", self.name),
                    cause: missed.cause.to_owned(),
                    subject: Some(missed.subject),
                    lost: 1,
                    from: Timestamp(to.saturating_sub(interval_ns)),
                    to: Timestamp(to),
                }),
            ));
        }
        rows.extend(round.rows.into_inner());
        match round.outcome {
            Ok(()) => {
                self.stats.succeeded = Some(Timestamp(to));
                self.set_status(ProbeState::Active, None, rows, warnings);
            }
            Err(Unavailable { state, reason }) => {
                self.stats.failures += u64::from(state == ProbeState::Failed);
                self.set_status(state, Some(reason), rows, warnings);
            }
        }
    }

    fn set_status(
        &mut self,
        state: ProbeState,
        reason: Option<String>,
        rows: &mut Vec<(u64, Kind)>,
        warnings: &mut Vec<String>,
    ) {
        let status = ProbeStatus { probe: self.name.to_owned(), state, reason };
        if self.status.as_ref() == Some(&status) {
            return;
        }
        if state == ProbeState::Failed {
            let reason = status.reason.as_deref().unwrap_or("no reason given");
            warnings.push(format!("{}: {reason}", self.name));
        }
        rows.push((u64::MAX, Kind::Probe(status.clone())));
        self.status = Some(status);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use std::sync::mpsc::SyncSender;

    use super::*;

    /// Waits for a word, then says what it was told to.
    struct Told {
        words: Receiver<Result<(), Unavailable>>,
    }

    impl Source for Told {
        fn name(&self) -> &'static str {
            "told"
        }
        fn deadline(&self) -> Duration {
            Duration::ZERO
        }
        fn measure(&mut self, _: &Subjects, _: &mut Rows) -> Result<(), Unavailable> {
            self.words.recv().unwrap_or(Ok(()))
        }
    }

    fn one() -> (Measuring, SyncSender<Result<(), Unavailable>>) {
        let (say, words) = std::sync::mpsc::sync_channel(8);
        let anchor = Anchor { boot_ns: 0, realtime_ns: 0 };
        let source: Box<dyn Source> = Box::new(Told { words });
        (Measuring::start(vec![source], Duration::from_secs(1), anchor, Instant::now()), say)
    }

    fn states(rows: &[(u64, Kind)]) -> Vec<ProbeState> {
        let state = |(_, row): &(u64, Kind)| match row {
            Kind::Probe(status) => Some(status.state),
            _ => None,
        };
        rows.iter().filter_map(state).collect()
    }

    #[test]
    fn a_source_that_hangs_is_failed_and_its_missed_rounds_are_counted_until_it_answers() {
        let (mut measuring, say) = one();
        let start = Instant::now();
        measuring.measure(start, Subjects::default);
        let later = start + Duration::from_secs(2);
        measuring.measure(later, Subjects::default);
        assert_eq!(states(&measuring.take_rows(later)), [ProbeState::Failed]);
        assert_eq!(measuring.take_skipped(), BTreeMap::from([("told", 1)]));
        say.send(Ok(())).unwrap();
        measuring.settle();
        assert_eq!(states(&measuring.take_rows(later)), [ProbeState::Active]);
        let stats = measuring.take_stats(false);
        assert_eq!(stats.iter().map(|row| (row.rounds, row.skipped)).collect::<Vec<_>>(), [(1, 1)]);
    }

    #[test]
    fn a_source_says_why_it_has_nothing_once_and_not_at_each_round() {
        let (mut measuring, say) = one();
        for round in 0..3 {
            say.send(Err(Unavailable::off("no such thing"))).unwrap();
            measuring.measure(Instant::now() + Duration::from_secs(2 * round), Subjects::default);
            measuring.settle();
        }
        assert_eq!(states(&measuring.take_rows(Instant::now())), [ProbeState::Off]);
        assert!(measuring.take_warnings().is_empty());
    }
}
