//! The spans of a trace: requests as OpenTelemetry tells of them, made by the registry in a replay.
//!
//! In: a trace, and which spans are wanted. Out: OTLP as JSON, JSON lines or a table, written while the replay goes on.

mod json_lines;
mod otlp_json;
mod table;

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::time::Duration;

pub use aftertrace_registry::Pattern;
use aftertrace_registry::{Config, Registry, Span, SpanConfig};

use crate::format::Style;
use crate::replay::{Replayed, drive};
use crate::scrapes::registry_config;
use crate::{Progress, ReportError, Trace};

/// How spans are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanFormat {
    /// One `ExportTraceServiceRequest` in OTLP's JSON, on one line.
    OtlpJson,
    /// A JSON object a span.
    JsonLines,
    /// A line a span, for people.
    Table,
}

/// Which spans are wanted: those that all of these admit.
#[derive(Debug, Clone, Default)]
pub struct SpanFilter {
    /// Of containers whose id one of these matches; of all when there is none.
    pub containers: Vec<Pattern>,
    /// Of these protocols; of all when there is none.
    pub protocols: Vec<String>,
    /// Of this trace, by its id in hexadecimal digits.
    pub trace_id: Option<String>,
    /// Only those that failed.
    pub errors: bool,
    /// Only those that took longer.
    pub slower_than: Option<Duration>,
    /// No more than the first so many.
    pub limit: Option<u64>,
}

impl SpanFilter {
    fn admits(&self, span: &Span) -> bool {
        let is_one = self.containers.is_empty()
            || self.containers.iter().any(|pattern| pattern.is_match(&span.resource.container));
        let is_spoken = self.protocols.is_empty() || self.protocols.iter().any(|name| name == span.protocol);
        is_one
            && is_spoken
            && (span.is_error || !self.errors)
            && self.slower_than.is_none_or(|least| u128::from(span.duration_ns()) > least.as_nanos())
            && self.trace_id.as_ref().is_none_or(|id| span.trace_id.to_string().eq_ignore_ascii_case(id))
    }
}

/// Names of the protocols that spans may be of.
pub fn protocols() -> impl Iterator<Item = &'static str> {
    aftertrace_registry::protocols()
}

/// What prints spans.
trait Printer {
    fn begin(&mut self, out: &mut dyn Write) -> io::Result<()>;
    fn span(&mut self, span: Span, out: &mut dyn Write) -> io::Result<()>;
    fn end(&mut self, out: &mut dyn Write) -> io::Result<()>;
}

/// Replays the trace and prints its spans as they end. With `keeps_literals` the values stay in statements and URLs.
///
/// # Errors
/// When `out` fails. What could not be read of the trace is in the answer.
pub fn write(
    trace: &Trace,
    filter: &SpanFilter,
    keeps_literals: bool,
    format: SpanFormat,
    style: Style,
    out: &mut dyn Write,
    progress: &mut dyn Progress,
) -> Result<Replayed, ReportError> {
    let spans = SpanConfig { per_second: None, keeps_literals, ..SpanConfig::default() };
    let mut registry = Registry::new(Config { spans: Some(spans), ..registry_config(trace) });
    let mut printer: Box<dyn Printer> = match format {
        SpanFormat::OtlpJson => Box::new(otlp_json::OtlpJson::default()),
        SpanFormat::JsonLines => Box::new(json_lines::JsonLines),
        SpanFormat::Table => Box::new(table::Table { style }),
    };
    printer.begin(out)?;
    let mut left = filter.limit.unwrap_or(u64::MAX);
    let mut failure = None;
    let rows = trace.segments.iter().map(crate::Segment::rows).sum();
    let replayed = drive(trace.observations(), rows, None, progress, &mut |observation| {
        if left == 0 {
            return ControlFlow::Break(());
        }
        registry.apply(observation);
        for span in registry.drain_spans().filter(|span| filter.admits(span)) {
            if left == 0 {
                break;
            }
            left -= 1;
            if let Err(error) = printer.span(span, out) {
                failure = Some(error);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    });
    if let Some(error) = failure {
        return Err(error.into());
    }
    printer.end(out)?;
    Ok(replayed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests;
