//! The requests that one container sent and received, counted.

use std::sync::Arc;

use aftertrace_protocols::{Definition as Protocol, Ending, Exchange, Method, Status};
use aftertrace_schemas::UnixNanos;

use super::durations::Durations;
use super::metrics;
use crate::endpoint::Route;
use crate::losses::{Dropped, Drops};
use crate::maps::OrderedMap;
use crate::metrics::{Collector, Label, definitions};
use crate::{Config, Limits};

/// In the place of a name when there are too many.
const OTHER: &str = "~other";

/// A protocol by its name.
type Name = &'static str;

/// What is counted of requests that are alike.
#[derive(Debug, Clone, Default, PartialEq)]
struct Counts {
    by_status: Vec<(Method, Status, u64)>,
    durations: Durations,
    closed: u64,
    timed_out: u64,
    last_used: UnixNanos,
}

/// Names that were asked for: kind of record, name, status.
type Question = (Arc<str>, Arc<str>, &'static str);

/// All of one container.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    outbound: OrderedMap<(Name, Route), (&'static Protocol, Counts)>,
    inbound: OrderedMap<Name, (&'static Protocol, Counts)>,
    questions: OrderedMap<Question, u64>,
    /// Names among them.
    domains: OrderedMap<Arc<str>, ()>,
    question_times: Durations,
}

impl Counts {
    fn add(&mut self, exchange: &Exchange, time: UnixNanos, bounds_ns: &[u64]) {
        self.last_used = self.last_used.max(time);
        match exchange.ending {
            Ending::Closed => self.closed += 1,
            Ending::TimedOut => self.timed_out += 1,
            Ending::Answered => {
                self.count(exchange.method, exchange.status, 1);
                self.durations.add(exchange.duration_ns(), bounds_ns);
            }
        }
    }

    fn count(&mut self, method: Method, status: Status, count: u64) {
        let known = self.by_status.iter_mut().find(|(of, is, _)| *of == method && is.label == status.label);
        match known {
            Some((.., sum)) => *sum += count,
            None => self.by_status.push((method, status, count)),
        }
    }

    fn merge(&mut self, other: &Self) {
        for (method, status, count) in &other.by_status {
            self.count(*method, *status, *count);
        }
        self.durations.merge(&other.durations);
        self.closed += other.closed;
        self.timed_out += other.timed_out;
        self.last_used = self.last_used.max(other.last_used);
    }

    fn total(&self) -> u64 {
        self.by_status.iter().map(|(.., count)| count).sum()
    }
}

impl Requests {
    /// A request that the container sent.
    pub(crate) fn sent(
        &mut self,
        protocol: &'static Protocol,
        route: Route,
        exchange: &Exchange,
        time: UnixNanos,
        (config, drops): (&Config, &mut Drops),
    ) {
        let protocol = metrics::family(protocol);
        let key = (protocol.name, route);
        if !self.outbound.contains_key(&key) && self.outbound.len() >= config.limits.destinations {
            drops.count(Dropped::Destinations, time);
            return;
        }
        let (_, counts) = self.outbound.entry(key).or_insert_with(|| (protocol, Counts::default()));
        counts.add(exchange, time, &config.histogram_bounds_ns);
    }

    /// A question to a name service that the container sent. One for IPv6 addresses where there are none is left out:
    /// whoever asks for both kinds gets that all the time.
    pub(crate) fn asked(
        &mut self,
        exchange: &Exchange,
        fqdn: &str,
        time: UnixNanos,
        (config, drops): (&Config, &mut Drops),
    ) {
        let Some(question) = exchange.question.as_ref().filter(|_| exchange.ending == Ending::Answered)
        else {
            return;
        };
        let is_nothing = &*question.kind == "TypeAAAA"
            && question.addresses.is_empty()
            && exchange.status.label == Status::OK.label;
        if is_nothing {
            return;
        }
        let mut domain = drops.label(fqdn, &config.limits, time);
        if !self.domains.contains_key(&domain) {
            if self.domains.len() < config.max_fqdns_per_container {
                self.domains.insert(domain.clone(), ());
            } else {
                drops.count(Dropped::Domains, time);
                domain = OTHER.into();
            }
        }
        let key = (question.kind.clone().into(), domain, exchange.status.label);
        if !self.questions.contains_key(&key) && self.questions.len() >= config.limits.destinations {
            drops.count(Dropped::Domains, time);
            return;
        }
        *self.questions.entry(key).or_default() += 1;
        self.question_times.add(exchange.duration_ns(), &config.histogram_bounds_ns);
    }

    /// A request that the container received.
    pub(crate) fn received(
        &mut self,
        protocol: &'static Protocol,
        exchange: &Exchange,
        time: UnixNanos,
        config: &Config,
    ) {
        let protocol = metrics::family(protocol);
        let (_, counts) = self.inbound.entry(protocol.name).or_insert_with(|| (protocol, Counts::default()));
        counts.add(exchange, time, &config.histogram_bounds_ns);
    }

    /// Forgets destinations that were not asked for so long.
    pub(crate) fn expire(&mut self, now: UnixNanos, idle_ns: i64) {
        self.outbound.retain(|_, (_, counts)| now.saturating_sub(counts.last_used) <= idle_ns);
    }

    /// Takes over another container's.
    pub(crate) fn merge(&mut self, other: Self, time: UnixNanos, limits: &Limits, drops: &mut Drops) {
        for (key, (protocol, counts)) in other.outbound {
            if !self.outbound.contains_key(&key) && self.outbound.len() >= limits.destinations {
                drops.count(Dropped::Destinations, time);
                continue;
            }
            self.outbound.entry(key).or_insert_with(|| (protocol, Counts::default())).1.merge(&counts);
        }
        for (key, (protocol, counts)) in other.inbound {
            self.inbound.entry(key).or_insert_with(|| (protocol, Counts::default())).1.merge(&counts);
        }
        for (question, count) in other.questions {
            if !self.questions.contains_key(&question) && self.questions.len() >= limits.destinations {
                drops.count(Dropped::Domains, time);
                continue;
            }
            self.domains.insert(question.1.clone(), ());
            *self.questions.entry(question).or_default() += count;
        }
        self.question_times.merge(&other.question_times);
    }

    pub(crate) fn collect(&self, bounds_seconds: &Arc<[f64]>, collector: &mut Collector) {
        for ((name, route), (protocol, counts)) in &self.outbound {
            let Some(metrics) = metrics::of(protocol) else { continue };
            let dialled: Arc<str> = route.destination.to_string().into();
            let actual: Arc<str> = match route.actual == route.destination {
                true => dialled.clone(),
                false => route.actual.to_string().into(),
            };
            let both = || [("destination", dialled.clone()), ("actual_destination", actual.clone())];
            collector.weigh(Some(counts.total() as f64));
            let has_method = metrics.outbound.labels.contains(&"method");
            for (method, status, count) in &counts.by_status {
                let mut labels: Vec<Label> = both().into();
                labels.push(("status", status.label.into()));
                if has_method {
                    labels.push(("method", method_text(*method).into()));
                }
                collector.add(metrics.outbound, labels, *count as f64);
            }
            if let Some(definition) = metrics.outbound_time
                && let Some(histogram) = counts.durations.histogram(bounds_seconds)
            {
                collector.add(definition, both(), histogram);
            }
            for (ending, count) in [("closed", counts.closed), ("timed_out", counts.timed_out)] {
                if count > 0 {
                    let mut labels: Vec<Label> = both().into();
                    labels.extend([("protocol", (*name).into()), ("ending", ending.into())]);
                    collector.add(&definitions::UNANSWERED, labels, count as f64);
                }
            }
        }
        collector.weigh(None);
        for ((kind, domain, status), count) in &self.questions {
            let labels =
                [("request_type", kind.clone()), ("domain", domain.clone()), ("status", (*status).into())];
            collector.add(&definitions::DNS_OUT, labels, *count as f64);
        }
        if let Some(histogram) = self.question_times.histogram(bounds_seconds) {
            collector.add(&definitions::DNS_OUT_TIME, [], histogram);
        }
        for (protocol, counts) in self.inbound.values() {
            let Some(metrics) = metrics::of(protocol) else { continue };
            let (Some(inbound), Some(inbound_time)) = (metrics.inbound, metrics.inbound_time) else {
                continue;
            };
            for (_, status, count) in &counts.by_status {
                collector.add(inbound, [("status", status.label.into())], *count as f64);
            }
            if let Some(histogram) = counts.durations.histogram(bounds_seconds) {
                collector.add(inbound_time, [], histogram);
            }
        }
    }
}

fn method_text(method: Method) -> &'static str {
    match method {
        Method::Request => "",
        Method::Produce => "produce",
        Method::Consume => "consume",
    }
}
