//! Lines are built from the protocol's description.

use proptest::prelude::*;

use super::DEFINITION;
use crate::Method;
use crate::damage::{check_survives, damaged, playing};
use crate::testing::{
    Playing, Turn, check_cuts, check_losses, check_secrets, client, recognised, server, told,
};

const INFO: &str =
    "INFO {\"server_id\":\"NA\",\"version\":\"2.9.10\",\"headers\":true,\"max_payload\":1048576} \r\n";

fn opening(is_verbose: bool) -> Vec<Turn> {
    let connect = format!(
        "CONNECT {{\"verbose\":{is_verbose},\"pedantic\":false,\"lang\":\"go\",\"version\":\"1.19\"}}\r\nPING\r\n"
    );
    let answer = if is_verbose { "+OK\r\nPONG\r\n" } else { "PONG\r\n" };
    vec![server(INFO), client(connect), server(answer)]
}

fn with_opening(is_verbose: bool, turns: impl IntoIterator<Item = Turn>) -> Vec<Turn> {
    opening(is_verbose).into_iter().chain(turns).collect()
}

fn with_headers(word: &str, place: &str, headers: &str, body: &str) -> String {
    let headers = format!("NATS/1.0\r\n{headers}\r\n");
    format!("{word} {place} {} {}\r\n{headers}{body}\r\n", headers.len(), headers.len() + body.len())
}

