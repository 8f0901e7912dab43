//! The host's own figures: names, CPU, memory, disks, network interfaces.

mod names;

use std::collections::BTreeMap;
use std::sync::Arc;

use aftertrace_schemas::UnixNanos;
use aftertrace_schemas::tables::{CloudInstance, DiskStats, HostSnapshot, NetworkStats, NodeStats};

use crate::Limits;
use crate::losses::{Dropped, Drops};
use crate::metrics::definitions::{self, Definition};
use crate::metrics::{Collector, Label};

/// A disk or interface that was not reported for this long, while others were, is gone.
const GONE_AFTER_NS: i64 = 60_000_000_000;

/// The latest row of each device.
#[derive(Debug)]
struct Devices<T> {
    latest: BTreeMap<Arc<str>, (UnixNanos, T)>,
    newest: UnixNanos,
}

impl<T> Default for Devices<T> {
    fn default() -> Self {
        Self { latest: BTreeMap::new(), newest: UnixNanos::MIN }
    }
}

impl<T: Clone> Devices<T> {
    fn update(&mut self, name: &str, row: &T, time: UnixNanos, limits: &Limits, drops: &mut Drops) {
        self.newest = self.newest.max(time);
        if let Some(known) = self.latest.get_mut(name) {
            *known = (time, row.clone());
            return;
        }
        let newest = self.newest;
        self.latest.retain(|_, (seen, _)| newest.saturating_sub(*seen) <= GONE_AFTER_NS);
        if self.latest.len() < limits.host_objects {
            self.latest.insert(drops.label(name, limits, time), (time, row.clone()));
        } else {
            drops.count(Dropped::HostObjects, time);
        }
    }

    fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &T)> {
        let is_there = |seen: UnixNanos| self.newest.saturating_sub(seen) <= GONE_AFTER_NS;
        self.latest.iter().filter(move |(_, (seen, _))| is_there(*seen)).map(|(name, (_, row))| (name, row))
    }
}

/// The host's own figures.
#[derive(Debug, Default)]
pub(crate) struct Node {
    host: Option<Box<HostSnapshot>>,
    cloud: Option<Box<CloudInstance>>,
    stats: Option<Box<NodeStats>>,
    disks: Devices<DiskStats>,
    interfaces: Devices<NetworkStats>,
}

impl Node {
    pub(crate) fn host(&mut self, row: &HostSnapshot, limits: &Limits, drops: &mut Drops, time: UnixNanos) {
        if self.host.as_deref() == Some(row) {
            return;
        }
        let mut row = row.clone();
        for text in [
            &mut row.hostname,
            &mut row.kernel_version,
            &mut row.machine_id,
            &mut row.system_uuid,
            &mut row.recorder_version,
        ] {
            if text.len() > limits.label_bytes {
                *text = drops.label(text, limits, time).to_string();
            }
        }
        self.host = Some(Box::new(row));
    }

    pub(crate) fn cloud(&mut self, row: &CloudInstance, limits: &Limits, drops: &mut Drops, time: UnixNanos) {
        if self.cloud.as_deref() == Some(row) {
            return;
        }
        let mut row = row.clone();
        for text in [
            &mut row.provider,
            &mut row.account_id,
            &mut row.instance_id,
            &mut row.instance_type,
            &mut row.instance_life_cycle,
            &mut row.region,
            &mut row.availability_zone,
            &mut row.availability_zone_id,
            &mut row.local_ipv4,
            &mut row.public_ipv4,
        ] {
            if text.len() > limits.label_bytes {
                *text = drops.label(text, limits, time).to_string();
            }
        }
        self.cloud = Some(Box::new(row));
    }

    /// Labels of the containers' series: zone and region, when both are known.
    pub(crate) fn place(&self) -> Vec<Label> {
        match self.cloud.as_deref() {
            Some(cloud) if !cloud.availability_zone.is_empty() && !cloud.region.is_empty() => {
                vec![
                    ("az", cloud.availability_zone.as_str().into()),
                    ("region", cloud.region.as_str().into()),
                ]
            }
            _ => Vec::new(),
        }
    }

    pub(crate) fn stats(&mut self, row: &NodeStats) {
        self.stats = Some(Box::new(row.clone()));
    }

    pub(crate) fn disk(&mut self, row: &DiskStats, limits: &Limits, drops: &mut Drops, time: UnixNanos) {
        if names::is_disk(&row.device) {
            self.disks.update(&row.device, row, time, limits, drops);
        }
    }

    pub(crate) fn interface(
        &mut self,
        row: &NetworkStats,
        limits: &Limits,
        drops: &mut Drops,
        time: UnixNanos,
    ) {
        if names::is_interface(&row.interface) {
            self.interfaces.update(&row.interface, row, time, limits, drops);
        }
    }

    /// Inode of the host's network namespace.
    pub(crate) fn network_namespace(&self) -> Option<u32> {
        self.host.as_ref()?.network_namespace
    }

    /// Names of the host and of the machine; empty while they are not known.
    pub(crate) fn names(&self) -> (&str, &str) {
        self.host.as_ref().map_or(("", ""), |host| (host.hostname.as_str(), host.machine_id.as_str()))
    }

