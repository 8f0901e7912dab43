//! Which container runtimes are asked what, and which containers a filter wants.
//!
//! In: paths of control groups as they become known. Out: rows of containers and units, each dated when it was asked for,
//! so that it takes its place before the first event in it when the runtime answers within the hold.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aftertrace_registry::container_id::{CgroupKind, classify, container_id, unit_name};
use aftertrace_schemas::tables::{ContainerSnapshot, MetadataStatus, ProbeState};
use aftertrace_schemas::{Kind, UnixNanos};
use regex::Regex;

use crate::sources::runtimes::{Answer, Runtime, RuntimeReport, RuntimeRequest, RuntimeSource};

/// Containers and units that are remembered as asked for at most.
const MOST_CONTAINERS: usize = 65_536;

/// Who may know what is in a control group, in the order in which they are asked, and what it is called there.
fn whom_to_ask(path: &str) -> Option<(&'static [Runtime], String)> {
    Some(match classify(path) {
        // In a pod, the control group of one of Docker's and of one of containerd's can look the same.
        CgroupKind::Docker { id } => (&[Runtime::Docker, Runtime::Containerd], id),
        CgroupKind::Containerd { id } => (&[Runtime::Containerd], id),
        CgroupKind::Crio { id } => (&[Runtime::Crio], id),
        CgroupKind::Podman { id } => (&[Runtime::Podman], id),
        CgroupKind::Systemd { .. } => (&[Runtime::Systemd], unit_name(path)?.to_owned()),
        _ => return None,
    })
}

/// What was asked about a control group.
struct Asked {
    /// When, boot time.
    boot_ns: u64,
    /// Who is to be asked next.
    others: &'static [Runtime],
    /// What the one who was asked first said, when it did not know.
    first: Option<Answer>,
    /// Somebody knew.
    known: bool,
}

/// Asks runtimes about containers.
pub(super) struct Containers {
    sources: BTreeMap<Runtime, RuntimeSource>,
    wanted: Vec<Regex>,
    asked: BTreeMap<String, Asked>,
    admitted: BTreeSet<String>,
    /// Answers that were there at once: the queue was full.
    refused: VecDeque<Answer>,
    warnings: Vec<String>,
}

impl Containers {
    /// Asks `sources`; containers whose id matches one of `wanted` are to be recorded.
    pub(super) fn new(sources: BTreeMap<Runtime, RuntimeSource>, wanted: Vec<Regex>) -> Self {
        Self {
            sources,
            wanted,
            asked: BTreeMap::new(),
            admitted: BTreeSet::new(),
            refused: VecDeque::new(),
            warnings: Vec::new(),
        }
    }

    /// The control group was seen: if it is a container's or unit's, its runtime is asked, once.
    pub(super) fn want(&mut self, path: &str, boot_ns: u64) {
        if self.asked.contains_key(path) || self.asked.len() >= MOST_CONTAINERS {
            return;
        }
        if let Some(([runtime, others @ ..], id)) = whom_to_ask(path) {
            self.asked.insert(path.to_owned(), Asked { boot_ns, others, first: None, known: false });
            self.ask(*runtime, path, id);
        }
    }

    fn ask(&mut self, runtime: Runtime, path: &str, id: String) {
        let request = RuntimeRequest { cgroup: path.to_owned(), id };
        self.refused.extend(self.sources.get(&runtime).and_then(|source| source.request(request)));
    }

    /// The control group was removed. Another one of that name is the same container, started again: its runtime is
    /// asked again, and what the filter wants of it stays.
    pub(super) fn forget(&mut self, path: &str) {
        self.asked.remove(path);
    }

    /// Rows that arrived, with the boot time that they take their place at.
    pub(super) fn take_rows(&mut self) -> Vec<(u64, Kind)> {
        let mut rows = Vec::new();
        let mut answers = std::mem::take(&mut self.refused);
        for report in self.sources.values().flat_map(|source| std::iter::from_fn(|| source.try_report())) {
            match report {
                RuntimeReport::Answer(answer) => answers.push_back(answer),
                RuntimeReport::Status(status) => {
                    if status.state == ProbeState::Failed {
                        let reason = status.reason.as_deref().unwrap_or("no reason given");
                        self.warnings.push(format!("{} does not answer: {reason}", status.probe));
                    }
                    rows.push((u64::MAX, Kind::Probe(status)));
                }
            }
        }
        for answer in answers {
            rows.extend(self.judge(answer));
        }
        rows
    }

