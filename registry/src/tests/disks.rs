use aftertrace_schemas::tables::*;

use crate::test_support::*;
use crate::{Config, Limits};

const NAME: &str = "/docker/web";
const SIZE: &str = "container_resources_disk_size_bytes";
const WRITES: &str = "container_resources_disk_writes_total";
const WRITTEN: &str = "container_resources_disk_written_bytes_total";
const CPU_DELAY: &str = "container_resources_cpu_delay_seconds_total";
const DISK_DELAY: &str = "container_resources_disk_delay_seconds_total";
const SECOND: u64 = 1_000_000_000;

fn web() -> Scenario {
    let mut scenario = Scenario::new();
    scenario.name(WEB, "web");
    scenario.start(100, WEB);
    scenario
}

fn io(cgroup: &str, device: (u32, u32), writes: u64) -> CgroupIo {
    CgroupIo {
        cgroup: cgroup.to_owned(),
        device_major: device.0,
        device_minor: device.1,
        reads: 1,
        writes,
        read_bytes: 512,
        written_bytes: writes * 4_096,
    }
}

fn space(cgroup: &str, mount_point: &str, size_bytes: Option<u64>) -> FilesystemStats {
    FilesystemStats {
        cgroup: cgroup.to_owned(),
        mount_point: mount_point.to_owned(),
        size_bytes,
        free_bytes: size_bytes.map(|size| size / 2),
        available_bytes: size_bytes.map(|size| size / 4),
    }
}

fn delays(pid: u32, cpu_seconds: u64, block_io_seconds: Option<u64>) -> TaskDelays {
    TaskDelays {
        pid,
        process_start_ns: start_ns(pid),
        cpu_delay_ns: cpu_seconds * SECOND,
        block_io_delay_ns: block_io_seconds.map(|seconds| seconds * SECOND),
    }
}

#[test]
fn a_mount_shows_its_space_and_the_io_of_the_disk_that_it_is_on() {
    let mut scenario = web();
    scenario.apply(io(WEB, (8, 0), 7));
    scenario.apply(io(WEB, (8, 16), 3));
    assert_eq!(scenario.of(NAME, WRITES), None, "nothing is known of a mount");
    scenario.apply(MountSnapshot { volume: Some("pvc-1".to_owned()), ..mount(WEB, "/data") });
    scenario.apply(space(WEB, "/data", Some(4_000)));
    let labels = [("container_id", NAME), ("mount_point", "/data"), ("device", "sda"), ("volume", "pvc-1")];
    let value = |name: &str| scenario.value(&format!("container_resources_disk_{name}"), &labels);
    assert_eq!(value("size_bytes"), Some(4_000.0));
    assert_eq!(value("used_bytes"), Some(2_000.0));
    assert_eq!(value("reserved_bytes"), Some(1_000.0));
    assert_eq!((value("reads_total"), value("writes_total")), (Some(1.0), Some(7.0)));
    assert_eq!((value("read_bytes_total"), value("written_bytes_total")), (Some(512.0), Some(28_672.0)));
}

#[test]
fn a_file_system_that_does_not_answer_has_no_size_and_a_mount_that_vanished_no_series() {
    let mut scenario = web();
    scenario.apply(mount(WEB, "/data"));
    scenario.apply(space(WEB, "/data", Some(4_000)));
    scenario.apply(io(WEB, (8, 0), 7));
    scenario.apply(mount(WEB, "/data"));
    assert_eq!(scenario.of(NAME, SIZE), Some(4_000.0), "told again, nothing changes");
    scenario.apply(space(WEB, "/data", None));
    assert_eq!((scenario.of(NAME, SIZE), scenario.of(NAME, WRITES)), (None, Some(7.0)));
    scenario.apply(MountSnapshot { mounted: false, ..mount(WEB, "/data") });
    scenario.apply(space(WEB, "/data", Some(4_000)));
    assert_eq!((scenario.of(NAME, SIZE), scenario.of(NAME, WRITES)), (None, None));
}

