use aftertrace_schemas::column::Bytes;
use aftertrace_schemas::tables::*;

use crate::Config;
use crate::test_support::*;

const UNIT: &str = "/system.slice/shop.service";
const REDIS: (&str, u16) = ("10.0.0.5", 6379);
const QUERIES: &str = "container_redis_queries_total";
const TIMES: &str = "container_redis_queries_duration_seconds_total";
const INBOUND: &str = "container_redis_inbound_queries_total";
const UNANSWERED: &str = "aftertrace_unanswered_requests_total";
const UNPAIRED: &str = "aftertrace_l7_unpaired_total";
const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

fn data(id: u64, direction: Direction, position: u64, bytes: &[u8]) -> SocketData {
    SocketData {
        connection_id: id,
        direction,
        position,
        size_bytes: u32::try_from(bytes.len()).unwrap(),
        tls: false,
        payload: Bytes(bytes.into()),
    }
}

/// A shop with a connection to Redis.
fn shop(config: Config) -> Scenario {
    let mut scenario = Scenario::with(config);
    scenario.start(100, UNIT);
    scenario.connect(1, 100, REDIS);
    scenario
}

fn asks(scenario: &mut Scenario, position: &mut [u64; 2], answer: &[u8]) {
    scenario.apply(data(1, Direction::Sent, position[0], PING));
    scenario.pass(1);
    scenario.apply(data(1, Direction::Received, position[1], answer));
    position[0] += PING.len() as u64;
    position[1] += answer.len() as u64;
}

#[test]
fn requests_are_counted_by_destination_and_status_and_their_times_by_size() {
    let mut scenario =
        shop(Config { histogram_bounds_ns: vec![500_000_000, 2_000_000_000], ..Config::default() });
    let mut position = [0, 0];
    asks(&mut scenario, &mut position, b"+PONG\r\n");
    asks(&mut scenario, &mut position, b"+PONG\r\n");
    asks(&mut scenario, &mut position, b"-ERR no\r\n");
    let to = [("destination", "10.0.0.5:6379"), ("actual_destination", "10.0.0.5:6379")];
    assert_eq!(scenario.value(QUERIES, &[to[0], to[1], ("status", "ok")]), Some(2.0));
    assert_eq!(scenario.value(QUERIES, &[to[0], to[1], ("status", "failed")]), Some(1.0));
    assert_eq!(scenario.value(TIMES, &to), Some(3.0), "observations");
    let text = scenario.text();
    let bucket = |bound: &str| {
        let line =
            text.lines().find(|line| line.contains("_bucket") && line.contains(&format!("le=\"{bound}\"")));
        line.and_then(|line| line.rsplit(' ').next()).map(str::to_owned)
    };
    assert_eq!((bucket("0.5"), bucket("2")), (Some("0".to_owned()), Some("3".to_owned())));
}

#[test]
fn requests_that_a_container_receives_have_no_peer() {
    let mut scenario = Scenario::new();
    scenario.start(100, UNIT);
    let accept =
        TcpEvent { local_port: Some(6379), ..tcp(TcpEventKind::Accept, 1, 100, ("10.0.0.77", 40_001)) };
    scenario.apply(accept);
    scenario.apply(data(1, Direction::Received, 0, PING));
    scenario.apply(data(1, Direction::Sent, 0, b"+PONG\r\n"));
    assert_eq!(scenario.value(INBOUND, &[("status", "ok")]), Some(1.0));
    assert_eq!(scenario.value(QUERIES, &[]), None);
}

#[test]
fn a_request_that_the_end_of_the_connection_leaves_unanswered_is_told_of() {
    let mut scenario = shop(Config::default());
    let mut position = [0, 0];
    asks(&mut scenario, &mut position, b"+PONG\r\n");
    scenario.apply(data(1, Direction::Sent, position[0], PING));
    scenario.close(1);
    assert_eq!(scenario.value(QUERIES, &[("status", "ok")]), Some(1.0));
    assert_eq!(scenario.value(UNANSWERED, &[("protocol", "redis"), ("ending", "closed")]), Some(1.0));
}

#[test]
fn a_request_that_is_never_answered_times_out() {
    let mut scenario = shop(Config::default());
    scenario.apply(data(1, Direction::Sent, 0, PING));
    scenario.pass(400);
    scenario.mark();
    assert_eq!(scenario.value(UNANSWERED, &[("ending", "timed_out")]), Some(1.0));
}

