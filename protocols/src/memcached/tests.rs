//! Texts and messages are built by hand from memcached's `protocol.txt` and `protocol-binary.txt`.

use proptest::prelude::*;

use super::DEFINITION;
use crate::Side;
use crate::damage::{check_survives, damaged, playing};
use crate::testing::{
    Playing, Turn, check_cuts, check_losses, check_secrets, client, recognised, server, told,
};

/// A binary message.
fn binary(magic: u8, opcode: u8, status: u16, opaque: u32, parts: [&[u8]; 3]) -> Vec<u8> {
    let [extras, key, value] = parts;
    let body = (extras.len() + key.len() + value.len()) as u32;
    let mut bytes = vec![magic, opcode];
    bytes.extend((key.len() as u16).to_be_bytes());
    bytes.extend([extras.len() as u8, 0]);
    bytes.extend(status.to_be_bytes());
    bytes.extend(body.to_be_bytes());
    bytes.extend(opaque.to_be_bytes());
    bytes.extend([0; 8]);
    bytes.extend([extras, key, value].concat());
    bytes
}

fn ask(opcode: u8, opaque: u32, parts: [&[u8]; 3]) -> Vec<u8> {
    binary(0x80, opcode, 0, opaque, parts)
}

fn say(opcode: u8, status: u16, opaque: u32, parts: [&[u8]; 3]) -> Vec<u8> {
    binary(0x81, opcode, status, opaque, parts)
}

