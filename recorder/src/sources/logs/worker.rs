//! The thread that reads log files.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use aftertrace_schemas::tables::{LogFile, ProbeState, ProbeStatus};

use super::journald::Journal;
use super::outlet::Outlet;
use super::place::{Places, file_clock_ns};
use super::tail::{Begin, Position, Tail};
use super::watch::{FollowId, Watches, wait};
use super::{Command, SOURCE, Targets};
use crate::sources::clock::{Clock, SystemClock};

/// All files are looked at this often, whatever is told of them.
const SWEEP: Duration = Duration::from_secs(1);
/// Those that nobody tells about.
const POLL: Duration = Duration::from_millis(250);
/// Between two rounds, so that a busy file costs one wake-up for many lines.
const LEAST_PAUSE: Duration = Duration::from_millis(5);
/// Losses, counts and positions are told this often.
const TICK: Duration = Duration::from_secs(1);
/// A file that is no longer asked for is read for so long: the runtime may be behind its container.
const GRACE: Duration = Duration::from_secs(3);
/// Positions in files that are no longer followed.
const REMEMBERED: usize = 4096;
/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;
/// At the end, files are read for so long.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// What names a file that is followed.
type Key = (String, String);

struct Followed {
    tail: Tail,
    key: Key,
    /// Since when nobody asks for it.
    over_since: Option<Instant>,
    told: Option<Position>,
}

/// Reads log files.
pub(super) struct Worker {
    places: Places,
    watches: Option<Watches>,
    wake: Arc<OwnedFd>,
    outlet: Outlet,
    journal: Journal,
    /// Files made since are read whole.
    since: i64,
    next: FollowId,
    followed: BTreeMap<FollowId, Followed>,
    by_key: BTreeMap<Key, FollowId>,
    remembered: VecDeque<(Key, Position)>,
    dirty: BTreeSet<FollowId>,
    status: Option<ProbeStatus>,
    /// Why there is no inotify.
    unwatched: Option<String>,
    buffer: Vec<u8>,
}

