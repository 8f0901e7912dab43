//! Recordings of commands that write to file systems of their own, compared with what the system says of them. Root
//! only; each command runs in a control group of its own, which is all that is recorded.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aftertrace_recorder::config::RecordConfig;
use aftertrace_recorder::record::{Observer, Status, record};
use aftertrace_registry::{Registry, metrics::exposition};
use aftertrace_schemas::tables::{CgroupIo, FilesystemStats, MountSnapshot, ProbeState};
use aftertrace_schemas::{Kind, Observation, UnixNanos};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use trace_support::{Found, read};

mod trace_support;

/// Sources measure this often here.
const INTERVAL: Duration = Duration::from_millis(200);
/// The metrics name the command so.
const CONTAINER: &str = "container_id=\"/command/";

/// A recording has the process's signals, and one switch of the kernel is the host's.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

struct Words;

impl Observer for Words {
    fn started(&mut self) {}
    fn status(&mut self, _: &Status) {}
    fn warning(&mut self, message: &str) {
        println!("warning: {message}");
    }
}

fn alone() -> Option<MutexGuard<'static, ()>> {
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let missing = aftertrace_recorder::kernel::missing_capabilities();
    if missing.is_empty() {
        return Some(guard);
    }
    assert!(std::env::var_os("CI").is_none(), "in CI these tests must run; missing: {missing:?}");
    println!("skipped: missing capabilities {missing:?}");
    None
}

fn record_command(words: &[&str], set_sysctls: bool) -> Found {
    let directory = TempDir::new().unwrap();
    let mut config = RecordConfig::new(Some(directory.path().join("trace")));
    config.command = words.iter().map(OsString::from).collect();
    config.interval = INTERVAL;
    config.set_sysctls = set_sysctls;
    config.ring_bytes = 1 << 20;
    // In a thread of its own: it gives up what this one needs to clean up.
    let recording = || record(&config, &mut Words).unwrap();
    let outcome = std::thread::scope(|scope| scope.spawn(recording).join().unwrap());
    assert_eq!(outcome.exit_code, Some(0), "{outcome:?}");
    read(&directory.path().join("trace"))
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// An ext4 file system on a loop device of its own.
struct Image {
    directory: TempDir,
    device: String,
}

impl Image {
    fn mount() -> Self {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("image");
        File::create(&file).unwrap().set_len(64 << 20).unwrap();
        let file = file.to_str().unwrap();
        run("mkfs.ext4", &["-q", "-F", file]);
        let device = run("losetup", &["--find", "--show", file]);
        let image = Self { directory, device };
        fs::create_dir(image.point()).unwrap();
        run("mount", &[&image.device, image.point().to_str().unwrap()]);
        image
    }

    fn point(&self) -> PathBuf {
        self.directory.path().join("mounted")
    }

    fn name(&self) -> &str {
        self.device.rsplit('/').next().unwrap()
    }

    fn out(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Bytes written to the device so far, as the kernel counts them for the host.
    fn written_bytes(&self) -> u64 {
        let text = fs::read_to_string("/proc/diskstats").unwrap();
        let line = text.lines().find(|line| line.split_whitespace().nth(2) == Some(self.name())).unwrap();
        line.split_whitespace().nth(9).unwrap().parse::<u64>().unwrap() * 512
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l"]).arg(self.point()).status();
        let _ = Command::new("losetup").args(["--detach", &self.device]).status();
    }
}

fn mounts(found: &Found) -> Vec<&MountSnapshot> {
    let mount = |observation| match observation {
        &Observation { kind: Kind::Mount(ref row), .. } => Some(row),
        _ => None,
    };
    found.observations.iter().filter_map(mount).collect()
}

fn spaces<'a>(found: &'a Found, mount_point: &Path) -> Vec<(UnixNanos, &'a FilesystemStats)> {
    let space = |observation: &'a Observation| match &observation.kind {
        Kind::FilesystemStats(row) if Path::new(&row.mount_point) == mount_point => {
            Some((observation.time, row))
        }
        _ => None,
    };
    found.observations.iter().filter_map(space).collect()
}

