//! Real servers and several real clients of each, in plain and in TLS: every request counted at both ends, with its
//! status, as the servers' own statistics or the clients' logs have them.

use std::path::PathBuf;

use crate::protocols::sum;
use crate::support::Trace;

mod brokers;
mod dns;
mod http;
mod mysql;
mod postgres;
mod stores;

/// A program beside this file.
fn beside(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/end_to_end/servers", name].iter().collect();
    path.display().to_string()
}

/// Python as Debian has it, to which its packages with clients belong.
const PYTHON: &str = "/usr/bin/python3";

/// So many requests of a protocol have each status, at the client's end and at the server's; no other status is there,
/// and nothing is left over.
fn assert_requests(trace: &Trace, metrics: [&str; 2], by_status: &[(&str, f64)]) {
    for name in metrics {
        let found: Vec<(&str, f64)> =
            by_status.iter().map(|(status, _)| (*status, sum(trace, name, &[("status", status)]))).collect();
        let all: f64 = by_status.iter().map(|(_, count)| count).sum();
        assert_eq!((found.as_slice(), sum(trace, name, &[])), (by_status, all), "{name}");
    }
    assert_nothing_left_over(trace);
}

/// No request without an answer, no answer without a request, and nothing lost.
fn assert_nothing_left_over(trace: &Trace) {
    assert_eq!(sum(trace, "aftertrace_l7_unpaired_total", &[]), 0.0);
    assert_eq!(sum(trace, "aftertrace_unanswered_requests_total", &[]), 0.0);
    assert_eq!(trace.number("SELECT count(*) FROM losses"), 0);
}
