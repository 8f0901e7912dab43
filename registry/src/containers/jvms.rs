//! Java virtual machines of a container: one set of series for all that run the same program.

use std::collections::BTreeMap;
use std::sync::Arc;

use aftertrace_schemas::UnixNanos;
use aftertrace_schemas::tables::{JvmGcStats, JvmStats};

use crate::Limits;
use crate::losses::{Dropped, Drops};
use crate::metrics::{Collector, definitions};
use crate::processes::ProcessKey;

/// HotSpot has three collectors at most.
const COLLECTORS_LIMIT: usize = 8;

/// What only grows in the life of a machine.
#[derive(Debug, Clone, Default)]
struct Counters {
    safepoint_ns: Option<u64>,
    safepoint_sync_ns: Option<u64>,
    /// By collector.
    gc_ns: BTreeMap<Arc<str>, u64>,
}

impl Counters {
    fn add(&mut self, other: &Self) {
        let sum = |one: Option<u64>, more: Option<u64>| match (one, more) {
            (Some(one), Some(more)) => Some(one.saturating_add(more)),
            (one, more) => one.or(more),
        };
        self.safepoint_ns = sum(self.safepoint_ns, other.safepoint_ns);
        self.safepoint_sync_ns = sum(self.safepoint_sync_ns, other.safepoint_sync_ns);
        for (gc, ns) in &other.gc_ns {
            let total = self.gc_ns.entry(gc.clone()).or_default();
            *total = total.saturating_add(*ns);
        }
    }
}

/// A machine.
#[derive(Debug)]
struct Jvm {
    name: Arc<str>,
    java_version: Arc<str>,
    heap_size_bytes: u64,
    heap_used_bytes: u64,
    heap_max_bytes: Option<u64>,
    counters: Counters,
}

/// The machines of a container.
#[derive(Debug, Default)]
pub(crate) struct Jvms {
    live: BTreeMap<ProcessKey, Jvm>,
    /// What those counted that ended while others of the same name live: their sum must not go down.
    ended: BTreeMap<Arc<str>, Counters>,
}

impl Jvms {
    pub(crate) fn update(
        &mut self,
        key: ProcessKey,
        row: &JvmStats,
        limits: &Limits,
        drops: &mut Drops,
        time: UnixNanos,
    ) {
        let before = self.live.remove(&key);
        let kept = |before: Option<&Arc<str>>, text: &str, drops: &mut Drops| match before {
            Some(before) if **before == *text => before.clone(),
            _ => drops.label(text, limits, time),
        };
        let name = kept(before.as_ref().map(|jvm| &jvm.name), &row.jvm, drops);
        let java_version = kept(before.as_ref().map(|jvm| &jvm.java_version), &row.java_version, drops);
        let mut counters = before.map(|jvm| jvm.counters).unwrap_or_default();
        counters.safepoint_ns = counters.safepoint_ns.max(row.safepoint_time_ns);
        counters.safepoint_sync_ns = counters.safepoint_sync_ns.max(row.safepoint_sync_time_ns);
        let jvm = Jvm {
            name,
            java_version,
            heap_size_bytes: row.heap_size_bytes,
            heap_used_bytes: row.heap_used_bytes,
            heap_max_bytes: row.heap_max_bytes,
            counters,
        };
        self.live.insert(key, jvm);
        self.forget_ended();
    }

    pub(crate) fn collector(
        &mut self,
        key: ProcessKey,
        row: &JvmGcStats,
        limits: &Limits,
        drops: &mut Drops,
        time: UnixNanos,
    ) {
        let Some(jvm) = self.live.get_mut(&key) else { return };
        let collectors = &mut jvm.counters.gc_ns;
        let name = drops.label(&row.gc, limits, time);
        if let Some(ns) = collectors.get_mut(&name) {
            *ns = row.time_ns.max(*ns);
        } else if collectors.len() < COLLECTORS_LIMIT {
            collectors.insert(name, row.time_ns);
        } else {
            drops.count(Dropped::HostObjects, time);
        }
    }

    /// The process ended, or runs another program.
    pub(crate) fn end(&mut self, key: ProcessKey) {
        if let Some(jvm) = self.live.remove(&key) {
            self.ended.entry(jvm.name).or_default().add(&jvm.counters);
            self.forget_ended();
        }
    }

    /// The process is in another container from now on.
    pub(crate) fn move_to(&mut self, key: ProcessKey, to: &mut Self) {
        if let Some(jvm) = self.live.remove(&key) {
            to.live.insert(key, jvm);
            self.forget_ended();
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.live.extend(other.live);
        for (name, counters) in other.ended {
            self.ended.entry(name).or_default().add(&counters);
        }
    }

    fn forget_ended(&mut self) {
        let live = &self.live;
        self.ended.retain(|name, _| live.values().any(|jvm| jvm.name == *name));
    }

    pub(crate) fn collect(&self, collector: &mut Collector) {
        let mut by_name: BTreeMap<&Arc<str>, Vec<&Jvm>> = BTreeMap::new();
        for jvm in self.live.values() {
            by_name.entry(&jvm.name).or_default().push(jvm);
        }
        for (name, jvms) in by_name {
            let label = || ("jvm", name.clone());
            let mut versions: Vec<&Arc<str>> = jvms.iter().map(|jvm| &jvm.java_version).collect();
            versions.sort_unstable();
            versions.dedup();
            for version in versions {
                let labels = [label(), ("java_version", version.clone())];
                collector.add(&definitions::JVM_INFO, labels, 1.0);
            }
            let bytes = |of: &dyn Fn(&Jvm) -> Option<u64>| {
                let mut values = jvms.iter().filter_map(|jvm| of(jvm)).peekable();
                values.peek().is_some().then(|| values.fold(0, u64::saturating_add) as f64)
            };
            let mut counters = self.ended.get(name).cloned().unwrap_or_default();
            jvms.iter().for_each(|jvm| counters.add(&jvm.counters));
            let seconds = |ns: Option<u64>| ns.map(|ns| ns as f64 / 1e9);
            let rows = [
                (&definitions::JVM_HEAP_SIZE, bytes(&|jvm| Some(jvm.heap_size_bytes))),
                (&definitions::JVM_HEAP_USED, bytes(&|jvm| Some(jvm.heap_used_bytes))),
                (&definitions::JVM_HEAP_MAX, bytes(&|jvm| jvm.heap_max_bytes)),
                (&definitions::JVM_SAFEPOINT_TIME, seconds(counters.safepoint_ns)),
                (&definitions::JVM_SAFEPOINT_SYNC_TIME, seconds(counters.safepoint_sync_ns)),
            ];
            for (definition, value) in rows {
                if let Some(value) = value {
                    collector.add(definition, [label()], value);
                }
            }
            for (gc, ns) in counters.gc_ns {
                collector.add(&definitions::JVM_GC_TIME, [label(), ("gc", gc)], ns as f64 / 1e9);
            }
        }
    }
}
