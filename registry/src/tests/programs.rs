use aftertrace_schemas::tables::*;

use crate::test_support::*;

pub(super) fn jvm(pid: u32, name: &str, used: u64, safepoint_ns: u64) -> JvmStats {
    JvmStats {
        pid,
        process_start_ns: start_ns(pid),
        jvm: name.to_owned(),
        java_version: "17.0.15".to_owned(),
        heap_size_bytes: 1_000,
        heap_used_bytes: used,
        heap_max_bytes: Some(4_000),
        safepoint_time_ns: Some(safepoint_ns),
        safepoint_sync_time_ns: Some(500_000_000),
    }
}

pub(super) fn collector(pid: u32, name: &str, seconds: u64) -> JvmGcStats {
    let process_start_ns = start_ns(pid);
    JvmGcStats {
        pid,
        process_start_ns,
        gc: name.to_owned(),
        time_ns: seconds * 1_000_000_000,
        collections: 1,
    }
}

pub(super) fn executable(pid: u32, toolchain: Toolchain) -> Executable {
    Executable {
        pid,
        process_start_ns: start_ns(pid),
        toolchain,
        version: None,
        device_major: 8,
        device_minor: 1,
        inode: 7,
    }
}

fn java(pid: u32) -> Scenario {
    let mut scenario = Scenario::new();
    scenario.name(WEB, "web");
    scenario.start(pid, WEB);
    scenario.exec(pid, &["/usr/bin/java", "-jar", "shop.jar"]);
    scenario
}

const JVM_FAMILIES: [&str; 7] = [
    "container_jvm_info",
    "container_jvm_heap_size_bytes",
    "container_jvm_heap_used_bytes",
    "container_jvm_heap_max_size_bytes",
    "container_jvm_gc_time_seconds",
    "container_jvm_safepoint_time_seconds",
    "container_jvm_safepoint_sync_time_seconds",
];

#[test]
fn a_virtual_machine_has_its_series_until_it_ends() {
    let mut scenario = java(100);
    scenario.apply(jvm(100, "shop.jar", 300, 2_000_000_000));
    scenario.apply(collector(100, "Copy", 3));
    scenario.apply(collector(100, "MSC", 4));
    let of = |scenario: &Scenario, name: &str| scenario.value(name, &[("jvm", "shop.jar")]);
    assert_eq!(
        scenario.value("container_jvm_info", &[("jvm", "shop.jar"), ("java_version", "17.0.15")]),
        Some(1.0)
    );
    assert_eq!(of(&scenario, "container_jvm_heap_size_bytes"), Some(1_000.0));
    assert_eq!(of(&scenario, "container_jvm_heap_used_bytes"), Some(300.0));
    assert_eq!(of(&scenario, "container_jvm_heap_max_size_bytes"), Some(4_000.0));
    assert_eq!(of(&scenario, "container_jvm_safepoint_time_seconds"), Some(2.0));
    assert_eq!(of(&scenario, "container_jvm_safepoint_sync_time_seconds"), Some(0.5));
    assert_eq!(scenario.value("container_jvm_gc_time_seconds", &[("gc", "MSC")]), Some(4.0));
    scenario.exit(100, None);
    for family in JVM_FAMILIES {
        assert_eq!(of(&scenario, family), None, "{family}");
    }
    // A row that was read before the end and came after it changes nothing.
    scenario.apply(jvm(100, "shop.jar", 300, 2_000_000_000));
    assert_eq!(of(&scenario, "container_jvm_info"), None);
}

#[test]
fn counters_of_a_virtual_machine_never_go_down() {
    let mut scenario = java(100);
    scenario.apply(jvm(100, "shop.jar", 300, 2_000_000_000));
    scenario.apply(collector(100, "Copy", 3));
    scenario.apply(jvm(100, "shop.jar", 200, 1_000_000_000));
    scenario.apply(collector(100, "Copy", 2));
    assert_eq!(scenario.of("/docker/web", "container_jvm_safepoint_time_seconds"), Some(2.0));
    assert_eq!(scenario.of("/docker/web", "container_jvm_gc_time_seconds"), Some(3.0));
    assert_eq!(scenario.of("/docker/web", "container_jvm_heap_used_bytes"), Some(200.0));
}

#[test]
fn machines_that_run_the_same_program_add_up_also_after_one_of_them_ended() {
    let mut scenario = java(100);
    scenario.start(101, WEB);
    for pid in [100, 101] {
        scenario.apply(jvm(pid, "shop.jar", 300, 2_000_000_000));
        scenario.apply(collector(pid, "Copy", 3));
    }
    scenario.apply(jvm(101, "shop.jar", 300, 2_000_000_000));
    let of = |scenario: &Scenario, name: &str| scenario.of("/docker/web", name);
    assert_eq!(of(&scenario, "container_jvm_heap_used_bytes"), Some(600.0));
    assert_eq!(of(&scenario, "container_jvm_gc_time_seconds"), Some(6.0));
    scenario.exit(100, None);
    assert_eq!(of(&scenario, "container_jvm_heap_used_bytes"), Some(300.0));
    assert_eq!(of(&scenario, "container_jvm_gc_time_seconds"), Some(6.0));
    scenario.exit(101, None);
    assert_eq!(of(&scenario, "container_jvm_gc_time_seconds"), None);
}

