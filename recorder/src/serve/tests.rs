//! The HTTP side with real clients (curl) and real certificates (openssl); nothing is recorded.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use tempfile::TempDir;

use super::push::PushConfig;
use super::service::Service;
use super::{ServeConfig, ServeError};

fn run(program: &str, arguments: &[&str], folder: &Path) -> Output {
    Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; `cargo xtask setup` installs what tests need"))
}

/// A certificate authority `ca.pem`, and `NAME.pem` with `NAME.key` signed by it for 127.0.0.1.
fn certificates(folder: &Path, names: &[&str]) {
    let must = |arguments: &[&str]| {
        let output = run("openssl", arguments, folder);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    must(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
        "-subj",
        "/CN=test ca",
        "-days",
        "2",
    ]);
    std::fs::write(folder.join("san"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    for name in names {
        let (key, request, certificate) =
            (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        must(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            &key,
            "-out",
            &request,
            "-subj",
            &format!("/CN={name}"),
        ]);
        must(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-out",
            &certificate,
            "-days",
            "2",
            "-extfile",
            "san",
        ]);
    }
}

/// A server with this web configuration in `folder`; its address.
fn serve(folder: &Path, yaml: &str) -> (Service, String) {
    let file = folder.join("web.yml");
    std::fs::write(&file, yaml).unwrap();
    let config = ServeConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        web_config: Some(file),
        push: PushConfig::default(),
    };
    let (service, listening) = Service::start(&config).unwrap();
    (service, listening.address.to_string())
}

/// Status code that curl saw, or what it said.
fn curl(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let all =
        [&["-s", "-S", "-m", "10", "-o", "body", "-D", "head", "-w", "%{http_code}"], arguments].concat();
    let output = run("curl", &all, folder);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn refusal(folder: &Path, yaml: &str) -> String {
    let file = folder.join("web.yml");
    std::fs::write(&file, yaml).unwrap();
    let config = ServeConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        web_config: Some(file),
        push: PushConfig::default(),
    };
    match Service::start(&config) {
        Err(error @ ServeError::WebConfig(_)) => {
            error.to_string().replace(&folder.display().to_string(), "FOLDER")
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("accepted: {yaml}"),
    }
}

#[test]
fn tls_is_spoken_and_a_client_that_speaks_plainly_or_says_nothing_holds_up_nobody() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    certificates(folder, &["server"]);
    let (service, address) =
        serve(folder, "tls_server_config: {cert_file: server.pem, key_file: server.key}");
    // It says nothing, and stays.
    let silent = TcpStream::connect(&address).unwrap();
    let url = format!("https://{address}/healthz");
    assert_eq!(curl(folder, &["--cacert", "ca.pem", &url]), Ok("200".to_owned()));
    assert!(curl(folder, &[&url]).is_err(), "a certificate of nobody knows whom");
    let mut plain = TcpStream::connect(&address).unwrap();
    plain.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut said = Vec::new();
    // An alert and an end, or a reset: not silence.
    assert!(plain.read_to_end(&mut said).is_ok() || !said.is_empty());
    drop(silent);
    service.stop();
}

#[test]
fn a_client_certificate_is_asked_for_and_verified() {
    let (folder, stranger) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let folder = folder.path();
    certificates(folder, &["server", "client"]);
    certificates(stranger.path(), &["client"]);
    let (service, address) = serve(
        folder,
        "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n  \
         client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n",
    );
    let url = format!("https://{address}/healthz");
    let with = ["--cacert", "ca.pem", "--cert", "client.pem", "--key", "client.key", &url];
    assert_eq!(curl(folder, &with), Ok("200".to_owned()));
    assert!(curl(folder, &["--cacert", "ca.pem", &url]).is_err(), "without a certificate");
    let (other, key) = (stranger.path().join("client.pem"), stranger.path().join("client.key"));
    let with =
        ["--cacert", "ca.pem", "--cert", other.to_str().unwrap(), "--key", key.to_str().unwrap(), &url];
    assert!(curl(folder, &with).is_err(), "with a certificate of another authority");
    service.stop();
}

#[test]
fn a_renewed_certificate_is_used_without_a_restart() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    certificates(folder, &["server"]);
    let (service, address) =
        serve(folder, "tls_server_config: {cert_file: server.pem, key_file: server.key}");
    let url = format!("https://{address}/healthz");
    assert_eq!(curl(folder, &["--cacert", "ca.pem", &url]), Ok("200".to_owned()));
    // Another authority: only the new certificate is verified by it.
    certificates(folder, &["server"]);
    assert_eq!(curl(folder, &["--cacert", "ca.pem", &url]), Ok("200".to_owned()));
    service.stop();
}

#[test]
fn users_need_their_password_and_headers_are_added() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let hash = bcrypt::hash("secret", 4).unwrap();
    let (service, address) = serve(
        folder,
        &format!(
            "basic_auth_users: {{alice: {hash}}}\nhttp_server_config: {{headers: {{X-Frame-Options: deny}}}}\n"
        ),
    );
    let url = format!("http://{address}/healthz");
    assert_eq!(curl(folder, &["-u", "alice:secret", &url]), Ok("200".to_owned()));
    let head = std::fs::read_to_string(folder.join("head")).unwrap();
    assert!(head.contains("x-frame-options: deny"), "{head}");
    for user in ["alice:wrong", "bob:secret"] {
        assert_eq!(curl(folder, &["-u", user, &url]), Ok("401".to_owned()), "{user}");
    }
    assert_eq!(curl(folder, &[&url]), Ok("401".to_owned()));
    let head = std::fs::read_to_string(folder.join("head")).unwrap();
    assert!(head.contains("www-authenticate: Basic realm=\"aftertrace\""), "{head}");
    service.stop();
}

#[test]
fn mistakes_in_the_file_are_named() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    certificates(folder, &["server"]);
    std::fs::write(folder.join("empty.pem"), "").unwrap();
    let files = "cert_file: server.pem, key_file: server.key";
    let mistakes = [
        "tls_server_config: {cert_file: server.pem}".to_owned(),
        "tls_server_config: {cert_file: nothing.pem, key_file: server.key}".to_owned(),
        "tls_server_config: {cert_file: empty.pem, key_file: server.key}".to_owned(),
        format!("tls_server_config: {{{files}, client_auth_type: RequireAndVerifyClientCert}}"),
        format!("tls_server_config: {{{files}, client_ca_file: ca.pem}}"),
        format!("tls_server_config: {{{files}, min_version: TLS13, max_version: TLS12}}"),
        format!("tls_server_config: {{{files}, cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]}}"),
        "basic_auth_user: {alice: secret}".to_owned(),
        "basic_auth_users: {alice: secret}".to_owned(),
        "http_server_config: {headers: {X-Anything: goes}}".to_owned(),
        "- a\n- list\n".to_owned(),
    ];
    let told: Vec<String> =
        mistakes.iter().map(|yaml| format!("{yaml}\n  {}", refusal(folder, yaml))).collect();
    insta::assert_snapshot!(told.join("\n"));
}
