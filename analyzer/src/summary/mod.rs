//! What happened, on one screen: host, time, completeness, containers, top talkers, findings.

mod fold;
mod text;

use std::io::Write;

use aftertrace_registry::{Config, Registry};
use serde::Serialize;

pub use fold::{Container, Talker, Totals};

use crate::format::Style;
use crate::verify::{Verification, verify_while};
use crate::{Progress, ReportError, ReportFormat, Trace, info};
use fold::Fold;

/// What happened in a trace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Host, architecture and kernel, in words.
    pub host: String,
    /// What was recorded, in words.
    pub recorded: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// Numbers of the whole trace.
    pub totals: Totals,
    /// All containers, the busiest first.
    pub containers: Vec<Container>,
    /// Who talked to whom: most connections first.
    pub talkers: Vec<Talker>,
    /// What stands out, in words.
    pub findings: Vec<String>,
    /// Whether the trace is whole.
    pub verification: Verification,
}

impl Summary {
    /// Reads the whole trace, once.
    pub fn new(trace: &Trace, progress: &mut dyn Progress) -> Self {
        let mut fold = Fold::default();
        let mut registry = Registry::new(Config::default());
        let verification = verify_while(trace, progress, &mut |observation| {
            registry.apply(observation);
            fold.apply(observation);
        });
        let (totals, mut containers, talkers) = fold.finish();
        for (container, restarts) in registry.restarts() {
            if let Some(known) = containers.iter_mut().find(|known| *known.container == *container) {
                known.restarts = restarts;
            }
        }
        let host = trace.manifest.as_ref().map(|manifest| {
            let host = &manifest.host;
            format!("{}, {}, kernel {}", host.hostname, host.architecture, host.kernel_version)
        });
        let recorded = trace.manifest.as_ref().map(|manifest| info::filters(&manifest.options));
        Self {
            host: host.unwrap_or_else(|| "unknown host".to_owned()),
            recorded: recorded.unwrap_or_else(|| "unknown filters".to_owned()),
            bytes: trace.bytes(),
            totals,
            containers,
            talkers,
            findings: registry.findings().into_iter().map(|finding| finding.line).collect(),
            verification,
        }
    }

    /// Prints it: at most 40 lines of 100 columns as text.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn write(&self, out: &mut dyn Write, format: ReportFormat, style: Style) -> Result<(), ReportError> {
        match format {
            ReportFormat::Json => {
                serde_json::to_writer_pretty(&mut *out, self)?;
                writeln!(out)?;
            }
            ReportFormat::Text => text::write(self, out, style)?,
        }
        Ok(())
    }
}
