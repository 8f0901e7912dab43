//! Against a stand-in: a Unix socket on which a thread of the test answers, hangs, closes or sends garbage. The
//! real daemons are in `recorder/tests/runtimes`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use aftertrace_schemas::tables::ProbeState;

use super::*;

const ANSWERS: u8 = 0;
const HANGS: u8 = 1;
const CLOSES: u8 = 2;
const GARBAGE: u8 = 3;
const SERVER_ERROR: u8 = 4;
const WRONG_JSON: u8 = 5;
/// Only for one container, as the real daemon does when that container's lock is held.
const HANGS_ON_STUCK: u8 = 6;

const PATIENCE: Duration = Duration::from_secs(10);
const DEADLINE: Duration = Duration::from_millis(200);

const INSPECTED: &str = r#"{"Id":"abc","Name":"/web-1","Image":"sha256:1","LogPath":"/var/lib/docker/abc-json.log",
"State":{"Pid":4711,"Status":"running"},
"Config":{"Image":"nginx:1.27","Labels":{"b":"2","a":"1"},
"Env":["NOMAD_JOB_NAME=shop","PASSWORD=secret","NOMAD_TOKEN=secret","NOMAD_TASK_NAME=a=b","PATH"]},
"HostConfig":{"LogConfig":{"Type":"json-file"}},
"Mounts":[{"Type":"bind","Source":"/mnt/pvc-1","Destination":"/data"},{"Type":"tmpfs","Destination":"/tmp"}],
"NetworkSettings":{"Ports":{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"},{"HostIp":"::","HostPort":"8080"}],
"53/udp":[{"HostIp":"0.0.0.0","HostPort":"53"}],"81/tcp":null,"82/tcp":[{"HostIp":"","HostPort":"8082"}]},
"Networks":{"front":{"IPAddress":"172.18.0.2","GlobalIPv6Address":"fd00::2"},"none":{"IPAddress":""}}}}"#;

/// A stand-in for the daemon.
struct StandIn {
    behaviour: Arc<AtomicU8>,
    calls: Arc<AtomicUsize>,
}

