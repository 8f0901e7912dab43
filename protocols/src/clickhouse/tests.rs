//! Packets are built after `ProtocolDefines.h`, `ClientInfo.cpp` and `NativeWriter.cpp`.

use proptest::prelude::*;

use super::{DEFINITION, client as from_client, recognise};
use crate::damage::{check_survives, damaged, playing};
use crate::testing::{
    Playing, Turn, check_cuts, check_losses, check_secrets, client, content, recognised, server, told,
};
use crate::{Conversation, Facts, Recognition, Side, Unpaired};

const OLD: u64 = 54423;
const USUAL: u64 = 54459;
const NEW: u64 = 54484;
const NEWEST: u64 = 54491;

fn number(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn text(text: &str) -> Vec<u8> {
    [number(text.len() as u64), text.as_bytes().to_vec()].concat()
}

fn texts(texts: &[&str]) -> Vec<u8> {
    texts.iter().flat_map(|one| text(one)).collect()
}

fn hello(revision: u64) -> Turn {
    let versions = [vec![0], text("ClickHouse client"), number(24), number(8), number(revision)];
    client([versions.concat(), texts(&["shop", "bob", "hunter2"])].concat())
}

fn welcome(revision: u64) -> Turn {
    let mut bytes = [vec![0], text("ClickHouse"), number(24), number(8), number(revision)].concat();
    if revision >= 54471 {
        bytes.extend(number(4));
    }
    bytes.extend(texts(&["UTC", "db1"]));
    bytes.push(3);
    if revision >= 54470 {
        bytes.extend(texts(&["notchunked", "notchunked"]));
    }
    if revision >= 54461 {
        bytes.extend([number(1), texts(&[".{12}", "at least 12\ncharacters"])].concat());
    }
    if revision >= 54462 {
        bytes.extend([7; 8]);
    }
    if revision >= 54474 {
        bytes.extend([text("max_threads"), number(1), text("8"), text("")].concat());
    }
    for _ in [54477, 54479].iter().filter(|since| revision >= **since) {
        bytes.extend(number(1));
    }
    server(bytes)
}

fn addendum(revision: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if revision >= 54458 {
        bytes.extend(text(""));
    }
    if revision >= 54470 {
        bytes.extend(texts(&["notchunked", "notchunked"]));
    }
    if revision >= 54471 {
        bytes.extend(number(4));
    }
    bytes
}

/// Block of no columns and rows.
const EMPTY: [u8; 12] = [2, 0, 1, 0, 2, 255, 255, 255, 255, 0, 0, 0];

fn query(revision: u64, sql: &str) -> Vec<u8> {
    query_with(revision, sql, "", 0)
}

fn query_with(revision: u64, sql: &str, token: &str, compression: u64) -> Vec<u8> {
    let since = |since: u64, bytes: &[u8]| if revision >= since { bytes.to_vec() } else { Vec::new() };
    let traced = [&[1][..], &[9; 24], &text("state"), &[1]].concat();
    let jwt = if token.is_empty() { vec![0] } else { [vec![1], text(token)].concat() };
    let id = "0d5b3700-919a-4e77-9bdc-dc411f473b0a";
    [
        vec![1],
        text(id),
        vec![1],
        texts(&["bob", id, "127.0.0.1:4242"]),
        since(54449, &[0; 8]),
        vec![1],
        texts(&["bob", "laptop", "ClickHouse client"]),
        [number(24), number(8), number(revision)].concat(),
        text(""),
        since(54448, &[0]),
        since(54401, &[3]),
        since(54442, &traced),
        since(54453, &[0, 0, 0]),
        since(54475, &[1, 1]),
        since(54476, &jwt),
        since(54485, &text("")),
        since(54486, &[0]),
        since(54488, &[0]),
        text("max_block_size"),
        since(54429, &number(1)),
        if revision >= 54429 { text("1000") } else { number(1000) },
        text("count_distinct_implementation"),
        since(54429, &number(1)),
        text("uniqExact"),
        text(""),
        since(54472, &text("")),
        since(54441, &text("")),
        [number(2), number(compression)].concat(),
        text(sql),
        since(54459, &text("")),
    ]
    .concat()
}

fn ask(revision: u64, sql: &str) -> Turn {
    client([&query(revision, sql)[..], &EMPTY].concat())
}

/// A block of named columns with their bytes.
fn block(kind: u8, revision: u64, rows: u64, columns: &[(&str, &str, Vec<u8>)]) -> Vec<u8> {
    let head = [&[kind, 0, 1, 0, 2, 255, 255, 255, 255, 0][..], &number(columns.len() as u64), &number(rows)];
    let mut bytes = head.concat();
    for (name, r#type, values) in columns {
        bytes.extend(texts(&[name, r#type]));
        if revision >= 54454 {
            bytes.push(0);
        }
        bytes.extend(values);
    }
    bytes
}

fn frame(length: usize) -> Vec<u8> {
    [&[0x77; 16][..], &[0x82], &(length as u32 + 9).to_le_bytes(), &[0, 16, 0, 0], &vec![5; length]].concat()
}

fn progress(revision: u64) -> Vec<u8> {
    let fields = [54463, 54420, 54420, 54460].iter().filter(|since| revision >= **since).count();
    [vec![3], number(1000), number(70_000), vec![0; 1 + fields]].concat()
}

fn profile(revision: u64) -> Vec<u8> {
    [&[6, 1, 1][..], &number(8000), &[0, 0, 0][..], if revision >= 54469 { &[0, 0] } else { &[] }].concat()
}

fn exception(code: i32, message: &str) -> Vec<u8> {
    let one = |nested: u8| {
        [&code.to_le_bytes()[..], &texts(&["DB::Exception", message, "at 0x0"]), &[nested]].concat()
    };
    [vec![2], one(1), one(0)].concat()
}

fn everything() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let low = [
        &1_u64.to_le_bytes()[..],
        &0x600_u64.to_le_bytes(),
        &2_u64.to_le_bytes(),
        &texts(&["", "x"]),
        &2_u64.to_le_bytes(),
        &[0, 1],
    ];
    let array = [&1_u64.to_le_bytes()[..], &3_u64.to_le_bytes(), &texts(&["a", "b", "\u{5}"])];
    let map = [&0_u64.to_le_bytes()[..], &1_u64.to_le_bytes(), &text("key"), &[0, 5, 0, 5]];
    vec![
        ("id", "UInt64", vec![5; 16]),
        ("name", "String", texts(&["one", "two"])),
        ("maybe", "Nullable(DateTime64(3, 'UTC'))", vec![1; 2 + 16]),
        ("low", "LowCardinality(Nullable(String))", low.concat()),
        ("list", "Array(String)", array.concat()),
        ("map", "Map(String, UInt32)", map.concat()),
        ("pair", "Tuple(a Int8, b FixedString(3))", vec![5; 8]),
    ]
}

fn session(revision: u64) -> Vec<Turn> {
    let asked =
        [addendum(revision), query(revision, "SELECT * FROM t WHERE name = 'x'"), EMPTY.to_vec()].concat();
    let header: Vec<_> =
        everything().into_iter().map(|(name, r#type, _)| (name, r#type, Vec::new())).collect();
    let events = [("host_name", "String", text("db1")), ("value", "Int64", vec![5; 8])];
    vec![
        hello(revision),
        welcome(revision),
        client(asked),
        server(block(1, revision, 0, &header)),
        server([block(1, revision, 2, &everything()), progress(revision)].concat()),
        server([block(14, revision, 1, &events), profile(revision), block(1, revision, 0, &[])].concat()),
        server([5]),
        ask(revision, "/* why */ SELEC 1"),
        server(exception(62, "Syntax error: failed at position 1")),
        client([4]),
        server([4]),
        client([&query(revision, "insert into t values")[..], &EMPTY].concat()),
        server(
            [&[11][..], &text(""), &text("columns format version: 1\n1 columns:\n`id` UInt64\n")].concat(),
        ),
        server(block(1, revision, 0, &[("id", "UInt64", vec![])])),
        client([&block(2, revision, 3, &[("id", "UInt64", vec![1; 24])])[..], &EMPTY].concat()),
        server([progress(revision), vec![5]].concat()),
    ]
}

#[test]
fn a_session_is_read_at_every_revision() {
    for revision in [OLD, 54441, 54449, USUAL, 54463, NEW, NEWEST] {
        let told = told(&DEFINITION, &session(revision));
        assert_eq!(
            told.lines(),
            [
                "30-40-70 SELECT t ok db.operation.name=SELECT db.collection.name=t db.query.summary=SELECT t \
                 db.query.text=SELECT * FROM t WHERE name = 'x' db.namespace=shop",
                "80-90-90 query failed db.query.text=/* why */ SELEC 1 db.namespace=shop db.response.status_code=62",
                "120-130-160 INSERT t ok db.operation.name=INSERT db.collection.name=t db.query.summary=INSERT t \
                 db.query.text=insert into t values db.namespace=shop",
            ],
            "revision {revision}"
        );
        assert_eq!(told.unpaired, Unpaired::default());
        assert_eq!(recognised(&DEFINITION, &session(revision)), Some("clickhouse"));
    }
    check_cuts(&DEFINITION, &session(NEW));
    check_cuts(&DEFINITION, &session(OLD));
}

/// What clickhouse-driver 0.2.11, a client in Python that knows revision 54468, said to a stub that answers as a server
/// of a revision does, and what that said: a line a call.
fn captured(text: &str) -> Vec<Turn> {
    let call = |line: &str| {
        let (side, digits) = line.split_once(' ')?;
        let byte = |place: usize| u8::from_str_radix(digits.get(place..place + 2)?, 16).ok();
        let bytes: Vec<u8> = (0..digits.len()).step_by(2).filter_map(byte).collect();
        Some(if side == "C" { client(bytes) } else { server(bytes) })
    };
    text.lines().filter_map(call).collect()
}

#[test]
fn what_a_client_of_today_says_is_read() {
    let old = captured(include_str!("captured/54423.txt"));
    assert_eq!(told(&DEFINITION, &old).short(), ["SELECT ok", "INSERT t ok"]);
    for text in [include_str!("captured/54459.txt"), include_str!("captured/54479.txt")] {
        // The stub does not end the insert.
        let dialogue = captured(text);
        let told = told(&DEFINITION, &dialogue);
        assert_eq!(told.short(), ["SELECT ok", "INSERT t Closed"]);
        assert_eq!(told.unpaired, Unpaired::default());
        assert_eq!(recognised(&DEFINITION, &dialogue), Some("clickhouse"));
        check_cuts(&DEFINITION, &dialogue);
        check_secrets(&DEFINITION, &dialogue, &["hunter2"]);
    }
}

#[test]
fn compressed_blocks_are_passed_over() {
    let insert = [&query_with(USUAL, "INSERT INTO t VALUES", "", 1)[..], &[2, 0], &frame(20)].concat();
    let dialogue = [
        hello(USUAL),
        welcome(USUAL),
        client(
            [addendum(USUAL), query_with(USUAL, "SELECT 1", "", 1), [&[2, 0], &frame(12)[..]].concat()]
                .concat(),
        ),
        server([&[1, 0], &frame(60_000)[..], &frame(3000), &[1, 0], &frame(100)].concat()),
        server([profile(USUAL), progress(USUAL)].concat()),
        server([5]),
        client(insert),
        server([&[1, 0], &frame(40)[..]].concat()),
        client([&[2, 0], &frame(100_000)[..], &[2, 0], &frame(12)].concat()),
        server([5]),
        client([4]),
        server([4]),
    ];
    for (kept_bytes, call_bytes) in [(usize::MAX, usize::MAX), (256, 8000), (256, 1000), (256, 300)] {
        let playing = Playing { kept_bytes, call_bytes, ..Playing::default() };
        let told = playing.told(&DEFINITION, &dialogue);
        let expected = ["SELECT ok", "INSERT t ok"];
        assert_eq!(told.short(), expected, "{kept_bytes} of {call_bytes}");
    }
    assert_eq!(recognised(&DEFINITION, &dialogue), Some("clickhouse"));
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn an_end_is_found_behind_blocks_that_were_not_kept() {
    let rows: Vec<u8> = (0..500).flat_map(|row| text(&format!("a value that is number {row}"))).collect();
    let long = block(1, USUAL, 500, &[("name", "String", rows)]);
    let dialogue = [
        hello(USUAL),
        welcome(USUAL),
        client([&addendum(USUAL)[..], &query(USUAL, "SELECT name FROM t"), &EMPTY].concat()),
        server(&long),
        server(progress(USUAL)),
        server([5]),
        ask(USUAL, "SELECT name FROM t LIMIT 1"),
        server(&long),
        server(exception(159, "Timeout exceeded")),
        ask(USUAL, "SELECT name FROM t LIMIT 2"),
        // Read by the client in one go: whether it went well cannot be seen.
        server([&long[..], &[5]].concat()),
        ask(USUAL, "SELECT 3"),
        server([5]),
    ];
    let told = Playing { kept_bytes: 512, ..Playing::default() }.told(&DEFINITION, &dialogue);
    assert_eq!(told.short(), ["SELECT t ok", "SELECT t failed", "SELECT t unknown", "SELECT ok"]);
    let times: Vec<_> = told.exchanges.iter().map(|one| (one.begun_ns, one.first_ns, one.ended_ns)).collect();
    assert_eq!(times, [(30, 40, 60), (70, 80, 90), (100, 110, 110), (120, 130, 130)]);
}

#[test]
fn a_long_statement_and_a_long_insert_are_passed_over() {
    let long = format!("SELECT {}", "x".repeat(5000));
    let rows: Vec<u8> = (0..3000).flat_map(|row| text(&format!("value {row}"))).collect();
    let dialogue = [
        hello(NEW),
        welcome(NEW),
        client([&addendum(NEW)[..], &query(NEW, &long), &EMPTY].concat()),
        server(exception(47, &"missing columns ".repeat(300))),
        ask(NEW, "INSERT INTO t VALUES"),
        server(block(1, NEW, 0, &[("name", "String", vec![])])),
        client([block(2, NEW, 3000, &[("name", "String", rows)])].concat()),
        client(EMPTY),
        server([5]),
        ask(NEW, "SELECT 2"),
        server([5]),
    ];
    for call_bytes in [usize::MAX, 3000] {
        let told = Playing { kept_bytes: 400, call_bytes, ..Playing::default() }.told(&DEFINITION, &dialogue);
        assert_eq!(told.short(), ["SELECT failed", "INSERT t ok", "SELECT ok"]);
    }
}

#[test]
fn connections_older_than_the_recording_are_read_from_a_query_on() {
    for revision in [OLD, USUAL, NEW, NEWEST] {
        let middle: Vec<Turn> = session(revision).split_off(3);
        let facts = Facts { wants_details: true, ..Facts::default() };
        let mut conversation = Conversation::new(facts);
        let mut positions = crate::PerSide { client: 1000_u64, server: 3000 };
        let mut lines = Vec::new();
        for (turn, (side, bytes)) in middle.iter().enumerate() {
            let place = positions.of(*side);
            let chunk =
                crate::Chunk { position: *place, size: bytes.len() as u64, bytes, time_ns: turn as u64 };
            *place += bytes.len() as u64;
            conversation.push(*side, &chunk);
            lines.extend(conversation.drain().map(|exchange| content(&exchange)));
        }
        assert_eq!(conversation.protocol().map(|one| one.name), Some("clickhouse"));
        assert_eq!(
            lines,
            [
                "query failed db.query.text=/* why */ SELEC 1 db.response.status_code=62",
                "INSERT t ok db.operation.name=INSERT db.collection.name=t db.query.summary=INSERT t \
                 db.query.text=insert into t values",
            ],
            "revision {revision}"
        );
    }
}

#[test]
fn who_is_not_let_in_is_an_observation() {
    let dialogue = [hello(NEW), server(exception(516, "Authentication failed"))];
    assert_eq!(told(&DEFINITION, &dialogue).lines(), ["10-20-20 hello failed db.response.status_code=516"]);
}

#[test]
fn passwords_and_tokens_are_blanked_wherever_a_call_ends() {
    let dialogue = [
        hello(NEW),
        welcome(NEW),
        client([&addendum(NEW)[..], &query_with(NEW, "SELECT 1", "eyJhbGciOi.token", 0), &EMPTY].concat()),
        server([5]),
    ];
    check_secrets(&DEFINITION, &dialogue, &["hunter", "eyJ", "token"]);
}

#[test]
fn queries_are_recognised_and_small_numbers_are_not() {
    for revision in [OLD, 54429, 54442, USUAL, NEW, NEWEST] {
        let query = query(revision, "SELECT 1");
        assert_eq!(recognise(Side::Client, &query, query.len() as u64), Recognition::Certain);
        let read = from_client::query_of_unknown_revision(&query).map(|(query, _, _)| query.statement.head);
        assert_eq!(read, Ok(&b"SELECT 1"[..]), "revision {revision}");
    }
    for bytes in
        [&[1, 0, 0, 0][..], &[2, 0, 0, 0, 9], &[0, 5, b'h', b'e', b'l', b'l', b'o', 1, 1, 1], &[14; 40]]
    {
        for side in [Side::Client, Side::Server] {
            assert_eq!(recognise(side, bytes, bytes.len() as u64), Recognition::Open, "{bytes:?}");
        }
    }
}

fn dialogue() -> impl Strategy<Value = Vec<Turn>> {
    let turns = prop::collection::vec((0_usize..4, 0_usize..200), 1..20);
    (turns, prop::sample::select(vec![OLD, USUAL, NEW])).prop_map(|(turns, revision)| {
        let mut dialogue = vec![hello(revision), welcome(revision), client(addendum(revision))];
        for (number, (kind, rows)) in turns.into_iter().enumerate() {
            dialogue.push(ask(revision, &format!("SELECT {number:03}")));
            let names: Vec<u8> = (0..rows).flat_map(|row| text(&"n".repeat(row))).collect();
            let columns = [("name", "String", names), ("n", "UInt32", vec![0; 4 * rows])];
            dialogue.extend(match kind {
                0 => vec![server(exception(number as i32 + 1, "no"))],
                1 => vec![server(block(1, revision, rows as u64, &columns)), server([5])],
                2 => vec![
                    server([&[1, 0], &frame(rows * 100 + 1)[..]].concat()),
                    server([profile(revision), progress(revision)].concat()),
                    server([5]),
                ],
                _ => vec![server([block(1, revision, rows as u64, &columns), vec![5]].concat())],
            });
        }
        dialogue
    })
}

proptest! {
    #[test]
    fn what_is_whole_is_known(dialogue in dialogue()) {
        let told = told(&DEFINITION, &dialogue);
        let asked = dialogue.iter().filter(|(_, bytes)| bytes.first() == Some(&1) && bytes.get(1) == Some(&36));
        prop_assert_eq!(told.exchanges.len(), asked.count());
        let known = |end: &String| end.ends_with("ok") || end.ends_with("failed");
        prop_assert!(told.short().iter().all(known), "{:?}", told.lines());
        prop_assert_eq!(told.unpaired, Unpaired::default());
    }

    #[test]
    fn losses_make_no_wrong_pairs(
        dialogue in dialogue(),
        lost in prop::collection::vec(prop::bool::weighted(0.1), 0..50),
        call_bytes in 1_usize..2000,
    ) {
        let playing = Playing { call_bytes, lost, ..Playing::default() };
        check_losses(&DEFINITION, &dialogue, &playing);
    }

    #[test]
    fn what_is_not_kept_makes_no_wrong_statuses(
        dialogue in dialogue(),
        kept_bytes in 300_usize..900,
        call_bytes in 30_usize..2000,
    ) {
        let playing = Playing { kept_bytes, call_bytes, ..Playing::default() };
        check_losses(&DEFINITION, &dialogue, &playing);
    }

    #[test]
    fn no_bytes_make_it_panic(dialogue in damaged(dialogue()), playing in playing()) {
        check_survives(&DEFINITION, &dialogue, &playing);
    }
}
