//! Real servers and the programs that press them: what one run did, by the client's own account.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use super::super::groups::Groups;
use crate::host;

/// Connections of each client.
const CONNECTIONS: &str = "20";
/// A server has so long to answer for the first time.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where Debian has PostgreSQL's own programs.
const POSTGRES: &str = "/usr/lib/postgresql";

/// Who is asked, by whom.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Load {
    /// redis-benchmark, GET.
    Redis,
    /// wrk on nginx, a small file.
    Nginx,
    /// pgbench, one SELECT a transaction.
    Postgres,
}

/// What a run did, as the client says.
pub(super) struct Done {
    pub(super) requests: u64,
    pub(super) per_second: f64,
    pub(super) p99_us: f64,
}

/// The two ends, each in a group as a container has it: metrics are those of containers.
pub(super) struct Ends {
    pub(super) groups: Groups,
    server: String,
    client: String,
}

/// A server that answers. Ended with this.
pub(super) struct Server<'a> {
    load: Load,
    child: Child,
    ends: &'a Ends,
    directory: PathBuf,
    port: u16,
}

impl Ends {
    /// Makes the groups.
    ///
    /// # Errors
    /// When a control group cannot be made.
    pub(super) fn new() -> Result<Self> {
        let groups = Groups::new()?;
        let (server, client) = (groups.container(1)?, groups.container(2)?);
        Ok(Self { groups, server, client })
    }

    fn server(&self, program: &Path, words: &[&str]) -> Command {
        self.groups.command(&self.server, program, words)
    }

    fn client(&self, program: &Path, words: &[&str]) -> Command {
        self.groups.command(&self.client, program, words)
    }
}

impl Load {
    /// As the table calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis-benchmark GET, 20 connections",
            Self::Nginx => "wrk on nginx, 20 connections",
            Self::Postgres => "pgbench -S, 20 connections",
        }
    }

    /// The counter that has each of its requests, at the client and at the server.
    fn counters(self) -> [&'static str; 2] {
        match self {
            Self::Redis => ["container_redis_queries_total", "container_redis_inbound_queries_total"],
            Self::Nginx => ["container_http_requests_total", "container_http_inbound_requests_total"],
            Self::Postgres => {
                ["container_postgres_queries_total", "container_postgres_inbound_queries_total"]
            }
        }
    }

    /// Starts its server in its group, and waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub(super) fn serve(self, ends: &Ends) -> Result<Server<'_>> {
        let directory = host::scratch("bench-l7-server")?;
        let port = free_port()?;
        let mut command = match self {
            Self::Redis => redis(ends, port)?,
            Self::Nginx => nginx(ends, &directory, port)?,
            Self::Postgres => postgres(ends, &directory, port)?,
        };
        let log = fs::File::create(directory.join("log"))?;
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let mut server = Server { load: self, child, ends, directory, port };
        server.wait()?;
        Ok(server)
    }
}

/// One that was free a moment ago. Not of those that clients have: requests to them have no metrics.
fn free_port() -> Result<u16> {
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (23_000..24_000).find(is_free).context("no port is free")
}

fn redis(ends: &Ends, port: u16) -> Result<Command> {
    let program = program("redis-server")?;
    Ok(ends.server(&program, &["--port", &port.to_string(), "--save", "", "--appendonly", "no"]))
}

fn nginx(ends: &Ends, directory: &Path, port: u16) -> Result<Command> {
    let configuration = format!(
        "daemon off; worker_processes 1; user root; pid {0}/pid; error_log stderr;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; root {0};\n\
         server {{ listen 127.0.0.1:{port}; }} }}\n",
        directory.display()
    );
    let path = directory.join("nginx.conf");
    fs::write(&path, configuration)?;
    fs::write(directory.join("small"), "x".repeat(100))?;
    let words = ["-p".into(), directory.display().to_string(), "-c".into(), path.display().to_string()];
    Ok(ends.server(&program("nginx")?, &words.each_ref().map(String::as_str)))
}

