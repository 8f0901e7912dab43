//! Messages are built from the protocol's description.

use proptest::prelude::*;

use super::{DEFINITION, recognise};
use crate::damage::{check_survives, damaged, playing};
use crate::testing::{Playing, Turn, check_cuts, check_losses, client, recognised, server, told};
use crate::{Recognition, Side};

const CALL: u8 = 0xc2;
const ONE_WAY: u8 = 0x82;
const EVENT: u8 = 0xe2;

fn message(flags: u8, status: u8, id: u64, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or_default();
    [&[0xda, 0xbb, flags, status][..], &id.to_be_bytes(), &length.to_be_bytes(), body].concat()
}

/// A text of Hessian 2, of at most 1,023 characters.
fn hessian(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.chars().count()).unwrap_or_default();
    match length.to_be_bytes() {
        [0, short @ 0..=31] => [&[short], text.as_bytes()].concat(),
        [high, low] => [&[0x30 + high, low], text.as_bytes()].concat(),
    }
}

fn names(service: &str, method: &str) -> Vec<u8> {
    [hessian("2.0.2"), hessian(service), hessian("0.0.0"), hessian(method), hessian("Ljava/lang/String;")]
        .concat()
}

fn call(id: u64, service: &str, method: &str) -> Vec<u8> {
    message(CALL, 0, id, &[names(service, method), hessian("argument"), vec![b'H', b'Z']].concat())
}

fn answer(status: u8, id: u64, body: &[u8]) -> Vec<u8> {
    message(2, status, id, body)
}

#[test]
fn calls_are_answered_by_their_identifiers() {
    let service = "org.apache.dubbo.samples.greeting.GreetingService";
    let dialogue = [
        client([call(7, service, "sayHello"), call(8, service, "größe"), call(9, "a.B", "c")].concat()),
        server([answer(20, 8, b"\x94\x05hello"), answer(80, 7, &hessian("boom"))].concat()),
        client([message(EVENT, 0, 10, b"N"), message(ONE_WAY, 0, 11, &names("a.B", "notify"))].concat()),
        server([message(0x22, 20, 10, b"N"), message(EVENT, 0, 1, b"N"), answer(31, 9, b"")].concat()),
        client(
            [message(0x22, 20, 1, b"N"), message(0xc6, 0, 12, b"\"2.0.2\"\n\"a.B\"\nnull\n\"json\"\n")]
                .concat(),
        ),
        server(message(6, 20, 12, b"1\n\"x\"\n")),
    ];
    let told = told(&DEFINITION, &dialogue);
    assert_eq!(
        told.lines(),
        [
            format!("10-20-20 {service}/größe ok rpc.method={service}/größe rpc.response.status_code=OK"),
            format!(
                "10-20-20 {service}/sayHello failed rpc.method={service}/sayHello \
                 rpc.response.status_code=SERVER_ERROR"
            ),
            "30-30-30 a.B/notify ok rpc.method=a.B/notify".to_owned(),
            "10-40-40 a.B/c failed rpc.method=a.B/c rpc.response.status_code=SERVER_TIMEOUT".to_owned(),
            "50-60-60 a.B/json ok rpc.method=a.B/json rpc.response.status_code=OK".to_owned(),
        ]
    );
    assert_eq!(told.unpaired.total(), 0);
    assert_eq!(recognised(&DEFINITION, &dialogue), Some("dubbo"));
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn every_status_but_the_one_that_is_ok_is_a_failure() {
    for status in [25, 30, 31, 35, 40, 50, 60, 70, 80, 90, 100] {
        let dialogue = [client(call(1, "a.B", "c")), server(answer(status, 1, b""))];
        assert_eq!(told(&DEFINITION, &dialogue).short(), ["a.B/c failed"]);
    }
}

#[test]
fn bodies_far_beyond_what_is_kept_are_passed_over() {
    let body = vec![b'b'; 300_000];
    let dialogue = [
        client(message(CALL, 0, 1, &[names("a.B", "large"), body.clone()].concat())),
        server(answer(20, 1, &body)),
        client(message(ONE_WAY, 0, 2, &[names("a.B", "notify"), body].concat())),
        client(call(3, "a.B", "small")),
        server(answer(20, 3, b"\x91")),
    ];
    for playing in [
        Playing { kept_bytes: 128, call_bytes: 16_384, ..Playing::default() },
        Playing { kept_bytes: 128, ..Playing::default() },
        Playing { call_bytes: 16_384, ..Playing::default() },
    ] {
        let told = playing.told(&DEFINITION, &dialogue);
        assert_eq!(told.short(), ["a.B/large ok", "a.B/notify ok", "a.B/small ok"], "{playing:?}");
        assert_eq!(told.unpaired.total(), 0);
    }
}

#[test]
fn two_bytes_are_not_enough_to_be_recognised() {
    for other in [
        &b"\xda\xbb"[..],
        b"\xda\xbb and some text that goes on",
        b"\xda\xbb\xc0\x00\0\0\0\0\0\0\0\x01\0\0\0\x00",
        b"\xda\xbb\x02\x15\0\0\0\0\0\0\0\x01\0\0\0\x00",
        b"\xda\xbb\xc2\x14\0\0\0\0\0\0\0\x01\0\0\0\x00",
    ] {
        assert_eq!(recognise(Side::Client, other, other.len() as u64), Recognition::Open);
    }
    let head = message(CALL, 0, 1, &names("a.B", "c"));
    let head = head.get(..20).unwrap_or_default();
    assert_eq!(recognise(Side::Client, head, 5000), Recognition::Likely);
}

fn dialogue() -> impl Strategy<Value = Vec<Turn>> {
    let one = ("[a-z]{1,8}", 0_usize..300, any::<bool>(), prop::sample::select(vec![20, 20, 30, 80]));
    prop::collection::vec(prop::collection::vec(one, 1..5), 1..15).prop_map(|turns| {
        let mut dialogue = Vec::new();
        let mut id = 0;
        for calls in turns {
            let (mut asked, mut answered) = (Vec::new(), Vec::new());
            for (method, length, is_two_way, status) in calls {
                id += 1;
                let body = [names("a.B", &method), vec![b'x'; length]].concat();
                asked.extend(message(if is_two_way { CALL } else { ONE_WAY }, 0, id, &body));
                if is_two_way {
                    answered.extend(answer(status, id, &body));
                }
            }
            dialogue.extend([client(asked), server(answered)]);
        }
        dialogue
    })
}

proptest! {
    #[test]
    fn losses_make_no_wrong_pairs(
        dialogue in dialogue(),
        lost in prop::collection::vec(prop::bool::weighted(0.1), 0..50),
        kept_bytes in 1_usize..600,
        call_bytes in 1_usize..600,
    ) {
        check_losses(&DEFINITION, &dialogue, &Playing { kept_bytes, call_bytes, lost, redacts: false });
    }

    #[test]
    fn no_bytes_make_it_panic(dialogue in damaged(dialogue()), playing in playing()) {
        check_survives(&DEFINITION, &dialogue, &playing);
    }
}