/// Samples of the metrics just before the recorder took back what is no more, by the line's beginning.
fn metric(found: &Found, name: &str) -> Vec<(String, f64)> {
    let mut registry = Registry::new(aftertrace_registry::Config::default());
    for observation in &found.observations {
        let is_end = matches!(&observation.kind, Kind::Mount(row) if !row.mounted)
            || matches!(&observation.kind, Kind::Cgroup(row) if row.kind == aftertrace_schemas::tables::CgroupEventKind::Removed);
        if is_end {
            break;
        }
        registry.apply(observation);
    }
    let text = exposition::prometheus_text(&registry.collect());
    let lines = text.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(series.contains(CONTAINER), "{series}");
            (series.to_owned(), value.parse().unwrap())
        })
        .collect()
}

#[test]
fn the_disk_metrics_of_a_container_are_what_df_its_control_group_and_diskstats_say() {
    let Some(_alone) = alone() else { return };
    let image = Image::mount();
    let before = image.written_bytes();
    // The kernel counts I/O of v1 groups on disks that have a throttle rule; this one never throttles.
    let script = r#"
        set -e
        v1=/sys/fs/cgroup/blkio$(grep :blkio: /proc/self/cgroup | cut -d: -f3)
        v2=/sys/fs/cgroup$(grep ^0: /proc/self/cgroup | cut -d: -f3)
        if [ -e $v1/blkio.throttle.write_bps_device ]; then
            echo "$(cat /sys/block/$NAME/dev) 1099511627776" > $v1/blkio.throttle.write_bps_device
        fi
        dd if=/dev/zero of=$POINT/file bs=64k count=64 oflag=direct status=none
        dd if=$POINT/file of=/dev/null bs=64k iflag=direct status=none
        sync -f $POINT/file
        sleep 1
        df -B1 --output=size,used,avail $POINT | tail -1 > $OUT/df
        cat $v1/blkio.throttle.io_service*_recursive > $OUT/io 2> $OUT/none || cat $v2/io.stat > $OUT/io
        sleep 1
    "#;
    let script = format!(
        "NAME={} POINT={} OUT={}\n{script}",
        image.name(),
        image.point().display(),
        image.directory.path().display()
    );
    let found = record_command(&["sh", "-c", &script], false);
    let written_to_device = (image.written_bytes() - before) as f64;

    let of_image: Vec<_> =
        mounts(&found).into_iter().filter(|row| Path::new(&row.mount_point) == image.point()).collect();
    assert_eq!(of_image[0].device, image.name(), "{of_image:?}");
    assert_eq!((of_image[0].file_system.as_str(), of_image[0].mounted), ("ext4", true));

    let df = fs::read_to_string(image.out("df")).unwrap();
    let df: Vec<f64> = df.split_whitespace().map(|number| number.parse().unwrap()).collect();
    let one = |name: &str| {
        let all = metric(&found, &format!("container_resources_disk_{name}"));
        let labels = format!("mount_point=\"{}\"", image.point().display());
        let mut of_point = all.into_iter().filter(|(series, _)| series.contains(&labels));
        let (series, value) = of_point.next().unwrap_or_else(|| panic!("no {name}"));
        assert!(series.contains(&format!("device=\"{}\"", image.name())), "{series}");
        assert!(of_point.next().is_none());
        value
    };
    let (size, used, reserved) = (one("size_bytes"), one("used_bytes"), one("reserved_bytes"));
    assert_eq!([size, used, size - used - reserved], df[..], "df has size, used and available");

    let four_mib = f64::from(4 << 20);
    let (written, read) = (one("written_bytes_total"), one("read_bytes_total"));
    assert!((four_mib..=written_to_device).contains(&written), "{written} of {written_to_device}");
    assert!(read >= four_mib, "{read}");
    assert!(one("writes_total") >= 64.0 && one("reads_total") >= 64.0);
    let io = fs::read_to_string(image.out("io")).unwrap();
    assert!(io.contains(&format!("{written}")) && io.contains(&format!("{read}")), "{written} {read}: {io}");
    assert!(found.observations.iter().any(|row| matches!(row.kind, Kind::CgroupIo(CgroupIo { .. }))));
}

