use proptest::prelude::*;

use super::DEFINITION;
use crate::damage::{check_survives, damaged, playing};
use crate::testing::{
    Playing, Turn, check_cuts, check_losses, check_secrets, client, recognised, server, told,
};

fn message(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(u32::try_from(content.len() + 4).unwrap_or_default().to_be_bytes());
    bytes.extend(content);
    bytes
}

fn all(messages: &[(u8, &[u8])]) -> Vec<u8> {
    messages.iter().flat_map(|(kind, content)| message(*kind, content)).collect()
}

fn startup(parameters: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(parameters.len() + 8).unwrap_or_default().to_be_bytes().to_vec();
    bytes.extend([0, 3, 0, 0]);
    bytes.extend(parameters);
    bytes
}

const READY: (u8, &[u8]) = (b'Z', b"I");

#[test]
fn simple_queries_end_when_the_server_is_ready() {
    let dialogue = [
        client([0, 0, 0, 8, 4, 210, 22, 47]),
        server("N"),
        client(startup(b"user\0me\0database\0shop\0\0")),
        server(all(&[(b'R', &[0, 0, 0, 3])])),
        client(message(b'p', b"md5secret\0")),
        server(all(&[(b'R', &[0, 0, 0, 0]), (b'S', b"TimeZone\0UTC\0"), (b'K', &[0; 8]), READY])),
        client(message(b'Q', b"SELECT 1; SELECT 2\0")),
        server(all(&[(b'N', b"SNOTICE\0\0"), (b'T', &[0, 0]), (b'D', &[0, 0]), (b'C', b"SELECT 1\0")])),
        server(all(&[(b'T', &[0, 0]), (b'C', b"SELECT 1\0"), READY])),
        client(message(b'Q', b"nonsense\0")),
        server(all(&[(b'E', b"SERROR\0C42601\0Mwhat\0\0"), READY])),
    ];
    assert_eq!(
        told(&DEFINITION, &dialogue).lines(),
        [
            "70-80-90 SELECT ok db.operation.name=SELECT db.query.summary=SELECT db.query.text=SELECT 1; SELECT 2 \
             db.namespace=shop",
            "100-110-110 query failed db.query.text=nonsense db.namespace=shop \
             db.response.status_code=42601",
        ]
    );
    assert_eq!(recognised(&DEFINITION, &dialogue), Some("postgres"));
    check_cuts(&DEFINITION, &dialogue);
    check_secrets(&DEFINITION, &dialogue, &["md5secret"]);
}

