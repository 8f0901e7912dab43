//! The state of one container.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aftertrace_schemas::UnixNanos;

use super::description::Description;
use super::destinations::{Destinations, Totals};
use super::disks::Disks;
use super::jvms::Jvms;
use super::listens::{self, Listens, NamespaceAddresses};
use super::usage::Usage;
use super::waiting::Waiting;
use crate::Limits;
use crate::findings::Incidents;
use crate::l7::Requests;
use crate::logs::{Context, Logs};
use crate::losses::Drops;
use crate::metrics::{Collector, definitions};
use crate::peers::RoundTrips;
use crate::processes::{Applications, ProcessKey};

/// The state of one container.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) id: Arc<str>,
    /// Whether it is one of those asked for, by its id.
    pub(crate) is_admitted: bool,
    pub(crate) description: Description,
    /// Live processes.
    pub(crate) processes: BTreeSet<ProcessKey>,
    /// Types of live processes, with how many have each.
    applications: BTreeMap<&'static str, u64>,
    /// Start of the first process of this life, nanoseconds of boot time; absent before the first.
    pub(crate) started_at_ns: Option<u64>,
    pub(crate) first_seen: UnixNanos,
    /// Since when there is no process.
    pub(crate) empty_since: Option<UnixNanos>,
    pub(crate) restarts: u64,
    pub(crate) oom_kills: u64,
    pub(crate) accepts: u64,
    pub(crate) processes_started: u64,
    pub(crate) destinations: Destinations,
    /// Of destinations that were idle for long and are not shown any more.
    pub(crate) past: Totals,
    pub(crate) requests: Requests,
    pub(crate) listens: Listens,
    pub(crate) usage: Usage,
    pub(crate) waiting: Waiting,
    pub(crate) disks: Disks,
    pub(crate) jvms: Jvms,
    pub(crate) logs: Logs,
    pub(crate) incidents: Incidents,
}

impl Container {
    pub(crate) fn new(id: Arc<str>, is_admitted: bool, time: UnixNanos) -> Self {
        Self {
            id,
            is_admitted,
            description: Description::default(),
            processes: BTreeSet::new(),
            applications: BTreeMap::new(),
            started_at_ns: None,
            first_seen: time,
            empty_since: Some(time),
            restarts: 0,
            oom_kills: 0,
            accepts: 0,
            processes_started: 0,
            destinations: Destinations::default(),
            past: Totals::default(),
            requests: Requests::default(),
            listens: Listens::default(),
            usage: Usage::default(),
            waiting: Waiting::default(),
            disks: Disks::default(),
            jvms: Jvms::default(),
            logs: Logs::default(),
            incidents: Incidents::default(),
        }
    }

    /// A process is in the container. Returns whether that is a restart: all processes of the earlier life are gone and
    /// this one started later.
    ///
    /// That the first process is gone while others live is none: container runtimes start a container through a chain
    /// of short-lived processes, and daemons leave their first process.
    pub(crate) fn add_process(&mut self, key: ProcessKey) -> bool {
        let was_empty = self.processes.is_empty();
        if !self.processes.insert(key) {
            return false;
        }
        let is_restart = was_empty && self.started_at_ns.is_some_and(|started| key.start_ns > started);
        self.restarts += u64::from(is_restart);
        let started = if is_restart { None } else { self.started_at_ns };
        self.started_at_ns = Some(started.map_or(key.start_ns, |started| started.min(key.start_ns)));
        self.empty_since = None;
        is_restart
    }

    /// A process is no longer in the container.
    pub(crate) fn remove_process(&mut self, key: ProcessKey, time: UnixNanos) {
        if self.processes.remove(&key) && self.processes.is_empty() {
            self.empty_since = Some(time);
        }
    }

    /// A control group of it was made, so its counters begin at 0.
    pub(crate) fn cgroup_created(&mut self, cgroup: &str) {
        self.usage.created(cgroup);
        self.waiting.created(cgroup);
        self.disks.created(cgroup);
    }

