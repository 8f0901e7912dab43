use proptest::prelude::*;

use super::DEFINITION;
use crate::damage::{check_survives, damaged, playing};
use crate::testing::{Playing, check_cuts, check_losses, check_secrets, client, recognised, server, told};

#[test]
fn a_pipeline_is_answered_in_order() {
    let dialogue = [
        client(
            "*2\r\n$3\r\nGET\r\n$1\r\na\r\n*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$2\r\nxy\r\n*1\r\n$4\r\nLPOP\r\n",
        ),
        server("$-1\r\n+OK\r\n"),
        server("-ERR wrong number of arguments\r\n"),
    ];
    assert_eq!(
        told(&DEFINITION, &dialogue).lines(),
        [
            "10-20-20 GET ok db.operation.name=GET db.query.text=GET a",
            "10-20-20 SET ok db.operation.name=SET db.query.text=SET b xy",
            "10-30-30 LPOP failed db.operation.name=LPOP db.query.text=LPOP db.response.status_code=ERR",
        ]
    );
    assert_eq!(recognised(&DEFINITION, &dialogue), Some("redis"));
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn values_beyond_what_is_kept_are_passed_over() {
    let value = "v".repeat(5000);
    let dialogue = [
        client(format!("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5000\r\n{value}\r\n")),
        server("+OK\r\n"),
        client("*2\r\n$3\r\nGET\r\n$1\r\na\r\n"),
        server(format!("$5000\r\n{value}\r\n")),
        client("*1\r\n$4\r\nPING\r\n"),
        server("+PONG\r\n"),
    ];
    let playing = Playing { kept_bytes: 64, ..Playing::default() };
    let told = playing.told(&DEFINITION, &dialogue);
    assert_eq!(told.short(), ["SET ok", "GET ok", "PING ok"]);
    assert_eq!(told.unpaired.total(), 0);
    let in_parts =
        Playing { kept_bytes: 64, call_bytes: 1000, ..Playing::default() }.told(&DEFINITION, &dialogue);
    assert_eq!(in_parts.short(), ["SET ok", "GET ok", "PING ok"]);
}

#[test]
fn a_reply_whose_elements_were_not_all_kept_goes_on_to_the_next_command() {
    let elements = "$5\r\nvalue\r\n".repeat(1000);
    let dialogue = [
        client("*1\r\n$6\r\nLRANGE\r\n"),
        server(format!("*1000\r\n{elements}")),
        client("*1\r\n$4\r\nPING\r\n"),
        server("+PONG\r\n"),
    ];
    for call_bytes in [usize::MAX, 1000, 777] {
        let playing = Playing { kept_bytes: 100, call_bytes, ..Playing::default() };
        let told = playing.told(&DEFINITION, &dialogue);
        assert_eq!(
            (told.short(), told.unpaired.total()),
            (vec!["LRANGE ok".to_owned(), "PING ok".to_owned()], 0)
        );
    }
}

#[test]
fn inline_commands_and_nested_replies_are_read() {
    let dialogue = [
        client("PING\r\nEXISTS somekey\r\n"),
        server("+PONG\r\n:0\r\n"),
        client("*1\r\n$4\r\nEXEC\r\n"),
        server("*2\r\n*2\r\n$1\r\na\r\n:1\r\n-ERR inside\r\n"),
        client("*1\r\n$7\r\nCOMMAND\r\n"),
        server("|1\r\n+ttl\r\n:3600\r\n%1\r\n+a\r\n*0\r\n"),
    ];
    assert_eq!(told(&DEFINITION, &dialogue).short(), ["PING ok", "EXISTS ok", "EXEC ok", "COMMAND ok"]);
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn messages_of_subscriptions_answer_nothing() {
    let dialogue = [
        client("*3\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n$1\r\nb\r\n"),
        server("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n"),
        server("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"),
        client("*1\r\n$4\r\nPING\r\n"),
        server("*2\r\n$4\r\npong\r\n$0\r\n\r\n"),
    ];
    let told = told(&DEFINITION, &dialogue);
    assert_eq!(told.short(), ["SUBSCRIBE ok", "PING ok"]);
    assert_eq!(told.unpaired.total(), 0);
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn a_client_that_wants_no_replies_gets_none() {
    let dialogue = [
        client("*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$3\r\nOFF\r\n*2\r\n$4\r\nINCR\r\n$1\r\na\r\n"),
        client("*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$2\r\nON\r\n*1\r\n$4\r\nPING\r\n"),
        server("+OK\r\n+PONG\r\n"),
    ];
    let told = told(&DEFINITION, &dialogue);
    assert_eq!(told.short(), ["CLIENT unknown", "INCR unknown", "CLIENT ok", "PING ok"]);
    assert_eq!(told.unpaired.total(), 0);
}

#[test]
fn passwords_are_blanked_wherever_a_call_ends() {
    let dialogue = [
        client("*2\r\n$4\r\nAUTH\r\n$8\r\nhunter22\r\n"),
        server("+OK\r\n"),
        client("*5\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$3\r\nbob\r\n$8\r\nhunter33\r\n"),
        server("%0\r\n"),
        client(
            "*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$11\r\nrequirepass\r\n$8\r\nhunter44\r\nAUTH hunter55\r\n",
        ),
        server("+OK\r\n+OK\r\n"),
        client("*4\r\n$3\r\nACL\r\n$7\r\nSETUSER\r\n$3\r\nbob\r\n$9\r\n>hunter66\r\n"),
        server("+OK\r\n"),
    ];
    check_secrets(&DEFINITION, &dialogue, &["hunter"]);
}

fn dialogue() -> impl Strategy<Value = Vec<crate::testing::Turn>> {
    let turn = (prop::collection::vec(0_u32..1000, 1..5), 0_usize..300).prop_map(|(keys, length)| {
        let asked: String = keys
            .iter()
            .map(|key| format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.to_string().len()))
            .collect();
        let answers: String = keys
            .iter()
            .map(|key| {
                if key % 5 == 0 {
                    format!("-ERR {key}\r\n")
                } else {
                    format!("${length}\r\n{}\r\n", "x".repeat(length))
                }
            })
            .collect();
        [client(asked), server(answers)]
    });
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
