use aftertrace_schemas::column::Bytes;
use aftertrace_schemas::tables::*;
use proptest::prelude::*;

use super::{Span, SpanConfig, SpanId, SpanKind, SpanValue};
use crate::Config;
use crate::test_support::*;

const CLIENT: &str = "/system.slice/shop.service";
const SERVER: &str = "/system.slice/cart.service";
const CLIENT_END: (&str, u16) = ("10.0.0.9", 40_000);
const TRACEPARENT: &str = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";

/// A client and a server on the same host, and all spans that came of what they said.
struct Pair {
    scenario: Scenario,
    server: (&'static str, u16),
    spans: Vec<Span>,
}

fn asked_for() -> SpanConfig {
    SpanConfig { per_second: None, ..SpanConfig::default() }
}

impl Pair {
    fn of(port: u16, config: SpanConfig) -> Self {
        let mut scenario = Scenario::with(Config { spans: Some(config), ..Config::default() });
        scenario.start(100, CLIENT);
        scenario.start(200, SERVER);
        let mut pair = Self { scenario, server: ("10.0.0.5", port), spans: Vec::new() };
        pair.open(1, 2);
        pair
    }

    fn apply(&mut self, kind: impl Into<aftertrace_schemas::Kind>) {
        self.scenario.apply(kind);
        self.spans.extend(self.scenario.registry.drain_spans());
    }

    /// Opens a connection: ids of its two ends.
    fn open(&mut self, client: u64, server: u64) {
        self.apply(tcp(TcpEventKind::Connect, client, 100, self.server));
        self.accept(server);
    }

    fn accept(&mut self, server: u64) {
        let (address, port) = self.server;
        self.apply(TcpEvent {
            local_ip: Some(ip(address)),
            local_port: Some(port),
            ..tcp(TcpEventKind::Accept, server, 200, CLIENT_END)
        });
    }

    fn data(&mut self, id: u64, direction: Direction, position: u64, bytes: &[u8]) {
        self.part(id, direction, position, bytes.len(), bytes);
    }

    fn part(&mut self, id: u64, direction: Direction, position: u64, size: usize, bytes: &[u8]) {
        self.apply(SocketData {
            connection_id: id,
            direction,
            position,
            size_bytes: u32::try_from(size).unwrap(),
            tls: false,
            payload: Bytes(bytes.into()),
        });
    }

    /// Both ends see a request and its answer, at these places of the streams.
    fn talk(&mut self, places: [u64; 2], request: &str, response: &str) {
        self.data(1, Direction::Sent, places[0], request.as_bytes());
        self.data(2, Direction::Received, places[0], request.as_bytes());
        self.data(2, Direction::Sent, places[1], response.as_bytes());
        self.data(1, Direction::Received, places[1], response.as_bytes());
    }

