use std::collections::BTreeMap;

use aftertrace_schemas::Observation;
use aftertrace_schemas::tables::*;
use proptest::prelude::*;

use crate::metrics::exposition::{openmetrics_text, prometheus_text};
use crate::metrics::{Family, MetricKind, Series};
use crate::test_support::*;
use crate::{Config, Limits, Registry, SeriesLimits};

const UNIT: &str = "/system.slice/shop.service";
const CONNECTS: &str = "container_net_tcp_successful_connects_total";
const ACTIVE: &str = "container_net_tcp_active_connections";
const DROPPED: &str = "aftertrace_series_dropped_total";
const REST: [(&str, &str); 2] = [("destination", "~other"), ("actual_destination", "~other")];

fn limited(per_container: usize, per_family: usize) -> Config {
    Config { series: SeriesLimits { per_container, per_family }, ..Config::default() }
}

fn shop(per_container: usize, per_family: usize) -> Scenario {
    let mut scenario = Scenario::with(limited(per_container, per_family));
    scenario.start(100, UNIT);
    scenario
}

/// `count` connections to 10.0.0.`last`, which end at once.
fn connect(scenario: &mut Scenario, pid: u32, last: u8, count: u64) {
    for _ in 0..count {
        let id = scenario.applied.len() as u64;
        scenario.connect(id, pid, (&format!("10.0.0.{last}"), 80));
        scenario.close(id);
    }
}

/// Lets the registry decide who is shown.
fn turn(scenario: &mut Scenario) {
    scenario.pass(10);
    scenario.mark();
}

fn connects(scenario: &Scenario, last: u8) -> Option<f64> {
    scenario.value(CONNECTS, &[("destination", &format!("10.0.0.{last}:80"))])
}

fn is_rest(series: &Series) -> bool {
    series.labels.iter().any(|(_, value)| &**value == "~other")
}

#[test]
fn what_is_beyond_the_limit_of_a_container_is_one_series_with_its_sum() {
    let mut scenario = shop(2, 100);
    for (last, count) in [(1, 4), (2, 3), (3, 2), (4, 1)] {
        connect(&mut scenario, 100, last, count);
    }
    turn(&mut scenario);
    assert_eq!(connects(&scenario, 1), Some(4.0));
    assert_eq!(connects(&scenario, 2), Some(3.0));
    assert_eq!(connects(&scenario, 3), None);
    assert_eq!(scenario.value(CONNECTS, &[("container_id", UNIT), REST[0], REST[1]]), Some(3.0));
    assert_eq!(scenario.value(ACTIVE, &REST), Some(0.0));
    assert_eq!(scenario.value(DROPPED, &[("family", CONNECTS)]), Some(2.0));
    assert!(scenario.lines().contains(&format!("2 series of {CONNECTS} not shown by themselves")));
}

#[test]
fn what_is_beyond_the_limit_of_a_family_is_one_series_of_no_container() {
    let mut scenario = Scenario::with(limited(10, 3));
    for (pid, count) in [(1, 5), (2, 1), (3, 4), (4, 3), (5, 2)] {
        scenario.start(pid, &format!("/system.slice/{pid}.service"));
        connect(&mut scenario, pid, 1, count);
    }
    turn(&mut scenario);
    let rest = [("container_id", "~other"), ("app_id", "~other"), REST[0], REST[1]];
    // Until now the last two by name were the rest, with 3 + 2. From there it goes on, for those with the fewest.
    assert_eq!(scenario.value(CONNECTS, &rest), Some(5.0));
    connect(&mut scenario, 2, 1, 1);
    assert_eq!(scenario.value(CONNECTS, &rest), Some(6.0));
    for (pid, shown) in [(1, Some(5.0)), (2, None), (3, Some(4.0)), (4, Some(3.0)), (5, None)] {
        assert_eq!(scenario.of(&format!("/system.slice/{pid}.service"), CONNECTS), shown);
    }
    let last = scenario.registry.collect().into_iter().find(|family| family.name == CONNECTS).unwrap();
    assert!(is_rest(last.series.last().unwrap()));
}

#[test]
fn gauges_that_cannot_be_added_up_are_left_out_and_counted() {
    let mut scenario = shop(2, 100);
    for port in 1..=5 {
        scenario.listen(u64::from(port), 100, ("10.0.0.9", port));
    }
    turn(&mut scenario);
    let families = scenario.registry.collect();
    let listens = families.iter().find(|family| family.name == "container_net_tcp_listen_info").unwrap();
    assert_eq!(listens.series.len(), 2);
    assert_eq!(scenario.value(DROPPED, &[("family", listens.name)]), Some(3.0));
}

