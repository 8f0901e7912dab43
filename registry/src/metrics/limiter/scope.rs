//! The series of one family, in all or of one container: who is shown, and the series of the rest.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rustc_hash::FxHasher;

use super::super::collector::{Gathered, PLACE};
use super::super::definitions::{Definition, Fold};
use super::super::{Label, MetricKind, Series, Value};
use super::{CONTAINER, OTHER};

/// A series takes another's place when it weighs more than so many times as much: changes of rank are not worth gaps.
const ADVANTAGE: f64 = 2.0;

/// How series of a family become one.
pub(super) struct Rules<'a> {
    definition: &'static Definition,
    /// Labels that all series share.
    constant: &'a [Label],
    is_family: bool,
    other: Arc<str>,
}

impl<'a> Rules<'a> {
    /// Rules for the series of one container.
    pub(super) fn new(definition: &'static Definition, constant: &'a [Label]) -> Self {
        Self { definition, constant, is_family: false, other: OTHER.into() }
    }

    /// Rules for those of all containers.
    pub(super) fn of_family(&self) -> Self {
        Self { is_family: true, other: self.other.clone(), ..*self }
    }

    fn is_constant(&self, name: &str) -> bool {
        PLACE.contains(&name) || self.constant.iter().any(|(constant, _)| *constant == name)
    }

    /// Whether series that become one may differ in this label.
    fn is_folded(&self, name: &str) -> bool {
        match name {
            CONTAINER | "app_id" => self.is_family,
            _ => !self.definition.kept.contains(&name) && !self.is_constant(name),
        }
    }

    /// Labels of the series that stands for this one and others.
    fn labels_of_rest(&self, one: &Gathered) -> Vec<Label> {
        let label = |(name, value): &Label| {
            (*name, if self.is_folded(name) { self.other.clone() } else { value.clone() })
        };
        one.series.labels.iter().map(label).collect()
    }

    /// Whether its labels are those that the rest has: in an application's data this value may occur too.
    fn looks_like_rest(&self, one: &Gathered) -> bool {
        if !one.has_other {
            return false;
        }
        let mut folded = one.series.labels.iter().filter(|(name, _)| self.is_folded(name)).peekable();
        folded.peek().is_some() && folded.all(|(_, value)| **value == *OTHER)
    }

    /// Sets what a series is remembered by. The labels of all series may change, and count for nothing.
    pub(super) fn mark(&self, one: &mut Gathered) {
        let mut hasher = FxHasher::default();
        for (name, value) in &one.series.labels {
            if !self.is_constant(name) {
                value.hash(&mut hasher);
                one.has_other |= **value == *OTHER;
            }
        }
        one.key = hasher.finish();
    }
}

/// Sorted, for look-ups.
fn keys<'a>(series: impl IntoIterator<Item = &'a Gathered>) -> Vec<u64> {
    let mut keys: Vec<u64> = series.into_iter().map(|one| one.key).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn contains(keys: &[u64], one: &Gathered) -> bool {
    keys.binary_search(&one.key).is_ok()
}

/// The series that stands for others.
#[derive(Debug, Clone, PartialEq)]
struct Rest {
    /// To be added to the sum of what it stands for now, so that it goes on where it was: what it stood for before
    /// stays counted, and what was counted elsewhere before is not counted here.
    offset: Value,
    /// Its value at the last turn. Sums of fractions are not exact, and a counter that goes down by the least bit
    /// counts as one that began again.
    floor: Value,
}

/// Who is shown of a set of series. As long as there was no turn with too many, all are.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// Keys of those that are shown, sorted; absent when all are.
    members: Option<Vec<u64>>,
    /// Keys of the others at the last turn, sorted.
    folded: Vec<u64>,
    /// By labels; of counters only.
    rests: BTreeMap<Vec<Label>, Rest>,
}

impl Scope {
    /// Whether it says no more than a new one would.
    pub(super) fn is_unused(&self) -> bool {
        self.members.is_none() && self.folded.is_empty() && self.rests.is_empty()
    }

    /// Parts those that are shown from the others; `series` are sorted.
    ///
    /// Between two turns nobody may leave the rest, or it would go down. So with members, others are not shown. Without,
    /// all of a container are; of a family, those that come first in the order: what comes then only pushes more of them
    /// out, while by weight they would change places.
    fn split(
        &self,
        mut series: Vec<Gathered>,
        limit: usize,
        rules: &Rules<'_>,
    ) -> (Vec<Gathered>, Vec<Gathered>) {
        let limit = if self.members.is_some() || rules.is_family { limit } else { usize::MAX };
        let mut folded: Vec<Gathered> = Vec::new();
        if !self.is_unused() || series.len() > limit {
            folded.extend(series.extract_if(.., |one| rules.looks_like_rest(one)));
        }
        if let Some(members) = &self.members {
            folded.extend(series.extract_if(.., |one| !contains(members, one)));
        }
        if series.len() > limit {
            folded.extend(series.drain(limit..));
        }
        (series, folded)
    }

