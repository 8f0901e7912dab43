//! Makes up what happens in a synthetic trace, with the accounts that belong to it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use aftertrace_schemas::column::{Ip, Timestamp};
use aftertrace_schemas::tables::*;
use aftertrace_schemas::{Kind, Observation, UnixNanos};

/// 2026-11-23T07:00:00Z.
pub(crate) const START: UnixNanos = 1_795_417_200_000_000_000;
const SECOND: i64 = 1_000_000_000;
const CONTAINER_CGROUP: &str = "/docker/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const PROGRAMS: [&str; 7] = [
    "task_newtask",
    "sched_process_exec",
    "sched_process_exit",
    "mark_victim",
    "sys_exit_openat",
    "inet_sock_set_state",
    "tcp_retransmit_skb",
];

/// Collects observations.
#[derive(Default)]
pub(crate) struct Story {
    pub(crate) observations: Vec<Observation>,
    seq: u64,
    ms: i64,
    recorded: BTreeMap<&'static str, u64>,
}

impl Story {
    /// Two segments: a container that works, talks to a database and to a port where nobody listens, and is killed
    /// for its memory in the second.
    pub(crate) fn shop() -> [Vec<Observation>; 2] {
        let mut story = Self::default();
        story.mark(MarkKind::Start, 1);
        story.snapshot();
        story.ledger();
        story.busy_second(1);
        story.stats(1, 1);
        story.ledger();
        let first = std::mem::take(&mut story.observations);
        story.mark(MarkKind::SegmentStart, 2);
        story.snapshot();
        // What the first segment left alive.
        story.process_snapshot(300, CONTAINER_CGROUP);
        story.socket_snapshot(10_004, 300, "2001:db8::5", 5432);
        story.ledger();
        story.busy_second(2);
        story.stats(2, 3);
        story.process(ProcessEventKind::OomKill, 300, |_| {});
        story.process(ProcessEventKind::Exit, 300, |row| row.signal = Some(9));
        story.ledger();
        story.mark(MarkKind::End, 2);
        [first, story.observations]
    }

    pub(crate) fn at(&mut self, ms: i64) -> &mut Self {
        self.ms = ms;
        self
    }

    pub(crate) fn now(&self) -> UnixNanos {
        START + self.ms * 1_000_000
    }

    pub(crate) fn push(&mut self, kind: impl Into<Kind>) {
        let observation = Observation { seq: self.seq, time: self.now(), kind: kind.into() };
        self.seq += 1;
        self.ms += 1;
        self.observations.push(observation);
    }

    /// Leaves sequence numbers out.
    pub(crate) fn skip(&mut self, numbers: u64) {
        self.seq += numbers;
    }

    pub(crate) fn mark(&mut self, kind: MarkKind, segment: u32) {
        self.push(Mark { kind, segment, detail: None });
    }

    pub(crate) fn snapshot(&mut self) {
        self.push(HostSnapshot {
            hostname: "shop-1".to_owned(),
            kernel_version: "6.18.0".to_owned(),
            architecture: "x86_64".to_owned(),
            machine_id: "0123456789abcdef0123456789abcdef".to_owned(),
            system_uuid: String::new(),
            boot_id: "01234567-89ab-cdef-0123-456789abcdef".to_owned(),
            network_namespace: Some(1),
            recorder_version: "0.1.0".to_owned(),
        });
        self.push(ProbeStatus {
            probe: "docker".to_owned(),
            state: ProbeState::Off,
            reason: Some("/var/run/docker.sock: no such file".to_owned()),
        });
        self.push(ContainerSnapshot {
            cgroup: CONTAINER_CGROUP.to_owned(),
            runtime: "docker".to_owned(),
            runtime_id: CONTAINER_CGROUP.trim_start_matches("/docker/").to_owned(),
            metadata: MetadataStatus::Found,
            name: Some("shop".to_owned()),
            image: Some("shop:1.2".to_owned()),
            labels: [("team".to_owned(), "web".to_owned())].into(),
            environment: BTreeMap::new(),
            log_path: None,
            pid: Some(200),
            log_format: None,
            mounts: None,
            port_bindings: None,
            networks: None,
        });
        self.process_snapshot(1, "/init.scope");
        self.process_snapshot(200, CONTAINER_CGROUP);
        self.socket_snapshot(7, 200, "10.0.0.9", 6379);
    }

    fn process_snapshot(&mut self, pid: u32, cgroup: &str) {
        self.push(ProcessSnapshot {
            pid,
            process_start_ns: u64::from(pid) * 10_000_000,
            parent_pid: 1,
            command: format!("p{pid}"),
            executable: Some("/bin/p".to_owned()),
            arguments: vec!["p".to_owned(), "-x".to_owned()],
            arguments_bytes: 5,
            cgroup: Some(cgroup.to_owned()),
            uid: 0,
            namespace_pid: pid,
            pid_namespace: Some(4_026_531_836),
            network_namespace: Some(1),
            mount_namespace: Some(1),
        });
    }

    fn socket_snapshot(&mut self, connection_id: u64, pid: u32, remote: &str, remote_port: u16) {
        self.push(SocketSnapshot {
            kind: SocketKind::Outbound,
            connection_id,
            pid,
            process_start_ns: u64::from(pid) * 10_000_000,
            local_ip: ip("10.0.0.2"),
            local_port: 40_007,
            remote_ip: Some(ip(remote)),
            remote_port: Some(remote_port),
            network_namespace: 1,
            opened: None,
            bytes_sent: 10,
            bytes_received: 20,
            retransmits: 0,
        });
    }

