//! Pushing to a receiver. It is a stand-in: Debian's Prometheus takes remote write 1.0 and no OTLP (the end-to-end
//! tests push to it). This one keeps what it was sent and answers what the test says.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};

use aftertrace_registry::metrics::MetricKind;
use tempfile::TempDir;

use super::collection::tests::series;
use super::remote_write::{Request, WriteRequest, decode};
use super::*;

const V2_TAKEN: &str = "HTTP/1.1 204 No Content\r\nX-Prometheus-Remote-Write-Samples-Written: 1\r\n\r\n";
const TAKEN: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const AWAY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 7\r\n\r\nno room";

/// A request, as the receiver saw it.
struct Seen {
    path: String,
    headers: Vec<String>,
    body: Vec<u8>,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The one sample of a request of version 2.0.
    fn v2_value(&self) -> f64 {
        decode::<Request>(&self.body).unwrap().timeseries[0].samples[0].value
    }

    fn v1_value(&self) -> f64 {
        decode::<WriteRequest>(&self.body).unwrap().timeseries[0].samples[0].value
    }
}

/// The stand-in. It answers in another thread, with what `answer` says of each request.
struct StandIn {
    address: SocketAddr,
    seen: Receiver<Seen>,
}

impl StandIn {
    fn start(answer: impl Fn(&Seen) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, seen) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if converse(&stream.unwrap(), &answer, &sender).is_none() {
                    return;
                }
            }
        });
        Self { address, seen }
    }

    fn url(&self, path: &str) -> PushUrl {
        format!("http://{}{path}", self.address).parse().unwrap()
    }

    fn next(&self) -> Seen {
        self.seen.recv_timeout(Duration::from_secs(30)).unwrap()
    }
}

fn converse(stream: &TcpStream, answer: &impl Fn(&Seen) -> String, sender: &Sender<Seen>) -> Option<()> {
    let mut lines = BufReader::new(stream);
    let mut line = || {
        let mut line = String::new();
        lines.read_line(&mut line).ok().map(|_| line.trim_end().to_owned())
    };
    let Some(first) = line().filter(|first| !first.is_empty()) else { return Some(()) };
    let headers: Vec<String> = std::iter::from_fn(|| line().filter(|line| !line.is_empty())).collect();
    let mut seen = Seen { path: first.split(' ').nth(1)?.to_owned(), headers, body: Vec::new() };
    let length = seen.header("content-length")?.parse().ok()?;
    lines.take(length).read_to_end(&mut seen.body).ok()?;
    let text = answer(&seen).replacen("\r\n", "\r\nConnection: close\r\n", 1);
    let mut stream = stream;
    let _ = stream.write_all(text.as_bytes());
    sender.send(seen).ok()
}

fn config(directory: &Path, endpoint: Endpoint) -> PushConfig {
    PushConfig { endpoints: vec![endpoint], directory: directory.to_owned(), ..PushConfig::default() }
}

/// One family with one series.
fn one(value: f64) -> Vec<Family> {
    vec![Family {
        name: "a_total",
        help: "words",
        kind: MetricKind::Counter,
        series: vec![series(&[], value)],
    }]
}

fn start(directory: &TempDir, endpoint: Endpoint) -> Pushing {
    Pushing::start(&config(directory.path(), endpoint)).unwrap().unwrap()
}

