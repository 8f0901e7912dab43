use std::net::{TcpListener, TcpStream};
use std::process::Command;

use aftertrace_recorder::kernel::KernelConfig;

use crate::recording::{Recording, config};

fn flood() {
    let work = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        for _ in 0..500 {
            let client = TcpStream::connect(address).unwrap();
            let (server, _) = listener.accept().unwrap();
            drop((client, server));
        }
    };
    let threads = [std::thread::spawn(work), std::thread::spawn(work)];
    for _ in 0..50 {
        Command::new("/bin/true").status().unwrap();
    }
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn the_ledger_balances_at_four_ring_sizes_under_a_flood() {
    for bytes in [4096, 16_384, 65_536, 4 << 20] {
        let config = KernelConfig {
            lifecycle_ring_bytes: bytes,
            connection_ring_bytes: bytes,
            connection_rings: 2,
            ..config()
        };
        let Some(mut recording) = Recording::begin_with(&config) else { return };
        flood();
        // Late ends of connections come by timer.
        std::thread::sleep(std::time::Duration::from_millis(100));
        recording.kernel.detach();
        recording.drain();
        recording.check_accounts();
        let dropped: u64 = recording.kernel.ledger().iter().map(|row| row.dropped_ring_full).sum();
        let seen = &recording.seen;
        if bytes == 4 << 20 {
            assert_eq!((dropped, seen.starts.len(), seen.exits.len()), (0, 50, 50));
            assert_eq!((seen.connects.len(), seen.accepts.len(), seen.closes.len()), (1000, 1000, 2000));
            assert_eq!((seen.listens.len(), seen.listen_closes.len()), (2, 2));
        } else {
            assert!(dropped > 0, "{bytes} bytes were enough");
        }
    }
}

#[test]
fn connections_that_find_no_room_are_counted() {
    let Some(recording) = Recording::begin_with(&KernelConfig { max_connections: 4, ..config() }) else {
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let clients: Vec<_> =
        (0..8).map(|_| TcpStream::connect(listener.local_addr().unwrap()).unwrap()).collect();
    let lost: u64 = recording.kernel.ledger().iter().map(|row| row.dropped_map_full).sum();
    let seen = recording.end();
    assert!(lost > 0, "{} connects seen of {}", seen.connects.len(), clients.len());
    assert_eq!(seen.connects.len() as u64 + lost, 8);
}

#[test]
fn what_a_full_ring_lost_of_sockets_the_next_scan_finds() {
    let config = KernelConfig { connection_ring_bytes: 4096, ..config() };
    let Some(mut recording) = Recording::begin_with(&config) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let clients: Vec<_> =
        (0..100).map(|_| TcpStream::connect(listener.local_addr().unwrap()).unwrap()).collect();
    let servers: Vec<_> = (0..100).map(|_| listener.accept().unwrap()).collect();
    recording.drain();
    let known = recording.seen.connects.len() + recording.seen.accepts.len();
    assert!(known < 200);
    let Recording { kernel, seen, .. } = &mut recording;
    kernel.scan(|record| seen.add(record)).unwrap();
    assert_eq!(known + recording.seen.existing_connections.len(), 200);
    drop((clients, servers));
}

#[test]
fn costs_and_memory_are_told() {
    let Some(mut recording) = Recording::begin_with(&KernelConfig { measure_costs: true, ..config() }) else {
        return;
    };
    Command::new("/bin/true").status().unwrap();
    recording.drain();
    let costs = recording.kernel.program_costs();
    let exec = costs.iter().find(|cost| cost.program == "sched:sched_process_exec").unwrap();
    assert!(exec.run_count > 0 && exec.run_time_ns > 0);
    assert!(recording.kernel.memory_bytes() > 2 << 20);
}
