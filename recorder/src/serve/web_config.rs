//! The `web-config.file` that Prometheus' exporters share: TLS, client certificates, basic auth, headers.
//!
//! In: the YAML file. Out: what the listener and the router need. The format is that of Prometheus' exporter toolkit
//! (`docs/web-configuration.md` there); a field that is not known here is an error, since ignoring one could open what
//! was meant to be closed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::basic_auth::BasicAuth;
use super::tls::{Tls, TlsError};

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WebConfigError {
    /// It cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// It is not what it should be.
    #[error("{}: {error}", path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// Where and what.
        error: serde_yaml_ng::Error,
    },
    /// A value cannot be used.
    #[error("{}: {reason}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Which value, and why not.
        reason: String,
    },
    /// Certificates or keys cannot be used.
    #[error("{}: {error}", path.display())]
    Tls {
        /// The web configuration that names them.
        path: PathBuf,
        /// Which, and why not.
        error: TlsError,
    },
}

/// The file's content.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a mapping")]
struct File {
    tls_server_config: Option<TlsServerConfig>,
    http_server_config: HttpServerConfig,
    basic_auth_users: BTreeMap<String, String>,
}

/// Of the toolkit's fields those that a TLS library without old ciphers can honour.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TlsServerConfig {
    pub(super) cert_file: Option<PathBuf>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) client_auth_type: Option<ClientAuthType>,
    pub(super) client_ca_file: Option<PathBuf>,
    pub(super) client_allowed_sans: Vec<String>,
    pub(super) min_version: Option<TlsVersion>,
    pub(super) max_version: Option<TlsVersion>,
    pub(super) cipher_suites: Vec<String>,
    pub(super) prefer_server_cipher_suites: Option<bool>,
    pub(super) curve_preferences: Vec<String>,
}

/// Whether clients show a certificate, by the names of Go's `crypto/tls`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum ClientAuthType {
    NoClientCert,
    RequestClientCert,
    #[serde(alias = "RequireClientCert")]
    RequireAnyClientCert,
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

/// Versions that the toolkit names. The library has none before 1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) enum TlsVersion {
    TLS10,
    TLS11,
    TLS12,
    TLS13,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HttpServerConfig {
    /// Accepted and of no effect: scrapes are HTTP/1.1 here.
    #[serde(rename = "http2")]
    _http2: Option<bool>,
    headers: BTreeMap<String, String>,
}

/// The headers that the format allows, as the toolkit does.
const HEADERS: [&str; 5] = [
    "content-security-policy",
    "strict-transport-security",
    "x-content-type-options",
    "x-frame-options",
    "x-xss-protection",
];

/// What the file asks for.
#[derive(Debug, Default)]
pub struct WebConfig {
    pub(super) tls: Option<Tls>,
    pub(super) auth: Option<BasicAuth>,
    pub(super) headers: Vec<(axum::http::HeaderName, axum::http::HeaderValue)>,
}

impl WebConfig {
    /// Reads a file. Paths in it are relative to it.
    ///
    /// # Errors
    /// When the file, or a certificate or key that it names, cannot be used.
    pub fn load(path: &Path) -> Result<Self, WebConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| WebConfigError::Read { path: path.to_owned(), error })?;
        let value = |reason: String| WebConfigError::Value { path: path.to_owned(), reason };
        // An empty file asks for nothing.
        let file: Option<File> = serde_yaml_ng::from_str(&text)
            .map_err(|error| WebConfigError::Yaml { path: path.to_owned(), error })?;
        let File { tls_server_config, http_server_config, basic_auth_users } = file.unwrap_or_default();
        let folder = path.parent().unwrap_or(Path::new(""));
        let tls = tls_server_config
            .map(|config| Tls::new(&config, folder))
            .transpose()
            .map_err(|error| WebConfigError::Tls { path: path.to_owned(), error })?;
        let auth = (!basic_auth_users.is_empty())
            .then(|| BasicAuth::new(basic_auth_users))
            .transpose()
            .map_err(|user| value(format!("basic_auth_users: the password of {user} is no bcrypt hash; make one with `htpasswd -nBC 10 {user}`")))?;
        let mut headers = Vec::new();
        for (name, given) in http_server_config.headers {
            let known = HEADERS.contains(&name.to_ascii_lowercase().as_str());
            let header = known.then(|| name.parse().ok()).flatten().zip(given.parse().ok());
            headers.push(header.ok_or_else(|| {
                value(format!(
                    "http_server_config.headers: {name}: {given} is not one of {}",
                    HEADERS.join(", ")
                ))
            })?);
        }
        Ok(Self { tls, auth, headers })
    }
}
