//! The live mode: the registry that a replay uses, fed while events happen, and read over HTTP.
//!
//! In: what `record` takes, and where to listen. Out: `/metrics` for Prometheus, `/healthz`, `/readyz`, and a page that
//! says what is attached; with an output directory also the trace, in which each scrape has its place, so that a
//! replay can say what the scrape said.
//!
//! The recording thread owns the registry. A scrape is a request to it: the thread gives the scrape its place in the
//! order, collects the families, and the HTTP thread turns them into text. So a scrape waits for no source, and
//! events wait for no more than the collecting.

mod basic_auth;
mod http;
mod negotiate;
mod page;
pub mod push;
mod service;
mod shared;
#[cfg(test)]
mod tests;
mod tls;
mod web_config;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use aftertrace_schemas::tables::PushProtocol;

use self::push::{PushConfig, PushError};
use crate::capabilities;
use crate::config::RecordConfig;
use crate::record::{Observer, Outcome, RecordError, record_with};
pub(crate) use service::Service;
pub(crate) use shared::View;
pub use tls::TlsError;
pub use web_config::{WebConfig, WebConfigError};

/// What `serve` needs beside what `record` does.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// Where to answer HTTP.
    pub listen: SocketAddr,
    /// TLS, users and headers, in the format of Prometheus' exporters.
    pub web_config: Option<PathBuf>,
    /// Where else metrics go, and spans.
    pub push: PushConfig,
}

/// Where it listens.
#[derive(Debug, Clone, Copy)]
pub struct Listening {
    /// The address, with the port that the system chose when 0 was asked for.
    pub address: SocketAddr,
    /// Whether it speaks TLS.
    pub tls: bool,
}

/// Why the live mode cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// As asked for.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// There is no thread or event queue for HTTP.
    #[error("cannot serve HTTP: {0}")]
    Http(io::Error),
    /// TLS or users are not set up as they should be.
    #[error("--web-config-file: {0}")]
    WebConfig(#[from] WebConfigError),
    /// Metrics cannot be pushed.
    #[error(transparent)]
    Push(#[from] PushError),
    /// The host cannot be recorded any more.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Serves until a signal comes or the duration is over. `listening` is told the address.
///
/// # Errors
/// When the address is taken, or for what ends a recording.
pub fn serve(
    config: &RecordConfig,
    serve: &ServeConfig,
    listening: impl FnOnce(Listening),
    observer: &mut dyn Observer,
) -> Result<Outcome, ServeError> {
    let mut config = config.clone();
    config.registry.get_or_insert_default();
    capabilities::keep_all(config.keep_capabilities);
    // Before anything is attached: a port that is taken is the usual mistake.
    let (mut service, address) = Service::start(serve)?;
    listening(address);
    let outcome = record_with(&config, observer, Some(&mut service));
    for push in service.stop() {
        let (lost, waiting) = (push.lost_samples(), push.queued_samples);
        if lost > 0 || waiting > 0 || push.skipped_collections > 0 {
            observer.warning(&format!(
                "{}: {} {} were pushed, {lost} lost; {waiting} wait for the next start{}",
                push.endpoint,
                push.sent_samples,
                if push.protocol == PushProtocol::OtlpTraces { "spans" } else { "samples" },
                push.error.map(|why| format!(" ({why})")).unwrap_or_default()
            ));
        }
    }
    Ok(outcome?)
}