#[test]
fn hits_and_misses_of_a_pipeline_are_answered_in_order() {
    let dialogue = [
        client("get a\r\ngets a b\r\nset c 1 0 2\r\nxy\r\ngat 60 d\r\n"),
        server("END\r\nVALUE a 0 3 77\r\nEND\r\nEND\r\nNOT_STORED\r\n"),
        server("SERVER_ERROR out of memory\r\n"),
    ];
    assert_eq!(
        told(&DEFINITION, &dialogue).lines(),
        [
            "10-20-20 get ok db.operation.name=get db.query.text=get a",
            "10-20-20 gets ok db.operation.name=gets db.query.text=gets a b",
            "10-20-20 set ok db.operation.name=set db.query.text=set c",
            "10-30-30 gat failed db.operation.name=gat db.query.text=gat d \
             db.response.status_code=SERVER_ERROR",
        ]
    );
    assert_eq!(recognised(&DEFINITION, &dialogue), Some("memcached"));
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn a_line_that_is_no_command_is_answered_with_an_error() {
    let dialogue = [
        client("get a\r\nbogus 1\r\nset a 0 0 x\r\nget b\r\n"),
        server("END\r\nERROR\r\nCLIENT_ERROR bad command line format\r\nEND\r\n"),
    ];
    let told = told(&DEFINITION, &dialogue);
    assert_eq!(told.short(), ["get ok", "other failed", "other failed", "get ok"]);
    assert_eq!(told.unpaired.total(), 0);
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn every_command_has_its_answer() {
    let asked = "add a 0 0 1\r\nx\r\nreplace a 0 0 1\r\nx\r\nappend a 0 0 1\r\nx\r\nprepend a 0 0 1\r\nx\r\n\
                 cas a 0 0 1 77\r\nx\r\nincr a 1\r\ndecr a 1\r\ntouch a 9\r\ndelete a\r\nstats\r\nversion\r\n\
                 verbosity 1\r\nflush_all\r\n";
    let said = "STORED\r\nNOT_STORED\r\nSTORED\r\nSTORED\r\nEXISTS\r\n12\r\n9  \r\nTOUCHED\r\nNOT_FOUND\r\n\
                STAT pid 1\r\nSTAT uptime 2\r\nEND\r\nVERSION 1.6.38\r\nOK\r\nOK\r\n";
    let dialogue = [client(asked), server(said)];
    let told = told(&DEFINITION, &dialogue);
    assert_eq!(
        told.short(),
        [
            "add ok",
            "replace ok",
            "append ok",
            "prepend ok",
            "cas ok",
            "incr ok",
            "decr ok",
            "touch ok",
            "delete ok",
            "stats ok",
            "version ok",
            "verbosity ok",
            "flush_all ok"
        ]
    );
    assert_eq!(told.unpaired.total(), 0);
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn values_beyond_what_is_kept_are_passed_over() {
    let value = "v".repeat(2020);
    let dialogue = [
        client(format!("set a 0 0 2020\r\n{value}\r\n")),
        server("STORED\r\n"),
        client("get a\r\nget b\r\n"),
        server(format!("VALUE a 0 2020\r\n{value}\r\nEND\r\n")),
        server("END\r\n"),
        client("get a b\r\n"),
        server(format!("VALUE a 0 2020\r\n{value}\r\nVALUE b 0 2020\r\n{value}\r\nEND\r\n")),
        client("get a c\r\n"),
        server(format!("VALUE a 0 2020\r\n{value}\r\nEND\r\n")),
        client("delete a\r\n"),
        server("DELETED\r\n"),
    ];
    for call_bytes in [usize::MAX, 1500, 4096] {
        let playing = Playing { kept_bytes: 1024, call_bytes, ..Playing::default() };
        let told = playing.told(&DEFINITION, &dialogue);
        assert_eq!(
            told.short(),
            ["set ok", "get ok", "get ok", "get ok", "get ok", "delete ok"],
            "{call_bytes}"
        );
        assert_eq!(told.unpaired.total(), 0);
    }
    assert_eq!(recognised(&DEFINITION, &dialogue), Some("memcached"));
}

#[test]
fn a_line_of_keys_beyond_what_is_kept_is_one_command() {
    let keys: Vec<String> = (0..200).map(|key| format!("key{key}")).collect();
    let dialogue = [
        client(format!("get {}\r\n", keys.join(" "))),
        server("VALUE key7 0 1\r\nx\r\nEND\r\n"),
        client("get a\r\n"),
        server("END\r\n"),
    ];
    let told = Playing { kept_bytes: 100, ..Playing::default() }.told(&DEFINITION, &dialogue);
    assert_eq!((told.short(), told.unpaired.total()), (vec!["get ok".to_owned(), "get ok".to_owned()], 0));
}

#[test]
fn commands_that_want_no_reply_get_none() {
    let dialogue = [
        client("set a 0 0 2 noreply\r\nxy\r\ndelete a noreply\r\nget a\r\n"),
        server("END\r\n"),
        client("quit\r\n"),
    ];
    let told = told(&DEFINITION, &dialogue);
    assert_eq!(told.short(), ["set unknown", "delete unknown", "get ok", "quit unknown"]);
    assert_eq!(told.unpaired.total(), 0);
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn quiet_meta_commands_end_with_what_follows_them() {
    let dialogue = [
        client("mg a v q O1\r\nmg b v q O2\r\nms c 2 q\r\nxy\r\nmd d q\r\nmn\r\n"),
        server("VA 2 O2\r\nhi\r\nMN\r\n"),
        client("mg a v\r\nma n\r\nme a\r\nms c 2 T0\r\nxy\r\nmd c\r\n"),
        server("EN\r\nHD\r\nME a exp=-1 la=3\r\nHD\r\nNF\r\n"),
    ];
    let told = told(&DEFINITION, &dialogue);
    assert_eq!(
        told.short(),
        ["mg ok", "mg ok", "ms ok", "md ok", "mn ok", "mg ok", "ma ok", "me ok", "ms ok", "md ok"]
    );
    assert_eq!(told.unpaired.total(), 0);
    assert_eq!(recognised(&DEFINITION, &dialogue), Some("memcached"));
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn an_error_behind_quiet_commands_is_that_of_the_first_that_is_not_quiet() {
    // As memcached 1.6.18 answers it.
    let dialogue = [
        client("ms a 3 q\r\nabc\r\nmg b v q O1\r\nincr a 1\r\nmn\r\n"),
        server("CLIENT_ERROR cannot increment or decrement non-numeric value\r\nMN\r\n"),
    ];
    let told = told(&DEFINITION, &dialogue);
    assert_eq!(told.short(), ["ms ok", "mg ok", "incr failed", "mn ok"]);
    assert_eq!(told.unpaired.total(), 0);
}

#[test]
fn binary_messages_are_paired_also_when_quiet_ones_are_not_answered() {
    let dialogue = [
        client(
            [
                ask(0x09, 1, [b"", b"miss", b""]),
                ask(0x09, 2, [b"", b"hit", b""]),
                ask(0x11, 3, [&[0; 8], b"key", b"value"]),
                ask(0x0a, 4, [b"", b"", b""]),
            ]
            .concat(),
        ),
        server([say(0x09, 0, 2, [&[0; 4], b"", b"value"]), say(0x0a, 0, 4, [b"", b"", b""])].concat()),
        client(
            [ask(0x00, 0, [b"", b"a", b""]), ask(0x05, 0, [&[0; 20], b"n", b""]), ask(0x10, 9, [b""; 3])]
                .concat(),
        ),
        server(
            [
                say(0x00, 1, 0, [b"", b"", b"Not found"]),
                say(0x05, 6, 0, [b"", b"", b"Non-numeric"]),
                say(0x10, 0, 9, [b"", b"pid", b"1"]),
                say(0x10, 0, 9, [b"", b"", b""]),
            ]
            .concat(),
        ),
    ];
    let told = told(&DEFINITION, &dialogue);
    assert_eq!(
        told.lines(),
        [
            "10-20-20 get ok db.operation.name=get db.query.text=get miss",
            "10-20-20 get ok db.operation.name=get db.query.text=get hit",
            "10-20-20 set ok db.operation.name=set db.query.text=set key",
            "10-20-20 noop ok db.operation.name=noop db.query.text=noop",
            "30-40-40 get ok db.operation.name=get db.query.text=get a",
            "30-40-40 incr failed db.operation.name=incr db.query.text=incr n db.response.status_code=6",
            "30-40-40 stats ok db.operation.name=stats db.query.text=stats",
        ]
    );
    assert_eq!(told.unpaired.total(), 0);
    assert_eq!(recognised(&DEFINITION, &dialogue), Some("memcached"));
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn an_answer_that_does_not_fit_is_given_to_nobody() {
    let dialogue = [client("get a\r\n"), server("STORED\r\n"), client("get a\r\n"), server("END\r\n")];
    let told = told(&DEFINITION, &dialogue);
    assert!(told.exchanges.is_empty() && told.unpaired.total() > 0);
}

#[test]
fn logins_are_blanked_wherever_a_call_ends() {
    let text = [
        client("version\r\n"),
        server("CLIENT_ERROR unauthenticated\r\n"),
        client("set login 0 0 13\r\nbob hunter222\r\n"),
        server("STORED\r\n"),
        client("set open 0 0 4\r\nabcd\r\n"),
        server("STORED\r\n"),
    ];
    check_secrets(&DEFINITION, &text, &["hunter", "bob"]);
    let binary = [
        client(ask(0x20, 0, [b""; 3])),
        server(say(0x20, 0, 0, [b"", b"", b"PLAIN"])),
        client(ask(0x21, 0, [b"", b"PLAIN", b"\0bob\0hunter33"])),
        server(say(0x21, 0x21, 0, [b"", b"", b"go on"])),
        client(ask(0x22, 0, [b"", b"PLAIN", b"\0bob\0hunter44"])),
        server(say(0x22, 0, 0, [b"", b"", b"Authenticated"])),
    ];
    check_secrets(&DEFINITION, &binary, &["hunter", "bob"]);
}

#[test]
fn what_was_granted_is_left_as_it_is() {
    let mut redactor = DEFINITION.redactor.map(|new| new());
    let mut redact = |side, position, text: &str| {
        let mut bytes = text.as_bytes().to_vec();
        redactor.as_mut().map_or(0, |one| one.redact(side, position, text.len() as u64, &mut bytes))
    };
    assert_eq!(redact(Side::Client, 0, "set a 0 0 2\r\nxy\r\n"), 2);
    assert_eq!(redact(Side::Server, 0, "STORED\r\n"), 0);
    assert_eq!(redact(Side::Client, 17, "set a 0 0 2\r\nxy\r\n"), 0);
}

#[test]
fn what_is_no_memcached_is_not_taken_for_it() {
    let others: [[Turn; 2]; 3] = [
        [client("GET / HTTP/1.1\r\n\r\n"), server("HTTP/1.1 200 OK\r\n\r\n")],
        [client("*1\r\n$4\r\nPING\r\n"), server("+PONG\r\n")],
        [client("getting started\r\nset off\r\n"), server("fine\r\n")],
    ];
    for other in others {
        assert_ne!(recognised(&DEFINITION, &other), Some("memcached"), "{other:?}");
    }
}

fn dialogue() -> impl Strategy<Value = Vec<Turn>> {
    let turn = (prop::collection::vec(0_usize..6, 1..5), 0_usize..300, 0_u32..1000).prop_map(
        |(commands, length, number)| {
            let value = "x".repeat(length);
            let (mut asked, mut said) = (String::new(), String::new());
            for command in commands {
                let (ask, say) = match command {
                    0 => (format!("get k{number}\r\n"), "END\r\n".to_owned()),
                    1 => {
                        (format!("get k{number} j\r\n"), format!("VALUE j 0 {length}\r\n{value}\r\nEND\r\n"))
                    }
                    2 => (format!("set k{number} 0 0 {length}\r\n{value}\r\n"), "STORED\r\n".to_owned()),
                    3 => (format!("set k{number} 0 0 {length} noreply\r\n{value}\r\n"), String::new()),
                    4 => (format!("incr k{number} 1\r\n"), "CLIENT_ERROR bad\r\n".to_owned()),
                    _ => (
                        format!("mg k{number} v q O{number}\r\nmn\r\n"),
                        format!("VA {length} O{number}\r\n{value}\r\nMN\r\n"),
                    ),
                };
                asked.push_str(&ask);
                said.push_str(&say);
            }
            [client(asked), server(said)]
        },
    );
    prop::collection::vec(turn, 1..30).prop_map(|turns| turns.into_iter().flatten().collect())
}

proptest! {
    #[test]
    fn losses_make_no_wrong_pairs(
        dialogue in dialogue(),
        lost in prop::collection::vec(prop::bool::weighted(0.1), 0..50),
        kept_bytes in 1_usize..400,
        call_bytes in 1_usize..400,
    ) {
        check_losses(&DEFINITION, &dialogue, &Playing { kept_bytes, call_bytes, lost, redacts: false });
    }

    #[test]
    fn no_bytes_make_it_panic(dialogue in damaged(dialogue()), playing in playing()) {
        check_survives(&DEFINITION, &dialogue, &playing);
    }
}
