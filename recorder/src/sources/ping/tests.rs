#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::*;

fn upstream(network_namespace: u32, ip: &str) -> Upstream {
    Upstream { network_namespace, ip: ip.parse().unwrap(), pid: 1 }
}

fn asked(turn: &[Upstream]) -> BTreeSet<Peer> {
    turn.iter().map(peer).collect()
}

#[test]
fn loopback_multicast_and_addresses_that_need_an_interface_are_not_asked() {
    let all =
        ["127.0.0.1", "::1", "169.254.1.1", "fe80::1", "224.0.0.1", "ff02::1", "0.0.0.0", "::", "10.1.1.1"];
    let upstreams = all.into_iter().map(|ip| upstream(1, ip)).collect();
    let (turn, left_out) = PingSource::new(Roots::default()).turn(&upstreams);
    assert_eq!((turn, left_out), (vec![upstream(1, "10.1.1.1")], 0));
}

#[test]
fn a_peer_is_asked_once_from_a_namespace_whoever_connected() {
    let mut upstreams: BTreeSet<Upstream> = [upstream(1, "10.1.1.1"), upstream(2, "10.1.1.1")].into();
    upstreams.insert(Upstream { pid: 2, ..upstream(1, "10.1.1.1") });
    let (turn, _) = PingSource::new(Roots::default()).turn(&upstreams);
    assert_eq!(turn.len(), 2);
}

#[test]
fn more_peers_than_a_round_has_room_for_take_turns_and_the_others_are_counted() {
    let count = MOST_REQUESTS * 2 + 10;
    let upstreams: BTreeSet<Upstream> =
        (0..count).map(|number| upstream(1, &format!("10.1.{}.{}", number / 256, number % 256))).collect();
    let mut source = PingSource::new(Roots::default());
    let mut all = BTreeSet::new();
    for _ in 0..3 {
        let (turn, left_out) = source.turn(&upstreams);
        assert_eq!((turn.len(), left_out), (MOST_REQUESTS, MOST_REQUESTS + 10));
        all.extend(asked(&turn));
    }
    assert_eq!(all.len(), count);
}

#[test]
fn a_peer_whose_namespace_is_gone_has_no_round_trip_time_any_more_and_is_told_of_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut source = PingSource::new(Roots::below(directory.path()));
    let gone = upstream(1, "10.1.1.1");
    source.answered.insert(peer(&gone));
    let subjects = Subjects { upstreams: [gone].into(), ..Subjects::default() };
    for expected in [1, 0] {
        let mut rows = Rows::default();
        source.measure(&subjects, &mut rows).unwrap();
        let rows = rows.into_inner();
        assert_eq!(rows.len(), expected);
        assert!(rows.iter().all(|(_, kind)| *kind == row(peer(&gone), None).into()));
    }
}
