//! Messages are built after `FlowTransport.actor.cpp` and `flat_buffers.h`.

use proptest::prelude::*;

use super::{DEFINITION, recognise};
use crate::damage::{check_survives, damaged, playing};
use crate::testing::{Playing, Turn, check_cuts, check_losses, client, recognised, server, told};
use crate::{Recognition, Side};

const GET_VALUE: u32 = 8_454_530;
const COMMIT: u32 = 93_948;
const REPLY: u32 = 2 << 24 | 1_378_929;

fn connect() -> Vec<u8> {
    let mut bytes = 40_u32.to_le_bytes().to_vec();
    bytes.extend(0x1FDB_00B0_7201_0001_u64.to_le_bytes());
    bytes.extend([0x94, 0x11]);
    bytes.extend(7_u64.to_le_bytes());
    bytes.extend([127, 0, 0, 1, 0, 0]);
    bytes.extend([0; 16]);
    bytes
}

/// The token at which a reply is awaited.
fn reply_token(number: u64) -> [u8; 16] {
    let random = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 0x0100_0000_0100_0000;
    let token = [(random & !1).to_le_bytes(), ((random & !0xffff_ffff) | number).to_le_bytes()];
    token.concat().try_into().unwrap_or_default()
}

fn framed(checksum: usize, token: [u8; 16], body: &[u8]) -> Vec<u8> {
    let length = (16 + body.len()) as u32;
    [&length.to_le_bytes()[..], &vec![0xc5; checksum], &token, body].concat()
}

/// A request: its root has one field, a table with the reply's token and a value.
fn request(checksum: usize, kind: u32, number: u64, value: &[u8]) -> Vec<u8> {
    let mut token = [0x51; 16];
    token[8..].copy_from_slice(&[3, 0, 0, 0, 0x77, 0x66, 0x55, 0x44]);
    let body = [
        &16_u32.to_le_bytes()[..],
        &kind.to_le_bytes(),
        &[6, 0, 8, 0, 4, 0, 0, 0],
        &8_u32.to_le_bytes(),
        &4_u32.to_le_bytes(),
        &reply_token(number),
        value,
    ];
    framed(checksum, token, &body.concat())
}

/// A reply: its root says which it is, and where that is.
fn reply(checksum: usize, number: u64, error: Option<u16>, value: &[u8]) -> Vec<u8> {
    let kind = if error.is_some() { 1 } else { 2 };
    let code = error.unwrap_or_default().to_le_bytes();
    let body = [
        &24_u32.to_le_bytes()[..],
        &REPLY.to_le_bytes(),
        // Fields of the root: a byte at 8, an offset at 4. Those of the error: two bytes at 4.
        &[8, 0, 9, 0, 8, 0, 4, 0],
        &[6, 0, 6, 0, 4, 0, 0, 0],
        &16_u32.to_le_bytes(),
        &8_u32.to_le_bytes(),
        &[kind, 0, 0, 0],
        &20_u32.to_le_bytes(),
        &code,
        &[0, 0],
        value,
    ];
    framed(checksum, reply_token(number), &body.concat())
}

fn session(checksum: usize) -> Vec<Turn> {
    let mut ping = [0xff; 16];
    ping[8..].copy_from_slice(&1_u64.to_le_bytes());
    let whole = request(checksum, 4_707_015, 9, b"");
    let mut ping = framed(checksum, ping, whole.get(20 + checksum..).unwrap_or_default());
    let asked = [request(checksum, GET_VALUE, 1, b"key"), request(checksum, GET_VALUE, 2, b"keys")];
    ping.extend(asked.concat());
    vec![
        client([connect(), ping].concat()),
        server([connect(), reply(checksum, 9, None, b"")].concat()),
        server([reply(checksum, 2, None, b"value"), reply(checksum, 1, Some(1009), b"")].concat()),
        client(request(checksum, COMMIT, 3, &[9; 3000])),
        server(reply(checksum, 3, Some(1020), &[7; 2000])),
        client(request(checksum, 4_242_424, 4, b"")),
        server(reply(checksum, 4, None, b"")),
    ]
}

