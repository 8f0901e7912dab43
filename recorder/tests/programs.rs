//! A recording of real Java virtual machines and of programs that Go and Rust built, compared with what `jcmd` says.
//! Root only; the command runs in a control group of its own, which is all that is recorded.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use aftertrace_recorder::config::RecordConfig;
use aftertrace_recorder::record::{Observer, Status, record};
use aftertrace_recorder::sources::cloud::CloudOverrides;
use aftertrace_registry::{Registry, metrics::exposition};
use aftertrace_schemas::tables::{Executable, JvmGcStats, JvmStats, Toolchain};
use aftertrace_schemas::{Kind, UnixNanos};
use tempfile::TempDir;

use trace_support::{Found, read};

mod trace_support;

/// Makes garbage, has it collected, and then does nothing, so that its counters stand still.
const JAVA: &str = r#"
class Busy {
    static byte[][] held = new byte[64][];
    public static void main(String[] arguments) throws Exception {
        for (int i = 0; i < 20000; i++) held[i % held.length] = new byte[10000];
        System.gc();
        System.gc();
        new java.io.File(arguments[0]).createNewFile();
        Thread.sleep(600000);
    }
}
class Serial extends Busy {}
class Parallel extends Busy {}
class GarbageFirst extends Busy {}
"#;

/// The last one is process 1 of a namespace of its own, with a /tmp of its own, as in a container.
const SCRIPT: &str = r#"
    set -e
    pids=
    java -XX:+UseSerialGC -Xmx64m -cp $OUT Serial $OUT/Serial.ready password=hunter2 & pids="$pids $!"
    java -XX:+UseParallelGC -Xmx64m -cp $OUT Parallel $OUT/Parallel.ready password=hunter2 & pids="$pids $!"
    unshare --mount --pid --fork --kill-child sh -c 'mount -t tmpfs none /tmp && exec java -XX:+UseG1GC -Xmx64m \
        -cp /proc/self/cwd GarbageFirst GarbageFirst.ready password=hunter2' & pids="$pids $!"
    prometheus --config.file=prometheus.yml --storage.tsdb.path=data --web.listen-address=127.0.0.1:20991 \
        > prometheus.log 2>&1 & pids="$pids $!"
    "$SELF" --ignored --exact a_program_that_rust_built_waits > rust.log < input & pids="$pids $!"
    exec 9> input
    for name in Serial Parallel GarbageFirst; do
        until [ -e $name.ready ]; do sleep 0.1; done
        pid=$(pgrep -n -f "^java .* $name ")
        # The launcher of a machine in a namespace is found by its command line too; the machine is its child.
        sleep 1
        date +%s%N > $name.before
        jcmd $pid PerfCounter.print > $name.counters
        date +%s%N > $name.after
        sleep 1
    done
    exec 9>&-
    # unshare(1) takes no milder signal while its child lives.
    kill -9 $pids
    wait || true
"#;

struct Words;

impl Observer for Words {
    fn started(&mut self) {}
    fn status(&mut self, _: &Status) {}
    fn warning(&mut self, message: &str) {
        println!("warning: {message}");
    }
}

