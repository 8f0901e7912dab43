//! OTLP's JSON: one `ExportTraceServiceRequest`, as a receiver takes it, and as a line of a file that collectors read.
//!
//! Rules: <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>: identifiers are hexadecimal, 64-bit
//! numbers are strings, enumerations are numbers.

use std::collections::BTreeMap;
use std::io::{self, Write};

use aftertrace_registry::{Resource, Span, SpanKind, SpanValue};
use serde::Serialize;

use super::Printer;

/// Spans that are gathered by where they are from before they are written.
const GATHERED: usize = 512;
/// `STATUS_CODE_ERROR`.
const ERROR: u32 = 2;

#[derive(Default)]
pub(super) struct OtlpJson {
    gathered: BTreeMap<Resource, Vec<Span>>,
    count: usize,
    has_written: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: Attributes<'a>,
    scope_spans: [ScopeSpans<'a>; 1],
}

#[derive(Serialize)]
struct Attributes<'a> {
    attributes: Vec<KeyValue<'a>>,
}

#[derive(Serialize)]
struct KeyValue<'a> {
    key: &'a str,
    value: AnyValue<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum AnyValue<'a> {
    StringValue(&'a str),
    IntValue(String),
}

#[derive(Serialize)]
struct ScopeSpans<'a> {
    scope: Scope,
    spans: Vec<OtlpSpan<'a>>,
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OtlpSpan<'a> {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<u8>,
    name: &'a str,
    kind: u32,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<KeyValue<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
}

#[derive(Serialize)]
struct Status {
    code: u32,
}

fn kind(kind: SpanKind) -> u32 {
    match kind {
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    }
}

fn attribute<'a>((key, value): &'a (&'static str, SpanValue)) -> KeyValue<'a> {
    let value = match value {
        SpanValue::Text(text) => AnyValue::StringValue(text),
        SpanValue::Integer(number) => AnyValue::IntValue(number.to_string()),
    };
    KeyValue { key, value }
}

fn otlp(span: &Span) -> OtlpSpan<'_> {
    OtlpSpan {
        trace_id: span.trace_id.to_string(),
        span_id: span.span_id.to_string(),
        parent_span_id: span.parent.map(|id| id.to_string()),
        flags: span.flags,
        name: &span.name,
        kind: kind(span.kind),
        start_time_unix_nano: span.start_ns.to_string(),
        end_time_unix_nano: span.end_ns.to_string(),
        attributes: span.attributes.iter().map(attribute).collect(),
        status: span.is_error.then_some(Status { code: ERROR }),
    }
}

impl OtlpJson {
    fn flush(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.count = 0;
        for (resource, spans) in std::mem::take(&mut self.gathered) {
            if std::mem::replace(&mut self.has_written, true) {
                out.write_all(b",")?;
            }
            let attributes = resource
                .attributes()
                .map(|(key, value)| KeyValue { key, value: AnyValue::StringValue(value) })
                .collect();
            let group = ResourceSpans {
                resource: Attributes { attributes },
                scope_spans: [ScopeSpans {
                    scope: Scope { name: "aftertrace", version: env!("CARGO_PKG_VERSION") },
                    spans: spans.iter().map(otlp).collect(),
                }],
            };
            serde_json::to_writer(&mut *out, &group)?;
        }
        Ok(())
    }
}

impl Printer for OtlpJson {
    fn begin(&mut self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"{\"resourceSpans\":[")
    }

    fn span(&mut self, span: Span, out: &mut dyn Write) -> io::Result<()> {
        self.gathered.entry(span.resource.clone()).or_default().push(span);
        self.count += 1;
        if self.count >= GATHERED { self.flush(out) } else { Ok(()) }
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.flush(out)?;
        out.write_all(b"]}\n")
    }
}
