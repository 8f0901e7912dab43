//! A real Prometheus, Debian's.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A Prometheus that is ended with this.
pub struct Prometheus {
    process: std::process::Child,
    address: String,
    folder: tempfile::TempDir,
}

impl Prometheus {
    /// Starts one that takes remote write, and scrapes `target` each second; `None`, with the reason, without Prometheus.
    pub fn start(target: Option<&str>) -> Option<Self> {
        if Command::new("prometheus").arg("--version").output().is_err() {
            assert!(
                std::env::var_os("CI").is_none(),
                "under CI there must be prometheus; `cargo xtask setup`"
            );
            eprintln!("SKIPPED: prometheus is not installed; `cargo xtask setup` installs it");
            return None;
        }
        let folder = tempfile::TempDir::new().unwrap();
        let targets = target.map(|target| format!("'{target}'")).unwrap_or_default();
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n- job_name: aftertrace\n  \
             static_configs: [{{targets: [{targets}]}}]\n"
        );
        std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        // A port that was free a moment ago.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--web.enable-remote-write-receiver")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Self { process, address, folder })
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The value of a query once it has one, by its first series.
    pub fn value(&self, query: &str, is_right: impl Fn(f64) -> bool) -> f64 {
        let until = Instant::now() + Duration::from_secs(60);
        let mut last = None;
        while Instant::now() < until {
            let output = Command::new("promtool")
                .args(["query", "instant", "-o", "json", &format!("http://{}", self.address), query])
                .output()
                .unwrap();
            let series: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            last = series[0]["value"][1].as_str().map(|value| value.parse::<f64>().unwrap());
            if let Some(value) = last.filter(|value| is_right(*value)) {
                return value;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        panic!("{query}: {last:?}; data in {}", self.folder.path().display());
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
