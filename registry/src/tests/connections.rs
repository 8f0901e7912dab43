use aftertrace_schemas::tables::*;

use crate::test_support::*;

const UNIT: &str = "/system.slice/shop.service";
const CONNECTS: &str = "container_net_tcp_successful_connects_total";
const FAILED: &str = "container_net_tcp_failed_connects_total";
const ACTIVE: &str = "container_net_tcp_active_connections";
const SENT: &str = "container_net_tcp_bytes_sent_total";
const RETRANSMITS: &str = "container_net_tcp_retransmits_total";
const DATABASE: (&str, u16) = ("10.0.0.5", 5432);

fn shop() -> Scenario {
    let mut scenario = Scenario::new();
    scenario.start(100, UNIT);
    scenario
}

#[test]
fn connects_are_counted_by_destination_with_the_time_they_took() {
    let mut scenario = shop();
    scenario.connect(1, 100, DATABASE);
    scenario.connect(2, 100, DATABASE);
    scenario.connect(3, 100, ("2001:db8::5", 443));
    let database = [("destination", "10.0.0.5:5432"), ("actual_destination", "10.0.0.5:5432")];
    assert_eq!(scenario.value(CONNECTS, &database), Some(2.0));
    assert_eq!(scenario.value("container_net_tcp_connection_time_seconds_total", &database), Some(0.004));
    assert_eq!(scenario.value(CONNECTS, &[("destination", "[2001:db8::5]:443")]), Some(1.0));
}

#[test]
fn failed_connects_have_a_destination_and_no_other_series() {
    let mut scenario = shop();
    scenario.tcp(TcpEventKind::ConnectError, 1, 100, DATABASE);
    assert_eq!(scenario.of(UNIT, FAILED), Some(1.0));
    assert_eq!(scenario.of(UNIT, CONNECTS), None);
    assert_eq!(scenario.of(UNIT, ACTIVE), None);
}

#[test]
fn active_connections_are_right_after_their_process_died() {
    let mut scenario = shop();
    scenario.start(101, UNIT);
    for id in 1..=3 {
        scenario.connect(id, 101, DATABASE);
    }
    scenario.exit(101, Some(9));
    assert_eq!(scenario.of(UNIT, ACTIVE), Some(3.0), "the kernel closes the sockets after the process's end");
    for id in 1..=3 {
        scenario.close(id);
        scenario.close(id);
    }
    assert_eq!(scenario.of(UNIT, ACTIVE), Some(0.0));
}

#[test]
fn a_connect_that_ends_with_its_process_is_still_its_containers() {
    let mut scenario = shop();
    scenario.exit(100, Some(9));
    scenario.tcp(TcpEventKind::ConnectError, 1, 100, DATABASE);
    assert_eq!(scenario.of(UNIT, FAILED), Some(1.0));
}

#[test]
fn bytes_are_the_kernels_totals_and_are_counted_once() {
    let mut scenario = shop();
    scenario.connect(1, 100, DATABASE);
    scenario.totals(TcpEventKind::Statistics, 1, 100, 1_000, 0);
    scenario.totals(TcpEventKind::Statistics, 1, 100, 1_000, 0);
    scenario.totals(TcpEventKind::Statistics, 1, 90, 900, 0);
    scenario.totals(TcpEventKind::Close, 1, 250, 2_000, 0);
    scenario.totals(TcpEventKind::Close, 1, 250, 2_000, 0);
    assert_eq!(scenario.of(UNIT, SENT), Some(250.0));
    assert_eq!(scenario.of(UNIT, "container_net_tcp_bytes_received_total"), Some(2_000.0));
}

#[test]
fn a_connection_from_before_the_recording_counts_what_it_does_in_it() {
    let mut scenario = shop();
    let row = SocketSnapshot {
        bytes_sent: 1_000,
        bytes_received: 5_000,
        retransmits: 7,
        ..socket(SocketKind::Outbound, 1, 100, Some(DATABASE))
    };
    scenario.apply(row);
    assert_eq!(scenario.of(UNIT, ACTIVE), Some(1.0));
    assert_eq!(scenario.of(UNIT, CONNECTS), Some(0.0));
    scenario.totals(TcpEventKind::Close, 1, 1_100, 5_000, 8);
    assert_eq!(scenario.of(UNIT, SENT), Some(100.0));
    assert_eq!(scenario.of(UNIT, RETRANSMITS), Some(1.0));
    assert_eq!(scenario.of(UNIT, ACTIVE), Some(0.0));
}