#[test]
#[ignore = "it is what the recorded command runs"]
fn a_program_that_rust_built_waits() {
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// Whether what the test needs is here.
fn is_possible() -> bool {
    let mut missing: Vec<String> = aftertrace_recorder::kernel::missing_capabilities()
        .iter()
        .map(|missing| format!("{missing:?}"))
        .collect();
    for program in ["javac", "jcmd", "prometheus", "pgrep", "unshare"] {
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap();
        if !found.status.success() {
            missing.push(program.to_owned());
        }
    }
    assert!(
        missing.is_empty() || std::env::var_os("CI").is_none(),
        "in CI this test must run; missing: {missing:?} (cargo xtask setup)"
    );
    if !missing.is_empty() {
        println!("skipped: missing {missing:?}");
    }
    missing.is_empty()
}

fn record_command(directory: &Path) -> Found {
    fs::write(directory.join("Busy.java"), JAVA).unwrap();
    let compiled = Command::new("javac").arg("Busy.java").current_dir(directory).output().unwrap();
    assert!(compiled.status.success(), "{compiled:?}");
    fs::write(directory.join("prometheus.yml"), "").unwrap();
    assert!(Command::new("mkfifo").arg(directory.join("input")).status().unwrap().success());
    let own = std::env::current_exe().unwrap();
    let script = format!("OUT={0}\nSELF={1}\ncd $OUT\n{SCRIPT}", directory.display(), own.display());
    let mut config = RecordConfig::new(Some(directory.join("trace")));
    config.command = ["sh", "-c", &script].iter().map(OsString::from).collect();
    config.interval = Duration::from_millis(200);
    config.ring_bytes = 1 << 20;
    config.cloud = CloudOverrides {
        provider: Some("Cellar".to_owned()),
        region: Some("home".to_owned()),
        availability_zone: Some("home-1".to_owned()),
        ..CloudOverrides::default()
    };
    // In a thread of its own: it gives up what this one needs to clean up.
    let recording = || record(&config, &mut Words).unwrap();
    let outcome = std::thread::scope(|scope| scope.spawn(recording).join().unwrap());
    assert_eq!(outcome.exit_code, Some(0), "{outcome:?}");
    read(&directory.join("trace"))
}

/// What `jcmd` said of a machine, and when it was asked and had answered.
struct Said {
    counters: BTreeMap<String, String>,
    before: UnixNanos,
    after: UnixNanos,
}

impl Said {
    fn read(directory: &Path, name: &str) -> Self {
        let text = |end: &str| fs::read_to_string(directory.join(format!("{name}.{end}"))).unwrap();
        let counters = text("counters");
        let pairs = counters.lines().filter_map(|line| line.split_once('='));
        Self {
            counters: pairs
                .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
                .collect(),
            before: text("before").trim().parse().unwrap(),
            after: text("after").trim().parse().unwrap(),
        }
    }

    fn number(&self, name: &str) -> u64 {
        self.counters.get(name).unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
    }

    fn sum(&self, end: &str) -> u64 {
        let is_part = |name: &str| name.starts_with("sun.gc.generation.") && name.ends_with(end);
        let parts = self.counters.iter().filter(|(name, _)| is_part(name) && name.contains(".space."));
        parts.map(|(_, value)| value.parse::<u64>().unwrap()).sum()
    }
}

/// The rows of a machine: the last before `jcmd` was asked, and the first after it had answered.
fn around<'a>(found: &'a Found, name: &str, said: &Said) -> (&'a JvmStats, &'a JvmStats) {
    let rows: Vec<(UnixNanos, &JvmStats)> = found
        .observations
        .iter()
        .filter_map(|row| match &row.kind {
            Kind::JvmStats(stats) if stats.jvm == name => Some((row.time, stats)),
            _ => None,
        })
        .collect();
    assert!(!rows.is_empty(), "no rows of {name}");
    let before = rows.iter().rfind(|(time, _)| *time < said.before).unwrap().1;
    let after = rows.iter().find(|(time, _)| *time > said.after).unwrap().1;
    (before, after)
}

