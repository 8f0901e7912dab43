//! Reads traces: what happened, metrics, spans, SQL, and whether anything is missing.
//!
//! In: a trace directory, or a `.tar` of one. Out: text, JSON, rows or exposition text, written to whatever the caller
//! gives. Everything starts with [`Trace::open`]; what is damaged there is listed, and the rest is used.
//! Nothing here is bound to Linux, to root or to the host that was recorded.

mod archive;
mod damage;
pub mod format;
mod identity;
pub mod info;
pub mod metrics;
mod moment;
mod observations;
mod open;
mod progress;
pub mod replay;
pub mod scrapes;
pub mod spans;
pub mod sql;
pub mod summary;
mod table_file;
mod trace;
pub mod verify;

pub use damage::Damage;
pub use moment::{Moment, MomentError};
pub use observations::{Observations, Order};
pub use open::OpenError;
pub use progress::{NoProgress, Progress};
pub use trace::{Segment, TableFile, Trace};

/// How a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportFormat {
    /// For people.
    Text,
    /// One JSON object, for programs.
    Json,
}

/// Why a report could not be made or written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The output refused the report.
    #[error("cannot write the output: {0}")]
    Output(#[from] std::io::Error),
    /// The report is not JSON; never expected.
    #[error("cannot print as JSON: {0}")]
    Json(#[from] serde_json::Error),
}
