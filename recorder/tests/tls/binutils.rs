//! The same facts by way of objdump.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use aftertrace_recorder::tls::points::{self, Function, NoPoints, Points, Role};

/// A function as objdump shows it; file offsets.
#[derive(Debug)]
pub(crate) struct Disassembled {
    pub(crate) entry: u64,
    pub(crate) returns: Vec<u64>,
    /// What instructions there are beside.
    pub(crate) lines: Vec<String>,
}

/// What is found in a file.
pub(crate) fn find(file: &Path) -> Result<Vec<Points>, NoPoints> {
    points::find(&File::open(file).unwrap())
}

/// The function of a role, of which there has to be one.
pub(crate) fn only(points: &Points, role: Role) -> &Function {
    let found: Vec<&Function> = points.functions.iter().filter(|function| function.role == role).collect();
    assert_eq!(found.len(), 1, "{role:?} of {points:?}");
    found[0]
}

/// Disassembles the function with a symbol.
pub(crate) fn disassemble(file: &Path, symbol: &str) -> Disassembled {
    parse(&objdump(file, &[&format!("--disassemble={symbol}")]), symbol)
}

/// Disassembles the code between two addresses.
pub(crate) fn disassemble_range(file: &Path, start: u64, bytes: u64) -> Disassembled {
    let (from, to) = (format!("--start-address={start}"), format!("--stop-address={}", start + bytes));
    parse(&objdump(file, &[&from, &to]), "a range")
}

fn objdump(file: &Path, arguments: &[&str]) -> String {
    let output = Command::new("objdump").args(["-d", "-w", "-F"]).args(arguments).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn parse(text: &str, what: &str) -> Disassembled {
    let mut found: Option<Disassembled> = None;
    let mut distance = 0;
    for line in text.lines() {
        let head = line.strip_suffix("):").and_then(|line| line.split_once("(File Offset: 0x"));
        if let Some((head, offset)) = head {
            let address = u64::from_str_radix(head.split_whitespace().next().unwrap(), 16).unwrap();
            let offset = u64::from_str_radix(offset, 16).unwrap();
            assert!(found.is_none(), "more than one {what}");
            distance = address.wrapping_sub(offset);
            found = Some(Disassembled { entry: offset, returns: Vec::new(), lines: Vec::new() });
        } else if let (Some(found), Some((address, rest))) = (&mut found, line.split_once(":\t")) {
            let Ok(address) = u64::from_str_radix(address.trim(), 16) else { continue };
            let instruction = rest.split_once('\t').map_or("", |(_, instruction)| instruction);
            if instruction.split_whitespace().any(|word| word == "ret" || word == "retq") {
                found.returns.push(address.wrapping_sub(distance));
            }
            found.lines.push(instruction.to_owned());
        }
    }
    found.unwrap_or_else(|| panic!("objdump shows no {what}: {text}"))
}

/// A function of the file that has a symbol and does not leave otherwise than by returning.
pub(crate) fn assert_is_as_disassembled(file: &Path, function: &Function) {
    let expected = disassemble(file, &function.name);
    assert_eq!(function.entry_offset, expected.entry, "{}", function.name);
    assert_eq!(function.return_offsets, expected.returns, "{}", function.name);
    assert!(!function.return_offsets.is_empty(), "{}", function.name);
    assert_eq!(function.exits_unseen, Vec::<u64>::new(), "{}", function.name);
}