    /// Labels of every series.
    pub(crate) fn labels(&self) -> Vec<Label> {
        let (machine, system) =
            self.host.as_ref().map_or(("", ""), |host| (host.machine_id.as_str(), host.system_uuid.as_str()));
        vec![("machine_id", machine.into()), ("system_uuid", system.into())]
    }

    pub(crate) fn collect(&self, collector: &mut Collector) {
        if let Some(host) = &self.host {
            let names = [
                ("hostname", host.hostname.as_str().into()),
                ("kernel_version", host.kernel_version.as_str().into()),
            ];
            collector.add(&definitions::NODE_INFO, names, 1.0);
            collector.add(
                &definitions::AGENT_INFO,
                [("version", host.recorder_version.as_str().into())],
                1.0,
            );
        }
        if let Some(cloud) = &self.cloud {
            collect_cloud(cloud, collector);
        }
        if let Some(stats) = &self.stats {
            collect_stats(stats, collector);
        }
        for (device, row) in self.disks.iter() {
            collect_disk(device, row, collector);
        }
        for (interface, row) in self.interfaces.iter() {
            collect_interface(interface, row, collector);
        }
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

fn collect_cloud(cloud: &CloudInstance, collector: &mut Collector) {
    let labels = [
        ("provider", &cloud.provider),
        ("account_id", &cloud.account_id),
        ("instance_id", &cloud.instance_id),
        ("instance_type", &cloud.instance_type),
        ("instance_life_cycle", &cloud.instance_life_cycle),
        ("region", &cloud.region),
        ("availability_zone", &cloud.availability_zone),
        ("availability_zone_id", &cloud.availability_zone_id),
        ("local_ipv4", &cloud.local_ipv4),
        ("public_ipv4", &cloud.public_ipv4),
    ];
    let labels = labels.map(|(name, value)| (name, value.as_str().into()));
    collector.add(&definitions::NODE_CLOUD_INFO, labels, 1.0);
}

fn collect_stats(stats: &NodeStats, collector: &mut Collector) {
    let modes = [
        ("user", stats.cpu_user_ns),
        ("nice", stats.cpu_nice_ns),
        ("system", stats.cpu_system_ns),
        ("idle", stats.cpu_idle_ns),
        ("iowait", stats.cpu_iowait_ns),
        ("irq", stats.cpu_irq_ns),
        ("softirq", stats.cpu_softirq_ns),
        ("steal", stats.cpu_steal_ns),
    ];
    for (mode, ns) in modes {
        collector.add(&definitions::NODE_CPU_USAGE, [("mode", mode.into())], seconds(ns));
    }
    let rows: [(&'static Definition, f64); 6] = [
        (&definitions::NODE_UPTIME, seconds(stats.uptime_ns)),
        (&definitions::NODE_CPU_CORES, f64::from(stats.logical_cores)),
        (&definitions::NODE_MEMORY_TOTAL, stats.memory_total_bytes as f64),
        (&definitions::NODE_MEMORY_FREE, stats.memory_free_bytes as f64),
        (&definitions::NODE_MEMORY_AVAILABLE, stats.memory_available_bytes as f64),
        (&definitions::NODE_MEMORY_CACHED, stats.memory_cached_bytes as f64),
    ];
    for (definition, value) in rows {
        collector.add(definition, [], value);
    }
}

fn collect_disk(device: &Arc<str>, row: &DiskStats, collector: &mut Collector) {
    let rows: [(&'static Definition, f64); 7] = [
        (&definitions::NODE_DISK_READS, row.reads as f64),
        (&definitions::NODE_DISK_WRITES, row.writes as f64),
        (&definitions::NODE_DISK_READ_BYTES, row.read_bytes as f64),
        (&definitions::NODE_DISK_WRITTEN_BYTES, row.written_bytes as f64),
        (&definitions::NODE_DISK_READ_TIME, seconds(row.read_time_ns)),
        (&definitions::NODE_DISK_WRITE_TIME, seconds(row.write_time_ns)),
        (&definitions::NODE_DISK_IO_TIME, seconds(row.io_time_ns)),
    ];
    for (definition, value) in rows {
        collector.add(definition, [("device", device.clone())], value);
    }
}

fn collect_interface(interface: &Arc<str>, row: &NetworkStats, collector: &mut Collector) {
    let rows: [(&'static Definition, f64); 5] = [
        (&definitions::NODE_NET_RECEIVED_BYTES, row.received_bytes as f64),
        (&definitions::NODE_NET_TRANSMITTED_BYTES, row.transmitted_bytes as f64),
        (&definitions::NODE_NET_RECEIVED_PACKETS, row.received_packets as f64),
        (&definitions::NODE_NET_TRANSMITTED_PACKETS, row.transmitted_packets as f64),
        (&definitions::NODE_NET_UP, if row.up { 1.0 } else { 0.0 }),
    ];
    for (definition, value) in rows {
        collector.add(definition, [("interface", interface.clone())], value);
    }
    let mut addresses: Vec<&str> = row.addresses.iter().map(String::as_str).collect();
    addresses.sort_unstable();
    addresses.dedup();
    for address in addresses {
        collector.add(
            &definitions::NODE_NET_IP,
            [("interface", interface.clone()), ("ip", address.into())],
            1.0,
        );
    }
}
