//! HTTP, remote calls, names.

use aftertrace_protocols::testing::{client, server};

use super::{Sample, be32, middle, opening};

pub(super) fn all() -> Vec<Sample> {
    [http(), http2(), dns(), dubbo()].into_iter().flatten().collect()
}

fn http() -> Vec<Sample> {
    let ok = || server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    vec![
        opening("http", "get", vec![client("GET /a?b=c HTTP/1.1\r\nHost: shop\r\n\r\n"), ok()]),
        opening(
            "http",
            "old",
            vec![client("GET / HTTP/1.0\r\n\r\n"), server("HTTP/1.0 404 Not Found\r\n\r\n")],
        ),
        opening("http", "trace", vec![client("TRACE / HTTP/1.1\r\nHost: shop\r\n\r\n"), ok()]),
        middle(
            "http",
            "an answer first",
            vec![
                ok(),
                client("POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Length: 8\r\n\r\n{\"id\":1}"),
                server("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"),
            ],
        ),
        middle(
            "http",
            "patch",
            vec![
                client("PATCH /orders/1 HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\n\r\n{}"),
                server("HTTP/1.1 204 No Content\r\n\r\n"),
            ],
        ),
    ]
}

fn frame(kind: u8, flags: u8, stream: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    [length.get(1..).unwrap_or_default(), &[kind, flags, 0, 0, 0, stream], body].concat()
}

fn http2() -> Vec<Sample> {
    // GET http://www.example.com/ of RFC 7541, C.4.1.
    let get = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
    let settings = frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]);
    let answer = |stream| [frame(1, 4, stream, &[0x88]), frame(0, 1, stream, b"ok")].concat();
    let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings, &frame(1, 5, 1, get)].concat();
    vec![
        opening("http2", "preface", vec![client(preface), server([settings, answer(1)].concat())]),
        middle("http2", "a request", vec![client(frame(1, 5, 3, get)), server(answer(3))]),
        middle(
            "http2",
            "an answer first",
            vec![server(answer(3)), client(frame(1, 5, 5, get)), server(answer(5))],
        ),
    ]
}

fn dns() -> Vec<Sample> {
    let question = b"\x03www\x07example\x03com\0\0\x01\0\x01";
    let ask = |id| be32_without_two([&[0, id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], question].concat());
    let answer = |id| {
        let record = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x01";
        be32_without_two([&[0, id, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0][..], question, record].concat())
    };
    vec![
        opening("dns", "one question over TCP", vec![client(ask(7)), server(answer(7))]),
        opening(
            "dns",
            "two questions over TCP",
            vec![client([ask(1), ask(2)].concat()), server([answer(2), answer(1)].concat())],
        ),
        middle("dns", "an answer first", vec![server(answer(6)), client(ask(7)), server(answer(7))]),
    ]
}

/// Bytes behind a length of two bytes.
fn be32_without_two(body: Vec<u8>) -> Vec<u8> {
    be32(body).split_off(2)
}

fn dubbo() -> Vec<Sample> {
    let request = |id: u8| {
        let body = b"\x052.0.2\x10com.shop.Orders\x050.0.0\x05place\x12Ljava/lang/String;\x011";
        [&[0xda, 0xbb, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, id][..], &be32(body)].concat()
    };
    let response = |id: u8, status: u8| {
        [&[0xda, 0xbb, 2, status, 0, 0, 0, 0, 0, 0, 0, id][..], &be32(b"\x91\x02ok")].concat()
    };
    vec![
        opening("dubbo", "a call", vec![client(request(1)), server(response(1, 20))]),
        middle("dubbo", "a call that fails", vec![client(request(9)), server(response(9, 40))]),
        middle(
            "dubbo",
            "an answer first",
            vec![server(response(8, 20)), client(request(9)), server(response(9, 20))],
        ),
    ]
}