fn postgres(ends: &Ends, directory: &Path, port: u16) -> Result<Command> {
    let data = directory.join("data");
    let (data, sockets) = (data.display().to_string(), directory.display().to_string());
    // It does not run as root.
    host::text(Command::new("chown").arg("postgres").arg(directory))?;
    let initdb = postgres_program("initdb")?.display().to_string();
    host::text(Command::new("runuser").args(["-u", "postgres", "--", &initdb, "-D", &data, "-A", "trust"]))?;
    let server = postgres_program("postgres")?.display().to_string();
    let port = port.to_string();
    let mut words = vec!["--reuid", "postgres", "--regid", "postgres", "--init-groups", "--"];
    words.extend([&server, "-D", &data, "-p", &port, "-k", &sockets]);
    words.extend(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
    // runuser(1) would stay in between, and keep signals from it.
    Ok(ends.server(&program("setpriv")?, &words))
}

fn program(name: &str) -> Result<PathBuf> {
    host::find_program(&[name]).with_context(|| format!("{name} is not installed"))
}

/// Of the newest version that is there.
fn postgres_program(name: &str) -> Result<PathBuf> {
    let versions = fs::read_dir(POSTGRES).with_context(|| format!("cannot read {POSTGRES}"))?;
    let mut found: Vec<PathBuf> = versions
        .flatten()
        .map(|version| version.path().join("bin").join(name))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found.pop().with_context(|| format!("there is no {name} below {POSTGRES}"))
}

impl Server<'_> {
    /// The counter that has each of its requests, at the client and at the server.
    pub(super) fn counters(&self) -> [&'static str; 2] {
        self.load.counters()
    }

    fn wait(&mut self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.child.try_wait()?;
            if ended.is_some() || Instant::now() > until {
                let said = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
                bail!("the server of {} does not answer: {}", self.load.name(), said.trim_end());
            }
            thread::sleep(Duration::from_millis(50));
        }
        if self.load == Load::Postgres {
            self.ask(&postgres_program("pgbench")?, &["-i", "-q", "-s", "1", "postgres"])?;
        }
        Ok(())
    }

    /// Runs PostgreSQL's client.
    fn ask(&self, program: &Path, words: &[&str]) -> Result<String> {
        let port = self.port.to_string();
        let all = [&["-h", "127.0.0.1", "-p", &port, "-U", "postgres"], words].concat();
        host::text(self.ends.client(program, &all).current_dir(&self.directory))
    }

    /// Presses it for about so many seconds; `alone_per_second` is what it does in one, as far as that is known.
    ///
    /// # Errors
    /// When the client fails, or says what is not understood.
    pub(super) fn press(&self, seconds: u64, alone_per_second: Option<f64>) -> Result<Done> {
        match self.load {
            Load::Redis => {
                // It counts requests, not time.
                let requests = (alone_per_second.unwrap_or(50_000.0) * seconds as f64) as u64;
                let (port, requests) = (self.port.to_string(), requests.to_string());
                let words = ["-p", &port, "-t", "get", "-c", CONNECTIONS, "-n", &requests, "--csv"];
                let text = host::text(&mut self.ends.client(&program("redis-benchmark")?, &words))?;
                redis_done(&text, requests.parse()?).with_context(|| format!("redis-benchmark said: {text}"))
            }
            Load::Nginx => {
                let (url, span) = (format!("http://127.0.0.1:{}/small", self.port), format!("{seconds}s"));
                let words = ["-t", "1", "-c", CONNECTIONS, "-d", &span, "--latency", &url];
                let text = host::text(&mut self.ends.client(&program("wrk")?, &words))?;
                wrk_done(&text).with_context(|| format!("wrk said: {text}"))
            }
            Load::Postgres => {
                let span = seconds.to_string();
                let words = [
                    "-S",
                    "-n",
                    "-c",
                    CONNECTIONS,
                    "-j",
                    "1",
                    "-T",
                    &span,
                    "-l",
                    "--log-prefix=run",
                    "postgres",
                ];
                let text = self.ask(&postgres_program("pgbench")?, &words)?;
                let latencies = self.latencies_us()?;
                pgbench_done(&text, latencies).with_context(|| format!("pgbench said: {text}"))
            }
        }
    }

    /// Of each transaction, from pgbench's logs: the third field of a line. Removes them.
    fn latencies_us(&self) -> Result<Vec<f64>> {
        let mut latencies = Vec::new();
        for entry in fs::read_dir(&self.directory)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with("run.") {
                let text = fs::read_to_string(entry.path())?;
                latencies.extend(text.lines().filter_map(|line| line.split(' ').nth(2)?.parse::<f64>().ok()));
                fs::remove_file(entry.path())?;
            }
        }
        Ok(latencies)
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        // In order, so that no process of the server stays in the group.
        let signal = if self.load == Load::Postgres { "-INT" } else { "-TERM" };
        let _ = host::text(Command::new("kill").args([signal, &self.child.id().to_string()]));
        let _ = self.child.wait();
    }
}

