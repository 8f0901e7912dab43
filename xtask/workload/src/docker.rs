//! Docker, for real: a daemon of one's own, in a directory of one's own. It changes no firewall, and its networks are
//! in a network namespace of its own.
//!
//! Root only. Needs the packages docker.io and busybox-static.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::service::{self, Service};

/// A daemon that lives as long as this. Dropping it removes its containers.
pub struct Daemon {
    service: Service,
    directory: PathBuf,
}

impl Daemon {
    /// Starts one with all its files in `directory`, and waits until it answers.
    ///
    /// # Errors
    /// With the last lines of its log when it does not start.
    pub fn start(directory: &Path) -> io::Result<Self> {
        let service = Service::start(&mut command(directory), &directory.join("log"))?;
        let mut daemon = Self { service, directory: directory.to_owned() };
        daemon.wait()?;
        Ok(daemon)
    }

    /// Kills the daemon and starts it again.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub fn restart(&mut self) -> io::Result<()> {
        self.service.kill();
        // It was not asked to end, so it left these, its own and that of its containerd, which died with it.
        for file in ["pid", "exec/containerd/containerd.pid"] {
            let _ = std::fs::remove_file(self.directory.join(file));
        }
        self.service = Service::start(&mut command(&self.directory), &self.directory.join("log"))?;
        self.wait()
    }

    fn wait(&mut self) -> io::Result<()> {
        let host = self.host();
        self.service.wait_for(|| docker(&host, &["version"]).is_ok())
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("docker.sock")
    }

    /// Where clients find it: the variable DOCKER_HOST.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Process id of the daemon.
    pub fn pid(&self) -> u32 {
        self.service.pid()
    }

    /// Runs the client; gives what it printed.
    ///
    /// # Errors
    /// With what it complained of.
    pub fn docker(&self, arguments: &[&str]) -> io::Result<String> {
        docker(&self.host(), arguments)
    }

    /// Makes an image that holds busybox, as `/bin/busybox`, and nothing else.
    ///
    /// # Errors
    /// When there is no busybox in PATH, or the daemon refuses.
    pub fn import_busybox(&self, name: &str) -> io::Result<()> {
        let archive = service::pack_busybox(&self.directory)?;
        self.docker(&["import", &archive.display().to_string(), name]).map(drop)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // A stopped process answers nothing.
        self.service.signal("CONT");
        for id in self.docker(&["ps", "-aq"]).unwrap_or_default().split_whitespace() {
            let _ = self.docker(&["rm", "-f", id]);
        }
        self.service.end();
        // A shim outlives a daemon that gave up on its container.
        service::kill_those_of(&self.directory.join("exec/containerd/containerd.sock"));
    }
}

/// `unshare` becomes the daemon, so its process id is the daemon's.
fn command(directory: &Path) -> Command {
    let at = |name: &str| directory.join(name).display().to_string();
    let mut command = Command::new("unshare");
    command
        .args(["--net", "dockerd"])
        .args(["--data-root", &at("data"), "--exec-root", &at("exec"), "--pidfile", &at("pid")])
        .args(["-H", &format!("unix://{}", at("docker.sock")), "--storage-driver=vfs", "--bridge=none"])
        .args(["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"]);
    command
}

fn docker(host: &str, arguments: &[&str]) -> io::Result<String> {
    service::output(Command::new("docker").args(["-H", host]).args(arguments))
}

/// What is not installed of that which [`Daemon`] needs; none when all is there.
pub fn missing() -> Option<String> {
    service::missing(&[("dockerd", "docker.io"), ("docker", "docker.io"), ("busybox", "busybox-static")])
}
