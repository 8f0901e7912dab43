//! One guest: boots, runs to its end or to a deadline, and leaves a console log and a trace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use aftertrace_workload::frame;
use anyhow::{Context, Result};

use super::fetch::Kernel;

/// Much more than the limit that the guest has for itself: that one says what the guest waited for.
const LIMIT: Duration = Duration::from_secs(120);

/// What a guest does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// The recorder runs the workload.
    Recorded,
    /// The workload runs by itself.
    Alone,
}

impl Work {
    /// As the guest's init takes it.
    pub(crate) fn argument(self) -> &'static str {
        match self {
            Self::Recorded => "record",
            Self::Alone => "alone",
        }
    }
}

/// What a guest left.
pub(crate) struct Guest {
    /// What it printed.
    pub(crate) console: String,
    directory: PathBuf,
}

impl Guest {
    /// Where that is.
    pub(crate) fn console_path(&self) -> PathBuf {
        self.directory.join("console")
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

/// Boots `kernel` with the root `initramfs` and these words for it; the files of the guest go to `directory`.
///
/// # Errors
/// When the emulator cannot be started. A guest that fails is no error here: its console says so.
pub(crate) fn boot(kernel: &Kernel, initramfs: &Path, words: &str, directory: &Path) -> Result<Guest> {
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
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(initramfs)
        .arg("-append")
        .arg(format!("console=ttyS0 quiet panic=-1 {words}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .context("cannot start qemu-system-x86_64")?;
    let ended = wait(child)?;
    let mut text = String::from_utf8_lossy(&fs::read(&console).unwrap_or_default()).into_owned();
    match ended {
        None => text.push_str(&format!("\nhost: HUNG: no end after {} s", LIMIT.as_secs())),
        Some(status) if !status.success() => {
            text.push_str(&format!("\n(emulator: {status})\n"));
            text.push_str(&fs::read_to_string(directory.join("emulator")).unwrap_or_default());
        }
        Some(_) => {}
    }
    fs::write(&console, &text)?;
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
