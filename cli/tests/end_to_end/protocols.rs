//! What applications say to each other: real servers and clients, counted exactly, compared with the servers' own
//! statistics.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{AFTERTRACE, Trace, describe, needs_recording};

/// Records a shell script.
pub fn record_script(script: &str, flags: &[&str]) -> Trace {
    let directory = TempDir::new().unwrap();
    let output = Command::new(AFTERTRACE)
        .arg("record")
        .arg("--output")
        .arg(directory.path().join("trace"))
        .args(flags)
        .args(["--", "bash", "-euc", script])
        .env("DIRECTORY", directory.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", describe(&output));
    Trace::new(directory, output)
}

/// A file that the script wrote.
pub fn written(trace: &Trace, name: &str) -> String {
    let path = trace.path().with_file_name(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The sum of a metric's samples that have all these labels; 0 without one.
pub fn sum(trace: &Trace, name: &str, labels: &[(&str, &str)]) -> f64 {
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
pub fn assert_nowhere(trace: &Trace, secret: &str) {
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
pub fn has(program: &str) -> bool {
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

/// The script behind the start of a Redis on this port, which ends with it.
pub fn with_redis(port: u16, script: &str) -> String {
    format!(
        "port={port}
redis-server --port $port --save '' --appendonly no --dir $DIRECTORY > $DIRECTORY/redis.log 2>&1 &
server=$!
trap 'kill $server; wait $server || true' EXIT
until redis-cli -p $port ping > /dev/null 2>&1; do sleep 0.05; done
redis-cli -p $port config resetstat > /dev/null
{script}"
    )
}

#[test]
fn redis_pipelines_are_counted_as_the_server_counts_them() {
    needs_recording!();
    if !has("redis-server") {
        return;
    }
    let script = with_redis(
        20379,
        "redis-benchmark -p $port -n 10000 -c 8 -P 16 -t set,get,lpush -q > /dev/null
(echo SET text abc; yes 'INCR text' | head -2000; echo LPUSH text x; echo NOSUCH) | redis-cli -p $port > /dev/null || true
redis-cli -p $port info commandstats > $DIRECTORY/commands
redis-cli -p $port info errorstats > $DIRECTORY/errors",
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
    assert!(calls > 32_000.0 && errors >= 2002.0, "{commands} {errors}");

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
    let script = with_redis(
        20380,
        "read secret < $DIRECTORY/secret
printf 'CONFIG SET requirepass %s\\nAUTH default %s\\nSET key value\\nHELLO 3 AUTH default %s\\n' \
    $secret $secret $secret | redis-cli -p $port > /dev/null
exec 3<> /dev/tcp/127.0.0.1/$port
printf 'AUTH %s\\r\\nPING\\r\\n' $secret >&3
read -r answer <&3",
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
            .args(["--", "bash", "-euc", &script])
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
        off.sql("SELECT state FROM probes WHERE probe = 'sock:sock_send_length'")[0]["state"].as_str(),
        Some("off")
    );
}

#[test]
fn http_requests_are_counted_by_status_as_the_access_log_has_them() {
    needs_recording!();
    if !has("nginx") || !has("curl") {
        return;
    }
    // Small files, one that takes several calls and sendfile(2), redirects, errors, chunked and HEAD answers.
    let script = r#"
mkdir -p $DIRECTORY/www
echo small > $DIRECTORY/www/small
head -c 300000 /dev/zero > $DIRECTORY/www/large
cat > $DIRECTORY/nginx.conf <<EOF
daemon off; worker_processes 1; pid $DIRECTORY/pid; error_log $DIRECTORY/error.log; user root;
events { }
http {
  access_log $DIRECTORY/access.log combined; sendfile on; keepalive_requests 10000;
  client_body_temp_path $DIRECTORY/t1; proxy_temp_path $DIRECTORY/t2; fastcgi_temp_path $DIRECTORY/t3;
  uwsgi_temp_path $DIRECTORY/t4; scgi_temp_path $DIRECTORY/t5;
  server { listen 127.0.0.1:20381; root $DIRECTORY/www; location /away { return 302 /small?token=open-sesame; }
    location /broken { return 500; } }
}
EOF
nginx -c $DIRECTORY/nginx.conf &
server=$!
trap 'kill $server; wait $server || true' EXIT
until curl -sf http://127.0.0.1:20381/small > /dev/null; do sleep 0.05; done
for round in $(seq 20); do
  curl -s -H 'Authorization: Bearer open-sesame' -b 'id=open-sesame' \
    http://127.0.0.1:20381/small http://127.0.0.1:20381/large http://127.0.0.1:20381/away \
    http://127.0.0.1:20381/none http://127.0.0.1:20381/broken -o /dev/null -o /dev/null -o /dev/null -o /dev/null -o /dev/null
  curl -sI http://127.0.0.1:20381/large > /dev/null
done
"#;
    let trace = record_script(script, &[]);
    let log = written(&trace, "access.log");
    for class in ["2xx", "3xx", "4xx", "5xx"] {
        let digit = &class[..1];
        let served =
            log.lines().filter(|line| line.split('"').nth(2).unwrap().trim().starts_with(digit)).count();
        for name in ["container_http_requests_total", "container_http_inbound_requests_total"] {
            assert_eq!(sum(&trace, name, &[("status", class)]), served as f64, "{name} {class}");
        }
    }
    assert_eq!(log.lines().count() as f64, sum(&trace, "container_http_requests_total", &[]));
    assert_eq!(sum(&trace, "aftertrace_l7_unpaired_total", &[]), 0.0);
    assert_eq!(sum(&trace, "aftertrace_unanswered_requests_total", &[]), 0.0);
    // The arguments of curl are recorded, so the planted secret is looked for in what was said only.
    for payload in payloads(&trace) {
        let text = String::from_utf8_lossy(&payload).into_owned();
        assert!(!text.contains("open-sesame"), "{text}");
    }
}
