//! The eBPF programs of aftertrace, and what they and user space agree on.
//!
//! `src/bpf/` has the programs in C, a file a concern, compiled by `build.rs` to [`OBJECT`]. [`wire`] has the records
//! that they send, [`maps`] what their maps hold. In: bytes. Out: a [`wire::Record`].

pub mod maps;
pub mod wire;

use std::borrow::Cow;

/// Gives the bytes of a file the alignment that an ELF parser wants.
#[repr(C, align(8))]
struct Aligned<Bytes: ?Sized>(Bytes);

static ALIGNED: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/programs.o")));

/// The compiled programs: an ELF object with BTF, for a loader.
pub static OBJECT: &[u8] = &ALIGNED.0;

/// What a call of `bpf_rdonly_cast` is in [`OBJECT`]: a call of a helper with a number that no helper has.
const CAST: [u8; INSTRUCTION_BYTES] = call(0, 0x7473_6163);
const INSTRUCTION_BYTES: usize = 8;

/// [`OBJECT`] with its calls of `bpf_rdonly_cast` bound to the kernel's function of this BTF id. Such a call says in
/// its source register that it is one of a kernel function (Documentation/bpf/kfuncs.rst); no library here does that.
///
/// Without an id the calls stay as they are, and the programs must be loaded with `can_cast` 0.
pub fn object(cast_function: Option<u32>) -> Cow<'static, [u8]> {
    /// BPF_PSEUDO_KFUNC_CALL
    const KERNEL_FUNCTION: u8 = 2;

    let Some(function) = cast_function else { return Cow::Borrowed(OBJECT) };
    let mut object = OBJECT.to_vec();
    let bound = call(KERNEL_FUNCTION, function);
    for instruction in object.chunks_exact_mut(INSTRUCTION_BYTES).filter(|bytes| *bytes == CAST) {
        instruction.copy_from_slice(&bound);
    }
    Cow::Owned(object)
}

/// The instruction `call`, in this machine's byte order as the object is.
const fn call(source_register: u8, immediate: u32) -> [u8; INSTRUCTION_BYTES] {
    let registers = if cfg!(target_endian = "big") { source_register } else { source_register << 4 };
    let [a, b, c, d] = immediate.to_ne_bytes();
    [0x85, registers, 0, 0, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cast_is_bound_to_the_function_of_the_kernel_and_nothing_else_changes() {
        let bound = object(Some(0x0102_0304));
        let mut casts = 0;
        for (before, after) in OBJECT.chunks(INSTRUCTION_BYTES).zip(bound.chunks(INSTRUCTION_BYTES)) {
            if before == CAST {
                assert_eq!(after, call(2, 0x0102_0304));
                casts += 1;
            } else {
                assert_eq!(before, after);
            }
        }
        assert!(casts > 100, "{casts}");
        assert_eq!(*object(None), *OBJECT);
    }
}
