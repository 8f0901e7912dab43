//! What applications say to each other: real servers and clients, counted exactly, compared with the servers' own
//! statistics.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{AFTERTRACE, Trace, describe, needs_recording};

/// Records a shell script.
fn record_script(script: &str, flags: &[&str]) -> Trace {
    let directory = TempDir::new().unwrap();
    let output = Command::new(AFTERTRACE)
        .arg("record")
        .arg("--output")
        .arg(directory.path().join("trace"))
        .args(flags)
        .args(["--", "sh", "-euc", script])
        .env("DIRECTORY", directory.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", describe(&output));
    Trace::new(directory, output)
}

/// A file that the script wrote.
fn written(trace: &Trace, name: &str) -> String {
    let path = trace.path().with_file_name(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The sum of a metric's samples that have all these labels; 0 without one.
fn sum(trace: &Trace, name: &str, labels: &[(&str, &str)]) -> f64 {
    let output = Command::new(AFTERTRACE).args(["analyze", "metrics"]).arg(trace.path()).output().unwrap();
    assert!(output.status.success(), "{}", describe(&output));
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter(|line| line.starts_with(name) && line[name.len()..].starts_with('{'))
        .filter(|line| labels.iter().all(|(key, value)| line.contains(&format!("{key}=\"{value}\""))))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

/// Everything that was kept of what applications said.
fn payloads(trace: &Trace) -> Vec<Vec<u8>> {
    let rows = trace.sql("SELECT payload FROM socket_data UNION ALL SELECT payload FROM datagrams");
    let hex = |row: &Value| row["payload"].as_str().unwrap().as_bytes().to_vec();
    let digit = |digit: u8| u8::try_from((digit as char).to_digit(16).unwrap()).unwrap();
    let bytes = |hex: Vec<u8>| hex.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect();
    rows.iter().map(hex).map(bytes).collect()
}

/// Nothing of a trace has the text, neither as it lies on the disk nor in what is read from it.
fn assert_nowhere(trace: &Trace, secret: &str) {
    let has = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    for payload in payloads(trace) {
        assert!(!has(&payload), "{secret} in {}", String::from_utf8_lossy(&payload));
    }
    let mut folders = vec![trace.path()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                assert!(!has(&std::fs::read(&path).unwrap()), "{secret} in {}", path.display());
            }
        }
    }
}

/// Leaves the test where a program is not installed; under CI it must be.
fn has(program: &str) -> bool {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|folder| Path::new(&folder).join(program).exists());
    assert!(
        found || std::env::var_os("CI").is_none(),
        "under CI there must be {program}; `cargo xtask setup`"
    );
    if !found {
        eprintln!("SKIPPED: {program} is not installed; `cargo xtask setup` installs it");
    }
    found
}

/// Starts a Redis of its own, and ends it when the script ends.
const REDIS: &str = "
redis-server --port 20379 --save '' --appendonly no --dir $DIRECTORY > $DIRECTORY/redis.log 2>&1 &
server=$!
trap 'kill $server; wait $server || true' EXIT
until redis-cli -p 20379 ping > /dev/null 2>&1; do sleep 0.05; done
redis-cli -p 20379 config resetstat > /dev/null
";

#[test]
fn redis_pipelines_are_counted_as_the_server_counts_them() {
    needs_recording!();
    if !has("redis-server") {
        return;
    }
    let script = format!(
        "{REDIS}
redis-benchmark -p 20379 -n 10000 -c 8 -P 16 -t set,get,lpush -q > /dev/null
redis-benchmark -p 20379 -n 2000 -c 4 -q INCR mylist > /dev/null 2>&1 || true
printf 'SET text abc\\nINCR text\\nLPUSH text x\\nNOSUCH\\n' | redis-cli -p 20379 > /dev/null || true
redis-cli -p 20379 info commandstats > $DIRECTORY/commands
redis-cli -p 20379 info errorstats > $DIRECTORY/errors"
    );
    let trace = record_script(&script, &[]);
    let field = |line: &str, name: &str| -> f64 {
        let part = line.split([',', ':']).find_map(|part| part.strip_prefix(name));
        part.map_or(0.0, |number| number.trim().parse().unwrap())
    };
    let commands = written(&trace, "commands");
    let calls: f64 =
        commands.lines().map(|line| field(line, "calls=") + field(line, "rejected_calls=")).sum();
    let errors: f64 = written(&trace, "errors").lines().map(|line| field(line, "count=")).sum();
    assert!(calls > 30_000.0 && errors >= 7.0, "{commands} {errors}");

    for name in ["container_redis_queries_total", "container_redis_inbound_queries_total"] {
        assert_eq!(sum(&trace, name, &[("status", "failed")]), errors, "{name}");
    }
    let sent = sum(&trace, "container_redis_queries_total", &[]);
    let received = sum(&trace, "container_redis_inbound_queries_total", &[]);
    assert_eq!(sent, received);
    let asked =
        |command: &str| payloads(&trace).iter().filter(|bytes| bytes.ends_with(command.as_bytes())).count();
    // Each is seen where it is sent and where it is received.
    let forgotten = asked("$4\r\nping\r\n") as f64 / 2.0;
    // `INFO commandstats` does not count itself, `INFO errorstats` came after it, and an unknown command has no calls.
    assert_eq!(received, calls + forgotten + 2.0 + 1.0, "{commands}");
    assert_eq!(sum(&trace, "aftertrace_l7_unpaired_total", &[]), 0.0);
    assert_eq!(trace.number("SELECT count(*) FROM losses"), 0);
    let observed = sum(&trace, "container_redis_queries_duration_seconds_total_count", &[]);
    assert_eq!(observed, sent);
}

#[test]
fn payloads_are_kept_as_asked_for_and_never_with_a_password() {
    needs_recording!();
    if !has("redis-server") {
        return;
    }
    // By standard input: arguments of programs are recorded.
    let script = format!(
        "{REDIS}
read secret < $DIRECTORY/secret
printf 'CONFIG SET requirepass %s\\nAUTH default %s\\nSET key value\\nHELLO 3 AUTH default %s\\n' \
    $secret $secret $secret | redis-cli -p 20379 > /dev/null
printf 'AUTH %s\\r\\nPING\\r\\n' $secret | timeout 1 nc -q 1 127.0.0.1 20379 > /dev/null || true"
    );
    for (flags, keeps) in
        [(&["--payload", "head"][..], true), (&["--payload", "full"], true), (&["--payload", "none"], false)]
    {
        let directory = TempDir::new().unwrap();
        std::fs::write(directory.path().join("secret"), "correct-horse-battery\n").unwrap();
        let output = Command::new(AFTERTRACE)
            .arg("record")
            .arg("--output")
            .arg(directory.path().join("trace"))
            .args(flags)
            .args(["--", "sh", "-euc", &script])
            .env("DIRECTORY", directory.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", describe(&output));
        let trace = Trace::new(directory, output);
        assert_nowhere(&trace, "correct-horse-battery");
        let has_set = payloads(&trace).iter().any(|bytes| bytes.ends_with(b"$5\r\nvalue\r\n"));
        assert_eq!(has_set, keeps, "{flags:?}");
        assert!(trace.number("SELECT count(*) FROM socket_data WHERE size_bytes > 0") > 8, "{flags:?}");
    }
    let off =
        record_script(&script.replace("$DIRECTORY/secret", "/dev/null || secret=x"), &["--payload", "off"]);
    assert_eq!(off.number("SELECT count(*) FROM socket_data"), 0);
    assert_eq!(
        off.sql("SELECT state FROM probes WHERE probe = 'raw_syscalls:sys_exit'")[0]["state"].as_str(),
        Some("off")
    );
}
