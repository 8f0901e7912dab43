//! A line a span. Columns have their widths from the beginning, since the rest of the spans is not known yet.

use std::io::{self, Write};

use aftertrace_registry::{Span, SpanValue};

use super::Printer;
use crate::format::{Style, duration, precise_time, shorten};

const SERVICE_WIDTH: usize = 32;
const NAME_WIDTH: usize = 36;

pub(super) struct Table {
    pub(super) style: Style,
}

impl Printer for Table {
    fn begin(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let (time, took, kind, trace) = ("started", "took", "kind", "trace");
        let heading = format!(
            "{time:<27}  {took:>8}  {kind:<8}  {:<SERVICE_WIDTH$}  {:<NAME_WIDTH$}  {trace:<32}  peer",
            "service", "what"
        );
        writeln!(out, "{}", self.style.heading(&heading))
    }

    fn span(&mut self, span: Span, out: &mut dyn Write) -> io::Result<()> {
        let service = shorten(&span.resource.service, SERVICE_WIDTH);
        let name = shorten(&format!("{} {}", span.protocol, span.name), NAME_WIDTH);
        let peer = match (span.attribute("network.peer.address"), span.attribute("network.peer.port")) {
            (Some(SpanValue::Text(address)), Some(SpanValue::Integer(port))) => {
                let is_long = address.contains(':');
                if is_long { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
            }
            _ => String::new(),
        };
        let what = match span.attribute("error.type").filter(|_| span.is_error) {
            Some(SpanValue::Text(why)) => self.style.bad(&format!("  error: {why}")),
            _ => String::new(),
        };
        let line = format!(
            "{:<27}  {:>8}  {:<8}  {service:<SERVICE_WIDTH$}  {name:<NAME_WIDTH$}  {}  {peer}{what}",
            precise_time(span.start_ns),
            duration(span.duration_ns()),
            span.kind.word(),
            span.trace_id,
        );
        writeln!(out, "{}", line.trim_end())
    }

    fn end(&mut self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}
