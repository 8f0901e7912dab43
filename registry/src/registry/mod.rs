//! The registry: takes each observation to the part that it concerns, and asks all parts for metrics and findings.

mod container_events;
mod process_events;
mod routes;
mod tcp_events;

use aftertrace_schemas::{Kind, Observation, UnixNanos};

use crate::Config;
use crate::containers::{
    Container, ContainerIndex, Containers, Identities, NamespaceAddresses, RETENTION_NS,
};
use crate::findings::{self, Finding};
use crate::losses::{Drops, Losses};
use crate::metrics::{Collector, Family, definitions};
use crate::node::Node;
use crate::peers::{RoundTrips, Translations};
use crate::processes::Processes;
use crate::sockets::Sockets;

/// How often, in time of the observations, what is over is looked for.
const TICK_NS: i64 = 10_000_000_000;

/// What observations mean. A function of what was applied, in that order, and of nothing else.
#[derive(Debug)]
pub struct Registry {
    config: Config,
    /// Time of the latest observation.
    now: UnixNanos,
    next_tick: UnixNanos,
    /// Unix time of the boot clock's 0, once known.
    boot_time: Option<UnixNanos>,
    containers: Containers,
    identities: Identities,
    processes: Processes,
    sockets: Sockets,
    namespaces: NamespaceAddresses,
    round_trips: RoundTrips,
    translations: Translations,
    node: Node,
    losses: Losses,
    drops: Drops,
    /// Number of the latest scrape.
    scrapes: u64,
    /// Findings of containers that are gone.
    past_findings: Vec<Finding>,
}

