//! Units of systemd.

use aftertrace_schemas::tables::*;

use crate::Config;
use crate::test_support::*;

const UNIT: &str = r"/system.slice/my\x2dapp.service";
const ID: &str = "/system.slice/my-app.service";
const INFO: &str = "container_info";

fn unit(cgroup: &str, unit_type: &str, triggered_by: &[&str]) -> SystemdUnit {
    SystemdUnit {
        cgroup: cgroup.to_owned(),
        name: cgroup.rsplit('/').next().unwrap().to_owned(),
        metadata: MetadataStatus::Found,
        unit_type: Some(unit_type.to_owned()),
        triggered_by: triggered_by.iter().map(|trigger| (*trigger).to_owned()).collect(),
    }
}

#[test]
fn a_units_type_and_first_trigger_are_labels() {
    let labels = |trigger, unit_type| {
        [("container_id", ID), ("image", ""), ("systemd_triggered_by", trigger), ("systemd_type", unit_type)]
    };
    let mut scenario = Scenario::new();
    scenario.start(100, UNIT);
    assert_eq!(scenario.of(ID, INFO), None);
    scenario.apply(unit(UNIT, "notify", &["my-app.socket", "other.path"]));
    assert_eq!(scenario.value(INFO, &labels("my-app.socket", "notify")), Some(1.0));
    // Also when it is known before its first process.
    let mut scenario = Scenario::new();
    scenario.apply(unit(UNIT, "simple", &[]));
    scenario.start(100, UNIT);
    assert_eq!(scenario.value(INFO, &labels("", "simple")), Some(1.0));
}

#[test]
fn what_systemd_says_of_a_unit_holds_in_the_control_groups_below_it() {
    let mut scenario = Scenario::new();
    scenario.apply(unit(&format!("{UNIT}/worker"), "simple", &[]));
    scenario.start(100, &format!("{UNIT}/other"));
    assert_eq!(scenario.of(ID, INFO), Some(1.0));
}

#[test]
fn tasks_of_the_host_are_left_out_unless_they_are_wanted() {
    for (unit_type, triggers) in
        [("oneshot", &[][..]), ("dbus", &[]), ("simple", &["b.path", "my-app.timer"])]
    {
        let tell = |config, early| {
            let mut scenario = Scenario::with(config);
            if early {
                scenario.apply(unit(UNIT, unit_type, triggers));
            }
            scenario.start(100, UNIT);
            scenario.apply(unit(UNIT, unit_type, triggers));
            scenario.start(101, UNIT);
            scenario.registry.containers().len()
        };
        let all = Config { skip_systemd_system_services: false, ..Config::default() };
        for early in [true, false] {
            assert_eq!(tell(Config::default(), early), 0, "{unit_type} {triggers:?}");
            assert_eq!(tell(all.clone(), early), 1, "{unit_type} {triggers:?}");
        }
    }
}

#[test]
fn a_systemd_that_does_not_answer_takes_nothing_back() {
    let mut scenario = Scenario::new();
    scenario.start(100, UNIT);
    scenario.apply(unit(UNIT, "notify", &[]));
    for metadata in [MetadataStatus::Unreachable, MetadataStatus::NotFound] {
        scenario.apply(SystemdUnit {
            metadata,
            unit_type: None,
            triggered_by: Vec::new(),
            ..unit(UNIT, "", &[])
        });
    }
    assert_eq!(scenario.value(INFO, &[("container_id", ID), ("systemd_type", "notify")]), Some(1.0));
}

#[test]
fn more_units_than_may_be_are_counted() {
    let mut config = Config::default();
    config.limits.cgroups = 2;
    let mut scenario = Scenario::with(config);
    for number in 0..4 {
        scenario.apply(unit(&format!("/system.slice/{number}.service"), "simple", &[]));
    }
    assert_eq!(scenario.value("aftertrace_registry_dropped_total", &[("what", "cgroups")]), Some(2.0));
}
