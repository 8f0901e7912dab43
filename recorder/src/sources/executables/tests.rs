#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use aftertrace_schemas::Kind;
use proptest::prelude::*;

use super::elf::ReadAt;
use super::toolchain::toolchain;
use super::*;

impl ReadAt for Vec<u8> {
    fn read_at_most(&self, offset: u64, length: u64) -> Vec<u8> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let end = start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)).min(self.len());
        self[start..end].to_vec()
    }
}

/// A 64-bit ELF file with these sections, and with `data` as its writable segment.
fn elf(sections: &[(&str, &[u8])], data: Option<&[u8]>) -> Vec<u8> {
    let mut names = vec![0];
    let mut body: Vec<u8> = Vec::new();
    let mut rows: Vec<(u32, u64, u64)> = vec![(0, 0, 0)];
    let begin = 64 + 56;
    for (name, bytes) in sections {
        rows.push((names.len() as u32, (begin + body.len()) as u64, bytes.len() as u64));
        names.extend(name.bytes().chain([0]));
        body.extend(*bytes);
    }
    rows.push((names.len() as u32, 0, 0));
    names.extend(b".shstrtab\0");
    rows.last_mut().unwrap().1 = (begin + body.len()) as u64;
    rows.last_mut().unwrap().2 = names.len() as u64;
    body.extend(&names);
    let data_at = (begin + body.len()) as u64;
    body.extend(data.unwrap_or_default());
    let table_at = (begin + body.len()) as u64;

    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(64, 0);
    file[32..40].copy_from_slice(&64_u64.to_le_bytes());
    file[40..48].copy_from_slice(&table_at.to_le_bytes());
    for (at, value) in [(54, 56), (56, u16::from(data.is_some())), (58, 64)] {
        file[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    file[60..62].copy_from_slice(&(rows.len() as u16).to_le_bytes());
    file[62..64].copy_from_slice(&(rows.len() as u16 - 1).to_le_bytes());
    let mut segment = Vec::new();
    segment.extend([1_u32.to_le_bytes(), 6_u32.to_le_bytes()].concat());
    for value in [data_at, 0, 0, data.unwrap_or_default().len() as u64, 0, 0] {
        segment.extend(value.to_le_bytes());
    }
    file.extend(segment);
    file.extend(body);
    for (name, offset, size) in rows {
        let mut row = name.to_le_bytes().to_vec();
        row.resize(24, 0);
        row.extend(offset.to_le_bytes());
        row.extend(size.to_le_bytes());
        row.resize(64, 0);
        file.extend(row);
    }
    file
}

fn go_information(version: &str) -> Vec<u8> {
    let mut bytes = b"\xff Go buildinf:\x08\x02".to_vec();
    bytes.resize(32, 0);
    bytes.push(version.len() as u8);
    bytes.extend(version.as_bytes());
    bytes
}

#[test]
fn files_say_what_built_them() {
    let go = elf(&[(".text", b"x"), (".go.buildinfo", &go_information("go1.22.1"))], None);
    assert_eq!(toolchain(&go), Some((Toolchain::Golang, Some("go1.22.1".to_owned()))));
    let rust = elf(&[(".comment", b"GCC: 12\0rustc version 1.90.0 (abc 2026-01-01)\0")], None);
    assert_eq!(toolchain(&rust), Some((Toolchain::Rust, Some("1.90.0 (abc 2026-01-01)".to_owned()))));
    let dynamic: Vec<u8> = [29_u64, 1, 0, 0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let dotnet = |path: &[u8]| elf(&[(".dynamic", &dynamic), (".dynstr", path)], None);
    assert_eq!(toolchain(&dotnet(b"\0$ORIGIN/netcoredeps\0")), Some((Toolchain::Dotnet, None)));
    assert_eq!(toolchain(&dotnet(b"\0$ORIGIN/lib\0")), None);
    assert_eq!(toolchain(&elf(&[(".comment", b"GCC: (Debian 12.2.0) 12.2.0\0")], None)), None);
}

#[test]
fn go_is_found_in_the_data_of_a_file_without_sections() {
    let mut data = vec![7; 48];
    data.extend(go_information("go1.20"));
    let mut file = elf(&[], Some(&data));
    file[60..62].copy_from_slice(&[0, 0]);
    assert_eq!(toolchain(&file), Some((Toolchain::Golang, Some("go1.20".to_owned()))));
    // Before 1.18 the version stood elsewhere.
    let mut old = go_information("");
    old[15] = 0;
    assert_eq!(toolchain(&elf(&[(".go.buildinfo", &old)], None)), Some((Toolchain::Golang, None)));
}

#[test]
fn this_test_was_built_by_rust() {
    let own = std::fs::File::open("/proc/self/exe").unwrap();
    let (toolchain, version) = toolchain(&own).unwrap();
    assert_eq!(toolchain, Toolchain::Rust);
    assert!(version.unwrap().starts_with("1."));
}

struct Host {
    directory: tempfile::TempDir,
    source: ExecutableSource,
    subjects: Subjects,
}

impl Host {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let source = ExecutableSource::new(Roots::below(directory.path()));
        Self { directory, source, subjects: Subjects::default() }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> std::path::PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn runs(&mut self, pid: u32, file: &Path) {
        let process = self.directory.path().join(format!("proc/{pid}"));
        fs::create_dir_all(&process).unwrap();
        let stat = format!("{pid} (a) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 500 0 0");
        fs::write(process.join("stat"), stat).unwrap();
        let _ = fs::remove_file(process.join("exe"));
        symlink(file, process.join("exe")).unwrap();
        self.subjects.processes.retain(|process| process.pid != pid);
        self.subjects.processes.push(crate::sources::jvm::tests::process(pid, 5_000_000_000, &["a"]));
    }

    fn round(&mut self) -> BTreeMap<u32, Toolchain> {
        let mut rows = Rows::default();
        self.source.measure(&self.subjects, &mut rows).unwrap();
        let row = |(_, row): (u64, Kind)| match row {
            Kind::Executable(row) => Some((row.pid, row.toolchain)),
            _ => None,
        };
        rows.into_inner().into_iter().filter_map(row).collect()
    }
}

#[test]
fn a_row_tells_of_a_program_once_and_again_when_the_process_runs_another() {
    let mut host = Host::new();
    let go = host.file("go", &elf(&[(".go.buildinfo", &go_information("go1.22"))], None));
    let shell = host.file("sh", b"\x7fELF, or so it seems");
    host.runs(7, &go);
    host.runs(8, &shell);
    assert_eq!(host.round(), BTreeMap::from([(7, Toolchain::Golang)]));
    assert_eq!(host.round(), BTreeMap::new());
    host.runs(7, &shell);
    assert_eq!(host.round(), BTreeMap::from([(7, Toolchain::Unknown)]));
    host.runs(8, &go);
    assert_eq!(host.round(), BTreeMap::from([(8, Toolchain::Golang)]));
    host.subjects.processes.clear();
    host.round();
    assert!(host.source.files.is_empty() && host.source.processes.is_empty());
}

#[test]
fn a_process_that_got_the_id_of_another_is_not_taken_for_it() {
    let mut host = Host::new();
    let go = host.file("go", &elf(&[(".go.buildinfo", &go_information("go1.22"))], None));
    host.runs(7, &go);
    host.subjects.processes[0].process_start_ns = 1;
    assert_eq!(host.round(), BTreeMap::new());
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = toolchain(&bytes);
        let _ = toolchain(&[b"\x7fELF\x02\x01".to_vec(), bytes].concat());
    }

    #[test]
    fn no_change_of_a_file_makes_the_parser_panic(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let dynamic = [29_u8; 64];
        let mut file = elf(&[(".comment", b"GCC"), (".dynamic", &dynamic), (".dynstr", b"\0a\0")], Some(&[0; 64]));
        for (place, byte) in changes {
            let place = place.index(file.len());
            file[place] = byte;
        }
        let _ = toolchain(&file);
    }
}
