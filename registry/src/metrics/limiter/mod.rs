//! One limiter for every family: so many series of a container, so many of the family; the rest becomes one series in
//! which the labels that tell series apart are `~other`. `docs/decisions/0005-too-many-series.md` says why so.
//!
//! Who is shown is decided at ticks, when the heaviest are known, and stays until the next: [`Limiter::turn`] changes
//! the state, [`Limiter::apply`] only reads it, so scrapes change nothing.

mod scope;

use std::collections::BTreeMap;
use std::sync::Arc;

use aftertrace_schemas::UnixNanos;

use super::collector::{self, Gathered};
use super::definitions::{self, Definition};
use super::{Collector, Family, Label};
use crate::config::SeriesLimits;
use crate::losses::Tally;
use scope::{Rules, Scope};

/// Value of the labels that tell series apart, in the series that stands for the rest.
const OTHER: &str = "~other";
/// Of the labels of all series, only this one tells series apart.
const CONTAINER: &str = "container_id";

/// How many series a family has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SeriesCounts {
    all: usize,
    container: u32,
    of_container: usize,
    /// Of the container that has most.
    largest: usize,
}

impl SeriesCounts {
    /// Counts a series of a container by number; 0 is none.
    pub(super) fn add(&mut self, container: u32) {
        self.all += 1;
        if self.container != container {
            (self.container, self.of_container) = (container, 0);
        }
        if container != 0 {
            self.of_container += 1;
            self.largest = self.largest.max(self.of_container);
        }
    }

    fn is_over(&self, limits: &SeriesLimits) -> bool {
        self.all > limits.per_family || self.largest > limits.per_container
    }
}

/// What is remembered of a family that has, or had, too many series.
#[derive(Debug, Default)]
struct State {
    containers: BTreeMap<Arc<str>, Scope>,
    family: Scope,
    /// Series that went into the rest.
    dropped: Option<Tally>,
}

/// Keeps families within limits. See the module.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    /// By index of the definition.
    states: BTreeMap<usize, State>,
}

/// Families within their limits, and how many series are not in them.
pub(crate) struct Limited {
    /// In the order of the definitions.
    pub(crate) families: Vec<Family>,
    /// Series that went into the rest so far, by name of the family.
    pub(crate) dropped: Vec<(&'static str, u64)>,
}

impl Limiter {
    /// The families that a turn concerns, by index of the definition; `None` when it would change nothing.
    pub(crate) fn concerned(&self, counted: &Collector, limits: &SeriesLimits) -> Option<Vec<bool>> {
        let is_concerned = |(index, counts): (usize, &SeriesCounts)| {
            self.states.contains_key(&index) || counts.is_over(limits)
        };
        let concerned: Vec<bool> = counted.counts().iter().enumerate().map(is_concerned).collect();
        concerned.contains(&true).then_some(concerned)
    }

    /// The families as shown; `constant` are the labels of all series.
    pub(crate) fn apply(&self, collector: Collector, constant: &[Label], limits: &SeriesLimits) -> Limited {
        let mut limited = Limited { families: Vec::new(), dropped: Vec::new() };
        for (definition, counts, mut series) in collector.into_families() {
            let state = self.states.get(&definition.index);
            if state.is_some() || counts.is_over(limits) {
                let rules = Rules::new(definition, constant);
                let (shown, unknown) = look(state, series, &rules, limits);
                series = shown;
                let before = state.and_then(|state| state.dropped).map_or(0, |tally| tally.count);
                limited.dropped.push((definition.name, before.saturating_add(unknown)));
            }
            if !series.is_empty() {
                limited.families.push(collector::family(definition, series));
            }
        }
        limited
    }

    /// Decides anew who is shown, in the families that are concerned. `before` is what there was until now, `after` what is
    /// left of it: the rest goes on counting where it was.
    pub(crate) fn turn(
        &mut self,
        now: UnixNanos,
        before: Collector,
        after: Collector,
        constant: &[Label],
        limits: &SeriesLimits,
    ) {
        let all = before.into_families().zip(after.into_families());
        for ((definition, had, before), (_, has, after)) in all {
            let is_known = self.states.contains_key(&definition.index);
            if is_known || had.is_over(limits) || has.is_over(limits) {
                let rules = Rules::new(definition, constant);
                self.states.entry(definition.index).or_default().turn(now, before, after, &rules, limits);
            }
        }
    }