#[test]
fn messages_to_subjects_and_from_subscriptions_are_told() {
    let trace = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    let dialogue = with_opening(
        false,
        [
            client("SUB orders.* workers 1\r\nPUB orders.new 5\r\nhello\r\npub jobs _INBOX.1 0\r\n\r\n"),
            server("MSG orders.new 1 5\r\nhello\r\nPING\r\n"),
            client(format!("PONG\r\n{}", with_headers("HPUB", "orders.eu", trace, "PUB x 1\r\na\r\n"))),
            server(with_headers("HMSG", "orders.eu 1 reply.to", trace, "")),
            client("UNSUB 1 5\r\n"),
        ],
    );
    let told = told(&DEFINITION, &dialogue);
    assert_eq!(
        told.lines(),
        [
            "40-40-40 publish orders ok messaging.operation.name=publish messaging.operation.type=send \
             messaging.destination.name=orders.new messaging.message.body.size=5",
            "40-40-40 publish jobs ok messaging.operation.name=publish messaging.operation.type=send \
             messaging.destination.name=jobs messaging.message.body.size=0",
            "50-50-50 deliver orders ok messaging.operation.name=deliver messaging.operation.type=receive \
             messaging.destination.name=orders.new messaging.message.body.size=5",
            "60-60-60 publish orders ok messaging.operation.name=publish messaging.operation.type=send \
             messaging.destination.name=orders.eu messaging.message.body.size=12 \
             traceparent=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "70-70-70 deliver orders ok messaging.operation.name=deliver messaging.operation.type=receive \
             messaging.destination.name=orders.eu messaging.message.body.size=0 \
             traceparent=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ]
    );
    let methods: Vec<Method> = told.exchanges.iter().map(|exchange| exchange.method).collect();
    let (sent, came) = (Method::Produce, Method::Consume);
    assert_eq!(methods, [sent, sent, came, sent, came]);
    assert_eq!(told.unpaired.total(), 0);
    assert_eq!(recognised(&DEFINITION, &dialogue), Some("nats"));
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn where_the_client_wants_answers_they_say_how_it_ended() {
    let dialogue = with_opening(
        true,
        [
            client("SUB a 1\r\nPUB a 1\r\nx\r\nPUB forbidden 1\r\ny\r\nPUB a 1\r\nz\r\n"),
            server("+OK\r\n+OK\r\nMSG a 1 1\r\nx\r\n"),
            server("-ERR 'Permissions Violation for Publish to \"forbidden\"'\r\n+OK\r\n"),
            client("PUB a 1\r\nx\r\nUNSUB 1\r\n"),
            server("-ERR 'Slow Consumer'\r\n+OK\r\n+OK\r\n"),
        ],
    );
    let told = told(&DEFINITION, &dialogue);
    assert_eq!(
        told.short(),
        ["publish a ok", "deliver a ok", "publish forbidden failed", "publish a ok", "publish a ok"]
    );
    let failed = told.lines().into_iter().find(|line| line.contains("failed")).unwrap_or_default();
    assert!(failed.starts_with("40-60-60 "), "{failed}");
    assert!(failed.ends_with("error.type=Permissions Violation for Publish"), "{failed}");
    assert_eq!(told.unpaired.total(), 0);
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn a_client_that_says_nothing_of_it_wants_answers() {
    let dialogue =
        [server(INFO), client("CONNECT {}\r\nPUB a 1\r\nx\r\n"), server("+OK\r\n-ERR 'Invalid Subject'\r\n")];
    assert_eq!(told(&DEFINITION, &dialogue).short(), ["publish a failed"]);
}

#[test]
fn messages_far_beyond_what_is_kept_are_passed_over() {
    let body = "b".repeat(500_000);
    let dialogue = with_opening(
        false,
        [
            client(format!("PUB large.one 500000\r\n{body}\r\n")),
            client(with_headers("HPUB", "large.two", "a: b\r\n", &body)),
            server(format!("MSG large.one 1 500000\r\n{body}\r\n")),
            client("PUB small 1\r\nx\r\n"),
            server("MSG small 1 1\r\nx\r\n"),
        ],
    );
    let expected =
        ["publish large ok", "publish large ok", "deliver large ok", "publish small ok", "deliver small ok"];
    for playing in [
        Playing { kept_bytes: 128, call_bytes: 16_384, ..Playing::default() },
        Playing { kept_bytes: 128, ..Playing::default() },
        Playing { call_bytes: 60_000, ..Playing::default() },
    ] {
        let told = playing.told(&DEFINITION, &dialogue);
        assert_eq!(told.short(), expected, "{playing:?}");
    }
    // It ends with the call that moves its last byte.
    let request = format!("PUB large.one 500000\r\n{body}\r\n");
    let (head, tail) = request.split_at(400_000);
    let dialogue = with_opening(false, [client(head), server("PING\r\n"), client(tail)]);
    let playing = Playing { kept_bytes: 128, ..Playing::default() };
    assert!(playing.told(&DEFINITION, &dialogue).lines().iter().all(|line| line.starts_with("40-60-60 ")));
}

#[test]
fn a_connection_is_recognised_in_the_middle_and_others_are_not() {
    for dialogue in [
        &[client("PUB orders.new 5\r\nhello\r\n")][..],
        &[server("MSG orders.new 1 5\r\nhello\r\n")],
        &[client("PING\r\n"), server("PONG\r\n"), client("PUB a.b 100000\r\n...")],
        &[client(with_headers("HPUB", "a", "b: c\r\n", "x"))],
    ] {
        assert_eq!(recognised(&DEFINITION, dialogue), Some("nats"), "{dialogue:?}");
    }
    for other in [
        "CONNECT example.com:443 HTTP/1.1\r\n\r\n",
        "PUBLISH a b\r\n",
        "PUB is where we meet\r\n",
        "INFO\r\n",
        "MSG\r\n",
    ] {
        assert_ne!(recognised(&DEFINITION, &[client(other)]), Some("nats"), "{other}");
    }
    let redis = [client("*1\r\n$4\r\nPING\r\n"), server("+PONG\r\n")];
    assert_eq!(recognised(&DEFINITION, &redis), Some("redis"));
}

#[test]
fn an_opening_that_is_longer_than_what_is_kept_loses_nothing_behind_it() {
    let jwt = "j".repeat(3000);
    let dialogue = [
        server(format!("INFO {{\"connect_urls\":[\"{}\"]}} \r\n", "u".repeat(3000))),
        client(format!("CONNECT {{\"verbose\":false,\"jwt\":\"{jwt}\"}}\r\nPING\r\n")),
        server("PONG\r\n"),
        client("PUB a 1\r\nx\r\n"),
        server("MSG a 1 1\r\nx\r\n"),
    ];
    let playing = Playing { kept_bytes: 1024, ..Playing::default() };
    assert_eq!(playing.told(&DEFINITION, &dialogue).short(), ["publish a ok", "deliver a ok"]);
}

#[test]
fn credentials_are_blanked_wherever_a_call_ends() {
    let options = [
        r#"{"verbose":true,"user":"bob","pass":"hunter22","name":"app"}"#,
        r#"{"auth_token" : "hunter\"33hunter", "tls_required":false}"#,
        r#"{"jwt":"hunter44","sig":"hunter55","nkey":"hunter66","lang":"go","proxy_sig":"hunter77"}"#,
        r#"{"pa\u0073s":"hunter88","nested":{"name":"kept","pass":"hunter99"}}"#,
    ];
    for options in options {
        let dialogue = [
            server(INFO),
            client(format!("CONNECT {options}\r\nPUB a 1\r\nx\r\n")),
            server("+OK\r\n+OK\r\n"),
        ];
        check_secrets(&DEFINITION, &dialogue, &["hunter"]);
    }
}

fn dialogue() -> impl Strategy<Value = Vec<Turn>> {
    let message = (any::<bool>(), any::<bool>(), "[a-z]{1,8}", 0_usize..300);
    let turns = prop::collection::vec(prop::collection::vec(message, 1..5), 1..15);
    (any::<bool>(), turns).prop_map(|(is_verbose, turns)| {
        let mut dialogue = opening(is_verbose);
        for messages in turns {
            let (mut sent, mut received) = (String::new(), String::new());
            for (is_sent, has_headers, subject, length) in messages {
                let body = "x".repeat(length);
                let (text, word, place) = if is_sent {
                    (&mut sent, "PUB", subject)
                } else {
                    (&mut received, "MSG", format!("{subject} 1"))
                };
                if has_headers {
                    text.push_str(&with_headers(&format!("H{word}"), &place, "a: b\r\n", &body));
                } else {
                    text.push_str(&format!("{word} {place} {length}\r\n{body}\r\n"));
                }
                if is_sent && is_verbose {
                    received.push_str("+OK\r\n");
                }
            }
            dialogue.extend([client(sent), server(received)]);
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
