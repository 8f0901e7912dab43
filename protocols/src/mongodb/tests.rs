//! Messages are built by hand from the specifications of the wire protocol and of BSON.

use proptest::prelude::*;

use super::DEFINITION;
use crate::damage::{check_survives, damaged, playing};
use crate::testing::{
    Playing, Turn, check_cuts, check_losses, check_secrets, client, recognised, server, told,
};

fn element(kind: u8, key: &str, value: impl AsRef<[u8]>) -> Vec<u8> {
    [&[kind][..], key.as_bytes(), &[0], value.as_ref()].concat()
}

fn text(key: &str, value: &str) -> Vec<u8> {
    let length = (value.len() as u32 + 1).to_le_bytes();
    element(2, key, [&length[..], value.as_bytes(), &[0]].concat())
}

fn int(key: &str, value: i32) -> Vec<u8> {
    element(0x10, key, value.to_le_bytes())
}

fn double(key: &str, value: f64) -> Vec<u8> {
    element(1, key, value.to_le_bytes())
}

fn payload(value: &str) -> Vec<u8> {
    let length = (value.len() as u32).to_le_bytes();
    element(5, "payload", [&length[..], &[0], value.as_bytes()].concat())
}

fn document(elements: &[Vec<u8>]) -> Vec<u8> {
    let inner = elements.concat();
    [&(inner.len() as u32 + 5).to_le_bytes()[..], &inner, &[0]].concat()
}

fn inner(key: &str, elements: &[Vec<u8>]) -> Vec<u8> {
    element(3, key, document(elements))
}

fn list(key: &str, elements: &[Vec<u8>]) -> Vec<u8> {
    element(4, key, document(elements))
}

fn message(operation: u32, id: u32, to: u32, body: &[u8]) -> Vec<u8> {
    let length = body.len() as u32 + 16;
    let mut bytes: Vec<u8> = [length, id, to, operation].into_iter().flat_map(u32::to_le_bytes).collect();
    bytes.extend(body);
    bytes
}

fn msg(id: u32, to: u32, flags: u32, elements: &[Vec<u8>]) -> Vec<u8> {
    message(2013, id, to, &[&flags.to_le_bytes()[..], &[0], &document(elements)].concat())
}

fn ask(id: u32, elements: &[Vec<u8>]) -> Vec<u8> {
    let all = [elements, &[text("$db", "shop")]].concat();
    msg(id, 0, 0, &all)
}

fn say(id: u32, to: u32, elements: &[Vec<u8>]) -> Vec<u8> {
    msg(id, to, 0, elements)
}

fn find(id: u32, filter: &str) -> Vec<u8> {
    ask(
        id,
        &[text("find", "orders"), inner("filter", &[text("status", filter), inner("n", &[int("$gt", 5)])])],
    )
}

