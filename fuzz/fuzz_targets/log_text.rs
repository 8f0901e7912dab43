//! What a container logs: any text, joined to messages and put into patterns.
#![no_main]

use aftertrace_registry::logs::{Joiner, MESSAGE_BYTES, Message, Patterns};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (mut joiner, mut patterns) = (Joiner::default(), Patterns::default());
    let mut count = |message: Message| {
        assert!(message.text.len() <= text.len().max(MESSAGE_BYTES));
        patterns.count(&message, 4, |sample| sample.into());
    };
    for (index, line) in text.split('\n').enumerate() {
        joiner.add(index as i64 * 400_000_000, line, None, &mut count);
    }
    joiner.finish(&mut count);
    let lines = text.split('\n').count() as u64;
    assert!(patterns.iter().map(|(.., messages)| messages).sum::<u64>() <= lines);
});
