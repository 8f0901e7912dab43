//! One request to a receiver, and what its answer means.

use std::sync::Arc;
use std::time::Duration;

use aftertrace_schemas::tables::PushProtocol;
use ureq::http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use ureq::http::{HeaderName, Response, StatusCode};
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body};

use super::endpoint::Endpoint;
use super::{otlp, remote_write, traces};

/// An answer has to be there after this time; Prometheus waits as long.
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Answers are read no further.
const ANSWER_LIMIT_BYTES: u64 = 64 << 10;
/// Of a refusal, so much is shown.
const WORDS: usize = 200;
/// A receiver that wants to be left alone for longer is asked all the same.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);
const VERSION: HeaderName = HeaderName::from_static("x-prometheus-remote-write-version");
/// By this a receiver of version 2.0 says that it is one.
const WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-samples-written");

/// What came of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The receiver has it, but for so many samples that it refused.
    Taken { refused: u64, why: Option<String> },
    /// The receiver will never take it.
    Refused { why: String },
    /// It may take it later: not before `wait`, when it said so.
    Failed { why: String, is_answer: bool, wait: Option<Duration> },
}

/// Which version of remote write the receiver speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// 2.0, which it has not confirmed yet.
    Untried,
    V2,
    V1,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    endpoint: Endpoint,
    version: Version,
}

/// An answer, as far as it matters.
struct Answer {
    status: StatusCode,
    written: Option<u64>,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

impl Client {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            // Credentials go to nobody but who was named.
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .user_agent(concat!("aftertrace/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: config.new_agent(), endpoint, version: Version::Untried }
    }

    /// Sends a batch of so many samples.
    pub(super) fn send(&mut self, body: &[u8], samples: u64) -> Verdict {
        match self.endpoint.protocol {
            PushProtocol::Otlp => self.otlp(body, otlp::refused),
            PushProtocol::OtlpTraces => self.otlp(body, traces::refused),
            _ => self.remote_write(body, samples),
        }
    }

    fn otlp(&self, body: &[u8], refused: impl FnOnce(&[u8]) -> (u64, String)) -> Verdict {
        match self.post(otlp::TYPE, &[(CONTENT_ENCODING, "gzip")], body) {
            Ok(answer) if answer.status.is_success() => {
                let (refused, why) = refused(&answer.body);
                Verdict::Taken { refused, why: (refused > 0).then_some(why) }
            }
            other => verdict(other),
        }
    }

    fn remote_write(&mut self, body: &[u8], samples: u64) -> Verdict {
        if self.version != Version::V1 {
            let answer = self.post_remote_write(remote_write::V2_TYPE, remote_write::V2_VERSION, body);
            match &answer {
                Ok(Answer { written: Some(written), status, .. }) => {
                    self.version = Version::V2;
                    let refused = samples.saturating_sub(*written);
                    // What was written of a batch that was refused is not sent again.
                    if status.is_success() || (*written > 0 && is_final(*status)) {
                        let why = (refused > 0).then(|| format!("it took {written} of {samples} samples"));
                        return Verdict::Taken { refused, why };
                    }
                    return verdict(answer);
                }
                // The specification has a receiver that knows 2.0 say what it wrote: this one took it for a 1.0 request
                // and found nothing in it, or did not understand it at all.
                Ok(answer) if answer.status.is_success() || is_about_the_form(answer.status) => {}
                _ => return verdict(answer),
            }
            if self.version == Version::V2 {
                return verdict(answer);
            }
        }
        let converted = match remote_write::downgrade(body) {
            Ok(converted) => converted,
            Err(error) => return Verdict::Refused { why: error.to_string() },
        };
        let answer = self.post_remote_write(remote_write::V1_TYPE, remote_write::V1_VERSION, &converted);
        if answer.as_ref().is_ok_and(|answer| answer.status.is_success()) {
            self.version = Version::V1;
            return Verdict::Taken { refused: 0, why: None };
        }
        verdict(answer)
    }

    fn post_remote_write(
        &self,
        content_type: &str,
        version: &str,
        body: &[u8],
    ) -> Result<Answer, ureq::Error> {
        self.post(content_type, &[(CONTENT_ENCODING, "snappy"), (VERSION, version)], body)
    }

    fn post(
        &self,
        content_type: &str,
        headers: &[(HeaderName, &str)],
        body: &[u8],
    ) -> Result<Answer, ureq::Error> {
        let mut request = self.agent.post(&self.endpoint.url).header(CONTENT_TYPE, content_type);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        for (name, value) in &self.endpoint.headers {
            request = request.header(name, value);
        }
        let mut response = request.send(body)?;
        let number = |response: &Response<Body>, name| {
            response.headers().get(name).and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok())
        };
        Ok(Answer {
            status: response.status(),
            written: number(&response, WRITTEN),
            retry_after: number(&response, RETRY_AFTER)
                .map(|seconds| Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER)),
            // An answer whose body breaks off is an answer.
            body: response
                .body_mut()
                .with_config()
                .limit(ANSWER_LIMIT_BYTES)
                .read_to_vec()
                .unwrap_or_default(),
        })
    }
}

/// What any other answer than a success means.
fn verdict(answer: Result<Answer, ureq::Error>) -> Verdict {
    match answer {
        Err(error) => Verdict::Failed { why: error.to_string(), is_answer: false, wait: None },
        Ok(answer) => {
            let text = String::from_utf8_lossy(&answer.body);
            let words: String =
                text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS).collect();
            let status = answer.status.to_string();
            let why = if words.is_empty() { status } else { format!("{status}: {words}") };
            if is_final(answer.status) {
                Verdict::Refused { why }
            } else {
                Verdict::Failed { why, is_answer: true, wait: answer.retry_after }
            }
        }
    }
}

/// Whether the same request would be answered in the same way again. Redirects are not followed, so they stay; wrong
/// credentials and a wrong path are mended while batches wait.
fn is_final(status: StatusCode) -> bool {
    let is_mended = matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
    );
    status.is_client_error() && !is_mended
}

/// Whether a receiver says so of a request that it cannot read.
fn is_about_the_form(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::BAD_REQUEST | StatusCode::NOT_ACCEPTABLE
    )
}
