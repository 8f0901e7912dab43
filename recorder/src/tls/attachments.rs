//! Which files are to have probes now: a state machine without clock and without I/O.
//!
//! In: processes that start, replace their program, map code and exit; what was found in the files they execute; the
//! time, with each call. Out: [`Command`]s, and at most one [`Status`] for each file and outcome.
//!
//! - A process is looked at some time after it started: many are gone by then, and libraries that it loads late are
//!   there. It is looked at again at longer and longer intervals, and when it maps code.
//! - Looking at processes and reading files has a rate each, so a burst of processes waits and costs nothing.
//! - A file has probes as long as one process executes it. A file that cannot have any is known as such for as long,
//!   so it is read once and reported once, however many processes come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::libraries::FileKey;
use super::points::{NoPoints, Points};

mod rate;

use rate::Bucket;

const SECOND_NS: u64 = 1_000_000_000;

/// A process, by id and start, since ids are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// When it started.
    pub start_ns: u64,
}

/// What this may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// A process is looked at so long after it started or replaced its program, and then so long after the last time.
    pub scan_delays_ns: Vec<u64>,
    /// Processes that are looked at in a second.
    pub scans_per_second: u64,
    /// Files that are read in a second.
    pub files_per_second: u64,
    /// Files that have probes at once.
    pub attached_files: usize,
    /// Files that are known at once, also those without TLS.
    pub known_files: usize,
    /// Processes that are known at once.
    pub processes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            scan_delays_ns: vec![SECOND_NS / 10, SECOND_NS, 4 * SECOND_NS, 15 * SECOND_NS, 60 * SECOND_NS],
            scans_per_second: 200,
            files_per_second: 20,
            attached_files: 1024,
            known_files: 32 << 10,
            processes: 64 << 10,
        }
    }
}

/// What is to be done; in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// List the files that the process executes, and give them to [`Attachments::scanned`].
    Scan(Process),
    /// Find the points of a file, and give them to [`Attachments::analysed`]. It can be opened through this process.
    Analyse(FileKey, Process),
    /// Put probes in, and tell [`Attachments::attach_failed`] if that does not work.
    Attach(FileKey, Process, Arc<Vec<Points>>),
    /// Take the probes out.
    Detach(FileKey),
}

/// How it stands with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The file.
    pub file: FileKey,
    /// Its path as the first process that executed it saw it.
    pub path: PathBuf,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It has probes: the implementations and their versions.
    Attached(Vec<String>),
    /// It has TLS, or could have, and gets no probes.
    Failed(String),
    /// It would get probes, but too many files have; it waits.
    Waits,
    /// It is not even looked at, as too many files are known; only the first such is told.
    Unknown,
}

#[derive(Debug)]
enum State {
    /// In the queue, at this place.
    Unread(u64),
    Reading,
    Attached,
    Waits(Arc<Vec<Points>>),
    /// Nothing is to be done with it.
    Settled,
}

#[derive(Debug)]
struct Known {
    path: PathBuf,
    state: State,
    users: BTreeSet<Process>,
}

#[derive(Debug, Default)]
struct Image {
    files: BTreeSet<FileKey>,
    scans: usize,
    due_ns: Option<u64>,
}

/// The state of all processes and files.
#[derive(Debug)]
pub struct Attachments {
    limits: Limits,
    processes: BTreeMap<Process, Image>,
    /// Processes by when they are to be looked at.
    due: BTreeSet<(u64, Process)>,
    files: BTreeMap<FileKey, Known>,
    /// Files that are to be read, by their place in the queue.
    unread: BTreeMap<u64, FileKey>,
    last_place: u64,
    attached: usize,
    waiting: BTreeSet<FileKey>,
    scans: Bucket,
    reads: Bucket,
    commands: Vec<Command>,
    statuses: Vec<Status>,
    files_unknown: u64,
    processes_unknown: u64,
}

impl Attachments {
    /// Knows nothing yet.
    pub fn new(limits: Limits) -> Self {
        let (scans, reads) = (Bucket::new(limits.scans_per_second), Bucket::new(limits.files_per_second));
        Self {
            limits,
            processes: BTreeMap::new(),
            due: BTreeSet::new(),
            files: BTreeMap::new(),
            unread: BTreeMap::new(),
            last_place: 0,
            attached: 0,
            waiting: BTreeSet::new(),
            scans,
            reads,
            commands: Vec::new(),
            statuses: Vec::new(),
            files_unknown: 0,
            processes_unknown: 0,
        }
    }

