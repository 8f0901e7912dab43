//! The ways out of a piece of code: return instructions, jumps, calls.
//!
//! In: the bytes of a function and its address. Out: addresses. A probe in the middle of an instruction changes what
//! the program does, so nothing is guessed: the code is read from its first byte to its last, and an unknown
//! instruction, or a jump to where none begins, is an error.

use std::collections::BTreeSet;
use std::ops::Range;

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

use super::image::{Machine, number};
use super::points::NoPoints;

const BRANCH_NOT_TRACKED: u8 = 0x3e;

/// The ways out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Body {
    /// Where the return instructions are.
    pub(super) returns: Vec<u64>,
    /// Jumps to an address outside: where they are, and to where.
    pub(super) jumps: Vec<(u64, u64)>,
    /// Where jumps are of which nobody knows where they go to.
    pub(super) jumps_unknown: Vec<u64>,
    /// What is called.
    pub(super) calls: BTreeSet<u64>,
}

/// Reads code.
pub(super) fn read(machine: Machine, bytes: &[u8], address: u64) -> Result<Body, NoPoints> {
    let end =
        address.checked_add(bytes.len() as u64).ok_or(NoPoints::Malformed("code beyond all addresses"))?;
    match machine {
        Machine::X86_64 => read_x86_64(bytes, address..end),
        Machine::Aarch64 => read_aarch64(bytes, address..end),
    }
}

fn read_x86_64(bytes: &[u8], bounds: Range<u64>) -> Result<Body, NoPoints> {
    let mut body = Body::default();
    let mut begins = BTreeSet::new();
    let mut targets = BTreeSet::new();
    let mut decoder = Decoder::with_ip(64, bytes, bounds.start, DecoderOptions::NONE);
    let (mut instruction, mut before) = (Instruction::default(), Instruction::default());
    while decoder.can_decode() {
        let position = decoder.position();
        decoder.decode_out(&mut instruction);
        if instruction.is_invalid() {
            return Err(NoPoints::Code("an instruction that is not known"));
        }
        let at = instruction.ip();
        begins.insert(at);
        match instruction.flow_control() {
            FlowControl::Return if instruction.mnemonic() == Mnemonic::Ret => body.returns.push(at),
            FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch => {
                let target = instruction.near_branch_target();
                if bounds.contains(&target) {
                    targets.insert(target);
                } else {
                    body.jumps.push((at, target));
                }
            }
            FlowControl::IndirectBranch => {
                let is_marked = bytes.get(position) == Some(&BRANCH_NOT_TRACKED);
                if !is_marked && !is_through_table(&instruction, &before) {
                    body.jumps_unknown.push(at);
                }
            }
            FlowControl::Call => {
                body.calls.insert(instruction.near_branch_target());
            }
            FlowControl::Return | FlowControl::XbeginXabortXend => {
                return Err(NoPoints::Code("an instruction that no compiler writes"));
            }
            FlowControl::Next
            | FlowControl::IndirectCall
            | FlowControl::Interrupt
            | FlowControl::Exception => {}
        }
        before = instruction;
    }
    if targets.is_subset(&begins) { Ok(body) } else { Err(NoPoints::Code("a jump into an instruction")) }
}

/// Whether a jump through a register or memory is one of a `switch`, which stays in the function: through a table with
/// an index, or to the sum of the table's address and what it has.
fn is_through_table(jump: &Instruction, before: &Instruction) -> bool {
    match jump.op0_kind() {
        OpKind::Register => {
            before.mnemonic() == Mnemonic::Add
                && before.op0_kind() == OpKind::Register
                && before.op0_register() == jump.op0_register()
        }
        OpKind::Memory => jump.memory_index() != Register::None && jump.memory_index_scale() == 8,
        _ => false,
    }
}