    fn of_kind(&self, kind: SpanKind) -> &Span {
        self.spans.iter().find(|span| span.kind == kind).unwrap()
    }
}

fn lines(span: &Span) -> Vec<String> {
    let parent = span.parent.map_or_else(|| "none".to_owned(), |parent| parent.to_string());
    let mut lines = vec![
        format!("{} {:?} {} error={}", span.name, span.kind, span.duration_ns() / 1_000_000, span.is_error),
        format!("trace {} span {} parent {parent} {:?}", span.trace_id, span.span_id, span.flags),
    ];
    lines.extend(span.resource.attributes().map(|(key, value)| format!("  {key}: {value}")));
    lines.extend(span.attributes.iter().map(|(key, value)| match value {
        SpanValue::Text(text) => format!("{key}={text}"),
        SpanValue::Integer(number) => format!("{key}={number}"),
    }));
    lines
}

fn text(span: &Span, key: &str) -> String {
    match span.attribute(key) {
        Some(SpanValue::Text(text)) => text.to_string(),
        Some(SpanValue::Integer(number)) => number.to_string(),
        None => String::new(),
    }
}

#[test]
fn both_ends_of_a_request_are_parent_and_child() {
    let mut pair = Pair::of(80, asked_for());
    pair.talk(
        [0, 0],
        "GET /cart/7?key=secret HTTP/1.1\r\nHost: cart.shop\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    );
    let (client, server) = (pair.of_kind(SpanKind::Client), pair.of_kind(SpanKind::Server));
    assert_eq!(server.trace_id, client.trace_id);
    assert_eq!((client.parent, server.parent), (None, Some(client.span_id)));
    insta::assert_debug_snapshot!((lines(client), lines(server)));
}

#[test]
fn a_trace_context_is_what_counts_when_there_is_one() {
    let mut pair = Pair::of(80, asked_for());
    pair.talk(
        [0, 0],
        &format!("GET / HTTP/1.1\r\nHost: cart\r\n{TRACEPARENT}\r\n"),
        "HTTP/1.1 204 No Content\r\n\r\n",
    );
    for span in &pair.spans {
        assert_eq!(span.trace_id.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(span.parent.map(|id| id.to_string()).as_deref(), Some("b7ad6b7169203331"));
        assert_eq!((span.flags, text(span, "traceparent")), (Some(1), String::new()));
    }
    assert_eq!(pair.spans.len(), 2);
    assert_ne!(pair.spans[0].span_id, pair.spans[1].span_id);
}

#[test]
fn statements_have_no_literals_unless_they_are_asked_for() {
    for (keeps_literals, statement) in
        [(false, "SELECT * FROM orders WHERE id = ?"), (true, "SELECT * FROM orders WHERE id = 42")]
    {
        let mut pair = Pair::of(5432, SpanConfig { keeps_literals, ..asked_for() });
        let query = b"SELECT * FROM orders WHERE id = 42\0";
        let asked = [&b"Q"[..], &(query.len() as u32 + 4).to_be_bytes(), query].concat();
        let startup = b"\0\0\0\x0f\0\x03\0\0user\0a\0";
        let startup = [&(startup.len() as u32).to_be_bytes(), &startup[4..]].concat();
        pair.data(1, Direction::Sent, 0, &startup);
        pair.data(1, Direction::Received, 0, b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I");
        pair.data(1, Direction::Sent, startup.len() as u64, &asked);
        let error = b"E\0\0\0\x14SERROR\0C42P01\0\0Z\0\0\0\x05I";
        let error = [&b"E"[..], &19_u32.to_be_bytes(), &error[5..]].concat();
        pair.data(1, Direction::Received, 15, &error);
        let span = pair.of_kind(SpanKind::Client);
        assert_eq!(text(span, "db.query.text"), statement);
        assert_eq!(&*span.name, "SELECT orders");
        assert_eq!(text(span, "db.system.name"), "postgresql");
        assert_eq!((span.is_error, text(span, "error.type")), (true, "42P01".to_owned()));
    }
}

#[test]
fn what_is_not_answered_is_an_error_that_says_so() {
    let mut pair = Pair::of(80, asked_for());
    pair.data(1, Direction::Sent, 0, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    pair.apply(TcpEvent {
        pid: None,
        process_start_ns: None,
        ..tcp(TcpEventKind::Close, 1, 0, ("10.0.0.5", 80))
    });
    let span = pair.of_kind(SpanKind::Client);
    assert_eq!((span.is_error, text(span, "error.type")), (true, "closed".to_owned()));
}

#[test]
fn without_being_asked_for_there_are_no_spans_and_no_metrics_of_them() {
    let mut scenario = Scenario::new();
    scenario.start(100, CLIENT);
    scenario.connect(1, 100, ("10.0.0.5", 80));
    assert_eq!(scenario.registry.drain_spans().count(), 0);
    assert!(!scenario.text().contains("aftertrace_spans"));
}

#[test]
fn errors_and_what_is_slow_come_first_and_the_rest_is_counted() {
    let mut pair =
        Pair::of(80, SpanConfig { per_second: Some(3), slow_ns: 15_000_000, ..SpanConfig::default() });
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut places = [0, 0];
    // The window begins with a second.
    pair.scenario.pass(1);
    for number in 0..20 {
        let status = if number == 5 { "500 Oops" } else { "200 OK" };
        let response = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        pair.data(1, Direction::Sent, places[0], request.as_bytes());
        if number == 9 || number == 12 {
            (0..20 + number).for_each(|_| pair.scenario.mark());
        }
        pair.data(1, Direction::Received, places[1], response.as_bytes());
        places[0] += request.len() as u64;
        places[1] += response.len() as u64;
    }
    assert!(pair.spans.is_empty());
    pair.scenario.pass(1);
    pair.apply(Mark { kind: MarkKind::SegmentStart, segment: 1, detail: None });
    let kept: Vec<(bool, bool)> =
        pair.spans.iter().map(|span| (span.is_error, span.duration_ns() > 15_000_000)).collect();
    assert_eq!(kept, [(true, false), (false, true), (false, true)]);
    let made = [("protocol", "http"), ("kind", "client")];
    assert_eq!(pair.scenario.value("aftertrace_spans_total", &made), Some(20.0));
    assert_eq!(pair.scenario.value("aftertrace_spans_dropped_total", &[("reason", "sampled")]), Some(17.0));
}

#[test]
fn the_end_of_the_recording_gives_what_was_gathered() {
    let mut pair = Pair::of(80, SpanConfig::default());
    pair.talk([0, 0], "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n");
    assert!(pair.spans.is_empty());
    pair.apply(Mark { kind: MarkKind::End, segment: 1, detail: None });
    assert_eq!(pair.spans.len(), 2);
}

#[test]
fn networks_that_look_alike_are_not_mixed_up() {
    let mut pair = Pair::of(80, asked_for());
    // Another client has the same address and port, and reaches the same ones.
    let server = pair.server;
    pair.apply(tcp(TcpEventKind::Connect, 11, 100, server));
    pair.accept(12);
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    pair.data(12, Direction::Received, 0, request);
    pair.data(12, Direction::Sent, 0, b"HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(pair.of_kind(SpanKind::Server).parent, None);
    let unlinked = pair.scenario.value("aftertrace_spans_unlinked_total", &[("reason", "ambiguous")]);
    assert_eq!(unlinked, Some(1.0));
}

#[test]
fn ports_are_used_again_and_connections_are_not_mixed_up() {
    let mut pair = Pair::of(80, asked_for());
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let response = "HTTP/1.1 204 No Content\r\n\r\n";
    pair.talk([0, 0], request, response);
    for id in [1, 2] {
        pair.apply(TcpEvent { pid: None, ..tcp(TcpEventKind::Close, id, 0, ("10.0.0.5", 80)) });
    }
    pair.open(21, 22);
    for (id, directions) in
        [(21, [Direction::Sent, Direction::Received]), (22, [Direction::Received, Direction::Sent])]
    {
        pair.data(id, directions[0], 0, request.as_bytes());
        pair.data(id, directions[1], 0, response.as_bytes());
    }
    let of = |place: usize| (pair.spans[place].kind, pair.spans[place].parent, pair.spans[place].trace_id);
    assert_eq!(pair.spans.len(), 4);
    assert_eq!(of(0).2, of(1).2);
    assert_eq!(of(2).2, of(3).2);
    assert_ne!(of(0).2, of(2).2);
    assert_eq!(of(3).1, Some(pair.spans[2].span_id));
    // Nobody of this host was seen to dial: it is another host's, or was lost.
    pair.accept(32);
    pair.data(32, Direction::Received, 0, request.as_bytes());
    pair.data(32, Direction::Sent, 0, response.as_bytes());
    assert_eq!(pair.spans.last().map(|span| span.parent), Some(None));
}

/// What the server's span of a request on the accepted connection 42 has as its parent, and the client's span.
fn request_after(mut pair: Pair, client: u64) -> (Option<SpanId>, Option<SpanId>) {
    let (request, response) = (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n");
    for (id, directions) in
        [(client, [Direction::Sent, Direction::Received]), (42, [Direction::Received, Direction::Sent])]
    {
        pair.data(id, directions[0], 0, request);
        pair.data(id, directions[1], 0, response);
    }
    let server = pair.of_kind(SpanKind::Server).parent;
    (server, pair.spans.iter().find(|span| span.kind == SpanKind::Client).map(|span| span.span_id))
}

#[test]
fn behind_address_translation_the_ends_find_each_other() {
    for is_late in [false, true] {
        let mut pair = Pair::of(80, asked_for());
        let translation = NatMapping {
            connection_id: 41,
            network_namespace: WEB_NAMESPACE,
            local_ip: ip("10.0.0.9"),
            local_port: 40_001,
            destination_ip: ip("10.96.0.1"),
            destination_port: 8080,
            actual_ip: ip("10.0.0.5"),
            actual_port: 80,
            source: NatSource::Conntrack,
        };
        let dialled =
            TcpEvent { local_port: Some(40_001), ..tcp(TcpEventKind::Connect, 41, 100, ("10.96.0.1", 8080)) };
        if is_late {
            pair.apply(dialled);
            pair.apply(translation);
        } else {
            pair.apply(translation);
            pair.apply(dialled);
        }
        pair.apply(TcpEvent {
            local_ip: Some(ip("10.0.0.5")),
            local_port: Some(80),
            ..tcp(TcpEventKind::Accept, 42, 200, ("10.0.0.9", 40_001))
        });
        let (parent, client) = request_after(pair, 41);
        assert!(parent.is_some() && parent == client, "late: {is_late}");
    }
}

#[test]
fn when_events_were_lost_nobody_is_taken_for_who_dialled() {
    let mut pair = Pair::of(80, asked_for());
    pair.apply(TcpEvent { local_port: Some(40_001), ..tcp(TcpEventKind::Connect, 41, 100, pair.server) });
    pair.scenario.lose("tcp", "ring_full", 3);
    pair.apply(TcpEvent {
        local_ip: Some(ip("10.0.0.5")),
        local_port: Some(80),
        ..tcp(TcpEventKind::Accept, 42, 200, ("10.0.0.9", 40_001))
    });
    let (parent, client) = request_after(pair, 41);
    assert_eq!((parent, client.is_some()), (None, true));
}

#[test]
fn of_a_connection_that_is_older_than_the_recording_no_link_is_guessed() {
    let mut pair = Pair::of(80, asked_for());
    for (kind, id, pid) in [(SocketKind::Outbound, 31, 100), (SocketKind::Inbound, 32, 200)] {
        pair.apply(socket(kind, id, pid, Some(("10.0.0.5", 80))));
    }
    let mut places = [1000, 1000];
    for _ in 0..8 {
        let (request, response) = ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 204 No\r\n\r\n");
        for (id, directions) in
            [(31, [Direction::Sent, Direction::Received]), (32, [Direction::Received, Direction::Sent])]
        {
            pair.data(id, directions[0], places[0], request.as_bytes());
            pair.data(id, directions[1], places[1], response.as_bytes());
        }
        places = [places[0] + request.len() as u64, places[1] + response.len() as u64];
    }
    let servers: Vec<&Span> = pair.spans.iter().filter(|span| span.kind == SpanKind::Server).collect();
    assert!(!servers.is_empty() && servers.iter().all(|span| span.parent.is_none()));
    let unlinked = pair.scenario.value("aftertrace_spans_unlinked_total", &[("reason", "beginning")]);
    assert_eq!(unlinked, Some(servers.len() as f64));
}

/// Calls that move these bytes: lengths, how much of each is kept, and whether it is lost.
fn calls(bytes: &[u8], cuts: &[(usize, usize, bool)]) -> Vec<(u64, usize, Option<Vec<u8>>)> {
    let (mut position, mut calls) = (0, Vec::new());
    let mut cuts = cuts.iter().cycle();
    while position < bytes.len() {
        let Some((length, kept, is_lost)) = cuts.next() else { break };
        let part = &bytes[position..bytes.len().min(position + length)];
        let kept = part[..part.len().min(*kept)].to_vec();
        calls.push((position as u64, part.len(), (!is_lost).then_some(kept)));
        position += part.len();
    }
    calls
}

fn cuts(loss: f64) -> impl Strategy<Value = Vec<(usize, usize, bool)>> {
    prop::collection::vec((1_usize..400, 20_usize..400, prop::bool::weighted(loss)), 1..30)
}

/// The same without losses. Whose first calls move next to nothing is taken for nothing that is known.
fn whole_cuts() -> impl Strategy<Value = Vec<(usize, usize, bool)>> {
    prop::collection::vec((30_usize..400, Just(400), Just(false)), 1..30)
}

/// Plays pipelines of numbered requests; each end sees them in calls of its own. The numbers of what is linked.
fn linked(
    pipelines: &[usize],
    of_client: &[(usize, usize, bool)],
    of_server: &[(usize, usize, bool)],
) -> usize {
    let mut pair = Pair::of(80, asked_for());
    let (mut number, mut places) = (0, [0, 0]);
    for length in pipelines {
        let (mut requests, mut responses) = (String::new(), String::new());
        for _ in 0..*length {
            requests.push_str(&format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let body = "x".repeat(number % 7 * 30);
            responses.push_str(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
            number += 1;
        }
        for (id, direction, bytes, place, cuts) in [
            (1, Direction::Sent, &requests, places[0], of_client),
            (2, Direction::Received, &requests, places[0], of_server),
            (2, Direction::Sent, &responses, places[1], of_server),
            (1, Direction::Received, &responses, places[1], of_client),
        ] {
            for (position, size, kept) in calls(bytes.as_bytes(), cuts) {
                if let Some(kept) = kept {
                    pair.part(id, direction, place + position, size, &kept);
                }
            }
        }
        places = [places[0] + requests.len() as u64, places[1] + responses.len() as u64];
    }
    let mut count = 0;
    for server in pair.spans.iter().filter(|span| span.kind == SpanKind::Server) {
        let Some(parent) = server.parent else { continue };
        let Some(client) = pair.spans.iter().find(|span| span.span_id == parent) else { continue };
        assert_eq!(server.trace_id, client.trace_id);
        let (theirs, ours) = (text(client, "url.path"), text(server, "url.path"));
        assert!(theirs.starts_with(&ours) || ours.starts_with(&theirs), "{ours} is not {theirs}");
        count += 1;
    }
    let ids: std::collections::BTreeSet<_> = pair.spans.iter().map(|span| span.span_id).collect();
    assert_eq!(ids.len(), pair.spans.len(), "every span has its own id");
    count
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_is_lost_no_link_is_wrong(
        pipelines in prop::collection::vec(1_usize..6, 1..15),
        of_client in cuts(0.1),
        of_server in cuts(0.1),
    ) {
        linked(&pipelines, &of_client, &of_server);
    }

    #[test]
    fn however_calls_are_cut_everything_is_linked(
        pipelines in prop::collection::vec(1_usize..6, 1..15),
        of_client in whole_cuts(),
        of_server in whole_cuts(),
    ) {
        let all: usize = pipelines.iter().sum();
        prop_assert_eq!(linked(&pipelines, &of_client, &of_server), all);
    }
}
