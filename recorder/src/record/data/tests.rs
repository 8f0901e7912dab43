#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use aftertrace_bpf_programs::wire::{DataRecord, RecordHeader, kind};

use super::*;
use crate::record::waiting_bytes::WaitingBytes;

const HEADER: RecordHeader = RecordHeader { kind: kind::DATA, length: 0, cpu: 0, account: 0, time_ns: 0 };

/// The row of a call.
fn row(data: &mut Data, is_sent: bool, position: u32, bytes: &[u8]) -> Option<SocketData> {
    let mut waiting = WaitingBytes::default();
    let record = DataRecord {
        header: HEADER,
        connection_id: 7,
        sock: 99,
        position,
        size: u32::try_from(bytes.len()).unwrap(),
        kept_bytes: 0,
        flags: u8::from(is_sent),
        reserved_byte: 0,
        reserved: 0,
    };
    let call = Call::new(&record, waiting.add(bytes));
    data.row(&call, waiting.take(call.bytes))
}

fn data(payload: Payload) -> Data {
    let mut data = Data::new(DataConfig { payload, ..DataConfig::default() });
    data.opened(7, Side::Client, Some(6379), true);
    data
}

#[test]
fn a_known_protocol_is_kept_without_its_passwords() {
    let mut data = data(Payload::Head);
    let row = row(&mut data, true, 0, b"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n").unwrap();
    assert_eq!(&*row.payload.0, b"*2\r\n$4\r\nAUTH\r\n$6\r\n******\r\n");
    let kept = DataConfig::default().head_bytes;
    let decision = Decision { sock: 99, connection_id: 7, is_plaintext: false, keep: Keep::Bytes(kept) };
    assert_eq!(data.take_decisions(), [decision]);
}

#[test]
fn what_a_client_says_first_is_no_login_to_a_server_that_greets() {
    let mut data = data(Payload::Head);
    // A binary command of memcached, whose first bytes are those of a login packet of MySQL, and a part of the next.
    let command =
        [&[0x80, 1, 0, 1, 8, 0, 0, 0, 0, 0, 0, 13], &[0; 20][..], b"btext", &[0x80, 9, 0, 1], &[0; 20]]
            .concat();
    assert_eq!(&*row(&mut data, true, 0, &command).unwrap().payload.0, command);
}

#[test]
fn what_is_encrypted_or_unknown_is_ignored() {
    let mut data = data(Payload::Head);
    assert!(row(&mut data, true, 0, &[22, 3, 1, 0, 5, 1, 0, 0, 1, 3]).is_none());
    assert_eq!(data.take_decisions().first().map(|decision| decision.keep), Some(Keep::Encrypted));
    assert!(row(&mut data, false, 0, &[22, 3, 3, 0, 5, 2]).is_none(), "what was under way already");
}

#[test]
fn sizes_stay_when_no_payload_is_asked_for() {
    let mut data = data(Payload::None);
    let row = row(&mut data, true, 0, b"*1\r\n$4\r\nPING\r\n").unwrap();
    assert_eq!((row.size_bytes, row.payload.0.len()), (14, 0));
    assert_eq!(data.take_decisions().first().map(|decision| decision.keep), Some(Keep::Bytes(0)));
}

#[test]
fn positions_go_on_where_the_kernels_number_begins_anew() {
    let mut connection = Connection::new(Side::Client, 0);
    assert_eq!(connection.position(Side::Client, u32::MAX - 9, 10), u64::from(u32::MAX) - 9);
    assert_eq!(connection.position(Side::Client, 0, 5), 1 << 32);
    assert_eq!(connection.position(Side::Client, 100, 5), (1 << 32) + 100, "a gap");
    assert_eq!(connection.position(Side::Client, 50, 5), (1 << 32) + 50, "out of order");
}

#[test]
fn a_known_protocol_may_turn_to_tls_and_may_carry_bytes_that_look_like_it() {
    let mut data = data(Payload::Head);
    assert!(row(&mut data, true, 0, b"*1\r\n$4\r\nPING\r\n").is_some());
    assert!(row(&mut data, false, 0, &[23, 3, 3, 0, 5, 2]).is_some());
    assert!(row(&mut data, true, 14, &[22, 3, 1, 0, 5, 1, 0, 0, 1, 3]).is_none());
}

#[test]
fn what_is_read_byte_by_byte_is_not_blanked_as_the_middle_of_another_protocol() {
    let mut data = data(Payload::Head);
    // The length before a message of DNS.
    for (position, byte) in [0_u8, 50].into_iter().enumerate() {
        let kept = row(&mut data, true, u32::try_from(position).unwrap(), &[byte]).unwrap();
        assert_eq!(&*kept.payload.0, [byte]);
    }
}
