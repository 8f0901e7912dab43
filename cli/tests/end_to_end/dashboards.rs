//! What dashboards ask Prometheus, compared with what others say of the same container: the runtime, ss(8), df(1),
//! jcmd(1), the kernel's own files.

use std::process::{Child, Command, Stdio};

use aftertrace_workload::docker::{self, Daemon};
use serde_json::Value;

use crate::prometheus::Prometheus;
use crate::serve::{flags, units};
use crate::serving::Serving;
use crate::support::needs_recording;

const IMAGE: &str = "aftertrace-dashboard:1";
/// What the container does: it holds 20 MiB and uses the CPU, writes to a volume, logs, and has a connection open over
/// which it sent 100,000 bytes.
const WORK: &str = "\
    b=/bin/busybox
    $b nc -l -p 20080 -e $b sleep 600 &
    $b sleep 0.5
    ($b dd if=/dev/zero bs=1000 count=100; $b sleep 600) | $b nc 127.0.0.1 20080 &
    $b dd if=/dev/zero of=/data/file bs=1M count=3
    echo 'ERROR cannot reach the database'
    echo 'ERROR cannot reach the database'
    echo 'all is well'
    exec $b dd if=/dev/zero of=/dev/null bs=20M";

fn said(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().unwrap();
    assert!(output.status.success(), "{program} {words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The number behind `key` in words such as `bytes_acked:100001`.
fn number(text: &str, key: &str) -> f64 {
    let word = text.split_whitespace().find_map(|word| word.strip_prefix(key));
    let word = word.unwrap_or_else(|| panic!("no {key} in {text}"));
    word.split(['/', ',']).next().unwrap().parse().unwrap()
}

/// Both are the same but for a share of them.
fn about(expected: f64, share: f64) -> impl Fn(f64) -> bool {
    move |value| (value - expected).abs() <= expected * share
}

/// What `docker stats` shows is made from this.
fn docker_stats(daemon: &Daemon) -> Value {
    let socket = daemon.socket();
    let words = ["-sS", "--unix-socket", socket.to_str().unwrap()];
    let text = said(
        "curl",
        &[&words[..], &["http://docker/containers/busy/stats?stream=false&one-shot=true"]].concat(),
    );
    serde_json::from_str(&text).unwrap()
}

/// Received bytes of an interface of the host.
fn received_bytes(interface: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/1/net/dev").unwrap();
    let line = text.lines().find_map(|line| line.trim().strip_prefix(&format!("{interface}:"))).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn queries_of_dashboards_give_what_docker_ss_and_df_say_of_a_container() {
    needs_recording!();
    if let Some(missing) = docker::missing() {
        assert!(std::env::var_os("CI").is_none(), "CI must run this test: {missing}");
        eprintln!("SKIPPED: {missing}");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path()).unwrap();
    daemon.import_busybox(IMAGE).unwrap();
    let host = daemon.host();
    let words = ["--container", "^/docker/busy$", "--interval", "500ms", "--sweep-interval", "500ms"];
    let words = [&words[..], &["--min-container-age", "0s"]].concat();
    let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    let serving = Serving::start_with(&words, false, &[("DOCKER_HOST", &host)]);
    let Some(prometheus) = Prometheus::start(Some(serving.address())) else { return };
    let data = directory.path().join("volume");
    std::fs::create_dir(&data).unwrap();
    let volume = format!("{}:/data", data.display());
    let run = [
        "run",
        "-d",
        "--name",
        "busy",
        "--network",
        "none",
        "--memory",
        "64m",
        "--cpus",
        "0.5",
        "-v",
        &volume,
    ];
    daemon.docker(&[&run[..], &[IMAGE, "/bin/busybox", "sh", "-c", WORK]].concat()).unwrap();
    let of = |name: &str| format!("{name}{{container_id=\"/docker/busy\"}}");

    // CPU and memory: the runtime's account.
    prometheus.value(&of("container_info"), |value| value == 1.0);
    prometheus.value(&of("container_resources_cpu_limit_cores"), |value| value == 0.5);
    let before = docker_stats(&daemon);
    let cpu_seconds = |stats: &Value| stats["cpu_stats"]["cpu_usage"]["total_usage"].as_f64().unwrap() / 1e9;
    let used = prometheus
        .value(&of("container_resources_cpu_usage_seconds_total"), |value| value >= cpu_seconds(&before));
    let after = docker_stats(&daemon);
    assert!(used <= cpu_seconds(&after), "{used} s of CPU, {} s says Docker", cpu_seconds(&after));
    prometheus.value(
        "sum(rate(container_resources_cpu_usage_seconds_total{container_id=\"/docker/busy\"}[5s]))",
        about(0.5, 0.5),
    );
    prometheus.value(&of("container_resources_memory_limit_bytes"), |value| value == f64::from(64 << 20));
    let memory = &after["memory_stats"]["stats"];
    let resident = memory["total_rss"].as_f64().or_else(|| memory["anon"].as_f64()).unwrap();
    prometheus.value(&of("container_resources_memory_rss_bytes"), about(resident, 0.1));

    // The connection: the kernel's account of the socket.
    let pid = daemon.docker(&["inspect", "-f", "{{.State.Pid}}", "busy"]).unwrap();
    let socket = said("nsenter", &["-t", pid.trim(), "-n", "ss", "-tinH", "dst", "127.0.0.1:20080"]);
    let to_server =
        |name: &str| format!("{name}{{container_id=\"/docker/busy\",destination=\"127.0.0.1:20080\"}}");
    // What is acknowledged holds the SYN, which is no payload.
    let acknowledged = number(&socket, "bytes_acked:") - 1.0;
    assert_eq!(acknowledged, 100_000.0, "{socket}");
    prometheus.value(&to_server("container_net_tcp_bytes_sent_total"), |value| value == acknowledged);
    prometheus.value(&to_server("container_net_tcp_active_connections"), |value| value == 1.0);
    prometheus.value(&to_server("container_net_tcp_successful_connects_total"), |value| value == 1.0);
    let rtt_seconds = number(&socket, "rtt:") / 1e3;
    prometheus.value(&to_server("aftertrace_net_tcp_rtt_seconds"), about(rtt_seconds, 0.01));

    // The volume: df's account of its file system.
    let df = said("df", &["-B1", "--output=size,used", data.to_str().unwrap()]);
    let figures: Vec<f64> =
        df.lines().nth(1).unwrap().split_whitespace().map(|word| word.parse().unwrap()).collect();
    let on_volume = |name: &str| format!("{name}{{container_id=\"/docker/busy\",mount_point=\"/data\"}}");
    prometheus.value(&on_volume("container_resources_disk_size_bytes"), |value| value == figures[0]);
    // Others write to it, too.
    prometheus.value(&on_volume("container_resources_disk_used_bytes"), about(figures[1], 0.05));

    // Logs: the runtime's own.
    let log = daemon.docker(&["logs", "busy"]).unwrap();
    let errors = log.lines().filter(|line| line.starts_with("ERROR")).count() as f64;
    let logged = "sum(container_log_messages_total{container_id=\"/docker/busy\",level=\"error\"})";
    prometheus.value(logged, |value| value == errors);

    // The node's interface.
    let interface = said("ip", &["-o", "route", "show", "default"]);
    if let Some(interface) = interface.split_whitespace().skip_while(|word| *word != "dev").nth(1) {
        let before = received_bytes(interface);
        let query = format!("node_net_received_bytes_total{{interface=\"{interface}\"}}");
        let value = prometheus.value(&query, |value| value >= before);
        assert!(value <= received_bytes(interface));
    }
    daemon.docker(&["rm", "-f", "busy"]).unwrap();
    serving.stop();
}

/// A Java program that waits, ended with this.
struct Java(Child);

impl Drop for Java {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_heap_of_a_java_machine_is_what_jcmd_says() {
    needs_recording!();
    if Command::new("jcmd").arg("-h").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI must run this test: jcmd; `cargo xtask setup`");
        eprintln!("SKIPPED: jcmd is not installed; `cargo xtask setup` installs it");
        return;
    }
    let unit = units(&["dashboard-java"]).remove(0);
    let mut words = flags(std::slice::from_ref(&unit));
    words.extend(["--interval", "500ms", "--min-container-age", "0s"].map(str::to_owned));
    let serving = Serving::start(&words, false);
    let Some(prometheus) = Prometheus::start(Some(serving.address())) else { return };
    let source = serving.folder().join("Waiting.java");
    std::fs::write(
        &source,
        "public class Waiting { public static void main(String[] a) throws Exception { Thread.sleep(600000); } }",
    )
    .unwrap();
    let java =
        ["java", "-XX:+UseSerialGC", "-Xms48m", "-Xmx96m", source.to_str().unwrap()].map(str::to_owned);
    let java = Java(unit.command(&java).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let of = |name: &str| format!("sum({name}{{container_id=\"{}\"}})", unit.path());
    prometheus.value(&of("container_jvm_info"), |value| value == 1.0);

    let pid = java.0.id().to_string();
    let heap = said("jcmd", &[&pid, "GC.heap_info"]);
    // "def new generation   total 14784K, used 5K [...", "tenured generation   total 32768K, used ..."
    let sizes = |key: &str| {
        let lines = heap.lines().filter(|line| line.contains(" generation "));
        lines
            .map(|line| line.split_once(key).unwrap().1.split('K').next().unwrap().parse::<f64>().unwrap())
            .sum::<f64>()
    };
    // jcmd leaves out one of the survivor spaces, which is an eighth of the young generation at most.
    prometheus.value(&of("container_jvm_heap_size_bytes"), about(sizes("total ") * 1_024.0, 0.1));
    prometheus.value(&of("container_jvm_heap_max_size_bytes"), about(f64::from(96 << 20), 0.1));
    serving.stop();
}