    /// A process is there. One that was there before is taken as one that replaced its program.
    pub fn process_started(&mut self, process: Process, now_ns: u64) {
        if self.processes.contains_key(&process) {
            self.process_executed(process, now_ns);
        } else if self.processes.len() < self.limits.processes {
            self.processes.insert(process, Image::default());
            self.schedule(process, now_ns);
        } else {
            self.processes_unknown += 1;
        }
    }

    /// A process runs another program now: what it had mapped is gone.
    pub fn process_executed(&mut self, process: Process, now_ns: u64) {
        let Some(image) = self.processes.get_mut(&process) else {
            self.process_started(process, now_ns);
            return;
        };
        image.scans = 0;
        let files = std::mem::take(&mut image.files);
        self.release(process, &files);
        self.schedule(process, now_ns);
    }

    /// A process has mapped code.
    pub fn process_mapped(&mut self, process: Process, now_ns: u64) {
        let Some(image) = self.processes.get_mut(&process) else { return };
        let soon_ns = now_ns.saturating_add(self.limits.scan_delays_ns.first().copied().unwrap_or_default());
        // One that is looked at soon anyway is not put off: a process that maps without end would never be.
        if image.due_ns.is_none_or(|due_ns| due_ns > soon_ns) {
            image.scans = 0;
            self.schedule(process, now_ns);
        }
    }

    /// A process is gone.
    pub fn process_exited(&mut self, process: Process) {
        let Some(image) = self.processes.remove(&process) else { return };
        if let Some(due_ns) = image.due_ns {
            self.due.remove(&(due_ns, process));
        }
        self.release(process, &image.files);
    }

    /// What a process executes; nothing when it could not be looked at.
    pub fn scanned(&mut self, process: Process, files: &[(FileKey, PathBuf)], now_ns: u64) {
        let Some(image) = self.processes.get_mut(&process) else { return };
        let found: BTreeSet<FileKey> = files.iter().map(|(key, _)| *key).collect();
        let before = std::mem::take(&mut image.files);
        let gone: BTreeSet<FileKey> = before.difference(&found).copied().collect();
        let mut held: BTreeSet<FileKey> = before.intersection(&found).copied().collect();
        self.release(process, &gone);
        for (key, path) in files.iter().filter(|(key, _)| !before.contains(key)) {
            if self.hold(process, *key, path) {
                held.insert(*key);
            }
        }
        if let Some(image) = self.processes.get_mut(&process) {
            image.files = held;
        }
        self.schedule(process, now_ns);
    }

    /// What is in a file.
    pub fn analysed(&mut self, file: FileKey, found: Result<Vec<Points>, NoPoints>) {
        let Some(known) = self.files.get_mut(&file) else { return };
        if !matches!(known.state, State::Reading) {
            return;
        }
        known.state = State::Settled;
        match found {
            Ok(points) => {
                known.state = State::Waits(Arc::new(points));
                self.waiting.insert(file);
                self.attach_waiting();
                if self.waiting.contains(&file) {
                    self.tell(file, Outcome::Waits);
                }
            }
            Err(NoPoints::NotTls | NoPoints::NotElf) => {}
            Err(reason) => self.tell(file, Outcome::Failed(reason.to_string())),
        }
    }

    /// A file could not be opened through this process, as the process exited or has mapped another one meanwhile.
    pub fn unreachable(&mut self, file: FileKey, process: Process) {
        if let Some(image) = self.processes.get_mut(&process) {
            image.files.remove(&file);
        }
        self.release(process, &BTreeSet::from([file]));
        if let Some(known) = self.files.get_mut(&file)
            && matches!(known.state, State::Reading)
        {
            self.last_place += 1;
            known.state = State::Unread(self.last_place);
            self.unread.insert(self.last_place, file);
        }
    }

    /// The kernel did not take the probes of a file; it has none.
    pub fn attach_failed(&mut self, file: FileKey, reason: &str) {
        let Some(known) = self.files.get_mut(&file) else { return };
        if matches!(known.state, State::Attached) {
            known.state = State::Settled;
            self.attached -= 1;
            self.tell(file, Outcome::Failed(reason.to_owned()));
            self.attach_waiting();
        }
    }

