//! Opens a log file together with the files beside it that had its name, in the order in which they were written.
//!
//! A rotation renames many files one after the other, and a directory that is listed meanwhile shows one of them twice
//! or not at all. So the directory is listed again after they were opened, until nothing was renamed in between.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;

use super::FileTarget;
use super::place::{Facts, FileId, Places};

/// The directory is listed so many times at most. Each but the first opens only what is new.
const LISTINGS: usize = 10;
/// Files of no concern that are held open, so that no new file gets their inodes meanwhile.
const HELD: usize = 256;

/// A file that has, or had, the name.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) file: File,
    pub(super) facts: Facts,
    age: Age,
}

impl Member {
    /// Whether the path led to it.
    pub(super) fn has_name(&self) -> bool {
        self.age == Age::NAMED
    }
}

/// Files in the order in which they were written.
#[derive(Debug)]
pub(super) struct Rotation {
    pub(super) members: Vec<Member>,
    /// Nothing was renamed while they were opened. Else some may be missing.
    pub(super) is_whole: bool,
}

/// What the end of a name says of the age of a file: more is older.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Age(i64);

impl Age {
    const NAMED: Self = Self(i64::MIN);
    /// Numbers with more digits are dates.
    const COUNT_DIGITS: usize = 6;

    /// Of what follows the name: `.1`, `.20260101-120000`. Not of files that are compressed: what is in them was in
    /// another file.
    fn of(suffix: &str) -> Option<Self> {
        if suffix.is_empty() {
            return Some(Self::NAMED);
        }
        let rest = suffix.strip_prefix(['.', '-'])?;
        if rest.is_empty() || !rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
            return None;
        }
        let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
        // One without any, or with more than fit, is ordered by its birth alone.
        let number = digits.parse::<i64>().unwrap_or(0);
        Some(Self(if digits.len() <= Self::COUNT_DIGITS { number } else { -number }))
    }
}

/// An entry of the directory.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    name: String,
    age: Age,
    /// As the directory has it, which need not be what the file says.
    inode: u64,
}

/// Opens what the path of `target` leads to, and of the files beside it those that are `wanted`.
///
/// # Errors
/// When what the path leads to cannot be read. That nothing is there is no error: it is being renamed.
pub(super) fn open(
    places: &Places,
    target: &FileTarget,
    is_wanted: impl Fn(FileId) -> bool,
) -> io::Result<Rotation> {
    let parent = target.path.rsplit_once('/').map_or("", |(parent, _)| parent);
    let mut found = Found::default();
    // Where the directory cannot be read the file that has the name is all.
    let mut listing = list(places, target).unwrap_or_default();
    let mut is_whole = false;
    for _ in 1..LISTINGS {
        found.lose_name();
        match places.open(&target.place, &target.path) {
            Ok((file, facts)) => found.add(None, Member { file, facts, age: Age::NAMED }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let inodes: HashSet<u64> = listing.iter().map(|entry| entry.inode).collect();
        // A file system of several layers may use a number twice.
        let are_known_by_inode = inodes.len() == listing.len();
        for entry in listing.iter().filter(|entry| entry.age != Age::NAMED) {
            if are_known_by_inode && found.is_known(entry) {
                continue;
            }
            // One that cannot be opened was renamed or removed, or is no regular file.
            let path = format!("{parent}/{}", entry.name);
            if let Ok((file, facts)) = places.open(&target.place, &path)
                && (found.members.len() < HELD || is_wanted(facts.id))
            {
                found.add(Some(entry.inode), Member { file, facts, age: entry.age });
            }
        }
        let again = list(places, target).unwrap_or_default();
        is_whole = again == listing;
        if is_whole {
            break;
        }
        listing = again;
    }
    let mut members = found.members;
    members.retain(|member| member.has_name() || is_wanted(member.facts.id));
    // Births are in ticks of the kernel's clock, in one of which several files may be made.
    members.sort_by_key(|member| (member.facts.id.born, Reverse(member.age)));
    Ok(Rotation { members, is_whole })
}

/// Files that were opened. They stay open, so that none that is made meanwhile gets the inode of one of them.
#[derive(Debug, Default)]
struct Found {
    members: Vec<Member>,
    /// Places of members by the inode that the directory told.
    by_inode: HashMap<u64, usize>,
}

impl Found {
    /// What had the name may have been renamed.
    fn lose_name(&mut self) {
        for member in self.members.iter_mut().filter(|member| member.has_name()) {
            member.age = Age(0);
        }
    }

    /// Notes the present name of a file that is open.
    fn is_known(&mut self, entry: &Entry) -> bool {
        let place = self.by_inode.get(&entry.inode);
        let member = place.and_then(|place| self.members.get_mut(*place));
        member.map(|member| member.age = entry.age).is_some()
    }

    fn add(&mut self, inode: Option<u64>, member: Member) {
        let known = self.members.iter().position(|known| known.facts.id == member.facts.id);
        let place = known.unwrap_or(self.members.len());
        match self.members.get_mut(place) {
            Some(known) => known.age = member.age,
            None => self.members.push(member),
        }
        if let Some(inode) = inode {
            self.by_inode.insert(inode, place);
        }
    }
}

/// The file and those beside it whose names say that they had its name, by name.
fn list(places: &Places, target: &FileTarget) -> io::Result<Vec<Entry>> {
    let name = target.path.rsplit_once('/').map_or(target.path.as_str(), |(_, name)| name);
    let directory = places.directory(&target.place, &target.path, true)?;
    let mut found = Vec::new();
    for entry in rustix::fs::Dir::new(directory)? {
        let entry = entry?;
        let Ok(other) = entry.file_name().to_str() else { continue };
        if let Some(age) = other.strip_prefix(name).and_then(Age::of) {
            found.push(Entry { name: other.to_owned(), age, inode: entry.ino() });
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn names_tell_which_file_is_older() {
        let ages = |suffixes: &[&str]| -> Vec<Option<Age>> {
            suffixes.iter().map(|suffix| Age::of(suffix)).collect()
        };
        for falling in [
            &[".12", ".3", ".1", ""][..],
            &["-20260101", "-20260102", ""],
            &[".20260101-120000", ".20260101-120001", ""],
        ] {
            let ages = ages(falling);
            assert!(
                ages.iter().all(Option::is_some) && ages.is_sorted_by(|one, other| one > other),
                "{ages:?}"
            );
        }
        assert!(ages(&[".gz", ".1.gz", ".", "s", ".old", "1"]).iter().all(Option::is_none));
        assert!(Age::of(".99999999999999999999999").is_some());
    }
}
