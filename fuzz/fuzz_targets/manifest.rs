//! A trace's `trace.json`. What is read is written and read again to the same.
#![no_main]

use aftertrace_schemas::manifest::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = Manifest::from_json(bytes) {
        let written = manifest.to_json().expect("what was read can be written");
        assert_eq!(Manifest::from_json(&written).expect("what was written can be read"), manifest);
    }
});
