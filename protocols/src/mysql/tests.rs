mod secrets;

use proptest::prelude::*;

use super::DEFINITION;
use crate::damage::{check_survives, damaged, playing};
use crate::testing::{
    Playing, Turn, check_cuts, check_losses, check_secrets, client, recognised, server, told,
};

fn packet(sequence: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let length = u32::try_from(content.len()).unwrap_or_default().to_le_bytes();
    [&length[..3], &[sequence], content].concat()
}

fn command(kind: u8, content: impl AsRef<[u8]>) -> Turn {
    client(packet(0, [&[kind], content.as_ref()].concat()))
}

fn query(text: &str) -> Turn {
    command(3, text)
}

/// The packets of an answer, from 1 on.
fn answer(packets: &[&[u8]]) -> Turn {
    server(numbered(1, packets))
}

fn numbered(first: u8, packets: &[&[u8]]) -> Vec<u8> {
    let numbers = (0..=u8::MAX).cycle().skip(first.into());
    packets.iter().zip(numbers).flat_map(|(content, number)| packet(number, content)).collect()
}

const OK: &[u8] = b"\0\x01\0\x02\0\0\0";
const COLUMN: &[u8] = b"\x03def\0\0\0\x011\0\x0c\x3f\0\x01\0\0\0\x08\x81\0\0\0\0";
const EOF: &[u8] = b"\xfe\0\0\x02\0";
/// As servers have it that say no EOF.
const END: &[u8] = b"\xfe\0\0\x02\0\0\0";
const SYNTAX: &[u8] = b"\xff\x28\x04#42000You have an error near 'x'";

fn greeting() -> Turn {
    let rest = [&[0; 10][..], b"ijklmnopqrst\0caching_sha2_password\0"].concat();
    server(packet(0, [b"\x0a8.0.36\0\x0b\0\0\0abcdefgh\0\xff\xff\xff\x02\0\xff\xdf\x15", &rest[..]].concat()))
}

fn login(flags: u32, behind: &[u8]) -> Turn {
    client(packet(1, [&flags.to_le_bytes()[..], b"\0\0\0\x01\x2d", &[0; 23], behind].concat()))
}

const FLAGS: u32 = 0x0008_a208;

fn opening() -> Vec<Turn> {
    vec![
        greeting(),
        login(FLAGS, b"bob\0\x07hunter1shop\0mysql_native_password\0"),
        server(packet(2, b"\xfemysql_clear_password\0")),
        client(packet(3, b"hunter2\0")),
        server(packet(4, OK)),
    ]
}

#[test]
fn statements_are_answered_by_ok_tables_and_errors_with_their_number() {
    let mut dialogue = opening();
    dialogue.extend([
        query("INSERT INTO t VALUES (1)"),
        answer(&[OK]),
        query("SELECT 1 FROM t"),
        answer(&[&[1], COLUMN, EOF, b"\x011"]),
        server(numbered(5, &[b"\x012", EOF])),
        query("SELEC 1"),
        answer(&[SYNTAX]),
        command(14, b""),
        answer(&[OK]),
        command(2, b"store"),
        answer(&[OK]),
        query("SELECT 2"),
        answer(&[&[1], COLUMN, b"\x011", END]),
        command(1, b""),
    ]);
    let told = told(&DEFINITION, &dialogue);
    assert_eq!(
        told.lines(),
        [
            "60-70-70 INSERT t ok db.operation.name=INSERT db.collection.name=t db.query.summary=INSERT t \
             db.query.text=INSERT INTO t VALUES (1) db.namespace=shop",
            "80-90-100 SELECT t ok db.operation.name=SELECT db.collection.name=t db.query.summary=SELECT t \
             db.query.text=SELECT 1 FROM t db.namespace=shop",
            "110-120-120 query failed db.query.text=SELEC 1 db.namespace=shop \
             db.response.status_code=1064 mysql.sqlstate=42000",
            "150-160-160 USE ok db.operation.name=USE db.query.summary=USE db.namespace=shop",
            "170-180-180 SELECT ok db.operation.name=SELECT db.query.summary=SELECT db.query.text=SELECT 2 \
             db.namespace=store",
        ]
    );
    assert_eq!(told.unpaired.total(), 0);
    assert_eq!(recognised(&DEFINITION, &dialogue), Some("mysql"));
    check_cuts(&DEFINITION, &dialogue);
    check_secrets(&DEFINITION, &dialogue, &["hunter1", "hunter2"]);
}

