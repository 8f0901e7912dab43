//! What was asked for, as the manifest, the writer and the kernel programs take it.

use std::collections::BTreeMap;
use std::time::Duration;

use aftertrace_schemas::manifest::{Anchor, Host, Manifest, Options, Retired};
use aftertrace_schemas::tables::HostSnapshot;
use aftertrace_schemas::{FORMAT_VERSION, LEAST_READER_VERSION};

use super::scope::Scope;
use crate::config::{Payload, RecordConfig};
use crate::kernel::{KernelConfig, SMALLEST_RING_BYTES};
use crate::trace::WriterOptions;

/// What the trace says of the recording as a whole.
pub(super) fn manifest(
    config: &RecordConfig,
    scope: &Scope,
    anchor: Anchor,
    host: &HostSnapshot,
) -> Manifest {
    Manifest {
        format_version: FORMAT_VERSION,
        least_reader_version: LEAST_READER_VERSION,
        recorder_version: env!("CARGO_PKG_VERSION").to_owned(),
        host: Host {
            hostname: host.hostname.clone(),
            kernel_version: host.kernel_version.clone(),
            architecture: host.architecture.clone(),
            machine_id: host.machine_id.clone(),
            boot_id: host.boot_id.clone(),
        },
        anchor,
        started: anchor.realtime_ns,
        ended: None,
        end_reason: None,
        options: Options {
            cgroups: scope.roots().map(str::to_owned).collect(),
            containers: config
                .filter
                .containers
                .iter()
                .map(|expression| expression.as_str().to_owned())
                .collect(),
            pids: config.filter.pids.clone(),
            command: config.command.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
            max_bytes: config.max_bytes,
            max_age_s: config.max_age.map(|age| age.as_secs()),
            registry: config.registry.as_ref().and_then(|registry| serde_json::to_value(registry).ok()),
            journal_interval_ms: u64::try_from(config.journal_interval.as_millis()).unwrap_or(u64::MAX),
        },
        probes: Vec::new(),
        segments: Vec::new(),
        retired: Retired::default(),
        losses: BTreeMap::new(),
    }
}

/// For the writer.
pub(super) fn writer_options(config: &RecordConfig) -> WriterOptions {
    WriterOptions {
        journal_interval: config.journal_interval.max(Duration::from_millis(10)),
        max_bytes: config.max_bytes,
        max_age: config.max_age,
        ..WriterOptions::default()
    }
}

/// Of a call on a connection whose protocol is not known, bytes.
const FIRST_KEPT_BYTES: u32 = 256;

/// For the kernel programs; `filter` says whether there is anything to leave out.
pub(super) fn kernel_config(config: &RecordConfig, filter: bool) -> KernelConfig {
    KernelConfig {
        filter_enabled: filter,
        lifecycle_ring_bytes: (config.ring_bytes / 2).max(SMALLEST_RING_BYTES),
        connection_ring_bytes: config.ring_bytes,
        data_ring_bytes: (config.data.payload != Payload::Off).then_some(config.data.ring_bytes),
        // Also when no payload is asked for: to find out which connections are of interest.
        first_kept_bytes: config.data.kept_bytes().max(FIRST_KEPT_BYTES),
        max_connections: config.max_connections,
        measure_costs: config.bpf_statistics,
        ..KernelConfig::default()
    }
}
