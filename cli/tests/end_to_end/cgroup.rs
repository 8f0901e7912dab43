//! Control groups that tests make for what they want to have recorded.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A control group of version 2, removed at the end.
pub struct Cgroup {
    mount: PathBuf,
    path: String,
}

impl Cgroup {
    /// Makes the group `/NAME.PID`, or one below another.
    pub fn new(name: &str) -> Self {
        let unified = Path::new("/sys/fs/cgroup/unified");
        let mount = if unified.exists() { unified } else { Path::new("/sys/fs/cgroup") };
        let group = Self { mount: mount.to_owned(), path: format!("/{name}.{}", std::process::id()) };
        std::fs::create_dir_all(group.directory()).unwrap();
        group
    }

    /// A group below this one.
    pub fn below(&self, name: &str) -> Self {
        let group = Self { mount: self.mount.clone(), path: format!("{}/{name}", self.path) };
        std::fs::create_dir(group.directory()).unwrap();
        group
    }

    /// Its path from the root of the hierarchy.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where it is in the file system.
    pub fn directory(&self) -> PathBuf {
        self.mount.join(self.path.trim_start_matches('/'))
    }

    /// A command that is in the group before it runs its program.
    pub fn command(&self, words: &[String]) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo 0 > \"$0\"/cgroup.procs; exec \"$@\""]).arg(self.directory()).args(words);
        command
    }

    /// Runs a shell script in the group to its end.
    pub fn run(&self, script: &str) {
        let words = ["/bin/sh", "-c", script].map(str::to_owned);
        assert!(self.command(&words).status().unwrap().success(), "{script}");
    }

    /// Starts a shell script in the group that reads its lines from the caller.
    pub fn start(&self, script: &str) -> Child {
        let words = ["/bin/sh", "-c", script].map(str::to_owned);
        self.command(&words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Also the parents that a name with slashes made, as far as they are empty.
        for directory in self.directory().ancestors().take_while(|directory| *directory != self.mount) {
            // A process that ended a moment ago may still be in it.
            for _ in 0..100 {
                match std::fs::remove_dir(directory) {
                    Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                        let busy = std::fs::read_to_string(directory.join("cgroup.procs"));
                        if busy.is_ok_and(|procs| !procs.is_empty()) {
                            std::thread::sleep(std::time::Duration::from_millis(10));
                            continue;
                        }
                        break;
                    }
                    _ => break,
                }
            }
        }
    }
}