    /// A process, three connections that succeed, one that fails, a file.
    pub(crate) fn busy_second(&mut self, second: i64) {
        self.at(second * 1000);
        let first = u64::try_from(second).unwrap() * 10_000;
        if second == 1 {
            self.process(ProcessEventKind::Start, 300, |row| {
                row.parent_pid = Some(200);
                row.cgroup = Some(CONTAINER_CGROUP.to_owned());
            });
            self.process(ProcessEventKind::Exec, 300, |row| {
                row.executable = Some("/usr/bin/worker".to_owned());
                row.arguments = Some(vec!["worker".to_owned(), "--fast".to_owned()]);
                row.cgroup = Some(CONTAINER_CGROUP.to_owned());
            });
        }
        for id in first..first + 3 {
            self.tcp(TcpEventKind::Connect, id, |row| row.handshake_ns = Some(150_000));
            self.tcp(TcpEventKind::Close, id, |row| {
                (row.bytes_sent, row.bytes_received) = (Some(100), Some(5000));
                row.retransmits = Some(0);
            });
        }
        self.tcp(TcpEventKind::ConnectError, first + 3, |row| {
            row.remote_port = Some(81);
            row.errno = Some(111);
        });
        self.tcp(TcpEventKind::Connect, first + 4, |row| row.remote_ip = Some(ip("2001:db8::5")));
        self.tcp(TcpEventKind::Retransmit, first + 4, |_| {});
        self.count("sys_exit_openat");
        self.push(FileEvent {
            kind: FileEventKind::Open,
            pid: 300,
            process_start_ns: 3_000_000_000,
            fd: 5,
            path: "/var/lib/shop/log, with \"quotes\"".to_owned(),
            flags: 1,
            device_major: 8,
            device_minor: 1,
            inode: 4711,
            mount_id: 30,
        });
    }

    pub(crate) fn process(&mut self, kind: ProcessEventKind, pid: u32, edit: impl FnOnce(&mut ProcessEvent)) {
        let program = match kind {
            ProcessEventKind::Start => "task_newtask",
            ProcessEventKind::Exec => "sched_process_exec",
            ProcessEventKind::Exit => "sched_process_exit",
            _ => "mark_victim",
        };
        let mut row = ProcessEvent {
            kind,
            pid,
            process_start_ns: (kind != ProcessEventKind::OomKill).then_some(u64::from(pid) * 10_000_000),
            parent_pid: None,
            command: Some("worker".to_owned()),
            executable: None,
            arguments: None,
            arguments_bytes: None,
            cgroup: None,
            uid: Some(1000),
            namespace_pid: None,
            pid_namespace: None,
            network_namespace: None,
            mount_namespace: None,
            exit_code: None,
            signal: None,
            inferred: false,
        };
        edit(&mut row);
        self.count(program);
        self.push(row);
    }

    pub(crate) fn tcp(&mut self, kind: TcpEventKind, connection_id: u64, edit: impl FnOnce(&mut TcpEvent)) {
        let opens = matches!(kind, TcpEventKind::Connect | TcpEventKind::ConnectError);
        let mut row = TcpEvent {
            kind,
            connection_id,
            pid: Some(300),
            process_start_ns: Some(3_000_000_000),
            local_ip: opens.then(|| ip("10.0.0.2")),
            local_port: opens.then_some(40_000),
            remote_ip: opens.then(|| ip("10.0.0.5")),
            remote_port: opens.then_some(5432),
            network_namespace: opens.then_some(1),
            handshake_ns: None,
            errno: None,
            state: None,
            bytes_sent: None,
            bytes_received: None,
            retransmits: None,
            smoothed_rtt_us: None,
            inferred: false,
        };
        edit(&mut row);
        self.count(if kind == TcpEventKind::Retransmit {
            "tcp_retransmit_skb"
        } else {
            "inet_sock_set_state"
        });
        self.push(row);
    }

    pub(crate) fn stats(&mut self, cpu_s: u64, memory_mib: u64) {
        for (at, cpu_s) in [(0, 0), (0, cpu_s)] {
            self.ms += at;
            self.push(CgroupStats {
                cpu_usage_ns: Some(50_000_000_000 + cpu_s * 1_500_000_000),
                cpu_throttled_ns: Some(0),
                memory_limit_bytes: Some(64 << 20),
                memory_anonymous_bytes: Some(memory_mib << 20),
                memory_mapped_file_bytes: Some(0),
                memory_cache_bytes: Some(1 << 20),
                ..CgroupStats::new(CONTAINER_CGROUP)
            });
        }
    }

    pub(crate) fn count(&mut self, program: &'static str) {
        *self.recorded.entry(program).or_default() += 1;
    }

    pub(crate) fn loss(&mut self, source: &str, cause: &str, lost: u64) {
        let to = self.now();
        self.push(Loss {
            source: source.to_owned(),
            cause: cause.to_owned(),
            subject: None,
            lost,
            from: Timestamp(to - SECOND),
            to: Timestamp(to),
        });
    }

    /// The account of every program, in full.
    pub(crate) fn ledger(&mut self) {
        for program in PROGRAMS {
            let recorded = self.recorded.get(program).copied().unwrap_or_default();
            self.push(LedgerEntry {
                program: program.to_owned(),
                cpu: 0,
                seen: recorded + 5,
                filtered: 5,
                submitted: recorded,
                dropped_ring_full: 0,
                dropped_map_full: 0,
                dropped_read_fault: 0,
                received: recorded,
                set_aside: 0,
                recorded,
            });
        }
    }
}

pub(crate) fn ip(text: &str) -> Ip {
    Ip::from(text.parse::<IpAddr>().unwrap())
}
