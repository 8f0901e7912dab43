//! A JSON object a span, for `jq` and the like.

use std::io::{self, Write};

use aftertrace_registry::{Span, SpanValue};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::Printer;
use crate::format::precise_time;

pub(super) struct JsonLines;

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    duration_ns: u64,
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    kind: &'static str,
    name: &'a str,
    error: bool,
    protocol: &'static str,
    service: &'a str,
    container: &'a str,
    host: &'a str,
    attributes: Attributes<'a>,
}

struct Attributes<'a>(&'a [(&'static str, SpanValue)]);

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in self.0 {
            match value {
                SpanValue::Text(text) => map.serialize_entry(key, text)?,
                SpanValue::Integer(number) => map.serialize_entry(key, number)?,
            }
        }
        map.end()
    }
}

impl Printer for JsonLines {
    fn begin(&mut self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }

    fn span(&mut self, span: Span, out: &mut dyn Write) -> io::Result<()> {
        let line = Line {
            time: precise_time(span.start_ns),
            duration_ns: span.duration_ns(),
            trace_id: span.trace_id.to_string(),
            span_id: span.span_id.to_string(),
            parent_span_id: span.parent.map(|id| id.to_string()),
            kind: span.kind.word(),
            name: &span.name,
            error: span.is_error,
            protocol: span.protocol,
            service: &span.resource.service,
            container: &span.resource.container,
            host: &span.resource.host,
            attributes: Attributes(&span.attributes),
        };
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")
    }

    fn end(&mut self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}
