//! Messages are built from the protocol's definitions; `vectors` has some that Kafka 4.1's own serializer wrote.

use proptest::prelude::*;

use super::{DEFINITION, recognise};
use crate::damage::{check_survives, damaged, playing};
use crate::testing::{
    Playing, Turn, check_cuts, check_losses, check_secrets, client, recognised, server, told,
};
use crate::{Recognition, Side};

mod vectors;

/// A length and what it is of.
fn framed(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap_or_default();
    [&length.to_be_bytes(), content].concat()
}

fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap_or_default().to_be_bytes(), text.as_bytes()].concat()
}

/// A short text of the flexible versions.
fn compact(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len() + 1).unwrap_or_default()], text.as_bytes()].concat()
}

fn ask(key: u16, version: u16, correlation: u32, is_flexible: bool, body: &[u8]) -> Vec<u8> {
    let mut content = [key.to_be_bytes(), version.to_be_bytes()].concat();
    content.extend(correlation.to_be_bytes());
    content.extend(text("app-1"));
    if is_flexible {
        content.push(0);
    }
    content.extend(body);
    framed(&content)
}

fn answer(correlation: u32, is_flexible: bool, body: &[u8]) -> Vec<u8> {
    let tags: &[u8] = if is_flexible { &[0] } else { &[] };
    framed(&[&correlation.to_be_bytes(), tags, body].concat())
}

/// Produce version 7: one topic, one partition.
fn produce(correlation: u32, acks: i16, topic: &str, records: usize) -> Vec<u8> {
    let mut body = vec![0xff, 0xff];
    body.extend(acks.to_be_bytes());
    body.extend([0, 0, 0x75, 0x30, 0, 0, 0, 1]);
    body.extend(text(topic));
    body.extend([0, 0, 0, 1, 0, 0, 0, 0]);
    body.extend(framed(&vec![b'r'; records]));
    ask(0, 7, correlation, false, &body)
}

/// Its answer, with an error code a partition.
fn produced(correlation: u32, topic: &str, errors: &[i16]) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 1];
    body.extend(text(topic));
    body.extend([0, 0, 0, u8::try_from(errors.len()).unwrap_or_default()]);
    for error in errors {
        body.extend([0, 0, 0, 0]);
        body.extend(error.to_be_bytes());
        body.extend([0; 24]);
    }
    body.extend([0; 4]);
    answer(correlation, false, &body)
}

/// Fetch version 11: one topic, one partition.
fn fetch(correlation: u32, topic: &str) -> Vec<u8> {
    let mut body = vec![0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0xf4, 0, 0, 0, 1, 3, 0x20, 0, 0, 0];
    body.extend([0; 8]);
    body.extend([0, 0, 0, 1]);
    body.extend(text(topic));
    body.extend([0, 0, 0, 1]);
    body.extend([0; 24]);
    body.extend([0, 0x10, 0, 0]);
    body.extend([0, 0, 0, 0, 0, 0]);
    ask(1, 11, correlation, false, &body)
}

/// Its answer: two partitions, the first with records.
fn fetched(correlation: u32, topic: &str, errors: [i16; 2], records: usize) -> Vec<u8> {
    let mut body = vec![0; 10];
    body.extend([0, 0, 0, 1]);
    body.extend(text(topic));
    body.extend([0, 0, 0, 2]);
    for (error, records) in errors.into_iter().zip([records, 0]) {
        body.extend([0, 0, 0, 0]);
        body.extend(error.to_be_bytes());
        body.extend([0; 24]);
        body.extend([0xff; 4]);
        body.extend([0xff; 4]);
        body.extend(framed(&vec![b'r'; records]));
    }
    answer(correlation, false, &body)
}

fn api_versions(correlation: u32) -> [Turn; 2] {
    let body = [compact("apache-kafka-java"), compact("4.1.0"), vec![0]].concat();
    let versions = [0, 0, 3, 0, 0, 0, 0, 0, 13, 0, 0, 1, 0, 0, 0, 18, 0, 0, 0, 0, 0, 0];
    [client(ask(18, 3, correlation, true, &body)), server(answer(correlation, false, &versions))]
}

