//! Whether the trace of a guest holds just what the workload did there.

use aftertrace_workload::lifecycle as expected;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::analyze::{Row, Trace};

/// Every probe is active or says why not, the trace verifies, and each count is the expected one.
///
/// # Errors
/// Naming all that is not as expected.
pub(crate) fn check(trace: &Trace) -> Result<()> {
    probes(trace)?;
    let (status, said) = trace.verify()?;
    ensure!(status.success(), "`analyze verify` ended with {status}:\n{}", said.trim_end());
    let differences = differences(trace)?;
    if !differences.is_empty() {
        bail!("other counts than expected:\n  {}", differences.join("\n  "));
    }
    println!("  verified; all {} counts are as expected", EXPECTED.len());
    Ok(())
}

fn probes(trace: &Trace) -> Result<()> {
    let rows = trace.sql("SELECT DISTINCT probe, state, reason FROM probes ORDER BY probe")?;
    ensure!(!rows.is_empty(), "the trace names no probes");
    let mut active = 0;
    for row in &rows {
        match (text(row, "state")?, text(row, "reason").unwrap_or_default()) {
            ("active", _) => active += 1,
            (state, "") => bail!("the probe {} is {state} and does not say why", text(row, "probe")?),
            (state, reason) => println!("  probe {} {state}: {reason}", text(row, "probe")?),
        }
    }
    println!("  {active} of {} probes are active", rows.len());
    Ok(())
}

fn text<'a>(row: &'a Row, column: &str) -> Result<&'a str> {
    row.get(column).and_then(Value::as_str).with_context(|| format!("no {column} in {row:?}"))
}

/// What is counted, the query after `SELECT`, and what must come out. `own` is the workload's process, `children`
/// are those that it started, `connected` and `accepted` are the two ends of its connections.
const EXPECTED: &[(&str, &str, u64)] = &[
    (
        "children that exec",
        "count(*) FROM process_events WHERE kind = 'exec' AND pid IN (SELECT pid FROM children)",
        expected::EXECS + expected::KILLED,
    ),
    ("children started", "count(*) FROM children", expected::FORKS + expected::EXECS + expected::KILLED),
    ("exits of forks", "count(*) FROM exits WHERE exit_code = 3", expected::FORKS),
    ("exits of programs", "count(*) FROM exits WHERE exit_code = 0", expected::EXECS),
    ("ends by SIGKILL", "count(*) FROM exits WHERE signal = 9", expected::KILLED),
    (
        "files opened",
        "count(*) FROM file_events WHERE kind = 'open' AND path LIKE '%workload-file-%' AND pid IN (SELECT pid FROM own)",
        expected::FILES,
    ),
    ("listens opened", "count(*) FROM tcp WHERE kind = 'listen_open'", expected::LISTENS),
    ("listens closed", "count(*) FROM tcp WHERE kind = 'listen_close'", expected::LISTENS),
    ("connects", "count(*) FROM connected", CONNECTIONS),
    ("accepts", "count(*) FROM accepted", CONNECTIONS),
    ("refused connects", "count(*) FROM tcp WHERE kind = 'connect_error' AND errno = 111", expected::REFUSED),
    ("failed connects", "count(*) FROM tcp WHERE kind = 'connect_error'", expected::REFUSED),
    ("closes of connects", "count(*) FROM connected_closes", CONNECTIONS),
    ("closes of accepts", "count(*) FROM accepted_closes", CONNECTIONS),
    (
        "bytes of requests sent",
        "coalesce(sum(bytes_sent), 0) FROM connected_closes",
        CONNECTIONS * expected::REQUEST_BYTES,
    ),
    (
        "bytes of requests received",
        "coalesce(sum(bytes_received), 0) FROM accepted_closes",
        CONNECTIONS * expected::REQUEST_BYTES,
    ),
    (
        "bytes of responses sent",
        "coalesce(sum(bytes_sent), 0) FROM accepted_closes",
        CONNECTIONS * expected::RESPONSE_BYTES,
    ),
    (
        "bytes of responses received",
        "coalesce(sum(bytes_received), 0) FROM connected_closes",
        CONNECTIONS * expected::RESPONSE_BYTES,
    ),
    ("lost", "coalesce(sum(lost), 0) FROM losses", 0),
];

const CONNECTIONS: u64 = expected::CONNECTS_V4 + expected::CONNECTS_V6;

const TABLES: &str = "\
WITH own AS (SELECT pid FROM process_events WHERE kind = 'exec' AND command = 'workload' ORDER BY seq LIMIT 1),
children AS (SELECT pid FROM process_events WHERE kind = 'start' AND parent_pid IN (SELECT pid FROM own)),
exits AS (SELECT * FROM process_events WHERE kind = 'exit' AND pid IN (SELECT pid FROM children)),
tcp AS (SELECT * FROM tcp_events WHERE pid IN (SELECT pid FROM own)),
connected AS (SELECT connection_id FROM tcp WHERE kind = 'connect'),
accepted AS (SELECT connection_id FROM tcp WHERE kind = 'accept'),
closes AS (SELECT * FROM tcp_events WHERE kind = 'close'),
connected_closes AS (SELECT * FROM closes WHERE connection_id IN (SELECT connection_id FROM connected)),
accepted_closes AS (SELECT * FROM closes WHERE connection_id IN (SELECT connection_id FROM accepted))
";

/// The counts that are others than expected, in words.
fn differences(trace: &Trace) -> Result<Vec<String>> {
    let rows = trace.sql(&query())?;
    let mut differences = Vec::new();
    for (number, (name, _, expected)) in EXPECTED.iter().enumerate() {
        let row = rows.iter().find(|row| row.get("number").and_then(Value::as_u64) == Some(number as u64));
        let found = row.and_then(|row| row.get("found")).and_then(Value::as_u64);
        if found != Some(*expected) {
            differences.push(format!(
                "{name}: {expected} expected, {} found",
                found.map_or("none".to_owned(), |n| n.to_string())
            ));
        }
    }
    Ok(differences)
}

/// All counts in one query: each start of the program costs more than the counting.
fn query() -> String {
    let selects: Vec<String> = EXPECTED
        .iter()
        .enumerate()
        .map(|(number, (_, query, _))| {
            let (what, from) = query.split_once(" FROM ").unwrap_or((query, "own"));
            format!("SELECT {number} AS number, CAST({what} AS BIGINT) AS found FROM {from}")
        })
        .collect();
    format!("{TABLES}{}", selects.join("\nUNION ALL "))
}
