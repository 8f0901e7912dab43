//! Messages are built by hand from the specifications of versions 3 to 5. Checksums of headers are as Cassandra's own
//! code gives them.

use proptest::prelude::*;

use super::DEFINITION;
use super::framing::crc24;
use crate::Side;
use crate::damage::{check_survives, damaged, playing};
use crate::testing::{
    Playing, Turn, check_cuts, check_losses, check_secrets, client, recognised, server, told,
};

const ERROR: u8 = 0;
const STARTUP: u8 = 1;
const READY: u8 = 2;
const AUTHENTICATE: u8 = 3;
const OPTIONS: u8 = 5;
const QUERY: u8 = 7;
const RESULT: u8 = 8;
const PREPARE: u8 = 9;
const EXECUTE: u8 = 10;
const EVENT: u8 = 12;
const BATCH: u8 = 13;
const AUTH_RESPONSE: u8 = 15;
const AUTH_SUCCESS: u8 = 16;

fn envelope(version: u8, flags: u8, stream: i16, opcode: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    [&[version, flags][..], &stream.to_be_bytes(), &[opcode], &length, body].concat()
}

fn ask(stream: i16, opcode: u8, body: &[u8]) -> Vec<u8> {
    envelope(4, 0, stream, opcode, body)
}

fn say(stream: i16, opcode: u8, body: &[u8]) -> Vec<u8> {
    envelope(0x84, 0, stream, opcode, body)
}

fn short(text: impl AsRef<[u8]>) -> Vec<u8> {
    [&(text.as_ref().len() as u16).to_be_bytes(), text.as_ref()].concat()
}

fn long(text: impl AsRef<[u8]>) -> Vec<u8> {
    [&(text.as_ref().len() as u32).to_be_bytes(), text.as_ref()].concat()
}

/// With a consistency and no flags.
fn query(text: &str) -> Vec<u8> {
    [&long(text)[..], &[0, 6, 0]].concat()
}

fn rows(length: usize) -> Vec<u8> {
    [&2_u32.to_be_bytes()[..], &vec![b'r'; length]].concat()
}

fn error(code: u32) -> Vec<u8> {
    [&code.to_be_bytes()[..], &short("it failed")].concat()
}

fn options(pairs: &[(&str, &str)]) -> Vec<u8> {
    let all = pairs.iter().flat_map(|(key, value)| [short(key), short(value)].concat());
    (pairs.len() as u16).to_be_bytes().into_iter().chain(all).collect()
}

/// A frame of version 5; the checksum of its payload is nobody's business here.
fn frame(payload: &[u8], is_self_contained: bool) -> Vec<u8> {
    let number = payload.len() as u32 | u32::from(is_self_contained) << 17;
    let header = number.to_le_bytes()[..3].to_vec();
    [&header[..], &crc24(&header).to_le_bytes()[..3], payload, &[9; 4]].concat()
}

/// A block of LZ4 that is all literal.
fn lz4(plain: &[u8]) -> Vec<u8> {
    let mut packed = match plain.len() {
        length @ 0..15 => vec![(length as u8) << 4],
        length => [&[0xf0][..], &vec![255; (length - 15) / 255], &[((length - 15) % 255) as u8]].concat(),
    };
    packed.extend(plain);
    packed
}

fn packed_frame(plain: &[u8]) -> Vec<u8> {
    let packed = lz4(plain);
    let number = packed.len() as u64 | (plain.len() as u64) << 17 | 1 << 34;
    let header = number.to_le_bytes()[..5].to_vec();
    [&header[..], &crc24(&header).to_le_bytes()[..3], &packed, &[9; 4]].concat()
}

#[test]
fn checksums_are_those_of_cassandra() {
    assert_eq!((crc24(&[0; 3]), crc24(&[0; 5])), (8_251_255, 11_185_162));
}

