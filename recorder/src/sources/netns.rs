//! Work in other network namespaces: in a thread of its own, so that no other code ever runs there.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::Roots;

/// Does `work` in a network namespace and returns what came of it; a socket that it opened stays of that namespace.
pub(crate) fn within<T: Send + 'static>(
    namespace: File,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let thread = std::thread::Builder::new().name("netns".to_owned()).spawn(move || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        work()
    })?;
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace ended")))
}

/// The network namespace of a process, when it is the one with this inode (the process may have gone elsewhere).
pub(crate) fn of_process(roots: &Roots, pid: u32, network_namespace: u32) -> Option<File> {
    let file = File::open(roots.proc_file(&format!("{pid}/ns/net"))).ok()?;
    (file.metadata().ok()?.ino() == u64::from(network_namespace)).then_some(file)
}
