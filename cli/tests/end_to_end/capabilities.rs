//! What the recorder can still do once it is attached: thread by thread, and that all sources measure as if they had
//! everything.

use std::collections::BTreeMap;
use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cgroup::Cgroup;
use crate::serving::Serving;
use crate::support::{Trace, describe, needs_recording};

const DAC_READ_SEARCH: u64 = 1 << 2;
const KILL: u64 = 1 << 5;
const NET_ADMIN: u64 = 1 << 12;
const NET_RAW: u64 = 1 << 13;
const SYS_PTRACE: u64 = 1 << 19;
const SYS_ADMIN: u64 = 1 << 21;
const BPF: u64 = 1 << 39;
const OTHERS: u64 = SYS_PTRACE | DAC_READ_SEARCH;

/// What each thread holds, by the name of the thread: all threads that there are while nothing hangs.
const THREADS: [(&str, u64); 23] = [
    ("crio", 0),
    ("docker", 0),
    ("aftertrace", OTHERS),
    ("cgroup_io", 0),
    ("cgroups", 0),
    ("cloud", 0),
    ("containerd", 0),
    ("delays", NET_ADMIN),
    ("disks", 0),
    ("executables", OTHERS),
    ("filesystems", OTHERS),
    ("http", 0),
    ("jvm", OTHERS),
    ("logs", OTHERS),
    ("namespaces", OTHERS),
    ("nat", NET_ADMIN | SYS_ADMIN | SYS_PTRACE),
    ("network", 0),
    ("node", 0),
    ("ping", NET_RAW | SYS_ADMIN | SYS_PTRACE),
    ("podman", 0),
    ("systemd", 0),
    ("tls", OTHERS | SYS_ADMIN),
    ("trace-writer", 0),
];

/// Threads that come and go: those that look at a file system, wait for the journal, enter a namespace, render.
const AT_TIMES: [(&str, u64); 4] = [
    ("journald", 0),
    ("netns", NET_RAW | SYS_ADMIN | NET_ADMIN | SYS_PTRACE),
    ("statfs", OTHERS),
    ("tokio-rt-worker", 0),
];

/// The mask of a field of /proc/PID/status.
fn mask(status: &str, field: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    u64::from_str_radix(line.trim_start_matches(':').trim(), 16).unwrap()
}

fn own(field: &str) -> u64 {
    mask(&std::fs::read_to_string("/proc/thread-self/status").unwrap(), field)
}

/// The status of every thread of a process, by name.
fn threads(pid: u32) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let Ok(status) = std::fs::read_to_string(task.unwrap().path().join("status")) else { continue };
        let name = status.lines().next().unwrap().trim_start_matches("Name:\t").to_owned();
        all.push((name, status));
    }
    all
}

/// What the recording thread needs beside its share: before 5.19, the kernel asks for CAP_BPF whenever a map is read,
/// where those without privileges may not use BPF.
fn of_old_kernels() -> u64 {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    let version = (numbers.next().unwrap(), numbers.next().unwrap());
    let disabled = std::fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled");
    let is_asked = disabled.is_ok_and(|value| value.trim() != "0");
    if version < (5, 19) && is_asked { BPF } else { 0 }
}

