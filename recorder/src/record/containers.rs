//! Which container runtimes are asked what, and which containers a filter wants.
//!
//! In: paths of control groups as they become known. Out: container rows, each dated when it was asked for, so that
//! it takes its place before the container's first event when the runtime answers within the hold.

use std::collections::{BTreeMap, BTreeSet};

use aftertrace_registry::container_id::{CgroupKind, classify, container_id};
use aftertrace_schemas::tables::{ContainerSnapshot, ProbeState};
use aftertrace_schemas::{Kind, UnixNanos};
use regex::Regex;

use crate::sources::docker::{DockerReport, DockerRequest, DockerSource};

/// Containers that are remembered as asked for at most.
const MOST_CONTAINERS: usize = 65_536;

/// Asks runtimes about containers.
pub(super) struct Containers {
    docker: DockerSource,
    wanted: Vec<Regex>,
    /// When each was asked for, boot time.
    asked: BTreeMap<String, u64>,
    admitted: BTreeSet<String>,
    /// Answers that were there at once: the queue was full.
    refused: Vec<ContainerSnapshot>,
    warnings: Vec<String>,
}

impl Containers {
    /// Asks `docker`; containers whose id matches one of `wanted` are to be recorded.
    pub(super) fn new(docker: DockerSource, wanted: Vec<Regex>) -> Self {
        Self {
            docker,
            wanted,
            asked: BTreeMap::new(),
            admitted: BTreeSet::new(),
            refused: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The control group was seen: if it is a container's, its runtime is asked, once.
    pub(super) fn want(&mut self, path: &str, boot_ns: u64) {
        if self.asked.contains_key(path) || self.asked.len() >= MOST_CONTAINERS {
            return;
        }
        if let CgroupKind::Docker { id } = classify(path) {
            self.asked.insert(path.to_owned(), boot_ns);
            let request = DockerRequest { cgroup: path.to_owned(), container_id: id.to_string() };
            self.refused.extend(self.docker.request(request));
        }
    }

    /// The control group was removed. Another one of that name is the same container, started again: its runtime is
    /// asked again, and what the filter wants of it stays.
    pub(super) fn forget(&mut self, path: &str) {
        self.asked.remove(path);
    }

    /// Rows that arrived, with the boot time that they take their place at.
    pub(super) fn take_rows(&mut self) -> Vec<(u64, Kind)> {
        let mut rows = Vec::new();
        let refused =
            std::mem::take(&mut self.refused).into_iter().map(|row| DockerReport::Container(Box::new(row)));
        for report in refused.chain(std::iter::from_fn(|| self.docker.try_report())) {
            match report {
                DockerReport::Container(row) => {
                    rows.push((
                        self.asked.get(&row.cgroup).copied().unwrap_or(u64::MAX),
                        Kind::Container(*row),
                    ));
                }
                DockerReport::Status(status) => {
                    if status.state == ProbeState::Failed {
                        let reason = status.reason.as_deref().unwrap_or("no reason given");
                        self.warnings.push(format!("{} does not answer: {reason}", status.probe));
                    }
                    rows.push((u64::MAX, Kind::Probe(status)));
                }
            }
        }
        rows
    }

    /// What the operator should know.
    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Whether the filter wants the container of this control group, and did not before.
    pub(super) fn is_news(
        &mut self,
        path: &str,
        metadata: Option<&ContainerSnapshot>,
        time: UnixNanos,
    ) -> bool {
        if self.wanted.is_empty() || self.admitted.contains(path) {
            return false;
        }
        let Some(id) = container_id(&classify(path), metadata, time) else { return false };
        let wanted = self.wanted.iter().any(|wanted| wanted.is_match(&id));
        if wanted {
            self.admitted.insert(path.to_owned());
        }
        wanted
    }
}
