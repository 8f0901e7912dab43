use aftertrace_schemas::tables::*;

use crate::metrics::{MetricKind, definitions, exposition};
use crate::test_support::*;

fn shop() -> Scenario {
    let mut scenario = Scenario::new();
    scenario.name(WEB, "web");
    scenario.start(100, WEB);
    scenario.exec(100, &["/usr/sbin/nginx"]);
    scenario.apply(CgroupStats {
        cpu_pressure_some_ns: Some(1_500_000_000),
        cpu_pressure_full_ns: Some(0),
        memory_pressure_some_ns: Some(2_000_000),
        memory_pressure_full_ns: Some(1_000_000),
        io_pressure_some_ns: Some(4_000_000),
        io_pressure_full_ns: Some(3_000_000),
        cpu_limit_cores: Some(0.5),
        memory_limit_bytes: Some(64 << 20),
        ..usage(WEB, 1.25, 4_096)
    });
    scenario.apply(TaskDelays {
        pid: 100,
        process_start_ns: start_ns(100),
        cpu_delay_ns: 2_500_000_000,
        block_io_delay_ns: Some(500_000_000),
    });
    scenario.apply(mount(WEB, "/data"));
    scenario.apply(FilesystemStats {
        cgroup: WEB.to_owned(),
        mount_point: "/data".to_owned(),
        size_bytes: Some(1 << 30),
        free_bytes: Some(1 << 29),
        available_bytes: Some(1 << 28),
    });
    scenario.apply(CgroupIo {
        cgroup: WEB.to_owned(),
        device_major: 8,
        device_minor: 0,
        reads: 3,
        writes: 4,
        read_bytes: 12_288,
        written_bytes: 16_384,
    });
    scenario.listen(9, 100, ("10.0.0.9", 80));
    scenario.connect(1, 100, ("10.0.0.5", 5432));
    scenario.totals(TcpEventKind::Statistics, 1, 300, 4_000, 1);
    scenario.tcp(TcpEventKind::ConnectError, 2, 100, ("10.0.0.6", 6379));
    scenario.start(101, WEB);
    scenario.oom_victim(101);
    scenario.exit(101, Some(9));
    scenario.lose("kernel/tcp", "ring_full", 12);
    scenario.apply(NodeStats {
        uptime_ns: 3_600_500_000_000,
        logical_cores: 2,
        cpu_user_ns: 10_000_000_000,
        cpu_nice_ns: 0,
        cpu_system_ns: 5_250_000_000,
        cpu_idle_ns: 7_000_000_000_000,
        cpu_iowait_ns: 1,
        cpu_irq_ns: 0,
        cpu_softirq_ns: 0,
        cpu_steal_ns: 0,
        memory_total_bytes: 8 << 30,
        memory_free_bytes: 1 << 30,
        memory_available_bytes: 2 << 30,
        memory_cached_bytes: 3 << 30,
    });
    for device in ["sda", "sda1"] {
        scenario.apply(DiskStats {
            device: device.to_owned(),
            reads: 1,
            writes: 2,
            read_bytes: 512,
            written_bytes: 1_024,
            read_time_ns: 1_000_000,
            write_time_ns: 2_000_000,
            io_time_ns: 3_000_000,
        });
    }
    for interface in ["eth0", "veth12"] {
        scenario.apply(NetworkStats {
            interface: interface.to_owned(),
            up: true,
            addresses: vec!["10.0.0.9".to_owned()],
            received_bytes: 1,
            transmitted_bytes: 2,
            received_packets: 3,
            transmitted_packets: 4,
        });
    }
    scenario
}

#[test]
fn prometheus_text_of_a_small_shop() {
    insta::assert_snapshot!(shop().text());
}

#[test]
fn openmetrics_text_of_a_small_shop() {
    insta::assert_snapshot!(exposition::openmetrics_text(&shop().registry.collect()));
}

#[test]
fn an_empty_registry_has_no_metrics() {
    let registry = crate::Registry::new(crate::Config::default());
    assert_eq!(exposition::prometheus_text(&registry.collect()), "");
    assert_eq!(exposition::openmetrics_text(&registry.collect()), "# EOF\n");
    assert!(registry.findings().is_empty());
}

#[test]
fn disks_and_interfaces_that_are_no_longer_reported_are_gone() {
    let mut scenario = shop();
    let disk = |name: &str| DiskStats {
        device: name.to_owned(),
        reads: 1,
        writes: 1,
        read_bytes: 1,
        written_bytes: 1,
        read_time_ns: 1,
        write_time_ns: 1,
        io_time_ns: 1,
    };
    scenario.pass(30);
    scenario.apply(disk("sdb"));
    assert!(scenario.value("node_resources_disk_reads_total", &[("device", "sda")]).is_some());
    scenario.pass(40);
    scenario.apply(disk("sdb"));
    assert!(scenario.value("node_resources_disk_reads_total", &[("device", "sda")]).is_none());
    assert!(scenario.value("node_resources_disk_reads_total", &[("device", "sdb")]).is_some());
}

#[test]
fn every_metric_has_a_help_and_what_only_grows_ends_in_total() {
    for definition in definitions::ALL {
        assert!(!definition.help.is_empty(), "{}", definition.name);
        // As coroot-node-agent has them.
        let is_odd = definition.name.starts_with("container_jvm_") && definition.name.ends_with("_seconds");
        assert_eq!(
            definition.name.ends_with("_total"),
            definition.kind != MetricKind::Gauge && !is_odd,
            "{}",
            definition.name
        );
    }
}

#[test]
fn series_are_sorted_and_none_is_there_twice() {
    for family in shop().registry.collect() {
        assert!(family.series.is_sorted_by(|a, b| place(a) < place(b)), "{}", family.name);
        assert!(
            family.series.iter().all(|series| series.labels.is_sorted_by(|a, b| a.0 < b.0)),
            "{}",
            family.name
        );
    }
}
