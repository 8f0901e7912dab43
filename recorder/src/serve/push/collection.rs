//! What is pushed: the metrics of one moment, and the series that there were at the one before and are no more.

use std::collections::BTreeMap;

use aftertrace_registry::metrics::{Family, Label, Series, Value};
use rustc_hash::FxHashSet;

/// Prometheus has this name for what its series come from.
const JOB: &str = "aftertrace";

/// The metrics of one moment.
pub(super) struct Collection {
    /// Unix milliseconds.
    pub(super) collected_ms: i64,
    pub(super) families: Vec<Family>,
}

/// A family with the series that it has to have in a push.
pub(super) struct Pushed<'a> {
    pub(super) family: &'a Family,
    present: &'a [Series],
    vanished: Vec<&'a Series>,
}

impl<'a> Pushed<'a> {
    /// The series with their values; `None` for those that vanished.
    pub(super) fn samples(&self) -> impl Iterator<Item = (&'a Series, Option<&'a Value>)> {
        let present = self.present.iter().map(|series| (series, Some(&series.value)));
        present.chain(self.vanished.iter().map(|series| (*series, None)))
    }

    /// How many these are.
    pub(super) fn len(&self) -> usize {
        self.present.len() + self.vanished.len()
    }
}

/// What has to be pushed now that `previous` was.
pub(super) fn compare<'a>(previous: Option<&'a Collection>, now: &'a Collection) -> Vec<Pushed<'a>> {
    let families = previous.iter().flat_map(|collection| &collection.families);
    let mut before: BTreeMap<&str, &Family> = families.map(|family| (family.name, family)).collect();
    let mut pushed = Vec::with_capacity(now.families.len());
    for family in &now.families {
        let before = before.remove(family.name).map_or(&[][..], |before| &before.series);
        pushed.push(Pushed { family, present: &family.series, vanished: vanished(before, &family.series) });
    }
    // Of these families there is no series left.
    pushed.extend(before.into_values().map(|family| Pushed {
        family,
        present: &[],
        vanished: family.series.iter().collect(),
    }));
    pushed.retain(|family| family.len() > 0);
    pushed
}

fn vanished<'a>(before: &'a [Series], now: &[Series]) -> Vec<&'a Series> {
    let known: FxHashSet<&[Label]> = now.iter().map(|series| series.labels.as_slice()).collect();
    before.iter().filter(|series| !known.contains(series.labels.as_slice())).collect()
}

/// The labels of a series as Prometheus has them after a scrape: with the job and the instance, sorted, without those
/// that are empty.
pub(super) fn labels<'a>(series: &'a Series, instance: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut labels: Vec<(&str, &str)> = series.labels.iter().map(|(name, value)| (*name, &**value)).collect();
    for (name, value) in [("instance", instance), ("job", JOB)] {
        if !labels.iter().any(|(own, _)| *own == name) {
            labels.push((name, value));
        }
    }
    labels.retain(|(_, value)| !value.is_empty());
    labels.sort_unstable();
    labels
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "tests fail by panicking")]
pub(super) mod tests {
    use std::sync::Arc;

    use aftertrace_registry::metrics::MetricKind;

    use super::*;

    pub(in crate::serve::push) fn series(labels: &[(&'static str, &str)], value: f64) -> Series {
        Series {
            labels: labels.iter().map(|(name, value)| (*name, Arc::from(*value))).collect(),
            value: value.into(),
        }
    }

    /// Two families at one moment; at the next, one has a series less and the other is gone.
    pub(in crate::serve::push) fn two_moments() -> [Collection; 2] {
        let family = |name, kind, series| Family { name, help: "words", kind, series };
        let requests = |series| family("requests_total", MetricKind::Counter, series);
        let memory =
            family("memory_bytes", MetricKind::Gauge, vec![series(&[("container_id", "/docker/a")], 5.5)]);
        let (a, b) = ([("container_id", "/docker/a"), ("proxy", "")], [("container_id", "/docker/b")]);
        [
            Collection {
                collected_ms: 1_700_000_000_000,
                families: vec![requests(vec![series(&a, 3.0), series(&b, 4.0)]), memory],
            },
            Collection { collected_ms: 1_700_000_015_000, families: vec![requests(vec![series(&a, 6.0)])] },
        ]
    }

    fn words(pushed: &[Pushed<'_>]) -> Vec<String> {
        let of = |family: &Pushed<'_>| {
            let name = family.family.name;
            family
                .samples()
                .map(|(series, value)| (series, value.map(Value::number)))
                .map(|(series, value)| format!("{name} {} {value:?}", series.labels[0].1))
                .collect::<Vec<_>>()
        };
        pushed.iter().flat_map(of).collect()
    }

    #[test]
    fn what_vanished_since_the_last_push_is_pushed_once_more_without_a_value() {
        let [first, second] = two_moments();
        assert_eq!(
            words(&compare(None, &first)),
            [
                "requests_total /docker/a Some(3.0)",
                "requests_total /docker/b Some(4.0)",
                "memory_bytes /docker/a Some(5.5)"
            ]
        );
        assert_eq!(
            words(&compare(Some(&first), &second)),
            [
                "requests_total /docker/a Some(6.0)",
                "requests_total /docker/b None",
                "memory_bytes /docker/a None"
            ]
        );
        assert_eq!(words(&compare(Some(&second), &second)), ["requests_total /docker/a Some(6.0)"]);
    }

    #[test]
    fn labels_are_those_that_a_scrape_would_have_given() {
        let one = series(&[("container_id", "/a"), ("proxy", ""), ("zone", "z")], 1.0);
        assert_eq!(
            labels(&one, "web-1"),
            [("container_id", "/a"), ("instance", "web-1"), ("job", "aftertrace"), ("zone", "z")]
        );
        let own = series(&[("instance", "own")], 1.0);
        assert_eq!(labels(&own, "web-1"), [("instance", "own"), ("job", "aftertrace")]);
    }
}
