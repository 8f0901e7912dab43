//! The metrics that a live scrape would have given at a moment of the trace.

use std::io::Write;

use aftertrace_registry::{Config, Registry, exposition};

use crate::replay::{Replayed, replay};
use crate::{Moment, Progress, ReportError, Trace};

/// Exposition formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsFormat {
    /// Prometheus text format 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0 text.
    OpenMetrics,
}

/// Replays the trace up to `at`, or to its end, and prints the metrics of that moment.
///
/// # Errors
/// When `out` fails. What could not be read of the trace is in the answer.
pub fn write(
    trace: &Trace,
    at: Option<Moment>,
    format: MetricsFormat,
    out: &mut dyn Write,
    progress: &mut dyn Progress,
) -> Result<Replayed, ReportError> {
    let mut registry = Registry::new(Config::default());
    let until = at.map(|moment| moment.in_trace(trace));
    let replayed = replay(trace, &mut registry, until, progress);
    let families = registry.collect();
    let text = match format {
        MetricsFormat::Prometheus => exposition::prometheus_text(&families),
        MetricsFormat::OpenMetrics => exposition::openmetrics_text(&families),
    };
    out.write_all(text.as_bytes())?;
    Ok(replayed)
}
