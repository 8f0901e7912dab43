//! Requests to a metadata service: short deadlines, small answers, no proxies, no redirects.
//!
//! In: a path. Out: the text of the answer, or why there is none.

use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use ureq::Agent;
use ureq::http::StatusCode;

/// An answer is some lines, or a document of some kilobytes.
const ANSWER_LIMIT_BYTES: u64 = 256 << 10;
/// Longest value that is taken over.
const VALUE_LIMIT_BYTES: usize = 256;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoAnswer {
    /// The service was not reached, or is too slow.
    #[error("{0}")]
    Unreachable(String),
    /// It answers, but not this.
    #[error("{path}: status {status}")]
    Status { path: String, status: u16 },
    /// The answer is not of the form that it should have.
    #[error("{path}: the answer is not understood")]
    Garbage { path: String },
    /// All requests together took too long.
    #[error("no time was left")]
    OutOfTime,
}

/// A metadata service.
pub(super) struct Service {
    agent: Agent,
    base: String,
    until: Instant,
    longest: Duration,
}

impl Service {
    /// The service at `base`: all requests end within `budget`, each within `longest`.
    pub(super) fn new(base: &str, budget: Duration, longest: Duration) -> Self {
        let config = Agent::config_builder()
            // What the environment says of proxies is not for an address of this very link.
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .user_agent(concat!("aftertrace/", env!("CARGO_PKG_VERSION")))
            .max_idle_connections(0)
            .build();
        Self { agent: config.new_agent(), base: base.to_owned(), until: Instant::now() + budget, longest }
    }

    /// The text at a path.
    pub(super) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Result<String, NoAnswer> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.config().timeout_global(Some(self.time_left()?)).build().call();
        text(path, answer)
    }

    /// A value at a path, without blanks around it; empty when there is none.
    pub(super) fn value(&self, path: &str, headers: &[(&str, &str)]) -> Result<String, NoAnswer> {
        match self.get(path, headers) {
            Ok(text) => Ok(value(&text)),
            Err(NoAnswer::Status { .. }) => Ok(String::new()),
            Err(other) => Err(other),
        }
    }

    /// The document at a path.
    pub(super) fn json<T: DeserializeOwned>(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<T, NoAnswer> {
        let text = self.get(path, headers)?;
        serde_json::from_str(&text).map_err(|_| NoAnswer::Garbage { path: path.to_owned() })
    }

    /// What a PUT of `body` gives: a token.
    pub(super) fn put(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Result<String, NoAnswer> {
        let mut request = self.agent.put(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.config().timeout_global(Some(self.time_left()?)).build().send(body);
        text(path, answer)
    }

    fn time_left(&self) -> Result<Duration, NoAnswer> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(NoAnswer::OutOfTime) } else { Ok(left.min(self.longest)) }
    }
}

type Answer = Result<ureq::http::Response<ureq::Body>, ureq::Error>;

fn text(path: &str, answer: Answer) -> Result<String, NoAnswer> {
    let mut answer = answer.map_err(|error| NoAnswer::Unreachable(error.to_string()))?;
    let status = answer.status();
    if status != StatusCode::OK {
        return Err(NoAnswer::Status { path: path.to_owned(), status: status.as_u16() });
    }
    let body = answer.body_mut().with_config().limit(ANSWER_LIMIT_BYTES).read_to_string();
    body.map_err(|error| match error {
        ureq::Error::Timeout(_) | ureq::Error::Io(_) => NoAnswer::Unreachable(error.to_string()),
        _ => NoAnswer::Garbage { path: path.to_owned() },
    })
}

/// A value as rows have it: one short line. Pages of an error that came as an answer are none.
pub(super) fn value(text: &str) -> String {
    let text = text.trim();
    let is_value = text.len() <= VALUE_LIMIT_BYTES && !text.contains(|c: char| c.is_control() || c == '<');
    if is_value { text.to_owned() } else { String::new() }
}
