//! systemd, for real: the first process of a pid namespace of its own, with a control group, a /run, a system bus and
//! units of its own.
//!
//! Root only. Needs the packages systemd and dbus, and control groups of version 2, beside version 1 or alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::service::{self, Service};

const PROGRAM: &str = "/usr/lib/systemd/systemd";

/// In the namespaces that `unshare` made: what systemd is to see instead of the host's.
const PREPARE: &str = "mount -t proc proc /proc && mount -t tmpfs tmpfs /run && mount -t cgroup2 cgroup2 \
                       /sys/fs/cgroup && exec env -i container=aftertrace PATH=\"$PATH\" \
                       SYSTEMD_UNIT_PATH=\"$1\" SYSTEMD_LOG_TARGET=console \"$2\" --system --show-status=no";

/// The bus of Debian's package, without what a whole system has before it.
const BUS_SOCKET: &str =
    "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=/run/dbus/system_bus_socket\n";
const BUS: &str = "[Unit]\nDefaultDependencies=no\nRequires=dbus.socket\n[Service]\nType=notify\n\
                   ExecStart=dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation\n";

/// A systemd that lives as long as this.
pub struct Systemd {
    service: Service,
    group: PathBuf,
    bus: PathBuf,
}

impl Systemd {
    /// Starts one with `units` (name and text) in `directory`, all of which it starts, and waits for its bus.
    ///
    /// # Errors
    /// With the last lines of its log when it does not start.
    pub fn start(directory: &Path, units: &[(&str, &str)]) -> io::Result<Self> {
        let at = directory.join("units");
        fs::create_dir_all(&at)?;
        let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
        let target =
            format!("[Unit]\nDefaultDependencies=no\nWants=dbus.socket dbus.service {}\n", names.join(" "));
        let own = [("default.target", target.as_str()), ("dbus.socket", BUS_SOCKET), ("dbus.service", BUS)];
        for (name, text) in own.iter().chain(units) {
            fs::write(at.join(name), text)?;
        }
        let hybrid = Path::new("/sys/fs/cgroup/unified");
        let hierarchy = if hybrid.is_dir() { hybrid } else { Path::new("/sys/fs/cgroup") };
        let group = hierarchy.join(format!("aftertrace-systemd-{}", std::process::id()));
        fs::create_dir_all(&group)?;
        // The control group is entered before it becomes the root of what systemd sees.
        let mut command = Command::new("sh");
        command
            .args(["-ec", "echo $$ > \"$1\"/cgroup.procs; shift; exec unshare --cgroup --mount --pid --uts --ipc --fork --kill-child sh -ec \"$1\" sh \"$2\" \"$3\"", "sh"])
            .arg(&group)
            .arg(PREPARE)
            .arg(&at)
            .arg(PROGRAM);
        let service = Service::start(&mut command, &directory.join("log"))?;
        let mut systemd = Self { service, group, bus: PathBuf::new() };
        let children = format!("/proc/{0}/task/{0}/children", systemd.service.pid());
        let mut bus = PathBuf::new();
        systemd.service.wait_for(|| {
            let text = fs::read_to_string(&children).unwrap_or_default();
            let Some(pid) = text.split_whitespace().next() else { return false };
            bus = PathBuf::from(format!("/proc/{pid}/root/run/dbus/system_bus_socket"));
            // Not yet the host's, which is there while the namespaces are made.
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            name.trim() == "systemd" && bus.exists()
        })?;
        systemd.bus = bus;
        Ok(systemd)
    }

    /// The socket of its bus, from outside.
    pub fn bus(&self) -> &Path {
        &self.bus
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        // systemd ends with it, and all that is in the pid namespace with systemd.
        self.service.kill();
        for _ in 0..100 {
            service::remove_empty_cgroups(&self.group.file_name().unwrap_or_default().to_string_lossy());
            if !self.group.exists() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// What is not installed of that which [`Systemd`] needs; none when all is there.
pub fn missing() -> Option<String> {
    if !Path::new(PROGRAM).exists() {
        return Some(format!("{PROGRAM} is not there (package systemd)"));
    }
    service::missing(&[("dbus-daemon", "dbus"), ("unshare", "util-linux")])
}
