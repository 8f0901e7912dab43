//! Control group paths, as any user of the host may name them.
#![no_main]

use aftertrace_registry::container_id::{classify, container_id, process_cgroup};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(path) = process_cgroup(text) {
        let _ = container_id(&classify(path), None, 0);
    }
    let _ = container_id(&classify(text), None, 0);
});
