//! Measures the trace writer: floods it with TCP events and prints CPU, memory and bytes a row.
//!
//! `cargo run --release -p aftertrace-recorder --example trace_flood -- DIR [ROWS_PER_SECOND] [SECONDS]`
//!
//! The rows are those of a connection storm between some dozens of local processes: connect, accept and two closes
//! a connection, with ids, times and counters as the kernel side gives them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a measurement, not a product"
)]

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use aftertrace_recorder::trace::{TraceWriter, WriterOptions};
use aftertrace_schemas::column::Ip;
use aftertrace_schemas::manifest::{Anchor, Host, Manifest, Options, Retired};
use aftertrace_schemas::tables::{Mark, MarkKind, TcpEvent, TcpEventKind, TcpState};
use aftertrace_schemas::{Kind, Observation};

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Most values near `typical`, some many times it.
    fn skewed(&mut self, typical: u64) -> u64 {
        let shift = self.next().trailing_ones().min(8);
        (typical << shift) / 2 + self.below(typical)
    }
}

const CLIENTS: u64 = 24;
const SERVERS: u64 = 12;
/// Connections that are open at a time.
const OPEN: usize = 64;

#[derive(Clone)]
struct Connection {
    ids: [u64; 2],
    client: u64,
    server: u64,
    port: u16,
    sent: u64,
    received: u64,
    rtt_us: u32,
}

struct Storm {
    numbers: Numbers,
    counters: [u64; 2],
    open: Vec<Connection>,
    ready: Vec<TcpEvent>,
}

impl Storm {
    fn new() -> Self {
        Self {
            numbers: Numbers(0x9e37_79b9_7f4a_7c15),
            counters: [0; 2],
            open: Vec::new(),
            ready: Vec::new(),
        }
    }

    fn next(&mut self) -> TcpEvent {
        if self.ready.is_empty() {
            self.turn();
        }
        self.ready.pop().unwrap()
    }

    fn id(&mut self) -> u64 {
        let cpu = self.numbers.below(2);
        self.counters[cpu as usize] += 1;
        self.counters[cpu as usize] << 12 | cpu
    }

    fn turn(&mut self) {
        let numbers = &mut self.numbers;
        let connection = Connection {
            ids: [0; 2],
            client: numbers.below(CLIENTS),
            server: numbers.below(SERVERS),
            port: 32_768 + numbers.below(28_232) as u16,
            sent: numbers.skewed(200),
            received: numbers.skewed(1500),
            rtt_us: 20 + numbers.below(60) as u32,
        };
        let connection = Connection { ids: [self.id(), self.id()], ..connection };
        let handshake = self.numbers.skewed(20_000);
        // In reverse: the last is taken first.
        if self.open.len() == OPEN {
            let index = self.numbers.below(OPEN as u64) as usize;
            let closing = self.open.swap_remove(index);
            self.ready.push(end(&closing, 1));
            self.ready.push(end(&closing, 0));
        }
        self.ready.push(begin(&connection, 1, None));
        self.ready.push(begin(&connection, 0, Some(handshake)));
        self.open.push(connection);
    }
}

fn ip(host: u64) -> Ip {
    IpAddr::V4(Ipv4Addr::new(172, 18, 0, host as u8)).into()
}

fn process(connection: &Connection, side: usize) -> (u32, u64) {
    let process = if side == 0 { connection.client } else { 100 + connection.server };
    (4_000 + 37 * process as u32, 1_000_000_000_000 + 770_000_000 * process)
}

fn ports(connection: &Connection, side: usize) -> (u16, u16) {
    let server = 8_000 + connection.server as u16 * 10;
    if side == 0 { (connection.port, server) } else { (server, connection.port) }
}

fn begin(connection: &Connection, side: usize, handshake_ns: Option<u64>) -> TcpEvent {
    let (pid, start) = process(connection, side);
    let (local_port, remote_port) = ports(connection, side);
    let (client, server) = (ip(2 + connection.client), ip(100 + connection.server));
    let (local, remote) = if side == 0 { (client, server) } else { (server, client) };
    TcpEvent {
        kind: if side == 0 { TcpEventKind::Connect } else { TcpEventKind::Accept },
        connection_id: connection.ids[side],
        pid: Some(pid),
        process_start_ns: Some(start),
        local_ip: Some(local),
        local_port: Some(local_port),
        remote_ip: Some(remote),
        remote_port: Some(remote_port),
        network_namespace: Some(4_026_532_000 + (pid % 7)),
        handshake_ns,
        errno: None,
        state: None,
        bytes_sent: None,
        bytes_received: None,
        retransmits: None,
        smoothed_rtt_us: Some(connection.rtt_us),
        inferred: false,
    }
}

