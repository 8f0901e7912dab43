//! Tells which log files changed: by inotify, and where that cannot be had not at all, so that all are looked at.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustc_hash::FxHashMap;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init, remove_watch};

/// Number of what is followed.
pub(super) type FollowId = u64;

/// Watches on files and directories, and who wants to know of each.
#[derive(Debug)]
pub(super) struct Watches {
    queue: OwnedFd,
    wanted: FxHashMap<i32, Vec<FollowId>>,
}

impl Watches {
    pub(super) fn new() -> io::Result<Self> {
        let queue = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self { queue, wanted: FxHashMap::default() })
    }

    /// Tells `follower` when the file changes.
    pub(super) fn file(&mut self, path: &Path, follower: FollowId) -> io::Result<i32> {
        self.add(path, WatchFlags::MODIFY | WatchFlags::MOVE_SELF | WatchFlags::ATTRIB, follower)
    }

    /// Tells `follower` when a name in the directory comes or goes.
    pub(super) fn directory(&mut self, path: &Path, follower: FollowId) -> io::Result<i32> {
        let names = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::MOVED_FROM | WatchFlags::DELETE;
        self.add(path, names | WatchFlags::ONLYDIR, follower)
    }

    fn add(&mut self, path: &Path, flags: WatchFlags, follower: FollowId) -> io::Result<i32> {
        let watch = add_watch(&self.queue, path, flags)?;
        let wanted = self.wanted.entry(watch).or_default();
        if !wanted.contains(&follower) {
            wanted.push(follower);
        }
        Ok(watch)
    }

    /// `follower` need not know any more.
    pub(super) fn remove(&mut self, watch: i32, follower: FollowId) {
        let Some(wanted) = self.wanted.get_mut(&watch) else { return };
        wanted.retain(|known| *known != follower);
        if wanted.is_empty() {
            self.wanted.remove(&watch);
            // The file may be gone, and the watch with it.
            let _ = remove_watch(&self.queue, watch);
        }
    }

    /// Who is told of what happened since the last call. An overflow of the kernel's queue is of all.
    pub(super) fn drain(&mut self, mut tell: impl FnMut(FollowId)) {
        let mut buffer = [MaybeUninit::uninit(); 8192];
        let mut reader = Reader::new(&self.queue, &mut buffer);
        while let Ok(event) = reader.next() {
            match self.wanted.get(&event.wd()) {
                Some(wanted) => wanted.iter().copied().for_each(&mut tell),
                None if event.wd() < 0 => self.wanted.values().flatten().copied().for_each(&mut tell),
                None => {}
            }
        }
    }
}

/// Waits until something is to be read from one of both, or the time is over.
pub(super) fn wait(watches: Option<&Watches>, wake: &OwnedFd, patience: Duration) {
    let mut fds = vec![PollFd::new(wake, PollFlags::IN)];
    if let Some(watches) = watches {
        fds.push(PollFd::from_borrowed_fd(watches.queue.as_fd(), PollFlags::IN));
    }
    let timeout = Timespec {
        tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: patience.subsec_nanos().into(),
    };
    // Interrupted is as good as over: the caller looks anyway.
    let _ = poll(&mut fds, Some(&timeout));
    let mut count = [0; 8];
    let _ = rustix::io::read(wake, &mut count);
}