impl Worker {
    pub(super) fn new(
        places: Places,
        wake: Arc<OwnedFd>,
        outlet: Outlet,
        journal: Journal,
        polls: bool,
    ) -> Self {
        let (watches, unwatched) = match Watches::new() {
            _ if polls => (None, Some("switched off".to_owned())),
            Ok(watches) => (Some(watches), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Self {
            places,
            watches,
            wake,
            outlet,
            journal,
            since: file_clock_ns(),
            next: 0,
            followed: BTreeMap::new(),
            by_key: BTreeMap::new(),
            remembered: VecDeque::new(),
            dirty: BTreeSet::new(),
            status: None,
            unwatched,
            buffer: vec![0; READ_BYTES],
        }
    }

    /// Until it is told to end, or nobody listens.
    pub(super) fn run(mut self, commands: &Receiver<Command>) {
        let mut swept = Instant::now();
        let mut ticked = Instant::now();
        loop {
            loop {
                match commands.try_recv() {
                    Ok(Command::Follow(targets)) => self.follow(targets),
                    Ok(Command::Finish) | Err(TryRecvError::Disconnected) => return self.finish(),
                    Err(TryRecvError::Empty) => break,
                }
            }
            let round = Instant::now();
            let Self { watches, dirty, .. } = &mut self;
            if let Some(watches) = watches {
                watches.drain(|follower| {
                    dirty.insert(follower);
                });
            }
            if round.duration_since(swept) >= self.sweep_interval() {
                swept = round;
                self.dirty.extend(self.followed.keys().copied());
            }
            self.read_dirty(round);
            if let Some(status) = self.journal.turn(round, &mut self.outlet) {
                self.outlet.row(SystemClock.boot_ns(), status);
            }
            if round.duration_since(ticked) >= TICK {
                ticked = round;
                self.tick(round);
            }
            self.outlet.flush();
            if self.outlet.is_closed {
                return;
            }
            if self.dirty.is_empty() {
                std::thread::sleep(LEAST_PAUSE.saturating_sub(round.elapsed()));
                let pause = self.sweep_interval().saturating_sub(swept.elapsed());
                wait(self.watches.as_ref(), &self.wake, pause);
            }
        }
    }

    fn sweep_interval(&self) -> Duration {
        if self.followed.values().any(|followed| followed.tail.is_polled) { POLL } else { SWEEP }
    }

    /// Follows these from now on, and others only until they are read.
    fn follow(&mut self, targets: Targets) {
        let now = Instant::now();
        let mut wanted = BTreeSet::new();
        for target in targets.files {
            let key = (target.cgroup.clone(), target.path.clone());
            wanted.insert(key.clone());
            if let Some(followed) = self.by_key.get(&key).and_then(|id| self.followed.get_mut(id)) {
                followed.over_since = None;
                followed.tail.target.place = target.place;
                continue;
            }
            let known = self.remembered.iter().position(|(known, _)| *known == key);
            let position =
                known.and_then(|place| self.remembered.remove(place)).map(|(_, position)| position);
            let begin = position.map_or(Begin::Since(self.since), Begin::At);
            let id = self.next;
            self.next += 1;
            let tail = Tail::new(target, id, begin);
            self.followed.insert(id, Followed { tail, key: key.clone(), over_since: None, told: None });
            self.by_key.insert(key, id);
            // At once: what is written from now on must not be taken for what was there before.
            self.look(id, now);
            self.dirty.insert(id);
        }
        for followed in self.followed.values_mut() {
            if !wanted.contains(&followed.key) && followed.over_since.is_none() {
                followed.over_since = Some(now);
            }
        }
        self.journal.follow(targets.units);
        // From where each is read is known at once.
        self.tell_positions(SystemClock.boot_ns());
    }

    fn look(&mut self, id: FollowId, now: Instant) -> bool {
        let Some(Followed { tail, .. }) = self.followed.get_mut(&id) else { return false };
        let is_new = tail.look(&self.places, self.watches.as_mut(), now);
        for _ in 0..tail.take_unread_files() {
            self.outlet.lose(Some(&tail.target.cgroup), "unread_file", SystemClock.boot_ns());
        }
        is_new
    }

    /// A turn for each file that may have something. One that has more stays dirty.
    fn read_dirty(&mut self, now: Instant) {
        for id in std::mem::take(&mut self.dirty) {
            if self.read(id, now) || self.look(id, now) {
                self.dirty.insert(id);
            }
        }
    }

    /// Returns whether there is more to read.
    fn read(&mut self, id: FollowId, now: Instant) -> bool {
        let Self { followed, outlet, buffer, watches, .. } = self;
        let Some(Followed { tail, .. }) = followed.get_mut(&id) else { return false };
        let now_ns = SystemClock.boot_ns();
        let (cgroup, source) = (tail.target.cgroup.clone(), tail.target.source.clone());
        let mut out = |logged: super::decode::Logged<'_>| {
            outlet.line((&cgroup, &source), &logged, Some(logged.offset), None, now_ns);
        };
        let has_more = tail.read(buffer, now, &mut out);
        if !has_more {
            tail.retire(watches.as_mut(), now, &mut out);
        }
        has_more
    }

    /// What is told at intervals; and gives up what nobody asks for.
    fn tick(&mut self, now: Instant) {
        let is_over =
            |followed: &Followed| followed.over_since.is_some_and(|since| now.duration_since(since) > GRACE);
        let over: Vec<FollowId> =
            self.followed.iter().filter(|(_, followed)| is_over(followed)).map(|(id, _)| *id).collect();
        for id in over {
            while self.read(id, now) {}
            self.close(id);
        }
        let now_ns = SystemClock.boot_ns();
        self.tell_positions(now_ns);
        self.tell_status(now_ns);
        self.outlet.tick(now_ns);
        let of_files = self.by_key.keys().map(|(cgroup, _)| cgroup.as_str());
        let live: BTreeSet<&str> = of_files.chain(self.journal.cgroups()).collect();
        self.outlet.finish(now_ns, |cgroup| !live.contains(cgroup));
    }

    fn close(&mut self, id: FollowId) {
        let Some(mut followed) = self.followed.remove(&id) else { return };
        self.by_key.remove(&followed.key);
        let now_ns = SystemClock.boot_ns();
        let (cgroup, source) = (followed.tail.target.cgroup.clone(), followed.tail.target.source.clone());
        let outlet = &mut self.outlet;
        let end = followed.tail.end();
        followed.tail.finish(self.watches.as_mut(), &mut |logged| {
            outlet.line((&cgroup, &source), &logged, Some(logged.offset), None, now_ns);
        });
        if let Some(position) = end {
            self.remembered.push_back((followed.key, position));
            if self.remembered.len() > REMEMBERED {
                self.remembered.pop_front();
            }
        }
    }

    fn tell_positions(&mut self, now_ns: u64) {
        for Followed { tail, told, .. } in self.followed.values_mut() {
            let position = tail.position();
            if let Some(Position { id, offset }) = position
                && position != *told
            {
                *told = position;
                self.outlet.row(
                    now_ns,
                    LogFile {
                        cgroup: tail.target.cgroup.clone(),
                        source: tail.target.source.clone(),
                        path: tail.target.path.clone(),
                        inode: id.inode,
                        offset,
                    },
                );
            }
        }
    }

    /// Whether all is well with the files.
    fn tell_status(&mut self, now_ns: u64) {
        let mut problems = self
            .followed
            .values()
            .filter_map(|followed| followed.tail.problem.as_ref().map(|problem| (&followed.key.1, problem)));
        let reason = match (problems.next(), &self.unwatched) {
            (Some((path, problem)), _) => {
                let others = problems.count();
                let more = if others > 0 { format!(", and {others} other files") } else { String::new() };
                Some(format!("cannot read {path}: {problem}{more}"))
            }
            (None, Some(reason)) => Some(format!("files are looked at every {POLL:?}, inotify: {reason}")),
            (None, None) => {
                let polled = self.followed.values().filter(|followed| followed.tail.is_polled).count();
                (polled > 0).then(|| {
                    format!("{polled} files are looked at every {POLL:?}: no inotify watch for them")
                })
            }
        };
        let status = ProbeStatus { probe: SOURCE.to_owned(), state: ProbeState::Active, reason };
        if self.status.as_ref() != Some(&status) {
            self.outlet.row(now_ns, status.clone());
            self.status = Some(status);
        }
    }

    /// Reads what is there, counts what is open, and ends.
    fn finish(mut self) {
        let began = Instant::now();
        self.dirty.extend(self.followed.keys().copied());
        while !self.dirty.is_empty() && began.elapsed() < END_PATIENCE && !self.outlet.is_closed {
            self.read_dirty(Instant::now());
        }
        let now_ns = SystemClock.boot_ns();
        self.tell_positions(now_ns);
        for id in self.followed.keys().copied().collect::<Vec<_>>() {
            self.close(id);
        }
        let Self { mut outlet, mut journal, .. } = self;
        journal.stop(&mut outlet);
        outlet.tick(now_ns);
        outlet.finish(now_ns, |_| true);
        outlet.flush();
    }
}
