//! Files as real processes have them mapped: deleted, replaced, in a mount namespace, in layers.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use aftertrace_recorder::sources::Roots;
use aftertrace_recorder::tls::libraries::{MappedFile, Mapping, executed, open, open_key};
use aftertrace_recorder::tls::points::{self, Stack};

use super::skipped;

const LIBSSL: &str = "/usr/lib/x86_64-linux-gnu/libssl.so.3";

/// A process that has loaded a libssl and waits; ended with the test.
struct Waiting(Child);

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Waiting {
    /// `script` is to end by running `"$@"`.
    fn start(script: &str, directory: &Path) -> Self {
        let python = "import ssl, sys; print('ready', flush=True); sys.stdin.read()";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-euc", script, "sh", "/usr/bin/python3", "-c", python]);
        command.env("D", directory).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut waiting = Self(command.spawn().unwrap());
        let mut line = String::new();
        BufReader::new(waiting.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        waiting
    }

    fn libssl(&self) -> Mapping {
        let mappings = executed(&Roots::default(), self.0.id()).unwrap();
        let found = mappings.into_iter().find(|mapping| mapping.path.ends_with("libssl.so.3"));
        found.unwrap()
    }

    fn open(&self) -> MappedFile {
        open(&Roots::default(), self.0.id(), &self.libssl()).unwrap()
    }
}

fn assert_is_libssl(file: &MappedFile) {
    let found = points::find(&file.file).unwrap();
    assert_eq!(found[0].stack, Stack::OpenSsl);
    let expected = points::find(&std::fs::File::open(LIBSSL).unwrap()).unwrap();
    assert_eq!(found, expected);
}

#[test]
fn a_library_that_was_deleted_or_replaced_under_a_process_is_still_the_one_that_is_read() {
    if skipped() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("libssl.so.3");
    std::fs::copy(LIBSSL, &copy).unwrap();
    let process = Waiting::start("LD_LIBRARY_PATH=$D exec \"$@\"", directory.path());
    assert_eq!(process.libssl().path, copy);
    let key = process.open().key;
    std::fs::remove_file(&copy).unwrap();
    assert!(process.libssl().is_deleted);
    assert_is_libssl(&process.open());
    std::fs::write(&copy, "another file").unwrap();
    let file = process.open();
    assert_is_libssl(&file);
    assert_eq!(file.key, key, "one file all the time");
    assert_is_libssl(&open_key(&Roots::default(), process.0.id(), key).unwrap());
    // What a probe gets leads to the file and not to its name.
    assert_eq!(std::fs::metadata(file.probe_path()).unwrap().len(), file.key.bytes);
}

#[test]
fn a_library_in_another_mount_namespace_is_found_also_without_the_rights_for_the_direct_way() {
    if skipped() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs none \"$D\"; cp /usr/lib/x86_64-linux-gnu/libssl.so.3 \"$D\"; LD_LIBRARY_PATH=$D exec \"$@\"";
    let process = Waiting::start(script, directory.path());
    let mapping = process.libssl();
    assert!(!mapping.path.exists(), "not in this namespace");
    let direct = process.open();
    assert_is_libssl(&direct);
    let no_such_mapping = Mapping { start: 1, end: 2, ..mapping };
    let by_path = open(&Roots::default(), process.0.id(), &no_such_mapping).unwrap();
    assert_eq!(by_path.key, direct.key);
    assert_is_libssl(&by_path);
}

#[test]
fn containers_of_one_image_have_one_library() {
    if skipped() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    // Layers on a file system that is no overlay itself, whatever this test runs on.
    let layers = tempfile::tempdir_in("/dev/shm").unwrap();
    std::fs::create_dir(layers.path().join("image")).unwrap();
    std::fs::copy(LIBSSL, layers.path().join("image/libssl.so.3")).unwrap();
    let script = |name: &str| {
        let layers = layers.path().display();
        format!(
            "mkdir {layers}/{name} {layers}/{name}-work; mount -t overlay none -o \
             lowerdir={layers}/image,upperdir={layers}/{name},workdir={layers}/{name}-work \"$D\"; \
             LD_LIBRARY_PATH=$D exec \"$@\""
        )
    };
    let one = Waiting::start(&script("one"), directory.path());
    let other = Waiting::start(&script("other"), directory.path());
    assert_is_libssl(&one.open());
    assert_eq!(one.open().key, other.open().key);
    let by_path = open(&Roots::default(), one.0.id(), &Mapping { start: 1, end: 2, ..one.libssl() }).unwrap();
    assert_eq!(by_path.key, one.open().key);
    // A container with a library of its own has another file.
    let own = format!("cp {LIBSSL} {0}/own-copy; {1}", layers.path().display(), script("own"));
    let own = own.replace("LD_LIBRARY_PATH", "touch \"$D\"/libssl.so.3; LD_LIBRARY_PATH");
    let own = Waiting::start(&own, directory.path());
    assert_ne!(own.open().key, one.open().key);
}