#[test]
fn labels_over_which_a_sum_means_nothing_stay_apart() {
    let mut scenario = shop(2, 4);
    let stats = NodeStats {
        uptime_ns: 0,
        logical_cores: 2,
        cpu_user_ns: 1_000_000_000,
        cpu_nice_ns: 0,
        cpu_system_ns: 0,
        cpu_idle_ns: 0,
        cpu_iowait_ns: 0,
        cpu_irq_ns: 0,
        cpu_softirq_ns: 0,
        cpu_steal_ns: 0,
        memory_total_bytes: 0,
        memory_free_bytes: 0,
        memory_available_bytes: 0,
        memory_cached_bytes: 0,
    };
    scenario.apply(stats);
    let name = "node_resources_cpu_usage_seconds_total";
    assert_eq!(scenario.value(name, &[("mode", "user")]), Some(1.0));
    assert_eq!(scenario.value(name, &[("mode", "steal")]), Some(0.0));
}

#[test]
fn a_series_keeps_its_place_until_another_weighs_more_than_twice_as_much() {
    let mut scenario = shop(1, 100);
    connect(&mut scenario, 100, 1, 3);
    connect(&mut scenario, 100, 2, 1);
    turn(&mut scenario);
    connect(&mut scenario, 100, 2, 5);
    turn(&mut scenario);
    assert_eq!((connects(&scenario, 1), connects(&scenario, 2)), (Some(3.0), None));
    connect(&mut scenario, 100, 2, 1);
    turn(&mut scenario);
    assert_eq!((connects(&scenario, 1), connects(&scenario, 2)), (None, Some(7.0)));
    // What the rest counted stays, what it did not count it has not counted now: it goes on from 6 + 1.
    assert_eq!(scenario.value(CONNECTS, &REST), Some(7.0));
    connect(&mut scenario, 100, 1, 2);
    assert_eq!(scenario.value(CONNECTS, &REST), Some(9.0));
    assert_eq!(scenario.value(DROPPED, &[("family", CONNECTS)]), Some(2.0), "one after the other");
}

#[test]
fn the_rest_stays_where_it_was_when_all_fit_again_and_goes_on_from_there() {
    let mut scenario = shop(2, 100);
    for last in 1..=4 {
        connect(&mut scenario, 100, last, 5);
    }
    turn(&mut scenario);
    assert_eq!(scenario.value(CONNECTS, &REST), Some(10.0));
    for _ in 0..70 {
        connect(&mut scenario, 100, 1, 1);
        turn(&mut scenario);
    }
    assert_eq!(connects(&scenario, 3), None, "it was idle for ten minutes");
    assert_eq!(scenario.value(CONNECTS, &REST), Some(10.0));
    for last in 5..=6 {
        connect(&mut scenario, 100, last, 5);
        turn(&mut scenario);
    }
    assert_eq!(connects(&scenario, 6), None);
    connect(&mut scenario, 100, 6, 3);
    assert_eq!(scenario.value(CONNECTS, &REST), Some(13.0), "what it did by itself is not counted twice");
}

#[test]
fn of_equals_those_that_come_first_by_their_labels_are_shown() {
    for order in [[1, 2, 3], [3, 2, 1], [2, 3, 1]] {
        let mut scenario = shop(1, 100);
        order.into_iter().for_each(|last| connect(&mut scenario, 100, last, 1));
        turn(&mut scenario);
        assert!(connects(&scenario, 1).is_some());
    }
}

#[test]
fn five_thousand_destinations_of_one_container_are_five_hundred_and_the_rest() {
    let mut scenario = Scenario::new();
    scenario.start(100, UNIT);
    for number in 0..5_000_u32 {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + number).to_string();
        scenario.connect(u64::from(number), 100, (&address, 80));
    }
    turn(&mut scenario);
    let families = scenario.registry.collect();
    let family = families.iter().find(|family| family.name == CONNECTS).unwrap();
    assert_eq!(family.series.len(), 501);
    assert_eq!(family.series.iter().map(|series| series.value.number()).sum::<f64>(), 5_000.0);
    assert_eq!(scenario.value(ACTIVE, &REST), Some(4_500.0));
    assert_eq!(scenario.value(DROPPED, &[("family", CONNECTS)]), Some(4_500.0));
}

