//! How long an event takes: `cargo test --release -p aftertrace-registry -- --ignored --nocapture nanoseconds`.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement needs a clock"
)]

use aftertrace_schemas::Observation;
use aftertrace_schemas::tables::*;

use crate::test_support::*;

const CONNECTIONS: u64 = 1_000_000;

/// Connections of `processes` processes to 100 destinations, `open` of them at a time.
fn storm(open: u64, processes: u32) -> Vec<Observation> {
    let mut kinds = Vec::new();
    let destinations: Vec<_> = (0..100).map(|last| ip(&format!("10.0.0.{last}"))).collect();
    for number in 0..CONNECTIONS + open {
        if number < CONNECTIONS {
            let pid = 1_000 + (number % u64::from(processes)) as u32;
            let mut row = tcp(TcpEventKind::Connect, (number << 12) | (number % 8), pid, ("10.0.0.1", 80));
            row.remote_ip = Some(destinations[(number % 100) as usize]);
            kinds.push(row);
        }
        if let Some(ended) = number.checked_sub(open) {
            let row = tcp(TcpEventKind::Close, (ended << 12) | (ended % 8), 0, ("10.0.0.1", 80));
            kinds.push(TcpEvent {
                bytes_sent: Some(1_000),
                bytes_received: Some(9_000),
                retransmits: Some(0),
                ..row
            });
        }
    }
    let all = kinds.into_iter().enumerate();
    all.map(|(seq, row)| Observation { seq: seq as u64, time: seq as i64 * 5_000, kind: row.into() })
        .collect()
}

#[test]
#[ignore = "a measurement, of use in a release build only"]
fn nanoseconds_a_tcp_event() {
    for (open, processes) in [(1, 1), (1_000, 100), (100_000, 1_000)] {
        let mut scenario = Scenario::new();
        for pid in 0..processes {
            scenario.start(1_000 + pid, WEB);
        }
        let observations = storm(open, processes);
        let begin = std::time::Instant::now();
        observations.iter().for_each(|observation| scenario.registry.apply(observation));
        let nanoseconds = begin.elapsed().as_nanos() as f64 / observations.len() as f64;
        println!("{open} open connections of {processes} processes: {nanoseconds:.0} ns an event");
        assert_eq!(scenario.registry.containers()[0].connects, CONNECTIONS);
    }
}
