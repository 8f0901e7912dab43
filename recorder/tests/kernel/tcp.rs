use std::io::{Read, Write};
use std::net::{Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::id;
use std::time::Duration;

use aftertrace_bpf_programs::wire::ConnectionRecord;

use crate::recording::{Recording, Seen};

fn mapped(address: SocketAddr) -> [u8; 16] {
    match address {
        SocketAddr::V4(address) => address.ip().to_ipv6_mapped().octets(),
        SocketAddr::V6(address) => address.ip().octets(),
    }
}

/// A listener and both ends of a connection to it.
fn connected(address: &str) -> (TcpListener, TcpStream, TcpStream) {
    let listener = TcpListener::bind(address).unwrap();
    let port = listener.local_addr().unwrap().port();
    // To a dual-stack listener by IPv4, which it sees as a mapped address.
    let to = if address == "[::]:0" {
        SocketAddr::from(([127, 0, 0, 1], port))
    } else {
        listener.local_addr().unwrap()
    };
    let client = TcpStream::connect(to).unwrap();
    let (server, _) = listener.accept().unwrap();
    (listener, client, server)
}

fn both_closed(seen: &Seen) -> bool {
    seen.closes.len() == seen.connects.len() + seen.accepts.len()
}

#[test]
fn bytes_are_exact_whoever_closes_first() {
    let Some(mut recording) = Recording::begin() else { return };
    let mut expected = Vec::new();
    for (case, address) in ["127.0.0.1:0", "[::1]:0", "[::]:0"].into_iter().cycle().take(12).enumerate() {
        let (_listener, mut client, mut server) = connected(address);
        let (request, response) = ((case * 70_001) % 200_000, (case * 31_337) % 100_000);
        let answer = std::thread::spawn(move || {
            server.read_exact(&mut vec![0; request]).unwrap();
            server.write_all(&vec![1; response]).unwrap();
            server
        });
        client.write_all(&vec![2; request]).unwrap();
        client.read_exact(&mut vec![0; response]).unwrap();
        let mut server = answer.join().unwrap();
        if case % 2 == 0 {
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(server.read(&mut [0]).unwrap(), 0);
            drop(server);
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
        } else {
            server.shutdown(Shutdown::Write).unwrap();
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
            drop(client);
            assert_eq!(server.read(&mut [0]).unwrap(), 0);
        }
        expected.push((request as u64, response as u64));
    }
    recording.wait_for(|seen| seen.accepts.len() == 12 && both_closed(seen));
    let seen = recording.end();
    assert_eq!((seen.connects.len(), seen.accepts.len(), seen.closes.len()), (12, 12, 24));
    assert_eq!((seen.listens.len(), seen.listen_closes.len()), (12, 12));
    for (place, (request, response)) in expected.into_iter().enumerate() {
        let (client, server) = (seen.close_of(&seen.connects[place]), seen.close_of(&seen.accepts[place]));
        assert_eq!((client.bytes_sent, client.bytes_received), (request, response), "{client:?}");
        assert_eq!((server.bytes_sent, server.bytes_received), (response, request), "{server:?}");
        assert_eq!((client.error, server.error), (0, 0));
    }
}

#[test]
fn both_ends_have_their_addresses_and_owner() {
    let Some(mut recording) = Recording::begin() else { return };
    let (listener, client, server) = connected("[::]:0");
    let listening = listener.local_addr().unwrap();
    let ends = [&client, &server].map(|end| (end.local_addr().unwrap(), end.peer_addr().unwrap()));
    drop((client, server, listener));
    recording.wait_for(|seen| both_closed(seen) && !seen.closes.is_empty());
    let seen = recording.end();
    let listen = seen.listens[0];
    assert_eq!((listen.local_ip, listen.local_port), (Ipv6Addr::UNSPECIFIED.octets(), listening.port()));
    let namespace = std::fs::read_link("/proc/self/ns/net").unwrap().display().to_string();
    for (record, (local, remote)) in [seen.connects[0], seen.accepts[0]].into_iter().zip(ends) {
        assert_eq!((record.local_ip, record.local_port), (mapped(local), local.port()));
        assert_eq!((record.remote_ip, record.remote_port), (mapped(remote), remote.port()));
        assert_eq!(record.pid, id());
        assert!(namespace.contains(&format!("[{}]", record.network_namespace)));
        assert!(record.smoothed_rtt_us > 0);
    }
    assert!(seen.connects[0].handshake_ns > 0);
}

fn errors(work: impl FnOnce()) -> Option<Vec<ConnectionRecord>> {
    let mut recording = Recording::begin()?;
    work();
    recording.wait_for(|seen| !seen.connect_errors.is_empty());
    let seen = recording.end();
    assert!(seen.connects.is_empty() && seen.closes.is_empty());
    Some(seen.connect_errors)
}

#[test]
fn a_refused_connect_is_one_error_with_its_destination() {
    let Some(errors) = errors(|| assert!(TcpStream::connect("127.0.0.1:1").is_err())) else { return };
    assert_eq!(errors.len(), 1);
    assert_eq!((errors[0].error, errors[0].remote_port, errors[0].pid), (111, 1, id()));
    assert_eq!(errors[0].remote_ip, mapped(SocketAddr::from(([127, 0, 0, 1], 1))));
    assert!(errors[0].handshake_ns > 0);
}

#[test]
fn a_connect_that_the_kernel_gives_up_at_once_is_one_error() {
    let Some(errors) = errors(|| assert!(TcpStream::connect("255.255.255.255:9").is_err())) else { return };
    assert_eq!(errors.len(), 1);
    assert_eq!((errors[0].error, errors[0].remote_port), (101, 9));
    assert_eq!(errors[0].remote_ip, mapped(SocketAddr::from(([255, 255, 255, 255], 9))));
}

/// A socket that does not block, with a connect under way or done; what connect() returned.
fn nonblocking_connect(port: u16) -> (std::os::fd::OwnedFd, rustix::io::Result<()>) {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
    let result = connect(&socket, &SocketAddr::from(([127, 0, 0, 1], port)));
    (socket, result)
}

#[test]
fn a_connect_that_does_not_block_is_one_connection() {
    let Some(mut recording) = Recording::begin() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (socket, result) = nonblocking_connect(listener.local_addr().unwrap().port());
    assert!(matches!(result, Ok(()) | Err(rustix::io::Errno::INPROGRESS)));
    drop((listener.accept().unwrap(), socket));
    recording.wait_for(|seen| seen.accepts.len() == 1 && both_closed(seen));
    let seen = recording.end();
    assert_eq!((seen.connects.len(), seen.accepts.len(), seen.connect_errors.len()), (1, 1, 0));
}

#[test]
fn a_connect_that_does_not_block_and_is_refused_is_one_error_though_asked_for_twice() {
    let Some(errors) = errors(|| {
        let (socket, _) = nonblocking_connect(1);
        std::thread::sleep(Duration::from_millis(20));
        let again = rustix::net::connect(&socket, &SocketAddr::from(([127, 0, 0, 1], 1)));
        assert!(again.is_err());
    }) else {
        return;
    };
    assert_eq!(errors.iter().map(|error| error.error).collect::<Vec<_>>(), [111]);
}

#[test]
fn datagram_sockets_are_no_connections() {
    let Some(recording) = Recording::begin() else { return };
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect("127.0.0.1:9").unwrap();
    let seen = recording.end();
    assert!(seen.connects.is_empty() && seen.connect_errors.is_empty());
}

#[test]
fn duplicates_of_a_descriptor_are_one_connection() {
    let Some(mut recording) = Recording::begin() else { return };
    let (_listener, client, server) = connected("127.0.0.1:0");
    let duplicate = client.try_clone().unwrap();
    drop(client);
    std::thread::sleep(Duration::from_millis(50));
    recording.drain();
    assert!(recording.seen.closes.is_empty());
    drop((duplicate, server));
    recording.wait_for(|seen| seen.closes.len() == 2);
    assert_eq!(recording.end().closes.len(), 2);
}

#[test]
fn a_connection_that_a_forked_worker_accepts_is_the_workers_and_ends_when_it_is_killed() {
    let Some(mut recording) = Recording::begin() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // SAFETY: the child calls nothing but accept and pause, which are safe after a fork of a threaded process.
    let worker = unsafe { libc::fork() };
    if worker == 0 {
        // SAFETY: as above; no pointers are passed.
        unsafe {
            libc::accept(listener.as_raw_fd(), std::ptr::null_mut(), std::ptr::null_mut());
            libc::pause();
            libc::_exit(0);
        }
    }
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.write_all(b"hello").unwrap();
    recording.wait_for(|seen| seen.accepts.len() == 1);
    // SAFETY: the child of this test.
    unsafe {
        libc::kill(worker, libc::SIGKILL);
        libc::waitpid(worker, std::ptr::null_mut(), 0);
    }
    let mut byte = [0];
    let _ = client.read(&mut byte);
    drop(client);
    recording.wait_for(|seen| seen.closes.len() == 2);
    let seen = recording.end();
    let worker = u32::try_from(worker).unwrap();
    assert_eq!((seen.connects[0].pid, seen.accepts[0].pid), (id(), worker));
    assert_eq!(seen.accepts[0].start_ns, seen.starts[0].start_ns);
    let close = seen.close_of(&seen.accepts[0]);
    assert_eq!((close.pid, close.bytes_received), (worker, 5));
    assert_eq!(seen.exits[0].status, 9);
}

#[test]
fn the_scan_finds_sockets_that_were_there_and_tells_of_each_once() {
    let (listener, mut client, mut server) = connected("127.0.0.1:0");
    client.write_all(&[0; 1000]).unwrap();
    server.read_exact(&mut [0; 1000]).unwrap();
    let Some(mut recording) = Recording::begin() else { return };
    let (_later_listener, later, _later_server) = connected("127.0.0.1:0");
    for _ in 0..2 {
        let Recording { kernel, seen, .. } = &mut recording;
        kernel.scan(|record| seen.add(record)).unwrap();
    }
    let Recording { kernel, seen, .. } = &mut recording;
    let alive = kernel.sweep(|record| seen.add(record)).unwrap();
    drop((listener, client, server));
    recording.wait_for(|seen| seen.closes.len() == 2);
    let seen = recording.end();
    assert_eq!((seen.existing_listens.len(), seen.existing_connections.len()), (1, 2));
    assert_eq!((seen.connects.len(), seen.accepts.len()), (1, 1));
    assert_eq!(alive.len(), 6);
    let outbound = seen.existing_connections.iter().find(|found| !found.is_bound()).unwrap();
    let inbound = seen.existing_connections.iter().find(|found| found.is_bound()).unwrap();
    assert_eq!(outbound.local_port, inbound.remote_port);
    assert_ne!(outbound.local_port, later.local_addr().unwrap().port());
    for (found, sent, received) in [(outbound, 1000, 0), (inbound, 0, 1000)] {
        let swept = seen.statistics.iter().find(|row| row.connection_id == found.connection_id).unwrap();
        assert_eq!((swept.bytes_sent, swept.bytes_received), (sent, received));
        let close = seen.close_of(found);
        assert_eq!((close.bytes_sent, close.bytes_received), (sent, received));
    }
    assert_eq!(seen.statistics.len(), 4);
}
