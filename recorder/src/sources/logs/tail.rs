//! Follows one log file through rotation (it is renamed and made anew), truncation and deletion.
//!
//! A file that was rotated is held open and read to its end before the next one, and for a while longer, since its
//! writer may not have noticed yet. When it was rotated more than once between two looks, the files in between are
//! found beside it. Nothing is read twice: files are known by device, inode and birth, and how far one was read
//! stays known after it is no longer followed.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use super::FileTarget;
use super::decode::{Decoder, Logged};
use super::lines::{Line, Lines};
use super::outlet::LINE_BYTES;
use super::place::{Facts, FileId, Places, facts, link, removed_at};
use super::rotated::{self, Member, Rotation};
use super::watch::{FollowId, Watches};

/// Bytes of a line of the file: with what Docker writes around its pieces of 16 KiB.
const FILE_LINE_BYTES: usize = 128 << 10;
/// Bytes that are read before it is another file's turn.
const QUANTUM_BYTES: usize = 256 << 10;
/// A file that was rotated is given up when nothing was written to it for so long.
const OLDER_IDLE: Duration = Duration::from_secs(30);
/// Rotated files that are held open.
const OLDER_FILES: usize = 8;
/// Files that were read are remembered.
const SEEN_FILES: usize = 64;
/// Rotated files that are taken up at a look.
const SIBLINGS: usize = 64;

#[derive(Debug)]
struct Opened {
    file: File,
    id: FileId,
    /// Bytes before it were read.
    offset: u64,
    lines: Lines,
    watch: Option<i32>,
    last_data: Instant,
}

/// How far a file was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) id: FileId,
    /// Lines before it were given.
    pub(super) offset: u64,
}

/// Where a file that is there already is read from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Begin {
    /// Files that were made before this moment (of the clock that files are dated with) from their ends, others whole.
    Since(i64),
    /// From where it was read to before.
    At(Position),
}

/// Follows one file.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) target: FileTarget,
    follow: FollowId,
    begin: Begin,
    looked: bool,
    current: Option<Opened>,
    older: VecDeque<Opened>,
    decoder: Decoder,
    directory_watch: Option<i32>,
    seen: VecDeque<FileId>,
    /// Files born before it were read, or are of no concern.
    floor: Option<i64>,
    /// Files beside it are looked for once more: they were being renamed while they were listed, or were too many.
    looks_again: bool,
    /// Files that came and went between two looks.
    unread_files: u64,
    /// Why it cannot be read.
    pub(super) problem: Option<String>,
    /// Nobody tells when it changes.
    pub(super) is_polled: bool,
}

impl Tail {
    pub(super) fn new(target: FileTarget, follow: FollowId, begin: Begin) -> Self {
        let decoder = Decoder::new(target.format, LINE_BYTES);
        let floor = match begin {
            Begin::Since(moment) => Some(moment),
            Begin::At(position) => position.id.born,
        };
        Self {
            target,
            follow,
            begin,
            looked: false,
            current: None,
            older: VecDeque::new(),
            decoder,
            directory_watch: None,
            seen: VecDeque::new(),
            floor,
            looks_again: false,
            unread_files: 0,
            problem: None,
            is_polled: false,
        }
    }

    /// How far the file was read that the path leads to.
    pub(super) fn position(&self) -> Option<Position> {
        let opened = self.current.as_ref().or(self.older.back())?;
        Some(Position { id: opened.id, offset: opened.lines.begin() })
    }

    /// How far it was read, lines without an end included.
    pub(super) fn end(&self) -> Option<Position> {
        let opened = self.current.as_ref().or(self.older.back())?;
        Some(Position { id: opened.id, offset: opened.offset })
    }

