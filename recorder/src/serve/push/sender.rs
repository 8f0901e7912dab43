//! The thread of one receiver: sends the oldest batch, again and again until it is taken or refused.
//!
//! A receiver that is away costs nothing but the queue. One that fails for a certain batch and takes others loses that
//! batch: it may not hold up the rest.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aftertrace_schemas::column::Timestamp;
use aftertrace_schemas::tables::{PushProtocol, PushStats};

use super::client::Verdict;
use super::endpoint::Endpoint;
use super::queue::Queue;

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A batch that fails so often in a row is left for later, to see whether another one goes through.
const PATIENCE: u32 = 8;

/// What the thread shares with whoever fills the queue.
#[derive(Debug)]
pub(super) struct Outlet {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) queue: Queue,
    stats: PushStats,
    /// Nothing comes any more: what waits is tried once.
    is_ending: bool,
}

impl Outlet {
    pub(super) fn new(endpoint: &Endpoint, queue: Queue) -> Self {
        let stats = PushStats {
            endpoint: endpoint.url.clone(),
            protocol: endpoint.protocol,
            sent_samples: 0,
            lost_queue_full: 0,
            lost_rejected: 0,
            lost_unwritten: 0,
            lost_damaged: 0,
            skipped_collections: 0,
            retries: 0,
            queued_batches: 0,
            queued_samples: 0,
            queued_bytes: 0,
            oldest: None,
            succeeded: None,
            error: None,
        };
        Self { state: Mutex::new(State { queue, stats, is_ending: false }), changed: Condvar::new() }
    }

