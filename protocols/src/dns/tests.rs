//! Messages are built by hand from RFC 1035, 6762 and 6891.

use proptest::prelude::*;

use super::DEFINITION;
use crate::testing::{Playing, Turn, check_cuts, check_losses, client, content, recognised, server, told};
use crate::{Chunk, Conversation, Facts, PerSide, Side};

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;

fn name(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn header(id: u16, flags: u16, counts: [u16; 4]) -> Vec<u8> {
    [id, flags].into_iter().chain(counts).flat_map(u16::to_be_bytes).collect()
}

fn question(text: &str, kind: u16) -> Vec<u8> {
    [name(text), kind.to_be_bytes().to_vec(), vec![0, 1]].concat()
}

fn record(name: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u16).to_be_bytes();
    [name, &kind.to_be_bytes(), &[0, 1, 0, 0, 0, 60], &length, data].concat()
}

fn query(id: u16, text: &str, kind: u16) -> Vec<u8> {
    [header(id, 0x0100, [1, 0, 0, 0]), question(text, kind)].concat()
}

fn answer(id: u16, code: u16, text: &str, kind: u16, records: &[Vec<u8>]) -> Vec<u8> {
    let head = header(id, 0x8180 | code, [1, records.len() as u16, 0, 0]);
    [head, question(text, kind), records.concat()].concat()
}

/// The question's name, by a pointer to it.
const OF_QUESTION: &[u8] = &[0xc0, 12];

/// With the length before it.
fn framed(message: Vec<u8>) -> Vec<u8> {
    [(message.len() as u16).to_be_bytes().to_vec(), message].concat()
}

/// Plays each turn as a datagram, of which so many bytes are kept.
fn datagrams(dialogue: &[Turn], kept_bytes: usize) -> (Vec<String>, u64) {
    let facts = Facts { wants_details: true, is_datagrams: true, is_from_start: true, ..Facts::default() };
    let mut conversation = Conversation::of(&DEFINITION, facts);
    play(&mut conversation, dialogue, kept_bytes)
}

fn play(conversation: &mut Conversation, dialogue: &[Turn], kept_bytes: usize) -> (Vec<String>, u64) {
    let mut positions = PerSide::<u64>::default();
    let mut lines = Vec::new();
    for (number, (side, bytes)) in dialogue.iter().enumerate() {
        let place = positions.of(*side);
        let kept = bytes.get(..kept_bytes.min(bytes.len())).unwrap_or_default();
        let time_ns = (number as u64 + 1) * 10;
        conversation.push(*side, &Chunk { position: *place, size: bytes.len() as u64, bytes: kept, time_ns });
        *place += bytes.len() as u64;
        lines.extend(conversation.drain().map(|exchange| content(&exchange)));
    }
    conversation.close(1000);
    lines.extend(conversation.drain().map(|exchange| content(&exchange)));
    (lines, conversation.unpaired().total())
}

#[test]
fn datagrams_are_paired_by_identifier_and_question() {
    let alias = [name("web.example.com"), vec![]].concat();
    let dialogue = [
        client(query(7, "www.Example.com", A)),
        client(query(8, "www.example.com", AAAA)),
        server(answer(8, 0, "www.example.com", AAAA, &[])),
        server(answer(
            7,
            0,
            "www.example.com",
            A,
            &[
                record(OF_QUESTION, CNAME, &alias),
                record(&[0xc0, 45], A, &[10, 0, 0, 1]),
                record(&[0xc0, 45], A, &[10, 0, 0, 2]),
            ],
        )),
    ];
    let (lines, unpaired) = datagrams(&dialogue, usize::MAX);
    assert_eq!(
        lines,
        [
            "AAAA ok dns.question.name=www.example.com TypeAAAA www.example.com []",
            "A ok dns.question.name=www.Example.com dns.answers=10.0.0.1,10.0.0.2 TypeA www.example.com \
             [10.0.0.1, 10.0.0.2]",
        ]
    );
    assert_eq!(unpaired, 0);
    for turn in dialogue {
        let facts = Facts { is_datagrams: true, ..Facts::default() };
        let mut conversation = Conversation::new(facts);
        play(&mut conversation, &[turn], usize::MAX);
        assert_eq!(conversation.protocol().map(|definition| definition.name), Some("dns"));
    }
}

#[test]
fn statuses_have_names_on_both_sides_and_unusual_ones_their_number() {
    let codes = [0, 1, 2, 3, 4, 5, 9];
    let turns = codes
        .iter()
        .flat_map(|code| [client(query(*code, "a.b", A)), server(answer(*code, *code, "a.b", A, &[]))]);
    let dialogue: Vec<Turn> = turns.collect();
    let (lines, _) = datagrams(&dialogue, usize::MAX);
    let labels: Vec<&str> = lines.iter().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(labels, ["ok", "format_error", "servfail", "nxdomain", "not_implemented", "refused", "9"]);
}

