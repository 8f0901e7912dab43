//! Frames are built from the specification.

use proptest::prelude::*;

use super::DEFINITION;
use crate::Method;
use crate::damage::{check_survives, damaged, playing};
use crate::testing::{
    Playing, Turn, check_cuts, check_losses, check_secrets, client, recognised, server, told,
};

fn short_text(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap_or_default()], text.as_bytes()].concat()
}

fn long_text(text: &[u8]) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap_or_default().to_be_bytes(), text].concat()
}

fn frame(kind: u8, channel: u16, content: &[u8]) -> Vec<u8> {
    [&[kind][..], &channel.to_be_bytes(), &long_text(content), &[0xce]].concat()
}

fn method(channel: u16, class: u8, number: u8, arguments: &[u8]) -> Vec<u8> {
    frame(1, channel, &[&[0, class, 0, number][..], arguments].concat())
}

/// Properties and body, in frames of at most so many bytes.
fn content(channel: u16, body: &[u8], frame_bytes: usize) -> Vec<u8> {
    let headers = [&short_text("retries")[..], b"I\0\0\0\x03", &short_text("traceparent"), b"S"].concat();
    let headers = [headers, long_text(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")].concat();
    let length = u64::try_from(body.len()).unwrap_or_default().to_be_bytes();
    let properties =
        [&[0, 60, 0, 0][..], &length, &[0xb0, 0], &short_text("text/plain"), &long_text(&headers), &[2]]
            .concat();
    let mut frames = frame(2, channel, &properties);
    for part in body.chunks(frame_bytes) {
        frames.extend(frame(3, channel, part));
    }
    frames
}

fn publish(channel: u16, exchange: &str, routing_key: &str, body: &[u8]) -> Vec<u8> {
    publish_with(channel, exchange, routing_key, 0, body)
}

fn publish_with(channel: u16, exchange: &str, routing_key: &str, bits: u8, body: &[u8]) -> Vec<u8> {
    let arguments = [&[0, 0][..], &short_text(exchange), &short_text(routing_key), &[bits]].concat();
    [method(channel, 60, 40, &arguments), content(channel, body, 100)].concat()
}

fn deliver(channel: u16, tag: &str, exchange: &str, routing_key: &str, body: &[u8]) -> Vec<u8> {
    let arguments =
        [&short_text(tag)[..], &[0, 0, 0, 0, 0, 0, 0, 1, 0], &short_text(exchange), &short_text(routing_key)];
    [method(channel, 60, 60, &arguments.concat()), content(channel, body, 100)].concat()
}

fn confirmation(channel: u16, number: u8, tag: u8, bits: u8) -> Vec<u8> {
    method(channel, 60, number, &[0, 0, 0, 0, 0, 0, 0, tag, bits])
}

fn opening() -> Vec<Turn> {
    let start_ok = [
        &long_text(&[short_text("product"), b"S".to_vec(), long_text(b"pika")].concat())[..],
        &short_text("PLAIN"),
        &long_text(b"\0guest\0hunter22"),
        &short_text("en_US"),
    ];
    let start = [&[0, 9][..], &long_text(&[]), &long_text(b"PLAIN AMQPLAIN"), &long_text(b"en_US")];
    vec![
        client(b"AMQP\x00\x00\x09\x01"),
        server(method(0, 10, 10, &start.concat())),
        client(method(0, 10, 11, &start_ok.concat())),
        server(method(0, 10, 30, &[7, 0xff, 0, 2, 0, 0, 0, 60])),
        client(
            [method(0, 10, 31, &[7, 0xff, 0, 2, 0, 0, 0, 60]), method(0, 10, 40, &[1, b'/', 0, 0])].concat(),
        ),
        server(method(0, 10, 41, &[0])),
        client([method(1, 20, 10, &[0]), method(2, 20, 10, &[0])].concat()),
        server([method(1, 20, 11, &[0; 4]), method(2, 20, 11, &[0; 4])].concat()),
    ]
}

fn with_opening(turns: impl IntoIterator<Item = Turn>) -> Vec<Turn> {
    opening().into_iter().chain(turns).collect()
}

#[test]
fn messages_to_exchanges_and_from_queues_are_told() {
    let consume = [&[0, 0][..], &short_text("billing"), &short_text("ctag1"), &[0], &[0; 4]].concat();
    let get = [&[0, 0][..], &short_text("audit"), &[1]].concat();
    let got = [&[0, 0, 0, 0, 0, 0, 0, 2, 0][..], &short_text(""), &short_text("audit"), &[0; 4]].concat();
    let dialogue = with_opening([
        client([publish(1, "orders", "eu.new", b"hello"), publish(2, "", "jobs", &[b'x'; 250])].concat()),
        client([frame(8, 0, &[]), method(1, 60, 20, &consume)].concat()),
        server(
            [method(1, 60, 21, &short_text("ctag1")), deliver(1, "ctag1", "orders", "eu.new", b"")].concat(),
        ),
        server([frame(8, 0, &[]), deliver(1, "ctag1", "orders", "eu.new", &[b'y'; 300])].concat()),
        client([method(2, 60, 70, &get), method(2, 60, 70, &get)].concat()),
        server([method(2, 60, 72, &[0]), method(2, 60, 71, &got), content(2, b"body", 100)].concat()),
        client([confirmation(1, 80, 2, 0), method(1, 20, 40, &[0, 200, 0, 0, 0, 0, 0])].concat()),
        server(method(1, 20, 41, &[])),
    ]);
    let trace = "traceparent=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let told = told(&DEFINITION, &dialogue);
    let expected = [
        "90-90-90 publish orders ok messaging.operation.name=publish messaging.operation.type=send \
         messaging.destination.name=orders messaging.rabbitmq.destination.routing_key=eu.new \
         messaging.message.body.size=5",
        "90-90-90 publish amq.default ok messaging.operation.name=publish messaging.operation.type=send \
         messaging.destination.name=jobs messaging.rabbitmq.destination.routing_key=jobs \
         messaging.message.body.size=250",
        "110-110-110 deliver billing ok messaging.operation.name=deliver messaging.operation.type=receive \
         messaging.destination.name=billing messaging.rabbitmq.destination.routing_key=eu.new \
         messaging.message.body.size=0",
        "120-120-120 deliver billing ok messaging.operation.name=deliver messaging.operation.type=receive \
         messaging.destination.name=billing messaging.rabbitmq.destination.routing_key=eu.new \
         messaging.message.body.size=300",
        "140-140-140 get audit ok messaging.operation.name=get messaging.operation.type=receive \
         messaging.destination.name=audit messaging.rabbitmq.destination.routing_key=audit \
         messaging.message.body.size=4",
    ]
    .map(|line| format!("{line} {trace}"));
    assert_eq!(told.lines(), expected);
    let methods: Vec<Method> = told.exchanges.iter().map(|exchange| exchange.method).collect();
    assert_eq!(
        methods,
        [Method::Produce, Method::Produce, Method::Consume, Method::Consume, Method::Consume]
    );
    assert_eq!(told.unpaired.total(), 0);
    assert_eq!(recognised(&DEFINITION, &dialogue), Some("rabbitmq"));
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn messages_of_several_channels_may_be_interleaved() {
    let parts = |channel, exchange: &str, body: &[u8]| {
        let whole = publish(channel, exchange, "k", body);
        let arguments = [&[0, 0][..], &short_text(exchange), &short_text("k"), &[0]].concat();
        let (head, rest) = whole.split_at(method(channel, 60, 40, &arguments).len());
        (head.to_vec(), rest.to_vec())
    };
    let (first, first_rest) = parts(1, "a", &[b'1'; 150]);
    let (second, second_rest) = parts(2, "b", &[b'2'; 50]);
    let dialogue = with_opening([client([first, second].concat()), client(second_rest), client(first_rest)]);
    let told = told(&DEFINITION, &dialogue);
    assert_eq!(told.short(), ["publish b ok", "publish a ok"]);
    assert!(told.lines().iter().any(|line| line.starts_with("90-110-110 ")));
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn the_broker_says_what_became_of_messages_in_confirm_mode() {
    let returned = [&[1, 0x38][..], &short_text("NO_ROUTE"), &short_text("orders"), &short_text("nowhere")];
    let closed = [&[1, 0x94][..], &short_text("NOT_FOUND - no exchange 'gone'"), &[0, 60, 0, 40]].concat();
    let dialogue = with_opening([
        client(method(1, 85, 10, &[0])),
        server(method(1, 85, 11, &[])),
        client(
            [
                publish(1, "orders", "a", b"1"),
                publish(1, "orders", "b", b"2"),
                publish_with(1, "orders", "nowhere", 1, b"3"),
                publish(1, "orders", "d", b"4"),
                publish(1, "orders", "e", b"5"),
            ]
            .concat(),
        ),
        // The third comes back, the second is refused, then all up to the fourth are taken.
        server([method(1, 60, 50, &returned.concat()), content(1, b"3", 100)].concat()),
        server([confirmation(1, 120, 2, 0), confirmation(1, 80, 4, 1)].concat()),
        client(publish(1, "gone", "", b"6")),
        server(method(1, 20, 40, &closed)),
        client(method(1, 20, 41, &[])),
        client([method(1, 20, 10, &[0]), publish(1, "orders", "g", b"7")].concat()),
    ]);
    let told = told(&DEFINITION, &dialogue);
    let ended: Vec<String> = told
        .lines()
        .iter()
        .map(|line| {
            let key =
                line.split("routing_key=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or("-");
            let status = if line.contains(" failed ") { "failed" } else { "ok" };
            let why = line.split("error.type=").nth(1).unwrap_or_default();
            format!("{key} {status} {why}")
        })
        .collect();
    assert_eq!(
        ended,
        [
            "b failed nack",
            "a ok ",
            "nowhere failed NO_ROUTE",
            "d ok ",
            "e failed NOT_FOUND",
            "- failed NOT_FOUND",
            "g ok "
        ]
    );
    assert_eq!(told.unpaired.total(), 0);
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn what_is_published_in_a_transaction_is_ok() {
    let dialogue = with_opening([
        client([method(1, 90, 10, &[]), publish(1, "orders", "a", b"1"), method(1, 90, 30, &[])].concat()),
        server([method(1, 90, 11, &[]), method(1, 90, 31, &[])].concat()),
    ]);
    assert_eq!(told(&DEFINITION, &dialogue).short(), ["publish orders ok"]);
}

#[test]
fn bodies_far_beyond_what_is_kept_are_passed_over() {
    let body = vec![b'b'; 300_000];
    let large = |exchange: &str| {
        let arguments = [&[0, 0][..], &short_text(exchange), &short_text("k"), &[0]].concat();
        [method(1, 60, 40, &arguments), content(1, &body, 131_064)].concat()
    };
    let dialogue =
        with_opening([client(large("one")), client(large("two")), client(publish(2, "three", "k", b"x"))]);
    let expected = ["publish one ok", "publish two ok", "publish three ok"];
    for kept_bytes in [256, 4096, usize::MAX] {
        let playing = Playing { kept_bytes, call_bytes: 16_384, ..Playing::default() };
        let told = playing.told(&DEFINITION, &dialogue);
        assert_eq!(told.short(), expected, "{kept_bytes} bytes kept");
    }
    // A message in one frame, kept in part.
    let arguments = [&[0, 0][..], &short_text("one"), &short_text("k"), &[0]].concat();
    let single = [method(1, 60, 40, &arguments), content(1, &body, 300_000)].concat();
    let dialogue = with_opening([client(&single), client(single), client(publish(2, "three", "k", b"x"))]);
    let playing = Playing { kept_bytes: 256, call_bytes: 16_384, ..Playing::default() };
    assert_eq!(
        playing.told(&DEFINITION, &dialogue).short(),
        ["publish one ok", "publish one ok", "publish three ok"]
    );
}

#[test]
fn a_connection_is_recognised_in_the_middle() {
    let publishes = [client(publish(1, "orders", "eu", b"hello"))];
    let deliveries = [server(deliver(3, "c", "orders", "eu", b"hello"))];
    let heartbeats = [client(frame(8, 0, &[])), server(frame(8, 0, &[]))];
    for dialogue in [&publishes[..], &deliveries, &heartbeats] {
        assert_eq!(recognised(&DEFINITION, dialogue), Some("rabbitmq"));
    }
    for other in
        [&b"AMQP\x00\x01\x00\x00"[..], b"\x01\x00\x00\x00\x00\x00\x08\x00\x0a\x00\x63\0\0\0\0\xce", b"\x03ab"]
    {
        assert_eq!(recognised(&DEFINITION, &[client(other)]), None);
    }
}

#[test]
fn credentials_are_blanked_wherever_a_call_ends() {
    let amqplain = [
        &long_text(&[])[..],
        &short_text("AMQPLAIN"),
        &long_text(b"\x05LOGINS\0\0\0\x03bob\x08PASSWORDS\0\0\0\x08hunter33"),
        &short_text("en_US"),
    ];
    let mut dialogue = with_opening([
        client(method(0, 10, 11, &amqplain.concat())),
        server(method(0, 10, 20, &long_text(b"challenge"))),
        client(method(0, 10, 21, &long_text(b"hunter44"))),
        client(method(0, 10, 70, &[long_text(b"hunter55"), short_text("renewed")].concat())),
        client(publish(1, "orders", "a", b"1")),
    ]);
    check_secrets(&DEFINITION, &dialogue, &["hunter"]);
    // The opening has one of its own.
    dialogue.truncate(3);
    check_secrets(&DEFINITION, &dialogue, &["hunter"]);
}

fn dialogue() -> impl Strategy<Value = Vec<Turn>> {
    let message = (1_u16..3, any::<bool>(), "[a-z]{1,8}", 0_usize..300);
    let turn = (prop::collection::vec(message, 1..4), any::<bool>());
    prop::collection::vec(turn, 1..15).prop_map(|turns| {
        let mut dialogue = opening();
        dialogue.extend([client(method(2, 85, 10, &[0])), server(method(2, 85, 11, &[]))]);
        let mut confirmed = 0;
        for (messages, is_multiple) in turns {
            let (mut sent, mut received) = (Vec::new(), Vec::new());
            let before = confirmed;
            for (channel, is_sent, name, length) in messages {
                let body = vec![b'x'; length];
                if is_sent {
                    sent.extend(publish(channel, &name, "key", &body));
                    confirmed += u8::from(channel == 2);
                } else {
                    received.extend(deliver(channel, "tag", &name, "key", &body));
                }
            }
            if is_multiple && confirmed > before {
                received.extend(confirmation(2, 80, confirmed, 1));
            } else {
                for number in before..confirmed {
                    received.extend(confirmation(2, 80, number + 1, 0));
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
