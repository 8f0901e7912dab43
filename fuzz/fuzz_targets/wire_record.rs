//! Records of the kernel programs.
#![no_main]

use aftertrace_bpf_programs::wire::Record;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(record) = Record::parse(bytes) {
        let _ = (record.header(), record.account(), format!("{record:?}"));
    }
});