#[test]
fn the_high_bits_of_a_status_are_in_the_options() {
    let options = [&[0, 0, 41, 4, 0xd0, 1, 0, 0, 0, 0, 0][..]].concat();
    let bad_version = [header(3, 0x8180, [1, 0, 0, 1]), question("a.b", A), options.clone()].concat();
    let asked = [header(3, 0x0120, [1, 0, 0, 1]), question("a.b", A), options].concat();
    let (lines, _) = datagrams(&[client(asked), server(bad_version)], usize::MAX);
    assert_eq!(lines, ["A 16 dns.question.name=a.b TypeA a.b []"]);
}

#[test]
fn a_question_that_is_asked_again_is_one_and_an_identifier_that_is_used_again_is_two() {
    let dialogue = [
        client(query(7, "a.b", A)),
        client(query(7, "a.b", A)),
        client(query(7, "c.d", A)),
        server(answer(7, 0, "c.d", A, &[])),
        server(answer(7, 3, "A.B", A, &[])),
    ];
    let (lines, unpaired) = datagrams(&dialogue, usize::MAX);
    assert_eq!(
        lines,
        ["A ok dns.question.name=c.d TypeA c.d []", "A nxdomain dns.question.name=a.b TypeA A.B []"]
    );
    assert_eq!(unpaired, 0);
}

#[test]
fn an_answer_of_a_header_alone_answers_what_was_asked_with_its_identifier() {
    let dialogue = [client(query(7, "a.b", 65)), server(header(7, 0x8081, [0; 4]))];
    let (lines, _) = datagrams(&dialogue, usize::MAX);
    assert_eq!(lines, ["HTTPS format_error dns.question.name=a.b TypeHTTPS a.b []"]);
}

#[test]
fn several_questions_of_mdns_are_answered_by_records_of_the_first() {
    let asked =
        [header(0, 0, [2, 0, 0, 0]), question("host.local", A), question("host.local", AAAA)].concat();
    let found = [header(0, 0x8400, [0, 1, 0, 0]), record(&name("host.local"), A, &[10, 0, 0, 9])].concat();
    let other = [header(0, 0x8400, [0, 1, 0, 0]), record(&name("else.local"), A, &[10, 0, 0, 8])].concat();
    let (lines, unpaired) = datagrams(&[client(asked), server(other), server(found)], usize::MAX);
    assert_eq!(lines, ["A ok dns.question.name=host.local dns.answers=10.0.0.9 TypeA host.local [10.0.0.9]"]);
    assert_eq!(unpaired, 0);
}

#[test]
fn names_are_escaped_and_pointers_that_lead_nowhere_are_no_message() {
    let odd = [&[4, b'a', b'.', 0xff, b'\\'][..], &[1, b'b', 0]].concat();
    let asked = [header(1, 0x0100, [1, 0, 0, 0]), odd, vec![0, 1, 0, 1]].concat();
    let root = query(2, "", 2);
    let loops = [header(3, 0x0100, [1, 0, 0, 0]), vec![0xc0, 12, 0, 1, 0, 1]].concat();
    let (lines, _) = datagrams(&[client(asked), client(root), client(loops)], usize::MAX);
    assert_eq!(lines, ["A Closed dns.question.name=a\\.\\255\\\\.b", "NS Closed dns.question.name=."]);
}

#[test]
fn of_messages_that_are_cut_there_is_what_was_kept() {
    let records: Vec<Vec<u8>> = (0..100).map(|host| record(OF_QUESTION, A, &[10, 0, 0, host])).collect();
    let dialogue = [
        client(query(7, "a.b", A)),
        server(answer(7, 0, "a.b", A, &records)),
        client(query(8, "a.b", A)),
        server(answer(8, 0, "a.b", A, &[])),
    ];
    let (lines, unpaired) = datagrams(&dialogue, 64);
    assert_eq!(
        lines,
        [
            "A ok dns.question.name=a.b dns.answers=10.0.0.0,10.0.0.1 TypeA a.b [10.0.0.0, 10.0.0.1]",
            "A ok dns.question.name=a.b TypeA a.b []"
        ]
    );
    assert_eq!(unpaired, 0);
}