#[test]
fn io_goes_on_when_the_container_is_started_again_and_groups_inside_are_not_counted_twice() {
    let mut scenario = web();
    scenario.apply(mount(WEB, "/data"));
    scenario.apply(io(WEB, (8, 0), 10));
    scenario.apply(io(&format!("{WEB}/inner"), (8, 0), 4));
    assert_eq!(scenario.of(NAME, WRITES), Some(10.0));
    scenario.cgroup(CgroupEventKind::Removed, &format!("{WEB}/inner"));
    scenario.cgroup(CgroupEventKind::Removed, WEB);
    assert_eq!(scenario.of(NAME, WRITES), None, "its mounts are gone with it");
    scenario.apply(io(WEB, (8, 0), 11));
    scenario.apply(mount(WEB, "/data"));
    assert_eq!(scenario.of(NAME, WRITES), Some(11.0), "read while the group was being removed");
    scenario.cgroup(CgroupEventKind::Removed, WEB);
    scenario.cgroup(CgroupEventKind::Created, WEB);
    scenario.apply(mount(WEB, "/data"));
    scenario.apply(io(WEB, (8, 0), 2));
    assert_eq!(scenario.of(NAME, WRITTEN), Some(13.0 * 4_096.0));
    scenario.apply(io(WEB, (8, 0), 1));
    assert_eq!(scenario.of(NAME, WRITES), Some(14.0), "it began again, though the removal was missed");
}

#[test]
fn two_groups_of_one_container_with_the_same_mount_are_one_series_with_the_io_of_both() {
    let mut scenario = web();
    scenario.name(WEB_AGAIN, "web");
    scenario.start(101, WEB_AGAIN);
    for (cgroup, writes) in [(WEB, 5), (WEB_AGAIN, 6)] {
        scenario.apply(mount(cgroup, "/data"));
        scenario.apply(io(cgroup, (8, 0), writes));
    }
    assert_eq!(scenario.of(NAME, WRITES), Some(11.0));
}

#[test]
fn mounts_and_disks_beyond_the_limit_are_counted() {
    let limits = Limits { disks: 1, ..Limits::default() };
    let mut scenario = Scenario::with(Config { limits, ..Config::default() });
    scenario.start(100, "/system.slice/shop.service");
    for number in 0..3 {
        scenario.apply(mount("/system.slice/shop.service", &format!("/{number}")));
        scenario.apply(io("/system.slice/shop.service", (8, number), 1));
    }
    assert_eq!(scenario.value("aftertrace_registry_dropped_total", &[("what", "disks")]), Some(4.0));
}

#[test]
fn pressure_is_shown_by_resource_and_kind_as_far_as_the_kernel_tells() {
    let mut scenario = web();
    scenario.apply(CgroupStats {
        cpu_pressure_some_ns: Some(2 * SECOND),
        io_pressure_some_ns: Some(3 * SECOND),
        io_pressure_full_ns: Some(SECOND),
        ..usage(WEB, 1.0, 0)
    });
    let value = |resource: &str, kind: &str| {
        let name = format!("container_resources_{resource}_pressure_waiting_seconds_total");
        scenario.value(&name, &[("container_id", NAME), ("kind", kind)])
    };
    assert_eq!((value("cpu", "some"), value("cpu", "full")), (Some(2.0), None));
    assert_eq!((value("io", "some"), value("io", "full")), (Some(3.0), Some(1.0)));
    assert_eq!(value("memory", "some"), None);
}

#[test]
fn delays_are_those_of_all_processes_and_stay_when_one_ends() {
    let mut scenario = web();
    scenario.start(101, WEB);
    assert_eq!(scenario.of(NAME, CPU_DELAY), None);
    scenario.apply(delays(100, 2, Some(1)));
    scenario.apply(delays(101, 3, None));
    scenario.apply(delays(100, 4, Some(1)));
    scenario.apply(delays(100, 4, Some(1)));
    assert_eq!((scenario.of(NAME, CPU_DELAY), scenario.of(NAME, DISK_DELAY)), (Some(7.0), Some(1.0)));
    scenario.exit(101, None);
    scenario.apply(delays(101, 90, None));
    assert_eq!(scenario.of(NAME, CPU_DELAY), Some(7.0), "its pid may be another process's by now");
    scenario.apply(delays(102, 5, None));
    assert_eq!(scenario.of(NAME, CPU_DELAY), Some(7.0), "a process that was not seen");
}

#[test]
fn while_the_kernel_counts_no_block_io_delays_what_it_counted_stays() {
    let mut scenario = web();
    scenario.apply(delays(100, 1, Some(3)));
    scenario.apply(delays(100, 2, None));
    scenario.apply(delays(100, 2, Some(4)));
    assert_eq!(scenario.of(NAME, DISK_DELAY), Some(4.0));
}
