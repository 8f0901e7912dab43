//! Keeps probes in the files in which recorded processes do TLS: a thread that looks at processes, reads files and
//! attaches.
//!
//! In: processes as they start, replace their program and exit. Out: `ProbeStatus` rows, one for each file. Nothing waits
//! for it but a recording that is about to start a command, so that the libraries of this host have their probes.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use aftertrace_schemas::Kind;
use aftertrace_schemas::tables::{ProbeState, ProbeStatus, ProcessEventKind};

use super::attachments::{Attachments, Command, Limits, Outcome, Process, Status};
use super::libraries::{self, FileKey, MappedFile};
use super::points;
use crate::capabilities::{self, CapabilitySet, OTHERS_PROCESSES};
use crate::kernel::{TlsPrograms, Uprobes, unsupported};
use crate::sources::Roots;

/// Name of this source in `ProbeStatus` rows; those of files have it before the path.
pub const SOURCE: &str = "tls";
/// In the place of a process: libraries of this host, which a process may have soon.
const HOST: Process = Process { pid: 0, start_ns: 0 };
/// Where libraries are, and how those begin that do TLS.
const LIBRARY_DIRECTORIES: [&str; 6] = [
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/local/lib",
];
const LIBRARIES: [&str; 2] = ["libssl.so.", "libgnutls.so."];
/// When there is nothing to do it looks up so often.
const IDLE: Duration = Duration::from_secs(3600);

enum Event {
    Started(Process),
    Executed(Process),
    Exited(Process),
}

enum Report {
    Status(ProbeStatus),
    /// The libraries of this host have their probes.
    Ready,
}

/// The source. Dropping it ends its thread.
#[derive(Debug)]
pub struct TlsSource {
    events: Option<Sender<Vec<Event>>>,
    reports: Receiver<Report>,
    /// Collected for the thread, which is woken once for all.
    collected: Vec<Event>,
    is_ready: bool,
    told: Vec<ProbeStatus>,
}

impl std::fmt::Debug for Event {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Started(process) | Self::Executed(process) | Self::Exited(process)) = self;
        process.fmt(formatter)
    }
}

impl TlsSource {
    /// Starts the thread. Without programs there is none, and a row that says why.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(roots: Roots, programs: Result<TlsPrograms, String>) -> io::Result<Self> {
        let (events, event_queue) = channel();
        let (report_queue, reports) = channel();
        let mut source =
            Self { events: None, reports, collected: Vec::new(), is_ready: true, told: Vec::new() };
        match programs {
            Ok(programs) => {
                let mut worker = Worker {
                    roots,
                    programs,
                    reports: report_queue,
                    attachments: Attachments::new(Limits::default()),
                    attached: BTreeMap::new(),
                    began: Instant::now(),
                };
                capabilities::spawn(SOURCE, OTHERS_PROCESSES | PROBES, move || worker.run(&event_queue))?;
                source.events = Some(events);
                source.is_ready = false;
                source.told.push(status(SOURCE.to_owned(), ProbeState::Active, None));
            }
            Err(reason) => {
                source.told.push(status(SOURCE.to_owned(), ProbeState::Failed, Some(reason)));
            }
        }
        Ok(source)
    }

    /// None: nothing inside TLS is asked for.
    pub fn off() -> Self {
        let (_, reports) = channel();
        Self { events: None, reports, collected: Vec::new(), is_ready: true, told: Vec::new() }
    }

    /// Notes what an observation says of processes; to be handed over at the next [`Self::tell`].
    pub fn observe(&mut self, kind: &Kind) {
        if self.events.is_none() {
            return;
        }
        let event = match kind {
            Kind::ProcessSnapshot(row) => Event::Started(process(row.pid, row.process_start_ns)),
            Kind::Process(row) => {
                let Some(start_ns) = row.process_start_ns else { return };
                let process = process(row.pid, start_ns);
                match row.kind {
                    ProcessEventKind::Start => Event::Started(process),
                    ProcessEventKind::Exec => Event::Executed(process),
                    ProcessEventKind::Exit => Event::Exited(process),
                    _ => return,
                }
            }
            _ => return,
        };
        self.collected.push(event);
    }

    /// Hands over what was noted; never waits.
    pub fn tell(&mut self) {
        if let Some(events) = &self.events
            && !self.collected.is_empty()
        {
            let _ = events.send(std::mem::take(&mut self.collected));
        }
    }

    /// Waits until the libraries of this host have their probes, or for `patience`.
    pub fn settle(&mut self, patience: Duration) {
        let until = Instant::now() + patience;
        while !self.is_ready {
            match self.reports.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(report) => self.take(report),
                Err(_) => break,
            }
        }
    }

    /// Rows that arrived.
    pub fn take_rows(&mut self) -> Vec<Kind> {
        while let Ok(report) = self.reports.try_recv() {
            self.take(report);
        }
        std::mem::take(&mut self.told).into_iter().map(Kind::Probe).collect()
    }

    fn take(&mut self, report: Report) {
        match report {
            Report::Status(status) => self.told.push(status),
            Report::Ready => self.is_ready = true,
        }
    }
}

fn process(pid: u32, start_ns: u64) -> Process {
    Process { pid, start_ns }
}

