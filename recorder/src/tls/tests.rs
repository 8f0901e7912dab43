#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use proptest::prelude::*;

use super::code;
use super::image::{Image, Machine};
use super::points::{self, NoPoints, Points, Role, Stack};

fn find(bytes: &[u8]) -> Result<Vec<Points>, NoPoints> {
    points::find(&bytes)
}

const CODE: u64 = 0x1000;

/// A library of these sections (name, kind, address, bytes, link) at offset 0x1000 and up, all in one segment of code.
struct Builder {
    sections: Vec<(&'static str, u32, u64, Vec<u8>, u32)>,
    machine: u16,
}

impl Builder {
    fn build(&self) -> Vec<u8> {
        let mut file = vec![0; CODE as usize];
        let mut names = vec![0];
        let mut headers = vec![0_u8; 64];
        let mut place = |file: &mut Vec<u8>, name: &str, kind: u32, address: u64, bytes: &[u8], link: u32| {
            let mut header = vec![0_u8; 64];
            header[0..4].copy_from_slice(&(names.len() as u32).to_le_bytes());
            names.extend(name.bytes().chain([0]));
            header[4..8].copy_from_slice(&kind.to_le_bytes());
            header[16..24].copy_from_slice(&address.to_le_bytes());
            header[24..32].copy_from_slice(&(file.len() as u64).to_le_bytes());
            header[32..40].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
            header[40..44].copy_from_slice(&link.to_le_bytes());
            file.extend(bytes);
            headers.extend(header);
            names.clone()
        };
        for (name, kind, address, bytes, link) in &self.sections {
            file.resize(file.len().max(*address as usize), 0);
            place(&mut file, name, *kind, *address, bytes, *link);
        }
        let names = place(&mut file, ".shstrtab", 3, 0, &[], 0);
        let at = headers.len() - 64;
        headers[at + 32..at + 40].copy_from_slice(&(names.len() as u64).to_le_bytes());
        file.extend(names);
        let table = file.len() as u64;
        let bytes = file.len() as u64;
        file.extend(&headers);
        file[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
        for (at, value) in [(16, 3), (18, self.machine), (54, 56), (56, 1), (58, 64)] {
            file[at..at + 2].copy_from_slice(&value.to_le_bytes());
        }
        file[32..40].copy_from_slice(&64_u64.to_le_bytes());
        file[40..48].copy_from_slice(&table.to_le_bytes());
        let count = (headers.len() / 64) as u16;
        file[60..62].copy_from_slice(&count.to_le_bytes());
        file[62..64].copy_from_slice(&(count - 1).to_le_bytes());
        // One segment to read, write and execute, at its own offset.
        file[64..72].copy_from_slice(&[1, 0, 0, 0, 7, 0, 0, 0]);
        file[96..104].copy_from_slice(&bytes.to_le_bytes());
        file[104..112].copy_from_slice(&bytes.to_le_bytes());
        file
    }
}

fn symbol(name: u32, address: u64, bytes: u64) -> Vec<u8> {
    let mut symbol = name.to_le_bytes().to_vec();
    symbol.extend([0x12, 0, 1, 0]);
    symbol.extend(address.to_le_bytes());
    symbol.extend(bytes.to_le_bytes());
    symbol
}

/// A library with `SSL_read` (whose name is the end of another one) and `SSL_write`.
fn library(machine: u16, code: &[u8], sizes: [u64; 2]) -> Vec<u8> {
    let strings = b"\0not_SSL_read\0SSL_write\0".to_vec();
    let symbols = [vec![0; 24], symbol(5, CODE, sizes[0]), symbol(14, CODE + sizes[0], sizes[1])].concat();
    let sections = vec![
        (".text", 1, CODE, code.to_vec(), 0),
        (".dynsym", 11, 0x2000, symbols, 3),
        (".dynstr", 3, 0x3000, strings, 0),
    ];
    Builder { sections, machine }.build()
}

/// `ret`, then `test; je +1; rep ret; ret 8`.
const X86_64: &[u8] = &[0xc3, 0x85, 0xc0, 0x74, 0x02, 0xf3, 0xc3, 0xc2, 8, 0];

#[test]
fn every_kind_of_return_counts() {
    let found = find(library(62, X86_64, [1, 9]).as_slice()).unwrap();
    let functions = &found[0].functions;
    assert_eq!(found[0].stack, Stack::OpenSsl);
    assert_eq!((functions[0].role, functions[0].entry_offset), (Role::Read, CODE));
    assert_eq!(functions[0].return_offsets, [CODE]);
    assert_eq!((functions[1].role, functions[1].entry_offset), (Role::Write, CODE + 1));
    assert_eq!(functions[1].return_offsets, [CODE + 5, CODE + 7]);
}

#[test]
fn code_that_is_not_understood_gets_no_probe() {
    // A jump into the middle of `mov eax, 0xc3c3c3c3`.
    let hidden = [0xeb, 1, 0xb8, 0xc3, 0xc3, 0xc3, 0xc3, 0xc3];
    assert_eq!(
        find(library(62, &hidden, [8, 0]).as_slice()),
        Err(NoPoints::Code("a jump into an instruction"))
    );
    assert_eq!(
        find(library(62, &[0x06, 0xc3], [2, 0]).as_slice()),
        Err(NoPoints::Code("an instruction that is not known"))
    );
    let cut = [0xc3, 0xe8, 0, 0];
    assert_eq!(
        find(library(62, &cut, [4, 0]).as_slice()),
        Err(NoPoints::Code("an instruction that is not known"))
    );
    assert_eq!(
        find(library(62, &[0xc3], [0, 0]).as_slice()),
        Err(NoPoints::Code("a function whose end is not known"))
    );
    // One function of two is probed, and the other one is told.
    let mixed = find(library(62, &[0xc3, 0x06], [1, 1]).as_slice()).unwrap();
    assert_eq!(mixed[0].functions.len(), 1);
    assert_eq!(
        mixed[0].skipped,
        [("SSL_write".to_owned(), NoPoints::Code("an instruction that is not known"))]
    );
}

#[test]
fn returns_of_aarch64_are_words() {
    let words: [u32; 8] = [
        0xd503_245f, // bti c
        0x3400_0060, // cbz w0, +12
        0xd65f_03c0, // ret
        0xd503_201f, // nop
        0xd65f_0bff, // retaa
        0xd65f_03c0, // ret, of the next function
        0x1400_0400, // b +4096
        0xd61f_0200, // br x16
    ];
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let found = find(library(183, &bytes, [20, 12]).as_slice()).unwrap();
    let functions = &found[0].functions;
    assert_eq!(functions[0].return_offsets, [CODE + 8, CODE + 16]);
    assert_eq!(functions[1].return_offsets, [CODE + 20]);
    assert_eq!(functions[1].exits_unseen, [CODE + 24, CODE + 28]);
    assert!(code::read(Machine::Aarch64, &bytes[..7], CODE).is_err());
}

#[test]
fn what_is_no_program_for_this_says_why_not() {
    let find = |bytes: &[u8]| find(bytes).unwrap_err();
    assert_eq!(find(b""), NoPoints::NotElf);
    assert_eq!(find(b"#!/bin/sh\n"), NoPoints::NotElf);
    assert_eq!(find(b"\x7fELF\x02\x01"), NoPoints::Malformed("the file ends in its header"));
    let good = library(62, X86_64, [1, 9]);
    let changed = |at: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        find(&file)
    };
    assert_eq!(changed(4, &[1]), NoPoints::Machine("not a 64-bit little-endian file"));
    assert_eq!(changed(18, &[40, 0]), NoPoints::Machine("neither x86-64 nor AArch64"));
    assert_eq!(changed(60, &[0xff, 0xff]), NoPoints::TooLarge("section headers"));
    assert_eq!(changed(40, &[0xff; 7]), NoPoints::Malformed("a piece of it is beyond its end"));
    assert_eq!(changed(32, &[0xff; 7]), NoPoints::Malformed("a piece of it is beyond its end"));
    // Without sections it has no symbols, and nothing else here says that it has TLS.
    assert_eq!(changed(40, &[0; 8]), NoPoints::NotTls);
}

#[test]
fn a_function_that_claims_to_be_the_whole_file_is_not_read() {
    let found = find(library(62, X86_64, [1 << 40, 0]).as_slice());
    assert_eq!(found, Err(NoPoints::TooLarge("a function")));
}

#[test]
fn a_stranger_cannot_ask_for_more_probes_than_there_are_for_one_file() {
    let returns = vec![0xc3; 40_000];
    assert_eq!(
        find(library(62, &returns, [40_000, 0]).as_slice()),
        Err(NoPoints::TooLarge("return instructions"))
    );
}

/// A Go program before 1.18: addresses of 8 bytes in the table, and the version behind a pointer.
fn old_go(version: &str) -> Vec<u8> {
    let names = b"\0runtime.text\0crypto/tls.(*Conn).Read\0other\0".to_vec();
    let (name_read, name_other) = (14, 38);
    let mut records: Vec<u8> = Vec::new();
    let rows: [(u64, u64); 2] = [(CODE, name_other), (CODE + 1, name_read)];
    let place = |index: usize| (5 * 8 + index * 16) as u64;
    let mut functions: Vec<u8> = Vec::new();
    for (index, (code, name)) in rows.iter().enumerate() {
        functions.extend(code.to_le_bytes());
        functions.extend(place(index).to_le_bytes());
        records.extend(code.to_le_bytes());
        records.extend((*name as u32).to_le_bytes());
        records.extend([0; 4]);
    }
    functions.extend((CODE + X86_64.len() as u64).to_le_bytes());
    let mut table = 0xffff_fffa_u32.to_le_bytes().to_vec();
    table.extend([0, 0, 1, 8]);
    let after = 8 + 7 * 8;
    let functions_at = (after + names.len()) as u64;
    for word in [2, 0, after as u64, functions_at, functions_at, functions_at, functions_at] {
        table.extend(word.to_le_bytes());
    }
    table.extend(&names);
    table.extend(functions);
    table.extend(records);
    table.resize(0x200, 0);
    let mut info = b"\xff Go buildinf:\x08\x00".to_vec();
    info.extend(0x4020_u64.to_le_bytes());
    info.resize(0x20, 0);
    info.extend(0x4030_u64.to_le_bytes());
    info.extend((version.len() as u64).to_le_bytes());
    info.extend(version.bytes());
    let sections = vec![
        (".text", 1, CODE, X86_64.to_vec(), 0),
        (".gopclntab", 1, 0x2000, table, 0),
        (".go.buildinfo", 1, 0x4000, info, 0),
    ];
    Builder { sections, machine: 62 }.build()
}

#[test]
fn go_before_1_18_has_addresses_in_its_table_and_before_1_17_arguments_on_the_stack() {
    let found = find(old_go("go1.17.13").as_slice()).unwrap();
    assert_eq!((found[0].stack, found[0].version.as_deref()), (Stack::Go, Some("go1.17.13")));
    let read = &found[0].functions[0];
    assert_eq!((read.role, read.entry_offset), (Role::Read, CODE + 1));
    assert_eq!(read.return_offsets, [CODE + 5, CODE + 7]);
    assert_eq!(find(old_go("go1.16.1").as_slice()), Err(NoPoints::GoVersion("go1.16.1".to_owned())));
}

proptest! {
    #[test]
    fn no_change_of_a_file_makes_the_reader_panic(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..12),
        which in 0..3,
    ) {
        let mut file = match which {
            0 => library(62, X86_64, [1, 9]),
            1 => library(183, X86_64, [4, 4]),
            _ => old_go("go1.17"),
        };
        for (place, byte) in changes {
            let place = place.index(file.len());
            // Zeros between the sections are of no interest.
            let place = if file[place] == 0 { place % 120 } else { place };
            file[place] = byte;
        }
        let _ = find(file.as_slice());
    }

    #[test]
    fn no_code_makes_the_disassembler_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), at in any::<u64>()) {
        for machine in [Machine::X86_64, Machine::Aarch64] {
            let _ = code::read(machine, &bytes, at);
            let _ = code::pointer_of_stub(machine, &bytes, at);
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Image::open(&bytes.as_slice());
        let _ = find([b"\x7fELF\x02\x01".to_vec(), bytes].concat().as_slice());
    }
}