/// A FUSE file system that shows a folder; it hangs while its server is stopped.
struct Fuse {
    directory: TempDir,
    server: Child,
}

impl Fuse {
    fn mount() -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let (shown, point) = (directory.path().join("shown"), directory.path().join("mounted"));
        fs::create_dir(&shown).unwrap();
        fs::create_dir(&point).unwrap();
        let mut command = Command::new("bindfs");
        let Ok(server) = command.arg("-f").args([&shown, &point]).stdout(Stdio::null()).spawn() else {
            assert!(std::env::var_os("CI").is_none(), "in CI bindfs must be there: cargo xtask setup");
            println!("skipped: there is no bindfs");
            return None;
        };
        let fuse = Self { directory, server };
        let mounted = format!(" {} ", point.display());
        wait_until(|| fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&mounted));
        Some(fuse)
    }

    fn point(&self) -> PathBuf {
        self.directory.path().join("mounted")
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.server.id().cast_signed()).unwrap(), signal).unwrap();
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        self.signal(Signal::CONT);
        let _ = Command::new("umount").arg("-l").arg(self.point()).status();
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn wait_until(condition: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < until, "it does not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_file_system_that_hangs_is_reported_and_stops_nothing_else_and_is_measured_again_when_it_answers() {
    let Some(_alone) = alone() else { return };
    let Some(fuse) = Fuse::mount() else { return };
    let image = Image::mount();
    let script = format!(
        "echo one > {fuse}/file; touch {out}/ready
         while [ ! -e {out}/end ]; do head -c 65536 /dev/zero >> {image}/file; sleep 0.1; done",
        fuse = fuse.point().display(),
        image = image.point().display(),
        out = image.directory.path().display(),
    );
    let recording = std::thread::spawn(move || record_command(&["sh", "-c", &script], false));
    wait_until(|| image.out("ready").exists());
    std::thread::sleep(INTERVAL * 5);
    let now = || std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as UnixNanos;
    fuse.signal(Signal::STOP);
    std::thread::sleep(Duration::from_secs(1));
    let hangs_from = now();
    std::thread::sleep(Duration::from_secs(2));
    let hangs_to = now();
    fuse.signal(Signal::CONT);
    std::thread::sleep(INTERVAL * 5);
    File::create(image.out("end")).unwrap();
    let found = recording.join().unwrap();

    let sizes: Vec<bool> =
        spaces(&found, &fuse.point()).iter().map(|(_, row)| row.size_bytes.is_some()).collect();
    let mut changes = sizes.clone();
    changes.dedup();
    assert_eq!(changes, [true, false, true], "{sizes:?}");

    let mut states = Vec::new();
    let mut missed = 0;
    for observation in &found.observations {
        match &observation.kind {
            Kind::Probe(row) if row.probe == "filesystems" => {
                let names_it =
                    row.reason.as_ref().is_none_or(|reason| reason.contains(fuse.point().to_str().unwrap()));
                assert!(names_it, "{row:?}");
                states.push(row.state);
            }
            // Rounds that came too soon while one waited are losses of their own.
            Kind::Loss(row) if row.source == "source/filesystems" && row.cause != "deadline" => {
                assert_eq!(row.cause, "hangs");
                assert!(row.subject.as_ref().unwrap().contains(fuse.point().to_str().unwrap()));
                missed += row.lost;
            }
            _ => {}
        }
    }
    assert_eq!(states, [ProbeState::Active, ProbeState::Failed, ProbeState::Active]);
    assert!(missed > 2, "{missed}");

    // Meanwhile the other file system and everything else was measured as ever.
    let during = hangs_from..hangs_to;
    let of_image = spaces(&found, &image.point());
    assert!(of_image.iter().filter(|(time, _)| during.contains(time)).count() > 2, "{of_image:?}");
    let groups = found.observations.iter().filter(|observation| {
        during.contains(&observation.time) && matches!(observation.kind, Kind::CgroupStats(_))
    });
    assert!(groups.count() > 5);
}