impl Registry {
    /// An empty registry.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            now: UnixNanos::MIN,
            next_tick: UnixNanos::MIN,
            boot_time: None,
            containers: Containers::default(),
            identities: Identities::default(),
            processes: Processes::default(),
            sockets: Sockets::default(),
            namespaces: NamespaceAddresses::default(),
            round_trips: RoundTrips::default(),
            translations: Translations::default(),
            node: Node::default(),
            losses: Losses::default(),
            drops: Drops::default(),
            scrapes: 0,
            past_findings: Vec::new(),
        }
    }

    /// Takes one observation; to be called in the order of `seq`.
    ///
    /// Snapshots come again at the beginning of each segment. One that says what is known changes nothing, so a whole
    /// trace counts everything once, and a trace whose first segments are gone starts from them.
    pub fn apply(&mut self, observation: &Observation) {
        let time = observation.time;
        self.now = self.now.max(time);
        if self.now >= self.next_tick {
            self.tick();
        }
        let (limits, drops) = (&self.config.limits, &mut self.drops);
        match &observation.kind {
            Kind::Tcp(row) => self.tcp_event(time, row),
            Kind::SocketSnapshot(row) => self.socket_snapshot(time, row),
            Kind::NatMapping(row) => self.nat_mapping(time, row),
            Kind::RttProbe(row) => self.round_trips.apply(row, limits, drops, time),
            Kind::Process(row) => self.process_event(time, row),
            Kind::ProcessSnapshot(row) => self.process_snapshot(time, row),
            Kind::Cgroup(row) => self.cgroup_event(time, row),
            Kind::Container(row) => self.container_snapshot(time, row),
            Kind::CgroupStats(row) => self.cgroup_stats(time, row),
            Kind::CgroupIo(row) => self.cgroup_io(time, row),
            Kind::TaskDelays(row) => self.task_delays(row),
            Kind::Mount(row) => self.mount(time, row),
            Kind::FilesystemStats(row) => self.filesystem_stats(row),
            Kind::NetworkNamespace(row) => self.network_namespace(time, row),
            Kind::Host(row) => self.node.host(row, limits, drops, time),
            Kind::NodeStats(row) => self.node.stats(row),
            Kind::DiskStats(row) => self.node.disk(row, limits, drops, time),
            Kind::NetworkStats(row) => self.node.interface(row, limits, drops, time),
            Kind::Loss(row) => self.losses.apply(row, limits, drops, time),
            Kind::ClockSync(row) => {
                // Rows are dated by the boot clock and one anchor: the wall clock without what it was changed by.
                let anchor = row.realtime_ns.saturating_sub(row.offset_ns);
                self.boot_time = Some(anchor.saturating_sub_unsigned(row.boot_ns));
            }
            Kind::Scrape(row) => self.scrapes = row.number,
            // They tell of the recording, not of the host; `analyze verify` and `info` read them.
            Kind::File(_)
            | Kind::Probe(_)
            | Kind::Ledger(_)
            | Kind::BpfProgram(_)
            | Kind::Recorder(_)
            | Kind::Source(_)
            | Kind::Mark(_) => {}
        }
    }

    /// All metrics as of the latest observation, sorted by name and labels.
    pub fn collect(&self) -> Vec<Family> {
        let mut collector = Collector::new(self.node.labels());
        self.node.collect(&mut collector);
        for container in self.shown() {
            container.collect(&self.namespaces, &self.round_trips, &mut collector);
        }
        if self.scrapes > 0 {
            collector.add(&definitions::SCRAPES, [], self.scrapes as f64);
        }
        self.losses.collect(&mut collector);
        self.drops.collect(&mut collector);
        collector.finish()
    }

    /// What stands out since the first observation, the worst first; also of containers that are gone.
    pub fn findings(&self) -> Vec<Finding> {
        let mut all = self.past_findings.clone();
        for container in self.shown() {
            all.extend(findings::of_container(container));
        }
        all.extend(findings::of_recording(&self.losses, &self.drops));
        findings::sort(&mut all);
        all
    }

    /// The container that a control group is of, by its id in metrics; `None` when it is none's or was not seen.
    pub fn container_of_cgroup(&self, cgroup: &str) -> Option<&str> {
        self.containers.get(self.identities.known(cgroup)??).map(|container| &*container.id)
    }

    /// Containers that have metrics: a process was seen in them and they are old enough. Sorted by id.
    pub(crate) fn shown(&self) -> Vec<&Container> {
        let all = self.containers.sorted().into_iter().map(|(_, container)| container);
        all.filter(|container| container.started_at_ns.is_some() && self.is_old_enough(container)).collect()
    }

    fn is_old_enough(&self, container: &Container) -> bool {
        let started = self.boot_time.zip(container.started_at_ns);
        let started = started.map(|(boot_time, started_ns)| boot_time.saturating_add_unsigned(started_ns));
        let since = container.first_seen.min(started.unwrap_or(UnixNanos::MAX));
        let until = container.empty_since.unwrap_or(self.now);
        until.saturating_sub(since) >= self.config.min_container_age_ns
    }

    /// Forgets what is over. Ticks are at multiples of the interval, so where a replay begins does not move them.
    fn tick(&mut self) {
        self.next_tick = self.now.div_euclid(TICK_NS).saturating_add(1).saturating_mul(TICK_NS);
        let (now, limits, drops) = (self.now, &self.config.limits, &mut self.drops);
        self.processes.expire(now);
        self.round_trips.expire(now, RETENTION_NS);
        self.translations.expire(now);
        let containers = &self.containers;
        self.identities
            .expire(now, |index| containers.get(index).is_some_and(|known| !known.processes.is_empty()));
        for container in self.containers.each_mut() {
            container.listens.expire(now, RETENTION_NS);
            for (route, destination) in container.destinations.expire(now, RETENTION_NS) {
                container.past.add(&destination.totals);
                container.incidents.keep(route, &destination, limits, drops);
            }
        }
        let is_over = |container: &Container| {
            container.empty_since.is_some_and(|since| now.saturating_sub(since) > RETENTION_NS)
        };
        let over: Vec<ContainerIndex> = self
            .containers
            .sorted()
            .into_iter()
            .filter_map(|(index, container)| is_over(container).then_some(index))
            .collect();
        for index in over {
            self.remove_container(index);
        }
    }
}
