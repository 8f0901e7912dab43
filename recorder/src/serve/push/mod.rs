//! Metrics and spans pushed to receivers, for hosts that nobody can scrape: Prometheus remote write and OTLP.
//!
//! In: what is collected at intervals, in the recording thread, each time at a place in the order of the trace as a
//! scrape is. Out: requests. One thread encodes and puts batches in a queue on disk for each receiver; a thread for
//! each receiver sends them. The recording thread waits for neither: what they are too slow for is counted.

mod client;
mod collection;
mod endpoint;
mod otlp;
mod queue;
mod remote_write;
mod sender;
#[cfg(test)]
mod tests;
mod traces;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aftertrace_registry::Span;
use aftertrace_registry::metrics::Family;
use aftertrace_schemas::tables::{PushProtocol, PushStats};

use self::client::Client;
use self::collection::{Collection, Pushed, compare};
pub use self::endpoint::{Endpoint, Header, NotAHeader, NotAPushUrl, PushUrl, parse_headers};
use self::queue::Queue;
pub use self::queue::QueueError;
use self::sender::Outlet;
use crate::capabilities;
use crate::sources::clock::{Clock, SystemClock};

/// What waits to be encoded at most.
const WAITING: usize = 2;
/// What waits at the end is tried for so long, and then left for the next time.
const LAST_TRY: Duration = Duration::from_secs(3);

/// Where metrics are pushed to, and how.
#[derive(Debug, Clone)]
pub struct PushConfig {
    /// Receivers; none means that nothing is pushed.
    pub endpoints: Vec<Endpoint>,
    /// How often.
    pub interval: Duration,
    /// Directory of the queues.
    pub directory: PathBuf,
    /// Most that waits for one receiver, bytes on disk.
    pub queue_bytes: u64,
}

impl Default for PushConfig {
    /// Pushes nothing.
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            interval: Duration::from_secs(15),
            directory: PathBuf::from("/var/lib/aftertrace/push"),
            queue_bytes: 64 << 20,
        }
    }
}

/// Why metrics cannot be pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// There is no queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// There is no thread.
    #[error("cannot push metrics: {0}")]
    Thread(io::Error),
}

/// What is to be encoded.
enum Work {
    /// Metrics, and the name of the host.
    Metrics(String, Collection),
    Spans(Vec<Span>),
}

/// The recording thread's side.
#[derive(Debug)]
pub(super) struct Pushing {
    interval: Duration,
    wants_metrics: bool,
    due: Option<Instant>,
    work: Option<SyncSender<Work>>,
    outlets: Vec<Arc<Outlet>>,
    threads: Vec<JoinHandle<()>>,
}

impl Pushing {
    /// Opens the queues and starts the threads; `None` when there is nobody to push to.
    pub(super) fn start(config: &PushConfig) -> Result<Option<Self>, PushError> {
        if config.endpoints.is_empty() {
            return Ok(None);
        }
        let (work, incoming) = sync_channel(WAITING);
        let mut outlets = Vec::new();
        let mut threads = Vec::new();
        let mut needs = None;
        let mut spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            // Once there is a queue, so that its directory is there.
            let needs = *needs.get_or_insert_with(|| capabilities::to_write_in(&config.directory));
            capabilities::spawn(name, needs, work).map_err(PushError::Thread)
        };
        for endpoint in &config.endpoints {
            let queue = Queue::open(&config.directory.join(endpoint.folder()), config.queue_bytes)?;
            let outlet = Arc::new(Outlet::new(endpoint, queue));
            let mut client = Client::new(endpoint.clone());
            let of_thread = Arc::clone(&outlet);
            threads.push(spawn(
                "push",
                Box::new(move || sender::run(&of_thread, |body, samples| client.send(body, samples))),
            )?);
            outlets.push(outlet);
        }
        let of_thread = outlets.clone();
        threads.push(spawn("push-encode", Box::new(move || encode(&incoming, &of_thread)))?);
        Ok(Some(Self {
            interval: config.interval,
            due: None,
            work: Some(work),
            wants_metrics: config.endpoints.iter().any(|endpoint| !endpoint.wants_spans()),
            outlets,
            threads,
        }))
    }

    /// Whether it is time to collect metrics; the first time at once.
    pub(super) fn is_due(&mut self) -> bool {
        if !self.wants_metrics {
            return false;
        }
        let now = Instant::now();
        if self.due.is_some_and(|due| now < due) {
            return false;
        }
        // Not in step with what was missed: a host that was suspended does not push many times at once.
        self.due = Some(now + self.interval);
        true
    }

    /// Hands over what was collected; when too much waits already, it is counted as skipped.
    pub(super) fn offer(&mut self, hostname: String, families: Vec<Family>) {
        let collected_ms = SystemClock.realtime_ns() / 1_000_000;
        let Some(work) = &self.work else { return };
        match work.try_send(Work::Metrics(hostname, Collection { collected_ms, families })) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                of_metrics(&self.outlets).for_each(|outlet| outlet.skip());
            }
        }
    }

    /// Hands over spans; when too much waits already, they are lost.
    pub(super) fn offer_spans(&mut self, spans: Vec<Span>) {
        let (Some(work), count) = (&self.work, spans.len() as u64) else { return };
        match work.try_send(Work::Spans(spans)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                of_spans(&self.outlets).for_each(|outlet| outlet.lose(count));
            }
        }
    }

    /// What became of all that was pushed.
    pub(super) fn stats(&self) -> Vec<PushStats> {
        self.outlets.iter().map(|outlet| outlet.stats()).collect()
    }

    /// Tries to get rid of what waits. Says what is left and what was lost.
    pub(super) fn stop(mut self) -> Vec<PushStats> {
        let until = Instant::now() + LAST_TRY;
        drop(self.work.take());
        while self.threads.iter().any(|thread| !thread.is_finished()) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        // A request that is under way ends with the process: its batch is in the queue.
        self.stats()
    }
}

