//! Writes observations in few words and reads single values out of the metrics.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::net::IpAddr;

use aftertrace_schemas::column::{Ip, Timestamp};
use aftertrace_schemas::tables::*;
use aftertrace_schemas::{Kind, Observation, UnixNanos};

use crate::metrics::{Family, Label, Series, exposition};
use crate::{Config, Registry};

pub(crate) const WEB: &str = "/docker/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
pub(crate) const WEB_AGAIN: &str = "/docker/fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
pub(crate) const HOST_NAMESPACE: u32 = 1;
pub(crate) const WEB_NAMESPACE: u32 = 77;
const BEGIN: UnixNanos = 1_700_000_000_000_000_000;

/// When a process of this pid starts: what tests need no thought for.
pub(crate) fn start_ns(pid: u32) -> u64 {
    u64::from(pid) * 10_000_000
}

pub(crate) fn ip(text: &str) -> Ip {
    Ip::from(text.parse::<IpAddr>().unwrap())
}

/// A registry and the observations that it was given.
pub(crate) struct Scenario {
    pub(crate) registry: Registry,
    pub(crate) applied: Vec<Observation>,
    now: UnixNanos,
}

impl Scenario {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        let mut scenario = Self { registry: Registry::new(config), applied: Vec::new(), now: BEGIN };
        scenario.apply(HostSnapshot {
            hostname: "shop-1".to_owned(),
            kernel_version: "6.1.0".to_owned(),
            architecture: "x86_64".to_owned(),
            machine_id: "m1".to_owned(),
            system_uuid: "u1".to_owned(),
            boot_id: "b1".to_owned(),
            network_namespace: Some(HOST_NAMESPACE),
            recorder_version: "0.1.0".to_owned(),
        });
        scenario
    }

    /// Time passes; nothing is observed.
    pub(crate) fn pass(&mut self, seconds: i64) {
        self.now += seconds * 1_000_000_000;
    }

    pub(crate) fn now(&self) -> UnixNanos {
        self.now
    }

    pub(crate) fn apply(&mut self, kind: impl Into<Kind>) {
        self.now += 1_000_000;
        let observation = Observation { seq: self.applied.len() as u64, time: self.now, kind: kind.into() };
        self.registry.apply(&observation);
        self.applied.push(observation);
    }

    /// Something that concerns nobody, so that the registry sees what time it is.
    pub(crate) fn mark(&mut self) {
        self.apply(Mark { kind: MarkKind::SegmentStart, segment: 1, detail: None });
    }

    pub(crate) fn start(&mut self, pid: u32, cgroup: &str) {
        self.apply(ProcessEvent {
            parent_pid: Some(1),
            cgroup: Some(cgroup.to_owned()),
            network_namespace: Some(WEB_NAMESPACE),
            ..process(ProcessEventKind::Start, pid)
        });
    }

    pub(crate) fn exec(&mut self, pid: u32, arguments: &[&str]) {
        self.apply(ProcessEvent {
            executable: arguments.first().map(|first| (*first).to_owned()),
            arguments: Some(arguments.iter().map(|argument| (*argument).to_owned()).collect()),
            ..process(ProcessEventKind::Exec, pid)
        });
    }

    pub(crate) fn exit(&mut self, pid: u32, signal: Option<i32>) {
        self.apply(ProcessEvent {
            signal,
            command: Some("server".to_owned()),
            ..process(ProcessEventKind::Exit, pid)
        });
    }

    pub(crate) fn oom_victim(&mut self, pid: u32) {
        self.apply(ProcessEvent { process_start_ns: None, ..process(ProcessEventKind::OomKill, pid) });
    }

    pub(crate) fn snapshot(&mut self, pid: u32, cgroup: &str) {
        self.apply(process_snapshot(pid, cgroup));
    }

    pub(crate) fn name(&mut self, cgroup: &str, name: &str) {
        self.apply(metadata(cgroup, name));
    }

    pub(crate) fn attach(&mut self, pid: u32, cgroup: &str) {
        self.apply(CgroupEvent {
            pid: Some(pid),
            process_start_ns: Some(start_ns(pid)),
            process_cgroup: Some(cgroup.to_owned()),
            ..cgroup_event(CgroupEventKind::Attached, cgroup)
        });
    }

    pub(crate) fn cgroup(&mut self, kind: CgroupEventKind, cgroup: &str) {
        self.apply(cgroup_event(kind, cgroup));
    }

    pub(crate) fn tcp(&mut self, kind: TcpEventKind, id: u64, pid: u32, remote: (&str, u16)) {
        self.apply(tcp(kind, id, pid, remote));
    }

    pub(crate) fn connect(&mut self, id: u64, pid: u32, remote: (&str, u16)) {
        self.tcp(TcpEventKind::Connect, id, pid, remote);
    }

    pub(crate) fn totals(&mut self, kind: TcpEventKind, id: u64, sent: u64, received: u64, retransmits: u32) {
        self.apply(TcpEvent {
            bytes_sent: Some(sent),
            bytes_received: Some(received),
            retransmits: Some(retransmits),
            pid: None,
            process_start_ns: None,
            ..tcp(kind, id, 0, ("10.0.0.1", 1))
        });
    }

    pub(crate) fn close(&mut self, id: u64) {
        self.totals(TcpEventKind::Close, id, 0, 0, 0);
    }

    pub(crate) fn listen(&mut self, id: u64, pid: u32, local: (&str, u16)) {
        self.apply(TcpEvent {
            local_ip: Some(ip(local.0)),
            local_port: Some(local.1),
            remote_ip: None,
            remote_port: None,
            ..tcp(TcpEventKind::ListenOpen, id, pid, local)
        });
    }

    pub(crate) fn lose(&mut self, source: &str, cause: &str, lost: u64) {
        let (from, to) = (Timestamp(self.now - 1_000_000_000), Timestamp(self.now));
        self.apply(Loss {
            source: source.to_owned(),
            cause: cause.to_owned(),
            subject: None,
            lost,
            from,
            to,
        });
    }

    pub(crate) fn text(&self) -> String {
        exposition::prometheus_text(&self.registry.collect())
    }

    /// The value of the one series of `name` that has all these labels.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        value(&self.registry.collect(), name, labels)
    }

    /// The value of a metric of a container that has one series.
    pub(crate) fn of(&self, container: &str, name: &str) -> Option<f64> {
        self.value(name, &[("container_id", container)])
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.registry.findings().into_iter().map(|finding| finding.line).collect()
    }
}

