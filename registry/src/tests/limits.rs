use crate::test_support::*;
use crate::{Config, Limits};

const UNIT: &str = "/system.slice/shop.service";

fn limited(limits: Limits) -> Scenario {
    Scenario::with(Config { limits, ..Config::default() })
}

fn dropped(scenario: &Scenario, what: &str) -> Option<f64> {
    scenario.value("aftertrace_registry_dropped_total", &[("what", what)])
}

#[test]
fn destinations_beyond_the_limit_are_counted_and_told() {
    let mut scenario = limited(Limits { destinations: 2, ..Limits::default() });
    scenario.start(100, UNIT);
    for port in 1..=5 {
        scenario.connect(u64::from(port), 100, ("10.0.0.5", port));
    }
    assert_eq!(scenario.registry.destinations(UNIT).len(), 2);
    assert_eq!(dropped(&scenario, "destinations"), Some(3.0));
    assert_eq!(scenario.lines(), ["limit of destinations reached: 3 left out"]);
}

#[test]
fn connections_beyond_the_limit_count_as_connects_but_not_as_active() {
    let mut scenario = limited(Limits { sockets: 1, ..Limits::default() });
    scenario.start(100, UNIT);
    scenario.connect(1, 100, ("10.0.0.5", 80));
    scenario.connect(2, 100, ("10.0.0.5", 80));
    scenario.close(2);
    assert_eq!(scenario.of(UNIT, "container_net_tcp_successful_connects_total"), Some(2.0));
    assert_eq!(scenario.of(UNIT, "container_net_tcp_active_connections"), Some(1.0));
    assert_eq!(dropped(&scenario, "sockets"), Some(1.0));
}

#[test]
fn containers_processes_and_groups_beyond_their_limits_are_counted() {
    let mut scenario = limited(Limits { containers: 1, processes: 2, cgroups: 1, ..Limits::default() });
    scenario.start(100, "/system.slice/a.service");
    scenario.start(101, "/system.slice/b.service");
    scenario.start(102, "/system.slice/a.service");
    assert_eq!(scenario.registry.containers().len(), 1);
    assert!(dropped(&scenario, "containers").is_some());
    assert!(dropped(&scenario, "cgroups").is_some());
    assert_eq!(dropped(&scenario, "processes"), Some(1.0));
}

#[test]
fn the_dead_are_forgotten_so_that_a_storm_of_short_processes_reaches_no_limit() {
    let mut scenario = limited(Limits { processes: 10, dead_processes: 5, ..Limits::default() });
    scenario.start(1, UNIT);
    for pid in 100..1_000 {
        scenario.start(pid, UNIT);
        scenario.exit(pid, None);
    }
    assert_eq!(dropped(&scenario, "processes"), None);
    assert_eq!(scenario.registry.containers()[0].processes_started, 901);
    assert_eq!(scenario.registry.containers()[0].live_processes, 1);
}

#[test]
fn a_label_is_cut_at_the_boundary_of_a_character() {
    let mut scenario = limited(Limits { label_bytes: 15, ..Limits::default() });
    scenario.start(100, "/system.slice/€€.service");
    let containers = scenario.registry.containers();
    assert_eq!(&*containers[0].id, "/system.slice/");
    assert!(dropped(&scenario, "label_bytes").is_some());
}