    /// The series that stand for the others; `container` is the number that those of a container have.
    fn rests(
        &self,
        container: u32,
        folded: &[Gathered],
        rules: &Rules<'_>,
    ) -> BTreeMap<Vec<Label>, Gathered> {
        let mut rests = BTreeMap::new();
        if rules.definition.fold == Fold::Omit {
            return rests;
        }
        // The rest of all containers comes after them.
        let container = if container != 0 && rules.is_family { u32::MAX } else { container };
        let rest = |labels: &Vec<Label>, like: &Value| {
            let series = Series { labels: labels.clone(), value: like.zero() };
            let mut rest = Gathered { container, is_rest: true, ..Gathered::new(series) };
            rules.mark(&mut rest);
            rest
        };
        // Without labels that stay apart, all have the same rest.
        let alike = if rules.definition.kept.is_empty() { folded.len() } else { 1 };
        for alike in folded.chunks(alike.max(1)) {
            let Some(labels) = alike.first().map(|first| rules.labels_of_rest(first)) else { continue };
            let like = alike.first().map_or(Value::Number(0.0), |first| first.series.value.clone());
            let sum: &mut Gathered = rests.entry(labels).or_insert_with_key(|labels| rest(labels, &like));
            for one in alike {
                sum.series.value = sum.series.value.plus(&one.series.value);
                sum.weight += one.weight;
            }
        }
        for (labels, known) in &self.rests {
            let sum = rests.entry(labels.clone()).or_insert_with_key(|labels| rest(labels, &known.floor));
            sum.series.value = known.floor.at_least(&sum.series.value.plus(&known.offset));
        }
        rests
    }

    /// What is shown, the rest at the end; adds how many of the others were not known at the last turn.
    pub(super) fn look(
        &self,
        series: Vec<Gathered>,
        limit: usize,
        rules: &Rules<'_>,
        unknown: &mut u64,
    ) -> Vec<Gathered> {
        if self.is_unused() && series.len() <= limit {
            return series;
        }
        let container = number_of(&series);
        let (mut shown, folded) = self.split(series, limit, rules);
        *unknown += self.unknown(&folded);
        shown.extend(self.rests(container, &folded, rules).into_values());
        shown
    }

    fn unknown(&self, folded: &[Gathered]) -> u64 {
        folded.iter().filter(|one| !one.is_rest && !contains(&self.folded, one)).count() as u64
    }

    /// Decides anew who is shown. Returns what was shown until now and what is from now on; adds to `dropped` how many
    /// went into the rest.
    pub(super) fn turn(
        &mut self,
        before: Vec<Gathered>,
        after: Vec<Gathered>,
        limit: usize,
        rules: &Rules<'_>,
        dropped: &mut u64,
    ) -> [Vec<Gathered>; 2] {
        if self.is_unused() && before.len() <= limit && after.len() <= limit {
            return [before, after];
        }
        let container = number_of(&before).max(number_of(&after));
        let (mut shown_before, folded_before) = self.split(before, limit, rules);
        *dropped += self.unknown(&folded_before);
        let rests_before = self.rests(container, &folded_before, rules);
        let was_folded = keys(folded_before.iter().filter(|one| !one.is_rest));

        self.choose(&after, limit, rules);
        let (mut shown_after, folded_after) = self.split(after, limit, rules);
        let is_folded = keys(folded_after.iter().filter(|one| !one.is_rest));
        let is_new =
            |key: &&u64| was_folded.binary_search(key).is_err() && self.folded.binary_search(key).is_err();
        *dropped += is_folded.iter().filter(is_new).count() as u64;
        self.folded = is_folded;

        self.rests.clear();
        if rules.definition.kind != MetricKind::Gauge {
            let sums = self.rests(container, &folded_after, rules);
            for labels in rests_before.keys().chain(sums.keys()) {
                let [before, after] =
                    [&rests_before, &sums].map(|rests| rests.get(labels).map(|rest| &rest.series.value));
                let Some(value) = before.or(after) else { continue };
                let offset = value.minus(after.unwrap_or(&value.zero()));
                self.rests.insert(labels.clone(), Rest { offset, floor: value.clone() });
            }
        }
        shown_before.extend(rests_before.into_values());
        shown_after.extend(self.rests(container, &folded_after, rules).into_values());
        [shown_before, shown_after]
    }

    /// The heaviest, and those that were chosen before unless others weigh much more; equals by their labels.
    fn choose(&mut self, series: &[Gathered], limit: usize, rules: &Rules<'_>) {
        if series.len() <= limit {
            self.members = None;
            return;
        }
        let members = self.members.take().unwrap_or_default();
        let weigh = |one: &Gathered| one.weight * if contains(&members, one) { ADVANTAGE } else { 1.0 };
        let mut ranked: Vec<(f64, &Gathered)> =
            series.iter().filter(|one| !rules.looks_like_rest(one)).map(|one| (weigh(one), one)).collect();
        // The sort is stable, and what it sorts is in order.
        ranked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        self.members = Some(keys(ranked.iter().take(limit).map(|(_, one)| *one)));
    }
}

/// Number of the container of the first that has one.
fn number_of(series: &[Gathered]) -> u32 {
    series.iter().map(|one| one.container).find(|number| *number != 0).unwrap_or(0)
}