#[test]
fn what_a_gap_leaves_alone_is_counted_and_not_paired() {
    let mut scenario = shop(Config::default());
    scenario.apply(data(1, Direction::Sent, 0, PING));
    // 7 bytes of answers were lost.
    scenario.apply(data(1, Direction::Received, 7, b"+PONG\r\n"));
    assert_eq!(scenario.value(QUERIES, &[]), None);
    assert_eq!(scenario.value(UNPAIRED, &[("protocol", "redis"), ("reason", "gap")]), Some(1.0));
}

#[test]
fn data_of_connections_beyond_the_limit_is_counted() {
    let mut config = Config::default();
    config.limits.conversations = 1;
    let mut scenario = shop(config);
    scenario.connect(2, 100, REDIS);
    for id in [1, 2] {
        scenario.apply(data(id, Direction::Sent, 0, PING));
        scenario.apply(data(id, Direction::Received, 0, b"+PONG\r\n"));
    }
    assert_eq!(scenario.value(QUERIES, &[("status", "ok")]), Some(1.0));
    assert_eq!(scenario.value("aftertrace_registry_dropped_total", &[("what", "conversations")]), Some(2.0));
}

#[test]
fn series_of_a_destination_go_with_it() {
    let mut scenario = shop(Config::default());
    let mut position = [0, 0];
    asks(&mut scenario, &mut position, b"+PONG\r\n");
    scenario.close(1);
    scenario.pass(700);
    scenario.mark();
    assert_eq!(scenario.value(QUERIES, &[]), None);
}

#[test]
fn a_histogram_of_the_rest_goes_on_when_one_more_series_joins_it() {
    let mut config = Config::default();
    config.series.per_container = 1;
    let mut scenario = Scenario::with(config);
    scenario.start(100, UNIT);
    for (id, last) in [(1, 5), (2, 6), (3, 7)] {
        scenario.connect(id, 100, (&format!("10.0.0.{last}"), 6379));
        for round in 0..4 - id {
            scenario.apply(data(id, Direction::Sent, round * PING.len() as u64, PING));
            scenario.apply(data(id, Direction::Received, round * 7, b"+PONG\r\n"));
        }
    }
    scenario.pass(20);
    scenario.mark();
    let shown = scenario.value(TIMES, &[("destination", "10.0.0.5:6379")]);
    let rest = scenario.value(TIMES, &[("destination", "~other")]);
    assert_eq!((shown, rest), (Some(3.0), Some(3.0)));
}

/// A message of DNS about the A records of `shop.example.com`; with an answer, the address.
fn dns(id: u16, code: u8, answer: Option<[u8; 4]>, is_response: bool) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([
        if is_response { 0x81 } else { 1 },
        code,
        0,
        1,
        0,
        u8::from(answer.is_some()),
        0,
        0,
        0,
        0,
    ]);
    message.extend(b"\x04shop\x07example\x03com\0\0\x01\0\x01");
    if let Some(address) = answer {
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        message.extend(address);
    }
    message
}

fn datagram(direction: Direction, bytes: Vec<u8>) -> Datagram {
    Datagram {
        pid: 100,
        process_start_ns: start_ns(100),
        direction,
        local_ip: ip("10.0.0.9"),
        local_port: 40_000,
        remote_ip: ip("10.0.0.53"),
        remote_port: 53,
        network_namespace: WEB_NAMESPACE,
        size_bytes: u32::try_from(bytes.len()).unwrap(),
        payload: Bytes(bytes.into()),
    }
}

#[test]
fn names_that_were_asked_for_are_counted_and_name_the_addresses_that_are_connected_to() {
    let mut scenario = shop(Config { max_fqdns_per_container: 1, ..Config::default() });
    for (id, code, answer) in [(1, 0, Some([10, 0, 0, 5])), (2, 3, None)] {
        scenario.apply(datagram(Direction::Sent, dns(id, 0, None, false)));
        scenario.apply(datagram(Direction::Received, dns(id, code, answer, true)));
    }
    let counted = |status| {
        let labels = [("request_type", "TypeA"), ("domain", "shop.example.com"), ("status", status)];
        scenario.value("container_dns_requests_total", &labels)
    };
    assert_eq!((counted("ok"), counted("nxdomain")), (Some(1.0), Some(1.0)));
    assert_eq!(scenario.value("container_dns_requests_duration_seconds_total", &[]), Some(2.0));
    let names = [("ip", "10.0.0.5"), ("fqdn", "shop.example.com")];
    assert_eq!(scenario.value("ip_to_fqdn", &names), Some(1.0), "the shop is connected to it");
}
