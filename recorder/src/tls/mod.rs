//! Where plaintext can be seen in programs that use TLS: the user-space half of TLS interception.
//!
//! In: the memory maps of processes and the ELF files in them, which belong to strangers. Out: which files to put probes
//! into, and at which offsets.
//!
//! - [`libraries`]: the files that a process executes, opened so that they are the very files it has mapped.
//! - [`points`]: the probe points of one file: entries and return instructions of the functions that take and give
//!   plaintext. Return probes of the kernel (uretprobes) exchange the return address on the stack and have crashed
//!   programs, so the return instructions themselves get probes.
//! - [`attachments`]: which files are to have probes now, as processes come and go.
//! - [`source`]: the thread that does what these say.

pub mod attachments;
pub mod libraries;
pub mod points;
pub mod source;

mod callees;
mod code;
mod image;
mod relocations;
mod symbols;
mod unwind;

mod gnutls;
mod go;
mod openssl;
mod rustls;

#[cfg(test)]
mod tests;
