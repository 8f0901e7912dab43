//! The recorder in a container, with the capabilities, mounts and restrictions that the manifest for Kubernetes gives it,
//! read from the manifest itself. Docker stands in for a node's runtime; the image holds the debug build and its
//! libraries.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use aftertrace_workload::docker::{self, Daemon};
use serde_yaml_ng::Value;
use tempfile::TempDir;

use crate::support::{AFTERTRACE, describe, needs_recording};

const IMAGE: &str = "aftertrace-node:1";
const BUSYBOX: &str = "aftertrace-node-web:1";
/// What the recorder keeps in a container: CAP_DAC_READ_SEARCH, NET_ADMIN, NET_RAW, SYS_PTRACE and SYS_ADMIN; and to
/// run the host's journalctl, the second one.
const KEPT: u64 = 1 << 2 | 1 << 12 | 1 << 13 | 1 << 19 | 1 << 21;
const SYS_CHROOT: u64 = 1 << 18;

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// The specification of the pods, and of their one container.
fn pod() -> (Value, Value) {
    let text = file("kubernetes/daemonset.yaml");
    let documents = text.split("\n---\n").map(|text| serde_yaml_ng::from_str::<Value>(text).unwrap());
    let daemon_set = documents.into_iter().find(|document| document["kind"] == "DaemonSet").unwrap();
    let pod = daemon_set["spec"]["template"]["spec"].clone();
    let container = pod["containers"][0].clone();
    (pod, container)
}

fn words(list: &Value) -> Vec<String> {
    list.as_sequence().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// What must work.
const SOURCES: [&str; 9] =
    ["capabilities", "cgroups", "docker", "executables", "filesystems", "logs", "namespaces", "node", "ping"];

/// Whether all of them have said how they fare.
fn have_measured(page: &str) -> bool {
    let told: Vec<_> = ["active", "failed", "off"].iter().flat_map(|state| in_state(page, state)).collect();
    SOURCES.iter().all(|name| told.iter().any(|(told, _)| told == name))
}

/// Whether the daemon knows a capability. Docker 20.10 knows neither CAP_BPF nor CAP_PERFMON, which CAP_SYS_ADMIN
/// includes.
fn knows(daemon: &Daemon, capability: &str) -> bool {
    let flag = format!("--cap-add={capability}");
    match daemon.docker(&["create", &flag, "--network=none", BUSYBOX, "/bin/busybox", "true"]) {
        Ok(id) => daemon.docker(&["rm", id.trim()]).is_ok(),
        Err(error) => {
            assert!(["BPF", "PERFMON"].contains(&capability), "{error}");
            eprintln!("not tested: this Docker does not know {capability}");
            false
        }
    }
}

/// The flags by which Docker gives a container what Kubernetes gives the pod's.
fn flags(daemon: &Daemon) -> Vec<String> {
    let (pod, container) = pod();
    let security = &container["securityContext"];
    assert_eq!(security["privileged"], false);
    assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(security["appArmorProfile"]["type"], "Unconfined");
    assert_eq!(pod["hostPID"], true);
    let mut flags = vec!["--pid=host".to_owned(), "--security-opt=apparmor=unconfined".to_owned()];
    if security["readOnlyRootFilesystem"] == true {
        flags.push("--read-only".to_owned());
    }
    flags.push(format!(
        "--user={}:{}",
        security["runAsUser"].as_u64().unwrap(),
        security["runAsGroup"].as_u64().unwrap()
    ));
    flags.extend(words(&security["capabilities"]["drop"]).iter().map(|name| format!("--cap-drop={name}")));
    let added = words(&security["capabilities"]["add"]).into_iter();
    flags.extend(added.filter(|name| knows(daemon, name)).map(|name| format!("--cap-add={name}")));
    for mount in container["volumeMounts"].as_sequence().unwrap() {
        let volumes = pod["volumes"].as_sequence().unwrap();
        let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).unwrap();
        let target = mount["mountPath"].as_str().unwrap();
        match volume["hostPath"]["path"].as_str() {
            Some(source) => {
                assert_eq!(mount["readOnly"], true, "{source} of the host is not to be written");
                flags.push(format!("--volume={source}:{target}:ro"));
            }
            None => flags.push(format!("--tmpfs={target}")),
        }
    }
    flags
}

