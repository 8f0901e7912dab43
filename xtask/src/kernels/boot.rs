//! One guest: boots, runs to its end or to a deadline, and leaves a console log and a trace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use aftertrace_workload::{RECORDER_HANGS, frame};
use anyhow::{Context, Result};

const ENDED_BY_HOST: &str = "ended by the host";
const LIMIT: Duration = Duration::from_secs(180);

/// What a guest left.
pub(crate) struct Guest {
    /// What it printed.
    pub(crate) console: String,
    directory: PathBuf,
}

impl Guest {
    /// Whether it came to no end by itself, and did not crash either.
    pub(crate) fn hung(&self) -> bool {
        let crashed = ["Kernel panic", "Oops", "BUG:", "general protection fault"];
        (self.console.contains(ENDED_BY_HOST) || self.console.contains(RECORDER_HANGS))
            && !crashed.iter().any(|words| self.console.contains(words))
    }

    /// The trace that it sent, a tar.
    ///
    /// # Errors
    /// When it did not come whole.
    pub(crate) fn trace(&self) -> Result<PathBuf> {
        let received = fs::read(self.directory.join("serial")).context("nothing was received")?;
        let path = self.directory.join("trace.tar");
        fs::write(&path, frame::open(&received).context("no whole trace came")?)?;
        Ok(path)
    }
}

/// Boots `kernel` with the root `initramfs`; its files go to `directory`.
///
/// # Errors
/// When the emulator cannot be started. A guest that fails is no error here: its console says so.
pub(crate) fn boot(kernel: &Path, initramfs: &Path, directory: &Path) -> Result<Guest> {
    fs::create_dir_all(directory)?;
    let console = directory.join("console");
    let log = fs::File::create(directory.join("emulator"))?;
    let child = Command::new("qemu-system-x86_64")
        // Emulated, so that it also runs where there is no nested virtualisation; the processor is one that all
        // three kernels know. Without its cmpxchg16b: Debian 12's emulator (7.2) leaves random flags after that
        // instruction when the host is busy, and every third boot of 6.12 crashed in the slab allocator.
        .args(["-accel", "tcg", "-cpu", "Skylake-Client,-cx16", "-smp", "2", "-m", "1024"])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .arg("-serial")
        .arg(format!("file:{}", directory.join("serial").display()))
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs)
        .args(["-append", "console=ttyS0 quiet panic=-1 rdinit=/init"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .context("cannot start qemu-system-x86_64")?;
    let ended = wait(child)?;
    let mut text = String::from_utf8_lossy(&fs::read(&console).unwrap_or_default()).into_owned();
    match ended {
        None => text.push_str(&format!("\n({ENDED_BY_HOST} after {} s)", LIMIT.as_secs())),
        Some(status) if !status.success() => {
            text.push_str(&format!("\n(emulator: {status})\n"));
            text.push_str(&fs::read_to_string(directory.join("emulator")).unwrap_or_default());
        }
        Some(_) => {}
    }
    Ok(Guest { console: text, directory: directory.to_owned() })
}

/// None when the deadline ended it.
fn wait(mut child: Child) -> Result<Option<ExitStatus>> {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begin.elapsed() > LIMIT {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(50));
    }
}