fn status(probe: String, state: ProbeState, reason: Option<String>) -> ProbeStatus {
    ProbeStatus { probe, state, reason }
}

/// The kernel lets nobody else make uprobes, with CAP_PERFMON neither. It opens the way to deleted files as well.
const PROBES: CapabilitySet = CapabilitySet::SYS_ADMIN;

struct Worker {
    roots: Roots,
    programs: TlsPrograms,
    reports: Sender<Report>,
    attachments: Attachments,
    attached: BTreeMap<FileKey, Uprobes>,
    began: Instant,
}

impl Worker {
    fn now_ns(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Works until nobody has any more events.
    fn run(&mut self, events: &Receiver<Vec<Event>>) {
        let now_ns = self.now_ns();
        self.attachments.process_started(HOST, now_ns);
        self.scan(HOST);
        let mut is_ready = false;
        loop {
            self.work();
            let due_ns = self.attachments.next_due_ns();
            if !is_ready && !self.attachments.has_unread() {
                is_ready = true;
                let _ = self.reports.send(Report::Ready);
            }
            let wait = due_ns
                .map_or(IDLE, |due_ns| Duration::from_nanos(due_ns.saturating_sub(self.now_ns())).min(IDLE));
            match events.recv_timeout(wait) {
                Ok(batch) => batch.iter().for_each(|event| self.take(event)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn take(&mut self, event: &Event) {
        let now_ns = self.now_ns();
        match event {
            Event::Started(process) => self.attachments.process_started(*process, now_ns),
            Event::Executed(process) => self.attachments.process_executed(*process, now_ns),
            Event::Exited(process) => self.attachments.process_exited(*process),
        }
    }

    /// Does what is due.
    fn work(&mut self) {
        loop {
            let commands = self.attachments.commands(self.now_ns());
            if commands.is_empty() {
                break;
            }
            for command in commands {
                match command {
                    Command::Scan(process) => self.scan(process),
                    Command::Analyse(key, process) => match self.open(process, key) {
                        Ok(file) => self.attachments.analysed(key, points::find(&file.file)),
                        Err(_) => self.attachments.unreachable(key, process),
                    },
                    Command::Attach(key, process, points) => {
                        let reasons: Vec<&str> =
                            points.iter().filter_map(|points| unsupported(points.stack)).collect();
                        if reasons.len() == points.len() {
                            self.attachments.attach_failed(key, &reasons.join(", "));
                            continue;
                        }
                        let attached = self
                            .open(process, key)
                            .and_then(|file| self.programs.attach(&file.probe_path(), &points));
                        match attached {
                            Ok(uprobes) => _ = self.attached.insert(key, uprobes),
                            Err(error) => self.attachments.attach_failed(key, &error.to_string()),
                        }
                    }
                    Command::Detach(key) => _ = self.attached.remove(&key),
                }
            }
        }
        for status in self.attachments.statuses() {
            let _ = self.reports.send(Report::Status(row(&status)));
        }
    }

    fn scan(&mut self, process: Process) {
        let files: Vec<(FileKey, PathBuf)> =
            self.files(process).into_iter().map(|file| (file.key, file.path)).collect();
        let now_ns = self.now_ns();
        self.attachments.scanned(process, &files, now_ns);
    }

    /// What a process executes, as far as it can be opened.
    fn files(&self, process: Process) -> Vec<MappedFile> {
        if process == HOST {
            return host_libraries().iter().filter_map(|path| libraries::open_path(path).ok()).collect();
        }
        let mappings = libraries::executed(&self.roots, process.pid).unwrap_or_default();
        let open = |mapping| libraries::open(&self.roots, process.pid, mapping).ok();
        mappings.iter().filter_map(open).collect()
    }

    fn open(&self, process: Process, key: FileKey) -> io::Result<MappedFile> {
        if process != HOST {
            return libraries::open_key(&self.roots, process.pid, key);
        }
        let found = self.files(process).into_iter().find(|file| file.key == key);
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Libraries of this host that do TLS, as its programs find them.
fn host_libraries() -> Vec<PathBuf> {
    let listed = LIBRARY_DIRECTORIES.iter().filter_map(|directory| std::fs::read_dir(directory).ok());
    let paths = listed.flatten().flatten().map(|entry| entry.path());
    paths
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            LIBRARIES.iter().any(|library| name.starts_with(library.as_bytes()))
        })
        .filter_map(|path| std::fs::canonicalize(path).ok())
        .collect()
}

fn row(told: &Status) -> ProbeStatus {
    let name = |path: &Path| format!("{SOURCE}:{}", path.display());
    match &told.outcome {
        Outcome::Attached(stacks) => status(name(&told.path), ProbeState::Active, Some(stacks.join(", "))),
        Outcome::Failed(reason) => status(name(&told.path), ProbeState::Failed, Some(reason.clone())),
        Outcome::Waits => status(
            name(&told.path),
            ProbeState::Failed,
            Some("too many files have probes; it waits for one that is used no more".to_owned()),
        ),
        Outcome::Unknown => status(
            SOURCE.to_owned(),
            ProbeState::Failed,
            Some(format!(
                "too many files are known; the first that is not looked at: {}",
                told.path.display()
            )),
        ),
    }
}
