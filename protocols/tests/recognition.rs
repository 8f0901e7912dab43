//! Which protocol connections are taken for, on ports that tell nothing.
//!
//! A labelled set of openings and of connections that were met in the middle: for each a few calls as their
//! specifications have them. All of what a protocol of the catalogue is shown must be recognised, and nothing that is
//! of none may be. Prints the matrix: `cargo test -p aftertrace-protocols --test recognition -- --nocapture`.

#![allow(clippy::panic, reason = "tests fail by panicking")]

use std::collections::BTreeMap;

use aftertrace_protocols::testing::{Turn, client, server};
use aftertrace_protocols::{Chunk, Conversation, Facts, PerSide, catalogue};

mod samples;

use samples::Sample;

/// What a connection is taken for when all of it was played.
fn taken_for(sample: &Sample) -> Option<&'static str> {
    let begins = sample.is_from_start;
    let mut conversation = Conversation::new(Facts { is_from_start: begins, ..Facts::default() });
    let mut positions = PerSide { client: u64::from(!begins) * 5000, server: u64::from(!begins) * 9000 };
    for (turn, (side, bytes)) in sample.dialogue.iter().enumerate() {
        let place = positions.of(*side);
        let (position, size) = (*place, bytes.len() as u64);
        *place += size;
        // As much as is kept of a call by default.
        let bytes = bytes.get(..1024).unwrap_or(bytes);
        conversation.push(*side, &Chunk { position, size, bytes, time_ns: turn as u64 });
    }
    conversation.protocol().map(|definition| definition.name)
}

/// How often a connection of one kind was taken for another.
#[derive(Default)]
struct Matrix(BTreeMap<(String, String), u32>);

const NONE: &str = "unknown";

impl Matrix {
    fn of(samples: &[Sample]) -> Self {
        let mut matrix = Self::default();
        for sample in samples {
            let seen = taken_for(sample).unwrap_or(NONE);
            if seen != sample.label.unwrap_or(NONE) {
                println!("{}: {} was taken for {seen}", sample.label.unwrap_or(NONE), sample.name);
            }
            *matrix.0.entry((sample.label.unwrap_or(NONE).into(), seen.into())).or_default() += 1;
        }
        matrix
    }

    fn count(&self, is_counted: impl Fn(&str, &str) -> bool) -> u32 {
        self.0.iter().filter(|((label, seen), _)| is_counted(label, seen)).map(|(_, count)| count).sum()
    }

    /// Of those taken for it, how many are.
    fn precision(&self, name: &str) -> (u32, u32) {
        (self.count(|label, seen| label == name && seen == name), self.count(|_, seen| seen == name))
    }

    /// Of those that are, how many were recognised.
    fn recall(&self, name: &str) -> (u32, u32) {
        (self.count(|label, seen| label == name && seen == name), self.count(|label, _| label == name))
    }
}

#[test]
fn all_that_is_shown_is_recognised_and_nothing_else() {
    let samples = samples::all();
    let known = |sample: &Sample| sample.label.is_none_or(|label| catalogue::find(label).is_some());
    let (shown, left): (Vec<Sample>, Vec<Sample>) = samples.into_iter().partition(known);
    for sample in left {
        println!("left out, since no protocol has that name: {:?}", sample.label);
    }
    let matrix = Matrix::of(&shown);
    println!("{:16} {:>12} {:>12}", "", "precision", "recall");
    let mut failed = Vec::new();
    let names = catalogue::ALL.iter().map(|definition| definition.name).chain([NONE]);
    for name in names {
        let (precision, recall) = (matrix.precision(name), matrix.recall(name));
        let shown = |(part, all): (u32, u32)| format!("{part} of {all}");
        println!("{name:16} {:>12} {:>12}", shown(precision), shown(recall));
        if precision.0 < precision.1 || recall.0 < recall.1 {
            failed.push(name);
        }
    }
    for ((label, seen), count) in matrix.0.iter().filter(|((label, seen), _)| label != seen) {
        println!("{label} taken for {seen}: {count}");
    }
    assert!(failed.is_empty(), "not all right: {failed:?}");
}

#[test]
fn every_protocol_of_the_catalogue_is_in_the_set() {
    let samples = samples::all();
    for definition in catalogue::ALL {
        let name = definition.name;
        let shown = samples.iter().filter(|sample| sample.label == Some(name)).count();
        assert!(shown >= 3, "{name} is shown {shown} times");
    }
}

/// Random calls, some with a length before them as private protocols have it.
#[test]
fn random_bytes_are_of_no_protocol() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut taken = Vec::new();
    for round in 0..4000_u32 {
        let dialogue: Vec<Turn> = (0..8)
            .map(|call| {
                let length = 16 + (next() % 400) as usize;
                let mut bytes: Vec<u8> = (0..length).map(|_| next() as u8).collect();
                let prefix = match round % 5 {
                    0 => (length as u32).to_be_bytes(),
                    1 => (length as u32).to_le_bytes(),
                    2 => (length as u32 + 4).to_be_bytes(),
                    3 => (length as u32 + 4).to_le_bytes(),
                    _ => (next() as u32).to_be_bytes(),
                };
                bytes.splice(..0, prefix);
                if call % 2 == 0 { client(bytes) } else { server(bytes) }
            })
            .collect();
        let sample = Sample { label: None, name: "random", is_from_start: true, dialogue };
        if let Some(name) = taken_for(&sample) {
            taken.push((round, name));
        }
    }
    assert!(taken.is_empty(), "{taken:?}");
}