#[test]
fn a_pipeline_of_batches_has_a_query_an_execute_and_an_error_fails_the_rest_of_its_batch() {
    let bind: (u8, &[u8]) = (b'B', b"\0a\0\0\0\0\0\0\0");
    let run: (u8, &[u8]) = (b'E', b"\0\0\0\0\0");
    let sync: (u8, &[u8]) = (b'S', b"");
    let dialogue = [
        client(all(&[
            (b'P', b"a\0INSERT INTO t VALUES ($1)\0\0\0"),
            bind,
            (b'D', b"P\0"),
            run,
            bind,
            run,
            sync,
        ])),
        client(all(&[bind, run, bind, run, sync, (b'P', b"b\0SELECT 2\0\0\0"), (b'D', b"Sb\0"), sync])),
        server(all(&[
            (b'1', b""),
            (b'2', b""),
            (b'n', b""),
            (b'C', b"INSERT 0 1\0"),
            (b'2', b""),
            (b'C', b"INSERT 0 1\0"),
            READY,
        ])),
        server(all(&[
            (b'2', b""),
            (b'E', b"C23505\0\0"),
            READY,
            (b'1', b""),
            (b't', &[0, 0]),
            (b'n', b""),
            READY,
        ])),
    ];
    let told = told(&DEFINITION, &dialogue);
    assert_eq!(
        told.short(),
        ["INSERT t ok", "INSERT t ok", "INSERT t failed", "INSERT t failed", "PREPARE SELECT ok"]
    );
    assert_eq!(told.unpaired.total(), 0);
    assert_eq!(recognised(&DEFINITION, &dialogue), Some("postgres"));
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn long_queries_rows_and_copies_are_passed_over() {
    let long = format!("SELECT '{}'\0", "x".repeat(20_000));
    let rows: Vec<u8> = (0..30).flat_map(|_| message(b'D', &[1; 1000])).collect();
    let dialogue = [
        client(message(b'Q', long.as_bytes())),
        server([message(b'T', &[0, 0]), rows, all(&[(b'C', b"SELECT 30\0"), READY])].concat()),
        client(message(b'Q', b"COPY t FROM STDIN\0")),
        server(message(b'G', &[0, 0, 0])),
        client([message(b'd', &[b'1'; 9000]), message(b'c', b"")].concat()),
        server(all(&[(b'C', b"COPY 9\0"), READY])),
    ];
    let playing = Playing { kept_bytes: 256, call_bytes: 1005, ..Playing::default() };
    assert_eq!(playing.told(&DEFINITION, &dialogue).short(), ["SELECT ok", "COPY t ok"]);
}

#[test]
fn a_login_leaves_no_answer_over() {
    let dialogue = [
        client(startup(b"user\0me\0\0")),
        server(all(&[(b'R', &[0, 0, 0, 0]), (b'S', b"TimeZone\0UTC\0"), (b'K', &[0; 8]), READY])),
        client(message(b'Q', b"SELECT 1\0")),
        server(all(&[(b'C', b"SELECT 1\0"), READY])),
    ];
    let told = told(&DEFINITION, &dialogue);
    assert_eq!((told.short(), told.unpaired.total()), (vec!["SELECT ok".to_owned()], 0));
}

/// A COPY of many small rows in large calls, and what comes next.
fn copy(answer: &[(u8, &[u8])], rows_after_answer: &[u8]) -> [Turn; 7] {
    let rows: Vec<u8> = (0..400).flat_map(|row| message(b'd', format!("{row}\tQ\0\n").as_bytes())).collect();
    [
        client(message(b'Q', b"COPY t FROM STDIN\0")),
        server(message(b'G', &[0, 0, 0])),
        client([rows, all(&[(b'c', b"")])].concat()),
        server(all(answer)),
        client(rows_after_answer),
        client(message(b'Q', b"SELECT 1\0")),
        server(all(&[(b'C', b"SELECT 1\0"), READY])),
    ]
}

#[test]
fn statements_after_a_copy_of_small_rows_in_large_calls_are_read() {
    let whole = copy(&[(b'C', b"COPY 400\0"), READY], b"");
    // What was under way when the copy failed begins in the middle of a row.
    let failed = copy(&[(b'E', b"C22P04\0\0"), READY], b"99\tQ\0\nd\0\0\0\x071\n");
    for (dialogue, outcome) in [(whole, "COPY t ok"), (failed, "COPY t failed")] {
        for call_bytes in [1005, 8192] {
            let playing = Playing { kept_bytes: 256, call_bytes, ..Playing::default() };
            let told = playing.told(&DEFINITION, &dialogue);
            assert_eq!(told.short(), [outcome, "SELECT ok"]);
            assert_eq!(told.unpaired.total(), 0);
        }
    }
}

#[test]
fn results_beyond_what_is_kept_are_answers_and_one_lost_call_costs_a_few_queries() {
    let row = message(b'D', &[1; 300]);
    let result = [message(b'T', &[0, 0]), row.repeat(10), all(&[(b'C', b"SELECT 10\0"), READY])].concat();
    let turn = || [client(message(b'Q', b"SELECT 1\0")), server(&result)];
    let dialogue: Vec<Turn> = (0..30).flat_map(|_| turn()).collect();
    let little = Playing { kept_bytes: 1024, ..Playing::default() };
    let told = little.told(&DEFINITION, &dialogue);
    assert_eq!((told.exchanges.len(), told.unpaired.total()), (30, 0));

    let mut lost = vec![false; 60];
    for place in [20, 21] {
        let mut lost_one = lost.clone();
        lost_one.splice(place..=place, [true]);
        let told = Playing { lost: lost_one, ..Playing::default() }.told(&DEFINITION, &dialogue);
        let answered = told.short().iter().filter(|line| *line == "SELECT ok").count();
        assert!(answered >= 25, "{answered} of 30, without call {place}");
    }
    // The connection is older than the recording.
    lost.fill(false);
    let from_the_middle = Playing { lost: vec![true, false], ..Playing::default() };
    assert!(from_the_middle.told(&DEFINITION, &dialogue).exchanges.is_empty(), "no question was seen");
}

#[test]
fn passwords_in_statements_are_blanked_wherever_a_call_ends() {
    let dialogue = [
        client(message(b'Q', b"ALTER ROLE me PASSWORD 'hunter2'\0")),
        server(all(&[(b'C', b"ALTER ROLE\0"), READY])),
        client(message(
            b'Q',
            b"SELECT dblink('host=a password=hunter2 user=b', 'postgres://me:hunter2@b/c')\0",
        )),
        server(all(&[(b'C', b"SELECT 1\0"), READY])),
    ];
    check_secrets(&DEFINITION, &dialogue, &["hunter2"]);
}

#[test]
fn no_form_of_a_literal_lets_a_password_through() {
    for statement in [
        "ALTER ROLE me PASSWORD 'it''s hunter2'\0",
        "ALTER ROLE me PASSWORD E'it\\'s hunter2'\0",
        "ALTER ROLE me PASSWORD $$hunter2$$\0",
        "CREATE USER MAPPING FOR me SERVER s OPTIONS (user 'me', password='hunter2')\0",
        "SET my.password = 'hunter2'\0",
    ] {
        let dialogue = [client(message(b'Q', statement.as_bytes())), server(all(&[(b'C', b"SET\0"), READY]))];
        check_secrets(&DEFINITION, &dialogue, &["hunter2"]);
    }
}

fn dialogue() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop::collection::vec((0_u32..1000, 0_usize..300), 1..4).prop_map(|queries| {
        let asked: Vec<u8> =
            queries.iter().flat_map(|(id, _)| message(b'Q', format!("SELECT {id}\0").as_bytes())).collect();
        let answer = |(id, length): &(u32, usize)| match id % 5 {
            0 => all(&[(b'E', format!("C{id:05}\0\0").as_bytes()), READY]),
            _ => [message(b'D', &vec![b'x'; *length]), all(&[(b'C', b"SELECT 1\0"), READY])].concat(),
        };
        [client(asked), server(queries.iter().flat_map(answer).collect::<Vec<u8>>())]
    });
    prop::collection::vec(turn, 1..20).prop_map(|turns| turns.into_iter().flatten().collect())
}

proptest! {
    #[test]
    fn losses_make_no_wrong_pairs(
        dialogue in dialogue(),
        lost in prop::collection::vec(prop::bool::weighted(0.1), 0..50),
        kept_bytes in 32_usize..400,
        call_bytes in 1_usize..400,
    ) {
        check_losses(&DEFINITION, &dialogue, &Playing { kept_bytes, call_bytes, lost, redacts: false });
    }

    #[test]
    fn no_bytes_make_it_panic(dialogue in damaged(dialogue()), playing in playing()) {
        check_survives(&DEFINITION, &dialogue, &playing);
    }
}