#[test]
fn each_thread_holds_what_its_work_takes_and_nothing_else() {
    needs_recording!();
    let unit = Cgroup::new("system.slice/capabilities-threads");
    let words = ["--cgroup", unit.path(), "--interval", "300ms"].map(str::to_owned);
    let serving = Serving::start(&words, true);
    // A worker for rendering, and some rounds of the sources.
    serving.get("/metrics", &[]);
    std::thread::sleep(Duration::from_millis(700));
    let before = own("CapPrm");
    let mut wanted = BTreeMap::from(THREADS);
    *wanted.get_mut("aftertrace").unwrap() |= of_old_kernels();
    let at_times = BTreeMap::from(AT_TIMES);
    for (name, status) in threads(serving.pid()) {
        let Some(wanted) = wanted.remove(name.as_str()).or_else(|| at_times.get(name.as_str()).copied())
        else {
            panic!("a thread {name} that is not in the list:\n{status}");
        };
        let found = ["CapPrm", "CapEff"].map(|field| mask(&status, field));
        if at_times.contains_key(name.as_str()) {
            assert_eq!(found[0] & !wanted, 0, "{name} holds more than {wanted:x}: {:x}", found[0]);
        } else {
            assert_eq!(found, [wanted & before; 2], "{name} holds others than {wanted:x}");
        }
        // It stays without CAP_SETPCAP: in threads of threads, and where the test has none itself.
        if before & (1 << 8) != 0 && !at_times.contains_key(name.as_str()) {
            assert_eq!(mask(&status, "CapBnd"), found[0], "{name}");
        }
        assert_eq!((mask(&status, "CapInh"), mask(&status, "CapAmb")), (0, 0), "{name}");
        assert_eq!(mask(&status, "NoNewPrivs"), 1, "{name}");
    }
    assert!(wanted.is_empty(), "threads that are not there: {wanted:?}");

    let page = serving.get("/", &[]).text();
    assert!(page.contains("<td>delays</td><td>CAP_NET_ADMIN</td><td>yes</td>"), "{page}");
    assert!(page.contains("<td>http</td><td>none</td><td>yes</td>"), "{page}");
    let trace = serving.stop();
    let row = &trace.sql("SELECT state, reason FROM probes WHERE probe = 'capabilities'")[0];
    assert_eq!(row["state"], "active");
    assert!(row["reason"].as_str().unwrap().contains("CAP_NET_ADMIN: delays"), "{row}");
}

#[test]
fn capabilities_stay_when_that_is_asked_for() {
    needs_recording!();
    let unit = Cgroup::new("system.slice/capabilities-kept");
    let words = ["--cgroup", unit.path(), "--keep-capabilities"].map(str::to_owned);
    let serving = Serving::start(&words, true);
    for (name, status) in threads(serving.pid()) {
        assert_eq!(mask(&status, "CapEff"), own("CapEff"), "{name}");
    }
    let trace = serving.stop();
    let row = &trace.sql("SELECT state, reason FROM probes WHERE probe = 'capabilities'")[0];
    assert_eq!(row["state"], "off");
}

/// A process of nobody's in a network namespace of its own, which is connected to another one.
fn strangers_work(unit: &Cgroup) -> Child {
    unit.start(
        r#"
        a=at-c-$$ b=at-d-$$
        ip netns add $a; ip netns add $b
        trap 'ip netns del $a; ip netns del $b; rm -rf /var/tmp/$a' EXIT
        ip link add v0 netns $a type veth peer name v0 netns $b
        ip -n $a addr add 10.78.0.1/24 dev v0; ip -n $a link set v0 up
        ip -n $b addr add 10.78.0.2/24 dev v0; ip -n $b link set v0 up
        mkdir -m 700 /var/tmp/$a; chown 65534 /var/tmp/$a
        cp /bin/bash /var/tmp/$a/strangers-shell
        chown 65534 /var/tmp/$a/strangers-shell; chmod 700 /var/tmp/$a/strangers-shell
        timeout 60 ip netns exec $b python3 -c '
import socket
s = socket.create_server(("10.78.0.2", 7778))
c, _ = s.accept()
while c.recv(4096): pass
' >/dev/null 2>&1 &
        for i in $(seq 100); do ip netns exec $b ss -Hltn | grep -q 7778 && break; sleep 0.05; done
        ip netns exec $a setpriv --reuid 65534 --clear-groups /var/tmp/$a/strangers-shell -c '
            exec 3<>/dev/tcp/10.78.0.2/7778 4>"$0"/own; echo connected
            while read -t 0.05 -r; [ $? -gt 128 ]; do echo x >&3; echo y >&4; done
        ' /var/tmp/$a
        exit 0
        "#,
    )
}