#[test]
fn a_virtual_machine_tells_what_its_command_line_is_too_long_to_tell() {
    let mut scenario = java(100);
    let types = |scenario: &Scenario, kind: &str| {
        scenario.value("container_application_type", &[("application_type", kind)])
    };
    assert_eq!(types(&scenario, "java"), Some(1.0));
    scenario.apply(jvm(100, "kafka.Kafka", 1, 1));
    assert_eq!((types(&scenario, "kafka"), types(&scenario, "java")), (Some(1.0), None));
    // The same process seen again says no more than at first.
    scenario
        .apply(ProcessSnapshot { arguments: vec!["/usr/bin/java".to_owned()], ..process_snapshot(100, WEB) });
    assert_eq!((types(&scenario, "kafka"), types(&scenario, "java")), (Some(1.0), None));
    scenario.exec(100, &["nginx"]);
    assert_eq!((types(&scenario, "nginx"), types(&scenario, "kafka")), (Some(1.0), None));
    assert_eq!(scenario.of("/docker/web", "container_jvm_info"), None);
}

#[test]
fn what_built_a_program_is_a_type_beside_the_application() {
    let mut scenario = Scenario::new();
    scenario.name(WEB, "web");
    scenario.start(100, WEB);
    scenario.exec(100, &["/bin/prometheus"]);
    scenario.apply(executable(100, Toolchain::Golang));
    let types = |scenario: &Scenario, kind: &str| {
        scenario.value("container_application_type", &[("application_type", kind)])
    };
    assert_eq!((types(&scenario, "prometheus"), types(&scenario, "golang")), (Some(1.0), Some(1.0)));
    // It comes again where a segment begins.
    scenario.apply(executable(100, Toolchain::Golang));
    scenario.start(101, WEB);
    scenario.apply(executable(101, Toolchain::Rust));
    assert_eq!(types(&scenario, "rust"), Some(1.0));
    scenario.apply(executable(101, Toolchain::Unknown));
    assert_eq!(types(&scenario, "rust"), None);
    scenario.exit(100, None);
    assert_eq!((types(&scenario, "prometheus"), types(&scenario, "golang")), (None, None));
}

#[test]
fn one_type_is_shown_once_however_it_was_found() {
    let mut scenario = Scenario::new();
    scenario.start(100, WEB);
    scenario.exec(100, &["dotnet", "/app/shop.dll"]);
    scenario.apply(executable(100, Toolchain::Dotnet));
    assert_eq!(scenario.value("container_application_type", &[("application_type", "dotnet")]), Some(1.0));
}

fn cloud(region: &str, zone: &str) -> CloudInstance {
    CloudInstance {
        provider: "AWS".to_owned(),
        account_id: "1".to_owned(),
        instance_id: "i-1".to_owned(),
        instance_type: "m7g.large".to_owned(),
        instance_life_cycle: "spot".to_owned(),
        region: region.to_owned(),
        availability_zone: zone.to_owned(),
        availability_zone_id: "euc1-az3".to_owned(),
        local_ipv4: "10.0.0.4".to_owned(),
        public_ipv4: String::new(),
    }
}

#[test]
fn containers_have_a_zone_and_a_region_when_both_are_known() {
    let mut scenario = Scenario::new();
    scenario.name(WEB, "web");
    scenario.start(100, WEB);
    let place = [("container_id", "/docker/web"), ("az", "eu-central-1b"), ("region", "eu-central-1")];
    scenario.apply(cloud("eu-central-1", ""));
    assert_eq!(scenario.value("container_restarts_total", &[("region", "eu-central-1")]), None);
    scenario.apply(cloud("eu-central-1", "eu-central-1b"));
    assert_eq!(scenario.value("container_restarts_total", &place), Some(0.0));
    let labels = [("provider", "AWS"), ("instance_life_cycle", "spot"), ("public_ipv4", "")];
    assert_eq!(scenario.value("node_cloud_info", &labels), Some(1.0));
    assert_eq!(scenario.value("node_info", &[("region", "eu-central-1")]), None);
}

#[test]
fn prometheus_text_of_a_java_shop_in_a_cloud() {
    let mut scenario = java(100);
    scenario.apply(cloud("eu-central-1", "eu-central-1b"));
    scenario.apply(jvm(100, "/opt/shop.jar", 300, 2_000_000_000));
    scenario.apply(collector(100, "G1 young collection pauses", 3));
    scenario.start(101, WEB);
    scenario.exec(101, &["/bin/nats-server"]);
    scenario.apply(executable(101, Toolchain::Golang));
    let is_ours = |line: &&str| {
        ["container_jvm_", "node_cloud_", "container_application_type"].iter().any(|part| line.contains(part))
    };
    let lines: Vec<String> = scenario.text().lines().filter(is_ours).map(str::to_owned).collect();
    insta::assert_snapshot!(lines.join("\n"));
}
