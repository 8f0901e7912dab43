//! OpenTelemetry's protocol (OTLP/HTTP) for spans.
//!
//! In: spans. Out: the body of a request, gzip; and what an answer says was refused.

use std::collections::BTreeMap;
use std::io::{self, Write};

use aftertrace_registry::{Resource, Span, SpanKind, SpanValue};
use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource as OtlpResource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span as OtlpSpan, Status, span, status,
};
use prost::Message;

/// The body of a request.
pub(super) fn encode(spans: &[Span]) -> io::Result<Vec<u8>> {
    let mut by_resource: BTreeMap<&Resource, Vec<OtlpSpan>> = BTreeMap::new();
    for span in spans {
        by_resource.entry(&span.resource).or_default().push(otlp(span));
    }
    let group = |(resource, spans): (&Resource, Vec<OtlpSpan>)| ResourceSpans {
        resource: Some(OtlpResource {
            attributes: resource.attributes().map(|(key, value)| text(key, value)).collect(),
            ..OtlpResource::default()
        }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: "aftertrace".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                ..InstrumentationScope::default()
            }),
            spans,
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    };
    let request = ExportTraceServiceRequest { resource_spans: by_resource.into_iter().map(group).collect() };
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&request.encode_to_vec())?;
    gzip.finish()
}

fn otlp(span: &Span) -> OtlpSpan {
    let kind = match span.kind {
        SpanKind::Server => span::SpanKind::Server,
        SpanKind::Client => span::SpanKind::Client,
        SpanKind::Producer => span::SpanKind::Producer,
        SpanKind::Consumer => span::SpanKind::Consumer,
    };
    OtlpSpan {
        trace_id: span.trace_id.0.to_vec(),
        span_id: span.span_id.0.to_vec(),
        parent_span_id: span.parent.map(|parent| parent.0.to_vec()).unwrap_or_default(),
        flags: span.flags.map(u32::from).unwrap_or_default(),
        name: span.name.to_string(),
        kind: kind.into(),
        start_time_unix_nano: span.start_ns,
        end_time_unix_nano: span.end_ns,
        attributes: span.attributes.iter().map(|(key, value)| attribute(key, value)).collect(),
        status: span.is_error.then(|| Status { code: status::StatusCode::Error.into(), ..Status::default() }),
        ..OtlpSpan::default()
    }
}

fn attribute(key: &str, value: &SpanValue) -> KeyValue {
    match value {
        SpanValue::Text(value) => text(key, value),
        SpanValue::Integer(number) => key_value(key, any_value::Value::IntValue(*number)),
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    key_value(key, any_value::Value::StringValue(value.to_owned()))
}

fn key_value(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// How many spans a receiver says that it refused, and why; an answer that says nothing refused none.
pub(super) fn refused(answer: &[u8]) -> (u64, String) {
    let partial = ExportTraceServiceResponse::decode(answer).ok().and_then(|answer| answer.partial_success);
    let refused = partial.map(|partial| (u64::try_from(partial.rejected_spans), partial.error_message));
    refused.map_or((0, String::new()), |(count, why)| (count.unwrap_or_default(), why))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use std::io::Read;

    use aftertrace_registry::{SpanId, TraceId};
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;
    use proptest::prelude::*;

    use super::*;

    fn span(container: &str, kind: SpanKind) -> Span {
        Span {
            trace_id: TraceId([1; 16]),
            span_id: SpanId([2; 8]),
            parent: (kind == SpanKind::Server).then_some(SpanId([3; 8])),
            flags: Some(1),
            kind,
            name: "GET".into(),
            start_ns: 1_700_000_000_000_000_000,
            end_ns: 1_700_000_000_005_000_000,
            is_error: kind == SpanKind::Client,
            protocol: "http",
            attributes: vec![
                ("url.path", SpanValue::Text("/cart".into())),
                ("http.response.status_code", SpanValue::Integer(404)),
            ],
            resource: Resource {
                service: container.into(),
                container: container.into(),
                host: "web-1".into(),
                host_id: "".into(),
            },
        }
    }

    #[test]
    fn a_request_has_a_group_for_each_resource() {
        let spans = [
            span("/docker/b", SpanKind::Server),
            span("/docker/a", SpanKind::Client),
            span("/docker/b", SpanKind::Consumer),
        ];
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&*encode(&spans).unwrap()).read_to_end(&mut plain).unwrap();
        insta::assert_debug_snapshot!(ExportTraceServiceRequest::decode(&*plain).unwrap().resource_spans);
    }

    #[test]
    fn an_answer_says_how_many_spans_were_refused_and_why() {
        let partial_success =
            Some(ExportTracePartialSuccess { rejected_spans: 3, error_message: "too old".to_owned() });
        let answer = ExportTraceServiceResponse { partial_success }.encode_to_vec();
        assert_eq!(refused(&answer), (3, "too old".to_owned()));
        assert_eq!(refused(b""), (0, String::new()));
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = refused(&bytes);
        }
    }
}
