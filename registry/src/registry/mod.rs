//! The registry: takes each observation to the part that it concerns, and asks all parts for metrics and findings.

mod container_events;
mod l7_events;
mod log_events;
mod process_events;
mod routes;
mod tcp_events;

use std::sync::Arc;

use aftertrace_schemas::tables::MarkKind;
use aftertrace_schemas::{Kind, Observation, UnixNanos};

use crate::Config;
use crate::containers::{
    Container, ContainerIndex, Containers, Identities, NamespaceAddresses, RETENTION_NS,
};
use crate::findings::{self, Finding};
use crate::l7::Talks;
use crate::losses::{Drops, Losses};
use crate::metrics::{
    Collector, Family, Limiter,
    definitions::{self, Definition},
};
use crate::node::Node;
use crate::peers::{RoundTrips, Translations};
use crate::processes::Processes;
use crate::recording::{Account, Recording};
use crate::sockets::Sockets;
use crate::spans::{Span, Spans};

/// How often, in time of the observations, what is over is looked for.
const TICK_NS: i64 = 10_000_000_000;

/// What observations mean. A function of what was applied, in that order, and of nothing else.
#[derive(Debug)]
pub struct Registry {
    config: Config,
    /// Those of the configuration.
    bounds_seconds: Arc<[f64]>,
    /// Time of the latest observation.
    now: UnixNanos,
    next_tick: UnixNanos,
    /// When a logged message may be complete that no line follows.
    next_log_flush: Option<UnixNanos>,
    /// Unix time of the boot clock's 0, once known.
    boot_time: Option<UnixNanos>,
    containers: Containers,
    identities: Identities,
    processes: Processes,
    sockets: Sockets,
    talks: Talks,
    spans: Option<Spans>,
    namespaces: NamespaceAddresses,
    round_trips: RoundTrips,
    translations: Translations,
    node: Node,
    losses: Losses,
    drops: Drops,
    /// Number of the latest scrape.
    scrapes: u64,
    recording: Recording,
    limiter: Limiter,
    /// Findings of containers that are gone.
    past_findings: Vec<Finding>,
}

