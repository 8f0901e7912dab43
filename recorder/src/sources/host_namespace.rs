//! Work that must be done in a namespace of the host, which the recorder may not be in: in a container, for one.
//!
//! In: a kind of namespace, a task. Out: what the task gives.

use std::fs::File;
use std::os::fd::AsFd;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{Roots, read_namespace};

/// Runs `task` in process 1's namespace of this kind. In the own one, when that is the same or the other cannot be
/// entered. `None` when there is no thread for it.
pub(crate) fn in_namespace_of_host<T: Send>(
    roots: &Roots,
    kind: LinkNameSpaceType,
    task: impl FnOnce() -> T + Send,
) -> Option<T> {
    let name = match kind {
        LinkNameSpaceType::HostNameAndNISDomainName => "uts",
        _ => "net",
    };
    let host = roots.proc_file(&format!("1/ns/{name}"));
    let own = read_namespace(&roots.proc_file(&format!("self/ns/{name}")));
    if read_namespace(&host).is_none_or(|inode| Some(inode) == own) {
        return Some(task());
    }
    // A thread of its own, so that no other code ever runs in the other namespace.
    let task = move || {
        if let Ok(namespace) = File::open(host) {
            let _ = move_into_link_name_space(namespace.as_fd(), Some(kind));
        }
        task()
    };
    std::thread::scope(|scope| {
        std::thread::Builder::new().name(format!("host-{name}")).spawn_scoped(scope, task).ok()?.join().ok()
    })
}
