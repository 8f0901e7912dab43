//! A journal's stream and its checksums, as a crash or a stranger leaves them. The first byte shares the rest out; 0
//! leaves the checksums away, so that nothing stands between the bytes and their decoder.
#![no_main]

use std::fs;

use aftertrace_schemas::journal::read_journal;
use aftertrace_schemas::{Batch, TableId, layout};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let folder = tempfile::tempdir_in("/dev/shm").expect("/dev/shm is there");
    let path = folder.path().join(layout::journal_name(TableId::Tcp));
    let share = if *first == 0 { rest.len() } else { rest.len() * usize::from(*first) / 255 };
    let (stream, checksums) = rest.split_at(share);
    fs::write(&path, stream).expect("/dev/shm has room");
    if *first != 0 {
        fs::write(folder.path().join(layout::checksum_name(TableId::Tcp)), checksums)
            .expect("/dev/shm has room");
    }
    let Ok(read) = read_journal(&path) else { return };
    for batch in read.batches.iter().filter_map(|batch| Batch::new(TableId::Tcp, batch).ok()) {
        for row in 0..batch.len() {
            let _ = batch.observation(row);
        }
    }
});