/// Where a jump through a pointer in memory has that pointer; for the stubs by which libraries are called.
pub(super) fn pointer_of_stub(machine: Machine, bytes: &[u8], address: u64) -> Option<u64> {
    match machine {
        Machine::X86_64 => {
            let mut decoder = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE);
            let first = decoder.decode();
            let jump = if first.code() == Code::Endbr64 { decoder.decode() } else { first };
            let is_stub =
                jump.flow_control() == FlowControl::IndirectBranch && jump.is_ip_rel_memory_operand();
            is_stub.then(|| jump.ip_rel_memory_address())
        }
        Machine::Aarch64 => {
            let word = |index: usize| Some(number(bytes.get(4 * index..)?.get(..4)?) as u32);
            // `bti c` may come first; then adrp x16, page; ldr x17, [x16, #offset].
            let first = usize::from(word(0)? == 0xd503_245f);
            let (adrp, ldr) = (word(first)?, word(first + 1)?);
            if adrp & 0x9f00_001f != 0x9000_0010 || ldr & 0xffc0_03ff != 0xf940_0211 {
                return None;
            }
            let pages = sign_extend((adrp >> 5 & 0x7_ffff) << 2 | adrp >> 29 & 3, 21);
            let page = address.wrapping_add(4 * first as u64) & !0xfff;
            Some(page.wrapping_add_signed(pages << 12).wrapping_add(u64::from(ldr >> 10 & 0xfff) * 8))
        }
    }
}

/// The address that a function returns which does nothing else.
pub(super) fn address_returned(machine: Machine, bytes: &[u8], address: u64) -> Option<u64> {
    if machine != Machine::X86_64 {
        return None;
    }
    let mut decoder = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE);
    let mut first = decoder.decode();
    if first.code() == Code::Endbr64 {
        first = decoder.decode();
    }
    let is_all = decoder.decode().mnemonic() == Mnemonic::Ret;
    match first.code() {
        Code::Lea_r64_m if is_all && first.is_ip_rel_memory_operand() => Some(first.ip_rel_memory_address()),
        Code::Mov_r32_imm32 if is_all => Some(u64::from(first.immediate32())),
        _ => None,
    }
}

/// Instructions are words here, so nothing has to be understood but the ways out.
fn read_aarch64(bytes: &[u8], bounds: Range<u64>) -> Result<Body, NoPoints> {
    if !bounds.start.is_multiple_of(4) || !bytes.len().is_multiple_of(4) {
        return Err(NoPoints::Code("code that does not consist of words"));
    }
    let mut body = Body::default();
    let mut before = 0;
    for (at, word) in (bounds.start..).step_by(4).zip(bytes.chunks_exact(4)) {
        let word = number(word) as u32;
        let distance = match word {
            // b
            _ if word & 0xfc00_0000 == 0x1400_0000 => Some(sign_extend(word & 0x03ff_ffff, 26)),
            // b.cond, bc.cond; cbz, cbnz
            _ if word & 0xff00_0000 == 0x5400_0000 || word & 0x7e00_0000 == 0x3400_0000 => {
                Some(sign_extend(word >> 5 & 0x7_ffff, 19))
            }
            // tbz, tbnz
            _ if word & 0x7e00_0000 == 0x3600_0000 => Some(sign_extend(word >> 5 & 0x3fff, 14)),
            _ => None,
        };
        if let Some(distance) = distance {
            let target = at.wrapping_add_signed(4 * distance);
            if !bounds.contains(&target) {
                body.jumps.push((at, target));
            }
        } else if word & 0xffff_fc1f == 0xd65f_0000 || word & 0xffff_fbff == 0xd65f_0bff {
            // ret, retaa, retab
            body.returns.push(at);
        } else if word & 0xffff_fc1f == 0xd61f_0000 {
            // br; one of a `switch` goes to the sum of a base and what a table has.
            let is_sum = before & 0x7f20_0000 == 0x0b00_0000 || before & 0x7fe0_0000 == 0x0b20_0000;
            if !(is_sum && before & 0x1f == word >> 5 & 0x1f) {
                body.jumps_unknown.push(at);
            }
        } else if word & 0xfc00_0000 == 0x9400_0000 {
            // bl
            body.calls.insert(at.wrapping_add_signed(4 * sign_extend(word & 0x03ff_ffff, 26)));
        }
        before = word;
    }
    Ok(body)
}

/// The low `bits` of a word as a signed number.
fn sign_extend(word: u32, bits: u32) -> i64 {
    i64::from(word.wrapping_shl(32 - bits).cast_signed() >> (32 - bits))
}