#[test]
fn retransmits_count_at_once_and_the_total_adds_only_what_was_missed() {
    let mut scenario = shop();
    scenario.connect(1, 100, DATABASE);
    assert_eq!(scenario.of(UNIT, RETRANSMITS), None);
    scenario.tcp(TcpEventKind::Retransmit, 1, 100, DATABASE);
    scenario.tcp(TcpEventKind::Retransmit, 1, 100, DATABASE);
    assert_eq!(scenario.of(UNIT, RETRANSMITS), Some(2.0));
    scenario.totals(TcpEventKind::Statistics, 1, 0, 0, 2);
    assert_eq!(scenario.of(UNIT, RETRANSMITS), Some(2.0));
    scenario.totals(TcpEventKind::Close, 1, 0, 0, 5);
    assert_eq!(scenario.of(UNIT, RETRANSMITS), Some(5.0));
}

#[test]
fn inbound_connections_have_no_destination() {
    let mut scenario = shop();
    scenario.tcp(TcpEventKind::Accept, 1, 100, ("10.0.0.7", 31_000));
    scenario.tcp(TcpEventKind::Retransmit, 1, 100, ("10.0.0.7", 31_000));
    scenario.totals(TcpEventKind::Close, 1, 10, 10, 1);
    scenario.apply(socket(SocketKind::Inbound, 2, 100, Some(("10.0.0.7", 31_001))));
    assert!(!scenario.text().contains("container_net_tcp"));
    assert_eq!(scenario.registry.containers()[0].accepts, 1);
}

#[test]
fn ephemeral_and_link_local_destinations_are_left_out() {
    let mut scenario = shop();
    for (id, destination) in [
        ("10.0.0.5", 32_767),
        ("10.0.0.5", 32_768),
        ("10.0.0.5", 50_051),
        ("10.0.0.5", 60_999),
        ("10.0.0.5", 61_000),
        ("169.254.169.254", 80),
        ("fe80::1", 80),
    ]
    .into_iter()
    .enumerate()
    {
        scenario.connect(id as u64, 100, destination);
    }
    let shown: Vec<_> = scenario.registry.destinations(UNIT).into_iter().map(|to| to.destination).collect();
    assert_eq!(shown, ["10.0.0.5:32767", "10.0.0.5:50051", "10.0.0.5:61000"]);
}

#[test]
fn loopback_is_tracked_in_the_hosts_network_namespace_only() {
    let mut scenario = shop();
    for (id, namespace) in [(1, WEB_NAMESPACE), (2, HOST_NAMESPACE)] {
        let row = tcp(TcpEventKind::Connect, id, 100, ("127.0.0.1", 80));
        scenario.apply(TcpEvent { network_namespace: Some(namespace), ..row });
    }
    assert_eq!(scenario.of(UNIT, CONNECTS), Some(1.0));
}

#[test]
fn a_destination_goes_ten_minutes_after_its_last_connection() {
    let mut scenario = shop();
    scenario.connect(1, 100, DATABASE);
    scenario.pass(3_600);
    scenario.mark();
    assert_eq!(scenario.of(UNIT, CONNECTS), Some(1.0), "a connection is open");
    scenario.totals(TcpEventKind::Close, 1, 70, 0, 3);
    scenario.pass(599);
    scenario.mark();
    assert_eq!(scenario.of(UNIT, SENT), Some(70.0));
    scenario.pass(20);
    scenario.mark();
    assert_eq!(scenario.of(UNIT, CONNECTS), None);
    assert_eq!(scenario.registry.containers()[0].bytes_sent, 70, "the container's sums stay");
    assert_eq!(scenario.lines(), [format!("{UNIT}: 3 TCP segments sent again to 10.0.0.5:5432")]);
}

#[test]
fn connections_of_unknown_processes_are_counted_as_left_out() {
    let mut scenario = shop();
    scenario.connect(1, 999, DATABASE);
    let what = [("what", "connections_of_unknown_processes")];
    assert_eq!(scenario.value("aftertrace_registry_dropped_total", &what), Some(1.0));
}

#[test]
fn talkers_are_sorted_by_bytes_then_by_connects() {
    let mut scenario = shop();
    scenario.connect(1, 100, ("10.0.0.1", 80));
    scenario.connect(2, 100, ("10.0.0.2", 80));
    scenario.connect(3, 100, ("10.0.0.2", 80));
    scenario.connect(4, 100, ("10.0.0.3", 80));
    scenario.totals(TcpEventKind::Statistics, 4, 5, 5, 0);
    let talkers = scenario.registry.top_talkers(2);
    let to: Vec<_> = talkers.iter().map(|talker| talker.to.destination.as_str()).collect();
    assert_eq!(to, ["10.0.0.3:80", "10.0.0.2:80"]);
    assert_eq!(&*talkers[0].container, UNIT);
}
