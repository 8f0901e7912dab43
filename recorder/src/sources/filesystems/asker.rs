//! Asks file systems for their size, each with a deadline: one that hangs keeps its thread, and nothing else.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::Duration;

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};

use crate::capabilities::{self, OTHERS_PROCESSES};

/// Threads that may hang at a time. With so many, file systems that were not asked before are not asked either.
const HANGING_LIMIT: usize = 32;

/// Size and use of a file system, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Space {
    pub(super) size: u64,
    pub(super) free: u64,
    pub(super) available: u64,
}

/// What came of a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It answered.
    Space(Space),
    /// Another mount, or nothing, is at the path.
    NotThere,
    /// It did not answer in time, now or when it was asked before.
    Hangs,
    /// It was not asked, since too many others hang.
    NotAsked,
}

/// A file system: all mounts of it hang together.
pub(super) type Device = (u32, u32);

struct Question {
    path: PathBuf,
    mount_id: i32,
}

struct Worker {
    questions: Sender<Question>,
    answers: Receiver<Option<Space>>,
}

/// Asks in a thread of its own, and in another one when that hangs.
pub(super) struct Asker {
    deadline: Duration,
    worker: Option<Worker>,
    hanging: BTreeMap<Device, Receiver<Option<Space>>>,
}

impl Asker {
    /// Waits for each answer so long at most.
    pub(super) fn new(deadline: Duration) -> Self {
        Self { deadline, worker: None, hanging: BTreeMap::new() }
    }

    /// File systems that hang.
    pub(super) fn hanging(&self) -> usize {
        self.hanging.len()
    }

    /// Looks whether file systems that hung have answered meanwhile: they are asked again from now on.
    pub(super) fn refresh(&mut self) {
        self.hanging.retain(|_, answers| answers.try_recv() == Err(TryRecvError::Empty));
    }

    /// The space of the file system `device` at `path`, if that is where `mount_id` is.
    pub(super) fn ask(&mut self, device: Device, path: &Path, mount_id: i32) -> io::Result<Answer> {
        if self.hanging.contains_key(&device) {
            return Ok(Answer::Hangs);
        }
        if self.hanging.len() >= HANGING_LIMIT {
            return Ok(Answer::NotAsked);
        }
        let worker = match self.worker.take() {
            Some(worker) => worker,
            None => start()?,
        };
        let question = Question { path: path.to_owned(), mount_id };
        if worker.questions.send(question).is_err() {
            return Err(io::Error::other("the thread that asks file systems ended"));
        }
        match worker.answers.recv_timeout(self.deadline) {
            Ok(answer) => {
                self.worker = Some(worker);
                Ok(answer.map_or(Answer::NotThere, Answer::Space))
            }
            // Its thread ends once it is answered, for nobody sends it another question.
            Err(RecvTimeoutError::Timeout) => {
                self.hanging.insert(device, worker.answers);
                Ok(Answer::Hangs)
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(io::Error::other("the thread that asks file systems ended"))
            }
        }
    }
}

fn start() -> io::Result<Worker> {
    let (questions, asked) = channel::<Question>();
    let (answered, answers) = channel();
    capabilities::spawn("statfs", OTHERS_PROCESSES, move || {
        while let Ok(question) = asked.recv() {
            if answered.send(space(&question.path, question.mount_id).ok()).is_err() {
                break;
            }
        }
    })?;
    Ok(Worker { questions, answers })
}

/// Fails when another mount is at the path: this one is covered, or was taken away.
fn space(path: &Path, mount_id: i32) -> io::Result<Space> {
    let place = rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    // What is known without asking the file system is enough.
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let facts = rustix::fs::statx(&place, "", flags, StatxFlags::MNT_ID)?;
    let told = StatxFlags::from_bits_retain(facts.stx_mask).contains(StatxFlags::MNT_ID);
    if told && u64::try_from(mount_id) != Ok(facts.stx_mnt_id) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let statistics = rustix::fs::fstatvfs(&place)?;
    let bytes = |blocks: u64| blocks.saturating_mul(statistics.f_frsize);
    Ok(Space {
        size: bytes(statistics.f_blocks),
        free: bytes(statistics.f_bfree),
        available: bytes(statistics.f_bavail),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn mount_of(path: &str) -> (Device, i32) {
        let text = std::fs::read("/proc/self/mountinfo").unwrap();
        let mount = super::super::mountinfo::parse(&text).filter(|mount| mount.point == path).last().unwrap();
        (mount.device, mount.id)
    }

    #[test]
    fn a_file_system_answers_with_what_statfs_says() {
        let (device, mount_id) = mount_of("/proc");
        let mut asker = Asker::new(Duration::from_secs(10));
        let path = Path::new("/proc");
        assert_eq!(
            asker.ask(device, path, mount_id).unwrap(),
            Answer::Space(Space { size: 0, free: 0, available: 0 })
        );
        assert_eq!(asker.ask(device, path, mount_id + 100_000).unwrap(), Answer::NotThere);
        assert_eq!(asker.ask(device, Path::new("/nowhere"), mount_id).unwrap(), Answer::NotThere);
    }
}
