//! Message brokers.

use aftertrace_protocols::testing::{client, server};

use super::{Sample, be32, middle, opening};

pub(super) fn all() -> Vec<Sample> {
    [kafka(), rabbitmq(), nats()].into_iter().flatten().collect()
}

fn kafka_request(api: u8, version: u8, id: u32, rest: &[u8]) -> Vec<u8> {
    be32([&[0, api, 0, version][..], &id.to_be_bytes(), b"\0\x0aconsumer-1", rest].concat())
}

fn kafka_response(id: u32, rest: &[u8]) -> Vec<u8> {
    be32([&id.to_be_bytes(), rest].concat())
}

fn kafka() -> Vec<Sample> {
    let fetch = [
        &[255; 4][..],
        &[0, 0, 1, 244, 0, 0, 0, 1, 3, 32, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255],
        &[0, 0, 0, 1, 0, 6],
        b"orders",
        &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0, 0, 0, 0, 0, 42],
        &[255; 8],
        &[0, 16, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    let fetched = [&[0; 10][..], &[0, 0, 0, 0], &[0, 0, 0, 0]].concat();
    let metadata = [&[0, 0, 0, 1, 0, 6][..], b"orders", &[1]].concat();
    let nodes = [&[0; 4][..], &[0, 0, 0, 1, 0, 0, 0, 1, 0, 5], b"kafka", &[0, 0, 35, 132, 255, 255]].concat();
    let nodes = [&nodes[..], &[255, 255], &[0, 0, 0, 1], &[0, 0, 0, 0]].concat();
    let mut samples = vec![
        opening(
            "kafka",
            "versions, then metadata",
            vec![
                client(kafka_request(18, 0, 1, b"")),
                server(kafka_response(1, b"\0\0\0\0\0\x02\0\0\0\0\0\x09\0\x03\0\0\0\x0c")),
                client(kafka_request(3, 4, 2, &metadata)),
                server(kafka_response(2, &nodes)),
            ],
        ),
        opening(
            "kafka",
            "flexible versions",
            vec![
                client(kafka_request(18, 3, 0, b"\0\x12apache-kafka-java\x063.7.0\0")),
                server(kafka_response(0, b"\0\0\x02\0\0\0\0\0\x09\0\0\0\0\0\0")),
            ],
        ),
    ];
    // Those that look like operations of another protocol among them.
    for id in [4, 9, 14, 21, 101, 5000] {
        samples.push(middle(
            "kafka",
            "fetch",
            vec![client(kafka_request(1, 11, id, &fetch)), server(kafka_response(id, &fetched))],
        ));
    }
    samples
}

fn method(channel: u8, class: u8, method: u8, rest: &[u8]) -> Vec<u8> {
    let body = [&[0, class, 0, method][..], rest].concat();
    [&[1, 0, channel][..], &be32(body), &[0xce]].concat()
}

fn content(channel: u8, body: &[u8]) -> Vec<u8> {
    let header = [&[0, 60, 0, 0][..], &(body.len() as u64).to_be_bytes(), &[0, 0]].concat();
    [&[2, 0, channel][..], &be32(header), &[0xce], &[3, 0, channel], &be32(body), &[0xce]].concat()
}

fn rabbitmq() -> Vec<Sample> {
    let publish = [method(1, 60, 40, b"\0\0\0\x06orders\0"), content(1, b"{\"id\":1}")].concat();
    let deliver =
        [method(1, 60, 60, b"\x05ctag1\0\0\0\0\0\0\0\x01\0\0\x06orders"), content(1, b"{\"id\":1}")].concat();
    let start = [&[0, 9][..], &be32(b""), &be32(b"PLAIN AMQPLAIN"), &be32(b"en_US")].concat();
    vec![
        opening(
            "rabbitmq",
            "opening",
            vec![
                client(b"AMQP\0\0\x09\x01"),
                server(method(0, 10, 10, &start)),
                client(method(
                    0,
                    10,
                    11,
                    &[&be32(b"")[..], b"\x05PLAIN", &be32(b"\0bob\0pw"), b"\x05en_US"].concat(),
                )),
                server(method(0, 10, 30, &[7, 255, 0, 2, 0, 0, 0, 60])),
            ],
        ),
        middle("rabbitmq", "publish", vec![client(publish.clone()), client(publish)]),
        middle(
            "rabbitmq",
            "deliver",
            vec![server(deliver), client(method(1, 60, 80, b"\0\0\0\0\0\0\0\x01\0"))],
        ),
    ]
}

fn nats() -> Vec<Sample> {
    vec![
        opening(
            "nats",
            "opening",
            vec![
                server("INFO {\"server_id\":\"NA\",\"version\":\"2.10.7\",\"max_payload\":1048576}\r\n"),
                client("CONNECT {\"verbose\":false,\"lang\":\"go\"}\r\nPING\r\n"),
                server("PONG\r\n"),
                client("SUB orders.* 1\r\n"),
                server("MSG orders.new 1 5\r\nhello\r\n"),
            ],
        ),
        middle(
            "nats",
            "publish",
            vec![
                client("PUB orders.new 5\r\nhello\r\n"),
                client("PUB orders.new 5\r\nagain\r\n"),
                client("HPUB orders.new 22 27\r\nNATS/1.0\r\nBar: Baz\r\n\r\nhello\r\n"),
            ],
        ),
        middle(
            "nats",
            "deliveries",
            vec![
                server("MSG orders.new 1 5\r\nhello\r\n"),
                server("MSG orders.new 1 _INBOX.x 5\r\nhello\r\n"),
                client("PUB _INBOX.x 2\r\nok\r\n"),
            ],
        ),
    ]
}
