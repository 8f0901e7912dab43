//! The thread that talks to a daemon: deadlines, what is owed an answer, and when to try again. The same for all.

use std::collections::VecDeque;
use std::future::Future;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Instant;

use aftertrace_schemas::tables::{MetadataStatus, ProbeState, ProbeStatus};
use tokio::time::timeout;

use super::{Answer, QUEUE_LIMIT, RuntimeConfig, RuntimeReport, RuntimeRequest, row};

/// So many failed calls for one container, and it is not asked for again: one that the daemon itself hangs on
/// would else hold up the others.
const TRIES: u32 = 6;

/// How one kind of daemon is talked to. A call may take its time: the worker ends it at the deadline.
pub(super) trait Api {
    /// Whether the daemon at this socket answers, by a call that costs it nothing.
    fn greet(&self, socket: &Path) -> impl Future<Output = Result<(), Failure>>;

    /// What the daemon says; `None` when it does not know what was asked for.
    fn ask(
        &self,
        socket: &Path,
        request: &RuntimeRequest,
    ) -> impl Future<Output = Result<Option<Answer>, Failure>>;
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct Failure {
    /// `Off` when there is no such daemon.
    state: ProbeState,
    reason: String,
    /// The daemon as a whole does not answer.
    broken: bool,
}

impl Failure {
    /// The daemon does not answer, or not as it should.
    pub(super) fn broken(reason: impl Into<String>) -> Self {
        Self { state: ProbeState::Failed, reason: reason.into(), broken: true }
    }

    /// Behind the socket is something else.
    pub(super) fn absent(reason: impl Into<String>) -> Self {
        Self { state: ProbeState::Off, ..Self::broken(reason) }
    }

    /// The daemon answers, but has trouble with this request.
    pub(super) fn of_request(reason: impl Into<String>) -> Self {
        Self { broken: false, ..Self::broken(reason) }
    }
}

/// An error with its causes, each once.
pub(super) fn reason(error: &dyn std::error::Error) -> String {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !reason.contains(&text) {
            reason = format!("{reason}: {text}");
        }
        source = cause.source();
    }
    reason
}

pub(super) struct Worker<A> {
    api: A,
    config: RuntimeConfig,
    executor: tokio::runtime::Runtime,
    reports: Sender<RuntimeReport>,
    status: Option<ProbeStatus>,
    /// Where the daemon answered. None: it is not asked before `retry_at`.
    socket: Option<PathBuf>,
    retry_at: Instant,
    /// Answered `Unreachable`, to be asked again, with the calls that failed for it.
    pending: VecDeque<(RuntimeRequest, u32)>,
}

impl<A: Api> Worker<A> {
    pub(super) fn new(
        api: A,
        config: RuntimeConfig,
        executor: tokio::runtime::Runtime,
        reports: Sender<RuntimeReport>,
    ) -> Self {
        let retry_at = Instant::now();
        let pending = VecDeque::new();
        Self { api, config, executor, reports, status: None, socket: None, retry_at, pending }
    }