#[test]
fn replies_name_what_they_answer_and_say_how_it_ended() {
    let dialogue = [
        client(
            [
                find(1, "open"),
                ask(
                    2,
                    &[
                        text("insert", "orders"),
                        list("documents", &[inner("0", &[int("a", 1)]), inner("1", &[])]),
                    ],
                ),
            ]
            .concat(),
        ),
        client(ask(3, &[element(0x12, "getMore", 77_u64.to_le_bytes()), text("collection", "orders")])),
        server(say(50, 3, &[inner("cursor", &[]), double("ok", 1.0)])),
        server(
            [
                say(
                    51,
                    2,
                    &[
                        int("n", 0),
                        list("writeErrors", &[inner("0", &[int("index", 0), int("code", 11000)])]),
                        double("ok", 1.0),
                    ],
                ),
                say(
                    52,
                    1,
                    &[
                        double("ok", 0.0),
                        text("errmsg", "no"),
                        int("code", 13),
                        text("codeName", "Unauthorized"),
                    ],
                ),
            ]
            .concat(),
        ),
    ];
    assert_eq!(
        told(&DEFINITION, &dialogue).lines(),
        [
            "20-30-30 getMore orders ok db.operation.name=getMore db.namespace=shop db.collection.name=orders \
             db.query.text={\"getMore\": \"orders\", \"collection\": \"?\"}",
            "10-40-40 insert orders failed db.operation.name=insert db.namespace=shop db.collection.name=orders \
             db.query.text={\"insert\": \"orders\", \"documents\": [{\"a\": \"?\"}, {}]} \
             db.response.status_code=11000",
            "10-40-40 find orders failed db.operation.name=find db.namespace=shop db.collection.name=orders \
             db.query.text={\"find\": \"orders\", \"filter\": {\"status\": \"?\", \"n\": {\"$gt\": \"?\"}}} \
             db.response.status_code=13 error.type=Unauthorized",
        ]
    );
    assert_eq!(recognised(&DEFINITION, &dialogue), Some("mongo"));
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn documents_beyond_what_is_kept_are_passed_over() {
    let long = "x".repeat(3000);
    let dialogue = [
        client(ask(1, &[text("find", "orders"), inner("filter", &[text("a", &long)])])),
        server(say(9, 1, &[inner("cursor", &[list("firstBatch", &[text("0", &long)])]), double("ok", 1.0)])),
        client(ask(2, &[text("collStats", "orders")])),
        server(say(9, 2, &[text("ns", &long), double("ok", 1.0)])),
        client(ask(3, &[int("ping", 1)])),
        server(say(9, 3, &[double("ok", 1.0)])),
    ];
    for call_bytes in [usize::MAX, 700] {
        let told = Playing { kept_bytes: 256, call_bytes, ..Playing::default() }.told(&DEFINITION, &dialogue);
        assert_eq!(told.short(), ["find orders ok", "collStats orders unknown", "ping ok"]);
        assert_eq!(told.unpaired.total(), 0);
    }
}

#[test]
fn clients_may_want_no_reply_and_servers_may_send_several() {
    let stream = [inner("cursor", &[]), double("ok", 1.0)];
    let dialogue = [
        client(msg(1, 0, 2, &[text("insert", "logs"), text("$db", "shop")])),
        client(msg(2, 0, 1 << 16, &[text("find", "logs"), text("$db", "shop")])),
        server(msg(50, 2, 2, &stream)),
        server([msg(51, 50, 2, &stream), msg(52, 51, 0, &stream)].concat()),
        client(ask(3, &[int("ping", 1)])),
        server(say(53, 3, &[int("ok", 1)])),
    ];
    let told = told(&DEFINITION, &dialogue);
    assert_eq!(told.short(), ["insert logs unknown", "find logs ok", "ping ok"]);
    assert_eq!(told.unpaired.total(), 0);
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn sections_may_come_in_any_order_and_have_a_checksum_behind_them() {
    let sequence = [&b"documents\0"[..], &document(&[int("a", 1)])].concat();
    let section = [&[1][..], &(sequence.len() as u32 + 4).to_le_bytes(), &sequence].concat();
    let command = [&[0][..], &document(&[text("insert", "orders"), text("$db", "shop")])].concat();
    let body = [&1_u32.to_le_bytes()[..], &section, &command, &[1, 2, 3, 4]].concat();
    let dialogue = [client(message(2013, 1, 0, &body)), server(say(9, 1, &[int("n", 1), double("ok", 1.0)]))];
    assert_eq!(told(&DEFINITION, &dialogue).short(), ["insert orders ok"]);
    check_cuts(&DEFINITION, &dialogue);
}

fn query(id: u32, collection: &str, elements: &[Vec<u8>]) -> Vec<u8> {
    let before = [&[0; 4][..], collection.as_bytes(), &[0], &[0; 4], &[0xff; 4]].concat();
    message(2004, id, 0, &[before, document(elements)].concat())
}

fn reply(to: u32, flags: u32, elements: &[Vec<u8>]) -> Vec<u8> {
    let before = [&flags.to_le_bytes()[..], &[0; 8], &[0; 4], &1_u32.to_le_bytes()].concat();
    message(1, 99, to, &[before, document(elements)].concat())
}

#[test]
fn queries_of_old_begin_connections() {
    let dialogue = [
        client(query(1, "admin.$cmd", &[int("isMaster", 1), text("helloOk", "x")])),
        server(reply(1, 8, &[element(8, "ismaster", [1]), double("ok", 1.0)])),
        client(query(2, "shop.orders", &[inner("$query", &[text("a", "b")])])),
        server(reply(2, 0, &[int("ok", 0)])),
        client(query(3, "shop.orders", &[])),
        server(reply(3, 2, &[text("$err", "no")])),
        client(query(4, "shop.$cmd", &[inner("$query", &[text("count", "orders")])])),
        server(reply(4, 0, &[double("ok", 0.0), int("code", 59)])),
        client(message(2002, 5, 0, &[&[0; 4][..], b"shop.orders\0", &document(&[])].concat())),
    ];
    let told = told(&DEFINITION, &dialogue);
    assert_eq!(
        told.short(),
        [
            "isMaster ok",
            "query orders ok",
            "query orders failed",
            "count orders failed",
            "insert orders unknown"
        ]
    );
    assert_eq!(told.unpaired.total(), 0);
    assert_eq!(recognised(&DEFINITION, &dialogue), Some("mongo"));
    check_cuts(&DEFINITION, &dialogue);
}

/// With the original operation, length and compressor before what is packed.
fn packed(id: u32, to: u32, compressor: u8, plain: &[u8], packed: &[u8]) -> Vec<u8> {
    let before = [&2013_u32.to_le_bytes()[..], &(plain.len() as u32).to_le_bytes(), &[compressor]].concat();
    message(2012, id, to, &[&before, packed].concat())
}

/// Snappy, all of it literal.
fn snappy(plain: &[u8]) -> Vec<u8> {
    let length = plain.len();
    let size = [length as u8 & 0x7f | 0x80, (length >> 7) as u8];
    [&size[..], &[60 << 2, length as u8 - 1], plain].concat()
}

#[test]
fn compressed_messages_are_paired_and_read_if_they_can_be() {
    let body = |bytes: Vec<u8>| bytes.get(16..).unwrap_or_default().to_vec();
    let (asked, said) = (body(find(1, "open")), body(say(9, 1, &[double("ok", 0.0), int("code", 2)])));
    let dialogue = [
        client(packed(1, 0, 1, &asked, &snappy(&asked))),
        server(packed(50, 1, 1, &said, &snappy(&said))),
        client(packed(2, 0, 0, &asked, &asked)),
        server(packed(51, 2, 0, &said, &said)),
        client(packed(3, 0, 2, &asked, b"x\x9c?????")),
        server(packed(52, 3, 3, &said, b"\x28\xb5\x2f\xfd????")),
    ];
    let told = told(&DEFINITION, &dialogue);
    assert_eq!(told.short(), ["find orders failed", "find orders failed", " unknown"]);
    assert_eq!(told.unpaired.total(), 0);
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn logins_are_blanked_wherever_a_call_ends() {
    let sasl = [
        int("saslStart", 1),
        text("mechanism", "PLAIN"),
        payload("\0bob\0hunter11"),
        int("autoAuthorize", 1),
    ];
    let known = inner(
        "credentials",
        &[inner("SCRAM-SHA-256", &[int("iterationCount", 9), text("storedKey", "hunter88")])],
    );
    let dialogue = [
        client(query(
            1,
            "admin.$cmd",
            &[int("isMaster", 1), inner("speculativeAuthenticate", &sasl), inner("client", &[])],
        )),
        server(reply(1, 0, &[inner("speculativeAuthenticate", &[payload("v=hunter22")]), double("ok", 1.0)])),
        client(msg(2, 0, 0, &[&sasl[..], &[text("$db", "$external")]].concat())),
        server(say(9, 2, &[int("conversationId", 1), payload("r=hunter33"), double("ok", 1.0)])),
        client(msg(3, 0, 0, &[int("saslContinue", 1), payload("c=biws,p=hunter44"), text("$db", "admin")])),
        server(say(9, 3, &[double("ok", 0.0), int("code", 18)])),
        client(ask(4, &[text("createUser", "bob"), text("pwd", "hunter55"), list("roles", &[])])),
        server(say(9, 4, &[double("ok", 1.0)])),
        client(ask(5, &[text("updateUser", "bob"), text("pwd", "hunter66")])),
        server(say(9, 5, &[double("ok", 1.0)])),
        client(query(
            6,
            "admin.$cmd",
            &[int("authenticate", 1), text("nonce", "hunter77"), text("key", "hunter77")],
        )),
        server(reply(6, 0, &[double("ok", 1.0)])),
        client(ask(7, &[int("usersInfo", 1)])),
        server(say(9, 7, &[list("users", &[inner("0", &[text("user", "bob"), known])]), double("ok", 1.0)])),
    ];
    check_secrets(&DEFINITION, &dialogue, &["hunter"]);
    let whole = Playing { redacts: true, ..Playing::default() }.told(&DEFINITION, &dialogue);
    let names: Vec<String> = whole.short();
    assert_eq!(names.first().map(String::as_str), Some("isMaster ok"));
    assert_eq!(names.get(3).map(String::as_str), Some("createUser ok"));
}

#[test]
fn what_is_no_mongodb_is_not_taken_for_it() {
    for other in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 40], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        assert_ne!(recognised(&DEFINITION, &vec![client(other); 8]), Some("mongo"));
    }
}

fn turns(commands: &[(usize, usize)], first: u32) -> [Turn; 2] {
    let (mut asked, mut said) = (Vec::new(), Vec::new());
    for (id, (command, length)) in (first..).zip(commands) {
        let filler = "x".repeat(*length);
        match command {
            0 => {
                asked.push(find(id, &filler));
                said.push(say(9, id, &[inner("cursor", &[text("a", &filler)]), double("ok", 1.0)]));
            }
            1 => {
                asked.push(ask(id, &[text("delete", "orders"), text("filler", &filler)]));
                said.push(say(9, id, &[double("ok", 0.0), int("code", 6), text("errmsg", &filler)]));
            }
            2 => asked.push(msg(id, 0, 2, &[text("insert", "logs"), text("a", &filler)])),
            _ => {
                asked.push(ask(id, &[int("ping", 1)]));
                said.push(say(9, id, &[text("filler", &filler), double("ok", 1.0)]));
            }
        }
    }
    said.reverse();
    [client(asked.concat()), server(said.concat())]
}

/// Identifiers are counted up, as drivers do.
fn dialogue() -> impl Strategy<Value = Vec<Turn>> {
    let commands = prop::collection::vec((0_usize..4, 0_usize..200), 1..5);
    prop::collection::vec(commands, 1..20)
        .prop_map(|all| (1..).zip(&all).flat_map(|(turn, commands)| turns(commands, turn * 10)).collect())
}

proptest! {
    #[test]
    fn losses_make_no_wrong_pairs(
        lost in prop::collection::vec(prop::bool::weighted(0.1), 0..50),
        dialogue in dialogue(),
        call_bytes in 1_usize..400,
    ) {
        check_losses(&DEFINITION, &dialogue, &Playing { call_bytes, lost, ..Playing::default() });
    }

    #[test]
    fn no_bytes_make_it_panic(dialogue in damaged(dialogue()), playing in playing()) {
        check_survives(&DEFINITION, &dialogue, &playing);
    }
}
