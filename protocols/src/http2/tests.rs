use proptest::prelude::*;

use super::{DEFINITION, frame, huffman};
use crate::damage::{check_survives, damaged, playing};
use crate::testing::{
    Playing, Turn, check_cuts, check_losses, check_secrets, client, recognised, server, told,
};

/// A frame with its head.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn preface() -> Vec<u8> {
    [frame::PREFACE, &frame(4, 0, 0, &[0, 3, 0, 0, 0, 100])].concat()
}

fn settings() -> Vec<u8> {
    [frame(4, 0, 0, &[0, 4, 0, 1, 0, 0]), frame(4, 1, 0, b"")].concat()
}

fn text(text: &str, is_huffman: bool) -> Vec<u8> {
    let bytes = if is_huffman { huffman::encode(text.as_bytes()) } else { text.as_bytes().to_vec() };
    let flag = if is_huffman { 0x80 } else { 0 };
    let length = u8::try_from(bytes.len()).unwrap_or(126);
    if length < 127 {
        [&[flag | length][..], &bytes].concat()
    } else {
        [&[flag | 127, length - 127][..], &bytes].concat()
    }
}

/// A field that becomes an entry of the table.
fn kept(name: &str, value: &str) -> Vec<u8> {
    [&[0x40][..], &text(name, false), &text(value, false)].concat()
}

fn kept_huffman(name: &str, value: &str) -> Vec<u8> {
    [&[0x40][..], &text(name, true), &text(value, true)].concat()
}

/// A value for a name that everybody knows.
fn indexed_name(place: u8, value: &str) -> Vec<u8> {
    [&[0x40 | place][..], &text(value, true)].concat()
}

/// `GET` of a path, with more fields.
fn get(stream: u32, path: &str, more: &[u8]) -> Vec<u8> {
    let block = [&[0x82, 0x86][..], &indexed_name(4, path), &indexed_name(1, "shop"), more].concat();
    frame(1, 5, stream, &block)
}

/// A response: 0x88 is 200, 0x8d is 404.
fn answer(stream: u32, status: u8, body: &[u8]) -> Vec<u8> {
    [frame(1, 4, stream, &[status]), frame(0, 1, stream, body)].concat()
}

fn call(stream: u32, path: &str) -> Vec<u8> {
    let block =
        [&[0x83, 0x86][..], &indexed_name(4, path), &kept("content-type", "application/grpc")].concat();
    [frame(1, 4, stream, &block), frame(0, 1, stream, b"\0\0\0\0\x02hi")].concat()
}

fn some_requests() -> Vec<Turn> {
    vec![
        client([preface(), get(1, "/a?b=c", &kept("traceparent", "00-1-2-01")), get(3, "/b", b"")].concat()),
        server(settings()),
        client(get(5, "/c", &[0xbe])),
        server([answer(3, 0x8d, b"no"), frame(1, 4, 1, &[0x88])].concat()),
        server([frame(0, 0, 1, &[b'x'; 300]), answer(5, 0x8e, b"")].concat()),
        server(frame(0, 1, 1, b"end")),
    ]
}

#[test]
fn a_response_to_nothing_is_counted_and_one_that_was_reset_is_not() {
    let dialogue = vec![
        client([preface(), get(1, "/a", b""), get(3, "/b", b"")].concat()),
        server([settings(), answer(1, 0x88, b"ok"), answer(9, 0x88, b"who asked?")].concat()),
        client(frame(3, 0, 3, &[0, 0, 0, 8])),
        server(answer(3, 0x88, b"too late")),
    ];
    let told = told(&DEFINITION, &dialogue);
    assert_eq!(told.unpaired.responses, 1, "{:?}", told.unpaired);
}

#[test]
fn streams_are_answered_in_any_order_and_end_with_their_last_byte() {
    let dialogue = some_requests();
    assert_eq!(
        told(&DEFINITION, &dialogue).lines(),
        [
            "10-40-40 GET 4xx http.request.method=GET url.path=/b server.address=shop network.protocol.version=2 \
             http.response.status_code=404",
            "30-50-50 GET 5xx http.request.method=GET url.path=/c server.address=shop network.protocol.version=2 \
             http.response.status_code=500",
            "10-40-60 GET 2xx http.request.method=GET url.path=/a url.query=b=c server.address=shop \
             network.protocol.version=2 traceparent=00-1-2-01 http.response.status_code=200",
        ]
    );
    assert_eq!(recognised(&DEFINITION, &dialogue), Some("http2"));
    check_cuts(&DEFINITION, &dialogue);
}

