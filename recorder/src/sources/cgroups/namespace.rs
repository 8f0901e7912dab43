//! The cgroup namespace: paths of control groups are as seen from there, for the kernel's files and for nothing else.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::super::{Roots, read_namespace};

/// Inode of the cgroup namespace that the calling thread is in.
pub(super) fn own(roots: &Roots) -> Option<u32> {
    let of = |name| read_namespace(&roots.proc_file(name));
    of("thread-self/ns/cgroup").or_else(|| of("self/ns/cgroup"))
}

/// Takes the calling thread, and threads that it starts from then on, into the cgroup namespace of the first process:
/// that of the host, unless the recorder has a pid namespace of its own too.
///
/// # Errors
/// When there is another namespace and the kernel does not let the thread in.
pub fn enter_host_namespace(roots: &Roots) -> io::Result<()> {
    let host = roots.proc_file("1/ns/cgroup");
    let is_elsewhere = matches!((own(roots), read_namespace(&host)), (Some(own), Some(host)) if own != host);
    if is_elsewhere {
        move_into_link_name_space(File::open(host)?.as_fd(), Some(LinkNameSpaceType::ControlGroup))?;
    }
    Ok(())
}
