//! What of the applications' data the kernel programs look at and keep.

use aftertrace_bpf_programs::maps::{
    DATA_MAX_BYTES, DECISION_BATCH, DataRole, Decisions, KEEP_ENCRYPTED, KEEP_NOTHING, KEEP_OF_PLAINTEXT,
    KEEP_SIZES, SYSCALLS,
};
use aya::programs::RawTracePoint;

use super::attach::program;
use super::probes::DECIDE;
use super::{Kernel, KernelError, syscall};

use std::os::fd::AsFd;

/// What is kept of the calls on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Nothing.
    Nothing,
    /// Nothing, since it is encrypted: what is said inside is found at the functions that encrypt it.
    Encrypted,
    /// Sizes, and at most so many bytes of each call.
    Bytes(u32),
}

/// A decision on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// The socket, as its records name it.
    pub sock: u64,
    /// Its connection: when the socket is another one's meanwhile, nothing changes.
    pub connection_id: u64,
    /// Whether it is about what is said inside TLS.
    pub is_plaintext: bool,
    /// What is kept from now on.
    pub keep: Keep,
}

impl Keep {
    fn number(self) -> u64 {
        match self {
            Self::Nothing => KEEP_NOTHING,
            Self::Encrypted => KEEP_NOTHING | KEEP_ENCRYPTED,
            Self::Bytes(bytes) => KEEP_SIZES + u64::from(bytes.min(DATA_MAX_BYTES)),
        }
    }
}

/// What each system call of this architecture does with a socket.
pub(super) fn roles() -> [u8; SYSCALLS] {
    let known = [
        (libc::SYS_write, DataRole::Write),
        (libc::SYS_pwrite64, DataRole::Write),
        (libc::SYS_sendto, DataRole::SendTo),
        (libc::SYS_read, DataRole::Read),
        (libc::SYS_pread64, DataRole::Read),
        (libc::SYS_recvfrom, DataRole::ReceiveFrom),
        (libc::SYS_writev, DataRole::WriteVector),
        (libc::SYS_pwritev, DataRole::WriteVector),
        (libc::SYS_pwritev2, DataRole::WriteVector),
        (libc::SYS_readv, DataRole::ReadVector),
        (libc::SYS_preadv, DataRole::ReadVector),
        (libc::SYS_preadv2, DataRole::ReadVector),
        (libc::SYS_sendmsg, DataRole::SendMessage),
        (libc::SYS_recvmsg, DataRole::ReceiveMessage),
        (libc::SYS_sendmmsg, DataRole::SendMessages),
        (libc::SYS_recvmmsg, DataRole::ReceiveMessages),
        (libc::SYS_sendfile, DataRole::SendFile),
        (libc::SYS_splice, DataRole::Splice),
    ];
    let mut roles = [0; SYSCALLS];
    for (number, role) in known {
        if let Some(place) = usize::try_from(number).ok().and_then(|number| roles.get_mut(number)) {
            *place = role as u8;
        }
    }
    roles
}

impl Kernel {
    /// Tells the programs what to keep of connections from now on.
    ///
    /// # Errors
    /// When the program was rejected or the kernel does not run it.
    pub fn decide(&mut self, decisions: &[Decision]) -> Result<(), KernelError> {
        for batch in decisions.chunks(DECISION_BATCH) {
            let mut input: Decisions = [0; 3 * DECISION_BATCH + 1];
            for (place, decision) in input.chunks_exact_mut(3).zip(batch) {
                let of = if decision.is_plaintext { KEEP_OF_PLAINTEXT } else { 0 };
                place.copy_from_slice(&[decision.sock, decision.connection_id, decision.keep.number() | of]);
            }
            if let Some(count) = input.last_mut() {
                *count = batch.len() as u64;
            }
            self.decisions_in.set(0, input, 0).map_err(|error| KernelError::Map {
                name: "decisions_in",
                reason: super::error::chain(&error),
            })?;
            let failed = |reason: String| KernelError::Program { name: DECIDE.0, reason };
            let program = program::<RawTracePoint>(&mut self.ebpf, DECIDE.1).map_err(failed)?;
            let fd = program.fd().map_err(|error| failed(error.to_string()))?;
            syscall::run_program(fd.as_fd())
                .map_err(|source| KernelError::System { call: "decide", source })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_move_data_have_their_role_and_others_none() {
        let roles = roles();
        let role =
            |number: libc::c_long| usize::try_from(number).ok().and_then(|place| roles.get(place)).copied();
        assert_eq!(role(libc::SYS_recvmmsg), Some(DataRole::ReceiveMessages as u8));
        assert_eq!(role(libc::SYS_close), Some(0));
    }
}