    /// The row of an answer; `None` when it is of no use, or another runtime is asked first.
    fn judge(&mut self, answer: Answer) -> Option<(u64, Kind)> {
        let is_found = answer.metadata() == MetadataStatus::Found;
        let Some(asked) = self.asked.get_mut(answer.cgroup()) else {
            return Some((u64::MAX, answer.into_kind()));
        };
        if is_found {
            asked.known = true;
            return Some((asked.boot_ns, answer.into_kind()));
        }
        // One runtime that does not know it takes nothing back of what another one said.
        if asked.known {
            return None;
        }
        if let [next, others @ ..] = asked.others {
            asked.others = others;
            let path = answer.cgroup().to_owned();
            asked.first.get_or_insert(answer);
            let (_, id) = whom_to_ask(&path)?;
            self.ask(*next, &path, id);
            return None;
        }
        let answer = asked.first.take().unwrap_or(answer);
        Some((asked.boot_ns, answer.into_kind()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::runtimes;

    const PATH: &str = "/kubepods/pod6e/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn answer(runtime: Runtime, metadata: MetadataStatus) -> Answer {
        let request = RuntimeRequest { cgroup: PATH.to_owned(), id: "0123".to_owned() };
        Answer::Container(Box::new(runtimes::row::container(runtime, &request, metadata)))
    }

    /// What is told, by what each runtime answers in turn.
    fn told(answers: &[(Runtime, MetadataStatus)]) -> Vec<Option<(u64, String, MetadataStatus)>> {
        let mut containers = Containers::new(BTreeMap::new(), Vec::new());
        containers.want(PATH, 7);
        let tell = |(runtime, metadata): &(Runtime, MetadataStatus)| match containers
            .judge(answer(*runtime, *metadata))
        {
            Some((at, Kind::Container(row))) => Some((at, row.runtime, row.metadata)),
            _ => None,
        };
        answers.iter().map(tell).collect()
    }

    fn row(runtime: Runtime, metadata: MetadataStatus) -> Option<(u64, String, MetadataStatus)> {
        Some((7, runtime.name().to_owned(), metadata))
    }

    #[test]
    fn what_docker_does_not_know_containerd_may() {
        use MetadataStatus::{Found, NotFound, Unreachable};
        use Runtime::{Containerd, Docker};
        let answers = [(Docker, NotFound), (Containerd, Found), (Docker, NotFound)];
        assert_eq!(told(&answers), [None, row(Containerd, Found), None]);
        let answers = [(Docker, Unreachable), (Containerd, NotFound), (Docker, Found)];
        assert_eq!(told(&answers), [None, row(Docker, Unreachable), row(Docker, Found)]);
        assert_eq!(told(&[(Docker, Found)]), [row(Docker, Found)]);
    }

    #[test]
    fn each_control_group_is_asked_of_those_who_may_know() {
        let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        let asked = |path: &str| whom_to_ask(path).map(|(runtimes, id)| (runtimes.to_vec(), id));
        for (path, runtimes) in [
            (PATH.to_owned(), vec![Runtime::Docker, Runtime::Containerd]),
            (
                format!("/kubepods.slice/kubepods-pod6e.slice/cri-containerd-{id}.scope"),
                vec![Runtime::Containerd],
            ),
            (format!("/kubepods.slice/kubepods-pod6e.slice/crio-{id}.scope"), vec![Runtime::Crio]),
            (format!("/libpod_parent/libpod-{id}"), vec![Runtime::Podman]),
        ] {
            assert_eq!(asked(&path), Some((runtimes, id.to_owned())), "{path}");
        }
        let unit = Some((vec![Runtime::Systemd], r"my\x2dapp.service".to_owned()));
        assert_eq!(asked(r"/system.slice/my\x2dapp.service/worker"), unit);
        assert_eq!(asked("/user.slice"), None);
    }
}