fn of_metrics(outlets: &[Arc<Outlet>]) -> impl Iterator<Item = &Arc<Outlet>> {
    outlets.iter().filter(|outlet| outlet.protocol() != PushProtocol::OtlpTraces)
}

fn of_spans(outlets: &[Arc<Outlet>]) -> impl Iterator<Item = &Arc<Outlet>> {
    outlets.iter().filter(|outlet| outlet.protocol() == PushProtocol::OtlpTraces)
}

/// Encodes spans once, and queues them for each receiver.
fn encode_spans(spans: &[Span], outlets: &[Arc<Outlet>]) {
    let now_ms = SystemClock.realtime_ns() / 1_000_000;
    let body = traces::encode(spans);
    for outlet in of_spans(outlets) {
        match &body {
            Ok(body) => outlet.push(now_ms, spans.len() as u64, body),
            Err(_) => outlet.lose(spans.len() as u64),
        }
    }
}

/// Encodes all that comes once for each protocol, and queues it for each receiver.
fn encode(work: &Receiver<Work>, outlets: &[Arc<Outlet>]) {
    let began_ms = SystemClock.realtime_ns() / 1_000_000;
    let mut previous: Option<Collection> = None;
    while let Ok(work) = work.recv() {
        let (hostname, collection) = match work {
            Work::Metrics(hostname, collection) => (hostname, collection),
            Work::Spans(spans) => {
                encode_spans(&spans, outlets);
                continue;
            }
        };
        let pushed = compare(previous.as_ref(), &collection);
        let samples = pushed.iter().map(|family| family.len() as u64).sum();
        let collected_ms = collection.collected_ms;
        let mut bodies: Vec<(PushProtocol, io::Result<Vec<u8>>)> = Vec::new();
        for outlet in of_metrics(outlets) {
            let protocol = outlet.protocol();
            if !bodies.iter().any(|(known, _)| *known == protocol) {
                bodies.push((protocol, body(protocol, &pushed, collected_ms, began_ms, &hostname)));
            }
            match bodies.iter().find(|(known, _)| *known == protocol) {
                Some((_, Ok(body))) => outlet.push(collected_ms, samples, body),
                _ => outlet.lose(samples),
            }
        }
        previous = Some(collection);
    }
    outlets.iter().for_each(|outlet| outlet.end());
}

fn body(
    protocol: PushProtocol,
    pushed: &[Pushed<'_>],
    collected_ms: i64,
    began_ms: i64,
    hostname: &str,
) -> io::Result<Vec<u8>> {
    match protocol {
        PushProtocol::Otlp => otlp::encode(pushed, collected_ms, began_ms, hostname),
        _ => remote_write::encode(pushed, collected_ms, hostname).map_err(io::Error::other),
    }
}