#[test]
fn a_name_that_is_that_of_the_rest_is_taken_for_the_rest() {
    let mut scenario = shop(10, 1);
    for name in ["~other", "a", "b"] {
        scenario.lose(name, name, 1);
    }
    for _ in 0..2 {
        let lost = |name| scenario.value("aftertrace_lost_total", &[("source", name)]);
        assert_eq!(lost("~other").unwrap() + lost("a").or(lost("b")).unwrap(), 3.0);
        turn(&mut scenario);
    }
}

/// Values of the series that stand for others, and the counts of what they stand for.
fn monotone(families: &[Family]) -> BTreeMap<String, f64> {
    let mut values = BTreeMap::new();
    for family in families.iter().filter(|family| family.kind == MetricKind::Counter) {
        for series in family.series.iter().filter(|series| is_rest(series) || family.name == DROPPED) {
            let labels: Vec<_> =
                series.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            values.insert(format!("{} {}", family.name, labels.join(" ")), series.value.number());
        }
    }
    values
}

#[derive(Debug, Clone)]
enum Step {
    Connect { pid: u32, last: u8, count: u64, bytes: u64 },
    Fail { pid: u32, last: u8 },
    Pass { seconds: i64 },
    Throttle { pid: u32 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pid = 1..5_u32;
    let last = 0..12_u8;
    let step = prop_oneof![
        6 => (pid.clone(), last.clone(), 1..6_u64, any::<u32>())
            .prop_map(|(pid, last, count, bytes)| Step::Connect { pid, last, count, bytes: bytes.into() }),
        1 => (pid.clone(), last).prop_map(|(pid, last)| Step::Fail { pid, last }),
        2 => (1..700_i64).prop_map(|seconds| Step::Pass { seconds }),
        1 => pid.prop_map(|pid| Step::Throttle { pid }),
    ];
    proptest::collection::vec(step, 0..60)
}

fn perform(scenario: &mut Scenario, step: &Step) {
    match *step {
        Step::Connect { pid, last, count, bytes } => {
            for _ in 0..count {
                let id = scenario.applied.len() as u64;
                scenario.connect(id, pid, (&format!("10.0.0.{last}"), 80));
                scenario.totals(TcpEventKind::Close, id, bytes, bytes / 3, 1);
            }
        }
        Step::Fail { pid, last } => {
            let id = scenario.applied.len() as u64;
            scenario.tcp(TcpEventKind::ConnectError, id, pid, (&format!("10.0.0.{last}"), 80));
        }
        Step::Pass { seconds } => {
            scenario.pass(seconds);
            scenario.mark();
        }
        Step::Throttle { pid } => {
            let nanoseconds = scenario.applied.len() as u64 * 333_333_337;
            let cgroup = format!("/system.slice/{pid}.service");
            scenario.apply(CgroupStats { cpu_throttled_ns: Some(nanoseconds), ..usage(&cgroup, 1.0, 7) });
        }
    }
}

fn containers(config: Config) -> Scenario {
    let mut scenario = Scenario::with(config);
    for pid in 1..5 {
        scenario.start(pid, &format!("/system.slice/{pid}.service"));
    }
    scenario
}

/// Takes the text apart as a reader of the format does: series with their label values.
fn parse(text: &str) -> Option<Vec<Vec<String>>> {
    let mut all = Vec::new();
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        let mut values = Vec::new();
        let mut rest = line;
        while let Some((_, after)) = rest.split_once("=\"") {
            let mut value = String::new();
            let mut characters = after.char_indices();
            let end = loop {
                match characters.next()? {
                    (_, '\\') => match characters.next()?.1 {
                        'n' => value.push('\n'),
                        other => value.push(other),
                    },
                    (at, '"') => break at,
                    (_, other) => value.push(other),
                }
            };
            values.push(value);
            rest = after.get(end + 1..)?;
        }
        rest.trim_start_matches('}').trim().rsplit(' ').next()?.replace("Inf", "inf").parse::<f64>().ok()?;
        all.push(values);
    }
    Some(all)
}

