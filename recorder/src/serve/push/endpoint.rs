//! A receiver of pushed metrics: its URL, which is shown, and its credentials, which are not.

use std::fmt;
use std::str::FromStr;

use aftertrace_schemas::tables::PushProtocol;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ureq::http::uri::{Authority, PathAndQuery, Uri};
use ureq::http::{HeaderName, HeaderValue};

/// Path of OTLP's metrics where a URL has none (OTLP/HTTP, "Default path").
const OTLP_PATH: &str = "/v1/metrics";
/// As above, of spans.
const OTLP_TRACES_PATH: &str = "/v1/traces";

/// A URL that metrics can be pushed to.
#[derive(Clone, PartialEq, Eq)]
pub struct PushUrl {
    /// Without user and password.
    url: Uri,
    authorization: Option<HeaderValue>,
}

/// What was written is no such URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAPushUrl {
    /// It cannot be read as a URL.
    #[error("no URL such as https://metrics.example.org/api/v1/write")]
    Syntax,
    /// It is not one of HTTP's.
    #[error("a URL to push to begins with http:// or https://")]
    Scheme,
}

impl FromStr for PushUrl {
    type Err = NotAPushUrl;

    fn from_str(text: &str) -> Result<Self, NotAPushUrl> {
        let mut parts = text.parse::<Uri>().map_err(|_| NotAPushUrl::Syntax)?.into_parts();
        if !parts.scheme.as_ref().is_some_and(|scheme| matches!(scheme.as_str(), "http" | "https")) {
            return Err(NotAPushUrl::Scheme);
        }
        let authority = parts.authority.take().ok_or(NotAPushUrl::Syntax)?;
        let (user, host) = match authority.as_str().rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority.as_str()),
        };
        let authorization = user.map(basic).transpose()?;
        parts.authority = Some(host.parse::<Authority>().map_err(|_| NotAPushUrl::Syntax)?);
        let url = Uri::from_parts(parts).map_err(|_| NotAPushUrl::Syntax)?;
        Ok(Self { url, authorization })
    }
}

impl PushUrl {
    fn with_default_path(mut self, path: &'static str) -> Self {
        if self.url.path() == "/" && self.url.query().is_none() {
            let mut parts = self.url.clone().into_parts();
            parts.path_and_query = Some(PathAndQuery::from_static(path));
            if let Ok(with_path) = Uri::from_parts(parts) {
                self.url = with_path;
            }
        }
        self
    }
}

/// `user:password` of a URL as the header that says so (RFC 7617).
fn basic(user: &str) -> Result<HeaderValue, NotAPushUrl> {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let plain = [percent_decoded(name)?, b":".to_vec(), percent_decoded(password)?].concat();
    let mut header = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(plain)))
        .map_err(|_| NotAPushUrl::Syntax)?;
    header.set_sensitive(true);
    Ok(header)
}

/// RFC 3986, section 2.1.
fn percent_decoded(text: &str) -> Result<Vec<u8>, NotAPushUrl> {
    let mut parts = text.split('%');
    let mut decoded = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).ok_or(NotAPushUrl::Syntax)?;
        decoded.push(u8::from_str_radix(digits, 16).map_err(|_| NotAPushUrl::Syntax)?);
        decoded.extend(rest.bytes());
    }
    Ok(decoded)
}

/// Credentials are not for logs.
impl fmt::Debug for PushUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.url)
    }
}

/// Name and value of a header.
pub type Header = (HeaderName, HeaderValue);

/// A line is no header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {0} is no header such as \"Authorization: Bearer ...\"")]
pub struct NotAHeader(usize);

/// Headers, one a line; empty lines and those that begin with `#` are none.
///
/// # Errors
/// When a line is no header. The error does not repeat it: it may be a secret.
pub fn parse_headers(text: &str) -> Result<Vec<Header>, NotAHeader> {
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty() && !line.starts_with('#'));
    let header = |(line, number): (&str, usize)| {
        let (name, value) = line.split_once(':').ok_or(NotAHeader(number))?;
        let name = name.trim().parse().map_err(|_| NotAHeader(number))?;
        let mut value: HeaderValue = value.trim().parse().map_err(|_| NotAHeader(number))?;
        value.set_sensitive(true);
        Ok((name, value))
    };
    lines.map(header).collect()
}

/// Somewhere to push to.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// How.
    pub(super) protocol: PushProtocol,
    /// Where, as it is shown.
    pub(super) url: String,
    /// Sent with each request.
    pub(super) headers: Vec<Header>,
}