fn end(connection: &Connection, side: usize) -> TcpEvent {
    let (pid, start) = process(connection, side);
    let (local_port, remote_port) = ports(connection, side);
    let (sent, received) = if side == 0 {
        (connection.sent, connection.received)
    } else {
        (connection.received, connection.sent)
    };
    TcpEvent {
        kind: TcpEventKind::Close,
        connection_id: connection.ids[side],
        pid: Some(pid),
        process_start_ns: Some(start),
        local_ip: None,
        local_port: Some(local_port),
        remote_ip: None,
        remote_port: Some(remote_port),
        network_namespace: None,
        handshake_ns: None,
        errno: Some(0),
        state: Some(if side == 0 { TcpState::LastAck } else { TcpState::FinWait2 }),
        bytes_sent: Some(sent),
        bytes_received: Some(received),
        retransmits: Some(0),
        smoothed_rtt_us: Some(connection.rtt_us + side as u32),
        inferred: false,
    }
}

fn manifest() -> Manifest {
    Manifest {
        format_version: Manifest::VERSIONS.0,
        least_reader_version: Manifest::VERSIONS.1,
        recorder_version: env!("CARGO_PKG_VERSION").to_owned(),
        host: Host {
            hostname: "flood".to_owned(),
            kernel_version: "none".to_owned(),
            architecture: "none".to_owned(),
            machine_id: "none".to_owned(),
            boot_id: "none".to_owned(),
        },
        anchor: Anchor { boot_ns: 0, realtime_ns: 1_700_000_000_000_000_000 },
        started: 1_700_000_000_000_000_000,
        ended: None,
        end_reason: None,
        options: Options { journal_interval_ms: 1000, ..Options::default() },
        probes: Vec::new(),
        segments: Vec::new(),
        retired: Retired::default(),
        losses: Default::default(),
    }
}

/// User and system time of this process so far, and its peak memory in KiB.
fn usage() -> (Duration, i64) {
    let times = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = times.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    (Duration::from_millis(ticks * 10), peak.trim().trim_end_matches(" kB").parse().unwrap())
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().expect("a directory to write to"));
    let rate: u64 = arguments.next().map_or(200_000, |rate| rate.parse().unwrap());
    let seconds: u64 = arguments.next().map_or(30, |seconds| seconds.parse().unwrap());

    // The cost of making the rows is not the writer's.
    let before = usage().0;
    let mut storm = Storm::new();
    for _ in 0..2_000_000 {
        std::hint::black_box(storm.next());
    }
    let row_cost = (usage().0 - before).as_secs_f64() / 2e6;

    let (_, rss_before) = usage();
    let mut writer = TraceWriter::create(&dir, manifest(), WriterOptions::default()).unwrap();
    let mut storm = Storm::new();
    let cpu_before = usage().0;
    let started = Instant::now();
    let mut seq = 0u64;
    let mut time = 1_700_000_000_000_000_000i64;
    let mut longest = Duration::ZERO;
    let mut observe = |writer: &mut TraceWriter, kind: Kind, time: i64| {
        seq += 1;
        writer.append(&Observation { seq, time, kind }).unwrap();
    };
    // As the recorder does: every 20 ms what came meanwhile.
    let slice = Duration::from_millis(20);
    for turn in 0..seconds * 50 {
        let begun = Instant::now();
        for _ in 0..rate / 50 {
            time += 100 + storm.numbers.below(2 * 1_000_000_000 / rate) as i64;
            let event = storm.next();
            observe(&mut writer, event.into(), time);
        }
        writer.tick(Instant::now()).unwrap();
        if writer.segment_is_full(Instant::now()) {
            writer.begin_segment().unwrap();
            let segment = writer.segment();
            let mark = Mark { kind: MarkKind::SegmentStart, segment, detail: None };
            observe(&mut writer, mark.into(), time);
        }
        for loss in writer.take_losses() {
            println!("lost {} of {}: {}", loss.lost, loss.source, loss.cause);
            observe(&mut writer, loss.into(), time);
        }
        longest = longest.max(begun.elapsed());
        if let Some(left) = (slice * (turn as u32 + 1)).checked_sub(started.elapsed()) {
            std::thread::sleep(left);
        }
    }
    let took = started.elapsed();
    let lost = writer.stats().lost;
    let summary = writer.finish("the flood is over").unwrap();
    let (cpu, peak) = usage();
    let cpu = (cpu - cpu_before).as_secs_f64();
    let manifest = Manifest::from_json(&std::fs::read(dir.join("trace.json")).unwrap()).unwrap();
    let (rows, bytes) = manifest
        .segments
        .iter()
        .filter_map(|segment| segment.tables.get("tcp_events"))
        .fold((0, 0), |(rows, bytes), table| (rows + table.rows, bytes + table.bytes));
    println!(
        "rows            {rows} in {:.1} s, {} segments, {lost} lost",
        took.as_secs_f64(),
        manifest.segments.len()
    );
    println!("bytes a row     {:.2}", bytes as f64 / rows as f64);
    println!(
        "cpu a row       {:.3} us ({:.3} us of it makes the row)",
        cpu * 1e6 / rows as f64,
        row_cost * 1e6
    );
    println!("peak memory     {} KiB ({} KiB before the writer)", peak, rss_before);
    println!("longest turn    {} ms of 20", longest.as_millis());
    println!("on disk         {} bytes", summary.stats.disk_bytes);
}