#[test]
fn prepared_statements_stand_for_their_texts() {
    let number = [7, 0, 0, 0];
    let prepared =
        |columns: u8, parameters: u8| [&[0][..], &number, &[columns, 0, parameters, 0, 0, 0, 0]].concat();
    let run = [&number[..], &[0, 1, 0, 0, 0, 0, 1, 8, 0, 5, 0, 0, 0, 0, 0, 0, 0]].concat();
    let with_cursor = [&number[..], &[1, 1, 0, 0, 0]].concat();
    for (ends, last) in [(&[EOF][..], EOF), (&[], END)] {
        let described = [&[COLUMN][..], ends].concat();
        let is_old = !ends.is_empty();
        let dialogue = [
            command(22, b"SELECT a FROM t WHERE b = ?"),
            answer(&[&[&prepared(1, 1)[..]][..], &described, &described].concat()),
            command(24, [&number[..], &[0, 0], b"long"].concat()),
            command(23, &run),
            answer(&[&[&[1][..]][..], &described, &[b"\0\0\x05", last]].concat()),
            command(23, &with_cursor),
            answer(&if is_old {
                vec![&[1][..], COLUMN, b"\xfe\0\0\x42\0"]
            } else {
                vec![&[1], COLUMN, b"\xfe\0\0\x42\0\0\0"]
            }),
            command(28, [&number[..], &[10, 0, 0, 0]].concat()),
            answer(&[b"\0\0\x05", last]),
            command(26, number),
            answer(&[OK]),
            client(
                [packet(0, [&[25][..], &number].concat()), packet(0, [&[23][..], &run].concat())].concat(),
            ),
            answer(&[b"\xff\xdb\x04#HY000Unknown prepared statement"]),
            command(22, b"DO 1"),
            answer(&[&prepared(0, 0)]),
            command(22, b"SELEC"),
            answer(&[SYNTAX]),
        ];
        let told = told(&DEFINITION, &dialogue);
        assert_eq!(
            told.short(),
            [
                "PREPARE SELECT t ok",
                "SELECT t ok",
                "SELECT t ok",
                "FETCH SELECT t ok",
                "EXECUTE failed",
                "PREPARE DO ok",
                "PREPARE failed",
            ]
        );
        assert_eq!(told.unpaired.total(), 0);
        assert_eq!(recognised(&DEFINITION, &dialogue), Some("mysql"));
        check_cuts(&DEFINITION, &dialogue);
    }
}

