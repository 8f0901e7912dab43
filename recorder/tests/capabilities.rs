//! What a recording thread can still do after it has begun, and what an HTTP thread can: forbidden things are tried for
//! real, and the kernel refuses them. Root only.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]
#![allow(unsafe_code, reason = "there is no other way to hand the kernel a program of two instructions")]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aftertrace_recorder::capabilities::{self, CapabilitySet};
use aftertrace_recorder::config::RecordConfig;
use aftertrace_recorder::kernel::missing_capabilities;
use aftertrace_recorder::record::{Observer, Status, record};
use rustix::fs::{CWD, FileType, Mode, makedev};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::net::{AddressFamily, SocketType, ipproto, socket};
use rustix::process::{Gid, Pid, Signal, Uid, chroot, kill_process};
use rustix::system::{sethostname, uname};
use rustix::thread::{UnshareFlags, set_thread_groups, set_thread_res_uid, unshare_unsafe};

struct Silent;

impl Observer for Silent {
    fn started(&mut self) {}
    fn status(&mut self, _: &Status) {}
    fn warning(&mut self, _: &str) {}
}

fn can_record() -> bool {
    let missing = missing_capabilities();
    if rustix::process::geteuid().is_root() && missing.is_empty() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "in CI these tests must run");
    println!("skipped: not root, or without {missing:?}");
    false
}

/// A process of another user.
struct Stranger(Child);

impl Stranger {
    fn new() -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--clear-groups", "sleep", "600"]);
        let stranger = Self(command.stdout(Stdio::null()).spawn().unwrap());
        while !stranger.file("status").contains("Uid:\t65534") || !stranger.file("comm").contains("sleep") {
            std::thread::sleep(Duration::from_millis(2));
        }
        stranger
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.0.id())).unwrap()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Hands the kernel a program that does nothing, for tracepoints.
fn load_program() -> Result<(), Errno> {
    #[repr(C)]
    struct Attributes {
        program_type: u32,
        instruction_count: u32,
        instructions: u64,
        license: u64,
        log: [u64; 2],
        version_and_flags: u64,
    }
    const BPF_PROG_LOAD: libc::c_long = 5;
    const TRACEPOINT: u32 = 5;
    // r0 = 0; exit
    let instructions: [u64; 2] = [0xb7, 0x95];
    let license = c"GPL";
    let attributes = Attributes {
        program_type: TRACEPOINT,
        instruction_count: 2,
        instructions: instructions.as_ptr().addr() as u64,
        license: license.as_ptr().addr() as u64,
        log: [0; 2],
        version_and_flags: 0,
    };
    let size = size_of::<Attributes>();
    // SAFETY: the kernel reads `size` bytes, and two instructions and a string through pointers that live as long.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const attributes, size) };
    let Ok(fd) = i32::try_from(fd) else { return Err(Errno::IO) };
    if fd < 0 {
        return Err(errno(&io::Error::last_os_error()));
    }
    // SAFETY: the kernel has just given it, and nobody else has it.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    Ok(())
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap()
}

fn leave_network() -> Result<(), Errno> {
    // SAFETY: no file descriptors are unshared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
}

/// What someone who takes over a thread would try first, and what the kernel says to it. None of it does harm where
/// the kernel allows it.
fn attempts(stranger: Pid) -> Vec<(&'static str, Result<(), Errno>)> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:1").map(drop).map_err(|error| errno(&error));
    let mounted = mount("tmpfs", folder.path(), c"tmpfs", MountFlags::empty(), None);
    if mounted.is_ok() {
        unmount(folder.path(), UnmountFlags::empty()).unwrap();
    }
    let name = uname().nodename().to_bytes().to_vec();
    let (nobody, group) = (Uid::from_raw(65534), Gid::from_raw(65534));
    vec![
        ("load a BPF program", load_program()),
        ("open a raw socket", socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP)).map(drop)),
        ("listen on a privileged port", port),
        ("mount", mounted),
        ("change the root", chroot("/")),
        ("set the name of the host", sethostname(&name)),
        ("give a file away", rustix::fs::chown(&file, Some(nobody), None)),
        (
            "make a device",
            rustix::fs::mknodat(
                CWD,
                folder.path().join("null"),
                FileType::CharacterDevice,
                Mode::RUSR,
                makedev(1, 3),
            ),
        ),
        ("leave the network namespace", leave_network()),
        ("signal another user's process", kill_process(stranger, Signal::WINCH)),
        ("take another group", set_thread_groups(&[group])),
        ("become another user", set_thread_res_uid(nobody, nobody, nobody)),
    ]
}

/// Tries it in a thread that ends with it.
fn attempts_with(needs: CapabilitySet, stranger: Pid) -> Vec<(&'static str, Result<(), Errno>)> {
    capabilities::rehearse(needs, || attempts(stranger)).unwrap()
}

#[test]
fn what_an_intruder_would_try_is_refused_where_it_was_allowed_before() {
    if !can_record() {
        return;
    }
    let stranger = Stranger::new();
    for (what, outcome) in attempts_with(CapabilitySet::all(), stranger.pid()) {
        assert_eq!(outcome, Ok(()), "with all capabilities, a thread may {what}");
    }
    // In a thread of its own, since the recording takes its capabilities away for good.
    let pid = stranger.pid();
    let recorded = std::thread::spawn(move || {
        let mut config = RecordConfig::new(None);
        config.filter.pids = vec![u32::try_from(pid.as_raw_nonzero().get()).unwrap()];
        config.duration = Some(Duration::from_millis(100));
        record(&config, &mut Silent).unwrap();
        let environment = std::fs::read(format!("/proc/{pid}/environ"));
        (attempts(pid), environment)
    });
    let (attempts, environment) = recorded.join().unwrap();
    for (what, outcome) in attempts {
        assert_eq!(outcome, Err(wanted(what)), "after attaching, the recording thread may {what}");
    }
    assert!(environment.is_ok(), "what it needs, it has: {environment:?}");
}

#[test]
fn the_thread_that_strangers_talk_to_can_do_nothing_of_it_and_look_into_no_process() {
    if !can_record() {
        return;
    }
    let stranger = Stranger::new();
    let pid = stranger.pid();
    let work = move || {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).map_err(|error| errno(&error));
        (attempts(pid), environment)
    };
    let (attempts, environment) =
        capabilities::spawn("http", CapabilitySet::empty(), work).unwrap().join().unwrap();
    for (what, outcome) in attempts {
        assert_eq!(outcome, Err(wanted(what)), "the HTTP thread may {what}");
    }
    assert_eq!(environment, Err(Errno::ACCESS));
}

/// How the kernel says no.
fn wanted(what: &str) -> Errno {
    if what == "listen on a privileged port" { Errno::ACCESS } else { Errno::PERM }
}
