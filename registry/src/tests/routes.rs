use aftertrace_schemas::tables::*;

use crate::Config;
use crate::test_support::*;

const UNIT: &str = "/system.slice/shop.service";
const CONNECTS: &str = "container_net_tcp_successful_connects_total";
const FAILED: &str = "container_net_tcp_failed_connects_total";
const ACTIVE: &str = "container_net_tcp_active_connections";
const SENT: &str = "container_net_tcp_bytes_sent_total";
const LATENCY: &str = "container_net_latency_seconds";
const TCP_RTT: &str = "aftertrace_net_tcp_rtt_seconds";
const SERVICE: (&str, u16) = ("10.96.0.1", 443);
const POD: (&str, u16) = ("10.0.3.7", 6443);
const THROUGH: [(&str, &str); 2] =
    [("destination", "10.96.0.1:443"), ("actual_destination", "10.0.3.7:6443")];
const DIRECT: [(&str, &str); 2] = [("destination", "10.96.0.1:443"), ("actual_destination", "10.96.0.1:443")];

fn shop() -> Scenario {
    let mut scenario = Scenario::new();
    scenario.start(100, UNIT);
    scenario
}

fn tracking(networks: &[&str]) -> Scenario {
    let tracked_networks = networks.iter().map(|network| network.parse().unwrap()).collect();
    let mut scenario = Scenario::with(Config { tracked_networks, ..Config::default() });
    scenario.start(100, UNIT);
    scenario
}

fn translated(id: u64, destination: (&str, u16), actual: (&str, u16)) -> NatMapping {
    NatMapping {
        connection_id: id,
        network_namespace: WEB_NAMESPACE,
        local_ip: ip("10.0.0.9"),
        local_port: 40_000,
        destination_ip: ip(destination.0),
        destination_port: destination.1,
        actual_ip: ip(actual.0),
        actual_port: actual.1,
        source: NatSource::Conntrack,
    }
}

fn echo(network_namespace: u32, peer: &str, rtt_ns: Option<u64>) -> RttProbe {
    RttProbe { network_namespace, remote_ip: ip(peer), rtt_ns }
}

#[test]
fn a_translated_connection_has_both_what_was_dialled_and_what_was_reached() {
    let mut scenario = shop();
    scenario.apply(translated(1, SERVICE, POD));
    scenario.connect(1, 100, SERVICE);
    scenario.totals(TcpEventKind::Statistics, 1, 50, 0, 0);
    assert_eq!(scenario.value(CONNECTS, &THROUGH), Some(1.0));
    assert_eq!(scenario.value(SENT, &THROUGH), Some(50.0));
    assert_eq!(scenario.value(CONNECTS, &DIRECT), None);
    scenario.close(1);
    assert_eq!(scenario.value(ACTIVE, &THROUGH), Some(0.0));
}

#[test]
fn two_backends_of_a_service_are_told_apart() {
    let mut scenario = shop();
    for (id, backend) in [(1, POD), (2, ("10.0.3.8", 6443)), (3, POD)] {
        scenario.apply(translated(id, SERVICE, backend));
        scenario.connect(id, 100, SERVICE);
    }
    assert_eq!(scenario.value(CONNECTS, &THROUGH), Some(2.0));
    assert_eq!(scenario.value(CONNECTS, &[("actual_destination", "10.0.3.8:6443")]), Some(1.0));
}

#[test]
fn a_translation_that_comes_late_moves_what_is_open_and_no_counter_goes_back() {
    let mut scenario = shop();
    scenario.connect(1, 100, SERVICE);
    scenario.totals(TcpEventKind::Statistics, 1, 50, 0, 0);
    scenario.apply(translated(1, SERVICE, POD));
    scenario.totals(TcpEventKind::Close, 1, 80, 0, 0);
    assert_eq!((scenario.value(CONNECTS, &DIRECT), scenario.value(SENT, &DIRECT)), (Some(1.0), Some(50.0)));
    assert_eq!((scenario.value(ACTIVE, &DIRECT), scenario.value(ACTIVE, &THROUGH)), (Some(0.0), Some(0.0)));
    assert_eq!(scenario.value(SENT, &THROUGH), Some(30.0));
}

#[test]
fn a_translation_that_is_told_again_changes_nothing() {
    let mut scenario = shop();
    scenario.apply(translated(1, SERVICE, POD));
    scenario.connect(1, 100, SERVICE);
    // The time of the latest observation moves on.
    let of_containers = |text: String| {
        text.lines().filter(|line| line.contains("container_id")).map(str::to_owned).collect::<Vec<_>>()
    };
    let before = of_containers(scenario.text());
    scenario.apply(translated(1, SERVICE, POD));
    scenario.apply(socket(SocketKind::Outbound, 1, 100, Some(SERVICE)));
    assert_eq!(of_containers(scenario.text()), before);
}

#[test]
fn a_snapshot_takes_the_translation_that_comes_with_it() {
    let mut scenario = shop();
    scenario.apply(translated(1, SERVICE, POD));
    scenario.apply(socket(SocketKind::Outbound, 1, 100, Some(SERVICE)));
    assert_eq!(scenario.value(ACTIVE, &THROUGH), Some(1.0));
}

