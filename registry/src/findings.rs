//! What stands out, a plain sentence each, the worst first.

use std::fmt::Write;
use std::sync::Arc;

use aftertrace_schemas::UnixNanos;

use crate::Limits;
use crate::containers::{Container, Destination};
use crate::endpoint::Route;
use crate::losses::{Dropped, Drops, Losses, Tally};
use crate::maps::OrderedMap;
use crate::metrics::Limiter;

/// What a finding is about; the worst kind first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FindingKind {
    /// The OOM killer ended processes.
    OomKill,
    /// Processes ended by a signal that stands for a fault: SIGSEGV, SIGABRT and the like.
    Crash,
    /// All processes of a container were replaced.
    Restart,
    /// Outbound connections could not be established.
    FailedConnects,
    /// Observations were lost, so other counts may be too low.
    Loss,
    /// A limit of the registry was reached, so something is not shown.
    Limit,
    /// Processes were ended by SIGKILL, not by the OOM killer.
    Killed,
    /// A container ran into its CPU limit. The count is in milliseconds.
    CpuThrottling,
    /// TCP segments were sent again.
    Retransmits,
}

/// Something that stands out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub kind: FindingKind,
    /// Id of the container; absent when it concerns the whole recording.
    pub container: Option<Arc<str>>,
    /// Destination, program, source of a loss: what the finding is about within the container.
    pub subject: String,
    /// How often; milliseconds for [`FindingKind::CpuThrottling`].
    pub count: u64,
    /// When it was first seen, Unix nanoseconds.
    pub first: UnixNanos,
    /// When it was last seen, Unix nanoseconds.
    pub last: UnixNanos,
    /// One sentence for people.
    pub line: String,
}

/// Something that happened in a container and is kept by itself, as no counter of a live thing tells it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Incident {
    pub(crate) kind: FindingKind,
    /// Signal or error number, where there is one.
    pub(crate) number: Option<i32>,
    pub(crate) subject: Arc<str>,
}

/// Incidents with their counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Incidents {
    tallies: OrderedMap<Incident, Tally>,
}

impl Incidents {
    pub(crate) fn add(&mut self, incident: Incident, tally: Tally, limits: &Limits, drops: &mut Drops) {
        if self.tallies.len() < limits.findings || self.tallies.contains_key(&incident) {
            self.add_unbounded(incident, tally);
        } else {
            drops.count(Dropped::Findings, tally.last);
        }
    }

    fn add_unbounded(&mut self, incident: Incident, tally: Tally) {
        self.tallies.entry(incident).and_modify(|known| known.add(tally)).or_insert(tally);
    }

    pub(crate) fn merge(&mut self, other: Self, limits: &Limits, drops: &mut Drops) {
        for (incident, tally) in other.tallies {
            self.add(incident, tally, limits, drops);
        }
    }

    /// Keeps what a destination tells that is about to be forgotten.
    pub(crate) fn keep(
        &mut self,
        route: Route,
        destination: &Destination,
        limits: &Limits,
        drops: &mut Drops,
    ) {
        for (incident, tally) in of_destination(route, destination) {
            self.add(incident, tally, limits, drops);
        }
    }
}

/// The kind of an end by this signal, when it is worth a finding.
pub(crate) fn kind_of_signal(signal: i32) -> Option<FindingKind> {
    match signal {
        4 | 5 | 6 | 7 | 8 | 11 | 24 | 25 | 31 => Some(FindingKind::Crash),
        9 => Some(FindingKind::Killed),
        _ => None,
    }
}

fn of_destination(route: Route, destination: &Destination) -> impl Iterator<Item = (Incident, Tally)> {
    let incident =
        move |kind, number| Incident { kind, number, subject: route.destination.to_string().into() };
    let errno = destination.last_errno.map(i32::from);
    let failures = destination.failures();
    let retransmissions = destination.retransmissions();
    let failed = failures.map(|tally| (incident(FindingKind::FailedConnects, errno), tally));
    failed.into_iter().chain(retransmissions.map(|tally| (incident(FindingKind::Retransmits, None), tally)))
}

/// Findings of one container.
pub(crate) fn of_container(container: &Container) -> Vec<Finding> {
    let mut all = container.incidents.clone();
    for (route, destination) in container.destinations.iter() {
        for (incident, tally) in of_destination(route, destination) {
            all.add_unbounded(incident, tally);
        }
    }
    if let Some(throttled) = container.usage.throttled() {
        let milliseconds = Tally { count: throttled.count / 1_000_000, ..throttled };
        let incident = Incident { kind: FindingKind::CpuThrottling, number: None, subject: "".into() };
        all.add_unbounded(incident, milliseconds);
    }
    all.tallies.iter().map(|(incident, tally)| incident.finding(&container.id, *tally)).collect()
}