impl StandIn {
    fn start(socket: &Path, behaviour: u8) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let behaviour = Arc::new(AtomicU8::new(behaviour));
        let calls = Arc::new(AtomicUsize::new(0));
        let (shared_behaviour, shared_calls) = (Arc::clone(&behaviour), Arc::clone(&calls));
        std::thread::spawn(move || {
            // Streams that are hung up on stay open here.
            let held = Mutex::new(Vec::new());
            for stream in listener.incoming() {
                shared_calls.fetch_add(1, Ordering::SeqCst);
                if let Some(stream) = Self::serve(stream.unwrap(), shared_behaviour.load(Ordering::SeqCst)) {
                    held.lock().unwrap().push(stream);
                }
            }
        });
        Self { behaviour, calls }
    }

    fn serve(mut stream: UnixStream, behaviour: u8) -> Option<UnixStream> {
        let mut path = String::new();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        reader.read_line(&mut path).unwrap();
        let mut line = String::new();
        while reader.read_line(&mut line).unwrap() > 2 {
            line.clear();
        }
        let (status, body) = match behaviour {
            HANGS => return Some(stream),
            HANGS_ON_STUCK if path.contains("/stuck/") => return Some(stream),
            CLOSES => return None,
            GARBAGE => {
                stream.write_all(b"\x00\xff\x13garbage\r\n\r\n").unwrap();
                return None;
            }
            _ if path.contains("/version") => ("200 OK", r#"{"ApiVersion":"1.41"}"#),
            SERVER_ERROR => ("500 Internal Server Error", r#"{"message":"container is broken"}"#),
            WRONG_JSON => ("200 OK", r#"{"State":"#),
            _ if path.contains("/unknown/") => ("404 Not Found", r#"{"message":"No such container"}"#),
            _ if path.starts_with("GET /") && path.contains("/containers/") => ("200 OK", INSPECTED),
            _ => ("400 Bad Request", r#"{"message":"not a request that this stand-in knows"}"#),
        };
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        None
    }
}

fn source(socket: &Path, retry: Duration) -> RuntimeSource {
    let sockets = vec![PathBuf::from("/nonexistent/docker.sock"), socket.to_owned()];
    let config =
        RuntimeConfig { runtime: Runtime::Docker, sockets, deadline: DEADLINE, retry_interval: retry };
    RuntimeSource::start(config).unwrap()
}

fn request(container_id: &str) -> RuntimeRequest {
    RuntimeRequest { cgroup: format!("/docker/{container_id}"), id: container_id.to_owned() }
}

fn next_row(source: &RuntimeSource) -> ContainerSnapshot {
    loop {
        if let RuntimeReport::Answer(Answer::Container(row)) = source.wait_report(PATIENCE).unwrap() {
            return *row;
        }
    }
}

fn next_status(source: &RuntimeSource) -> (ProbeState, String) {
    loop {
        if let RuntimeReport::Status(status) = source.wait_report(PATIENCE).unwrap() {
            assert_eq!(status.probe, "docker");
            return (status.state, status.reason.unwrap_or_default());
        }
    }
}

#[test]
fn an_answer_becomes_a_row_without_any_secret_of_the_environment() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("docker.sock");
    let _daemon = StandIn::start(&socket, ANSWERS);
    let source = source(&socket, PATIENCE);
    assert_eq!(next_status(&source), (ProbeState::Active, String::new()));
    assert_eq!(source.request(request("abc")), None);
    let map = |pairs: [(&str, &str); 2]| -> BTreeMap<String, String> {
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    };
    assert_eq!(
        next_row(&source),
        ContainerSnapshot {
            cgroup: "/docker/abc".to_owned(),
            runtime: "docker".to_owned(),
            runtime_id: "abc".to_owned(),
            metadata: MetadataStatus::Found,
            name: Some("web-1".to_owned()),
            image: Some("nginx:1.27".to_owned()),
            labels: map([("a", "1"), ("b", "2")]),
            environment: map([("NOMAD_JOB_NAME", "shop"), ("NOMAD_TASK_NAME", "a=b")]),
            log_path: Some("/var/lib/docker/abc-json.log".to_owned()),
            pid: Some(4711),
            log_format: Some("docker_json".to_owned()),
            mounts: Some(BTreeMap::from([("/data".to_owned(), "/mnt/pvc-1".to_owned())])),
            port_bindings: Some(["0.0.0.0:8080", "0.0.0.0:8082", "[::]:8080"].map(str::to_owned).to_vec()),
            networks: Some(map([("front", "172.18.0.2 fd00::2"), ("none", "")])),
        }
    );
    assert_eq!(source.try_report(), None);
}

#[test]
fn an_unknown_container_and_an_impossible_id_are_not_found() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("docker.sock");
    let daemon = StandIn::start(&socket, ANSWERS);
    let source = source(&socket, PATIENCE);
    next_status(&source);
    source.request(request("unknown"));
    assert_eq!(next_row(&source).metadata, MetadataStatus::NotFound);
    let calls = daemon.calls.load(Ordering::SeqCst);
    source.request(request("../../images/json?x="));
    assert_eq!(next_row(&source).metadata, MetadataStatus::NotFound);
    assert_eq!(daemon.calls.load(Ordering::SeqCst), calls);
}

#[test]
fn a_hung_daemon_costs_one_deadline_and_then_nothing_until_it_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("docker.sock");
    let daemon = StandIn::start(&socket, ANSWERS);
    let source = source(&socket, Duration::from_secs(1));
    assert_eq!(next_status(&source).0, ProbeState::Active);
    daemon.behaviour.store(HANGS, Ordering::SeqCst);
    let start = Instant::now();
    for id in ["a", "b", "c", "d"] {
        source.request(request(id));
    }
    assert!(start.elapsed() < DEADLINE / 2);
    assert_eq!(next_status(&source), (ProbeState::Failed, "no answer within 200ms".to_owned()));
    for id in ["a", "b", "c", "d"] {
        let row = next_row(&source);
        assert_eq!((row.runtime_id.as_str(), row.metadata), (id, MetadataStatus::Unreachable));
    }
    assert!(start.elapsed() < DEADLINE * 3, "{:?}", start.elapsed());

    // When it answers again, so do the containers that were owed an answer.
    daemon.behaviour.store(ANSWERS, Ordering::SeqCst);
    assert_eq!(next_status(&source).0, ProbeState::Active);
    let mut ids =
        Vec::from(["a", "b", "c", "d"].map(|_| next_row(&source)).map(|row| (row.runtime_id, row.metadata)));
    ids.sort_unstable();
    assert_eq!(ids, ["a", "b", "c", "d"].map(|id| (id.to_owned(), MetadataStatus::Found)));
}

#[test]
fn a_container_that_the_daemon_hangs_on_does_not_hold_up_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("docker.sock");
    let _daemon = StandIn::start(&socket, HANGS_ON_STUCK);
    let source = source(&socket, Duration::from_millis(50));
    for id in ["stuck", "a", "b"] {
        source.request(request(id));
    }
    let mut found = Vec::new();
    while found.len() < 2 {
        let row = next_row(&source);
        if row.metadata == MetadataStatus::Found {
            found.push(row.runtime_id);
        }
    }
    found.sort_unstable();
    assert_eq!(found, ["a", "b"]);
}

