//! The eBPF programs of aftertrace, and what they and user space agree on.
//!
//! `src/bpf/` has the programs in C, a file a concern, compiled by `build.rs` to [`OBJECT`]. [`wire`] has the records
//! that they send, [`maps`] what their maps hold. In: bytes. Out: a [`wire::Record`].

pub mod maps;
pub mod wire;

/// Gives the bytes of a file the alignment that an ELF parser wants.
#[repr(C, align(8))]
struct Aligned<Bytes: ?Sized>(Bytes);

static ALIGNED: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/programs.o")));

/// The compiled programs: an ELF object with BTF, for a loader.
pub static OBJECT: &[u8] = &ALIGNED.0;
