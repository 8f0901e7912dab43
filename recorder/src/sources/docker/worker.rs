//! The thread that talks to the daemon.

use std::collections::VecDeque;
use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Instant;

use aftertrace_schemas::tables::{ContainerSnapshot, MetadataStatus, ProbeState, ProbeStatus};
use bollard::errors::Error;
use bollard::query_parameters::InspectContainerOptions;
use bollard::{API_DEFAULT_VERSION, Docker};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::{DockerConfig, DockerReport, DockerRequest, QUEUE_LIMIT, SOURCE, row, unanswered};

/// So many failed calls for one container, and it is not asked for again: one that the daemon itself hangs on
/// would else hold up the others.
const TRIES: u32 = 6;

pub(super) struct Worker {
    config: DockerConfig,
    runtime: Runtime,
    reports: Sender<DockerReport>,
    status: Option<ProbeStatus>,
    /// Where the daemon answered. None: it is not asked before `retry_at`.
    socket: Option<PathBuf>,
    retry_at: Instant,
    /// Answered `Unreachable`, to be asked again, with the calls that failed for it.
    pending: VecDeque<(DockerRequest, u32)>,
}

/// Why there is no answer.
struct Failure {
    state: ProbeState,
    reason: String,
    /// The daemon as a whole does not answer.
    broken: bool,
}

impl Worker {
    pub(super) fn new(config: DockerConfig, runtime: Runtime, reports: Sender<DockerReport>) -> Self {
        let retry_at = Instant::now();
        Self { config, runtime, reports, status: None, socket: None, retry_at, pending: VecDeque::new() }
    }

    /// Until the other side is dropped.
    pub(super) fn run(mut self, requests: &Receiver<DockerRequest>) {
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
            Err(failure) => return self.failed(failure),
        }
        for _ in 0..self.pending.len() {
            if self.socket.is_none() {
                return;
            }
            let Some((request, failures)) = self.pending.pop_front() else { return };
            match self.ask(&request) {
                Ok(row) => {
                    self.set_status(ProbeState::Active, None);
                    self.report(row);
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
    fn answer(&mut self, request: DockerRequest) {
        if self.socket.is_some() {
            match self.ask(&request) {
                Ok(row) => {
                    self.set_status(ProbeState::Active, None);
                    return self.report(row);
                }
                Err(failure) => self.failed(failure),
            }
        }
        self.report(unanswered(&request));
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

    /// The first socket that exists, when the daemon there answers. It is asked for its version, which costs it
    /// nothing. The requests themselves name no version (bollard 0.21 leaves it out of its URLs), so the daemon takes
    /// its own.
    fn connect(&self) -> Result<PathBuf, Failure> {
        let sockets = &self.config.sockets;
        let Some(socket) = sockets.iter().find(|socket| socket.exists()) else {
            let places: Vec<String> = sockets.iter().map(|socket| socket.display().to_string()).collect();
            let reason = format!("no Docker socket at {}", places.join(", "));
            return Err(Failure { state: ProbeState::Off, reason, broken: true });
        };
        let client = self.client(socket)?;
        self.runtime.block_on(async {
            match timeout(self.config.deadline, client.negotiate_version()).await {
                Ok(negotiated) => negotiated.map(|_| socket.clone()).map_err(|error| self.failure(&error)),
                Err(_) => Err(self.timed_out()),
            }
        })
    }

    /// A client for one call. Its connection is not kept: nothing drives it between calls, so that a daemon which
    /// closed it meanwhile would only show as the next call's failure.
    fn client(&self, socket: &Path) -> Result<Docker, Failure> {
        // The library's own timeout is in whole seconds; ours ends before it.
        let seconds = self.config.deadline.as_secs() + 1;
        Docker::connect_with_unix(&socket.to_string_lossy(), seconds, API_DEFAULT_VERSION)
            .map_err(|error| self.failure(&error))
    }

    fn ask(&self, request: &DockerRequest) -> Result<ContainerSnapshot, Failure> {
        // The id becomes a part of a URL.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        if request.container_id.is_empty() || !request.container_id.bytes().all(plain) {
            return Ok(row::empty(request, MetadataStatus::NotFound));
        }
        let Some(socket) = &self.socket else { return Err(self.timed_out()) };
        let client = self.client(socket)?;
        let call = client.inspect_container(&request.container_id, None::<InspectContainerOptions>);
        // The timer must be made inside the runtime.
        let answer = self.runtime.block_on(async { timeout(self.config.deadline, call).await });
        match answer {
            Ok(Ok(answer)) => Ok(row::found(request, answer)),
            Ok(Err(Error::DockerResponseServerError { status_code: 404, .. })) => {
                Ok(row::empty(request, MetadataStatus::NotFound))
            }
            Ok(Err(error)) => Err(self.failure(&error)),
            Err(_) => Err(self.timed_out()),
        }
    }

    fn timed_out(&self) -> Failure {
        let reason = format!("no answer within {:?}", self.config.deadline);
        Failure { state: ProbeState::Failed, reason, broken: true }
    }

    /// An error of one request (the daemon answered with a status) or of the daemon.
    fn failure(&self, error: &Error) -> Failure {
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !reason.contains(&cause_text) {
                reason = format!("{reason}: {cause_text}");
            }
            source = cause.source();
        }
        let broken = !matches!(error, Error::DockerResponseServerError { .. }) || self.socket.is_none();
        Failure { state: ProbeState::Failed, reason, broken }
    }

    fn report(&self, row: ContainerSnapshot) {
        // Nobody listens when the recording has ended; the thread ends with the next request.
        let _ = self.reports.send(DockerReport::Container(Box::new(row)));
    }

    fn set_status(&mut self, state: ProbeState, reason: Option<String>) {
        let status = ProbeStatus { probe: SOURCE.to_owned(), state, reason };
        if self.status.as_ref() != Some(&status) {
            let _ = self.reports.send(DockerReport::Status(status.clone()));
            self.status = Some(status);
        }
    }
}
