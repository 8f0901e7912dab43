//! The metrics that a live scrape would have given at a moment of the trace.

use std::io::Write;

use aftertrace_registry::metrics::Family;
use aftertrace_registry::{Registry, exposition};

use crate::replay::{Replayed, replay};
use crate::scrapes::registry_config;
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
    let mut registry = Registry::new(registry_config(trace));
    let until = at.map(|moment| moment.in_trace(trace));
    let replayed = replay(trace, &mut registry, until, progress);
    out.write_all(text(&registry.collect(), format).as_bytes())?;
    Ok(replayed)
}

pub(crate) fn text(families: &[Family], format: MetricsFormat) -> String {
    match format {
        MetricsFormat::Prometheus => exposition::prometheus_text(families),
        MetricsFormat::OpenMetrics => exposition::openmetrics_text(families),
    }
}