fn some_calls() -> Vec<Turn> {
    vec![
        client([preface(), call(1, "/shop.Orders/List"), call(3, "/shop.Orders/Get")].concat()),
        server([settings(), frame(1, 4, 1, &[0x88]), frame(0, 0, 1, b"\0\0\0\0\x02hi")].concat()),
        server(frame(1, 5, 1, &kept("grpc-status", "0"))),
        // An error comes in a head that is the trailer as well.
        server(frame(1, 5, 3, &[&[0x88][..], &kept_huffman("grpc-status", "5")].concat())),
        client(call(5, "/shop.Orders/List")),
        server([frame(1, 4, 5, &[0x88]), frame(1, 5, 5, &[0xbf])].concat()),
    ]
}

#[test]
fn calls_of_grpc_end_with_the_status_of_their_trailers() {
    let dialogue = some_calls();
    let told = told(&DEFINITION, &dialogue);
    assert_eq!(
        told.short(),
        ["shop.Orders/List grpc:OK", "shop.Orders/Get grpc:NOT_FOUND", "shop.Orders/List grpc:OK"]
    );
    let first = told.lines().into_iter().next().unwrap_or_default();
    let says = "rpc.system.name=grpc rpc.method=shop.Orders/List http.response.status_code=200 \
                rpc.response.status_code=OK";
    assert!(first.ends_with(says) && first.starts_with("10-20-30 "), "{first}");
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn fields_may_be_padded_weighted_and_continued() {
    let block = [&[0x82, 0x86][..], &indexed_name(4, "/long"), &indexed_name(1, "shop")].concat();
    let (one, two) = block.split_at(5);
    let padded = [&[3][..], &[0, 0, 0, 0, 9], one, &[0; 3]].concat();
    let dialogue = [
        client([preface(), frame(1, 0x29, 1, &padded), frame(9, 4, 1, two)].concat()),
        server([settings(), frame(1, 4, 1, &kept(":status", "103")), answer(1, 0x89, b"")].concat()),
    ];
    assert_eq!(told(&DEFINITION, &dialogue).short(), ["GET 2xx"]);
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn a_stream_that_is_reset_was_not_answered() {
    let dialogue = [
        client([preface(), get(1, "/a", b""), get(3, "/b", b"")].concat()),
        server([settings(), frame(3, 0, 1, &[0, 0, 0, 2])].concat()),
        client(frame(3, 0, 3, &[0, 0, 0, 8])),
    ];
    assert_eq!(told(&DEFINITION, &dialogue).short(), ["GET reset", "GET reset"]);
}

#[test]
fn of_an_older_connection_what_was_said_before_is_not_guessed() {
    let dialogue = [
        client([frame(1, 5, 7, &[0x82, 0x86, 0xc0, 0xbf]), frame(1, 5, 9, &[0x83, 0x86, 0xc0])].concat()),
        server([answer(7, 0x88, b"x"), frame(1, 5, 9, &[0xc1])].concat()),
        client([get(11, "/new", b""), frame(1, 5, 13, &[0x82, 0x86, 0xbf, 0xbe])].concat()),
        server([answer(11, 0x88, b"x"), answer(13, 0x8d, b"x")].concat()),
    ];
    let lines = told(&DEFINITION, &dialogue).lines();
    let has = |place: usize, what: &str| lines.get(place).is_some_and(|line| line.contains(what));
    assert!(has(0, "GET 2xx http.request.method=GET network"), "{lines:?}");
    assert!(has(1, " unknown http.request.method=POST"), "{lines:?}");
    assert!(has(2, "url.path=/new") && has(3, "GET 4xx") && has(3, "url.path=/new"), "{lines:?}");
    assert_eq!(recognised(&DEFINITION, &dialogue), Some("http2"));
}

#[test]
fn secrets_in_fields_and_bodies_are_hidden_and_the_rest_is_read() {
    let secrets = ["hunter2", "s3cr3t", "k3y", "b0dy"];
    let more = [
        kept("authorization", "Bearer hunter2"),
        indexed_name(32, "session=s3cr3t"),
        kept("x-api-key", "k3y"),
        kept("x-other", "k3y"),
    ];
    let dialogue = [
        client([preface(), get(1, "/a", &more.concat())].concat()),
        server([settings(), frame(1, 4, 1, &[&[0x88][..], &kept("set-cookie", "s3cr3t")].concat())].concat()),
        server(frame(0, 1, 1, b"the b0dy")),
        // Entries of the table are said again by their places.
        client(get(3, "/b", &[0xbe, 0xbf, 0xc0, 0xc1])),
        server(answer(3, 0x8d, b"b0dy")),
    ];
    check_secrets(&DEFINITION, &dialogue, &secrets);
}

#[test]
fn secrets_in_the_code_of_huffman_are_hidden() {
    let playing = Playing { redacts: true, ..Playing::default() };
    let more = [kept_huffman("authorization", "Bearer hunter2"), indexed_name(32, "session=s3cr3t")].concat();
    let dialogue = [
        client([preface(), get(1, "/a?token=s3cr3t&b=1", &more)].concat()),
        server([settings(), answer(1, 0x88, b"")].concat()),
    ];
    let lines = playing.told(&DEFINITION, &dialogue).lines();
    assert!(lines.iter().all(|line| !line.contains("s3cr3t") && line.contains("url.path=/a ")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("&b=1")), "{lines:?}");
    let mut bytes = dialogue[0].1.clone();
    let size = bytes.len() as u64;
    let mut redactor = DEFINITION.redactor.map(|new| new()).unwrap();
    redactor.redact(crate::Side::Client, 0, size, &mut bytes);
    for secret in ["Bearer hunter2", "session=s3cr3t"] {
        let coded = huffman::encode(secret.as_bytes());
        let core = &coded[1..coded.len() - 1];
        assert!(!bytes.windows(core.len()).any(|window| window == core), "{secret}");
    }
}

fn dialogue() -> impl Strategy<Value = Vec<Turn>> {
    prop::collection::vec((any::<bool>(), 0_usize..3, 0_usize..400, any::<bool>()), 1..12).prop_map(|turns| {
        let mut dialogue = vec![client(preface()), server(settings())];
        for (number, (is_call, status, body, is_again)) in turns.into_iter().enumerate() {
            let stream = u32::try_from(number).unwrap_or_default() * 2 + 1;
            let path = format!("/path/{}", if is_again { 0 } else { number });
            if is_call {
                dialogue.push(client(call(stream, &path)));
                let fields = [&[0x88][..], &kept("content-type", "application/grpc")].concat();
                let head = [frame(1, 4, stream, &fields), frame(0, 0, stream, &vec![b'x'; body])].concat();
                dialogue.push(server(head));
                dialogue.push(server(frame(1, 5, stream, &kept("grpc-status", &status.to_string()))));
            } else {
                dialogue.push(client(get(stream, &path, &kept("x-request-id", &number.to_string()))));
                let code = [0x88, 0x8d, 0x8e].into_iter().nth(status).unwrap_or(0x88);
                dialogue.push(server(answer(stream, code, &vec![b'x'; body])));
            }
        }
        dialogue
    })
}

proptest! {
    #[test]
    fn what_is_not_kept_is_not_made_up(dialogue in dialogue(), playing in playing()) {
        check_losses(&DEFINITION, &dialogue, &playing);
    }

    #[test]
    fn losses_make_no_wrong_pairs(
        dialogue in dialogue(),
        lost in prop::collection::vec(prop::bool::weighted(0.1), 0..50),
        call_bytes in 1_usize..400,
    ) {
        check_losses(&DEFINITION, &dialogue, &Playing { call_bytes, lost, ..Playing::default() });
    }

    #[test]
    fn what_is_damaged_does_no_harm(dialogue in damaged(dialogue()), playing in playing()) {
        check_survives(&DEFINITION, &dialogue, &playing);
    }
}
