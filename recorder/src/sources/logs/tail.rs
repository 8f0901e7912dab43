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
use super::place::{FileId, Places, facts, link, removed_at};
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

/// What was taken up of the files beside one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Siblings {
    /// There are none.
    None,
    /// Those that are oldest.
    Some,
    /// All of them.
    All,
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
    /// Files beside it are looked for once more: they were being renamed while they were listed.
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
                } else if let Some(opened) = self.current.take() {
                    self.older.push_back(Opened { last_data: now, ..opened });
                }
                return false;
            }
        };
        if self.current.as_ref().is_some_and(|opened| opened.id == id) {
            return std::mem::take(&mut self.looks_again)
                && self.take_up_siblings(places, watches, now) != Siblings::None;
        }
        if let Some(place) = self.older.iter().position(|opened| opened.id == id) {
            // It was away for a moment.
            let back = self.older.remove(place);
            let other = std::mem::replace(&mut self.current, back);
            self.older.extend(other);
            return true;
        }
        match places.open(&self.target.place, &self.target.path) {
            Ok((file, facts)) => {
                let (offset, skips) =
                    if is_first { self.first_offset(&file, facts.id, facts.size) } else { (0, false) };
                let removed = self.current.as_ref().and_then(|opened| removed_at(&opened.file));
                if let Some(opened) = self.current.take() {
                    self.older.push_back(Opened { last_data: now, ..opened });
                }
                self.remember(facts.id);
                // One that is new may have been rotated before it was looked at for the first time.
                let mut siblings = Siblings::None;
                if !is_first || offset == 0 && facts.id.born >= self.floor {
                    siblings = self.take_up_siblings(places, watches.as_deref_mut(), now);
                    self.looks_again = true;
                }
                if let Some(removed) = removed {
                    self.unread_files += self.gone_since(removed, facts.id);
                }
                if siblings == Siblings::Some {
                    // The others come before this one.
                    self.forget(facts.id);
                    return true;
                }
                self.current = Some(self.opened(file, facts.id, offset, skips, watches, now));
                true
            }
            Err(error) => {
                self.problem = Some(error.to_string());
                false
            }
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

    /// Where a file that is there at the first look is read from, and whether that may be within a line.
    fn first_offset(&self, file: &File, id: FileId, size: u64) -> (u64, bool) {
        match self.begin {
            Begin::At(position) if position.id == id && position.offset <= size => (position.offset, false),
            Begin::Since(moment) if self.target.from_start || id.born.is_some_and(|born| born >= moment) => {
                (0, false)
            }
            Begin::At(_) => (0, false),
            Begin::Since(_) => {
                let mut last = [0];
                let is_read = size > 0 && file.read_at(&mut last, size - 1).is_ok_and(|count| count == 1);
                (size, is_read && last != *b"\n")
            }
        }
    }

    /// Opens files that had the name between two looks, in the order of their births.
    fn take_up_siblings(&mut self, places: &Places, watches: Option<&mut Watches>, now: Instant) -> Siblings {
        let mut watches = watches;
        let Some(floor) = self.floor else { return Siblings::None };
        let Ok(found) = siblings(places, &self.target) else { return Siblings::None };
        let mut born_since: Vec<(i64, File, FileId)> = Vec::new();
        for path in found {
            if let Ok((file, facts)) = places.open(&self.target.place, &path)
                && let Some(born) = facts.id.born
                && born >= floor
                && !self.seen.contains(&facts.id)
                && !born_since.iter().any(|(_, _, id)| *id == facts.id)
            {
                born_since.push((born, file, facts.id));
            }
        }
        born_since.sort_by_key(|(born, ..)| *born);
        let outcome = match born_since.len() {
            0 => Siblings::None,
            count if count <= SIBLINGS => Siblings::All,
            _ => Siblings::Some,
        };
        for (_, file, id) in born_since.into_iter().take(SIBLINGS) {
            self.remember(id);
            let offset = match self.begin {
                Begin::At(position) if position.id == id => position.offset,
                _ => 0,
            };
            let opened = self.opened(file, id, offset, false, watches.as_deref_mut(), now);
            self.older.push_back(opened);
        }
        outcome
    }

    /// How many files at least came and went that nobody opened, when the one that was read was removed then and `id` is
    /// the newest. A rotation removes the oldest file and makes a new one; of each file that was made by a later
    /// rotation, another one has gone as well, and all that were there before are in here.
    fn gone_since(&self, removed: i64, id: FileId) -> u64 {
        let found = self.older.iter().map(|opened| opened.id).chain([id]);
        let rotations = found.filter(|id| id.born.is_some_and(|born| born >= removed)).count();
        // The first of these is of the rotation that removed the file.
        rotations.saturating_sub(1) as u64
    }

    /// Files, since the last call, that came and went between two looks: what was in them is lost.
    pub(super) fn take_unread_files(&mut self) -> u64 {
        std::mem::take(&mut self.unread_files)
    }

    /// A file was not read after all.
    fn forget(&mut self, id: FileId) {
        self.seen.retain(|seen| *seen != id);
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

/// Files beside a target whose names say that they had its name: `app.log.1`, `0.log.20260101-120000`. Not those that
/// are compressed: what is in them was in another file.
fn siblings(places: &Places, target: &FileTarget) -> io::Result<Vec<String>> {
    let Some((parent, name)) = target.path.rsplit_once('/') else { return Ok(Vec::new()) };
    let directory = places.directory(&target.place, &target.path, true)?;
    let mut found = Vec::new();
    for entry in rustix::fs::Dir::new(directory)? {
        let entry = entry?;
        let Ok(other) = entry.file_name().to_str() else { continue };
        let Some(suffix) = other.strip_prefix(name).and_then(|rest| rest.strip_prefix(['.', '-'])) else {
            continue;
        };
        if !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
            found.push(format!("{parent}/{other}"));
        }
    }
    Ok(found)
}