#[test]
fn streams_carry_many_messages_at_once_and_in_pieces() {
    let long: Vec<Vec<u8>> = (0..60).map(|host| record(OF_QUESTION, A, &[10, 0, 1, host])).collect();
    let dialogue = [
        client([framed(query(1, "a.b", A)), framed(query(2, "c.d", AAAA))].concat()),
        server([framed(answer(2, 0, "c.d", AAAA, &[record(OF_QUESTION, AAAA, &[1; 16])]))].concat()),
        server(framed(answer(1, 0, "a.b", A, &long))),
    ];
    let told = told(&DEFINITION, &dialogue);
    assert_eq!(told.short(), ["AAAA ok", "A ok"]);
    assert_eq!(told.exchanges.iter().map(|one| one.ended_ns).collect::<Vec<_>>(), [20, 30]);
    assert_eq!(recognised(&DEFINITION, &dialogue), Some("dns"));
    check_cuts(&DEFINITION, &dialogue);
    let kept = Playing { kept_bytes: 100, ..Playing::default() }.told(&DEFINITION, &dialogue);
    assert_eq!(kept.short(), ["AAAA ok", "A ok"]);
    assert_eq!(kept.unpaired.total(), 0);
}

#[test]
fn a_zone_transfer_is_one_exchange() {
    let dialogue = [
        client(framed(query(1, "a.b", 252))),
        server(framed(answer(1, 0, "a.b", 252, &[record(OF_QUESTION, A, &[1; 4])]))),
        server(framed(answer(1, 0, "a.b", 252, &[record(OF_QUESTION, A, &[2; 4])]))),
    ];
    let told = told(&DEFINITION, &dialogue);
    assert_eq!((told.short(), told.unpaired.total()), (vec!["AXFR ok".to_owned()], 0));
}

#[test]
fn what_is_no_dns_is_not_taken_for_it() {
    let netbios = [header(1, 0x0110, [1, 0, 0, 0]), question("CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 33)];
    let others: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &[0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
        &netbios.concat(),
        &[0; 64],
    ];
    for other in others {
        let dialogue = vec![client(other); 8];
        assert_ne!(recognised(&DEFINITION, &dialogue), Some("dns"), "{other:?}");
    }
}

fn dialogue() -> impl Strategy<Value = Vec<Turn>> {
    let turn =
        (prop::collection::vec((0_u16..20, 0_u16..6), 1..4), 0_usize..30).prop_map(|(asked, hosts)| {
            let records: Vec<Vec<u8>> =
                (0..hosts).map(|host| record(OF_QUESTION, A, &[9, 9, 9, host as u8])).collect();
            let name = |number: u16| format!("h{number}.example");
            let asks: Vec<u8> = asked.iter().flat_map(|(id, of)| framed(query(*id, &name(*of), A))).collect();
            let answers: Vec<u8> = asked
                .iter()
                .rev()
                .flat_map(|(id, of)| framed(answer(*id, of % 4, &name(*of), A, &records)))
                .collect();
            [client(asks), server(answers)]
        });
    prop::collection::vec(turn, 1..20).prop_map(|turns| turns.into_iter().flatten().collect())
}

proptest! {
    #[test]
    fn losses_make_no_wrong_pairs(
        dialogue in dialogue(),
        lost in prop::collection::vec(prop::bool::weighted(0.1), 0..50),
        kept_bytes in 1_usize..400,
        call_bytes in 1_usize..400,
    ) {
        let playing = Playing { kept_bytes, call_bytes, lost, redacts: false };
        let seen = playing.told(&DEFINITION, &dialogue).exchanges;
        // Addresses beyond what is kept are not there.
        let whole = told(&DEFINITION, &dialogue).exchanges;
        prop_assert!(seen.len() <= whole.len());
        if kept_bytes >= call_bytes {
            check_losses(&DEFINITION, &dialogue, &playing);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(
        turns in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..80)), 0..20),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        is_datagrams in any::<bool>(),
        kept_bytes in 0_usize..100,
    ) {
        let mut dialogue = vec![
            client(query(1, "a.b", A)),
            server(answer(1, 0, "a.b", A, &[record(OF_QUESTION, AAAA, &[1; 16])])),
        ];
        for (_, bytes) in &mut dialogue {
            for (place, byte) in &flips {
                let place = place.index(bytes.len());
                if let Some(slot) = bytes.get_mut(place) { *slot = *byte; }
            }
        }
        dialogue.extend(turns.into_iter().map(|(is_client, bytes)| (if is_client { Side::Client } else { Side::Server }, bytes)));
        let facts = Facts { wants_details: true, is_datagrams, ..Facts::default() };
        play(&mut Conversation::of(&DEFINITION, facts), &dialogue, kept_bytes);
        play(&mut Conversation::new(facts), &dialogue, kept_bytes);
    }
}
