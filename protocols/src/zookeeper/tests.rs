//! Messages are built after `zookeeper.jute`.

use proptest::prelude::*;

use super::{DEFINITION, recognise};
use crate::damage::{check_survives, damaged, playing};
use crate::testing::{
    Playing, Turn, check_cuts, check_losses, check_secrets, client, recognised, server, told,
};
use crate::{Recognition, Side};

fn framed(body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    [&(body.len() as u32).to_be_bytes(), body].concat()
}

fn text(text: &str) -> Vec<u8> {
    framed(text)
}

fn connect() -> Vec<u8> {
    let mut body = [&[0; 12][..], &30_000_i32.to_be_bytes(), &7_i64.to_be_bytes()].concat();
    body.extend(text("sessionpassword1"));
    body.push(0);
    framed(body)
}

fn connected() -> Vec<u8> {
    let mut body = [&[0; 4][..], &30_000_i32.to_be_bytes(), &7_i64.to_be_bytes()].concat();
    body.extend(text("sessionpassword2"));
    body.push(0);
    framed(body)
}

fn request(xid: i32, operation: i32, rest: impl AsRef<[u8]>) -> Vec<u8> {
    framed([&xid.to_be_bytes(), &operation.to_be_bytes(), rest.as_ref()].concat())
}

fn on_path(xid: i32, operation: i32, path: &str, rest: &[u8]) -> Vec<u8> {
    request(xid, operation, [&text(path), rest].concat())
}

fn get_data(xid: i32, path: &str) -> Vec<u8> {
    on_path(xid, 4, path, &[0])
}

fn reply(xid: i32, error: i32, rest: impl AsRef<[u8]>) -> Vec<u8> {
    framed([&xid.to_be_bytes()[..], &99_i64.to_be_bytes(), &error.to_be_bytes(), rest.as_ref()].concat())
}

fn data(data: &str) -> Vec<u8> {
    [text(data), vec![0; 68]].concat()
}

fn session() -> Vec<Turn> {
    let event = [&3_i32.to_be_bytes()[..], &3_i32.to_be_bytes(), &text("/a")].concat();
    vec![
        client(connect()),
        server(connected()),
        client([get_data(1, "/a"), on_path(2, 3, "/b", &[1]), request(-2, 11, [])].concat()),
        server([reply(1, 0, data("value")), reply(-2, 0, [])].concat()),
        server(framed([&[0xff; 12][..], &[0; 4], &event].concat())),
        server(reply(2, -101, [])),
        client(on_path(3, 1, "/c", &[text("new"), vec![0, 0, 0, 0], vec![0; 4]].concat())),
        server(reply(3, -110, [])),
        client(on_path(4, 5, "/c", &[text("other"), vec![255; 4]].concat())),
        server(reply(4, -2, [])),
        client(request(5, -11, [])),
        server(reply(5, 0, [])),
    ]
}

#[test]
fn a_session_is_read_with_paths_and_errors_by_name() {
    assert_eq!(
        told(&DEFINITION, &session()).lines(),
        [
            "10-20-20 createSession ok db.operation.name=createSession",
            "30-40-40 getData ok db.operation.name=getData db.query.text=getData /a zookeeper.path=/a",
            "30-40-40 ping ok db.operation.name=ping",
            "30-60-60 exists ok db.operation.name=exists db.query.text=exists /b zookeeper.path=/b \
             db.response.status_code=ZNONODE",
            "70-80-80 create ok db.operation.name=create db.query.text=create /c zookeeper.path=/c \
             db.response.status_code=ZNODEEXISTS",
            "90-100-100 setData failed db.operation.name=setData db.query.text=setData /c \
             zookeeper.path=/c db.response.status_code=ZRUNTIMEINCONSISTENCY",
            "110-120-120 closeSession ok db.operation.name=closeSession",
        ]
    );
    assert_eq!(told(&DEFINITION, &session()).unpaired.total(), 0);
    assert_eq!(recognised(&DEFINITION, &session()), Some("zookeeper"));
    check_cuts(&DEFINITION, &session());
}

#[test]
fn a_length_that_is_read_by_itself_is_no_obstacle() {
    let parts: Vec<Turn> = session()
        .into_iter()
        .flat_map(|(side, bytes)| {
            let (length, rest) = bytes.split_at(4);
            [(side, length.to_vec()), (side, rest.to_vec())]
        })
        .collect();
    assert_eq!(recognised(&DEFINITION, &parts), Some("zookeeper"));
    let (ours, theirs) = (told(&DEFINITION, &parts).short(), told(&DEFINITION, &session()).short());
    assert_eq!(ours, theirs);
    // In the middle of a connection too.
    let middle = parts.get(4..).unwrap_or_default();
    assert_eq!(recognised(&DEFINITION, middle), Some("zookeeper"));
}