pub(crate) fn value(families: &[Family], name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let family = families.iter().find(|family| family.name == name)?;
    let mut fitting = family.series.iter().filter(|series| {
        labels
            .iter()
            .all(|(name, value)| series.labels.iter().any(|(own, its)| own == name && **its == **value))
    });
    let found = fitting.next().map(|series| series.value.number());
    assert!(fitting.next().is_none(), "several series of {name} have {labels:?}");
    found
}

/// The place of a series in its family.
pub(crate) fn place(series: &Series) -> (Option<&str>, &[Label]) {
    let container = series.labels.iter().find(|(name, _)| *name == "container_id");
    (container.map(|(_, id)| &**id), &series.labels)
}

pub(crate) fn process(kind: ProcessEventKind, pid: u32) -> ProcessEvent {
    ProcessEvent {
        kind,
        pid,
        process_start_ns: Some(start_ns(pid)),
        parent_pid: None,
        command: None,
        executable: None,
        arguments: None,
        arguments_bytes: None,
        cgroup: None,
        uid: None,
        namespace_pid: None,
        pid_namespace: None,
        network_namespace: None,
        mount_namespace: None,
        exit_code: None,
        signal: None,
        inferred: false,
    }
}

pub(crate) fn process_snapshot(pid: u32, cgroup: &str) -> ProcessSnapshot {
    ProcessSnapshot {
        pid,
        process_start_ns: start_ns(pid),
        parent_pid: 1,
        command: "server".to_owned(),
        executable: None,
        arguments: Vec::new(),
        arguments_bytes: 0,
        cgroup: Some(cgroup.to_owned()),
        uid: 0,
        namespace_pid: pid,
        pid_namespace: None,
        network_namespace: Some(WEB_NAMESPACE),
        mount_namespace: None,
    }
}

