use aftertrace_registry::{Resource, Span, SpanId, SpanKind, SpanValue, TraceId};

use super::json_lines::JsonLines;
use super::otlp_json::OtlpJson;
use super::table::Table;
use super::{Printer, SpanFilter};
use crate::format::Style;

fn span(kind: SpanKind, number: u8) -> Span {
    let is_server = kind == SpanKind::Server;
    Span {
        trace_id: TraceId([0xab; 16]),
        span_id: SpanId([number; 8]),
        parent: is_server.then(|| SpanId([number - 1; 8])),
        flags: is_server.then_some(1),
        kind,
        name: "SELECT orders".into(),
        start_ns: 1_700_000_000_123_456_789,
        end_ns: 1_700_000_000_133_456_789,
        is_error: !is_server,
        protocol: "postgres",
        attributes: vec![
            ("db.query.text", SpanValue::Text("SELECT * FROM \"orders\" WHERE id = ?".into())),
            ("network.peer.address", SpanValue::Text("10.0.0.5".into())),
            ("network.peer.port", SpanValue::Integer(5432)),
            ("error.type", SpanValue::Text("42P01".into())),
        ],
        resource: Resource {
            service: if is_server { "/docker/db" } else { "/docker/shop" }.into(),
            container: if is_server { "/docker/db" } else { "/docker/shop" }.into(),
            host: "shop-1".into(),
            host_id: "m1".into(),
        },
    }
}

fn printed(mut printer: impl Printer, spans: Vec<Span>) -> String {
    let mut out = Vec::new();
    printer.begin(&mut out).unwrap();
    for span in spans {
        printer.span(span, &mut out).unwrap();
    }
    printer.end(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn both() -> Vec<Span> {
    vec![span(SpanKind::Client, 1), span(SpanKind::Server, 2)]
}

#[test]
fn otlp_has_hexadecimal_identifiers_numbers_as_text_and_a_group_for_each_resource() {
    let text = printed(OtlpJson::default(), both());
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&json).unwrap());
}

#[test]
fn many_spans_are_one_request_and_none_are_an_empty_one() {
    for count in [0, 1, 512, 513, 2000] {
        let spans = (0..count).map(|number| span(SpanKind::Client, (number % 250) as u8)).collect();
        let json: serde_json::Value = serde_json::from_str(&printed(OtlpJson::default(), spans)).unwrap();
        let groups = json.get("resourceSpans").and_then(|groups| groups.as_array()).unwrap();
        let of = |group: &serde_json::Value| {
            group.pointer("/scopeSpans/0/spans").and_then(|spans| spans.as_array()).map_or(0, Vec::len)
        };
        assert_eq!(groups.iter().map(of).sum::<usize>(), count);
    }
}

#[test]
fn lines_of_json_have_attributes_by_name() {
    insta::assert_snapshot!(printed(JsonLines, both()));
}

#[test]
fn the_table_says_who_asked_whom_and_what_failed() {
    insta::assert_snapshot!(printed(Table { style: Style::Plain }, both()));
}

#[test]
fn a_filter_admits_what_all_of_it_admits() {
    let all = SpanFilter::default();
    let of = |change: fn(&mut SpanFilter)| {
        let mut filter = all.clone();
        change(&mut filter);
        both().iter().map(|span| filter.admits(span)).collect::<Vec<_>>()
    };
    assert_eq!(of(|_| {}), [true, true]);
    assert_eq!(of(|filter| filter.errors = true), [true, false]);
    assert_eq!(of(|filter| filter.containers = vec!["^/docker/d".parse().unwrap()]), [false, true]);
    assert_eq!(of(|filter| filter.protocols = vec!["redis".to_owned()]), [false, false]);
    assert_eq!(of(|filter| filter.slower_than = Some(std::time::Duration::from_millis(9))), [true, true]);
    assert_eq!(of(|filter| filter.slower_than = Some(std::time::Duration::from_millis(10))), [false, false]);
    assert_eq!(of(|filter| filter.trace_id = Some("AB".repeat(16))), [true, true]);
}