    /// What is to be done at this time.
    pub fn commands(&mut self, now_ns: u64) -> Vec<Command> {
        self.scans.fill(now_ns);
        while let Some(&(due_ns, process)) = self.due.first()
            && due_ns <= now_ns
            && self.scans.take()
        {
            self.due.pop_first();
            if let Some(image) = self.processes.get_mut(&process) {
                image.due_ns = None;
                self.commands.push(Command::Scan(process));
            }
        }
        self.reads.fill(now_ns);
        while let Some(entry) = self.unread.first_entry()
            && self.reads.take()
        {
            let file = entry.remove();
            let Some(known) = self.files.get_mut(&file) else { continue };
            known.state = State::Reading;
            self.commands.extend(known.users.first().map(|user| Command::Analyse(file, *user)));
        }
        std::mem::take(&mut self.commands)
    }

    /// When there will be something to do; `None` when nothing is planned.
    pub fn next_due_ns(&self) -> Option<u64> {
        let scan_ns = self.due.first().map(|(due_ns, _)| self.scans.ready_ns(*due_ns));
        let read_ns = (!self.unread.is_empty()).then(|| self.reads.ready_ns(0));
        let now_ns = (!self.commands.is_empty()).then_some(0);
        [scan_ns, read_ns, now_ns].into_iter().flatten().min()
    }

    /// What came of files since the last time.
    pub fn statuses(&mut self) -> Vec<Status> {
        std::mem::take(&mut self.statuses)
    }

    /// Whether files wait to be read.
    pub fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Files that have probes.
    pub fn attached_files(&self) -> usize {
        self.attached
    }

    /// Files and processes that were not looked at, as too many are known.
    pub fn unknown(&self) -> (u64, u64) {
        (self.files_unknown, self.processes_unknown)
    }

    fn schedule(&mut self, process: Process, now_ns: u64) {
        let Some(image) = self.processes.get_mut(&process) else { return };
        let Some(delay_ns) = self.limits.scan_delays_ns.get(image.scans) else { return };
        let due_ns = now_ns.saturating_add(*delay_ns);
        if image.due_ns.is_some_and(|planned_ns| planned_ns <= due_ns) {
            return;
        }
        if let Some(planned_ns) = image.due_ns.replace(due_ns) {
            self.due.remove(&(planned_ns, process));
        }
        image.scans += 1;
        self.due.insert((due_ns, process));
    }

    /// Whether the file is known now.
    fn hold(&mut self, process: Process, key: FileKey, path: &Path) -> bool {
        if let Some(known) = self.files.get_mut(&key) {
            known.users.insert(process);
            return true;
        }
        if self.files.len() >= self.limits.known_files {
            self.files_unknown += 1;
            if self.files_unknown == 1 {
                let outcome = Outcome::Unknown;
                self.statuses.push(Status { file: key, path: path.to_owned(), outcome });
            }
            return false;
        }
        let users = BTreeSet::from([process]);
        self.last_place += 1;
        let state = State::Unread(self.last_place);
        self.files.insert(key, Known { path: path.to_owned(), state, users });
        self.unread.insert(self.last_place, key);
        true
    }

    fn release(&mut self, process: Process, files: &BTreeSet<FileKey>) {
        for file in files {
            let Some(known) = self.files.get_mut(file) else { continue };
            known.users.remove(&process);
            if !known.users.is_empty() {
                continue;
            }
            match known.state {
                State::Unread(place) => {
                    self.unread.remove(&place);
                }
                State::Attached => {
                    self.attached -= 1;
                    self.commands.push(Command::Detach(*file));
                }
                State::Waits(_) => {
                    self.waiting.remove(file);
                }
                State::Reading | State::Settled => {}
            }
            self.files.remove(file);
        }
        self.attach_waiting();
    }

    fn attach_waiting(&mut self) {
        while self.attached < self.limits.attached_files
            && let Some(file) = self.waiting.pop_first()
        {
            let Some(known) = self.files.get_mut(&file) else { continue };
            let (State::Waits(points), Some(user)) = (&known.state, known.users.first()) else { continue };
            let points = Arc::clone(points);
            self.commands.push(Command::Attach(file, *user, Arc::clone(&points)));
            known.state = State::Attached;
            self.attached += 1;
            self.tell(file, Outcome::Attached(points.iter().map(describe).collect()));
        }
    }

    fn tell(&mut self, file: FileKey, outcome: Outcome) {
        if let Some(known) = self.files.get(&file) {
            self.statuses.push(Status { file, path: known.path.clone(), outcome });
        }
    }
}

fn describe(points: &Points) -> String {
    match &points.version {
        Some(version) if version.starts_with(points.stack.name()) => version.clone(),
        Some(version) => format!("{} {version}", points.stack.name()),
        None => points.stack.name().to_owned(),
    }
}

#[cfg(test)]
mod tests;
