//! What is said inside TLS: by real servers and clients with OpenSSL, GnuTLS and Go's library, counted exactly.

use std::path::PathBuf;
use std::process::Command;

use crate::protocols::{assert_nowhere, has, record_script, sum, written};
use crate::spans::{linked, of_kind, spans};
use crate::support::{AFTERTRACE, Trace, needs_recording};

/// The script after a key and its certificate were made in `$DIRECTORY`. `attached FILE` waits until there are probes in
/// the library or program of that name.
pub fn with_certificate(script: &str) -> String {
    format!(
        "cd $DIRECTORY
openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2> openssl.log
attached() {{
    until {AFTERTRACE} analyze sql trace --format csv -c \"SELECT 'there' AS here FROM probes WHERE state = 'active'
        AND probe LIKE 'tls:%/$1'\" 2> /dev/null | grep -qx there; do sleep 0.2; done
}}
{script}"
    )
}

/// A program beside this file.
fn beside(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/end_to_end/tls", name].iter().collect()
}

/// Both ends saw so many requests, and nothing is left over.
fn assert_requests(trace: &Trace, found: f64, missing: f64) {
    for name in ["container_http_requests_total", "container_http_inbound_requests_total"] {
        assert_eq!(sum(trace, name, &[("status", "2xx")]), found, "{name}");
        assert_eq!(sum(trace, name, &[("status", "4xx")]), missing, "{name}");
        assert_eq!(sum(trace, name, &[]), found + missing, "{name}");
    }
    assert_eq!(sum(trace, "aftertrace_l7_unpaired_total", &[("protocol", "http"), ("reason", "gap")]), 0.0);
    assert_eq!(trace.number("SELECT count(*) FROM losses"), 0);
    assert_eq!(trace.number("SELECT count(*) FROM socket_data WHERE NOT tls"), 0);
}

/// Each span of the server is linked to one of the client.
fn assert_linked(trace: &Trace, count: usize) {
    let spans = spans(&trace.path(), &[]);
    assert_eq!((linked(&spans), of_kind(&spans, "server")), (count, count));
}

#[test]
fn requests_of_curl_and_of_gnutls_to_nginx_are_those_of_its_log() {
    needs_recording!();
    if !has("nginx") || !has("curl") || !has("gnutls-cli") || !has("openssl") {
        return;
    }
    let script = with_certificate(
        "cat > nginx.conf <<END
daemon off; pid nginx.pid; error_log error.log; worker_processes 2; events {}
http { access_log access.log; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u;
scgi_temp_path s; keepalive_requests 500; server { listen 127.0.0.1:20443 ssl; ssl_certificate cert.pem;
ssl_certificate_key key.pem; location / { return 200 hello; } location /missing { return 404; } } }
END
nginx -p $DIRECTORY -c $DIRECTORY/nginx.conf & server=$!
trap 'kill $server; wait $server || true' EXIT
url=https://localhost:20443
until curl -s --cacert cert.pem $url/first > /dev/null; do sleep 0.1; done
# Not in arguments, nor in this text, which are recorded.
secret=Planted; secret=${secret}InTls
printf 'Authorization: Bearer %s\\nCookie: session=%s\\n' $secret $secret > head
curl -s --http1.1 --cacert cert.pem -H @head \"$url/one[1-2000]\" > /dev/null
curl -s --http1.1 --cacert cert.pem -H @head -Z --parallel-max 8 \"$url/two[1-1000]\" \
    \"$url/missing?n=[1-500]\" > /dev/null 2>&1
for i in 1 2 3 4 5; do curl -s --cacert cert.pem $url/short > /dev/null; done
# It is the client that closes: a server that does may reset the connection before the client has decrypted the answer.
(printf 'GET /gnutls HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n'; sleep 1) |
    gnutls-cli --x509cafile cert.pem -p 20443 localhost > gnutls.log",
    );
    let trace = record_script(&script, &[]);
    let log = written(&trace, "access.log");
    let missing = log.lines().filter(|line| line.contains("\" 404 ")).count();
    let found = log.lines().filter(|line| line.contains("\" 200 ")).count();
    assert_eq!((found, missing, log.lines().count()), (3007, 500, 3507), "{}", written(&trace, "gnutls.log"));
    assert_requests(&trace, 3007.0, 500.0);
    assert_linked(&trace, 3507);
    assert_nowhere(&trace, "PlantedInTls");
}

#[test]
fn what_python_says_is_seen_whoever_moves_the_bytes() {
    needs_recording!();
    if !has("python3") || !has("openssl") {
        return;
    }
    let talk = beside("talk.py");
    let script = with_certificate(&format!(
        "attached 'libssl.so%'
python3 {0} 20444 1000 asyncio
python3 {0} 20445 1000 sockets",
        talk.display()
    ));
    let trace = record_script(&script, &[]);
    assert_requests(&trace, 1500.0, 500.0);
    assert_linked(&trace, 2000);
}

#[test]
fn what_node_says_is_seen_though_it_has_openssl_in_itself() {
    needs_recording!();
    if !has("node") || !has("openssl") {
        return;
    }
    let talk = beside("talk.js");
    // Debian's is linked to the library, others have it in themselves.
    let script = with_certificate(&format!(
        "node {} 20446 1000 & node=$!
path=$(readlink -f $(ldd $(command -v node) | awk '/libssl/ {{ print $3 }}') || readlink -f $(command -v node))
attached $(basename $path)
touch go
wait $node",
        talk.display()
    ));
    let trace = record_script(&script, &[]);
    assert_requests(&trace, 750.0, 250.0);
    assert_linked(&trace, 1000);
}

#[test]
fn what_go_says_is_seen_also_when_it_is_stripped() {
    needs_recording!();
    if !has("go") || !has("openssl") {
        return;
    }
    let built = tempfile::tempdir().unwrap();
    for (name, flags) in [("talk", ""), ("talk-stripped", "-s -w")] {
        let program = built.path().join(name);
        let output = Command::new("go")
            .args(["build", "-ldflags", flags, "-o"])
            .arg(&program)
            .arg(beside("talk.go"))
            .env("CGO_ENABLED", "0")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", crate::support::describe(&output));
        let script = with_certificate(&format!(
            "{0} serve 127.0.0.1:20447 & server=$!
trap 'kill $server; wait $server || true' EXIT
attached {name}
{0} ask 127.0.0.1:20447 4000",
            program.display()
        ));
        let trace = record_script(&script, &[]);
        assert_requests(&trace, 3000.0, 1000.0);
        assert_linked(&trace, 4000);
    }
}

#[test]
fn an_answer_that_is_decrypted_after_the_server_has_reset_the_connection_is_an_answer() {
    needs_recording!();
    if !has("python3") || !has("openssl") {
        return;
    }
    let script = with_certificate(&format!(
        "attached 'libssl.so%'
python3 {} 20449 30",
        beside("reset.py").display()
    ));
    let trace = record_script(&script, &[]);
    assert_requests(&trace, 30.0, 0.0);
    assert_eq!(sum(&trace, "aftertrace_unanswered_requests_total", &[]), 0.0);
}