#[test]
fn replies_answer_the_requests_that_name_their_tokens() {
    for checksum in [8, 4, 0] {
        let told = told(&DEFINITION, &session(checksum));
        assert_eq!(
            told.lines(),
            [
                "10-30-30 getValue ok db.operation.name=getValue",
                "10-30-30 getValue failed db.operation.name=getValue db.response.status_code=1009",
                "40-50-50 commitTransaction failed db.operation.name=commitTransaction \
                 db.response.status_code=1020",
                "60-70-70 request ok",
            ],
            "checksum of {checksum} bytes"
        );
        assert_eq!(recognised(&DEFINITION, &session(checksum)), Some("foundationdb"));
        check_cuts(&DEFINITION, &session(checksum));
    }
}

#[test]
fn connections_older_than_the_recording_are_recognised_by_kinds_of_requests() {
    for checksum in [8, 4, 0] {
        let middle = session(checksum).split_off(3);
        assert_eq!(recognised(&DEFINITION, &middle), Some("foundationdb"));
        assert_eq!(told(&DEFINITION, &middle).short(), ["commitTransaction failed", "request ok"]);
    }
}

#[test]
fn messages_beyond_what_is_kept_are_passed_over() {
    let told = Playing { kept_bytes: 350, call_bytes: 700, ..Playing::default() };
    let told = told.told(&DEFINITION, &session(8));
    assert_eq!(told.short(), ["getValue ok", "getValue failed", "commitTransaction failed", "request ok"]);
}

#[test]
fn other_messages_with_lengths_are_not_taken_for_it() {
    for bytes in
        [&[40, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8][..], &[24; 60], &[0; 100], b"\x28\0\0\0{\"json\":true}"]
    {
        assert_eq!(recognise(Side::Client, bytes, bytes.len() as u64), Recognition::Open);
    }
}

fn dialogue() -> impl Strategy<Value = Vec<Turn>> {
    let turns = prop::collection::vec((1_usize..5, 0_usize..300, any::<bool>()), 1..30);
    (turns, prop::sample::select(vec![8, 4, 0])).prop_map(|(turns, checksum)| {
        let mut dialogue = vec![client(connect()), server(connect())];
        let mut number = 0;
        for (requests, length, backwards) in turns {
            let numbers: Vec<u64> = (number..number + requests as u64).collect();
            number += requests as u64;
            let kinds = [GET_VALUE, COMMIT, 838_566];
            let ask = |number: &u64| {
                let kind = kinds.get(*number as usize % 3).copied().unwrap_or_default();
                request(checksum, kind, *number, &vec![1; length])
            };
            let answer = |number: &u64| {
                let error = number.is_multiple_of(5).then_some(1000 + *number as u16);
                reply(checksum, *number, error, &vec![2; length])
            };
            dialogue.push(client(numbers.iter().map(ask).collect::<Vec<_>>().concat()));
            let mut answers: Vec<_> = numbers.iter().map(answer).collect();
            if backwards {
                answers.reverse();
            }
            dialogue.push(server(answers.concat()));
        }
        dialogue
    })
}

proptest! {
    #[test]
    fn losses_make_no_wrong_pairs(
        dialogue in dialogue(),
        lost in prop::collection::vec(prop::bool::weighted(0.1), 0..50),
        kept_bytes in 64_usize..400,
        call_bytes in 1_usize..400,
    ) {
        check_losses(&DEFINITION, &dialogue, &Playing { kept_bytes, call_bytes, lost, redacts: false });
    }

    #[test]
    fn no_bytes_make_it_panic(dialogue in damaged(dialogue()), playing in playing()) {
        check_survives(&DEFINITION, &dialogue, &playing);
    }
}
