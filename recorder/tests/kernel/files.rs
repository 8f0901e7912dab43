use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::process::id;

use crate::recording::Recording;

#[test]
fn files_opened_for_writing_are_seen_and_others_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("written");
    let Some(recording) = Recording::begin() else { return };
    let mut file = File::create(&path).unwrap();
    file.write_all(b"text").unwrap();
    let facts = file.metadata().unwrap();
    let again = OpenOptions::new().append(true).open(&path).unwrap();
    fs::read(&path).unwrap();
    File::open(directory.path()).unwrap();
    OpenOptions::new().write(true).open("/dev/null").unwrap();
    OpenOptions::new().write(true).open("/proc/self/oom_score_adj").unwrap();
    assert!(OpenOptions::new().write(true).open(directory.path().join("missing/file")).is_err());
    let seen = recording.end();
    assert_eq!(seen.files.len(), 2, "{:?}", seen.files);
    for ((record, seen_path), opened) in seen.files.iter().zip([&file, &again]) {
        assert_eq!((record.pid, record.fd, record.inode), (id(), opened.as_raw_fd(), facts.ino()));
        assert_eq!(seen_path, path.to_str().unwrap());
        let device = rustix::fs::makedev(record.device_major, record.device_minor);
        assert_eq!(device, facts.dev());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(mounts.lines().any(|line| line.starts_with(&format!("{} ", record.mount_id))));
    }
}

#[test]
fn the_scan_finds_files_that_were_open_before() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("before");
    let file = File::create(&path).unwrap();
    let reading = File::open(&path).unwrap();
    let Some(mut recording) = Recording::begin() else { return };
    let Recording { kernel, seen, .. } = &mut recording;
    kernel.scan(|record| seen.add(record)).unwrap();
    let seen = recording.end();
    let of = |fd: i32| seen.existing_files.iter().filter(|(record, _)| record.fd == fd).count();
    assert_eq!((of(file.as_raw_fd()), of(reading.as_raw_fd())), (1, 0));
    let (_, found) = seen.existing_files.iter().find(|(record, _)| record.fd == file.as_raw_fd()).unwrap();
    assert_eq!(found, path.to_str().unwrap());
}