#[test]
fn streams_say_what_answers_what() {
    let id = [7; 16];
    let dialogue = [
        client(ask(0, OPTIONS, b"")),
        server(say(0, 6, &options(&[]))),
        client(ask(1, STARTUP, &options(&[("CQL_VERSION", "3.0.0")]))),
        server(say(1, READY, b"")),
        client(
            [
                ask(1, QUERY, &query("select * from t where a = 5")),
                ask(2, PREPARE, &long("INSERT INTO t (a) VALUES (?)")),
            ]
            .concat(),
        ),
        server(
            [
                say(2, RESULT, &[&4_u32.to_be_bytes()[..], &short(id), &[0; 9]].concat()),
                say(-1, EVENT, &short("STATUS_CHANGE")),
            ]
            .concat(),
        ),
        server(say(1, ERROR, &error(0x2200))),
        client(ask(3, EXECUTE, &[&short(id)[..], &[0, 1, 0]].concat())),
        server(say(3, RESULT, &1_u32.to_be_bytes())),
        client(ask(3, QUERY, &query("USE shop"))),
        server(say(3, RESULT, &[&3_u32.to_be_bytes()[..], &short("shop")].concat())),
        client(ask(
            4,
            BATCH,
            &[
                &[0, 0, 2, 0][..],
                &long("DELETE FROM t"),
                &[0, 0, 1],
                &short(id),
                &[0, 1],
                &long("x"),
                &[0, 10, 0],
            ]
            .concat(),
        )),
        server(say(4, RESULT, &1_u32.to_be_bytes())),
    ];
    assert_eq!(
        told(&DEFINITION, &dialogue).lines(),
        [
            "50-60-60 PREPARE INSERT t ok db.operation.name=PREPARE db.collection.name=t \
             db.query.summary=PREPARE INSERT t db.query.text=INSERT INTO t (a) VALUES (?)",
            "50-70-70 SELECT t failed db.operation.name=SELECT db.collection.name=t db.query.summary=SELECT t \
             db.query.text=select * from t where a = 5 \
             cassandra.consistency.level=local_quorum db.response.status_code=0x2200",
            "80-90-90 INSERT t ok db.operation.name=INSERT db.collection.name=t db.query.summary=INSERT t \
             db.query.text=INSERT INTO t (a) VALUES (?) \
             cassandra.consistency.level=one",
            "100-110-110 USE ok db.operation.name=USE db.query.summary=USE db.query.text=USE shop \
             cassandra.consistency.level=local_quorum",
            "120-130-130 BATCH ok db.operation.name=BATCH db.query.summary=BATCH db.query.text=DELETE FROM t \
             db.namespace=shop cassandra.consistency.level=local_one db.operation.batch.size=2",
        ]
    );
    assert_eq!(told(&DEFINITION, &dialogue).unpaired.total(), 0);
    assert_eq!(recognised(&DEFINITION, &dialogue), Some("cassandra"));
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn bodies_beyond_what_is_kept_are_passed_over() {
    let text = format!("INSERT INTO t (a) VALUES ('{}')", "x".repeat(3000));
    let dialogue = [
        client(ask(1, QUERY, &query(&text))),
        server(say(1, RESULT, &rows(9000))),
        client(ask(1, QUERY, &query("SELECT 1"))),
        server(say(1, RESULT, &rows(10))),
    ];
    for call_bytes in [usize::MAX, 1500] {
        let told = Playing { kept_bytes: 256, call_bytes, ..Playing::default() }.told(&DEFINITION, &dialogue);
        assert_eq!(
            (told.short(), told.unpaired.total()),
            (vec!["INSERT t ok".to_owned(), "SELECT ok".to_owned()], 0)
        );
    }
}

#[test]
fn what_flags_put_before_a_body_is_passed_over() {
    let warned = [&[0, 1][..], &short("slow"), &error(0x1200)].concat();
    let traced = [&[1; 16][..], &error(0x1100)].concat();
    let paid = [&[0, 1][..], &short("key"), &long("value"), &query("SELECT 1")].concat();
    let dialogue = [
        client([envelope(4, 4, 1, QUERY, &paid), ask(2, QUERY, &query("SELECT 2"))].concat()),
        server([envelope(0x84, 8, 1, ERROR, &warned), envelope(0x84, 2, 2, ERROR, &traced)].concat()),
    ];
    let lines = told(&DEFINITION, &dialogue).lines();
    assert!(lines.iter().zip(["0x1200", "0x1100"]).all(|(line, code)| line.ends_with(code)), "{lines:?}");
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn compressed_bodies_have_their_status_and_what_can_be_read() {
    let packed = |plain: &[u8]| [&(plain.len() as u32).to_be_bytes()[..], &lz4(plain)].concat();
    let startup = ask(0, STARTUP, &options(&[("CQL_VERSION", "3.0.0"), ("COMPRESSION", "lz4")]));
    let exchanged = [
        client(envelope(4, 1, 1, QUERY, &packed(&query("SELECT 1")))),
        server(envelope(0x84, 1, 1, ERROR, &packed(&error(0x2000)))),
        client(envelope(4, 1, 2, QUERY, &packed(&query("SELECT 2")))),
        server(envelope(0x84, 1, 2, RESULT, &packed(&rows(50)))),
    ];
    let known = [&[client(startup), server(say(0, READY, b""))][..], &exchanged].concat();
    assert_eq!(told(&DEFINITION, &known).short(), ["SELECT failed", "SELECT ok"]);
    check_cuts(&DEFINITION, &known);
    assert_eq!(told(&DEFINITION, &exchanged).short(), ["query failed", "query ok"]);
}

fn framed_dialogue() -> Vec<Turn> {
    let ask = |stream, body: &str| envelope(5, 0, stream, QUERY, &query(body));
    let say = |stream, opcode, body: &[u8]| envelope(0x85, 0, stream, opcode, body);
    let long_text = format!("INSERT INTO t (a) VALUES ('{}')", "x".repeat(3000));
    let large = ask(3, &long_text);
    let (first, second) = large.split_at(2000);
    vec![
        client(envelope(5, 0, 0, STARTUP, &options(&[("CQL_VERSION", "3.0.0")]))),
        server(say(0, READY, b"")),
        client(frame(&[ask(1, "SELECT 1"), ask(2, "SELECT 2")].concat(), true)),
        server(frame(&say(2, ERROR, &error(0x1001)), true)),
        server(packed_frame(&say(1, RESULT, &rows(300)))),
        client([frame(first, false), frame(second, false)].concat()),
        server(frame(&say(3, RESULT, &1_u32.to_be_bytes()), true)),
        client(packed_frame(&ask(4, "DELETE FROM t"))),
        server(frame(&say(4, RESULT, &rows(3000)), true)),
    ]
}

#[test]
fn frames_of_version_5_are_looked_through() {
    let dialogue = framed_dialogue();
    let told = told(&DEFINITION, &dialogue);
    assert_eq!(told.short(), ["SELECT failed", "SELECT ok", "INSERT t ok", "DELETE t ok"]);
    assert_eq!(told.unpaired.total(), 0);
    assert_eq!(told.exchanges.iter().map(|one| one.ended_ns).collect::<Vec<_>>(), [40, 50, 70, 90]);
    check_cuts(&DEFINITION, &dialogue);
    let kept = Playing { kept_bytes: 1024, ..Playing::default() }.told(&DEFINITION, &dialogue);
    assert_eq!(kept.short().last().map(String::as_str), Some("DELETE t ok"));
    // Also of a connection that was there before.
    assert_eq!(recognised(&DEFINITION, dialogue.get(2..).unwrap_or_default()), Some("cassandra"));
}

#[test]
fn logins_and_passwords_in_statements_are_blanked_wherever_a_call_ends() {
    let startup = |version| envelope(version, 0, 0, STARTUP, &options(&[("CQL_VERSION", "3.0.0")]));
    let create = "CREATE ROLE bob WITH Password =\n'hunter22''hunter23' AND LOGIN = true";
    let alter = "ALTER USER bob WITH PASSWORD $$hunter33$hunter34$$ SUPERUSER";
    let plain = [
        client(startup(4)),
        server(say(0, AUTHENTICATE, &short("org.apache.cassandra.auth.PasswordAuthenticator"))),
        client(ask(0, AUTH_RESPONSE, &long("\0cassandra\0hunter11"))),
        server(say(0, AUTH_SUCCESS, &long("hunter12"))),
        client(ask(1, QUERY, &query(create))),
        server(say(1, RESULT, &1_u32.to_be_bytes())),
        client(ask(1, PREPARE, &long(alter))),
        server(say(1, ERROR, &error(0x2000))),
    ];
    check_secrets(&DEFINITION, &plain, &["hunter"]);
    let ask = |opcode, body: &[u8]| envelope(5, 0, 1, opcode, body);
    let say = |opcode, body: &[u8]| envelope(0x85, 0, 1, opcode, body);
    let create = ask(QUERY, &query(create));
    let (head, tail) = create.split_at(50);
    let framed = [
        client(startup(5)),
        server(envelope(0x85, 0, 0, AUTHENTICATE, &short("PasswordAuthenticator"))),
        client(frame(&ask(AUTH_RESPONSE, &long("\0cassandra\0hunter11")), true)),
        server(frame(&say(AUTH_SUCCESS, &long("hunter12")), true)),
        client([frame(head, false), frame(tail, false)].concat()),
        server(frame(&say(RESULT, &1_u32.to_be_bytes()), true)),
        client(packed_frame(&ask(AUTH_RESPONSE, &long("\0cassandra\0hunter44")))),
        server(packed_frame(&say(AUTH_SUCCESS, &long("hunter45")))),
        client(packed_frame(&ask(QUERY, &query(alter)))),
        server(packed_frame(&say(RESULT, &1_u32.to_be_bytes()))),
    ];
    check_secrets(&DEFINITION, &framed, &["hunter"]);
    // Credentials of version 2, whose headers are shorter; it is not read otherwise.
    let mut redactor = super::redactor::CassandraRedactor::default();
    let credentials = [&[2, 0, 1, 4][..], &long(options(&[("password", "hunter55")]))].concat();
    for (position, byte) in (0_u64..).zip(&credentials) {
        let mut call = [*byte];
        crate::Redactor::redact(&mut redactor, Side::Client, position, 1, &mut call);
        assert!(position < 8 || call == *b"*");
    }
}

#[test]
fn what_is_no_cassandra_is_not_taken_for_it() {
    let others: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x04\x00\x00\x01\x07\xff\xff\xff\xff aaaaaaaaaaaa",
        b"\x05\x01\x00",
        &[3; 60],
    ];
    for other in others {
        assert_ne!(recognised(&DEFINITION, &vec![client(other); 8]), Some("cassandra"), "{other:?}");
    }
}

/// Streams are taken again as soon as they are free, as drivers do.
fn dialogue() -> impl Strategy<Value = Vec<Turn>> {
    let turn = (prop::collection::vec((0_u32..1000, 0_usize..200), 1..5), any::<bool>(), any::<bool>());
    let turn = turn.prop_map(|(queries, is_framed, is_backwards)| {
        let (mut asked, mut said) = (Vec::new(), Vec::new());
        let version = if is_framed { 5 } else { 4 };
        for (stream, (number, length)) in (0_i16..).zip(queries) {
            asked.push(envelope(version, 0, stream, QUERY, &query(&format!("SELECT {number}"))));
            said.push(match number % 3 {
                0 => envelope(version | 0x80, 0, stream, ERROR, &error(number)),
                _ => envelope(version | 0x80, 0, stream, RESULT, &rows(length)),
            });
        }
        if is_backwards {
            said.reverse();
        }
        (is_framed, asked.concat(), said.concat())
    });
    prop::collection::vec(turn, 1..20).prop_map(|turns| {
        // Once framed, always framed.
        let is_framed = turns.first().is_some_and(|(is_framed, ..)| *is_framed);
        let around = |bytes: Vec<u8>| if is_framed { frame(&bytes, true) } else { bytes };
        let fitting = turns.into_iter().filter(|(framed, ..)| *framed == is_framed);
        fitting.flat_map(|(_, asked, said)| [client(around(asked)), server(around(said))]).collect()
    })
}

proptest! {
    #[test]
    fn losses_make_no_wrong_pairs(
        dialogue in dialogue(),
        lost in prop::collection::vec(prop::bool::weighted(0.1), 0..50),
        kept_bytes in 1_usize..400,
        call_bytes in 1_usize..400,
    ) {
        check_losses(&DEFINITION, &dialogue, &Playing { call_bytes, lost: lost.clone(), ..Playing::default() });
        // Without their text queries have another name; the rest is the same.
        let cut = Playing { kept_bytes, call_bytes, lost, redacts: false }.told(&DEFINITION, &dialogue);
        prop_assert!(cut.exchanges.len() <= told(&DEFINITION, &dialogue).exchanges.len());
    }

    #[test]
    fn no_bytes_make_it_panic(dialogue in damaged(dialogue().prop_map(|dialogue| [framed_dialogue(), dialogue].concat())), playing in playing()) {
        check_survives(&DEFINITION, &dialogue, &playing);
    }
}
