//! Containers of a real Docker daemon as what is recorded: started before and during the recording, connecting to each
//! other, refused, out of memory, killed, restarted. One recording; each test of it asks for one thing.

use std::collections::BTreeSet;
use std::time::Duration;

use aftertrace_workload::docker::{self, Daemon};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Recording, Trace, needs_recording};

const IMAGE: &str = "aftertrace-shop:1";
/// What client does: three requests that are answered and one connection that is refused.
const CLIENT: &str = "/bin/busybox sleep 0.5; for i in 1 2 3; do /bin/busybox wget -q -O /dev/null \
                      http://127.0.0.1:20080/busybox; done; /bin/busybox nc 127.0.0.1 20999; /bin/busybox true";

/// A daemon with its containers `web` and `hidden` running, and what the others do once the recording goes on.
fn shop() -> (Trace, Daemon, TempDir) {
    let directory = TempDir::new().unwrap();
    let daemon = Daemon::start(directory.path()).unwrap();
    daemon.import_busybox(IMAGE).unwrap();
    let run = |name: &str, flags: &[&str], command: &[&str]| {
        let begin = ["run", "-d", "--name", name];
        daemon.docker(&[&begin, flags, &[IMAGE, "/bin/busybox"], command].concat()).unwrap();
    };
    let alone = ["--network", "none"];
    run("web", &alone, &["httpd", "-f", "-p", "20080", "-h", "/bin"]);
    run("hidden", &alone, &["sleep", "600"]);
    run("flaky", &alone, &["sleep", "600"]);

    let flags = ["--container", "^/docker/(web|client|hog|flaky)$", "--interval", "1s"];
    let recording = Recording::start(&flags, &[("DOCKER_HOST", &daemon.host())]);
    run("client", &["--network", "container:web"], &["sh", "-c", CLIENT]);
    run("hog", &["--network", "none", "--memory", "16m"], &["tail", "/dev/zero"]);
    run("bystander", &alone, &["sh", "-c", "/bin/busybox true"]);
    for name in ["client", "hog", "bystander"] {
        daemon.docker(&["wait", name]).unwrap();
    }
    daemon.docker(&["kill", "flaky"]).unwrap();
    daemon.docker(&["start", "flaky"]).unwrap();
    // A measurement of the restarted container.
    std::thread::sleep(Duration::from_millis(1_500));
    (recording.interrupt(), daemon, directory)
}

#[test]
fn containers_are_recorded_by_name_with_their_processes_connections_and_ends() {
    needs_recording!();
    if let Some(missing) = docker::missing() {
        assert!(std::env::var_os("CI").is_none(), "CI must run this test: {missing}");
        eprintln!("SKIPPED: {missing}");
        return;
    }
    let (trace, _daemon, _directory) = shop();
    assert_eq!(trace.output.status.code(), Some(0), "{}", crate::support::describe(&trace.output));
    trace.assert_whole();
    only_what_was_named_is_there(&trace);
    every_container_has_its_image(&trace);
    programs_belong_to_their_container(&trace);
    both_ends_of_a_connection_belong_to_their_container(&trace);
    ends_and_restarts_are_counted(&trace);
}

fn only_what_was_named_is_there(trace: &Trace) {
    let named = |row: Value| row["name"].as_str().map(str::to_owned);
    let names: BTreeSet<_> =
        trace.sql("SELECT DISTINCT name FROM containers").into_iter().filter_map(named).collect();
    assert_eq!(names, ["client", "flaky", "hog", "web"].map(str::to_owned).into());
    let strangers =
        trace.sql("SELECT pid, cgroup, command FROM process_events WHERE cgroup NOT LIKE '/docker/%'");
    assert!(strangers.is_empty(), "{strangers:?}");
    for metric in ["container_info", "container_restarts_total"] {
        for name in ["hidden", "bystander"] {
            assert_eq!(trace.metric(metric, &[("container_id", &format!("/docker/{name}"))]), None);
        }
    }
}

fn every_container_has_its_image(trace: &Trace) {
    for name in ["web", "flaky"] {
        let labels = [("container_id", format!("/docker/{name}")), ("image", IMAGE.to_owned())];
        let labels: Vec<_> = labels.iter().map(|(key, value)| (*key, value.as_str())).collect();
        assert_eq!(trace.metric("container_info", &labels), Some(1.0), "{name}");
    }
}

fn programs_belong_to_their_container(trace: &Trace) {
    let programs = |container: &str, arguments: &str| {
        trace.number(&format!(
            "SELECT count(*) FROM process_events e JOIN (SELECT DISTINCT cgroup, name FROM containers) c ON e.cgroup = c.cgroup \
             WHERE c.name = '{container}' AND e.kind = 'exec' AND array_to_string(e.arguments, ' ') LIKE '{arguments}'"
        ))
    };
    assert_eq!(programs("client", "/bin/busybox wget %"), 3);
    assert_eq!(programs("client", "/bin/busybox nc %"), 1);
    assert_eq!(programs("client", "/bin/busybox true"), 1);
    // What starts a container is a process that is there when the runtime tells the container's name.
    let started = "SELECT count(*) FROM processes WHERE array_to_string(arguments, ' ') = '/bin/busybox tail /dev/zero'";
    assert_eq!(trace.number(started), 1);
    assert_eq!(programs("web", "%"), 0, "its server forks and runs no other program");
}

fn both_ends_of_a_connection_belong_to_their_container(trace: &Trace) {
    let client = ("container_id", "/docker/client");
    let web = ("destination", "127.0.0.1:20080");
    assert_eq!(trace.metric("container_net_tcp_successful_connects_total", &[client, web]), Some(3.0));
    let refused = [client, ("destination", "127.0.0.1:20999")];
    assert_eq!(trace.metric("container_net_tcp_failed_connects_total", &refused), Some(1.0));
    let listening = [("container_id", "/docker/web"), ("listen_addr", "127.0.0.1:20080")];
    assert_eq!(trace.metric("container_net_tcp_listen_info", &listening), Some(1.0));
    let accepted =
        trace.number("SELECT count(*) FROM tcp_events WHERE kind = 'accept' AND local_port = 20080");
    assert_eq!(accepted, 3);
    let ends =
        trace.number("SELECT count(*) FROM connections WHERE closed IS NOT NULL AND remote_port = 20080");
    assert_eq!(ends, 3);
}

fn ends_and_restarts_are_counted(trace: &Trace) {
    let kills = trace.number("SELECT count(*) FROM process_events WHERE kind = 'oom_kill'");
    assert_eq!(kills, 1);
    let metric = |name: &str, container: &str| trace.metric(name, &[("container_id", container)]);
    assert_eq!(metric("container_restarts_total", "/docker/flaky"), Some(1.0));
    let killed = "SELECT count(*) FROM process_events WHERE kind = 'exit' AND signal = 9";
    assert_eq!(trace.number(killed), 2, "hog by the kernel, flaky by docker kill");
    assert_eq!(trace.number("SELECT count(*) FROM process_events WHERE kind = 'exec' AND array_to_string(arguments, ' ') = '/bin/busybox sleep 600'"), 1, "flaky, again");
}