proptest! {
    #[test]
    fn counters_of_the_rest_never_go_down(steps in steps(), per_container in 1..4_usize, per_family in 1..8_usize) {
        let mut scenario = containers(limited(per_container, per_family));
        let mut before: BTreeMap<String, f64> = BTreeMap::new();
        for step in &steps {
            perform(&mut scenario, step);
            let families = scenario.registry.collect();
            for family in &families {
                let rests = family.series.iter().filter(|series| is_rest(series)).count();
                let is_own = family.name.starts_with("aftertrace_series");
                prop_assert!(is_own || family.series.len() - rests <= per_family, "{}", family.name);
            }
            let now = monotone(&families);
            for (name, value) in &now {
                let earlier = before.get(name).copied().unwrap_or(0.0);
                prop_assert!(*value >= earlier, "{name}: {earlier} and then {value}");
            }
            // What a container's rest counted is gone with the last of what it stood for; that of all stays.
            let is_of_all = |name: &str| name.contains("container_id=~other") || name.starts_with(DROPPED);
            for name in before.keys() {
                prop_assert!(now.contains_key(name) || !is_of_all(name), "{name} is gone");
            }
            before = now;
        }
    }

    #[test]
    fn a_scrape_changes_nothing_and_a_replay_up_to_it_says_the_same(steps in steps(), at in 0..60_usize) {
        let config = limited(2, 4);
        let mut scenario = containers(config.clone());
        for (number, step) in steps.iter().enumerate() {
            perform(&mut scenario, step);
            if number == at {
                let live = scenario.text();
                let mut replayed = Registry::new(config.clone());
                scenario.applied.iter().for_each(|observation| replayed.apply(observation));
                prop_assert_eq!(&live, &prometheus_text(&replayed.collect()));
                prop_assert_eq!(&live, &scenario.text());
            }
        }
    }

    #[test]
    fn in_what_order_containers_come_is_not_seen(
        counts in proptest::collection::vec((0..6_u64, 0..6_u8), 1..8),
        shuffled in proptest::sample::subsequence((0..8_usize).collect::<Vec<_>>(), 8).prop_shuffle(),
    ) {
        // Each container's observations have the same times in both orders, so only the order of equals differs.
        let texts: Vec<String> = [(0..8).collect::<Vec<_>>(), shuffled].into_iter().map(|order| {
            let mut registry = Registry::new(limited(2, 4));
            let mut seq = 0;
            let mut apply = |time: i64, kind: aftertrace_schemas::Kind| {
                registry.apply(&Observation { seq, time, kind });
                seq += 1;
            };
            for round in 0..3_i64 {
                for which in &order {
                    let Some((count, last)) = counts.get(*which) else { continue };
                    let pid = *which as u32 + 1;
                    let cgroup = format!("/system.slice/{pid}.service");
                    apply(round * 20_000_000_000, process_snapshot(pid, &cgroup).into());
                    for number in 0..*count {
                        let id = (u64::from(pid) << 32) | ((round as u64) << 16) | number;
                        let remote = format!("10.0.0.{}", (u64::from(*last) + number) % 4);
                        apply(round * 20_000_000_000, tcp(TcpEventKind::Connect, id, pid, (&remote, 80)).into());
                    }
                }
            }
            prometheus_text(&registry.collect())
        }).collect();
        prop_assert_eq!(&texts[0], &texts[1]);
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_names_give_text_that_reads_back(names in proptest::collection::vec(any::<String>(), 0..30), long in 0..3_usize) {
        let config = Config { limits: Limits { label_bytes: 64, ..Limits::default() }, ..limited(3, 5) };
        let mut scenario = Scenario::with(config);
        for (number, name) in names.iter().enumerate() {
            let name = name.repeat(1 + long * 40);
            let pid = number as u32 + 1;
            let cgroup = format!("/system.slice/{name}.service");
            scenario.start(pid, &cgroup);
            connect(&mut scenario, pid, 1, 1);
            scenario.lose(&name, &name, 1);
            scenario.name(WEB, &name);
            scenario.start(1_000 + pid, WEB);
        }
        for _ in 0..2 {
            let families = scenario.registry.collect();
            for text in [prometheus_text(&families), openmetrics_text(&families)] {
                let parsed = parse(&text);
                prop_assert!(parsed.is_some(), "{text}");
                let expected: Vec<Vec<String>> = families
                    .iter()
                    .flat_map(|family| &family.series)
                    .map(|series| series.labels.iter().map(|(_, value)| value.to_string()).collect())
                    .collect();
                prop_assert_eq!(parsed.unwrap_or_default(), expected);
            }
            for series in families.iter().flat_map(|family| &family.series) {
                prop_assert!(series.labels.iter().all(|(_, value)| value.len() <= 64));
            }
            turn(&mut scenario);
        }
    }
}