/// An image with the program and the libraries that it asks for.
fn import(daemon: &Daemon, folder: &Path) {
    let root = folder.join("root");
    let shell = |script: &str| {
        let output = Command::new("sh").args(["-ec", script]).output().unwrap();
        assert!(output.status.success(), "{}", describe(&output));
    };
    shell(&format!(
        "mkdir -p {root}/tmp {root}/etc; strip -o {root}/aftertrace {AFTERTRACE}; \
         for file in $(ldd {AFTERTRACE} | grep -o '/[^ ]*'); do mkdir -p {root}$(dirname $file); cp -L $file {root}$file; done; \
         tar -C {root} -cf {root}.tar .; rm -rf {root}",
        root = root.display()
    ));
    let entry = "--change=ENTRYPOINT [\"/aftertrace\"]";
    daemon.docker(&["import", entry, &format!("{}.tar", root.display()), IMAGE]).unwrap();
}

/// Asks the recorder from within its network namespace.
fn get(pid: &str, path: &str) -> Option<String> {
    let url = format!("http://127.0.0.1:9102{path}");
    let net = format!("--net=/proc/{pid}/ns/net");
    let output = Command::new("nsenter").args([&net, "curl", "-sf", "-m", "10", &url]).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// Names in the given state on the page, with the reason.
fn in_state<'a>(page: &'a str, state: &str) -> Vec<(&'a str, &'a str)> {
    let mark = format!("</td><td class=\"{state}\">{state}</td><td>");
    let row = |row: &'a str| {
        let (name, reason) = row.split_once(&mark)?;
        Some((name, reason.split_once("</td>")?.0))
    };
    page.split("<tr><td>").filter_map(row).collect()
}

fn mask(status: &str, field: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    u64::from_str_radix(line.trim_start_matches(':').trim(), 16).unwrap()
}