#[test]
fn requests_are_told_with_topic_and_error() {
    let [versions, versions_answer] = api_versions(0);
    let heartbeat = [text("billing"), vec![0, 0, 0, 3], text("member-1"), vec![0xff, 0xff]].concat();
    let dialogue = [
        versions,
        versions_answer,
        client([produce(1, -1, "orders", 40), produce(2, 1, "orders", 10)].concat()),
        server([produced(1, "orders", &[0]), produced(2, "orders", &[0, 6, 3])].concat()),
        client(fetch(3, "orders")),
        client(ask(12, 3, 4, false, &heartbeat)),
        server(answer(4, false, &[0, 0, 0, 0, 0, 27])),
        server(fetched(3, "orders", [0, 0], 100)),
    ];
    assert_eq!(
        told(&DEFINITION, &dialogue).lines(),
        [
            "10-20-20 ApiVersions ok messaging.operation.name=ApiVersions messaging.client.id=app-1",
            "30-40-40 Produce orders ok messaging.operation.name=Produce messaging.operation.type=send \
             messaging.client.id=app-1 messaging.destination.name=orders",
            "30-40-40 Produce orders failed messaging.operation.name=Produce messaging.operation.type=send \
             messaging.client.id=app-1 messaging.destination.name=orders error.type=NOT_LEADER_OR_FOLLOWER",
            "60-70-70 Heartbeat failed messaging.operation.name=Heartbeat messaging.client.id=app-1 \
             messaging.consumer.group.name=billing error.type=REBALANCE_IN_PROGRESS",
            "50-80-80 Fetch ok messaging.operation.name=Fetch messaging.operation.type=receive \
             messaging.client.id=app-1 messaging.destination.name=orders",
        ]
    );
    assert_eq!(recognised(&DEFINITION, &dialogue), Some("kafka"));
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn a_producer_that_wants_no_answer_gets_none() {
    let dialogue = [
        client(produce(1, 0, "logs", 500)),
        client(produce(2, 1, "logs", 5)),
        server(produced(2, "logs", &[0])),
    ];
    let told_all = told(&DEFINITION, &dialogue);
    assert_eq!(told_all.short(), ["Produce logs ok", "Produce logs ok"]);
    assert_eq!(told_all.unpaired.total(), 0);
    check_cuts(&DEFINITION, &dialogue);
    // It ends with its last byte.
    let request = produce(1, 0, "logs", 500);
    let (head, tail) = request.split_at(100);
    let told_parts = told(&DEFINITION, &[client(head), client(tail)]);
    assert!(told_parts.lines().iter().all(|line| line.starts_with("10-20-20 ")));
}

#[test]
fn messages_far_beyond_what_is_kept_are_passed_over() {
    let dialogue = [
        client([produce(1, 1, "orders", 300_000), fetch(2, "orders")].concat()),
        server([produced(1, "orders", &[0]), fetched(2, "orders", [0, 0], 900_000)].concat()),
        client(fetch(3, "orders")),
        server(fetched(3, "orders", [1, 0], 70_000)),
        client(fetch(4, "orders")),
        server(fetched(4, "orders", [0, 0], 20)),
    ];
    let playing = Playing { kept_bytes: 256, call_bytes: 16 * 1024, ..Playing::default() };
    let told = playing.told(&DEFINITION, &dialogue);
    // Whether the second partition failed is beyond what was kept. Both requests behind the first were in its hole.
    assert_eq!(told.short(), ["Produce orders ok", "Fetch failed", "Fetch ok"]);
    let whole = Playing { call_bytes: 16 * 1024, ..Playing::default() }.told(&DEFINITION, &dialogue);
    assert_eq!(whole.short(), ["Produce orders ok", "Fetch unknown", "Fetch failed", "Fetch ok"]);
    assert_eq!(whole.unpaired.total(), 0);
}

#[test]
fn the_records_of_the_last_partition_hide_no_error() {
    let mut body = vec![0; 10];
    body.extend([0, 0, 0, 1]);
    body.extend(text("orders"));
    body.extend([0, 0, 0, 1]);
    body.extend([0; 30]);
    body.extend([0xff; 8]);
    body.extend(framed(&[b'r'; 5000]));
    let dialogue = [client(fetch(1, "orders")), server(answer(1, false, &body))];
    let playing = Playing { kept_bytes: 128, ..Playing::default() };
    assert_eq!(playing.told(&DEFINITION, &dialogue).short(), ["Fetch ok"]);
}

#[test]
fn topics_that_are_named_by_identifier_are_learnt() {
    let id: Vec<u8> = (1..=16).collect();
    let unknown = [7; 16];
    let mut metadata = vec![0; 4];
    metadata.extend([1, 0, 0, 0, 0, 0, 2]);
    metadata.extend([[0, 0].as_slice(), &compact("orders"), &id, &[0, 1], &[0x80, 0, 0, 0], &[0]].concat());
    metadata.push(0);
    let fetch = |correlation, id: &[u8]| {
        let mut body = vec![0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0xf4, 0, 0, 0, 1, 3, 0x20, 0, 0, 0];
        body.extend([0; 8]);
        body.push(2);
        body.extend(id);
        body.push(2);
        body.extend([0; 4 + 4 + 8 + 4 + 8 + 4 + 1]);
        body.extend([0, 1, 1, 0]);
        ask(1, 13, correlation, true, &body)
    };
    let session = [&[0xff; 4][..], &[0; 8], &[0; 5], &[0; 8], &[1, 1, 1, 0]].concat();
    let fetched = |correlation, id: &[u8]| {
        let partition = [&[0; 4][..], &[0, 0], &[0; 24], &[0, 0xff, 0xff, 0xff, 0xff], &[3, b'r', b'r', 0]];
        let body = [&[0; 10][..], &[2], id, &[2], &partition.concat(), &[0, 0]].concat();
        answer(correlation, true, &body)
    };
    let dialogue = [
        client(ask(3, 12, 1, true, &[0, 1, 0, 0])),
        server(answer(1, true, &metadata)),
        client([fetch(2, &id), fetch(3, &unknown), ask(1, 13, 4, true, &session)].concat()),
        server([fetched(2, &id), fetched(3, &unknown), fetched(4, &id)].concat()),
    ];
    let told = told(&DEFINITION, &dialogue);
    let topics: Vec<String> =
        told.lines().iter().map(|line| line.rsplit(' ').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(told.short(), ["Metadata ok", "Fetch ok", "Fetch ok", "Fetch ok"]);
    assert_eq!(
        topics.get(1..),
        Some(
            &[
                "messaging.destination.name=orders".to_owned(),
                "messaging.kafka.topic.id=BwcHBwcHBwcHBwcHBwcHBw".to_owned(),
                "messaging.destination.name=orders".to_owned(),
            ][..]
        )
    );
    check_cuts(&DEFINITION, &dialogue);
}

#[test]
fn a_step_of_joining_a_group_is_no_error() {
    let join =
        [text("billing"), vec![0; 8], text(""), vec![0xff, 0xff], text("consumer"), vec![0; 4]].concat();
    let joined =
        [&[0, 0, 0, 0, 0, 79, 0xff, 0xff, 0xff, 0xff][..], &text(""), &text(""), &text("m"), &[0; 4]];
    let refused =
        [&[0, 0, 0, 0, 0, 25, 0xff, 0xff, 0xff, 0xff][..], &text(""), &text(""), &text(""), &[0; 4]];
    let dialogue = [
        client([ask(11, 5, 1, false, &join), ask(11, 5, 2, false, &join)].concat()),
        server([answer(1, false, &joined.concat()), answer(2, false, &refused.concat())].concat()),
    ];
    assert_eq!(told(&DEFINITION, &dialogue).short(), ["JoinGroup ok", "JoinGroup failed"]);
}

#[test]
fn a_length_that_is_read_by_itself_is_part_of_its_message() {
    let mut dialogue = Vec::new();
    for correlation in 0..4 {
        for (side, bytes) in
            [client(produce(correlation, 1, "orders", 50)), server(produced(correlation, "orders", &[0]))]
        {
            let (length, content) = bytes.split_at(4);
            dialogue.extend([(side, length.to_vec()), (side, content.to_vec())]);
        }
    }
    assert_eq!(recognised(&DEFINITION, &dialogue), Some("kafka"));
    assert_eq!(told(&DEFINITION, &dialogue).short().len(), 4);
    assert!(told(&DEFINITION, &dialogue).lines().iter().any(|line| line.starts_with("10-30-40 ")));
}

#[test]
fn small_correlation_ids_do_not_make_it_zookeeper() {
    for correlation in (0..300).chain([5000, i32::MAX.cast_unsigned()]) {
        let request = fetch(correlation, "some-topic-of-a-long-name");
        assert_eq!(
            recognise(Side::Client, &request, request.len() as u64),
            Recognition::Certain,
            "correlation id {correlation}"
        );
    }
}

#[test]
fn no_length_makes_it_http2() {
    for length in 0..2560 {
        let request = produce(5000, 1, "orders", length);
        assert_eq!(recognise(Side::Client, &request, request.len() as u64), Recognition::Certain);
        // Of a longer one the head is enough.
        let head = request.get(..64.min(request.len())).unwrap_or_default();
        let seen = recognise(Side::Client, head, request.len() as u64);
        assert!(points(seen) >= 60, "{seen:?}");
    }
}

fn points(recognition: Recognition) -> u32 {
    recognition.score().unwrap_or_default()
}

#[test]
fn zookeeper_and_http2_are_not_taken_for_kafka() {
    for length in 1..2560_u32 {
        for xid in [1, 5, 21, 100, 5000] {
            // getData: length, xid, type 4, path, watch.
            let path = vec![b'p'; length as usize];
            let content = [&[0, 0, 0, 4][..], &length.to_be_bytes(), &path, &[0]].concat();
            let request = framed(&[&i32::to_be_bytes(xid), &content[..]].concat());
            let seen = recognise(Side::Client, &request, request.len() as u64);
            assert_eq!(points(seen), 0, "{seen:?} for a path of {length} bytes, xid {xid}");
        }
        // DATA on stream 1.
        let [_, high, middle, low] = length.to_be_bytes();
        let frame = [&[high, middle, low, 0, 0, 0, 0, 0, 1][..], &vec![b'd'; length as usize]].concat();
        let seen = recognise(Side::Client, &frame, frame.len() as u64);
        assert_eq!(points(seen), 0, "{seen:?} for DATA of {length} bytes");
    }
    for other in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"*1\r\n$4\r\nPING\r\n"]
    {
        assert_eq!(points(recognise(Side::Client, other, other.len() as u64)), 0);
    }
}

#[test]
fn credentials_are_blanked_wherever_a_call_ends() {
    let scram_body = [&[1, 2][..], &compact("bob"), &[1, 0, 0, 16, 0], &compact("salt-hunter1")].concat();
    let scram_body = [scram_body, compact("hunter22"), vec![0, 0]].concat();
    let token = [&[0, 0][..], &compact("hunter66")].concat();
    let dialogue = [
        client(ask(17, 1, 1, false, &text("PLAIN"))),
        server(answer(1, false, &[0, 0, 0, 0, 0, 1, 0, 5, b'P', b'L', b'A', b'I', b'N'])),
        client(ask(36, 2, 2, true, &[&compact("\0bob\0hunter33")[..], &[0]].concat())),
        server(answer(2, true, &[&[0, 0, 0][..], &compact("v=hunter44"), &[0; 9]].concat())),
        client(ask(36, 0, 3, false, &framed(b"\0bob\0hunter55"))),
        server(answer(3, false, &[0, 58, 0xff, 0xff, 0, 0, 0, 0])),
        client(ask(51, 0, 4, true, &scram_body)),
        server(answer(4, true, &[0, 0, 0, 0, 1, 0])),
        client(ask(38, 3, 5, true, &[0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0])),
        server(answer(5, true, &token)),
        client(ask(39, 1, 6, false, &[&framed(b"hunter77")[..], &[0; 8]].concat())),
        server(answer(6, false, &[0; 14])),
        client(produce(7, 1, "orders", 20)),
        server(produced(7, "orders", &[0])),
    ];
    check_secrets(&DEFINITION, &dialogue, &["hunter"]);
    check_cuts(&DEFINITION, &dialogue);
    let failed: Vec<String> =
        told(&DEFINITION, &dialogue).short().into_iter().filter(|line| !line.ends_with(" ok")).collect();
    assert_eq!(failed, ["SaslAuthenticate failed"]);
}

#[test]
fn tokens_without_headers_are_blanked_and_answer_nothing() {
    let dialogue = [
        client(ask(17, 0, 1, false, &text("PLAIN"))),
        server(answer(1, false, &[0, 0, 0, 0, 0, 1, 0, 5, b'P', b'L', b'A', b'I', b'N'])),
        client(framed(b"\0bob\0hunter22")),
        server(framed(b"")),
        client(framed(b"\0A\0hunter33")),
        server(framed(b"r=nohunter44,s=hunter55")),
        client(framed(b"n,,n=bob,r=hunter66")),
        server(framed(b"v=hunter77")),
        client(produce(2, 1, "orders", 20)),
        server(produced(2, "orders", &[0])),
    ];
    check_secrets(&DEFINITION, &dialogue, &["hunter"]);
    let told = told(&DEFINITION, &dialogue);
    assert_eq!(told.short(), ["SaslHandshake ok", "Produce orders ok"]);
    assert_eq!(told.unpaired.total(), 0);
    check_cuts(&DEFINITION, &dialogue);
}

fn exchange() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    (0..4_u8, "[a-z]{1,12}", 0..400_usize, prop::sample::select(vec![0, 0, 1, 6, 120])).prop_map(
        |(kind, topic, records, error)| match kind {
            0 => (produce(0, 1, &topic, records), produced(0, &topic, &[0, error])),
            1 => (produce(0, 0, &topic, records), Vec::new()),
            _ => (fetch(0, &topic), fetched(0, &topic, [0, error], records)),
        },
    )
}

fn dialogue() -> impl Strategy<Value = Vec<Turn>> {
    prop::collection::vec(prop::collection::vec(exchange(), 1..4), 1..15).prop_map(|groups| {
        let mut turns = Vec::new();
        let mut correlation = 0_u32;
        for group in groups {
            let (mut asked, mut answered) = (Vec::new(), Vec::new());
            for (mut request, mut response) in group {
                correlation += 1;
                request.splice(8..12, correlation.to_be_bytes());
                if !response.is_empty() {
                    response.splice(4..8, correlation.to_be_bytes());
                }
                asked.extend(request);
                answered.extend(response);
            }
            turns.extend([client(asked), server(answered)]);
        }
        turns
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
