//! Spans: of real servers and clients, linked; the same ones live, to a receiver of OTLP, as in a replay.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::protocols::{has, record_script, with_redis};
use crate::serve::{flags, units};
use crate::serving::Serving;
use crate::support::{AFTERTRACE, Trace, describe, needs_recording};

/// The spans of a trace.
pub fn spans(trace: &Path, flags: &[&str]) -> Vec<Value> {
    let output = Command::new(AFTERTRACE)
        .args(["analyze", "spans", "--format", "jsonl"])
        .args(flags)
        .arg(trace)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", describe(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text<'a>(span: &'a Value, key: &str) -> &'a str {
    span[key].as_str().unwrap_or_default()
}

/// Checks each span of a server that has a parent, and counts them.
pub fn linked(spans: &[Value]) -> usize {
    let clients: BTreeMap<&str, &Value> = spans
        .iter()
        .filter(|span| text(span, "kind") == "client")
        .map(|span| (text(span, "span_id"), span))
        .collect();
    let mut count = 0;
    for server in spans.iter().filter(|span| text(span, "kind") == "server") {
        let Some(client) = clients.get(text(server, "parent_span_id")) else { continue };
        assert_eq!(text(client, "trace_id"), text(server, "trace_id"));
        assert_eq!(text(client, "name"), text(server, "name"));
        for key in ["db.query.text", "url.path", "http.response.status_code"] {
            assert_eq!(client["attributes"][key], server["attributes"][key], "{client} {server}");
        }
        count += 1;
    }
    count
}

pub fn of_kind(spans: &[Value], kind: &str) -> usize {
    spans.iter().filter(|span| text(span, "kind") == kind).count()
}

#[test]
fn every_command_of_a_pipeline_is_linked_to_its_client() {
    needs_recording!();
    if !has("redis-server") {
        return;
    }
    let script = with_redis(
        20385,
        "for number in $(seq 1000); do echo SET key-$number value-$number; echo INCR key-$number; done | redis-cli -p $port > /dev/null || true
redis-benchmark -p $port -n 4000 -c 4 -P 8 -t get -q > /dev/null",
    );
    let trace = record_script(&script, &[]);
    trace.assert_whole();
    let all = spans(&trace.path(), &["--protocol", "redis"]);
    let servers = of_kind(&all, "server");
    assert!(servers > 6000, "{servers}");
    assert_eq!((of_kind(&all, "client"), linked(&all)), (servers, servers));
    let failed = spans(&trace.path(), &["--protocol", "redis", "--errors"]);
    assert_eq!(failed.len(), 2000, "each INCR, as both ends see it");
    assert!(failed.iter().all(|span| text(span, "name") == "INCR"));
    // Values are left out, unless they are asked for.
    let set = |flags: &[&str]| {
        let all = spans(&trace.path(), flags);
        let span = all.iter().find(|span| text(span, "name") == "SET").unwrap();
        text(&span["attributes"], "db.query.text").to_owned()
    };
    assert!(!set(&[]).contains("value-1"));
    assert!(set(&["--raw-statements"]).contains("value-1"));
    let limited = spans(&trace.path(), &["--limit", "7"]);
    assert_eq!(limited, spans(&trace.path(), &[])[..7]);
}

