//! TLS for the listener: the server's certificate, read again when its file changes, and clients' certificates.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::web_config::{ClientAuthType, TlsServerConfig, TlsVersion};

/// Handshakes that are under way at most; more connections wait in the system's queue.
const HANDSHAKES: usize = 64;
/// A handshake that takes longer is given up.
const DEADLINE: Duration = Duration::from_secs(5);

/// Why TLS cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that is needed is not named.
    #[error("tls_server_config: {0} is missing")]
    Missing(&'static str),
    /// A file cannot be used.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A value that cannot be honoured.
    #[error("tls_server_config: {0}")]
    Value(String),
}

/// How connections are secured.
#[derive(Clone)]
pub(super) struct Tls(TlsAcceptor);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// As the configuration asks for; its paths are relative to `folder`.
    pub(super) fn new(config: &TlsServerConfig, folder: &Path) -> Result<Self, TlsError> {
        let certificate = folder.join(config.cert_file.as_ref().ok_or(TlsError::Missing("cert_file"))?);
        let key = folder.join(config.key_file.as_ref().ok_or(TlsError::Missing("key_file"))?);
        if !config.client_allowed_sans.is_empty() {
            return Err(TlsError::Value("client_allowed_sans is not supported here".to_owned()));
        }
        let provider = Arc::new(provider(config)?);
        let versions = versions(config)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(|error| TlsError::Value(error.to_string()))?;
        let authority = config.client_ca_file.as_ref().map(|path| folder.join(path));
        let asked = config.client_auth_type.unwrap_or(ClientAuthType::NoClientCert);
        let builder = match (asked, authority) {
            (ClientAuthType::NoClientCert, Some(_)) => {
                return Err(TlsError::Value(
                    "client_ca_file without client_auth_type: RequireAndVerifyClientCert would let everybody in"
                        .to_owned(),
                ));
            }
            (ClientAuthType::NoClientCert | ClientAuthType::RequestClientCert, _) => {
                builder.with_no_client_auth()
            }
            (ClientAuthType::RequireAnyClientCert, _) => {
                return Err(TlsError::Value(
                    "client_auth_type: a certificate that nobody verifies is not supported; use RequireAndVerifyClientCert"
                        .to_owned(),
                ));
            }
            (_, None) => return Err(TlsError::Missing("client_ca_file")),
            (asked, Some(authority)) => {
                let roots = Arc::new(roots(&authority)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
                let verifier = if asked == ClientAuthType::VerifyClientCertIfGiven {
                    verifier.allow_unauthenticated()
                } else {
                    verifier
                };
                let verifier = verifier
                    .build()
                    .map_err(|error| TlsError::File { path: authority, reason: error.to_string() })?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let identity = Identity::load(certificate, key, provider)?;
        let mut server = builder.with_cert_resolver(Arc::new(identity));
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(server))))
    }
}

/// The library's algorithms, or those of them that the file names by Go's names.
fn provider(config: &TlsServerConfig) -> Result<CryptoProvider, TlsError> {
    let mut provider = rustls::crypto::ring::default_provider();
    // Go says TLS_AES_128_GCM_SHA256 where the library says TLS13_AES_128_GCM_SHA256.
    let plain = |name: &str| name.replacen("TLS13_", "TLS_", 1);
    if !config.cipher_suites.is_empty() {
        provider.cipher_suites.retain(|suite| {
            let name = plain(&format!("{:?}", suite.suite()));
            config.cipher_suites.contains(&name)
        });
        if provider.cipher_suites.is_empty() {
            return Err(TlsError::Value("cipher_suites: none of them is supported here".to_owned()));
        }
    }
    if !config.curve_preferences.is_empty() {
        let all = std::mem::take(&mut provider.kx_groups);
        for wanted in &config.curve_preferences {
            let name = match wanted.as_str() {
                "CurveP256" => "secp256r1",
                "CurveP384" => "secp384r1",
                other => other,
            };
            let group = all.iter().find(|group| format!("{:?}", group.name()) == name);
            provider.kx_groups.extend(group);
        }
        if provider.kx_groups.is_empty() {
            return Err(TlsError::Value("curve_preferences: none of them is supported here".to_owned()));
        }
    }
    Ok(provider)
}

fn versions(config: &TlsServerConfig) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
    let least = config.min_version.unwrap_or(TlsVersion::TLS12);
    let most = config.max_version.unwrap_or(TlsVersion::TLS13);
    let all = [(TlsVersion::TLS12, &rustls::version::TLS12), (TlsVersion::TLS13, &rustls::version::TLS13)];
    let versions: Vec<_> = all
        .into_iter()
        .filter(|(version, _)| (least..=most).contains(version))
        .map(|(_, known)| known)
        .collect();
    if versions.is_empty() {
        return Err(TlsError::Value(format!(
            "min_version {least:?} to max_version {most:?} leaves none; TLS12 and TLS13 are supported"
        )));
    }
    Ok(versions)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let file = |reason: String| TlsError::File { path: path.to_owned(), reason };
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|error| file(error.to_string()))?.collect();
    let found = found.map_err(|error| file(error.to_string()))?;
    if found.is_empty() { Err(file("no certificate in it".to_owned())) } else { Ok(found) }
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store
            .add(certificate)
            .map_err(|error| TlsError::File { path: path.to_owned(), reason: error.to_string() })?;
    }
    Ok(store)
}

/// The server's certificate and key, which are read again when a file changes: certificates are renewed in place.
struct Identity {
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    loaded: Mutex<(Option<[SystemTime; 2]>, Arc<CertifiedKey>)>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl Identity {
    fn load(certificate: PathBuf, key: PathBuf, provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let changed = changed(&certificate, &key);
        let loaded = read(&certificate, &key, &provider)?;
        Ok(Self { certificate, key, provider, loaded: Mutex::new((changed, Arc::new(loaded))) })
    }
}

fn changed(certificate: &Path, key: &Path) -> Option<[SystemTime; 2]> {
    let of = |path: &Path| std::fs::metadata(path).and_then(|file| file.modified()).ok();
    Some([of(certificate)?, of(key)?])
}

fn read(certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let file = |path: &Path, reason: String| TlsError::File { path: path.to_owned(), reason };
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| file(key, error.to_string()))?;
    CertifiedKey::from_der(chain, private, provider).map_err(|error| file(key, error.to_string()))
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let now = changed(&self.certificate, &self.key);
        if now.is_some() && now != loaded.0 {
            // Half of a renewal: the old ones serve until both fit.
            if let Ok(renewed) = read(&self.certificate, &self.key, &self.provider) {
                *loaded = (now, Arc::new(renewed));
            }
        }
        Some(Arc::clone(&loaded.1))
    }
}

/// Accepts connections and secures them, several at a time, so that a client that says nothing holds up no other.
pub(super) struct TlsListener {
    tcp: TcpListener,
    tls: Tls,
    handshakes: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl TlsListener {
    pub(super) fn new(tcp: TcpListener, tls: Tls) -> Self {
        Self { tcp, tls, handshakes: JoinSet::new() }
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                // axum's own handling of errors: it waits when the system has no more descriptors.
                (stream, address) = axum::serve::Listener::accept(&mut self.tcp), if self.handshakes.len() < HANDSHAKES => {
                    let acceptor = self.tls.0.clone();
                    self.handshakes.spawn(async move {
                        let secured = tokio::time::timeout(DEADLINE, acceptor.accept(stream)).await;
                        Some((secured.ok()?.ok()?, address))
                    });
                }
                Some(ended) = self.handshakes.join_next() => {
                    if let Ok(Some(secured)) = ended {
                        return secured;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}