impl Registry {
    /// An empty registry.
    pub fn new(config: Config) -> Self {
        let bounds = config.histogram_bounds_ns.iter().map(|bound| *bound as f64 / 1e9);
        Self {
            bounds_seconds: bounds.collect(),
            talks: Talks::new(config.spans.is_some()),
            spans: config.spans.clone().map(Spans::new),
            config,
            now: UnixNanos::MIN,
            next_tick: UnixNanos::MIN,
            next_log_flush: None,
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
            recording: Recording::default(),
            limiter: Limiter::default(),
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
        if self.next_log_flush.is_some_and(|next| self.now >= next) {
            self.flush_logs();
        }
        if let Some(spans) = &mut self.spans {
            spans.turn(self.now);
        }
        let (limits, drops) = (&self.config.limits, &mut self.drops);
        match &observation.kind {
            Kind::Tcp(row) => self.tcp_event(time, row),
            Kind::SocketSnapshot(row) => self.socket_snapshot(time, row),
            Kind::SocketData(row) => self.socket_data(time, row),
            Kind::Datagram(row) => self.datagram(time, row),
            Kind::NatMapping(row) => self.nat_mapping(time, row),
            Kind::RttProbe(row) => self.round_trips.apply(row, limits, drops, time),
            Kind::Process(row) => self.process_event(time, row),
            Kind::ProcessSnapshot(row) => self.process_snapshot(time, row),
            Kind::Cgroup(row) => self.cgroup_event(time, row),
            Kind::Container(row) => self.container_snapshot(time, row),
            Kind::LogLine(row) => self.log_line(row),
            Kind::LogPattern(row) => self.log_pattern(row),
            // What the recording read so far is all that there is of a message.
            Kind::Mark(row) if row.kind == MarkKind::End => {
                self.finish_logs();
                self.finish_spans();
            }
            Kind::SystemdUnit(row) => self.systemd_unit(time, row),
            Kind::CgroupStats(row) => self.cgroup_stats(time, row),
            Kind::CgroupIo(row) => self.cgroup_io(time, row),
            Kind::Executable(row) => self.executable(row),
            Kind::JvmStats(row) => self.jvm_stats(time, row),
            Kind::JvmGcStats(row) => self.jvm_gc_stats(time, row),
            Kind::TaskDelays(row) => self.task_delays(row),
            Kind::Mount(row) => self.mount(time, row),
            Kind::FilesystemStats(row) => self.filesystem_stats(row),
            Kind::NetworkNamespace(row) => self.network_namespace(time, row),
            Kind::Host(row) => self.node.host(row, limits, drops, time),
            Kind::CloudInstance(row) => self.node.cloud(row, limits, drops, time),
            Kind::NodeStats(row) => self.node.stats(row),
            Kind::DiskStats(row) => self.node.disk(row, limits, drops, time),
            Kind::NetworkStats(row) => self.node.interface(row, limits, drops, time),
            Kind::Loss(row) => {
                self.losses.apply(row, limits, drops, time);
                if let Some(spans) = &mut self.spans {
                    spans.ends.lost();
                }
            }
            Kind::ClockSync(row) => {
                // Rows are dated by the boot clock and one anchor: the wall clock without what it was changed by.
                let anchor = row.realtime_ns.saturating_sub(row.offset_ns);
                self.boot_time = Some(anchor.saturating_sub_unsigned(row.boot_ns));
            }
            Kind::Scrape(row) => self.scrapes = row.number,
            Kind::Probe(row) => self.recording.probe(row, &mut Account { limits, drops, time }),
            Kind::Ledger(row) => self.recording.ledger(row, &mut Account { limits, drops, time }),
            Kind::BpfProgram(row) => self.recording.program(row, &mut Account { limits, drops, time }),
            Kind::Source(row) => self.recording.source(row, &mut Account { limits, drops, time }),
            Kind::Push(row) => self.recording.push(row, &mut Account { limits, drops, time }),
            Kind::Recorder(row) => self.recording.recorder(row),
            Kind::File(_) | Kind::LogFile(_) | Kind::Mark(_) => {}
        }
    }

    /// All metrics as of the latest observation, sorted by name, their series by container and labels.
    pub fn collect(&self) -> Vec<Family> {
        if self.now == UnixNanos::MIN {
            return Vec::new();
        }
        let constant = self.node.labels();
        let collector = self.gather(Collector::new(constant.clone()));
        let limited = self.limiter.apply(collector, &constant, &self.config.series);
        let mut families = limited.families;
        let mut collector = Collector::new(constant);
        for family in &families {
            let count = family.series.len() as f64;
            collector.add(&definitions::SERIES, [("family", family.name.into())], count);
        }
        for (name, count) in limited.dropped {
            collector.add(&definitions::SERIES_DROPPED, [("family", name.into())], count as f64);
        }
        families.extend(collector.finish());
        families.sort_unstable_by_key(|family| family.name);
        families
    }

    /// All series, however many.
    fn gather(&self, mut collector: Collector) -> Collector {
        self.node.collect(&mut collector);
        collector.set_place(self.node.place());
        for container in self.shown() {
            container.collect(
                &self.namespaces,
                &self.round_trips,
                self.node.network_namespace(),
                &self.bounds_seconds,
                &mut collector,
            );
        }
        self.collect_names(self.shown().into_iter(), &mut collector);
        self.talks.collect(&mut collector);
        if let Some(spans) = &self.spans {
            spans.collect(&mut collector);
        }
        if self.scrapes > 0 {
            collector.add(&definitions::SCRAPES, [], self.scrapes as f64);
        }
        self.losses.collect(&mut collector);
        self.drops.collect(&mut collector);
        self.recording.collect(&mut collector);
        let held: [(&'static Definition, f64); 4] = [
            (&definitions::REGISTRY_OBSERVED, self.now as f64 / 1e9),
            (&definitions::REGISTRY_CONTAINERS, self.containers.len() as f64),
            (&definitions::REGISTRY_PROCESSES, self.processes.len() as f64),
            (&definitions::REGISTRY_SOCKETS, self.sockets.len() as f64),
        ];
        for (definition, value) in held {
            collector.add(definition, [], value);
        }
        collector
    }

    /// The spans that are ready. To be taken after each observation: what nobody takes is forgotten at some time.
    pub fn drain_spans(&mut self) -> impl Iterator<Item = Span> {
        self.spans.iter_mut().flat_map(Spans::drain)
    }

    /// Nothing more comes: what was to be chosen from is.
    pub fn finish_spans(&mut self) {
        if let Some(spans) = &mut self.spans {
            spans.finish();
        }
    }

    /// What stands out since the first observation, the worst first; also of containers that are gone.
    pub fn findings(&self) -> Vec<Finding> {
        let mut all = self.past_findings.clone();
        for container in self.shown() {
            all.extend(findings::of_container(container));
        }
        all.extend(findings::of_recording(&self.losses, &self.drops, &self.limiter));
        findings::sort(&mut all);
        all
    }

    /// The container that a control group is of, by its id in metrics; `None` when it is none's or was not seen.
    pub fn container_of_cgroup(&self, cgroup: &str) -> Option<&str> {
        self.containers.get(self.identities.known(cgroup)??).map(|container| &*container.id)
    }

    /// Containers that have metrics: a process was seen in them, they are old enough and of those asked for. Sorted by id.
    pub(crate) fn shown(&self) -> Vec<&Container> {
        let all = self.containers.sorted().into_iter().map(|(_, container)| container);
        let is_shown = |container: &&Container| {
            container.is_admitted && container.started_at_ns.is_some() && self.is_old_enough(container)
        };
        all.filter(is_shown).collect()
    }

    fn is_old_enough(&self, container: &Container) -> bool {
        let started = self.boot_time.zip(container.started_at_ns);
        let started = started.map(|(boot_time, started_ns)| boot_time.saturating_add_unsigned(started_ns));
        let since = container.first_seen.min(started.unwrap_or(UnixNanos::MAX));
        let until = container.empty_since.unwrap_or(self.now);
        until.saturating_sub(since) >= self.config.min_container_age_ns
    }

    /// Forgets what is over, and decides whose series are shown. Ticks are at multiples of the interval, so where a
    /// replay begins does not move them.
    fn tick(&mut self) {
        self.next_tick = self.now.div_euclid(TICK_NS).saturating_add(1).saturating_mul(TICK_NS);
        let counted = self.gather(Collector::counting());
        let Some(concerned) = self.limiter.concerned(&counted, &self.config.series) else {
            self.expire();
            return;
        };
        let constant = self.node.labels();
        let before = self.gather(Collector::of(constant.clone(), concerned.clone()));
        self.expire();
        let after = self.gather(Collector::of(constant.clone(), concerned));
        self.limiter.turn(self.now, before, after, &constant, &self.config.series);
    }

    fn expire(&mut self) {
        self.talks.expire(self.now, &self.config.limits, &mut self.drops);
        self.count_exchanges(self.now);
        if let Some(spans) = &mut self.spans {
            spans.ends.expire(self.now);
        }
        let (now, limits, drops) = (self.now, &self.config.limits, &mut self.drops);
        self.processes.expire(now);
        self.round_trips.expire(now, RETENTION_NS);
        self.translations.expire(now);
        let containers = &self.containers;
        self.identities
            .expire(now, |index| containers.get(index).is_some_and(|known| !known.processes.is_empty()));
        for container in self.containers.each_mut() {
            container.listens.expire(now, RETENTION_NS);
            container.requests.expire(now, RETENTION_NS);
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
