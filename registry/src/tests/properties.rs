//! What holds for any observations.

use aftertrace_schemas::column::Timestamp;
use aftertrace_schemas::tables::*;
use aftertrace_schemas::{Kind, Observation};
use proptest::prelude::*;

use super::programs::{collector, executable, jvm};
use crate::metrics::exposition::{openmetrics_text, prometheus_text};
use crate::test_support::*;
use crate::{Config, Limits, Registry};

const CGROUPS: [&str; 6] =
    [WEB, WEB_AGAIN, "/system.slice/a.service", "/", "/lxc/box", "/aftertrace-command/sh.1"];
const REMOTES: [(&str, u16); 5] =
    [("10.0.0.5", 80), ("127.0.0.1", 80), ("fe80::1", 80), ("2001:db8::1", 443), ("10.0.0.6", 40_000)];

fn cgroup() -> impl Strategy<Value = String> {
    prop_oneof![9 => proptest::sample::select(CGROUPS.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}

fn pid() -> impl Strategy<Value = u32> {
    prop_oneof![9 => 1..8_u32, 1 => any::<u32>()]
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![9 => 0..1_000_u64, 1 => any::<u64>()]
}

fn process_events() -> impl Strategy<Value = Kind> {
    let kinds =
        [ProcessEventKind::Start, ProcessEventKind::Exec, ProcessEventKind::Exit, ProcessEventKind::OomKill];
    (
        proptest::sample::select(kinds.to_vec()),
        pid(),
        proptest::option::of(cgroup()),
        proptest::option::of(pid()),
        proptest::option::of(0..32_i32),
        any::<bool>(),
    )
        .prop_map(|(kind, pid, cgroup, parent_pid, signal, has_start)| {
            let process_start_ns = has_start.then(|| start_ns(pid));
            let arguments = Some(vec!["python3".to_owned()]);
            ProcessEvent { cgroup, parent_pid, signal, process_start_ns, arguments, ..process(kind, pid) }
                .into()
        })
}

fn tcp_events() -> impl Strategy<Value = Kind> {
    let kinds = [
        TcpEventKind::ListenOpen,
        TcpEventKind::ListenClose,
        TcpEventKind::Connect,
        TcpEventKind::ConnectError,
        TcpEventKind::Accept,
        TcpEventKind::Close,
        TcpEventKind::Retransmit,
        TcpEventKind::Statistics,
        TcpEventKind::Other,
    ];
    let remote = proptest::sample::select(REMOTES.to_vec());
    let totals = proptest::option::of((number(), number(), any::<u32>()));
    (proptest::sample::select(kinds.to_vec()), 0..10_u64, pid(), remote, totals, any::<bool>()).prop_map(
        |(kind, id, pid, remote, totals, is_whole)| {
            let mut row = tcp(kind, id, pid, remote);
            row.bytes_sent = totals.map(|totals| totals.0);
            row.bytes_received = totals.map(|totals| totals.1);
            row.retransmits = totals.map(|totals| totals.2);
            if !is_whole {
                (row.pid, row.remote_ip, row.local_ip) = (None, None, None);
            }
            row.into()
        },
    )
}

fn snapshots() -> impl Strategy<Value = Kind> {
    let sockets = [SocketKind::Listen, SocketKind::Outbound, SocketKind::Inbound];
    let statuses = [MetadataStatus::Found, MetadataStatus::NotFound, MetadataStatus::Unreachable];
    prop_oneof![
        (pid(), cgroup()).prop_map(|(pid, cgroup)| process_snapshot(pid, &cgroup).into()),
        (pid(), "[a-c]", number(), number())
            .prop_map(|(pid, name, used, ns)| jvm(pid, &name, used, ns).into()),
        (pid(), "[a-z]", number())
            .prop_map(|(pid, name, ns)| { JvmGcStats { time_ns: ns, ..collector(pid, &name, 0) }.into() }),
        (pid(), proptest::sample::select(vec![Toolchain::Golang, Toolchain::Rust, Toolchain::Unknown]))
            .prop_map(|(pid, toolchain)| executable(pid, toolchain).into()),
        (
            proptest::sample::select(sockets.to_vec()),
            0..10_u64,
            pid(),
            proptest::option::of(proptest::sample::select(REMOTES.to_vec())),
            number()
        )
            .prop_map(|(kind, id, pid, remote, sent)| {
                SocketSnapshot { bytes_sent: sent, ..socket(kind, id, pid, remote) }.into()
            }),
        (cgroup(), "[a-c]?", proptest::sample::select(statuses.to_vec())).prop_map(
            |(cgroup, name, metadata_status)| {
                ContainerSnapshot { metadata: metadata_status, ..metadata(&cgroup, &name) }.into()
            }
        ),
        (cgroup(), proptest::option::of("[a-c]|oneshot"), "[a-c]|a.timer").prop_map(
            |(cgroup, unit_type, trigger)| {
                SystemdUnit {
                    cgroup,
                    name: "a.service".to_owned(),
                    metadata: MetadataStatus::Found,
                    unit_type,
                    triggered_by: vec![trigger],
                }
                .into()
            }
        ),
        (cgroup(), proptest::collection::vec("127.0.0.[12]:[1-3]|0.0.0.0:1|[a-z]", 0..3)).prop_map(
            |(cgroup, bindings)| {
                ContainerSnapshot { port_bindings: Some(bindings), ..metadata(&cgroup, "a") }.into()
            }
        ),
        cgroup().prop_map(|cgroup| cgroup_event(CgroupEventKind::Existing, &cgroup).into()),
    ]
}

fn log_lines() -> impl Strategy<Value = Kind> {
    let texts = [
        "ERROR no",
        "Traceback (most recent call last):",
        "  at x",
        "{\"level\":\"warn\",\"msg\":\"a b\"}",
        "",
    ];
    let text = prop_oneof![4 => proptest::sample::select(texts.to_vec()).prop_map(str::to_owned), 1 => any::<String>()];
    let stream = proptest::option::of("std(out|err)");
    (cgroup(), "[a-c]", stream, proptest::option::of(0..9_u8), text, number()).prop_map(
        |(cgroup, source, stream, priority, text, text_bytes)| {
            LogLine { cgroup, source, stream, logged: None, offset: None, priority, text, text_bytes }.into()
        },
    )
}

fn others() -> impl Strategy<Value = Kind> {
    let kinds = [CgroupEventKind::Created, CgroupEventKind::Removed, CgroupEventKind::Attached];
    prop_oneof![
        (proptest::sample::select(kinds.to_vec()), cgroup(), pid()).prop_map(|(kind, cgroup, pid)| {
            let process_cgroup = Some(cgroup.clone());
            let process_start_ns = Some(start_ns(pid));
            CgroupEvent { pid: Some(pid), process_start_ns, process_cgroup, ..cgroup_event(kind, &cgroup) }
                .into()
        }),
        (cgroup(), number(), number()).prop_map(|(cgroup, cpu_ns, throttled_ns)| {
            let (cpu_usage_ns, cpu_throttled_ns) = (Some(cpu_ns), Some(throttled_ns));
            CgroupStats { cpu_usage_ns, cpu_throttled_ns, ..usage(&cgroup, 0.0, cpu_ns) }.into()
        }),
        (cgroup(), 0..3_u32, number()).prop_map(|(cgroup, device_minor, value)| CgroupIo {
            cgroup,
            device_major: 8,
            device_minor,
            reads: value,
            writes: value,
            read_bytes: value,
            written_bytes: value,
        }
        .into()),
        (pid(), number(), proptest::option::of(number())).prop_map(
            |(pid, cpu_delay_ns, block_io_delay_ns)| TaskDelays {
                pid,
                process_start_ns: start_ns(pid),
                cpu_delay_ns,
                block_io_delay_ns,
            }
            .into()
        ),
        (cgroup(), "/[ab]?", any::<bool>(), 0..3_u32).prop_map(|(cgroup, point, mounted, disk_minor)| {
            MountSnapshot { mounted, disk_minor: Some(disk_minor), ..mount(&cgroup, &point) }.into()
        }),
        (cgroup(), "/[ab]?", proptest::option::of(number())).prop_map(|(cgroup, mount_point, bytes)| {
            let (size_bytes, free_bytes, available_bytes) = (bytes, bytes, bytes);
            FilesystemStats { cgroup, mount_point, size_bytes, free_bytes, available_bytes }.into()
        }),
        log_lines(),
        (any::<String>(), number(), any::<i64>()).prop_map(|(source, lost, at)| {
            let (from, to) = (Timestamp(at), Timestamp(at));
            Loss { source, cause: "ring_full".to_owned(), subject: None, lost, from, to }.into()
        }),
        (any::<u64>(), any::<i64>(), any::<i64>()).prop_map(|(boot_ns, realtime_ns, offset_ns)| ClockSync {
            boot_ns,
            realtime_ns,
            offset_ns,
            step: true
        }
        .into()),
        (any::<u32>(), proptest::collection::vec(any::<String>(), 0..3)).prop_map(
            |(network_namespace, addresses)| NetworkNamespace { network_namespace, addresses }.into()
        ),
    ]
}

fn observations() -> impl Strategy<Value = Vec<Observation>> {
    let kind = prop_oneof![3 => process_events(), 4 => tcp_events(), 2 => snapshots(), 2 => others()];
    let pause = prop_oneof![8 => 0..1_000_000_000_i64, 2 => 0..900_000_000_000_i64];
    proptest::collection::vec((kind, pause), 0..120).prop_map(|kinds| {
        let mut time = 1_700_000_000_000_000_000_i64;
        let mut all = Vec::new();
        for (seq, (kind, pause)) in kinds.into_iter().enumerate() {
            time += pause;
            all.push(Observation { seq: seq as u64, time, kind });
        }
        all
    })
}

fn small() -> Config {
    let limits = Limits {
        containers: 4,
        sockets: 5,
        processes: 5,
        dead_processes: 2,
        destinations: 2,
        ..Limits::default()
    };
    Config { limits, ..Config::default() }
}

fn replay(config: Config, observations: &[Observation]) -> Registry {
    let mut registry = Registry::new(config);
    observations.iter().for_each(|observation| registry.apply(observation));
    registry
}

fn everything(registry: &Registry) -> String {
    format!(
        "{}{:#?}{:#?}{:#?}",
        prometheus_text(&registry.collect()),
        registry.findings(),
        registry.containers(),
        registry.top_talkers(100)
    )
}

fn is_snapshot(kind: &Kind) -> bool {
    match kind {
        Kind::ProcessSnapshot(_) | Kind::SocketSnapshot(_) | Kind::Container(_) | Kind::SystemdUnit(_) => {
            true
        }
        Kind::JvmStats(_) | Kind::JvmGcStats(_) | Kind::Executable(_) => true,
        Kind::Cgroup(row) => row.kind == CgroupEventKind::Existing,
        _ => false,
    }
}

proptest! {
    #[test]
    fn nothing_that_may_come_panics(observations in observations(), is_small in any::<bool>(), time in any::<i64>()) {
        let config = if is_small { small() } else { Config::default() };
        let mut registry = replay(config, &observations);
        registry.apply(&Observation { seq: 0, time, kind: Mark { kind: MarkKind::End, segment: 1, detail: None }.into() });
        openmetrics_text(&registry.collect());
        everything(&registry);
    }

    #[test]
    fn two_replays_say_the_same(observations in observations()) {
        let (one, other) = (replay(small(), &observations), replay(small(), &observations));
        prop_assert_eq!(everything(&one), everything(&other));
    }

    #[test]
    fn a_snapshot_that_comes_twice_changes_nothing(observations in observations()) {
        let once = replay(Config::default(), &observations);
        let mut doubled = Vec::new();
        for observation in &observations {
            doubled.push(observation.clone());
            if is_snapshot(&observation.kind) {
                doubled.push(observation.clone());
            }
        }
        // Only the counts of what is left out may differ: both copies were.
        let text = |registry: &Registry| -> Vec<String> {
            let text = prometheus_text(&registry.collect());
            text.lines().filter(|line| !line.contains("aftertrace_registry_dropped")).map(str::to_owned).collect()
        };
        let twice = replay(Config::default(), &doubled);
        prop_assert_eq!(text(&once), text(&twice));
        prop_assert_eq!(once.containers(), twice.containers());
    }

    #[test]
    fn no_series_is_there_twice(observations in observations()) {
        let registry = replay(Config::default(), &observations);
        for family in registry.collect() {
            prop_assert!(family.series.is_sorted_by(|a, b| place(a) < place(b)), "{}", family.name);
        }
    }

    #[test]
    fn active_connections_are_those_that_were_opened_and_not_closed(
        events in proptest::collection::vec((0..10_u64, any::<bool>()), 0..60)
    ) {
        let mut scenario = Scenario::new();
        scenario.start(100, WEB);
        let mut open = std::collections::BTreeSet::new();
        for (id, is_open) in events {
            if is_open {
                scenario.connect(id, 100, REMOTES[0]);
                open.insert(id);
            } else {
                scenario.close(id);
                open.remove(&id);
            }
        }
        let active = scenario.registry.containers()[0].active_connections;
        prop_assert_eq!(active, open.len() as u64);
    }

    #[test]
    fn any_text_has_a_control_group_or_none(text in any::<String>(), path in "/[a-z:./-]{0,40}") {
        let _ = crate::container_id::process_cgroup(&text);
        let _ = crate::container_id::classify(&text);
        let _ = crate::container_id::classify(&path);
        let _ = crate::application_type::application_type(&[text], Some(&path));
    }
}
