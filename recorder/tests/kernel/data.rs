use std::io::{IoSlice, IoSliceMut, Read, Seek, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;

use aftertrace_bpf_programs::wire::flags;
use aftertrace_recorder::kernel::{Decision, Keep, KernelConfig};
use rustix::net::{RecvFlags, SendFlags};

use crate::recording::{Recording, Seen, config};

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    (client, server)
}

/// Position, size and kept bytes of the calls on the end that connected, or the one that accepted, in one direction.
fn calls(seen: &Seen, of_client: bool, sent: bool) -> Vec<(u32, u32, Vec<u8>)> {
    let client = seen.connects.first().expect("a connect").connection_id;
    seen.data
        .iter()
        .filter(|(record, _)| (record.connection_id == client) == of_client)
        .filter(|(record, _)| (u16::from(record.flags) & flags::SENT != 0) == sent)
        .map(|(record, bytes)| (record.position, record.size, bytes.clone()))
        .collect()
}

fn call(position: u32, bytes: &[u8]) -> (u32, u32, Vec<u8>) {
    (position, u32::try_from(bytes.len()).unwrap(), bytes.to_vec())
}

/// Calls sendmmsg(2) or recvmmsg(2) with one message a buffer; how many bytes each moved.
fn many(socket: &TcpStream, buffers: &mut [&mut [u8]], sends: bool) -> Vec<u32> {
    let mut vectors: Vec<libc::iovec> = buffers
        .iter_mut()
        .map(|buffer| libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() })
        .collect();
    let mut messages: Vec<libc::mmsghdr> = vectors
        .iter_mut()
        .map(|vector| {
            // SAFETY: all zero is a message without address, data and flags.
            let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
            message.msg_hdr.msg_iov = vector;
            message.msg_hdr.msg_iovlen = 1;
            message
        })
        .collect();
    let count = u32::try_from(messages.len()).unwrap();
    // SAFETY: messages, vectors and buffers live through the call, and their lengths are theirs.
    let moved = unsafe {
        match sends {
            true => libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), count, 0),
            false => {
                libc::recvmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), count, 0, std::ptr::null_mut())
            }
        }
    };
    assert_eq!(moved, i32::try_from(count).unwrap(), "{}", std::io::Error::last_os_error());
    messages.iter().map(|message| message.msg_len).collect()
}

fn every_call_that_moves_bytes_is_told_with_its_place_in_the_stream(config: KernelConfig) {
    let Some(mut recording) = Recording::begin_with(&config) else { return };
    let (mut client, mut server) = pair();
    let mut buffer = [0; 64];

    client.write_all(b"write").unwrap();
    assert_eq!(server.read(&mut buffer).unwrap(), 5);
    rustix::net::send(&client, b"send", SendFlags::empty()).unwrap();
    // A look is no move.
    rustix::net::recv(&server, &mut buffer[..], RecvFlags::PEEK).unwrap();
    rustix::net::recv(&server, &mut buffer[..], RecvFlags::empty()).unwrap();
    assert_eq!(client.write_vectored(&[IoSlice::new(b"wri"), IoSlice::new(b"tev")]).unwrap(), 6);
    let (mut first, mut second) = ([0; 2], [0; 30]);
    let into = &mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
    assert_eq!(server.read_vectored(into).unwrap(), 6);
    assert_eq!(many(&client, &mut [&mut b"one".to_vec()[..], &mut b"more".to_vec()[..]], true), [3, 4]);
    assert_eq!(many(&server, &mut [&mut [0; 3][..], &mut [0; 4][..]], false), [3, 4]);

    recording.wait_for(|seen| calls(seen, false, false).len() == 5);
    let seen = recording.end();
    let expected =
        [call(0, b"write"), call(5, b"send"), call(9, b"writev"), call(15, b"one"), call(18, b"more")];
    assert_eq!(calls(&seen, true, true), expected);
    assert_eq!(calls(&seen, false, false), expected);
    assert!(seen.data.iter().all(|(record, _)| u16::from(record.flags) & flags::FROM_START != 0));
}

fn the_end_of_a_stream_that_is_read_with_its_last_bytes_is_none_of_them(config: KernelConfig) {
    let Some(mut recording) = Recording::begin_with(&config) else { return };
    let (mut client, mut server) = pair();
    client.write_all(b"first").unwrap();
    client.write_all(b"last").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    server.read_exact(&mut [0; 5]).unwrap();
    assert_eq!(server.read(&mut [0; 64]).unwrap(), 4);
    recording.wait_for(|seen| calls(seen, false, false).len() == 2);
    let seen = recording.end();
    assert_eq!(calls(&seen, false, false), [call(0, b"first"), call(5, b"last")]);
}

fn what_sendfile_and_splice_move_has_a_size_and_no_bytes(config: KernelConfig) {
    let Some(mut recording) = Recording::begin_with(&config) else { return };
    let (client, mut server) = pair();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[7; 5000]).unwrap();
    file.rewind().unwrap();
    assert_eq!(rustix::fs::sendfile(&client, &file, None, 5000).unwrap(), 5000);
    server.read_exact(&mut [0; 5000]).unwrap();
    let (out, mut into) = std::io::pipe().unwrap();
    into.write_all(b"through a pipe").unwrap();
    let none = std::ptr::null_mut();
    // SAFETY: both descriptors are open, and no offsets are given.
    let moved = unsafe { libc::splice(out.as_raw_fd(), none, client.as_raw_fd(), none, 14, 0) };
    assert_eq!(moved, 14);
    server.read_exact(&mut [0; 14]).unwrap();

    recording.wait_for(|seen| calls(seen, true, true).len() == 2);
    let seen = recording.end();
    assert_eq!(calls(&seen, true, true), [(0, 5000, Vec::new()), (5000, 14, Vec::new())]);
}

