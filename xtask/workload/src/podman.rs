//! podman, for real: containers and the service that tells of them, in a directory of one's own.
//!
//! Root only. Needs the packages podman, runc and busybox-static.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::service::{self, Service};

/// A service that lives as long as this. Dropping it removes its containers.
pub struct Podman {
    service: Service,
    directory: PathBuf,
}

impl Podman {
    /// Starts one with all its files in `directory`, and waits until it listens.
    ///
    /// # Errors
    /// With the last lines of its log when it does not start.
    pub fn start(directory: &Path) -> io::Result<Self> {
        let service = Service::start(&mut serve(directory), &directory.join("log"))?;
        let mut podman = Self { service, directory: directory.to_owned() };
        podman.wait()?;
        Ok(podman)
    }

    /// Kills the service; its containers live on.
    pub fn kill(&mut self) {
        self.service.kill();
        let _ = std::fs::remove_file(self.socket());
    }

    /// Starts the service again.
    ///
    /// # Errors
    /// As [`Podman::start`].
    pub fn restart(&mut self) -> io::Result<()> {
        self.service = Service::start(&mut serve(&self.directory), &self.directory.join("log"))?;
        self.wait()
    }

    fn wait(&mut self) -> io::Result<()> {
        let socket = self.socket();
        self.service.wait_for(|| socket.exists())
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("podman.sock")
    }

    /// Runs podman; gives what it printed.
    ///
    /// # Errors
    /// With what it complained of.
    pub fn podman(&self, arguments: &[&str]) -> io::Result<String> {
        service::output(podman(&self.directory).args(arguments))
    }

    /// Makes an image that holds busybox, as `/bin/busybox`, and nothing else.
    ///
    /// # Errors
    /// When there is no busybox in PATH, or podman refuses.
    pub fn import_busybox(&self, name: &str) -> io::Result<()> {
        let archive = service::pack_busybox(&self.directory)?;
        self.podman(&["import", "--quiet", &archive.display().to_string(), name]).map(drop)
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.podman(&["rm", "--all", "--force", "--time", "0"]);
        service::remove_empty_cgroups("libpod_parent");
        self.service.end();
    }
}

fn podman(directory: &Path) -> Command {
    let at = |name: &str| directory.join(name).display().to_string();
    let mut command = Command::new("podman");
    command
        .args(["--root", &at("root"), "--runroot", &at("run"), "--tmpdir", &at("tmp")])
        .args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file"])
        .args(["--runtime", "runc"]);
    command
}

fn serve(directory: &Path) -> Command {
    let mut command = podman(directory);
    command.args(["system", "service", "--time", "0"]);
    command.arg(format!("unix://{}", directory.join("podman.sock").display()));
    command
}

/// What is not installed of that which [`Podman`] needs; none when all is there.
pub fn missing() -> Option<String> {
    service::missing(&[("podman", "podman"), ("runc", "runc"), ("busybox", "busybox-static")])
}