#[test]
fn a_trace_context_of_a_request_is_its_spans() {
    needs_recording!();
    if !has("python3") || !has("curl") {
        return;
    }
    let script = "cd $DIRECTORY; echo small > page
python3 -m http.server --bind 127.0.0.1 20386 > log 2>&1 &
server=$!
trap 'kill $server; wait $server || true' EXIT
until curl -sf http://127.0.0.1:20386/page > /dev/null; do sleep 0.1; done
curl -s -o /dev/null -H 'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' http://127.0.0.1:20386/page
curl -s -o /dev/null -H 'X-B3-TraceId: 1af7651916cd43dd8448eb211c80319c' -H 'X-B3-SpanId: b7ad6b7169203331' http://127.0.0.1:20386/none
for number in 1 2 3; do curl -s -o /dev/null \"http://127.0.0.1:20386/page?number=$number\"; done";
    let trace = record_script(script, &[]);
    for (id, path, failed) in
        [("0af7651916cd43dd8448eb211c80319c", "/page", 0), ("1af7651916cd43dd8448eb211c80319c", "/none", 1)]
    {
        let both = spans(&trace.path(), &["--trace-id", id]);
        assert_eq!(both.len(), 2, "{both:?}");
        for span in &both {
            assert_eq!(text(span, "parent_span_id"), "b7ad6b7169203331");
            assert_eq!(text(&span["attributes"], "url.path"), path);
        }
        // That something is not there is an error of who asked.
        assert_eq!(both.iter().filter(|span| span["error"] == true).count(), failed);
    }
    let all = spans(&trace.path(), &["--protocol", "http"]);
    let with_context = all.iter().filter(|span| text(span, "parent_span_id") == "b7ad6b7169203331").count();
    assert_eq!(linked(&all) * 2, all.len() - with_context);
    let output = Command::new(AFTERTRACE)
        .args(["analyze", "spans", "--format", "otlp-json"])
        .arg(trace.path())
        .output()
        .unwrap();
    let request: Value = serde_json::from_slice(&output.stdout).unwrap();
    let groups = request["resourceSpans"].as_array().unwrap();
    let of = |group: &Value| group["scopeSpans"][0]["spans"].as_array().unwrap().len();
    assert_eq!(groups.iter().map(of).sum::<usize>(), spans(&trace.path(), &[]).len());
}

/// A receiver of OTLP over HTTP, which keeps the bodies.
struct Receiver {
    address: SocketAddr,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Receiver {
    /// One that is away for the first request.
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&bodies);
        std::thread::spawn(move || {
            let mut number = 0;
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                while let Some(body) = request(&mut stream) {
                    number += 1;
                    let status = if number == 1 { "503 Service Unavailable" } else { "200 OK" };
                    if number > 1 {
                        kept.lock().unwrap().push(body);
                    }
                    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                    stream.get_mut().write_all(answer.as_bytes()).unwrap();
                }
            }
        });
        Self { address, bodies }
    }

    /// What came so far, unpacked.
    fn plain(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for body in self.bodies.lock().unwrap().iter() {
            let mut gzip =
                Command::new("gzip").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let mut input = gzip.stdin.take().unwrap();
            let body = body.clone();
            let writer = std::thread::spawn(move || input.write_all(&body).unwrap());
            all.extend(gzip.wait_with_output().unwrap().stdout);
            writer.join().unwrap();
        }
        all
    }
}

