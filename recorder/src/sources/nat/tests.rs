#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs;
use std::path::Path;

use aftertrace_schemas::tables::ProbeState;

use super::*;

fn request(connection_id: u64) -> NatRequest {
    NatRequest {
        connection_id,
        boot_ns: 1,
        pid: 1,
        network_namespace: 1,
        local: "10.0.0.1:1".parse().unwrap(),
        destination: "10.0.0.2:2".parse().unwrap(),
    }
}

fn states(rows: &[(u64, Kind)]) -> Vec<ProbeState> {
    rows.iter()
        .filter_map(|(_, row)| if let Kind::Probe(row) = row { Some(row.state) } else { None })
        .collect()
}

/// A host whose kernel tracks connections, and on which no process can be found.
fn tracking_host(root: &Path) -> Roots {
    let roots = Roots::below(root);
    fs::create_dir_all(roots.proc_file("sys/net/netfilter")).unwrap();
    fs::write(roots.proc_file("sys/net/netfilter/nf_conntrack_count"), "0\n").unwrap();
    roots
}

#[test]
fn where_no_connections_are_tracked_nothing_is_asked() {
    let root = tempfile::tempdir().unwrap();
    let mut source = NatSource::start(Roots::below(root.path())).unwrap();
    for id in 0..100_000 {
        source.want(Some(request(id)));
    }
    assert_eq!(source.collected, []);
    assert_eq!(states(&source.take_rows()), [ProbeState::Off, ProbeState::Off]);
    assert_eq!(source.take_losses(), NatLosses::default());
}

#[test]
fn more_questions_than_can_wait_are_counted() {
    let root = tempfile::tempdir().unwrap();
    let mut source = NatSource::start(tracking_host(root.path())).unwrap();
    for id in 0..MOST_OUTSTANDING as u64 + 10 {
        source.want(Some(request(id)));
    }
    assert_eq!(source.take_losses(), NatLosses { queue_full: 10, ..NatLosses::default() });
    source.ask();
    source.settle(Duration::from_secs(60));
    assert_eq!(source.outstanding, 0);
}

#[test]
fn questions_that_come_too_late_are_counted() {
    let root = tempfile::tempdir().unwrap();
    let mut source = NatSource::start(tracking_host(root.path())).unwrap();
    source.want(Some(request(1)));
    source.ask();
    let rows = source.settle(Duration::from_secs(60));
    assert_eq!(states(&rows), [ProbeState::Active, ProbeState::Off]);
    assert_eq!(source.take_losses(), NatLosses { deadline: 1, ..NatLosses::default() });
}
