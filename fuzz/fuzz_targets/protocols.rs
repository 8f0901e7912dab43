//! Socket data of every protocol in the catalogue, and of connections of which nothing is known. What the bytes mean,
//! and how tests' dialogues become seeds, is at `aftertrace_protocols::fuzzing`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| aftertrace_protocols::fuzzing::play(bytes));