/// Waits until the account says what it should.
fn until(pushing: &Pushing, what: impl Fn(&PushStats) -> bool) -> PushStats {
    let begin = Instant::now();
    loop {
        let stats = pushing.stats().remove(0);
        if what(&stats) {
            return stats;
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "{stats:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_receiver_of_version_2_gets_version_2_with_the_credentials_of_the_url() {
    let receiver = StandIn::start(|_| V2_TAKEN.to_owned());
    let directory = tempfile::tempdir().unwrap();
    let url = format!("http://me:secret@{}/api/v1/write", receiver.address);
    let mut pushing = start(&directory, Endpoint::remote_write(url.parse().unwrap(), &[]));
    pushing.offer("web-1".to_owned(), one(3.0));
    let seen = receiver.next();
    assert_eq!(seen.path, "/api/v1/write");
    assert_eq!(seen.header("content-type"), Some(remote_write::V2_TYPE));
    assert_eq!(seen.header("content-encoding"), Some("snappy"));
    assert_eq!(seen.header("x-prometheus-remote-write-version"), Some("2.0.0"));
    assert!(seen.header("authorization").unwrap().starts_with("Basic "));
    assert!(seen.header("user-agent").unwrap().starts_with("aftertrace/"));
    assert!((seen.v2_value() - 3.0).abs() < f64::EPSILON);
    let stats = until(&pushing, |stats| stats.sent_samples == 1);
    assert_eq!((stats.queued_batches, stats.lost_samples(), stats.retries), (0, 0, 0));
    assert!(stats.succeeded.is_some() && !format!("{stats:?}").contains("secret"));
}

#[test]
fn receivers_that_know_only_version_1_get_that_from_then_on() {
    for answer in [
        TAKEN,
        "HTTP/1.1 415 Unsupported Media Type\r\n\r\n",
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 6\r\n\r\nproto?",
    ] {
        let receiver = StandIn::start(move |seen| {
            let is_v1 = seen.header("content-type") == Some(remote_write::V1_TYPE);
            if is_v1 { TAKEN.to_owned() } else { answer.to_owned() }
        });
        let directory = tempfile::tempdir().unwrap();
        let mut pushing = start(&directory, Endpoint::remote_write(receiver.url("/"), &[]));
        pushing.offer("web-1".to_owned(), one(3.0));
        assert_eq!(receiver.next().header("content-type"), Some(remote_write::V2_TYPE));
        let second = receiver.next();
        assert_eq!(second.header("x-prometheus-remote-write-version"), Some("0.1.0"));
        assert!((second.v1_value() - 3.0).abs() < f64::EPSILON);
        pushing.offer("web-1".to_owned(), one(4.0));
        assert!((receiver.next().v1_value() - 4.0).abs() < f64::EPSILON);
        let stats = until(&pushing, |stats| stats.sent_samples == 2);
        assert_eq!((stats.lost_samples(), stats.error), (0, None), "{answer}");
    }
}

#[test]
fn what_a_receiver_of_version_2_did_not_write_is_counted_as_lost() {
    let receiver = StandIn::start(|_| {
        "HTTP/1.1 400 Bad Request\r\nX-Prometheus-Remote-Write-Samples-Written: 1\r\n\r\n".to_owned()
    });
    let directory = tempfile::tempdir().unwrap();
    let mut pushing = start(&directory, Endpoint::remote_write(receiver.url("/"), &[]));
    let mut families = one(1.0);
    families[0].series = (0..5).map(|n| series(&[("n", &n.to_string())], 1.0)).collect();
    pushing.offer("web-1".to_owned(), families);
    let stats = until(&pushing, |stats| stats.queued_batches == 0 && stats.sent_samples > 0);
    assert_eq!((stats.sent_samples, stats.lost_rejected), (1, 4));
    assert_eq!(stats.error.as_deref(), Some("it took 1 of 5 samples"));
}

#[test]
fn otlp_counts_what_the_receiver_refused() {
    let receiver = StandIn::start(|_| {
        // ExportMetricsServiceResponse { partial_success { rejected_data_points: 1, error_message: "old" } }
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n\x0a\x07\x08\x01\x12\x03old".to_owned()
    });
    let directory = tempfile::tempdir().unwrap();
    let mut pushing = start(&directory, Endpoint::otlp(receiver.url(""), &[]));
    let mut families = one(1.0);
    families[0].series.push(series(&[("n", "2")], 2.0));
    pushing.offer("web-1".to_owned(), families);
    let seen = receiver.next();
    assert_eq!((seen.path.as_str(), seen.header("content-encoding")), ("/v1/metrics", Some("gzip")));
    let stats = until(&pushing, |stats| stats.sent_samples > 0);
    assert_eq!((stats.sent_samples, stats.lost_rejected, stats.error.as_deref()), (1, 1, Some("old")));
}

#[test]
fn a_receiver_that_is_away_gets_everything_in_order_when_it_is_back() {
    let calls = std::sync::atomic::AtomicU32::new(0);
    let receiver = StandIn::start(move |_| {
        let is_away = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 2;
        if is_away { AWAY.to_owned() } else { V2_TAKEN.to_owned() }
    });
    let directory = tempfile::tempdir().unwrap();
    let mut pushing = start(&directory, Endpoint::remote_write(receiver.url("/"), &[]));
    pushing.offer("web-1".to_owned(), one(1.0));
    receiver.next();
    let stats = until(&pushing, |stats| stats.retries == 1);
    assert_eq!(stats.error.as_deref(), Some("503 Service Unavailable: no room"));
    pushing.offer("web-1".to_owned(), one(2.0));
    let values: Vec<f64> = (0..3).map(|_| receiver.next().v2_value()).collect();
    assert_eq!(values, [1.0, 1.0, 2.0]);
    let stats = until(&pushing, |stats| stats.sent_samples == 2);
    assert_eq!((stats.retries, stats.lost_samples(), stats.error), (2, 0, None));
}

#[test]
fn what_waits_at_the_end_is_sent_after_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = StandIn::start(|_| V2_TAKEN.to_owned());
    // Nobody listens there yet: a port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody: PushUrl = format!("http://{free}/").parse().unwrap();
    let mut pushing = start(&directory, Endpoint::remote_write(nobody, &[]));
    pushing.offer("web-1".to_owned(), one(1.0));
    pushing.offer("web-1".to_owned(), one(2.0));
    let stats = pushing.stop().remove(0);
    assert_eq!((stats.queued_samples, stats.sent_samples, stats.lost_samples()), (2, 0, 0));

    // The folder is that of the receiver: here the one that listens is given the queue of the other.
    let folders: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let endpoint = Endpoint::remote_write(receiver.url("/"), &[]);
    std::fs::rename(&folders[0], directory.path().join(endpoint.folder())).unwrap();
    let pushing = start(&directory, endpoint);
    assert_eq!([receiver.next().v2_value(), receiver.next().v2_value()], [1.0, 2.0]);
    until(&pushing, |stats| stats.sent_samples == 2 && stats.queued_batches == 0);
}

#[test]
fn a_batch_that_the_receiver_refuses_is_counted_and_does_not_hold_up_the_next() {
    let receiver = StandIn::start(|seen| {
        if seen.header("content-type") == Some(remote_write::V2_TYPE) && seen.v2_value() < 2.0 {
            return "HTTP/1.1 422 Unprocessable Content\r\n\r\n".to_owned();
        }
        V2_TAKEN.to_owned()
    });
    let directory = tempfile::tempdir().unwrap();
    let mut pushing = start(&directory, Endpoint::remote_write(receiver.url("/"), &[]));
    pushing.offer("web-1".to_owned(), one(1.0));
    pushing.offer("web-1".to_owned(), one(2.0));
    let stats = until(&pushing, |stats| stats.sent_samples == 1);
    assert_eq!((stats.lost_rejected, stats.queued_batches), (1, 0));
}

#[test]
fn a_collection_that_the_encoder_is_too_slow_for_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::remote_write("http://127.0.0.1:9/".parse().unwrap(), &[]);
    let outlet = Arc::new(Outlet::new(&endpoint, Queue::open(directory.path(), 1 << 20).unwrap()));
    let (work, _waiting) = sync_channel(WAITING);
    let mut pushing = Pushing {
        interval: Duration::from_secs(1),
        wants_metrics: true,
        due: None,
        work: Some(work),
        outlets: vec![outlet],
        threads: Vec::new(),
    };
    for _ in 0..WAITING + 3 {
        pushing.offer("web-1".to_owned(), one(1.0));
    }
    assert_eq!(pushing.stats()[0].skipped_collections, 3);
}
