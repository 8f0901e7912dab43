//! What an event, a scrape and a container cost: `cargo test --release -p aftertrace-registry -- --ignored --nocapture speed`.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement needs a clock"
)]

use aftertrace_schemas::Observation;
use aftertrace_schemas::tables::*;

use crate::test_support::*;
use crate::{Config, Registry, SeriesLimits, exposition};

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

/// Containers that have 21 series each, as one with an application, a port and two upstreams has.
fn host_of(containers: u32) -> Scenario {
    fill(Scenario::new(), containers)
}

fn fill(mut scenario: Scenario, containers: u32) -> Scenario {
    for number in 0..containers {
        let cgroup = format!("/docker/{number:064x}");
        let pid = 1_000 + number;
        scenario.name(&cgroup, &format!("shop-{number}"));
        scenario.start(pid, &cgroup);
        scenario.exec(pid, &["/usr/sbin/nginx"]);
        scenario.apply(CgroupStats {
            cpu_limit_cores: Some(0.5),
            memory_limit_bytes: Some(64 << 20),
            ..usage(&cgroup, f64::from(number) * 1.25, 4_096)
        });
        let id = u64::from(number) * 10;
        scenario.listen(id, pid, ("10.0.0.9", 80));
        for upstream in 1..=2 {
            let address = format!("10.{}.{}.{upstream}", number / 256, number % 256);
            scenario.connect(id + upstream, pid, (&address, 5432));
            scenario.totals(TcpEventKind::Statistics, id + upstream, id * 1_001, 4_000, 1);
        }
    }
    scenario
}

#[test]
#[ignore = "a measurement, of use in a release build only"]
fn milliseconds_a_scrape() {
    for containers in [250, 500, 1_000, 2_000] {
        let scenario = host_of(containers);
        let mut best = [f64::MAX; 2];
        let (mut series, mut bytes) = (0, 0);
        for _ in 0..20 {
            let begin = std::time::Instant::now();
            let families = scenario.registry.collect();
            let collected = begin.elapsed();
            let text = exposition::prometheus_text(&families);
            let all = begin.elapsed();
            series = families.iter().map(|family| family.series.len()).sum();
            bytes = text.len();
            for (best, took) in best.iter_mut().zip([collected, all]) {
                *best = best.min(took.as_secs_f64() * 1e3);
            }
        }
        let [collected, all] = best;
        let each = all * 1e6 / series as f64;
        println!(
            "{containers} containers, {series} series, {bytes} bytes: {collected:.1} ms to collect, {all:.1} ms with the text, {each:.0} ns a series"
        );
    }
}

/// Seconds that the next tick takes.
fn tick(scenario: &mut Scenario) -> f64 {
    scenario.pass(10);
    let begin = std::time::Instant::now();
    scenario.mark();
    begin.elapsed().as_secs_f64()
}

#[test]
#[ignore = "a measurement, of use in a release build only"]
fn milliseconds_a_tick() {
    for containers in [250, 500, 1_000, 2_000] {
        let mut whole = host_of(containers);
        let whole = (0..5).map(|_| tick(&mut whole) * 1e3).fold(f64::MAX, f64::min);
        let mut flooded = host_of(containers);
        for number in 0..5_000_u32 {
            let address = std::net::Ipv4Addr::from(0xc000_0000 + number).to_string();
            flooded.connect((1 << 40) + u64::from(number), 1_000, (&address, 80));
        }
        let flooded = (0..5).map(|_| tick(&mut flooded) * 1e3).fold(f64::MAX, f64::min);
        let series = SeriesLimits { per_family: containers as usize, per_container: 1 };
        let mut cut = fill(Scenario::with(Config { series, ..Config::default() }), containers);
        let cut = (0..5).map(|_| tick(&mut cut) * 1e3).fold(f64::MAX, f64::min);
        println!(
            "{containers} containers: {whole:.1} ms a tick, {flooded:.1} ms when one has 5000 destinations, \
             {cut:.1} ms when all have too many"
        );
    }
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

/// What a registry of these observations holds. The scenario that made them lives on, so nothing freed is used again.
fn held_bytes(scenario: &Scenario) -> usize {
    let before = resident_bytes();
    let mut registry = Registry::new(Config::default());
    scenario.applied.iter().for_each(|observation| registry.apply(observation));
    resident_bytes() - before
}

#[test]
#[ignore = "a measurement; alone, as it is of the whole process"]
fn bytes_a_container() {
    let containers = 4_000;
    let held = held_bytes(&host_of(containers));
    println!("{containers} containers as above: {} bytes each", held / containers as usize);
    let mut scenario = Scenario::new();
    scenario.start(1, WEB);
    for number in 0..10_000_u32 {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + number).to_string();
        scenario.connect(number.into(), 1, (&address, 80));
    }
    println!(
        "10000 destinations with an open connection each: {} bytes each",
        held_bytes(&scenario) / 10_000
    );
}

/// Redis commands on ten connections, 10,000 a second.
fn commands(count: u64) -> Vec<Observation> {
    const GET: &[u8] = b"*2\r\n$3\r\nGET\r\n$7\r\ncounter\r\n";
    const ANSWER: &[u8] = b"$3\r\n123\r\n";
    let row = |connection_id, direction, position, bytes: &[u8]| SocketData {
        connection_id,
        direction,
        position,
        size_bytes: bytes.len() as u32,
        tls: false,
        payload: aftertrace_schemas::column::Bytes(bytes.into()),
    };
    let of = |number: u64| {
        let (id, turn) = (number % 10, number / 10);
        let asked = row(id, Direction::Sent, turn * GET.len() as u64, GET);
        [asked, row(id, Direction::Received, turn * ANSWER.len() as u64, ANSWER)]
    };
    let all = (0..count).flat_map(of).enumerate();
    all.map(|(seq, row)| {
        let time = 1_700_000_010_000_000_000 + seq as i64 * 50_000;
        Observation { seq: seq as u64, time, kind: row.into() }
    })
    .collect()
}

#[test]
#[ignore = "a measurement, of use in a release build only"]
fn nanoseconds_a_request() {
    let sampled = crate::SpanConfig::default();
    let all = crate::SpanConfig { per_second: None, ..sampled.clone() };
    let observations = commands(500_000);
    for (words, spans) in
        [("without spans", None), ("with 100 spans a second", Some(sampled)), ("with all spans", Some(all))]
    {
        let mut scenario = Scenario::with(Config { spans, ..Config::default() });
        scenario.start(1_000, WEB);
        for id in 0..10 {
            scenario.connect(id, 1_000, ("10.0.0.5", 6379));
        }
        let mut count = 0;
        let begin = std::time::Instant::now();
        for observation in &observations {
            scenario.registry.apply(observation);
            count += scenario.registry.drain_spans().count();
        }
        let nanoseconds = begin.elapsed().as_nanos() as f64 / (observations.len() / 2) as f64;
        println!("{words}: {nanoseconds:.0} ns a request, {count} spans");
    }
}