/// The last line: name, requests a second, then average, least, median, 95, 99 of 100 and most in milliseconds.
fn redis_done(text: &str, requests: u64) -> Result<Done> {
    let line = text.lines().next_back().context("nothing")?;
    let numbers: Vec<f64> = line.split(',').filter_map(|word| word.trim_matches('"').parse().ok()).collect();
    let [per_second, _average, _least, _median, _p95, p99_ms, _most] = numbers.as_slice() else {
        bail!("another number of columns");
    };
    Ok(Done { requests, per_second: *per_second, p99_us: p99_ms * 1e3 })
}

fn wrk_done(text: &str) -> Result<Done> {
    let after = |word: &str| {
        let line =
            text.lines().find_map(|line| line.trim().strip_prefix(word)).context("a line is missing")?;
        Ok::<&str, anyhow::Error>(line.trim())
    };
    let counted =
        text.lines().find(|line| line.contains(" requests in ")).context("no number of requests")?;
    ensure!(!text.contains("Non-2xx"), "some answers were errors");
    let requests = counted.split_whitespace().next().context("no number")?.parse()?;
    Ok(Done { requests, per_second: after("Requests/sec:")?.parse()?, p99_us: microseconds(after("99%")?)? })
}

/// `1.25ms` and such.
fn microseconds(text: &str) -> Result<f64> {
    for (unit, factor) in [("us", 1.0), ("ms", 1e3), ("s", 1e6)] {
        if let Some(number) = text.strip_suffix(unit) {
            return Ok(number.parse::<f64>()? * factor);
        }
    }
    bail!("no time: {text}")
}

fn pgbench_done(text: &str, mut latencies_us: Vec<f64>) -> Result<Done> {
    let after =
        |word: &str| text.lines().find_map(|line| line.strip_prefix(word)).context("a line is missing");
    let requests = after("number of transactions actually processed: ")?;
    let per_second = after("tps = ")?.split(' ').next().context("no number")?;
    latencies_us.sort_by(f64::total_cmp);
    let p99_us = latencies_us.get(latencies_us.len() * 99 / 100).copied().context("no latencies")?;
    Ok(Done { requests: requests.trim().parse()?, per_second: per_second.parse()?, p99_us })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn the_clients_reports_are_understood() {
        let redis = redis_done(
            "\"test\",\"rps\",\"avg\",\"min\",\"p50\",\"p95\",\"p99\",\"max\"\n\
             \"GET\",\"99009.90\",\"0.108\",\"0.024\",\"0.103\",\"0.159\",\"0.239\",\"1.223\"\n",
            10,
        );
        let wrk = wrk_done(
            "  Latency Distribution\n     50%    1.00ms\n     99%  643.00us\n  251 requests in 5.00s, 1MB read\n\
             Requests/sec:     50.5\n",
        );
        let pgbench = pgbench_done(
            "number of transactions actually processed: 7\ntps = 70.5 (without initial connection time)\n",
            vec![3.0, 1.0, 2.0],
        );
        let all = [redis, wrk, pgbench].map(|done| done.unwrap());
        assert_eq!(all.each_ref().map(|done| done.requests), [10, 251, 7]);
        assert_eq!(all.each_ref().map(|done| done.per_second), [99009.90, 50.5, 70.5]);
        assert_eq!(all.each_ref().map(|done| done.p99_us), [239.0, 643.0, 3.0]);
    }
}
