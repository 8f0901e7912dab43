use aftertrace_schemas::tables::*;

use crate::Config;
use crate::test_support::*;

const RESTARTS: &str = "container_restarts_total";
const UNIT: &str = "/system.slice/nginx.service";

#[test]
fn a_container_is_shown_from_its_first_process_on() {
    let mut scenario = Scenario::new();
    scenario.name(WEB, "web");
    scenario.apply(usage(WEB, 1.0, 0));
    assert!(scenario.registry.containers().is_empty());
    scenario.start(100, WEB);
    assert_eq!(scenario.of("/docker/web", RESTARTS), Some(0.0));
    assert_eq!(scenario.of("/docker/web", "container_info"), Some(1.0));
}

#[test]
fn processes_outside_of_containers_and_of_the_plain_system_are_not_shown() {
    let mut scenario = Scenario::new();
    scenario.start(100, "/user.slice/user-0.slice/session-1.scope");
    scenario.start(101, "/system.slice/dbus.service");
    scenario.start(102, UNIT);
    let shown: Vec<_> = scenario.registry.containers().into_iter().map(|container| container.id).collect();
    assert_eq!(shown, [UNIT.into()]);
}

#[test]
fn a_container_is_restarted_when_all_its_processes_are_gone_and_a_new_one_comes() {
    let mut scenario = Scenario::new();
    scenario.start(100, UNIT);
    scenario.start(101, UNIT);
    scenario.exit(100, None);
    scenario.start(102, UNIT);
    assert_eq!(scenario.of(UNIT, RESTARTS), Some(0.0), "its first process left others behind");
    scenario.exit(101, None);
    scenario.exit(102, None);
    scenario.start(103, UNIT);
    assert_eq!(scenario.of(UNIT, RESTARTS), Some(1.0));
    scenario.exit(103, None);
    scenario.start(104, UNIT);
    assert_eq!(scenario.of(UNIT, RESTARTS), Some(2.0));
}

#[test]
fn a_container_that_comes_back_under_its_name_with_a_new_id_was_restarted() {
    let mut scenario = Scenario::new();
    scenario.name(WEB, "web");
    scenario.start(100, WEB);
    scenario.exit(100, None);
    scenario.name(WEB_AGAIN, "web");
    scenario.start(200, WEB_AGAIN);
    assert_eq!(scenario.of("/docker/web", RESTARTS), Some(1.0));
    assert_eq!(scenario.registry.containers().len(), 1);
}

#[test]
fn a_name_that_comes_late_renames_the_container_with_all_it_has() {
    let mut scenario = Scenario::new();
    scenario.start(100, WEB);
    scenario.connect(1, 100, ("10.0.0.5", 5432));
    assert_eq!(scenario.of("/docker/0123456789ab", RESTARTS), Some(0.0));
    scenario.name(WEB, "web");
    assert_eq!(scenario.of("/docker/0123456789ab", RESTARTS), None);
    assert_eq!(scenario.of("/docker/web", "container_net_tcp_active_connections"), Some(1.0));
    scenario.close(1);
    assert_eq!(scenario.of("/docker/web", "container_net_tcp_active_connections"), Some(0.0));
}

#[test]
fn a_late_name_that_is_taken_merges_both_lives_of_the_container() {
    let mut scenario = Scenario::new();
    scenario.name(WEB, "web");
    scenario.start(100, WEB);
    scenario.connect(1, 100, ("10.0.0.5", 5432));
    scenario.listen(9, 100, ("10.0.0.9", 80));
    scenario.exit(100, None);
    scenario.start(200, WEB_AGAIN);
    scenario.connect(2, 200, ("10.0.0.5", 5432));
    scenario.name(WEB_AGAIN, "web");
    assert_eq!(scenario.of("/docker/web", RESTARTS), Some(1.0));
    assert_eq!(scenario.of("/docker/web", "container_net_tcp_successful_connects_total"), Some(2.0));
    assert_eq!(scenario.of("/docker/web", "container_net_tcp_active_connections"), Some(2.0));
    scenario.close(1);
    scenario.close(2);
    assert_eq!(scenario.of("/docker/web", "container_net_tcp_active_connections"), Some(0.0));
    scenario.exit(200, None);
    scenario.start(300, WEB_AGAIN);
    assert_eq!(scenario.of("/docker/web", RESTARTS), Some(2.0));
    assert_eq!(scenario.registry.containers().len(), 1);
}

#[test]
fn a_runtime_that_stops_answering_takes_no_name_back() {
    let mut scenario = Scenario::new();
    scenario.name(WEB, "web");
    scenario.start(100, WEB);
    scenario.apply(ContainerSnapshot {
        metadata: MetadataStatus::Unreachable,
        name: None,
        ..metadata(WEB, "")
    });
    assert_eq!(scenario.of("/docker/web", RESTARTS), Some(0.0));
}

#[test]
fn a_pause_container_disappears_when_the_runtime_tells_what_it_is() {
    let mut scenario = Scenario::new();
    scenario.start(100, WEB);
    let mut row = metadata(WEB, "k8s_POD_cart-0");
    row.labels.insert("io.kubernetes.pod.name".to_owned(), "cart-0".to_owned());
    row.labels.insert("io.kubernetes.container.name".to_owned(), "POD".to_owned());
    scenario.apply(row);
    assert!(scenario.registry.containers().is_empty());
    scenario.start(101, WEB);
    scenario.connect(1, 101, ("10.0.0.5", 5432));
    assert!(scenario.registry.containers().is_empty());
}