#[test]
fn in_a_container_with_what_the_manifest_gives_it_every_source_works() {
    needs_recording!();
    if let Some(missing) = docker::missing() {
        assert!(std::env::var_os("CI").is_none(), "CI must run this test: {missing}");
        eprintln!("SKIPPED: {missing}");
        return;
    }
    let directory = TempDir::new().unwrap();
    let daemon = Daemon::start(directory.path()).unwrap();
    daemon.import_busybox(BUSYBOX).unwrap();
    import(&daemon, directory.path());
    // Another user, a log and connections to itself.
    let work = "/bin/busybox httpd -p 20080 -h /bin; while true; do /bin/busybox wget -q -O /dev/null \
                http://127.0.0.1:20080/busybox; echo WARN again; /bin/busybox sleep 0.2; done";
    let web = [
        "run",
        "-d",
        "--name",
        "web",
        "--network=none",
        "--user=65534",
        BUSYBOX,
        "/bin/busybox",
        "sh",
        "-c",
        work,
    ];
    daemon.docker(&web).unwrap();

    // Some sandboxes close their first process to everyone, so that neither files nor namespaces of the host are reached
    // through it. The daemon's socket and logs are mounted then, and what takes a namespace of the host is left out.
    let is_open = std::fs::read_link("/proc/1/root").is_ok();
    let socket = daemon.socket().display().to_string();
    let of_host = if is_open { "/proc/1/root" } else { "" };
    let socket_of_host = format!("DOCKER_HOST=unix://{of_host}{socket}");
    let mut run: Vec<String> =
        ["run", "-d", "--name=node", "--network=none", "-e", &socket_of_host].map(str::to_owned).into();
    run.extend(flags(&daemon));
    if !is_open {
        eprintln!("not tested: the way to the host through /proc/1/root, which is closed here");
        let logs = directory.path().join("data/containers").display().to_string();
        run.extend([&socket, &logs].map(|path| format!("--volume={path}:{path}:ro")));
    }
    run.push(IMAGE.to_owned());
    run.extend(words(&pod().1["args"]));
    // Only what this test itself started is observed, and sooner than by default.
    run.extend(
        ["--container", "^/docker/web$", "--interval=500ms", "--min-container-age=0s"].map(str::to_owned),
    );
    let run: Vec<&str> = run.iter().map(String::as_str).collect();
    daemon.docker(&run).unwrap();
    let pid = daemon.docker(&["inspect", "-f", "{{.State.Pid}}", "node"]).unwrap().trim().to_owned();
    let logs = || {
        let output = Command::new("docker").args(["-H", &daemon.host(), "logs", "node"]).output().unwrap();
        describe(&output)
    };
    let mut wanted = vec![
        "container_resources_cpu_delay_seconds_total",
        "container_info",
        "container_net_tcp_successful_connects_total",
        "container_resources_cpu_usage_seconds_total",
        "container_log_messages_total",
        "node_uptime_seconds",
    ];
    if is_open {
        wanted.push("node_net_interface_ip");
    }
    let has = |metrics: &str, name: &str| {
        let is_it = |line: &str| {
            line.starts_with(name) && (name.starts_with("node") || line.contains("\"/docker/web\""))
        };
        metrics.lines().any(is_it)
    };
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let metrics = get(&pid, "/metrics").unwrap_or_default();
        // Once every source has had a round; the page is renewed each second.
        if wanted.iter().all(|name| has(&metrics, name))
            && get(&pid, "/").is_some_and(|page| have_measured(&page))
        {
            break;
        }
        let missing: Vec<_> = wanted.iter().filter(|name| !has(&metrics, name)).collect();
        let page = get(&pid, "/").unwrap_or_default();
        assert!(Instant::now() < until, "no {missing:?}\n{}\n{page}\n{metrics}", logs());
        std::thread::sleep(Duration::from_millis(300));
    }
    assert_eq!(get(&pid, "/readyz").as_deref(), Some("ready\n"));
    let page = get(&pid, "/").unwrap();
    assert_eq!(in_state(&page, "failed"), [], "{}", logs());
    let active: BTreeSet<&str> = in_state(&page, "active").into_iter().map(|(name, _)| name).collect();
    for name in SOURCES {
        assert!(active.contains(name), "{name}: {page}");
    }

    let mut together = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let Ok(status) = std::fs::read_to_string(task.unwrap().path().join("status")) else { continue };
        together |= mask(&status, "CapPrm");
        assert_eq!(mask(&status, "NoNewPrivs"), 1, "{status}");
    }
    let chroot = if is_open { SYS_CHROOT } else { 0 };
    assert_eq!(together, KEPT | chroot, "what all threads hold together: {together:x}\n{page}");
    daemon.docker(&["stop", "-t", "20", "node"]).unwrap();
    let code = daemon.docker(&["inspect", "-f", "{{.State.ExitCode}}", "node"]).unwrap();
    assert_eq!(code.trim(), "0", "{}", logs());
}

#[test]
fn the_unit_and_the_manifest_grant_the_same() {
    let of_unit = |line: &str| {
        line.strip_prefix("CapabilityBoundingSet=")
            .map(|names| names.split(' ').map(str::to_owned).collect::<BTreeSet<_>>())
    };
    let unit = file("aftertrace.service").lines().find_map(of_unit).unwrap();
    let names = words(&pod().1["securityContext"]["capabilities"]["add"]);
    let mut manifest: BTreeSet<String> = names.iter().map(|name| format!("CAP_{name}")).collect();
    // The way to the host's journalctl, which a unit has in front of it.
    assert!(manifest.remove("CAP_SYS_CHROOT"));
    assert_eq!(unit, manifest);
}
