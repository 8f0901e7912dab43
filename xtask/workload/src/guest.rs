//! The init of a guest: mounts what the recorder needs, records the workload, sends the trace to the host, powers off.
//! With the argument `alone` it runs the workload by itself.
//!
//! In the root: `/init` and `/workload` (this program), `/aftertrace` (the recorder, static). The first serial port
//! is the console; the second takes the trace, a tar in one [`frame`].
#![allow(unsafe_code, reason = "mounting, interfaces and power are system calls")]

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};

use aftertrace_workload::frame;

/// The recorder begins within seconds and ends with the workload, which takes one; a guest is emulated and slow.
const LIMIT: Duration = Duration::from_secs(60);
const TRACE: &str = "/tmp/trace";

/// Does all of it. Returns only when the power cannot be switched off, and then the kernel panics, which ends the
/// guest as well.
pub(crate) fn init() -> ExitCode {
    let alone = std::env::args().any(|argument| argument == "alone");
    let work = || if alone { run_alone() } else { record().and_then(|()| send()) };
    match prepare().and_then(|()| work()) {
        Ok(()) => println!("guest: done"),
        Err(error) => println!("guest: FAILED: {error}"),
    }
    // SAFETY: neither call takes a pointer.
    unsafe {
        libc::sync();
        libc::reboot(libc::RB_POWER_OFF);
    }
    ExitCode::FAILURE
}

fn prepare() -> io::Result<()> {
    for (kind, target) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tracefs", "/sys/kernel/tracing"),
        ("cgroup2", "/sys/fs/cgroup"),
        ("tmpfs", "/tmp"),
    ] {
        fs::create_dir_all(target)?;
        mount(kind, target).map_err(|error| named(&format!("mount {kind} on {target}"), &error))?;
    }
    loopback_up().map_err(|error| named("bring up loopback", &error))?;
    println!("guest: kernel {}", fs::read_to_string("/proc/sys/kernel/osrelease")?.trim());
    Ok(())
}

const WORKLOAD: [&str; 3] = ["/workload", "lifecycle", "/tmp"];

fn record() -> io::Result<()> {
    let mut recorder = Command::new("/aftertrace");
    recorder.args(["record", "-o", TRACE, "--"]).args(WORKLOAD).env("RUST_BACKTRACE", "1");
    run("recorder", &mut recorder)
}

fn run_alone() -> io::Result<()> {
    let [program, arguments @ ..] = WORKLOAD;
    run("workload", Command::new(program).args(arguments))
}

fn run(name: &str, command: &mut Command) -> io::Result<()> {
    let mut child = command.spawn().map_err(|error| named(&format!("start the {name}"), &error))?;
    let begin = Instant::now();
    while begin.elapsed() < LIMIT {
        if let Some(status) = child.try_wait()? {
            println!("guest: {name} {status} after {} ms", begin.elapsed().as_millis());
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    explain(&mut child)?;
    Err(io::Error::other(format!("the {name} did not end in {} s", LIMIT.as_secs())))
}

/// Says who did not end. A workload that runs for so long stands still in the kernel; a recorder that has not begun
/// it, or has not ended after it, is at fault itself.
fn explain(child: &mut Child) -> io::Result<()> {
    if workload_runs()? {
        println!("guest: HUNG: the workload has not ended in {} s", LIMIT.as_secs());
    }
    say_where_tasks_are()?;
    child.kill()?;
    child.wait().map(drop)
}

fn workload_runs() -> io::Result<bool> {
    for entry in fs::read_dir("/proc")?.flatten() {
        // Empty for one that has ended and that the recorder has not waited for; init has its own name here.
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if command.starts_with(WORKLOAD[0].as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What every processor does and every task waits for, on the console: all that there is to go by after a hang.
fn say_where_tasks_are() -> io::Result<()> {
    for table in ["/proc/net/tcp", "/proc/net/tcp6", "/proc/net/snmp", "/proc/net/netstat"] {
        println!("guest: {table}\n{}", fs::read_to_string(table)?);
    }
    fs::write("/proc/sys/kernel/printk", "8")?;
    fs::write("/proc/sysrq-trigger", "l")?;
    fs::write("/proc/sysrq-trigger", "t")
}

fn send() -> io::Result<()> {
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_dir_all("trace", TRACE).map_err(|error| named(TRACE, &error))?;
    let bytes = archive.into_inner()?;
    let mut line = OpenOptions::new().write(true).open("/dev/ttyS1")?;
    raw_mode(&line)?;
    frame::send(&mut line, &bytes)?;
    // SAFETY: waits until the open file's output has left; no pointers.
    if unsafe { libc::tcdrain(line.as_raw_fd()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    println!("guest: sent {} bytes", bytes.len());
    Ok(())
}

fn mount(kind: &str, target: &str) -> io::Result<()> {
    let kind = CString::new(kind)?;
    let target = CString::new(target)?;
    // SAFETY: all strings end with NUL and outlive the call; no data is allowed for these file systems.
    let result = unsafe { libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, std::ptr::null()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn loopback_up() -> io::Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: all-zero bytes are a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an `ifreq`, which `request` is.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Without this the line discipline would add carriage returns to the bytes.
fn raw_mode(line: &File) -> io::Result<()> {
    // SAFETY: all-zero bytes are a valid `termios`, which the first call fills; the pointers outlive the calls.
    let result = unsafe {
        let mut settings: libc::termios = std::mem::zeroed();
        libc::tcgetattr(line.as_raw_fd(), &raw mut settings);
        libc::cfmakeraw(&raw mut settings);
        libc::tcsetattr(line.as_raw_fd(), libc::TCSANOW, &raw const settings)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn named(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
