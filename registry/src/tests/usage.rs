use aftertrace_schemas::tables::*;

use crate::test_support::*;

const CPU: &str = "container_resources_cpu_usage_seconds_total";
const RSS: &str = "container_resources_memory_rss_bytes";
const NAME: &str = "/docker/web";

fn web() -> Scenario {
    let mut scenario = Scenario::new();
    scenario.name(WEB, "web");
    scenario.start(100, WEB);
    scenario
}

#[test]
fn all_that_the_control_group_tells_is_shown_and_nothing_else() {
    let mut scenario = web();
    scenario.apply(CgroupStats {
        cpu_limit_cores: Some(1.5),
        memory_limit_bytes: Some(1 << 30),
        memory_mapped_file_bytes: Some(24),
        ..usage(WEB, 2.5, 1_000)
    });
    assert_eq!(scenario.of(NAME, CPU), Some(2.5));
    assert_eq!(scenario.of(NAME, RSS), Some(1_024.0));
    assert_eq!(scenario.of(NAME, "container_resources_cpu_limit_cores"), Some(1.5));
    assert_eq!(scenario.of(NAME, "container_resources_memory_limit_bytes"), Some((1_u64 << 30) as f64));
    scenario.apply(CgroupStats {
        memory_anonymous_bytes: None,
        memory_mapped_file_bytes: None,
        ..usage(WEB, 3.0, 0)
    });
    assert_eq!(scenario.of(NAME, "container_resources_cpu_limit_cores"), None);
    assert_eq!(scenario.of(NAME, RSS), None);
}

#[test]
fn groups_of_one_container_are_summed_and_groups_inside_them_are_not_counted_twice() {
    let mut scenario = web();
    scenario.name(WEB_AGAIN, "web");
    scenario.apply(usage(WEB, 2.0, 100));
    scenario.apply(usage(&format!("{WEB}/inner"), 1.5, 60));
    scenario.apply(usage(WEB_AGAIN, 1.0, 10));
    assert_eq!(scenario.of(NAME, CPU), Some(3.0));
    assert_eq!(scenario.of(NAME, RSS), Some(110.0));
}

#[test]
fn counters_go_on_when_the_container_is_started_again_and_memory_is_free() {
    let mut scenario = web();
    scenario.apply(usage(WEB, 2.0, 100));
    scenario.cgroup(CgroupEventKind::Removed, WEB);
    assert_eq!(scenario.of(NAME, CPU), Some(2.0));
    assert_eq!(scenario.of(NAME, RSS), None);
    scenario.cgroup(CgroupEventKind::Created, WEB);
    scenario.apply(usage(WEB, 3.0, 10));
    assert_eq!(scenario.of(NAME, CPU), Some(5.0));
    scenario.apply(usage(WEB, 0.5, 10));
    assert_eq!(scenario.of(NAME, CPU), Some(5.5), "it began again, though the removal was missed");
}

#[test]
fn figures_read_while_the_group_was_being_removed_are_not_counted_twice() {
    let mut scenario = web();
    scenario.apply(usage(WEB, 2.0, 100));
    scenario.cgroup(CgroupEventKind::Removed, WEB);
    scenario.apply(usage(WEB, 2.1, 100));
    assert_eq!(scenario.of(NAME, CPU), Some(2.1));
    scenario.cgroup(CgroupEventKind::Removed, WEB);
    assert_eq!(scenario.of(NAME, CPU), Some(2.1));
}

#[test]
fn throttling_before_the_recording_is_in_the_counter_and_no_finding() {
    let mut scenario = web();
    let throttled =
        |seconds: u64| CgroupStats { cpu_throttled_ns: Some(seconds * 1_000_000_000), ..usage(WEB, 1.0, 0) };
    scenario.apply(throttled(100));
    assert!(scenario.lines().is_empty());
    scenario.apply(throttled(102));
    assert_eq!(scenario.of(NAME, "container_resources_cpu_throttled_seconds_total"), Some(102.0));
    assert_eq!(scenario.lines(), ["/docker/web: throttled by its CPU limit for 2.0 s of thread time"]);
}