#[test]
fn java_machines_say_what_jcmd_says_and_programs_say_what_built_them() {
    if !is_possible() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let found = record_command(directory.path());
    for name in ["Serial", "Parallel", "GarbageFirst"] {
        let said = Said::read(directory.path(), name);
        let (before, after) = around(&found, name, &said);
        assert_eq!(before.java_version, said.counters["java.property.java.version"]);
        let between = |what: &str, before: u64, now: u64, after: u64| {
            assert!((before..=after).contains(&now), "{name} {what}: {before} {now} {after}");
        };
        between("size", before.heap_size_bytes, said.sum(".capacity"), after.heap_size_bytes);
        between("used", before.heap_used_bytes, said.sum(".used"), after.heap_used_bytes);
        assert_eq!(said.number("sun.os.hrt.frequency"), 1_000_000_000, "ticks are nanoseconds here");
        let [stood, came] =
            ["sun.rt.safepointTime", "sun.rt.safepointSyncTime"].map(|name| said.number(name));
        between("safepoints", before.safepoint_time_ns.unwrap(), stood, after.safepoint_time_ns.unwrap());
        let came_in = (before.safepoint_sync_time_ns.unwrap(), after.safepoint_sync_time_ns.unwrap());
        between("way to safepoints", came_in.0, came, came_in.1);
        assert!(stood > 0 && said.sum(".used") > 0);
        // -Xmx64m, but for a page and the survivors that are not counted twice.
        let max = before.heap_max_bytes.unwrap();
        assert!((64 << 20..65 << 20).contains(&max), "{name}: {max}");

        let collectors: BTreeMap<&str, (u64, u64)> = found
            .observations
            .iter()
            .filter_map(|row| match &row.kind {
                Kind::JvmGcStats(JvmGcStats { pid, gc, time_ns, collections, .. }) if *pid == before.pid => {
                    Some((gc.as_str(), (*time_ns, *collections)))
                }
                _ => None,
            })
            .collect();
        for number in 0..2 {
            let of = |what: &str| format!("sun.gc.collector.{number}.{what}");
            let expected = (said.number(&of("time")), said.number(&of("invocations")));
            assert_eq!(collectors.get(said.counters[&of("name")].as_str()), Some(&expected), "{name}");
        }
        assert!(collectors.values().any(|(time_ns, runs)| *time_ns > 0 && *runs > 0));
    }

    let built = |toolchain: Toolchain| {
        found.observations.iter().find_map(|row| match &row.kind {
            Kind::Executable(Executable { toolchain: found, version, .. }) if *found == toolchain => {
                Some(version.clone().unwrap_or_default())
            }
            _ => None,
        })
    };
    assert!(built(Toolchain::Golang).unwrap().starts_with("go1."), "prometheus is built by Go");
    assert!(built(Toolchain::Rust).unwrap().starts_with("1."), "this test is built by Rust");

    metrics_while_all_of_them_ran(directory.path(), &found);
}

fn metrics_while_all_of_them_ran(directory: &Path, found: &Found) {
    let moment = Said::read(directory, "GarbageFirst").after;
    let mut registry = Registry::new(aftertrace_registry::Config::default());
    found.observations.iter().take_while(|row| row.time <= moment).for_each(|row| registry.apply(row));
    let text = exposition::prometheus_text(&registry.collect());
    let of_command = |name: &str, label: &str| {
        text.lines().any(|line| {
            line.starts_with(&format!("{name}{{"))
                && [label, "container_id=\"/command/", "az=\"home-1\"", "region=\"home\""]
                    .iter()
                    .all(|part| line.contains(part))
        })
    };
    for name in ["Serial", "Parallel", "GarbageFirst"] {
        for family in [
            "info",
            "heap_size_bytes",
            "heap_used_bytes",
            "heap_max_size_bytes",
            "gc_time_seconds",
            "safepoint_time_seconds",
            "safepoint_sync_time_seconds",
        ] {
            let (family, label) = (format!("container_jvm_{family}"), format!("jvm=\"{name}\""));
            assert!(of_command(&family, &label), "{family} of {name}: {text}");
        }
    }
    for kind in ["java", "prometheus", "golang", "rust"] {
        let label = format!("application_type=\"{kind}\"");
        assert!(of_command("container_application_type", &label), "{kind}: {text}");
    }
    assert!(text.contains("node_cloud_info{") && text.contains("provider=\"Cellar\""), "{text}");
    assert!(!text.contains("hunter2"), "arguments of programs are nobody's business");

    found.observations.iter().skip_while(|row| row.time <= moment).for_each(|row| registry.apply(row));
    let text = exposition::prometheus_text(&registry.collect());
    assert!(!text.contains("container_jvm_"), "machines that ended have no series: {text}");
}
