//! Which container a control group belongs to: the registry's own rule, with what the runtimes said in this trace.

use std::collections::BTreeMap;

use aftertrace_registry::container_id::{classify, container_id};
use aftertrace_schemas::tables::ContainerSnapshot;
use aftertrace_schemas::{Kind, TableId, UnixNanos};

use crate::Trace;

/// What the container runtimes said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identities {
    by_runtime_id: BTreeMap<String, (ContainerSnapshot, UnixNanos)>,
    by_cgroup: BTreeMap<String, String>,
}

impl Identities {
    /// Reads the `containers` table of a trace.
    pub(crate) fn of(trace: &Trace) -> Self {
        let mut identities = Self::default();
        for observation in trace.observations_of(&[TableId::Container]) {
            if let Kind::Container(row) = &observation.kind {
                identities.add(row, observation.time);
            }
        }
        identities
    }

    /// A later row replaces an earlier one; `time` is that of the first, for names that depend on it.
    pub(crate) fn add(&mut self, row: &ContainerSnapshot, time: UnixNanos) {
        self.by_cgroup.insert(row.cgroup.clone(), row.runtime_id.clone());
        let entry = self.by_runtime_id.entry(row.runtime_id.clone()).or_insert_with(|| (row.clone(), time));
        entry.0 = row.clone();
    }

    /// The container's id, or `None` when the control group is no container's.
    pub(crate) fn container_id(&self, cgroup: &str) -> Option<String> {
        let kind = classify(cgroup);
        // Control groups below the container's own have the id in their path too.
        let runtime_id = kind.runtime_id().or_else(|| self.by_cgroup.get(cgroup).map(String::as_str));
        let known = runtime_id.and_then(|id| self.by_runtime_id.get(id));
        container_id(&kind, known.map(|(row, _)| row), known.map_or(0, |(_, time)| *time))
    }
}