    /// Families with series that are not shown by themselves.
    pub(crate) fn dropped(&self) -> impl Iterator<Item = (&'static Definition, Tally)> {
        let tally = |(index, state): (&usize, &State)| Some((*definitions::ALL.get(*index)?, state.dropped?));
        self.states.iter().filter_map(tally)
    }
}

impl State {
    fn turn(
        &mut self,
        now: UnixNanos,
        before: Vec<Gathered>,
        after: Vec<Gathered>,
        rules: &Rules<'_>,
        limits: &SeriesLimits,
    ) {
        let mut groups: BTreeMap<Option<Arc<str>>, [Vec<Gathered>; 2]> = BTreeMap::new();
        for (which, series) in [before, after].into_iter().enumerate() {
            for group in by_container(series, rules) {
                let id = group.first().and_then(container);
                if let Some(part) = groups.entry(id).or_default().get_mut(which) {
                    *part = group;
                }
            }
        }
        let mut dropped = 0;
        let mut whole: [Vec<Gathered>; 2] = Default::default();
        let mut scopes = std::mem::take(&mut self.containers);
        for (id, [before, after]) in groups {
            let parts = match id {
                Some(id) => {
                    let is_gone = after.is_empty();
                    let mut scope = scopes.remove(&id).unwrap_or_default();
                    let parts = scope.turn(before, after, limits.per_container, rules, &mut dropped);
                    if !scope.is_unused() && !is_gone {
                        self.containers.insert(id, scope);
                    }
                    parts
                }
                None => [before, after],
            };
            whole.iter_mut().zip(parts).for_each(|(whole, part)| whole.extend(part));
        }
        whole.iter_mut().for_each(|series| collector::sort(series));
        let [before, after] = whole;
        self.family.turn(before, after, limits.per_family, &rules.of_family(), &mut dropped);
        if dropped > 0 {
            let tally = Tally::new(dropped, now, now);
            self.dropped = Some(self.dropped.map_or(tally, |mut sum| {
                sum.add(tally);
                sum
            }));
        }
    }
}

/// What is shown of a family, and how many series went into the rest since the last turn.
fn look(
    state: Option<&State>,
    series: Vec<Gathered>,
    rules: &Rules<'_>,
    limits: &SeriesLimits,
) -> (Vec<Gathered>, u64) {
    let nothing = Scope::default();
    let mut unknown = 0;
    let mut whole = Vec::with_capacity(series.len());
    for group in by_container(series, rules) {
        let id = group.first().and_then(container);
        let scope = id.zip(state).and_then(|(id, state)| state.containers.get(&id)).unwrap_or(&nothing);
        let begin = whole.len();
        whole.extend(scope.look(group, limits.per_container, rules, &mut unknown));
        if let Some(group) = whole.get_mut(begin..) {
            collector::sort(group);
        }
    }
    let scope = state.map_or(&nothing, |state| &state.family);
    let mut shown = scope.look(whole, limits.per_family, &rules.of_family(), &mut unknown);
    collector::sort(&mut shown);
    (shown, unknown)
}

/// Parts sorted series by container, with their keys.
fn by_container(series: Vec<Gathered>, rules: &Rules<'_>) -> Vec<Vec<Gathered>> {
    let mut groups: Vec<Vec<Gathered>> = Vec::new();
    for mut one in series {
        rules.mark(&mut one);
        match groups.last_mut() {
            Some(group) if group.first().is_some_and(|first| first.container == one.container) => {
                group.push(one);
            }
            _ => groups.push(vec![one]),
        }
    }
    groups
}

fn container(one: &Gathered) -> Option<Arc<str>> {
    if one.container == 0 {
        return None;
    }
    one.series.labels.iter().find(|(name, _)| *name == CONTAINER).map(|(_, id)| id.clone())
}