    pub(super) fn protocol(&self) -> PushProtocol {
        self.lock().stats.protocol
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a batch in the queue.
    pub(super) fn push(&self, collected_ms: i64, samples: u64, body: &[u8]) {
        self.lock().queue.push(collected_ms, samples, body);
        self.changed.notify_all();
    }

    /// Samples that could not be encoded.
    pub(super) fn lose(&self, samples: u64) {
        self.lock().queue.losses.unwritten += samples;
    }

    pub(super) fn skip(&self) {
        self.lock().stats.skipped_collections += 1;
    }

    pub(super) fn end(&self) {
        self.lock().is_ending = true;
        self.changed.notify_all();
    }

    /// What became of all that was pushed.
    pub(super) fn stats(&self) -> PushStats {
        let state = self.lock();
        let batches = state.queue.batches();
        let losses = state.queue.losses;
        PushStats {
            lost_queue_full: losses.full,
            lost_unwritten: losses.unwritten,
            lost_damaged: losses.damaged,
            queued_batches: batches.len() as u64,
            queued_samples: batches.iter().map(|batch| batch.samples).sum(),
            queued_bytes: state.queue.bytes(),
            oldest: batches.front().map(|batch| Timestamp(batch.collected_ms.saturating_mul(1_000_000))),
            ..state.stats.clone()
        }
    }

    /// Waits until there is a batch that is newer than `after` and it may be sent. `None` when all is done.
    fn wait(
        &self,
        after: Option<u64>,
        not_before: Option<Instant>,
    ) -> Option<(super::queue::Batch, Vec<u8>)> {
        let mut state = self.lock();
        loop {
            let pause = not_before.map(|time| time.saturating_duration_since(Instant::now()));
            let is_due = pause.is_none_or(|pause| pause.is_zero());
            if is_due || state.is_ending {
                if let Some(taken) = state.queue.take(after) {
                    return Some(taken);
                }
                if state.is_ending || after.is_some() {
                    return None;
                }
            }
            state = match pause.filter(|pause| !pause.is_zero()) {
                Some(pause) => {
                    self.changed.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

/// How the batch at hand goes.
#[derive(Debug, Default)]
struct Progress {
    /// Failures in a row.
    failures: u32,
    /// When to try again.
    not_before: Option<Instant>,
    /// A batch that was set aside: the next success shows whose fault it is.
    suspect: Option<(u64, u64)>,
}

/// Has batches sent, by what is given their bodies and their numbers of samples, until the outlet ends.
pub(super) fn run(outlet: &Outlet, mut send: impl FnMut(&[u8], u64) -> Verdict) {
    let mut progress = Progress::default();
    loop {
        let after = progress.suspect.map(|(id, _)| id);
        let Some((batch, body)) = outlet.wait(after, progress.not_before.take()) else {
            if progress.suspect.take().is_some() && !outlet.lock().is_ending {
                // There was no other batch to try: it may as well be the receiver's fault.
                continue;
            }
            return;
        };
        let verdict = send(&body, batch.samples);
        let mut state = outlet.lock();
        match verdict {
            Verdict::Taken { refused, why } => {
                state.stats.sent_samples += batch.samples.saturating_sub(refused);
                state.stats.lost_rejected += refused.min(batch.samples);
                state.stats.succeeded = Some(now());
                state.stats.error = why;
                state.queue.remove(batch.id);
                if let Some((id, samples)) = progress.suspect.take()
                    && state.queue.remove(id)
                {
                    state.stats.lost_rejected += samples;
                }
                progress = Progress::default();
            }
            Verdict::Refused { why } => {
                state.stats.lost_rejected += batch.samples;
                state.stats.error = Some(why);
                state.queue.remove(batch.id);
                progress.failures = 0;
            }
            Verdict::Failed { why, is_answer, wait } => {
                state.queue.release();
                state.stats.retries += 1;
                state.stats.error = Some(why);
                if state.is_ending {
                    return;
                }
                progress.failures += 1;
                // An answer may be about this batch; without one the receiver is away for all.
                let is_worn = is_answer && progress.failures.is_multiple_of(PATIENCE);
                progress.suspect = match progress.suspect {
                    None if is_worn => Some((batch.id, batch.samples)),
                    _ => None,
                };
                progress.not_before = Some(Instant::now() + wait.unwrap_or_else(|| pause(progress.failures)));
            }
        }
    }
}

/// Twice as long each time.
fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT)
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn failed() -> Verdict {
        Verdict::Failed { why: "500".to_owned(), is_answer: true, wait: Some(Duration::ZERO) }
    }

    /// An outlet with three batches, which ends when they are gone, and what was sent of it, in order.
    fn sent(answer: impl Fn(&[u8], usize) -> Verdict) -> (Vec<String>, PushStats) {
        let folder = tempfile::tempdir().unwrap();
        let endpoint = Endpoint::remote_write("http://host/".parse().unwrap(), &[]);
        let outlet = Outlet::new(&endpoint, Queue::open(folder.path(), 1 << 20).unwrap());
        for body in ["one", "two", "three"] {
            outlet.push(0, 1, body.as_bytes());
        }
        let mut sent = Vec::new();
        run(&outlet, |body, _| {
            sent.push(String::from_utf8(body.to_vec()).unwrap());
            let verdict = answer(body, sent.len());
            let taken = sent.iter().filter(|body| *body != "one").count();
            if taken >= 2 && matches!(verdict, Verdict::Taken { .. }) || sent.len() > 100 {
                outlet.end();
            }
            verdict
        });
        (sent, outlet.stats())
    }

    #[test]
    fn a_batch_that_fails_again_and_again_while_others_go_through_is_given_up() {
        let taken = || Verdict::Taken { refused: 0, why: None };
        let (sent, stats) = sent(|body, _| if body == b"one" { failed() } else { taken() });
        let expected: Vec<&str> = std::iter::repeat_n("one", 8).chain(["two", "three"]).collect();
        assert_eq!(sent, expected);
        assert_eq!((stats.sent_samples, stats.lost_rejected, stats.queued_batches), (2, 1, 0));
    }

    #[test]
    fn a_batch_that_a_full_queue_pushes_out_while_it_is_set_aside_is_lost_once() {
        let folder = tempfile::tempdir().unwrap();
        let endpoint = Endpoint::remote_write("http://host/".parse().unwrap(), &[]);
        let body = [7; 4000];
        let outlet = Outlet::new(&endpoint, Queue::open(folder.path(), 10_000).unwrap());
        outlet.push(0, 1, &body);
        outlet.push(0, 1, &body);
        let mut sent = 0;
        run(&outlet, |_, _| {
            sent += 1;
            // The first is set aside after eight times; the second goes through, and meanwhile two more come.
            if sent <= 8 {
                return failed();
            }
            if sent == 9 {
                outlet.push(0, 1, &body);
                outlet.push(0, 1, &body);
                outlet.end();
            }
            Verdict::Taken { refused: 0, why: None }
        });
        let stats = outlet.stats();
        let lost = stats.lost_queue_full + stats.lost_rejected;
        assert_eq!((stats.sent_samples + lost, stats.lost_rejected), (4, 0), "{stats:?}");
    }

    #[test]
    fn while_all_fail_nothing_is_given_up() {
        let taken = || Verdict::Taken { refused: 0, why: None };
        let (sent, stats) = sent(|_, number| if number <= 30 { failed() } else { taken() });
        assert_eq!(sent.iter().filter(|body| *body == "two").count(), 4, "{sent:?}");
        assert_eq!((stats.sent_samples, stats.lost_samples(), stats.queued_batches), (3, 0, 0));
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        let seconds: Vec<u64> = [1, 2, 3, 6, 7, 8, 1_000].map(|failures| pause(failures).as_secs()).to_vec();
        assert_eq!(seconds, [1, 2, 4, 32, 60, 60, 60]);
    }
}