    /// Until the other side is dropped.
    pub(super) fn run(mut self, requests: &Receiver<RuntimeRequest>) {
        loop {
            if self.socket.is_none() && Instant::now() >= self.retry_at {
                self.retry();
            }
            let next = if self.socket.is_some() {
                requests.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                requests.recv_timeout(self.retry_at.saturating_duration_since(Instant::now()))
            };
            match next {
                Ok(request) => self.answer(request),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Tries the daemon again, and then those that it owes an answer.
    fn retry(&mut self) {
        match self.connect() {
            Ok(socket) => {
                self.socket = Some(socket);
                if self.pending.is_empty() {
                    self.set_status(ProbeState::Active, None);
                }
            }
            Err((state, reason)) => {
                self.retry_at = Instant::now() + self.config.retry_interval;
                return self.set_status(state, Some(reason));
            }
        }
        for _ in 0..self.pending.len() {
            if self.socket.is_none() {
                return;
            }
            let Some((request, failures)) = self.pending.pop_front() else { return };
            match self.ask(&request) {
                Ok(answer) => {
                    self.set_status(ProbeState::Active, None);
                    self.report(answer);
                }
                Err(failure) => {
                    self.failed(failure);
                    if failures + 1 < TRIES {
                        self.pending.push_back((request, failures + 1));
                    }
                }
            }
        }
    }

    /// A new request: one answer, at once or within the deadline.
    fn answer(&mut self, request: RuntimeRequest) {
        if self.socket.is_some() {
            match self.ask(&request) {
                Ok(answer) => {
                    self.set_status(ProbeState::Active, None);
                    return self.report(answer);
                }
                Err(failure) => self.failed(failure),
            }
        }
        self.report(row::empty(self.config.runtime, &request, MetadataStatus::Unreachable));
        if self.pending.len() < QUEUE_LIMIT {
            self.pending.push_back((request, 0));
        }
    }

    fn failed(&mut self, failure: Failure) {
        if failure.broken {
            self.socket = None;
            self.retry_at = Instant::now() + self.config.retry_interval;
        }
        self.set_status(failure.state, Some(failure.reason));
    }

    /// The first socket at which somebody answers: a daemon that was removed can leave its socket behind. A socket
    /// with two names is tried once.
    fn connect(&self) -> Result<PathBuf, (ProbeState, String)> {
        let mut seen = Vec::new();
        let mut failures = Vec::new();
        for path in &self.config.sockets {
            let Ok(found) = std::fs::metadata(path) else { continue };
            let identity = (found.dev(), found.ino());
            if !found.file_type().is_socket() || seen.contains(&identity) {
                continue;
            }
            seen.push(identity);
            match self.within_deadline(self.api.greet(path)) {
                Ok(()) => return Ok(path.clone()),
                Err(failure) => failures.push((path, failure)),
            }
        }
        if failures.is_empty() {
            let places: Vec<String> =
                self.config.sockets.iter().map(|socket| socket.display().to_string()).collect();
            let title = self.config.runtime.title();
            return Err((ProbeState::Off, format!("no {title} socket at {}", places.join(", "))));
        }
        let is_off = failures.iter().all(|(_, failure)| failure.state == ProbeState::Off);
        let state = if is_off { ProbeState::Off } else { ProbeState::Failed };
        let is_one = failures.len() == 1;
        let reasons: Vec<String> = failures
            .into_iter()
            .map(
                |(path, Failure { reason, .. })| {
                    if is_one { reason } else { format!("{}: {reason}", path.display()) }
                },
            )
            .collect();
        Err((state, reasons.join("; ")))
    }

    fn ask(&self, request: &RuntimeRequest) -> Result<Answer, Failure> {
        let not_found = || row::empty(self.config.runtime, request, MetadataStatus::NotFound);
        let Some(socket) = &self.socket else { return Err(self.timed_out()) };
        // The id becomes a part of a URL or path.
        let plain = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'@' | b':' | b'\\')
        };
        if request.id.is_empty() || !request.id.bytes().all(plain) {
            return Ok(not_found());
        }
        let answer = self.within_deadline(self.api.ask(socket, request))?;
        Ok(answer.unwrap_or_else(not_found))
    }

    fn within_deadline<T>(&self, call: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        // The timer must be made inside the runtime.
        let answer = self.executor.block_on(async { timeout(self.config.deadline, call).await });
        answer.unwrap_or_else(|_| Err(self.timed_out()))
    }

    fn timed_out(&self) -> Failure {
        Failure::broken(format!("no answer within {:?}", self.config.deadline))
    }

    fn report(&self, answer: Answer) {
        // Nobody listens when the recording has ended; the thread ends with the next request.
        let _ = self.reports.send(RuntimeReport::Answer(answer));
    }

    fn set_status(&mut self, state: ProbeState, reason: Option<String>) {
        let status = ProbeStatus { probe: self.config.runtime.name().to_owned(), state, reason };
        if self.status.as_ref() != Some(&status) {
            let _ = self.reports.send(RuntimeReport::Status(status.clone()));
            self.status = Some(status);
        }
    }
}