impl Endpoint {
    /// A receiver of remote write.
    pub fn remote_write(url: PushUrl, headers: &[Header]) -> Self {
        Self::new(PushProtocol::RemoteWrite, url, headers)
    }

    /// A receiver of OTLP. A URL without a path gets the default one.
    pub fn otlp(url: PushUrl, headers: &[Header]) -> Self {
        Self::new(PushProtocol::Otlp, url.with_default_path(OTLP_PATH), headers)
    }

    /// A receiver of spans by OTLP. A URL without a path gets the default one.
    pub fn otlp_traces(url: PushUrl, headers: &[Header]) -> Self {
        Self::new(PushProtocol::OtlpTraces, url.with_default_path(OTLP_TRACES_PATH), headers)
    }

    /// Whether it wants spans, and no metrics.
    pub(super) fn wants_spans(&self) -> bool {
        self.protocol == PushProtocol::OtlpTraces
    }

    fn new(protocol: PushProtocol, url: PushUrl, headers: &[Header]) -> Self {
        let authorization = url.authorization.map(|value| (ureq::http::header::AUTHORIZATION, value));
        let headers = authorization.into_iter().chain(headers.iter().cloned()).collect();
        Self { protocol, url: url.url.to_string(), headers }
    }

    /// A name for a folder: the same for the same receiver, and with nothing of its URL that is not for file names.
    pub(super) fn folder(&self) -> String {
        format!("{}-{:08x}", self.protocol, crc32c::crc32c(self.url.as_bytes()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn credentials_become_a_header_and_are_not_shown() {
        let url: PushUrl = "https://me:pass%40word%25@host:9090/api/v1/write?tenant=1".parse().unwrap();
        assert!(!format!("{url:?}").contains("pass"));
        let endpoint = Endpoint::remote_write(url, &[]);
        assert_eq!(endpoint.url, "https://host:9090/api/v1/write?tenant=1");
        let (_, authorization) = endpoint.headers.first().unwrap();
        assert_eq!(authorization, &format!("Basic {}", BASE64_STANDARD.encode("me:pass@word%")));
        assert!(!format!("{endpoint:?}").contains(authorization.to_str().unwrap()));
    }

    #[test]
    fn another_password_is_the_same_receiver_and_another_protocol_is_not() {
        let folder = |text: &str| Endpoint::remote_write(text.parse().unwrap(), &[]).folder();
        assert_eq!(folder("http://a:b@host/write"), folder("http://a:c@host/write"));
        assert_ne!(folder("http://host/write"), folder("http://host/write2"));
        assert_ne!(
            folder("http://host/write"),
            Endpoint::otlp("http://host/write".parse().unwrap(), &[]).folder()
        );
    }

    #[test]
    fn otlp_has_a_default_path() {
        let url = |text: &str| Endpoint::otlp(text.parse().unwrap(), &[]).url;
        assert_eq!(url("http://host:4318"), "http://host:4318/v1/metrics");
        assert_eq!(url("http://host:4318/"), "http://host:4318/v1/metrics");
        let traces = Endpoint::otlp_traces("http://host:4318".parse().unwrap(), &[]);
        assert_eq!(traces.url, "http://host:4318/v1/traces");
        assert_eq!(url("http://host/otlp/v1/metrics"), "http://host/otlp/v1/metrics");
    }

    #[test]
    fn a_file_of_headers_has_one_a_line_and_errors_do_not_repeat_secrets() {
        let headers =
            parse_headers("# for the tenant\n\nX-Scope-OrgID: shop\nAuthorization: Bearer abc\n").unwrap();
        let words: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(words, [("x-scope-orgid", "shop"), ("authorization", "Bearer abc")]);
        let error = parse_headers("X: y\nsecret").unwrap_err();
        assert_eq!(error.to_string(), "line 2 is no header such as \"Authorization: Bearer ...\"");
    }

    #[test]
    fn what_is_no_url_to_push_to_is_said() {
        for (text, error) in [
            ("", NotAPushUrl::Syntax),
            ("host:9090", NotAPushUrl::Scheme),
            ("ftp://host/", NotAPushUrl::Scheme),
            ("http://", NotAPushUrl::Syntax),
            ("http://a%zz@host/", NotAPushUrl::Syntax),
            ("http://a%c@host/", NotAPushUrl::Syntax),
        ] {
            assert_eq!(text.parse::<PushUrl>().unwrap_err(), error, "{text}");
        }
    }
}
