//! Docker, for real: a daemon of one's own, in a directory of one's own. It has no network and changes no firewall.
//!
//! Root only. Needs the packages docker.io and busybox-static.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon that lives as long as this. Dropping it removes its containers.
pub struct Daemon {
    process: Child,
    directory: PathBuf,
}

impl Daemon {
    /// Starts one with all its files in `directory`, and waits until it answers.
    ///
    /// # Errors
    /// With the last lines of its log when it does not start.
    pub fn start(directory: &Path) -> io::Result<Self> {
        let at = |name: &str| directory.join(name).display().to_string();
        let log = fs::File::create(directory.join("log"))?;
        let process = Command::new("dockerd")
            .args(["--data-root", &at("data"), "--exec-root", &at("exec"), "--pidfile", &at("pid")])
            .args(["-H", &format!("unix://{}", at("docker.sock")), "--storage-driver=vfs", "--bridge=none"])
            .args(["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut daemon = Self { process, directory: directory.to_owned() };
        let deadline = Instant::now() + PATIENCE;
        while daemon.docker(&["version"]).is_err() {
            let ended = daemon.process.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(directory.join("log"))?;
                let tail = log.lines().rev().take(10).collect::<Vec<_>>().join("\n");
                let message = format!("dockerd does not start ({ended:?}), last lines first:\n{tail}");
                return Err(io::Error::other(message));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(daemon)
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
        self.process.id()
    }

    /// Runs the client; gives what it printed.
    ///
    /// # Errors
    /// With what it complained of.
    pub fn docker(&self, arguments: &[&str]) -> io::Result<String> {
        let output = Command::new("docker").args(["-H", &self.host()]).args(arguments).output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let complaint = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!("docker {arguments:?}: {}", complaint.trim())))
    }

    /// Makes an image that holds busybox, as `/bin/busybox`, and nothing else.
    ///
    /// # Errors
    /// When there is no busybox in PATH, or the daemon refuses.
    pub fn import_busybox(&self, name: &str) -> io::Result<()> {
        let busybox = in_path("busybox").ok_or_else(|| io::Error::other("busybox is not installed"))?;
        let root = self.directory.join("root");
        fs::create_dir_all(root.join("bin"))?;
        fs::copy(busybox, root.join("bin/busybox"))?;
        let archive = self.directory.join("root.tar");
        let mut tar = tar::Builder::new(fs::File::create(&archive)?);
        tar.append_dir_all(".", &root)?;
        tar.finish()?;
        self.docker(&["import", &archive.display().to_string(), name]).map(drop)
    }

    fn signal(&self, signal: &str) {
        let _ = Command::new("kill").args(["-s", signal, &self.pid().to_string()]).status();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // A stopped process gets nothing but this.
        self.signal("CONT");
        for id in self.docker(&["ps", "-aq"]).unwrap_or_default().split_whitespace() {
            let _ = self.docker(&["rm", "-f", id]);
        }
        self.signal("TERM");
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What is not installed of that which [`Daemon`] needs; none when all is there.
pub fn missing() -> Option<&'static str> {
    if in_path("dockerd").is_none() || in_path("docker").is_none() {
        Some("dockerd is not installed (package docker.io)")
    } else if in_path("busybox").is_none() {
        Some("busybox is not installed (package busybox-static)")
    } else {
        None
    }
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}