#[test]
fn the_error_of_a_transaction_is_found_in_its_results() {
    let header = |operation: i32, is_last: u8| {
        [&operation.to_be_bytes()[..], &[is_last], &(-1_i32).to_be_bytes()].concat()
    };
    let multi =
        [header(13, 0), text("/a"), vec![0; 4], header(2, 0), text("/b"), vec![255; 4], header(-1, 1)]
            .concat();
    let result =
        |error: i32| [&(-1_i32).to_be_bytes()[..], &[0], &error.to_be_bytes(), &error.to_be_bytes()].concat();
    let results = [result(0), result(-101), result(-2), header(-1, 1)].concat();
    let done = [header(13, 0), header(2, 0), header(-1, 1)].concat();
    let dialogue = [
        client(request(1, 14, &multi)),
        server(reply(1, 0, results)),
        client(request(2, 14, &multi)),
        server(reply(2, 0, done)),
    ];
    assert_eq!(
        told(&DEFINITION, &dialogue).lines(),
        [
            "10-20-20 multi ok db.operation.name=multi db.query.text=multi /a zookeeper.path=/a \
             db.response.status_code=ZNONODE",
            "30-40-40 multi ok db.operation.name=multi db.query.text=multi /a zookeeper.path=/a",
        ]
    );
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn four_letters_are_answered_by_text() {
    let dialogue = [client("ruok"), server("imok")];
    assert_eq!(told(&DEFINITION, &dialogue).short(), ["ruok ok"]);
    assert_eq!(recognised(&DEFINITION, &dialogue), Some("zookeeper"));
    let refused = [client("mntr"), server("mntr is not executed because it is not in the whitelist.\n")];
    assert_eq!(told(&DEFINITION, &refused).short(), ["mntr failed"]);
    let long = [client("stat"), server("Zookeeper version: 3.9"), server("more"), server("and more")];
    assert_eq!(told(&DEFINITION, &long).short(), ["stat ok"]);
}

#[test]
fn values_beyond_what_is_kept_are_passed_over() {
    let value = "v".repeat(20_000);
    let dialogue = [
        client(connect()),
        server(connected()),
        client(on_path(1, 5, "/big", &[text(&value), vec![255; 4]].concat())),
        server(reply(1, 0, [0; 68])),
        client(get_data(2, "/big")),
        server(reply(2, 0, data(&value))),
        client(get_data(3, "/none")),
        server(reply(3, -101, [])),
    ];
    for call_bytes in [usize::MAX, 4096, 1000] {
        let playing = Playing { kept_bytes: 64, call_bytes, ..Playing::default() };
        let told = playing.told(&DEFINITION, &dialogue);
        assert_eq!(told.short(), ["createSession ok", "setData ok", "getData ok", "getData ok"]);
        assert_eq!(told.unpaired.total(), 0);
    }
}

#[test]
fn authentications_and_watches_share_an_xid_among_themselves() {
    let auth =
        |credential: &str| request(-4, 100, [&[0; 4], &text("digest")[..], &text(credential)].concat());
    let watches = request(-8, 101, [&[0; 7][..], &[9], &[0; 12]].concat());
    let dialogue = [
        client(connect()),
        client([watches.clone(), watches, auth("bob:hunter2"), auth("eve:hunter3")].concat()),
        server(
            [connected(), reply(-4, 0, []), reply(-8, 0, []), reply(-8, 0, []), reply(-4, -115, [])].concat(),
        ),
    ];
    let told = told(&DEFINITION, &dialogue);
    assert_eq!(told.short(), ["createSession ok", "auth ok", "setWatches ok", "setWatches ok", "auth ok"]);
    assert_eq!(told.unpaired.total(), 0);
    check_cuts(&DEFINITION, &dialogue);
    check_secrets(&DEFINITION, &dialogue, &["hunter", "digest", "bob", "eve", "sessionpassword"]);
}

#[test]
fn tokens_of_sasl_are_blanked_both_ways() {
    let dialogue = [
        client(connect()),
        server(connected()),
        client(request(1, 102, text("response=deadbeef"))),
        server(reply(1, 0, text("rspauth=cafe"))),
        client(get_data(2, "/a")),
        server(reply(2, 0, data("cafe-is-no-secret-here"))),
    ];
    check_secrets(&DEFINITION, &dialogue, &["deadbeef", "rspauth=cafe", "sessionpassword"]);
    let playing = Playing { redacts: true, ..Playing::default() };
    assert_eq!(playing.told(&DEFINITION, &dialogue).short(), ["createSession ok", "sasl ok", "getData ok"]);
}

#[test]
fn the_rest_of_a_credential_is_blanked_when_its_beginning_was_lost() {
    let credential = "secret".repeat(50);
    let dialogue = [
        client(connect()),
        server(connected()),
        client(request(-4, 100, [&[0; 4], &text("digest")[..], &text(&credential)].concat())),
        server(reply(-4, 0, [])),
    ];
    let playing = Playing {
        call_bytes: 60,
        redacts: true,
        lost: vec![false, false, true, false, false, false, false, false, false],
        ..Playing::default()
    };
    let mut redactor = super::redactor::ZookeeperRedactor::default();
    let mut position = 0;
    for (number, part) in
        [&dialogue[0].1, &dialogue[2].1].into_iter().flat_map(|turn| turn.chunks(60)).enumerate()
    {
        let mut bytes = part.to_vec();
        if number != 1 {
            crate::Redactor::redact(&mut redactor, Side::Client, position, part.len() as u64, &mut bytes);
            assert!(!bytes.windows(6).any(|window| window == b"secret"), "call {number}");
        }
        position += part.len() as u64;
    }
    check_losses(&DEFINITION, &dialogue, &playing);
}

#[test]
fn fetches_of_kafka_are_not_taken_for_requests() {
    for correlation in (0..30).chain([100, 101, 102, 5000]) {
        let mut body = vec![0, 1, 0, 11];
        body.extend(i32::to_be_bytes(correlation));
        body.extend([0, 8]);
        body.extend(b"consumer");
        body.extend([0xff; 4]);
        body.resize(100, 0);
        let call = framed(&body);
        let seen = recognise(Side::Client, &call, call.len() as u64);
        assert_eq!(seen, Recognition::Open, "correlation {correlation}");
        let seen = recognise(Side::Client, &body, body.len() as u64);
        assert_eq!(seen, Recognition::Open, "correlation {correlation}, length read by itself");
    }
}

#[test]
fn requests_of_a_client_of_today_are_recognised() {
    // As kazoo 2.11.0, a client in Python, writes them.
    let requests = [
        (
            "Create",
            "000000320000000100000001000000022f610000000176000000010000001f00000005776f726c6400000006616e796f6e6500000000",
        ),
        (
            "Create2",
            "00000032000000020000000f000000022f610000000176000000010000001f00000005776f726c6400000006616e796f6e6500000000",
        ),
        ("Delete", "000000120000000300000002000000022f61ffffffff"),
        ("Exists", "0000000f0000000400000003000000022f6100"),
        ("GetData", "0000000f0000000500000004000000022f6100"),
        ("SetData", "000000180000000600000005000000022f61000000027878ffffffff"),
        ("GetACL", "0000000e0000000700000006000000022f61"),
        (
            "SetACL",
            "0000002d0000000800000007000000022f61000000010000001f00000005776f726c6400000006616e796f6e65ffffffff",
        ),
        ("GetChildren", "0000000f0000000900000008000000022f6100"),
        ("Sync", "0000000e0000000a00000009000000022f61"),
        ("GetChildren2", "0000000f0000000b0000000c000000022f6100"),
        (
            "Transaction",
            "000000570000000c0000000e0000000100ffffffff000000022f610000000176000000010000001f00000005776f726c6400000006616e796f6e65000000000000000200ffffffff000000022f6200000001ffffffff01ffffffff",
        ),
        ("Auth", "00000020fffffffc00000064000000000000000664696765737400000006626f623a7077"),
        ("Close", "0000000800000007fffffff5"),
        ("Ping", "00000008fffffffe0000000b"),
        ("Reconfig", "000000260000000d000000100000000a7365727665722e313d61ffffffffffffffffffffffffffffffff"),
        (
            "Connect",
            "0000002d000000000000000000000000000027100000000000000000000000100000000000000000000000000000000000",
        ),
    ];
    for (name, digits) in requests {
        let byte = |place: usize| u8::from_str_radix(digits.get(place..place + 2)?, 16).ok();
        let call: Vec<u8> = (0..digits.len()).step_by(2).filter_map(byte).collect();
        let expected = if name == "SetACL" { Recognition::Likely } else { Recognition::Certain };
        assert_eq!(recognise(Side::Client, &call, call.len() as u64), expected, "{name}");
    }
}

#[test]
fn a_request_is_recognised_whatever_its_length() {
    for length in 1..2560 {
        let call = get_data(7, &format!("/{}", "p".repeat(length)));
        let kept = call.get(..1024).unwrap_or(&call);
        let seen = recognise(Side::Client, kept, call.len() as u64);
        assert_eq!(seen, Recognition::Certain, "path of {length} bytes");
    }
}

fn dialogue() -> impl Strategy<Value = Vec<Turn>> {
    let turns = prop::collection::vec((1_usize..5, 0_usize..300, 0_u8..3), 1..30);
    turns.prop_map(|turns| {
        let mut dialogue = vec![client(connect()), server(connected())];
        let mut xid = 0;
        for (requests, length, kind) in turns {
            let (mut asked, mut answers) = (Vec::new(), Vec::new());
            for number in 0..requests {
                xid += 1;
                asked.extend(get_data(xid, &format!("/{kind}/{xid}")));
                answers.extend(match (number, kind) {
                    (1, _) => reply(xid, -101, []),
                    (_, 1) => reply(xid, -4, []),
                    _ => reply(xid, 0, data(&"x".repeat(length))),
                });
            }
            if kind == 2 {
                asked.extend(request(-2, 11, []));
                answers.extend(reply(-2, 0, []));
            }
            dialogue.extend([client(asked), server(answers)]);
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
