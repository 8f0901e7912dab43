//! HTTP/1.1, HTTP/2 and gRPC by several servers and clients, as the clients count them.

use super::{PYTHON, assert_requests, beside};
use crate::protocols::{has, record_script, written};
use crate::support::needs_recording;
use crate::tls::with_certificate;

const METRICS: [&str; 2] = ["container_http_requests_total", "container_http_inbound_requests_total"];

/// 10,000 requests of h2load to nghttpd, every third of them for a file that is not there.
fn many_streams(port: u16, tls: &str) {
    let (flag, files, scheme) =
        if tls == "tls" { ("", "key.pem cert.pem", "https") } else { ("--no-tls", "", "http") };
    let script = with_certificate(&format!(
        r#"
mkdir www
echo small > www/small
head -c 20000 /dev/zero > www/large
nghttpd {flag} -a 127.0.0.1 -d www {port} {files} > server.log 2>&1 & server=$!
trap 'kill $server; wait $server || true' EXIT
until (exec 3<> /dev/tcp/127.0.0.1/{port}) 2> /dev/null; do kill -0 $server; sleep 0.1; done
attached 'libssl.so%'
url={scheme}://127.0.0.1:{port}
h2load -n 9999 -c 3 -m 3 $url/small $url/none $url/large > load
"#
    ));
    let trace = record_script(&script, &[]);
    let said = written(&trace, "load");
    assert!(said.contains("6666 2xx, 0 3xx, 3333 4xx, 0 5xx"), "{said}");
    assert_requests(&trace, METRICS, &[("2xx", 6666.0), ("4xx", 3333.0)]);
}

#[test]
fn requests_of_h2load_to_nghttpd_are_those_it_counts() {
    needs_recording!();
    if has("h2load") && has("nghttpd") && has("openssl") {
        many_streams(21600, "plain");
    }
}

#[test]
fn requests_of_h2load_to_nghttpd_inside_tls_are_those_it_counts() {
    needs_recording!();
    if has("h2load") && has("nghttpd") && has("openssl") {
        many_streams(21601, "tls");
    }
}

#[test]
fn calls_of_grpc_have_the_status_that_the_client_was_told() {
    needs_recording!();
    if !has("python3") {
        return;
    }
    let script = format!("{PYTHON} {} 21602 > $DIRECTORY/calls", beside("calls.py"));
    let trace = record_script(&script, &[]);
    let said = written(&trace, "calls");
    let by_status: Vec<(String, f64)> = said
        .lines()
        .map(|line| {
            let (status, count) = line.split_once(' ').unwrap();
            (format!("grpc:{status}"), count.parse().unwrap())
        })
        .collect();
    assert_eq!(by_status.len(), 5, "{said}");
    let by_status: Vec<(&str, f64)> =
        by_status.iter().map(|(status, count)| (status.as_str(), *count)).collect();
    assert_requests(&trace, METRICS, &by_status);
}

#[test]
fn pipelined_requests_of_http_1_are_those_of_the_access_log() {
    needs_recording!();
    if !has("nginx") {
        return;
    }
    let script = format!(
        r#"
cd $DIRECTORY
mkdir www
echo small > www/small
head -c 30000 /dev/zero > www/large
cat > nginx.conf <<END
daemon off; worker_processes 1; pid nginx.pid; error_log error.log; user root; events {{ }}
http {{
  access_log access.log combined; keepalive_requests 100000; client_body_temp_path t1; proxy_temp_path t2;
  fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
  server {{ listen 127.0.0.1:21603; root $DIRECTORY/www; location /away {{ return 302 /small; }}
    location /broken {{ return 503; }} location /chunked {{ ssi on; ssi_types *; alias $DIRECTORY/www/; }} }}
}}
END
nginx -p $DIRECTORY -c $DIRECTORY/nginx.conf & server=$!
trap 'kill $server; wait $server || true' EXIT
until (exec 3<> /dev/tcp/127.0.0.1/21603) 2> /dev/null; do kill -0 $server; sleep 0.1; done
{PYTHON} {} 21603 1000
"#,
        beside("pipeline.py")
    );
    let trace = record_script(&script, &[]);
    let log = written(&trace, "access.log");
    let served = |class: char| -> f64 {
        log.lines().filter(|line| line.split('"').nth(2).unwrap().trim().starts_with(class)).count() as f64
    };
    let by_status = ["2xx", "3xx", "4xx", "5xx"].map(|class| (class, served(class.chars().next().unwrap())));
    assert!(
        by_status.iter().all(|(_, count)| *count > 900.0) && log.lines().count() > 10_000,
        "{by_status:?}"
    );
    assert_requests(&trace, METRICS, &by_status);
}