fn serve_strangers(name: &str, flags: &[&str]) -> Trace {
    use std::io::{BufRead, BufReader};
    let unit = Cgroup::new(name);
    let words: Vec<String> = [
        "--cgroup",
        unit.path(),
        "--interval",
        "300ms",
        "--sweep-interval",
        "500ms",
        "--min-container-age",
        "0s",
    ]
    .iter()
    .chain(flags)
    .map(|word| (*word).to_owned())
    .collect();
    let serving = Serving::start(&words, true);
    let mut work = strangers_work(&unit);
    let mut line = String::new();
    BufReader::new(work.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "connected\n");
    let until = Instant::now() + Duration::from_secs(30);
    while !serving.get("/metrics", &[]).text().contains("container_net_latency_seconds{") {
        assert!(Instant::now() < until, "no round-trip time:\n{}", serving.get("/", &[]).text());
        std::thread::sleep(Duration::from_millis(200));
    }
    std::thread::sleep(Duration::from_millis(900));
    drop(work.stdin.take());
    work.wait().unwrap();
    serving.stop()
}

/// States of probes and sources, as they were last.
fn states(trace: &Trace) -> Vec<(String, String)> {
    let rows = trace.sql(
        "SELECT probe, last_value(state ORDER BY seq) AS state FROM probes WHERE probe <> 'capabilities' \
         GROUP BY probe ORDER BY probe",
    );
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    rows.iter().map(|row| (text(row, "probe"), text(row, "state"))).collect()
}

#[test]
fn every_source_measures_strangers_as_if_nothing_had_been_given_up() {
    needs_recording!();
    let kept = serve_strangers("system.slice/strangers-kept", &["--keep-capabilities"]);
    let narrow = serve_strangers("system.slice/strangers", &[]);
    assert_eq!(states(&narrow), states(&kept));
    assert!(states(&narrow).iter().any(|(probe, state)| probe == "ping" && state == "active"));
    for trace in [&kept, &narrow] {
        let counts = [
            "SELECT count(*) FROM rtt_probes WHERE rtt_ns > 0",
            "SELECT count(*) FROM task_delays WHERE pid IN (SELECT pid FROM process_events WHERE command = 'strangers-shell')",
            "SELECT count(*) FROM filesystem_stats WHERE size_bytes > 0",
        ];
        for count in counts {
            assert!(trace.number(count) > 0, "{count}: {}", describe(&trace.output));
        }
    }
    // The sets of what could not be measured are the same, too: none here.
    let missed = "SELECT count(*) FROM losses WHERE source LIKE 'source/%'";
    assert_eq!((narrow.number(missed), kept.number(missed)), (0, 0));
}

#[test]
fn a_command_has_all_that_the_recorder_was_started_with_and_its_signals() {
    needs_recording!();
    let folder = tempfile::TempDir::new().unwrap();
    let said = folder.path().join("status");
    // It becomes another user, to whom only CAP_KILL lets the recorder pass signals on.
    let script = format!(
        "grep -E 'CapEff|NoNewPrivs' /proc/self/status > {}; exec setpriv --reuid 65534 --clear-groups \
         sh -c 'trap \"exit 7\" TERM; while true; do sleep 0.05; done'",
        said.display()
    );
    let recording = crate::support::Recording::start_command(&[], &format!("echo > $READY; {script}"));
    std::thread::sleep(Duration::from_millis(500));
    let recorder = threads(recording.pid());
    let main = recorder.iter().find(|(name, _)| name == "aftertrace").unwrap();
    let wanted = OTHERS | KILL | of_old_kernels();
    assert_eq!(mask(&main.1, "CapEff"), wanted & own("CapEff"));
    let trace = recording.signal(rustix::process::Signal::TERM);
    assert_eq!(trace.output.status.code(), Some(7), "{}", describe(&trace.output));
    let status = std::fs::read_to_string(said).unwrap();
    assert_eq!((mask(&status, "CapEff"), mask(&status, "NoNewPrivs")), (own("CapEff"), 0));
}