/// Time that all threads of this process waited for a CPU.
fn run_delay_ns() -> u64 {
    let delay = |entry: std::io::Result<fs::DirEntry>| {
        let text = fs::read_to_string(entry.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    fs::read_dir("/proc/self/task").unwrap().filter_map(delay).sum()
}

/// Not a test: reads a file past the cache, then says how long it waited for that, and waits to be looked at.
#[test]
#[ignore = "is run by a test"]
fn a_process_that_reads() {
    let path = std::env::var_os("READ").unwrap();
    let direct = rustix::fs::OFlags::DIRECT.bits().cast_signed();
    let mut buffer = vec![0_u8; 8192];
    let aligned = buffer.as_ptr().align_offset(4096);
    for _ in 0..20 {
        let mut file = File::options().read(true).custom_flags(direct).open(&path).unwrap();
        while file.read(&mut buffer[aligned..aligned + 4096]).unwrap() > 0 {}
    }
    // So that there is a file that was opened for writing, and so a way to be seen.
    let before = run_delay_ns();
    std::thread::sleep(INTERVAL * 5);
    let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
    // The 42nd field, of which those from the 3rd on follow the name: in clock ticks.
    let ticks: u64 = stat.rsplit(") ").next().unwrap().split(' ').nth(39).unwrap().parse().unwrap();
    let text = format!("{} {ticks} {before} {}", std::process::id(), run_delay_ns());
    fs::write(std::env::var_os("SAID").unwrap(), text).unwrap();
    std::thread::sleep(INTERVAL * 2);
}

#[test]
fn delays_are_what_proc_says_with_the_switch_that_is_set_back_afterwards() {
    const SWITCH: &str = "/proc/sys/kernel/task_delayacct";
    let Some(_alone) = alone() else { return };
    let image = Image::mount();
    let file = image.point().join("file");
    fs::write(&file, vec![1; 4 << 20]).unwrap();
    run("sync", &["-f", file.to_str().unwrap()]);
    let switch = fs::read_to_string(SWITCH).ok();
    let this = std::env::current_exe().unwrap();
    let script = format!(
        "READ={} SAID={} exec {} --ignored --exact a_process_that_reads",
        file.display(),
        image.out("said").display(),
        this.display()
    );
    let found = record_command(&["sh", "-c", &script], true);
    assert_eq!(fs::read_to_string(SWITCH).ok(), switch);

    let said = fs::read_to_string(image.out("said")).unwrap();
    let said: Vec<u64> = said.split(' ').map(|number| number.parse().unwrap()).collect();
    let [pid, ticks, cpu_before, cpu_after] = said[..] else { panic!("{said:?}") };
    let delays: Vec<_> = found
        .observations
        .iter()
        .filter_map(|observation| match &observation.kind {
            Kind::TaskDelays(row) if u64::from(row.pid) == pid => Some(row),
            _ => None,
        })
        .collect();
    println!("{ticks} ticks, {cpu_before} to {cpu_after}: {delays:?}");
    let last = delays.last().unwrap();
    let tick_ns = 1_000_000_000 / rustix::param::clock_ticks_per_second();
    // The other threads of the process have nothing to read but their code.
    let block_io = last.block_io_delay_ns.unwrap();
    assert!((ticks * tick_ns..(ticks + 5) * tick_ns).contains(&block_io), "{ticks} ticks, {last:?}");
    assert!(block_io > 0 && last.cpu_delay_ns >= cpu_before, "{cpu_before} {last:?}");
    let seen_between = delays.iter().any(|row| (cpu_before..=cpu_after).contains(&row.cpu_delay_ns));
    assert!(seen_between, "{cpu_before} to {cpu_after}: {delays:?}");

    let seconds = |name: &str| metric(&found, name).first().map(|(_, value)| *value).unwrap();
    assert!(seconds("container_resources_disk_delay_seconds_total") >= block_io as f64 / 1e9);
    assert!(seconds("container_resources_cpu_delay_seconds_total") > 0.0);
}