#[test]
fn a_daemon_that_closes_or_sends_garbage_or_half_an_answer_is_unreachable_with_a_reason() {
    for behaviour in [CLOSES, GARBAGE, WRONG_JSON] {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("docker.sock");
        let daemon = StandIn::start(&socket, ANSWERS);
        let source = source(&socket, PATIENCE);
        assert_eq!(next_status(&source).0, ProbeState::Active);
        daemon.behaviour.store(behaviour, Ordering::SeqCst);
        source.request(request("abc"));
        let (state, reason) = next_status(&source);
        assert_eq!(state, ProbeState::Failed);
        assert!(!reason.is_empty());
        assert_eq!(next_row(&source).metadata, MetadataStatus::Unreachable);
    }
}

#[test]
fn an_error_for_one_container_does_not_stop_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("docker.sock");
    let daemon = StandIn::start(&socket, SERVER_ERROR);
    let source = source(&socket, PATIENCE);
    assert_eq!(next_status(&source).0, ProbeState::Active);
    source.request(request("abc"));
    let (state, reason) = next_status(&source);
    assert!(state == ProbeState::Failed && reason.contains("container is broken"), "{reason}");
    assert_eq!(next_row(&source).metadata, MetadataStatus::Unreachable);
    daemon.behaviour.store(ANSWERS, Ordering::SeqCst);
    source.request(request("def"));
    assert_eq!(next_row(&source).metadata, MetadataStatus::Found);
}

#[test]
fn an_absent_daemon_is_off_and_found_when_it_starts() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("docker.sock");
    let source = source(&socket, Duration::from_millis(50));
    let (state, reason) = next_status(&source);
    assert_eq!(state, ProbeState::Off);
    assert!(reason.starts_with("no Docker socket at /nonexistent/docker.sock, "), "{reason}");
    source.request(request("abc"));
    assert_eq!(next_row(&source).metadata, MetadataStatus::Unreachable);
    let _daemon = StandIn::start(&socket, ANSWERS);
    assert_eq!(next_row(&source).metadata, MetadataStatus::Found);
}

#[test]
fn a_socket_that_nobody_listens_on_is_failed() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("docker.sock");
    drop(UnixListener::bind(&socket).unwrap());
    let (state, reason) = next_status(&source(&socket, PATIENCE));
    assert_eq!(state, ProbeState::Failed);
    assert!(reason.contains("Connection refused"), "{reason}");
}

#[test]
fn only_a_unix_socket_of_docker_host_is_used() {
    let first =
        |host| RuntimeConfig::new(Runtime::Docker, host).sockets.first().unwrap().display().to_string();
    assert_eq!(first(Some("unix:///home/me/docker.sock")), "/home/me/docker.sock");
    assert_eq!(first(Some("unix:path=/home/me/bus")), "/home/me/bus");
    assert_eq!(first(Some("/home/me/docker.sock")), "/home/me/docker.sock");
    for other in [None, Some("tcp://10.0.0.1:2375"), Some("ssh://me@host"), Some("unix://"), Some("")] {
        assert_eq!(first(other), "/run/docker.sock");
    }
}

#[test]
fn a_socket_that_was_left_behind_does_not_hide_the_one_that_answers() {
    let directory = tempfile::tempdir().unwrap();
    let (dead, socket) = (directory.path().join("dead.sock"), directory.path().join("docker.sock"));
    drop(UnixListener::bind(&dead).unwrap());
    let _daemon = StandIn::start(&socket, ANSWERS);
    let config = RuntimeConfig {
        runtime: Runtime::Podman,
        sockets: vec![dead, socket],
        deadline: DEADLINE,
        retry_interval: PATIENCE,
    };
    let source = RuntimeSource::start(config).unwrap();
    source.request(request("abc"));
    let row = next_row(&source);
    assert_eq!((row.runtime.as_str(), row.name.as_deref()), ("podman", Some("web-1")));
}

#[test]
fn every_runtime_is_looked_for_in_the_recorders_and_in_the_hosts_root() {
    for runtime in Runtime::ALL {
        let sockets = RuntimeConfig::new(runtime, None).sockets;
        let of_host = |socket: &PathBuf| socket.starts_with("/proc/1/root");
        assert!(
            sockets.len() >= 2
                && sockets.iter().filter(|socket| of_host(socket)).count() * 2 == sockets.len()
        );
    }
}

mod answers;
