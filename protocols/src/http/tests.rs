use proptest::prelude::*;

use super::DEFINITION;
use crate::damage::{check_survives, damaged, playing};
use crate::testing::{
    Playing, Turn, check_cuts, check_losses, check_secrets, client, recognised, server, told,
};

#[test]
fn a_pipeline_with_bodies_of_all_kinds_is_answered_in_order() {
    let dialogue = [
        client(
            "GET /a?b=c HTTP/1.1\r\nHost: shop\r\nUser-Agent: curl/8\r\ntraceparent: 00-1-2-01\r\n\r\n\
             POST /x HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\nhelloHEAD /y HTTP/1.1\r\nHost: shop\r\n\r\n",
        ),
        server(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\nExpires: 0\r\n\r\n",
        ),
        server(
            "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno!HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n",
        ),
    ];
    assert_eq!(
        told(&DEFINITION, &dialogue).lines(),
        [
            "10-20-20 GET 2xx http.request.method=GET url.path=/a url.query=b=c server.address=shop \
         user_agent.original=curl/8 network.protocol.version=1.1 traceparent=00-1-2-01 http.response.status_code=200",
            "10-30-30 POST 4xx http.request.method=POST url.path=/x server.address=shop network.protocol.version=1.1 \
         http.response.status_code=404",
            "10-30-30 HEAD 2xx http.request.method=HEAD url.path=/y server.address=shop network.protocol.version=1.1 \
         http.response.status_code=204",
        ]
    );
    assert_eq!(recognised(&DEFINITION, &dialogue), Some("http"));
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn a_response_ends_with_its_last_byte_also_beyond_what_is_kept() {
    let body = "x".repeat(10_000);
    let dialogue = [
        client("GET / HTTP/1.1\r\n\r\n"),
        server(format!("HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n{}", &body[..4000])),
        server(&body[4000..]),
        client("GET / HTTP/1.1\r\n\r\n"),
        server("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"),
    ];
    let playing = Playing { kept_bytes: 64, ..Playing::default() };
    let lines = playing.told(&DEFINITION, &dialogue).lines();
    let begins = |place: usize, with: &str| lines.get(place).is_some_and(|line| line.starts_with(with));
    assert!(begins(0, "10-20-30 GET 2xx"), "{lines:?}");
    assert!(begins(1, "40-50-50 GET 5xx"), "{lines:?}");
}

#[test]
fn heads_and_chunks_whose_end_was_not_kept_cost_nothing_but_the_time_of_the_end() {
    let long = "c".repeat(3000);
    let dialogue = [
        client(format!("GET /{long} HTTP/1.1\r\nX: {long}\r\n\r\n")),
        server(format!("HTTP/1.1 200 OK\r\nX: {long}\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n")),
        server(format!("{long}\r\n0\r\n\r\n")),
        client("GET /b HTTP/1.1\r\n\r\n"),
        server(format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n0123456789abcdef\r\nBB8\r\n{long}\r\n5\r\nhello\r\n0\r\n\r\n"
        )),
        client("GET /c HTTP/1.1\r\n\r\n"),
        server("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"),
    ];
    let playing = Playing { kept_bytes: 1024, ..Playing::default() };
    let told = playing.told(&DEFINITION, &dialogue);
    assert_eq!(told.short(), ["GET 2xx", "GET 2xx", "GET 3xx"]);
    assert_eq!(told.unpaired.total(), 0);
}

#[test]
fn a_hundred_is_not_the_response_and_an_upgrade_is_the_last_one() {
    let dialogue = [
        client("PUT /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"),
        server("HTTP/1.1 100 Continue\r\n\r\n"),
        client("hi"),
        server("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"),
        client("GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
        server("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"),
        client(b"\x81\x85abcd1234"),
        server(b"\x81\x05hello"),
    ];
    let told = told(&DEFINITION, &dialogue);
    assert_eq!(told.short(), ["PUT 2xx", "GET 1xx"]);
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn other_texts_are_not_http() {
    for text in
        ["POSTGRES is a database\r\n", "GETTING there\r\n", "GET\r\n", "get / HTTP/1.1\r\n", "SSH-2.0-x\r\n"]
    {
        assert_eq!(
            recognised(&DEFINITION, &[client(text), server("+OK\r\n")]).filter(|name| *name == "http"),
            None,
            "{text}"
        );
    }
    let trace = [client("TRACE / HTTP/1.1\r\n\r\n"), server("HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n")];
    assert_eq!(recognised(&DEFINITION, &trace), Some("http"));
}

#[test]
fn credentials_are_blanked_wherever_a_call_ends() {
    let dialogue = [
        client(
            "GET /login?user=me&password=hunter2&x=1 HTTP/1.1\r\nHost: a\r\nAuthorization: Basic hunter2\r\n\
             Cookie: session=hunter2\r\nX-Api-Key: hunter2\r\nReferer: http://me:hunter2@there/\r\n\r\n",
        ),
        server("HTTP/1.1 200 OK\r\nSet-Cookie: id=hunter2; Path=/\r\nContent-Length: 0\r\n\r\n"),
        client(
            "POST / HTTP/1.1\r\nContent-Length: 40\r\n\r\n{\"client_secret\": \"hunter2\", \"a\": \"bcde\"}",
        ),
        server("HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n{\"access_token\":\"hunter2\"}"),
        client("POST / HTTP/1.1\r\nContent-Length: 22\r\n\r\nuser=me&passwd=hunter2"),
        server("HTTP/1.1 302 Found\r\nLocation: /x?token=hunter2\r\nContent-Length: 0\r\n\r\n"),
    ];
    check_secrets(&DEFINITION, &dialogue, &["hunter2"]);
}

fn dialogue() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop::collection::vec((0_u32..1000, 0_usize..300), 1..4).prop_map(|requests| {
        let asked: String =
            requests.iter().map(|(id, _)| format!("GET /{id} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
        let answers: String = requests
            .iter()
            .map(|(id, length)| {
                let body = "x".repeat(*length);
                let code = if id % 5 == 0 { 404 } else { 200 };
                match id % 2 {
                    0 => format!("HTTP/1.1 {code} X\r\nContent-Length: {length}\r\n\r\n{body}"),
                    _ => {
                        format!("HTTP/1.1 {code} X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n")
                    }
                }
            })
            .collect();
        [client(asked), server(answers)]
    });
    prop::collection::vec(turn, 1..20).prop_map(|turns| turns.into_iter().flatten().collect())
}

proptest! {
    #[test]
    fn losses_make_no_wrong_pairs(
        dialogue in dialogue(),
        lost in prop::collection::vec(prop::bool::weighted(0.1), 0..50),
        call_bytes in 1_usize..400,
    ) {
        check_losses(&DEFINITION, &dialogue, &Playing { call_bytes, lost, ..Playing::default() });
    }

    #[test]
    fn no_bytes_make_it_panic(dialogue in damaged(dialogue()), playing in playing()) {
        check_survives(&DEFINITION, &dialogue, &playing);
    }
}