/// The body of the next request for spans.
fn request(stream: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let (mut first, mut length) = (String::new(), 0);
    if stream.read_line(&mut first).ok()? == 0 {
        return None;
    }
    assert!(first.starts_with("POST /v1/traces HTTP/1.1"), "{first}");
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let line = line.trim().to_ascii_lowercase();
        if let Some(digits) = line.strip_prefix("content-length:") {
            length = digits.trim().parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(body)
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digit = |digit: u8| (digit as char).to_digit(16).unwrap() as u8;
    hexadecimal.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Two units that talk to each other until at least so many spans were taken; the trace, what the receiver got, and the
/// containers.
fn pushed(port: u16, least: f64, more: &[&str]) -> (Trace, Receiver, Vec<String>) {
    let unit = units(&[&format!("spans-shop-{port}"), &format!("spans-redis-{port}")]);
    let receiver = Receiver::start();
    let folder = tempfile::tempdir().unwrap();
    let mut words = flags(&unit);
    words.extend(["--push-dir".to_owned(), folder.path().to_str().unwrap().to_owned()]);
    words.extend(["--otlp-traces".to_owned(), format!("http://{}", receiver.address)]);
    words.extend(more.iter().map(|word| (*word).to_owned()));
    let serving = Serving::start(&words, true);
    let mut server =
        unit[1].start(&format!("exec redis-server --port {port} --save '' --appendonly no --daemonize no"));
    unit[0].run(&format!(
        "until redis-cli -p {port} ping > /dev/null 2>&1; do sleep 0.05; done
for number in $(seq 100); do echo INCR counter; echo SET text word; echo INCR text; done | redis-cli -p {port} > /dev/null || true"
    ));
    let begun = Instant::now();
    loop {
        let text = serving.get("/metrics", &[]).text();
        let mut lines = text.lines().filter(|line| line.starts_with("aftertrace_push_samples_total{"));
        let taken = lines.find_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        if taken.is_some_and(|taken| taken >= least) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{taken:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    server.kill().unwrap();
    server.wait().unwrap();
    let saved = serving.folder().join("scrape.prom");
    std::fs::write(&saved, serving.get("/metrics", &[]).body).unwrap();
    let trace = serving.stop();
    assert!(trace.output.status.success(), "{}", describe(&trace.output));
    let output = crate::serve::verify_against(&trace.path(), &[trace.path().with_file_name("scrape.prom")]);
    assert!(output.status.success(), "{}", describe(&output));
    (trace, receiver, unit.iter().map(|unit| unit.path().to_owned()).collect())
}

#[test]
fn what_a_receiver_of_otlp_is_sent_is_what_the_trace_says() {
    needs_recording!();
    if !has("redis-server") {
        return;
    }
    let (trace, receiver, containers) = pushed(20387, 600.0, &["--spans-per-second", "10000"]);
    let all = spans(&trace.path(), &["--protocol", "redis"]);
    let servers = of_kind(&all, "server");
    assert!(servers > 300, "{servers}");
    assert_eq!(linked(&all), servers);
    let plain = receiver.plain();
    for span in &all {
        for key in ["span_id", "trace_id"] {
            assert!(contains(&plain, &bytes(text(span, key))), "{span}");
        }
    }
    for word in containers.iter().map(String::as_str).chain(["service.name", "db.query.text"]) {
        assert!(contains(&plain, word.as_bytes()), "{word}");
    }
    let of_containers: BTreeSet<&str> = all.iter().map(|span| text(span, "container")).collect();
    assert_eq!(of_containers, containers.iter().map(String::as_str).collect());
    let taken = [("protocol", "otlp_traces")];
    assert!(trace.metric("aftertrace_push_samples_total", &taken).unwrap() >= 600.0);
    assert!(trace.metric("aftertrace_push_retries_total", &taken).unwrap() >= 1.0);
    assert_eq!(trace.metric("aftertrace_spans_dropped_total", &[("reason", "sampled")]), None);
}

#[test]
fn when_there_are_too_many_spans_those_that_failed_are_sent() {
    needs_recording!();
    if !has("redis-server") {
        return;
    }
    let (trace, receiver, _) = pushed(20388, 20.0, &["--spans-per-second", "20"]);
    let all = spans(&trace.path(), &["--protocol", "redis"]);
    let plain = receiver.plain();
    let sent: Vec<&Value> =
        all.iter().filter(|span| contains(&plain, &bytes(text(span, "span_id")))).collect();
    let dropped = trace.metric("aftertrace_spans_dropped_total", &[("reason", "sampled")]).unwrap();
    assert!(sent.len() < all.len() && dropped > 0.0, "{} of {}", sent.len(), all.len());
    let failed = sent.iter().filter(|span| span["error"] == true).count();
    assert!(failed * 2 > sent.len(), "{failed} of {} failed", sent.len());
}

#[test]
fn flags_of_spans_that_make_no_sense_are_wrong_usage() {
    for words in [
        &["analyze", "spans", "trace", "--protocol", "smtp"][..],
        &["analyze", "spans", "trace", "--container", "["],
        &["analyze", "spans", "trace", "--slower-than", "soon"],
        &["serve", "--spans-per-second", "5"],
        &["serve", "--otlp-traces", "ftp://host"],
    ] {
        let output = Command::new(AFTERTRACE).args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
    }
    let output = Command::new(AFTERTRACE).args(["analyze", "spans", "/nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
}