    /// A control group of it was removed.
    pub(crate) fn cgroup_removed(&mut self, cgroup: &str) {
        self.usage.remove(cgroup);
        self.waiting.remove(cgroup);
        self.disks.remove(cgroup);
    }

    /// A live process is of these types from now on, and not of those.
    pub(crate) fn change_applications(&mut self, from: Applications, to: Applications) {
        if from == to {
            return;
        }
        for from in from.into_iter().flatten() {
            if let Some(count) = self.applications.get_mut(from) {
                *count -= 1;
            }
        }
        for to in to.into_iter().flatten() {
            *self.applications.entry(to).or_default() += 1;
        }
        self.applications.retain(|_, count| *count > 0);
    }

    /// Types of its live processes, sorted.
    pub(crate) fn applications(&self) -> impl Iterator<Item = &'static str> {
        self.applications.keys().copied()
    }

    /// Sums over all destinations, past ones included.
    pub(crate) fn totals(&self) -> Totals {
        self.destinations.iter().fold(self.past, |mut sum, (_, destination)| {
            sum.add(&destination.totals);
            sum
        })
    }

    /// Takes over the state of `other`, which turned out to be the same container. Returns whether that is a restart.
    pub(crate) fn merge(&mut self, other: Self, time: UnixNanos, limits: &Limits, drops: &mut Drops) -> bool {
        self.description.merge(other.description);
        self.first_seen = self.first_seen.min(other.first_seen);
        self.restarts += other.restarts;
        self.oom_kills += other.oom_kills;
        self.accepts += other.accepts;
        self.processes_started += other.processes_started;
        self.past.add(&other.past);
        self.destinations.merge(other.destinations, time, limits, drops);
        self.requests.merge(other.requests, time, limits, drops);
        self.listens.merge(other.listens, time, limits, drops);
        self.usage.merge(other.usage);
        self.waiting.merge(other.waiting);
        self.disks.merge(other.disks);
        self.jvms.merge(other.jvms);
        self.logs.merge(other.logs, &mut Context { time, limits, drops });
        self.incidents.merge(other.incidents, limits, drops);
        for (application, count) in other.applications {
            *self.applications.entry(application).or_default() += count;
        }
        let is_restart = self.processes.is_empty()
            && matches!((self.started_at_ns, other.started_at_ns), (Some(mine), Some(theirs)) if theirs > mine);
        self.restarts += u64::from(is_restart);
        self.started_at_ns = match (self.started_at_ns, other.started_at_ns) {
            (Some(mine), Some(theirs)) if !is_restart => Some(mine.min(theirs)),
            (mine, theirs) => theirs.or(mine),
        };
        self.processes.extend(other.processes);
        self.empty_since = match (self.empty_since, other.empty_since) {
            (Some(mine), Some(theirs)) => Some(mine.max(theirs)),
            _ => None,
        };
        is_restart
    }

    /// Its metrics; `host` is the host's network namespace, `bounds_seconds` are those of durations.
    pub(crate) fn collect(
        &self,
        namespaces: &NamespaceAddresses,
        round_trips: &RoundTrips,
        host: Option<u32>,
        bounds_seconds: &Arc<[f64]>,
        collector: &mut Collector,
    ) {
        collector.begin_container(&self.id);
        self.description.collect(collector);
        collector.add(&definitions::RESTARTS, [], self.restarts as f64);
        if self.oom_kills > 0 {
            collector.add(&definitions::OOM_KILLS, [], self.oom_kills as f64);
        }
        for application in self.applications() {
            collector.add(&definitions::APPLICATION_TYPE, [("application_type", application.into())], 1.0);
        }
        self.usage.collect(collector);
        self.waiting.collect(collector);
        self.disks.collect(collector);
        self.jvms.collect(collector);
        self.listens.collect(namespaces, collector);
        let is_alive = !self.processes.is_empty();
        listens::collect_bindings(&self.description, host, namespaces, is_alive, collector);
        self.destinations.collect(round_trips, collector);
        self.requests.collect(bounds_seconds, collector);
        self.logs.collect(collector);
        collector.end_container();
    }
}
