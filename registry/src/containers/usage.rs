//! CPU and memory of a container: the sum over its control groups.

use std::collections::BTreeMap;

use aftertrace_schemas::UnixNanos;
use aftertrace_schemas::tables::CgroupStats;

use crate::losses::Tally;
use crate::metrics::{Collector, definitions};

/// How many removed groups of a container are remembered.
const REMOVED_GROUPS: usize = 64;

/// What one control group said.
#[derive(Debug, Clone)]
struct Group {
    latest: CgroupStats,
    time: UnixNanos,
    /// What was used in earlier lives of the same path, before its counters started again at 0.
    base: Base,
}

#[derive(Debug, Clone, Copy, Default)]
struct Base {
    cpu_usage_ns: u64,
    cpu_throttled_ns: u64,
}

impl Base {
    fn of(row: &CgroupStats) -> Self {
        Self {
            cpu_usage_ns: row.cpu_usage_ns.unwrap_or(0),
            cpu_throttled_ns: row.cpu_throttled_ns.unwrap_or(0),
        }
    }

    fn subtract(&mut self, other: Self) {
        self.cpu_usage_ns = self.cpu_usage_ns.saturating_sub(other.cpu_usage_ns);
        self.cpu_throttled_ns = self.cpu_throttled_ns.saturating_sub(other.cpu_throttled_ns);
    }

    fn add(&mut self, usage_ns: Option<u64>, throttled_ns: Option<u64>) {
        self.cpu_usage_ns = self.cpu_usage_ns.saturating_add(usage_ns.unwrap_or(0));
        self.cpu_throttled_ns = self.cpu_throttled_ns.saturating_add(throttled_ns.unwrap_or(0));
    }
}

/// CPU and memory of a container.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    groups: BTreeMap<Box<str>, Group>,
    /// What control groups used that are gone, so that counters never go down.
    base: Base,
    /// The last figures of removed groups that were not made again since, as far as [`REMOVED_GROUPS`] goes.
    removed: BTreeMap<Box<str>, Base>,
    throttled: Option<Tally>,
}

impl Usage {
    /// Whether a row of this control group can be taken without exceeding `limit` groups.
    pub(crate) fn has_room(&self, cgroup: &str, limit: usize) -> bool {
        self.groups.len() < limit || self.groups.contains_key(cgroup)
    }

    pub(crate) fn update(&mut self, row: &CgroupStats, time: UnixNanos) {
        let Some(group) = self.groups.get_mut(&*row.cgroup) else {
            // What it had used before it was first seen is in its counters, but is no finding of this recording.
            let group = Group { latest: row.clone(), time, base: Base::default() };
            // A row may have been read while one of the hierarchies was removed already: it is the same life.
            if let Some(removed) = self.removed.remove(&*row.cgroup)
                && Base::of(row).cpu_usage_ns >= removed.cpu_usage_ns
            {
                self.base.subtract(removed);
            }
            self.groups.insert(row.cgroup.as_str().into(), group);
            return;
        };
        let went_down =
            matches!((row.cpu_usage_ns, group.latest.cpu_usage_ns), (Some(new), Some(old)) if new < old);
        if went_down {
            group.base.add(group.latest.cpu_usage_ns, group.latest.cpu_throttled_ns);
        }
        let before = if went_down { Some(0) } else { group.latest.cpu_throttled_ns };
        let growth = row.cpu_throttled_ns.zip(before).map_or(0, |(now, before)| now.saturating_sub(before));
        if growth > 0 {
            let tally = Tally::new(growth, group.time, time);
            self.throttled = Some(self.throttled.map_or(tally, |mut sum| {
                sum.add(tally);
                sum
            }));
        }
        group.latest.clone_from(row);
        group.time = time;
    }

    /// The control group was removed: what it used stays counted, what it held is free.
    pub(crate) fn remove(&mut self, cgroup: &str) {
        let is_nested = self.is_nested(cgroup);
        if let Some(group) = self.groups.remove(cgroup)
            && !is_nested
        {
            let last = Base::of(&group.latest);
            for part in [last, group.base] {
                self.base.add(Some(part.cpu_usage_ns), Some(part.cpu_throttled_ns));
            }
            if self.removed.len() < REMOVED_GROUPS {
                self.removed.insert(cgroup.into(), last);
            }
        }
    }

    /// The control group was made, so its counters begin at 0.
    pub(crate) fn created(&mut self, cgroup: &str) {
        self.removed.remove(cgroup);
    }

    /// Nanoseconds that the container was throttled for during the recording, as the count.
    pub(crate) fn throttled(&self) -> Option<Tally> {
        self.throttled
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (cgroup, group) in other.groups {
            self.groups.entry(cgroup).or_insert(group);
        }
        self.base.add(Some(other.base.cpu_usage_ns), Some(other.base.cpu_throttled_ns));
        self.throttled = match (self.throttled, other.throttled) {
            (Some(mut mine), Some(theirs)) => {
                mine.add(theirs);
                Some(mine)
            }
            (mine, theirs) => mine.or(theirs),
        };
    }

    /// Whether a group above it is known too: that one's figures already contain it.
    fn is_nested(&self, cgroup: &str) -> bool {
        let mut above = cgroup;
        while let Some((parent, _)) = above.rsplit_once('/') {
            if self.groups.contains_key(parent) {
                return true;
            }
            above = parent;
        }
        false
    }

    pub(crate) fn collect(&self, collector: &mut Collector) {
        let outermost: Vec<&Group> = self
            .groups
            .iter()
            .filter(|(cgroup, _)| !self.is_nested(cgroup))
            .map(|(_, group)| group)
            .collect();
        let counter = |base: u64, of: &dyn Fn(&Group) -> (Option<u64>, u64)| {
            let values = outermost.iter().map(|group| of(group));
            let sum = values.fold((false, base), |(any, sum), (latest, base)| {
                (any || latest.is_some(), sum.saturating_add(latest.unwrap_or(0)).saturating_add(base))
            });
            (sum.0 || sum.1 > 0).then_some(sum.1 as f64 / 1e9)
        };
        let usage =
            counter(self.base.cpu_usage_ns, &|group| (group.latest.cpu_usage_ns, group.base.cpu_usage_ns));
        let throttled = counter(self.base.cpu_throttled_ns, &|group| {
            (group.latest.cpu_throttled_ns, group.base.cpu_throttled_ns)
        });
        let bytes = |of: &dyn Fn(&CgroupStats) -> Option<u64>| {
            sum(outermost.iter().map(|group| of(&group.latest).map(|bytes| bytes as f64)))
        };
        let rss = bytes(&|row| match (row.memory_anonymous_bytes, row.memory_mapped_file_bytes) {
            (None, None) => None,
            (anonymous, mapped) => Some(anonymous.unwrap_or(0).saturating_add(mapped.unwrap_or(0))),
        });
        let rows = [
            (&definitions::CPU_LIMIT, sum(outermost.iter().map(|group| group.latest.cpu_limit_cores))),
            (&definitions::CPU_USAGE, usage),
            (&definitions::CPU_THROTTLED, throttled),
            (&definitions::MEMORY_LIMIT, bytes(&|row| row.memory_limit_bytes.filter(|limit| *limit > 0))),
            (&definitions::MEMORY_RSS, rss),
            (&definitions::MEMORY_CACHE, bytes(&|row| row.memory_cache_bytes)),
        ];
        for (definition, value) in rows {
            if let Some(value) = value {
                collector.add(definition, [], value);
            }
        }
    }
}

/// The sum of what is there; `None` when nothing is.
fn sum(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    values.flatten().fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}