/// Findings about the recording as a whole.
pub(crate) fn of_recording(losses: &Losses, drops: &Drops, limiter: &Limiter) -> Vec<Finding> {
    let finding = |kind, subject: String, line, tally: Tally| Finding {
        kind,
        container: None,
        subject,
        count: tally.count,
        first: tally.first,
        last: tally.last,
        line,
    };
    let lost = losses.iter().map(|(source, cause, tally)| {
        let line =
            format!("{} lost by {source} ({})", counted(tally.count, "observation"), cause.replace('_', " "));
        finding(FindingKind::Loss, format!("{source} {cause}"), line, tally)
    });
    let dropped = drops.iter().map(|(what, tally)| {
        let words = what.word().replace('_', " ");
        let line = match what {
            Dropped::UnknownProcess => format!("{} {words} are in no container", tally.count),
            _ => format!("limit of {words} reached: {} left out", tally.count),
        };
        finding(FindingKind::Limit, what.word().to_owned(), line, tally)
    });
    let folded = limiter.dropped().map(|(definition, tally)| {
        let line = format!("{} series of {} not shown by themselves", tally.count, definition.name);
        finding(FindingKind::Limit, definition.name.to_owned(), line, tally)
    });
    lost.chain(dropped).chain(folded).collect()
}

/// The worst first; the order is the same in every replay.
pub(crate) fn sort(findings: &mut [Finding]) {
    findings.sort_by(|a, b| {
        let key = |finding: &Finding| (finding.kind, std::cmp::Reverse(finding.count));
        key(a)
            .cmp(&key(b))
            .then_with(|| (&a.container, &a.subject, &a.line).cmp(&(&b.container, &b.subject, &b.line)))
    });
}

impl Incident {
    fn finding(&self, container: &Arc<str>, tally: Tally) -> Finding {
        Finding {
            kind: self.kind,
            container: Some(container.clone()),
            subject: self.subject.to_string(),
            count: tally.count,
            first: tally.first,
            last: tally.last,
            line: self.line(container, tally.count),
        }
    }

    fn line(&self, container: &str, count: u64) -> String {
        let subject = &self.subject;
        let mut line = match self.kind {
            FindingKind::OomKill => format!("{container}: {subject} killed by the OOM killer"),
            FindingKind::Crash => format!("{container}: {subject} crashed with {}", signal(self.number)),
            FindingKind::Killed => format!("{container}: {subject} killed with {}", signal(self.number)),
            FindingKind::Restart => format!("{container}: restarted"),
            FindingKind::FailedConnects => {
                let why = self.number.map(|number| format!(" ({})", errno(number))).unwrap_or_default();
                return format!("{container}: {} to {subject} failed{why}", counted(count, "connect"));
            }
            FindingKind::Retransmits => {
                return format!("{container}: {} sent again to {subject}", counted(count, "TCP segment"));
            }
            FindingKind::CpuThrottling => {
                let seconds = count as f64 / 1e3;
                return format!("{container}: throttled by its CPU limit for {seconds:.1} s of thread time");
            }
            FindingKind::Loss | FindingKind::Limit => format!("{container}: {subject}"),
        };
        if count > 1 {
            // Writing to a String cannot fail.
            let _ = write!(line, " {count} times");
        }
        line
    }
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn signal(number: Option<i32>) -> String {
    let name = match number {
        Some(4) => "SIGILL",
        Some(5) => "SIGTRAP",
        Some(6) => "SIGABRT",
        Some(7) => "SIGBUS",
        Some(8) => "SIGFPE",
        Some(9) => "SIGKILL",
        Some(11) => "SIGSEGV",
        Some(24) => "SIGXCPU",
        Some(25) => "SIGXFSZ",
        Some(31) => "SIGSYS",
        Some(other) => return format!("signal {other}"),
        None => "a signal",
    };
    name.to_owned()
}

fn errno(number: i32) -> String {
    let words = match number {
        11 => "no local port free",
        13 => "not permitted",
        99 => "address not available",
        100 => "network is down",
        101 => "network unreachable",
        103 => "connection aborted",
        104 => "connection reset",
        110 => "timed out",
        111 => "connection refused",
        112 => "host is down",
        113 => "no route to host",
        other => return format!("error {other}"),
    };
    words.to_owned()
}