pub(crate) fn metadata(cgroup: &str, name: &str) -> ContainerSnapshot {
    ContainerSnapshot {
        cgroup: cgroup.to_owned(),
        runtime: "docker".to_owned(),
        runtime_id: cgroup.rsplit('/').next().unwrap().to_owned(),
        metadata: MetadataStatus::Found,
        name: Some(name.to_owned()),
        image: Some("nginx:1.27".to_owned()),
        labels: BTreeMap::new(),
        environment: BTreeMap::new(),
        log_path: None,
        pid: None,
        log_format: None,
        mounts: None,
        port_bindings: None,
        networks: None,
    }
}

pub(crate) fn cgroup_event(kind: CgroupEventKind, path: &str) -> CgroupEvent {
    CgroupEvent {
        kind,
        hierarchy_id: 0,
        cgroup_id: 1,
        path: path.to_owned(),
        pid: None,
        process_start_ns: None,
        process_cgroup: None,
    }
}

pub(crate) fn tcp(kind: TcpEventKind, id: u64, pid: u32, remote: (&str, u16)) -> TcpEvent {
    TcpEvent {
        kind,
        connection_id: id,
        pid: Some(pid),
        process_start_ns: Some(start_ns(pid)),
        local_ip: Some(ip("10.0.0.9")),
        local_port: Some(40_000),
        remote_ip: Some(ip(remote.0)),
        remote_port: Some(remote.1),
        network_namespace: Some(WEB_NAMESPACE),
        handshake_ns: Some(2_000_000),
        errno: None,
        state: None,
        bytes_sent: None,
        bytes_received: None,
        retransmits: None,
        smoothed_rtt_us: None,
        inferred: false,
    }
}

pub(crate) fn socket(kind: SocketKind, id: u64, pid: u32, remote: Option<(&str, u16)>) -> SocketSnapshot {
    SocketSnapshot {
        kind,
        connection_id: id,
        pid,
        process_start_ns: start_ns(pid),
        local_ip: ip("10.0.0.9"),
        local_port: 80,
        remote_ip: remote.map(|(address, _)| ip(address)),
        remote_port: remote.map(|(_, port)| port),
        network_namespace: WEB_NAMESPACE,
        opened: None,
        bytes_sent: 0,
        bytes_received: 0,
        retransmits: 0,
    }
}

pub(crate) fn usage(cgroup: &str, cpu_seconds: f64, anonymous_bytes: u64) -> CgroupStats {
    CgroupStats {
        cpu_usage_ns: Some((cpu_seconds * 1e9) as u64),
        cpu_throttled_ns: Some(0),
        memory_anonymous_bytes: Some(anonymous_bytes),
        memory_mapped_file_bytes: Some(0),
        memory_cache_bytes: Some(0),
        ..CgroupStats::new(cgroup)
    }
}

pub(crate) fn mount(cgroup: &str, mount_point: &str) -> MountSnapshot {
    MountSnapshot {
        cgroup: cgroup.to_owned(),
        mount_point: mount_point.to_owned(),
        mounted: true,
        mount_id: 40,
        device_major: 8,
        device_minor: 1,
        file_system: "ext4".to_owned(),
        source: "/dev/sda1".to_owned(),
        device: "sda".to_owned(),
        disk_major: Some(8),
        disk_minor: Some(0),
        volume: None,
    }
}