    /// Looks where the path leads now. Returns whether there is another file to read.
    pub(super) fn look(&mut self, places: &Places, watches: Option<&mut Watches>, now: Instant) -> bool {
        let mut watches = watches;
        let is_first = !std::mem::replace(&mut self.looked, true);
        if self.directory_watch.is_none() {
            self.watch_directory(places, watches.as_deref_mut());
        }
        self.problem = None;
        let id = match places.look(&self.target.place, &self.target.path) {
            Ok(facts) => facts.id,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    self.problem = Some(error.to_string());
                } else {
                    self.current_is_older(now);
                }
                return false;
            }
        };
        if self.current.as_ref().is_some_and(|opened| opened.id == id) {
            return self.looks_again && self.take_up_others(places, watches, is_first, now);
        }
        if let Some(place) = self.older.iter().position(|opened| opened.id == id) {
            // It was away for a moment.
            let back = self.older.remove(place);
            let other = std::mem::replace(&mut self.current, back);
            self.older.extend(other);
            return true;
        }
        self.take_up_others(places, watches, is_first, now)
    }

    /// Opens the file that the path leads to now and those that had its name between two looks. Returns whether there
    /// are any.
    fn take_up_others(
        &mut self,
        places: &Places,
        watches: Option<&mut Watches>,
        is_first: bool,
        now: Instant,
    ) -> bool {
        let mut watches = watches;
        let current = self.current.as_ref().map(|opened| opened.id);
        let is_new = |id: FileId| {
            id.born.zip(self.floor).is_some_and(|(born, floor)| born >= floor) && !self.seen.contains(&id)
        };
        let opened = rotated::open(places, &self.target, |id| Some(id) == current || is_new(id));
        let Rotation { mut members, is_whole } = match opened {
            Ok(rotation) => rotation,
            Err(error) => {
                self.problem = Some(error.to_string());
                return false;
            }
        };
        let named = members.iter().find(|member| member.has_name());
        if is_first
            && let Some(named) = named
            && (self.offset_of(named, true).0 > 0 || !is_new(named.facts.id))
        {
            // It was there before, and so those that had its name were.
            members.retain(Member::has_name);
        }
        if let Some(removed) = self.current.as_ref().and_then(|opened| removed_at(&opened.file)) {
            self.unread_files += self.gone_since(removed, &members);
        }
        if !members.iter().any(|member| Some(member.facts.id) == current) {
            self.current_is_older(now);
        }
        // More than fit come at the next look.
        let is_all = members.len() <= SIBLINGS;
        members.truncate(SIBLINGS);
        self.looks_again = !is_whole || !is_all;
        let last_has_name = is_all && members.last().is_some_and(Member::has_name);
        let mut has_new = false;
        for member in members {
            if Some(member.facts.id) == current {
                self.current_is_older(now);
                continue;
            }
            let (offset, skips) = self.offset_of(&member, is_first);
            self.remember(member.facts.id);
            let opened =
                self.opened(member.file, member.facts.id, offset, skips, watches.as_deref_mut(), now);
            self.older.push_back(opened);
            has_new = true;
        }
        if last_has_name {
            self.current = self.older.pop_back();
        }
        has_new
    }

    /// The path leads to another file now, or to none.
    fn current_is_older(&mut self, now: Instant) {
        let opened = self.current.take();
        self.older.extend(opened.map(|opened| Opened { last_data: now, ..opened }));
    }

    /// Where a file is read from, and whether that may be within a line.
    fn offset_of(&self, member: &Member, is_first: bool) -> (u64, bool) {
        let Facts { id, size } = member.facts;
        match self.begin {
            Begin::At(position) if position.id == id && position.offset <= size => (position.offset, false),
            Begin::Since(moment)
                if is_first
                    && member.has_name()
                    && !self.target.from_start
                    && id.born.is_none_or(|born| born < moment) =>
            {
                let mut last = [0];
                let is_read =
                    size > 0 && member.file.read_at(&mut last, size - 1).is_ok_and(|count| count == 1);
                (size, is_read && last != *b"\n")
            }
            _ => (0, false),
        }
    }

    fn opened(
        &mut self,
        file: File,
        id: FileId,
        offset: u64,
        skips: bool,
        watches: Option<&mut Watches>,
        now: Instant,
    ) -> Opened {
        let watch = watches.and_then(|watches| watches.file(&link(&file), self.follow).ok());
        self.is_polled = watch.is_none();
        Opened { file, id, offset, lines: Lines::new(FILE_LINE_BYTES, offset, skips), watch, last_data: now }
    }

    /// How many files at least came and went that nobody opened, when the one that was read was removed then and
    /// `members` have come. A rotation removes the oldest file and makes a new one; of each file that was made by a later
    /// rotation, another one has gone as well, and all that were there before are in here.
    fn gone_since(&self, removed: i64, members: &[Member]) -> u64 {
        let older = self.older.iter().map(|opened| opened.id);
        let found = older.chain(members.iter().map(|member| member.facts.id));
        let rotations = found.filter(|id| id.born.is_some_and(|born| born >= removed)).count();
        // The first of these is of the rotation that removed the file.
        rotations.saturating_sub(1) as u64
    }

    /// Files, since the last call, that came and went between two looks: what was in them is lost.
    pub(super) fn take_unread_files(&mut self) -> u64 {
        std::mem::take(&mut self.unread_files)
    }

    fn remember(&mut self, id: FileId) {
        self.seen.push_back(id);
        if self.seen.len() > SEEN_FILES
            && let Some(forgotten) = self.seen.pop_front()
        {
            // One that is born in the same moment would be read again if it counted.
            self.floor = self.floor.max(forgotten.born.map(|born| born.saturating_add(1)));
        }
    }

    fn watch_directory(&mut self, places: &Places, watches: Option<&mut Watches>) {
        let Some(watches) = watches else { return };
        let directory = places.directory(&self.target.place, &self.target.path, false);
        self.directory_watch =
            directory.and_then(|directory| watches.directory(&link(&directory), self.follow)).ok();
    }

    /// Reads what is there, up to a limit. Returns whether there is more.
    pub(super) fn read(&mut self, buffer: &mut [u8], now: Instant, out: &mut impl FnMut(Logged<'_>)) -> bool {
        let Self { older, current, decoder, problem, .. } = self;
        let mut left = QUANTUM_BYTES;
        for opened in older.iter_mut().chain(current.as_mut()) {
            loop {
                if left == 0 {
                    return true;
                }
                let room = buffer.len().min(left);
                let Some(part) = buffer.get_mut(..room) else { break };
                let mut decode = |line: Line<'_>| decoder.decode(&line, out);
                match opened.file.read_at(part, opened.offset) {
                    Ok(0) => {
                        let size = facts(&opened.file).map_or(opened.offset, |(facts, _)| facts.size);
                        if size >= opened.offset {
                            break;
                        }
                        // It was truncated: what was there is gone, what comes is new.
                        opened.lines.finish(&mut decode);
                        opened.lines = Lines::new(FILE_LINE_BYTES, 0, false);
                        opened.offset = 0;
                    }
                    Ok(count) => {
                        opened.lines.feed(part.get(..count).unwrap_or_default(), &mut decode);
                        opened.offset += count as u64;
                        opened.last_data = now;
                        left -= count;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        *problem = Some(error.to_string());
                        break;
                    }
                }
            }
        }
        false
    }

    /// Gives up rotated files that were read to their ends and that nobody writes any more.
    pub(super) fn retire(
        &mut self,
        watches: Option<&mut Watches>,
        now: Instant,
        out: &mut impl FnMut(Logged<'_>),
    ) {
        let mut watches = watches;
        while let Some(oldest) = self.older.front() {
            let is_idle = now.duration_since(oldest.last_data) > OLDER_IDLE;
            if !is_idle && self.older.len() <= OLDER_FILES {
                return;
            }
            if let Some(opened) = self.older.pop_front() {
                self.close(opened, watches.as_deref_mut(), out);
            }
        }
    }

    fn close(&mut self, mut opened: Opened, watches: Option<&mut Watches>, out: &mut impl FnMut(Logged<'_>)) {
        opened.lines.finish(&mut |line| self.decoder.decode(&line, out));
        if let (Some(watch), Some(watches)) = (opened.watch, watches) {
            watches.remove(watch, self.follow);
        }
    }

    /// No more is read: lines without an end are given as they are.
    pub(super) fn finish(&mut self, watches: Option<&mut Watches>, out: &mut impl FnMut(Logged<'_>)) {
        let mut watches = watches;
        while let Some(opened) = self.older.pop_front().or_else(|| self.current.take()) {
            self.close(opened, watches.as_deref_mut(), out);
        }
        if let (Some(watch), Some(watches)) = (self.directory_watch.take(), watches) {
            watches.remove(watch, self.follow);
        }
        self.decoder.finish(out);
    }
}