#[test]
fn failed_connects_have_one_series_a_destination() {
    let mut scenario = shop();
    scenario.apply(translated(1, SERVICE, POD));
    scenario.tcp(TcpEventKind::ConnectError, 1, 100, SERVICE);
    scenario.tcp(TcpEventKind::ConnectError, 2, 100, SERVICE);
    assert_eq!(scenario.value(FAILED, &[("destination", "10.96.0.1:443")]), Some(2.0));
}

#[test]
fn public_destinations_outside_the_tracked_networks_are_left_out_and_private_ones_never() {
    let mut scenario = tracking(&["203.0.113.0/24", "2001:db8::/32"]);
    let all =
        ["203.0.113.5", "198.51.100.5", "2001:db8::5", "2001:dead::5", "10.0.0.5", "100.64.0.5", "fd00::5"];
    for (id, peer) in (1..).zip(all) {
        scenario.connect(id, 100, (peer, 443));
    }
    let shown: Vec<_> = scenario.registry.destinations(UNIT).into_iter().map(|to| to.destination).collect();
    let expected =
        ["10.0.0.5:443", "100.64.0.5:443", "203.0.113.5:443", "[2001:db8::5]:443", "[fd00::5]:443"];
    assert_eq!(shown, expected);
}

#[test]
fn by_default_public_destinations_are_tracked_of_both_families() {
    let mut scenario = shop();
    scenario.connect(1, 100, ("198.51.100.5", 443));
    scenario.connect(2, 100, ("2001:dead::5", 443));
    assert_eq!(scenario.registry.destinations(UNIT).len(), 2);
}

#[test]
fn a_public_address_that_leads_to_a_private_one_is_tracked_from_then_on() {
    let public = ("198.51.100.5", 443);
    let mut scenario = tracking(&[]);
    scenario.tcp(TcpEventKind::ConnectError, 1, 100, public);
    assert_eq!(scenario.of(UNIT, FAILED), None);
    scenario.apply(translated(2, public, POD));
    scenario.connect(2, 100, public);
    scenario.tcp(TcpEventKind::ConnectError, 3, 100, public);
    assert_eq!(scenario.of(UNIT, CONNECTS), Some(1.0));
    assert_eq!(scenario.of(UNIT, FAILED), Some(1.0));
}

#[test]
fn there_may_be_several_ephemeral_ranges_or_none() {
    for (ephemeral_ports, expected) in [(vec![1_000..=1_999, 3_000..=3_999], 2), (Vec::new(), 4)] {
        let mut scenario = Scenario::with(Config { ephemeral_ports, ..Config::default() });
        scenario.start(100, UNIT);
        for (id, port) in [(1, 1_500), (2, 2_500), (3, 3_500), (4, 40_000)] {
            scenario.connect(id, 100, ("10.0.0.5", port));
        }
        assert_eq!(scenario.registry.destinations(UNIT).len(), expected);
    }
}

#[test]
fn latency_is_that_of_the_last_answer_to_whom_the_container_connects_from_its_namespace() {
    let mut scenario = shop();
    scenario.connect(1, 100, ("10.0.0.5", 80));
    scenario.connect(2, 100, ("10.0.0.5", 81));
    scenario.apply(echo(WEB_NAMESPACE, "10.0.0.5", Some(1_500_000)));
    scenario.apply(echo(WEB_NAMESPACE, "10.0.0.6", Some(1)));
    scenario.apply(echo(WEB_NAMESPACE + 1, "10.0.0.5", Some(2)));
    assert_eq!(scenario.value(LATENCY, &[("destination_ip", "10.0.0.5")]), Some(0.0015));
    assert_eq!(scenario.of(UNIT, LATENCY), Some(0.0015), "one series for both ports, none of another host");
}

#[test]
fn a_host_that_does_not_answer_has_no_latency() {
    let mut scenario = shop();
    scenario.tcp(TcpEventKind::ConnectError, 1, 100, ("10.0.0.5", 80));
    scenario.apply(echo(WEB_NAMESPACE, "10.0.0.5", Some(1_500_000)));
    assert_eq!(scenario.of(UNIT, LATENCY), Some(0.0015), "also of a host that connects failed to");
    scenario.apply(echo(WEB_NAMESPACE, "10.0.0.5", None));
    assert_eq!(scenario.of(UNIT, LATENCY), None);
}

#[test]
fn latency_is_of_what_was_reached() {
    let mut scenario = shop();
    scenario.apply(translated(1, SERVICE, POD));
    scenario.connect(1, 100, SERVICE);
    scenario.apply(echo(WEB_NAMESPACE, "10.0.3.7", Some(2_000_000)));
    assert_eq!(scenario.value(LATENCY, &[("destination_ip", "10.0.3.7")]), Some(0.002));
}

#[test]
fn the_kernels_smoothed_round_trip_time_is_that_of_the_connection_last_looked_at() {
    let mut scenario = shop();
    scenario.apply(TcpEvent { smoothed_rtt_us: Some(900), ..tcp(TcpEventKind::Connect, 1, 100, SERVICE) });
    assert_eq!(scenario.value(TCP_RTT, &DIRECT), Some(0.0009));
    let sweep = TcpEvent { smoothed_rtt_us: Some(1_200), ..tcp(TcpEventKind::Statistics, 1, 100, SERVICE) };
    scenario.apply(sweep.clone());
    scenario.apply(TcpEvent { smoothed_rtt_us: Some(0), ..sweep });
    assert_eq!(scenario.value(TCP_RTT, &DIRECT), Some(0.0012));
}