fn of_a_long_call_the_head_is_kept(config: KernelConfig) {
    let config = KernelConfig { first_kept_bytes: 10, ..config };
    let Some(mut recording) = Recording::begin_with(&config) else { return };
    let (mut client, _server) = pair();
    client.write_all(b"0123456789abcdef").unwrap();
    assert_eq!(client.write_vectored(&[IoSlice::new(b"01234567"), IoSlice::new(b"89abcdef")]).unwrap(), 16);
    recording.wait_for(|seen| seen.data.len() == 2);
    let seen = recording.end();
    assert_eq!(calls(&seen, true, true), [(0, 16, b"0123456789".to_vec()), (16, 16, b"0123456789".to_vec())]);
}

fn a_decision_changes_what_is_kept_of_its_connection_only(config: KernelConfig) {
    let Some(mut recording) = Recording::begin_with(&config) else { return };
    let (mut client, mut server) = pair();
    client.write_all(b"first").unwrap();
    server.read_exact(&mut [0; 5]).unwrap();
    recording.wait_for(|seen| seen.data.len() == 2);
    let client_id = recording.seen.connects.first().expect("a connect").connection_id;
    let sock = |recording: &Recording, of_client: bool| {
        let mut all = recording.seen.data.iter();
        let found = all.find(|(record, _)| (record.connection_id == client_id) == of_client);
        found.map(|(record, _)| (record.sock, record.connection_id)).expect("its data")
    };
    let (of_client, of_server) = (sock(&recording, true), sock(&recording, false));
    let decide = |(sock, connection_id), keep| Decision { sock, connection_id, keep, is_plaintext: false };
    recording.kernel.decide(&[decide(of_client, Keep::Nothing), decide(of_server, Keep::Bytes(3))]).unwrap();
    // An old decision on a socket that is another connection's now.
    recording.kernel.decide(&[decide((of_server.0, 1), Keep::Nothing)]).unwrap();
    client.write_all(b"second").unwrap();
    server.read_exact(&mut [0; 6]).unwrap();
    recording.wait_for(|seen| seen.data.len() == 3);
    let seen = recording.end();
    assert_eq!(calls(&seen, true, true), [call(0, b"first")]);
    assert_eq!(calls(&seen, false, false), [call(0, b"first"), (5, 6, b"sec".to_vec())]);
}

fn a_connection_that_was_there_before_has_places_that_follow_each_other(config: KernelConfig) {
    let (mut client, mut server) = pair();
    client.write_all(b"unseen").unwrap();
    server.read_exact(&mut [0; 6]).unwrap();
    let Some(mut recording) = Recording::begin_with(&config) else { return };
    let mut found = Seen::default();
    recording.kernel.scan(|record| found.add(record)).unwrap();
    client.write_all(b"seen").unwrap();
    client.write_all(b"again").unwrap();
    recording.wait_for(|seen| seen.data.len() == 2);
    let records: Vec<_> = recording.seen.data.iter().map(|(record, _)| *record).collect();
    assert_eq!(records[0].position.wrapping_add(4), records[1].position);
    assert_eq!(u16::from(records[0].flags) & flags::FROM_START, 0);
}

fn datagrams_of_name_services_are_told_with_their_peers_and_others_are_not(config: KernelConfig) {
    let Some(mut recording) = Recording::begin_with(&config) else { return };
    let Ok(server) = UdpSocket::bind("127.77.0.1:53") else {
        panic!("port 53 of 127.77.0.1 is taken");
    };
    let client = UdpSocket::bind("127.77.0.2:0").unwrap();
    let other = UdpSocket::bind("127.77.0.1:0").unwrap();
    client.send_to(b"to nobody", other.local_addr().unwrap()).unwrap();
    client.send_to(b"question", server.local_addr().unwrap()).unwrap();
    let mut buffer = [0; 64];
    let (_, from) = server.recv_from(&mut buffer).unwrap();
    server.send_to(b"answer", from).unwrap();
    client.connect(server.local_addr().unwrap()).unwrap();
    client.recv(&mut buffer).unwrap();
    recording.wait_for(|seen| seen.datagrams.len() == 4);
    let seen = recording.end();
    let port = client.local_addr().unwrap().port();
    let told: Vec<_> = seen
        .datagrams
        .iter()
        .map(|(record, bytes)| {
            let is_sent = u16::from(record.flags) & flags::SENT != 0;
            (is_sent, record.local_port, record.remote_port, record.remote_ip[15], bytes.as_slice())
        })
        .collect();
    assert_eq!(
        told,
        [
            (true, port, 53, 1, &b"question"[..]),
            (false, 53, port, 2, b"question"),
            (true, 53, port, 2, b"answer"),
            (false, port, 53, 1, b"answer"),
        ]
    );
}

/// Tests of both ways to what is sent and received: where the kernel tells of sockets, and where it does not.
macro_rules! both_ways {
    ($($name:ident,)*) => {
        mod at_sockets {
            $(#[test]
            fn $name() {
                super::$name(super::config());
            })*
        }
        mod at_exits {
            $(#[test]
            fn $name() {
                super::$name(super::KernelConfig { data_at_exits: true, ..super::config() });
            })*
        }
    };
}

both_ways! {
    every_call_that_moves_bytes_is_told_with_its_place_in_the_stream,
    the_end_of_a_stream_that_is_read_with_its_last_bytes_is_none_of_them,
    what_sendfile_and_splice_move_has_a_size_and_no_bytes,
    of_a_long_call_the_head_is_kept,
    a_decision_changes_what_is_kept_of_its_connection_only,
    a_connection_that_was_there_before_has_places_that_follow_each_other,
    datagrams_of_name_services_are_told_with_their_peers_and_others_are_not,
}
