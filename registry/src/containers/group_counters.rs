//! Counters of a container that its control groups have by some key: the sum never goes down, whatever happens to the
//! groups.

use std::collections::BTreeMap;

/// How many removed groups of a container are remembered.
const REMOVED_GROUPS: usize = 64;

type Values<K> = BTreeMap<K, u64>;

#[derive(Debug, Clone)]
struct Group<K> {
    latest: Values<K>,
    /// What was counted in earlier lives of the same path, before its counters started again at 0.
    base: Values<K>,
}

/// Counters by key, summed over control groups; a group contains those below it.
#[derive(Debug)]
pub(crate) struct GroupCounters<K> {
    groups: BTreeMap<Box<str>, Group<K>>,
    /// Of control groups that are gone.
    base: Values<K>,
    /// The last figures of removed groups that were not made again since, as far as [`REMOVED_GROUPS`] goes.
    removed: BTreeMap<Box<str>, Values<K>>,
}

impl<K> Default for GroupCounters<K> {
    fn default() -> Self {
        Self { groups: BTreeMap::new(), base: BTreeMap::new(), removed: BTreeMap::new() }
    }
}

fn add<K: Ord + Copy>(sum: &mut Values<K>, more: &Values<K>) {
    for (key, value) in more {
        let total = sum.entry(*key).or_default();
        *total = total.saturating_add(*value);
    }
}

impl<K: Ord + Copy> GroupCounters<K> {
    /// Whether a value can be taken without exceeding `groups` groups and `keys` keys in one.
    pub(crate) fn has_room(&self, cgroup: &str, key: K, groups: usize, keys: usize) -> bool {
        match self.groups.get(cgroup) {
            Some(group) => group.latest.len() < keys || group.latest.contains_key(&key),
            None => self.groups.len() < groups,
        }
    }

    /// The counter of a control group now.
    pub(crate) fn update(&mut self, cgroup: &str, key: K, value: u64) {
        // A row may have been read while the group was removed already: then it is the same life.
        if let Some(last) = self.removed.get_mut(cgroup).and_then(|values| values.remove(&key))
            && value >= last
            && let Some(base) = self.base.get_mut(&key)
        {
            *base = base.saturating_sub(last);
        }
        if !self.groups.contains_key(cgroup) {
            let group = Group { latest: Values::new(), base: Values::new() };
            self.groups.insert(cgroup.into(), group);
        }
        if let Some(group) = self.groups.get_mut(cgroup)
            && let Some(before) = group.latest.insert(key, value)
            && before > value
        {
            add(&mut group.base, &Values::from([(key, before)]));
        }
    }

    /// The control group was made, so its counters begin at 0.
    pub(crate) fn created(&mut self, cgroup: &str) {
        self.removed.remove(cgroup);
    }

    /// The control group was removed: what it counted stays counted.
    pub(crate) fn remove(&mut self, cgroup: &str) {
        let is_nested = self.is_nested(cgroup);
        if let Some(group) = self.groups.remove(cgroup)
            && !is_nested
        {
            add(&mut self.base, &group.latest);
            add(&mut self.base, &group.base);
            if self.removed.len() < REMOVED_GROUPS {
                self.removed.insert(cgroup.into(), group.latest);
            }
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (cgroup, group) in other.groups {
            self.groups.entry(cgroup).or_insert(group);
        }
        add(&mut self.base, &other.base);
    }

    /// The sums.
    pub(crate) fn totals(&self) -> BTreeMap<K, u64> {
        let mut sum = self.base.clone();
        for (_, group) in self.groups.iter().filter(|(cgroup, _)| !self.is_nested(cgroup)) {
            add(&mut sum, &group.latest);
            add(&mut sum, &group.base);
        }
        sum
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
}
