//! The root of the guest: files of this host, the recorder, the shipped unit, and the script that uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::host;
use crate::kernels::{Archive, CHARACTER_DEVICE, DIRECTORY, LINK, PROGRAM};

/// Programs; the libraries that they ask for come along.
const PROGRAMS: [&str; 6] = [
    "/usr/lib/systemd/systemd",
    "/usr/lib/systemd/systemd-journald",
    "/usr/bin/systemctl",
    "/usr/bin/journalctl",
    "/usr/bin/dbus-daemon",
    "/usr/bin/busybox",
];
/// Not in every version of systemd.
const MAYBE: [&str; 2] = ["/usr/lib/systemd/systemd-executor", "/usr/lib/systemd/systemd-shutdown"];
/// What the script needs of busybox.
const APPLETS: [&str; 12] =
    ["cat", "cut", "echo", "grep", "head", "kill", "mount", "sh", "sleep", "uname", "wc", "wget"];
/// Units of systemd's and D-Bus's own; what they want besides is not there, and not missed.
const UNITS: [&str; 17] = [
    "basic.target",
    "sysinit.target",
    "sockets.target",
    "slices.target",
    "paths.target",
    "timers.target",
    "local-fs.target",
    "network.target",
    "shutdown.target",
    "umount.target",
    "final.target",
    "systemd-journald.service",
    "systemd-journald.socket",
    "systemd-journald-dev-log.socket",
    "sys-kernel-tracing.mount",
    "dbus.service",
    "dbus.socket",
];
const CONFIGURATION: [&str; 3] = [
    "/usr/share/dbus-1/system.conf",
    "/usr/share/dbus-1/system.d/org.freedesktop.systemd1.conf",
    "/etc/dbus-1/system.conf",
];

/// Files that are made for it.
const WRITTEN: [(&str, &str); 9] = [
    (
        "etc/passwd",
        "root:x:0:0::/root:/bin/sh\nmessagebus:x:100:100::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n",
    ),
    ("etc/group", "root:x:0:\nmessagebus:x:100:\nsystemd-journal:x:101:\nutmp:x:43:\nnogroup:x:65534:\n"),
    ("etc/hostname", "guest\n"),
    ("etc/machine-id", "6e0a7a5d1f3c4f5f9a0b1c2d3e4f5a6b\n"),
    ("etc/os-release", "ID=guest\nNAME=guest\n"),
    (
        "etc/systemd/system/guest.target",
        "[Unit]\nRequires=basic.target sys-kernel-tracing.mount dbus.socket\nWants=systemd-journald.service guest.service\n\
         After=basic.target\nAllowIsolate=yes\n",
    ),
    (
        "etc/systemd/system/guest.service",
        "[Unit]\nAfter=basic.target sys-kernel-tracing.mount dbus.socket aftertrace.service\n[Service]\nType=oneshot\n\
         ExecStart=/bin/sh /guest.sh\nTimeoutStartSec=100\n",
    ),
    // As shipped, but for times: an emulated guest is to take no minutes.
    ("etc/systemd/system/aftertrace.service.d/times.conf", "[Service]\nWatchdogSec=4s\nRestartSec=1s\n"),
    ("guest.sh", include_str!("guest.sh")),
];

/// The archive.
///
/// # Errors
/// When this host lacks one of the files.
pub(super) fn build(recorder: &Path) -> Result<Vec<u8>> {
    let mut files: BTreeMap<PathBuf, (u32, Vec<u8>)> = BTreeMap::new();
    let mut programs: Vec<PathBuf> = PROGRAMS.iter().map(PathBuf::from).collect();
    programs.extend(MAYBE.iter().map(PathBuf::from).filter(|path| path.exists()));
    for program in &programs {
        add(&mut files, program, PROGRAM)?;
    }
    for library in libraries(&[&programs[..], &[recorder.to_owned()]].concat())? {
        add(&mut files, &library, PROGRAM)?;
    }
    for unit in UNITS {
        add(&mut files, &Path::new("/usr/lib/systemd/system").join(unit), FILE)?;
    }
    for path in CONFIGURATION.iter().map(Path::new).filter(|path| path.exists()) {
        add(&mut files, path, FILE)?;
    }
    for (name, text) in WRITTEN {
        files.insert(PathBuf::from(name), (FILE, text.as_bytes().to_vec()));
    }
    let unit = host::root().join("packaging/aftertrace.service");
    files.insert("etc/systemd/system/aftertrace.service".into(), (FILE, read(&unit)?));
    files.insert("usr/local/bin/aftertrace".into(), (PROGRAM, read(recorder)?));
    for applet in APPLETS {
        files.insert(format!("usr/bin/{applet}").into(), (LINK, b"busybox".to_vec()));
    }
    let wanted =
        ["sysinit.target.wants/systemd-journald.service", "sockets.target.wants/systemd-journald.socket"];
    for name in wanted {
        let target =
            Path::new("/usr/lib/systemd/system").join(Path::new(name).file_name().unwrap_or_default());
        files.insert(
            Path::new("usr/lib/systemd/system").join(name),
            (LINK, target.to_string_lossy().into_owned().into_bytes()),
        );
    }
    pack(&files)
}

const FILE: u32 = 0o100_644;

fn pack(files: &BTreeMap<PathBuf, (u32, Vec<u8>)>) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    let mut directories: BTreeSet<&Path> = [
        "dev", "proc", "sys", "tmp", "run", "root", "home", "boot", "var/log", "var/lib", "var/tmp",
        "usr/sbin",
    ]
    .map(Path::new)
    .into();
    for path in files.keys() {
        directories.extend(path.ancestors().skip(1));
    }
    let all: BTreeSet<&Path> = directories.iter().flat_map(|path| path.ancestors()).collect();
    for directory in all.into_iter().filter(|path| !path.as_os_str().is_empty()) {
        archive.add(&directory.to_string_lossy(), DIRECTORY, (0, 0), &[])?;
    }
    for name in ["bin", "lib", "lib64", "sbin"] {
        archive.add(name, LINK, (0, 0), format!("usr/{name}").as_bytes())?;
    }
    archive.add("dev/console", CHARACTER_DEVICE, (5, 1), &[])?;
    for (path, (mode, content)) in files {
        archive.add(&path.to_string_lossy(), *mode, (0, 0), content)?;
    }
    archive.finish()
}

/// Adds a file of this host at its place, below /usr where this host has it elsewhere.
fn add(files: &mut BTreeMap<PathBuf, (u32, Vec<u8>)>, path: &Path, mode: u32) -> Result<()> {
    let name = path.file_name().context("no file name")?;
    let parent = path.parent().context("no directory")?;
    let place = fs::canonicalize(parent).with_context(|| format!("no {}", parent.display()))?.join(name);
    files.insert(place.strip_prefix("/")?.to_owned(), (mode, read(path)?));
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// All libraries that programs ask for, by ldd.
fn libraries(programs: &[PathBuf]) -> Result<BTreeSet<PathBuf>> {
    let mut all = BTreeSet::new();
    for program in programs {
        // It fails for a static program, which asks for none.
        let output = host::output(Command::new("ldd").arg(program))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        all.extend(text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from));
    }
    Ok(all)
}