#[test]
fn attributes_before_a_statement_are_passed_over_and_one_is_the_context_of_a_trace() {
    let attributes = b"\x02\x01\x01\x01\x08\0\x01n\xfe\0\x0btraceparent\x0500-ab";
    let dialogue = [
        command(3, b"\0\x01SELECT 1 FROM t"),
        answer(&[OK]),
        command(3, [&attributes[..], b"DO 2"].concat()),
        answer(&[OK]),
    ];
    assert_eq!(
        told(&DEFINITION, &dialogue).lines(),
        [
            "10-20-20 SELECT t ok db.operation.name=SELECT db.collection.name=t db.query.summary=SELECT t \
             db.query.text=SELECT 1 FROM t",
            "30-40-40 DO ok db.operation.name=DO db.query.summary=DO db.query.text=DO 2 traceparent=00-ab",
        ]
    );
    assert_eq!(recognised(&DEFINITION, &dialogue), Some("mysql"));
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn statements_in_one_text_and_calls_of_procedures_have_several_results() {
    let more = b"\0\x01\0\x0a\0\0\0";
    let more_rows = b"\xfe\0\0\x0a\0";
    let dialogue = [
        query("INSERT INTO t VALUES (1); SELECT 1; SELEC"),
        answer(&[more, &[1], COLUMN, EOF, b"\x011", more_rows, SYNTAX]),
        query("CALL p()"),
        answer(&[&[1], COLUMN, b"\x011", b"\xfe\0\0\x0a\0\0\0", OK]),
        query("SELECT 1 FROM u"),
        answer(&[&[1], COLUMN, EOF, EOF]),
    ];
    let told = told(&DEFINITION, &dialogue);
    assert_eq!(told.short(), ["INSERT t failed", "CALL p ok", "SELECT u ok"]);
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn a_file_that_is_loaded_is_no_command() {
    let dialogue = [
        query("LOAD DATA LOCAL INFILE '/a' INTO TABLE t"),
        answer(&[b"\xfb/a"]),
        client(numbered(2, &[b"1,2\n3,4\n", b""])),
        server(packet(4, OK)),
        query("SELECT 1"),
        answer(&[&[1], COLUMN, EOF, EOF]),
    ];
    assert_eq!(told(&DEFINITION, &dialogue).lines().len(), 2);
    assert_eq!(told(&DEFINITION, &dialogue).short(), ["LOAD t ok", "SELECT ok"]);
    check_cuts(&DEFINITION, &dialogue);
    // Nothing but its beginning was kept.
    let little = Playing { kept_bytes: 45, ..Playing::default() };
    assert_eq!(little.told(&DEFINITION, &dialogue).short(), ["LOAD t ok", "SELECT ok"]);
}

#[test]
fn what_is_too_long_for_a_packet_goes_on_in_the_next() {
    let longest = vec![b'x'; 0xff_ffff];
    let mut text = longest.clone();
    text.splice(..8, *b"\x03SELECT ");
    let mut row = longest.clone();
    row.splice(..9, [0xfe, 0, 0, 0, 1, 0, 0, 0, 0]);
    let dialogue = [
        client(numbered(0, &[&text, b"\xffx"])),
        server(numbered(2, &[&[1], COLUMN, EOF, &row, &[b'x'; 10], b"\x011", EOF])),
        query("DO 1"),
        answer(&[OK]),
    ];
    let playing = Playing { call_bytes: 1 << 14, ..Playing::default() };
    assert_eq!(playing.told(&DEFINITION, &dialogue).short(), ["SELECT ok", "DO ok"]);
    for call_bytes in [1 << 14, 1 << 20, usize::MAX] {
        let little = Playing { kept_bytes: 1024, call_bytes, ..Playing::default() };
        assert_eq!(little.told(&DEFINITION, &dialogue).short(), ["SELECT ok", "DO ok"], "{call_bytes}");
    }
}

#[test]
fn results_beyond_what_is_kept_end_with_the_last_byte_before_the_next_command() {
    let rows = vec![&[b'1'; 300][..]; 40];
    let result = numbered(1, &[&[&[1], COLUMN, EOF], &rows[..], &[EOF]].concat());
    let (head, rest) = result.split_at(5000);
    let turn = || [query("SELECT a FROM t"), server(head), server(rest)];
    let mut dialogue: Vec<Turn> = (0..30).flat_map(|_| turn()).collect();
    let little = Playing { kept_bytes: 1024, ..Playing::default() };
    let told = little.told(&DEFINITION, &dialogue);
    assert_eq!((told.exchanges.len(), told.unpaired.total()), (30, 0));
    assert!(told.lines().iter().all(|line| line.contains("SELECT t ok")), "also the last one");
    assert_eq!(
        told.exchanges.first().map(|one| (one.begun_ns, one.first_ns, one.ended_ns)),
        Some((10, 20, 30))
    );

    // One lost call costs two queries at most, here and from the middle of the connection on.
    for place in 0..6 {
        let lost = (0..90).map(|call| call == 30 + place).collect();
        let told = Playing { lost, kept_bytes: 1024, ..Playing::default() }.told(&DEFINITION, &dialogue);
        assert!(told.exchanges.len() >= 28, "{} of 30, without call {place}", told.exchanges.len());
    }
    dialogue.remove(0);
    assert_eq!(little.recognised(&DEFINITION, &dialogue, 0).exchanges.len(), 29);
}

#[test]
fn commands_that_do_not_wait_for_answers_have_theirs_in_order() {
    let prepared = [0, 7, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    let dialogue = [
        client(
            [
                packet(0, b"\x16SELECT ? FROM t"),
                packet(0, [0x17, 255, 255, 255, 255, 0, 1, 0, 0, 0, 0, 1, 8, 0]),
            ]
            .concat(),
        ),
        server(
            [numbered(1, &[&prepared, COLUMN, EOF]), numbered(1, &[&[1], COLUMN, EOF, b"\0\0\x05", EOF])]
                .concat(),
        ),
        client([packet(0, b"\x03SELECT 1"), packet(0, b"\x03SELEC 2"), packet(0, b"\x03DO 3")].concat()),
        server([numbered(1, &[&[1], COLUMN, EOF, EOF]), numbered(1, &[SYNTAX]), numbered(1, &[OK])].concat()),
    ];
    let told = told(&DEFINITION, &dialogue);
    assert_eq!(told.short(), ["PREPARE SELECT t ok", "SELECT t ok", "SELECT ok", "query failed", "DO ok"]);
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn behind_a_gap_answers_of_a_client_that_does_not_wait_are_trusted_when_it_waits_again() {
    let ask = |number: u32| query(&format!("SELECT {number} FROM t{number}"));
    let answers = |codes: &[u16]| {
        let error = |code: &u16| packet(1, [&[0xff][..], &code.to_le_bytes(), b"#42000no"].concat());
        server(codes.iter().flat_map(error).collect::<Vec<u8>>())
    };
    let mut dialogue = vec![ask(1), ask(2), answers(&[1001, 1002])];
    // The first of these is lost.
    dialogue.extend([ask(3), ask(4), ask(5), answers(&[1003, 1004, 1005])]);
    dialogue.extend((6..12).flat_map(|number: u16| [ask(number.into()), answers(&[1000 + number])]));
    let lost: Vec<bool> = (0..dialogue.len()).map(|call| call == 3).collect();
    let told = Playing { lost, ..Playing::default() }.told(&DEFINITION, &dialogue);
    assert!(told.exchanges.len() >= 5, "{:?}", told.short());
    for line in told.lines() {
        let number = line.split("FROM t").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
        assert!(
            line.contains(&format!("status_code={}", 1000 + number.parse::<u32>().unwrap_or_default())),
            "{line}"
        );
    }
}

#[test]
fn what_is_encrypted_compressed_or_replicated_is_left_alone() {
    let noise: Vec<Turn> = (0..20_u8).flat_map(|byte| [client([byte; 40]), server([byte; 90])]).collect();
    for flags in [FLAGS | 0x20, FLAGS | 0x0400_0000] {
        let mut dialogue = vec![greeting(), login(flags, b"bob\0\x00shop\0"), server(packet(2, OK))];
        dialogue.extend(noise.clone());
        let told = told(&DEFINITION, &dialogue);
        assert_eq!((told.exchanges.len(), told.protocol), (0, Some("mysql")));
    }
    let mut encrypted = vec![greeting(), login(FLAGS | 0x800, b"")];
    encrypted.extend(noise.clone());
    let told_encrypted = told(&DEFINITION, &encrypted);
    assert_eq!((told_encrypted.exchanges.len(), told_encrypted.protocol), (0, Some("mysql")));
    let mut replica = opening();
    replica.push(command(0x12, b"\x04\0\0\0\0\0\x01\0\0\0binlog.000001"));
    replica.extend(noise.into_iter().filter(|(side, _)| *side == crate::Side::Server));
    assert_eq!(told(&DEFINITION, &replica).exchanges, []);
}

fn dialogue(has_late_errors: bool) -> impl Strategy<Value = Vec<Turn>> {
    let turn = (0_u32..1000, 0_usize..300, 0..6_usize).prop_map(move |(id, length, rows)| {
        let asked = query(&format!("SELECT {id} FROM t{id}"));
        let row = vec![b'x'; length + 1];
        let code = [&[0xff][..], &(1000 + id as u16).to_le_bytes(), b"#42000no"].concat();
        let rows = vec![&row[..]; rows];
        let answered = match id % 5 {
            0 => answer(&[&code]),
            1 => answer(&[OK]),
            2 => answer(&[&[&[1], COLUMN][..], &rows, &[END]].concat()),
            3 if has_late_errors => answer(&[&[&[1], COLUMN, EOF][..], &rows, &[&code]].concat()),
            _ => answer(&[&[&[1], COLUMN, EOF][..], &rows, &[EOF]].concat()),
        };
        [asked, answered]
    });
    prop::collection::vec(turn, 1..20).prop_map(|turns| turns.into_iter().flatten().collect())
}

proptest! {
    #[test]
    fn losses_make_no_wrong_pairs(
        dialogue in dialogue(true),
        lost in prop::collection::vec(prop::bool::weighted(0.1), 0..50),
        call_bytes in 1_usize..400,
    ) {
        check_losses(&DEFINITION, &dialogue, &Playing { call_bytes, lost, ..Playing::default() });
    }

    #[test]
    fn losses_of_what_is_partly_kept_make_no_wrong_pairs(
        dialogue in dialogue(false),
        lost in prop::collection::vec(prop::bool::weighted(0.1), 0..50),
        kept_bytes in 32_usize..400,
        call_bytes in 1_usize..600,
    ) {
        check_losses(&DEFINITION, &dialogue, &Playing { kept_bytes, call_bytes, lost, redacts: false });
    }

    #[test]
    fn no_bytes_make_it_panic(dialogue in damaged(dialogue(true)), playing in playing()) {
        check_survives(&DEFINITION, &dialogue, &playing);
    }
}
