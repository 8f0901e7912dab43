//! The programs that see what is said inside TLS, and how they are attached to files: by a thread of its own, as it
//! takes a while and the rings must not wait.
//!
//! In: the probe points of a file. Out: [`Uprobes`], which detach when they are dropped.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use aya::programs::UProbe;

use super::attach::{program, words};
use super::{Kernel, syscall};
use crate::tls::points::{Function, Points, Role, Stack};

/// The programs by what they are attached to.
#[derive(Debug)]
pub struct TlsPrograms {
    programs: Vec<(&'static str, OwnedFd)>,
    /// What the kernel calls uprobes, as a source of events.
    event_type: u32,
}

/// Probes in a file. Dropping them takes them out.
#[derive(Debug)]
pub struct Uprobes {
    _events: Vec<OwnedFd>,
}

const LEAVE: &str = "tls_leave";
const LEAVE_WIDE: &str = "tls_leave_wide";
const GO_LEAVE: &str = "go_leave";

/// Every program.
pub(super) const PROGRAMS: [&str; 15] = [
    "tls_read",
    "tls_read_ex",
    "tls_write",
    "tls_write_ex",
    "tls_write_ex2",
    "tls_handshake",
    "tls_begin",
    "tls_set_fd",
    "tls_free",
    LEAVE,
    LEAVE_WIDE,
    "go_read",
    "go_write",
    "go_handshake",
    GO_LEAVE,
];

/// The programs for the entry of a function and for its returns; none for what no program reads yet.
fn programs_of(stack: Stack, function: &Function) -> (Option<&'static str>, Option<&'static str>) {
    let is_go = stack == Stack::Go;
    let leave = match stack {
        Stack::Go => GO_LEAVE,
        Stack::GnuTls => LEAVE_WIDE,
        _ => LEAVE,
    };
    match function.role {
        Role::Read => (Some(if is_go { "go_read" } else { "tls_read" }), Some(leave)),
        Role::Write => (Some(if is_go { "go_write" } else { "tls_write" }), Some(leave)),
        Role::ReadEx => (Some("tls_read_ex"), Some(leave)),
        Role::WriteEx => (Some("tls_write_ex"), Some(leave)),
        Role::WriteEx2 => (Some("tls_write_ex2"), Some(leave)),
        // Those of Go are only seen to begin: what they move is moved by other threads, too.
        Role::Handshake if is_go => (Some("go_handshake"), None),
        Role::Handshake => (Some("tls_handshake"), Some(leave)),
        Role::Begin => (Some("tls_begin"), None),
        Role::SetFd => (Some("tls_set_fd"), None),
        Role::Free => (Some("tls_free"), None),
        Role::ReadChunk | Role::Consume | Role::Flush => (None, None),
    }
}

/// Why an implementation gets no probes although its points are known.
pub fn unsupported(stack: Stack) -> Option<&'static str> {
    (stack == Stack::Rustls).then_some("rustls hands out what it read in pieces, which is not read yet")
}

impl Kernel {
    /// Loads the programs for TLS.
    ///
    /// # Errors
    /// The kernel's words when it rejects one, or has no uprobes.
    pub fn tls_programs(&mut self) -> Result<TlsPrograms, String> {
        let path = "/sys/bus/event_source/devices/uprobe/type";
        let event_type = std::fs::read_to_string(path)
            .map_err(|error| format!("the kernel has no uprobes: {path}: {error}"))?
            .trim()
            .parse()
            .map_err(|_| format!("the kernel has no uprobes that are known: {path}"))?;
        let mut programs = Vec::new();
        for name in PROGRAMS {
            let program = program::<UProbe>(&mut self.ebpf, name)?;
            program.load().map_err(|error| format!("{name}: {}", words(error)))?;
            let fd = program.fd().map_err(words)?.as_fd().try_clone_to_owned();
            programs.push((name, fd.map_err(|error| error.to_string())?));
        }
        Ok(TlsPrograms { programs, event_type })
    }
}

impl TlsPrograms {
    /// Puts probes at points of the file at `path`, for all processes that execute it.
    ///
    /// # Errors
    /// The kernel's; then none is left in.
    pub fn attach(&self, path: &Path, points: &[Points]) -> io::Result<Uprobes> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let mut events = Vec::new();
        let mut attach = |name: &str, offset: u64| {
            let program = self.programs.iter().find(|(known, _)| *known == name);
            let Some((_, program)) = program else { return Ok(()) };
            events.push(syscall::attach_uprobe(program.as_fd(), self.event_type, &path, offset)?);
            io::Result::Ok(())
        };
        for points in points.iter().filter(|points| unsupported(points.stack).is_none()) {
            for function in &points.functions {
                let (entry, leave) = programs_of(points.stack, function);
                // Returns first, so that no call is seen to begin and not to end.
                if let Some(leave) = leave {
                    for offset in &function.return_offsets {
                        attach(leave, *offset)?;
                    }
                }
                if let Some(entry) = entry {
                    attach(entry, function.entry_offset)?;
                }
            }
        }
        Ok(Uprobes { _events: events })
    }
}
