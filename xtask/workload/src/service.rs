//! A daemon of one's own: started, waited for, stopped, hung, killed and started again.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon that lives as long as this.
pub(crate) struct Service {
    process: Child,
    log: PathBuf,
    program: String,
}

impl Service {
    /// Starts a program whose words go to `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(command: &mut Command, log: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        let process = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .map_err(|error| io::Error::other(format!("{}: {error}", command.get_program().display())))?;
        let program = command.get_program().display().to_string();
        Ok(Self { process, log: log.to_owned(), program })
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// With the last lines of its log when it ends instead, or takes a minute.
    pub(crate) fn wait_for(&mut self, mut is_ready: impl FnMut() -> bool) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !is_ready() {
            let ended = self.process.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(&self.log)?;
                let tail = log.lines().rev().take(10).collect::<Vec<_>>().join("\n");
                let message =
                    format!("{} does not start ({ended:?}), last lines first:\n{tail}", self.program);
                return Err(io::Error::other(message));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Kills it, without a chance to clean up.
    pub(crate) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Ends it; also one that is stopped.
    pub(crate) fn end(&mut self) {
        for name in ["CONT", "TERM"] {
            self.signal(name);
        }
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
        self.kill();
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&mut self, name: &str) {
        // One that has ended may have left its number to another process.
        if matches!(self.process.try_wait(), Ok(None)) {
            let _ = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status();
        }
    }
}

/// Kills the processes that have `path` as an argument of their own. It lies in a directory of the caller's, so nobody
/// else has one.
pub(crate) fn kill_those_of(path: &Path) {
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if arguments.split(|byte| *byte == 0).any(|argument| argument == path.as_os_str().as_encoded_bytes())
        {
            let _ = Command::new("kill").args(["-s", "KILL", &pid.to_string()]).status();
        }
    }
}

/// What a command printed.
///
/// # Errors
/// With what it complained of.
pub(crate) fn output(command: &mut Command) -> io::Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{command:?}: {}", complaint.trim())))
}

/// The first directory of PATH that has the program.
pub(crate) fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// What is not installed of `programs`, each with its package; none when all is there.
pub(crate) fn missing(programs: &[(&str, &str)]) -> Option<String> {
    let missing = programs.iter().find(|(program, _)| in_path(program).is_none());
    missing.map(|(program, package)| format!("{program} is not installed (package {package})"))
}

/// Packs a root file system that holds busybox, as `/bin/busybox`, and nothing else.
///
/// # Errors
/// When there is no busybox in PATH, or the directory cannot be written.
pub(crate) fn pack_busybox(directory: &Path) -> io::Result<PathBuf> {
    let busybox = in_path("busybox").ok_or_else(|| io::Error::other("busybox is not installed"))?;
    let root = directory.join("root-of-image");
    fs::create_dir_all(root.join("bin"))?;
    fs::copy(busybox, root.join("bin/busybox"))?;
    let archive = directory.join("root-of-image.tar");
    let mut tar = tar::Builder::new(File::create(&archive)?);
    tar.append_dir_all(".", &root)?;
    tar.finish()?;
    Ok(archive)
}

/// Removes the control groups of this name that are empty, in all hierarchies: runtimes leave their own behind.
pub(crate) fn remove_empty_cgroups(name: &str) {
    for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
        let _ = remove_empty(&hierarchy.path().join(name));
    }
    let _ = remove_empty(&Path::new("/sys/fs/cgroup").join(name));
}

fn remove_empty(group: &Path) -> io::Result<()> {
    for entry in fs::read_dir(group)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = remove_empty(&entry.path());
        }
    }
    fs::remove_dir(group)
}