#[test]
fn groups_inside_a_container_belong_to_it() {
    let mut scenario = Scenario::new();
    scenario.name(WEB, "web");
    scenario.start(100, &format!("{WEB}/system.slice/nginx.service"));
    scenario.start(101, &format!("{WEB}/init.scope"));
    assert_eq!(scenario.registry.containers()[0].live_processes, 2);
    assert_eq!(&*scenario.registry.containers()[0].id, "/docker/web");
}

#[test]
fn a_process_that_moves_takes_nothing_with_it_but_itself() {
    let mut scenario = Scenario::new();
    scenario.start(100, UNIT);
    scenario.start(101, UNIT);
    scenario.exec(101, &["/usr/sbin/nginx"]);
    scenario.attach(101, WEB);
    assert_eq!(scenario.of(UNIT, "container_application_type"), None);
    assert_eq!(scenario.of("/docker/0123456789ab", "container_application_type"), Some(1.0));
    scenario.exit(101, None);
    assert_eq!(scenario.of("/docker/0123456789ab", "container_application_type"), None);
    assert_eq!(scenario.of(UNIT, RESTARTS), Some(0.0));
}

#[test]
fn a_fork_is_in_its_parents_container_and_runs_its_parents_program() {
    let mut scenario = Scenario::new();
    scenario.start(100, UNIT);
    scenario.exec(100, &["postgres"]);
    scenario.apply(ProcessEvent { parent_pid: Some(100), ..process(ProcessEventKind::Start, 101) });
    scenario.exit(100, None);
    assert_eq!(scenario.value("container_application_type", &[("application_type", "postgres")]), Some(1.0));
    assert_eq!(scenario.registry.containers()[0].live_processes, 1);
}

#[test]
fn oom_kills_count_when_the_victim_ends() {
    let mut scenario = Scenario::new();
    scenario.start(100, UNIT);
    scenario.start(101, UNIT);
    scenario.oom_victim(101);
    scenario.oom_victim(101);
    assert_eq!(scenario.of(UNIT, "container_oom_kills_total"), None);
    scenario.exit(101, Some(9));
    scenario.exit(101, Some(9));
    assert_eq!(scenario.of(UNIT, "container_oom_kills_total"), Some(1.0));
}

#[test]
fn a_dead_container_is_shown_for_ten_minutes() {
    let mut scenario = Scenario::new();
    scenario.start(100, UNIT);
    scenario.exit(100, None);
    scenario.pass(599);
    scenario.mark();
    assert_eq!(scenario.of(UNIT, RESTARTS), Some(0.0));
    scenario.pass(20);
    scenario.mark();
    assert_eq!(scenario.of(UNIT, RESTARTS), None);
    assert!(scenario.registry.containers().is_empty());
}

#[test]
fn a_dead_container_that_comes_back_lives_on() {
    let mut scenario = Scenario::new();
    scenario.start(100, UNIT);
    scenario.exit(100, None);
    scenario.pass(500);
    scenario.start(101, UNIT);
    scenario.pass(1_000);
    scenario.mark();
    assert_eq!(scenario.of(UNIT, RESTARTS), Some(1.0));
}

#[test]
fn a_pid_that_is_used_again_ends_its_last_process() {
    let mut scenario = Scenario::new();
    scenario.start(100, UNIT);
    let later = Some(start_ns(100) + 10_000_000);
    let cgroup = Some(UNIT.to_owned());
    scenario.apply(ProcessEvent { process_start_ns: later, cgroup, ..process(ProcessEventKind::Start, 100) });
    assert_eq!(scenario.registry.containers()[0].live_processes, 1);
    assert_eq!(scenario.registry.containers()[0].processes_started, 2);
}

#[test]
fn a_process_that_ended_is_not_brought_back_by_a_snapshot() {
    let mut scenario = Scenario::new();
    scenario.start(100, UNIT);
    scenario.exit(100, None);
    scenario.snapshot(100, UNIT);
    assert_eq!(scenario.registry.containers()[0].live_processes, 0);
}

#[test]
fn containers_below_the_least_age_are_left_out_when_asked() {
    let mut scenario = Scenario::with(Config { min_container_age_ns: 30_000_000_000, ..Config::default() });
    scenario.start(100, UNIT);
    assert_eq!(scenario.of(UNIT, RESTARTS), None);
    scenario.pass(31);
    scenario.mark();
    assert_eq!(scenario.of(UNIT, RESTARTS), Some(0.0));
}

#[test]
fn a_process_that_runs_longer_than_the_recording_makes_its_container_old_enough() {
    let mut scenario = Scenario::with(Config { min_container_age_ns: 30_000_000_000, ..Config::default() });
    let realtime_ns = scenario.now();
    scenario.apply(ClockSync { boot_ns: 3_600_000_000_000, realtime_ns, offset_ns: 0, step: false });
    scenario.snapshot(100, UNIT);
    assert_eq!(scenario.of(UNIT, RESTARTS), Some(0.0));
}
