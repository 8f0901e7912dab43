//! Whether the kernel still allows what is done with loaded programs, asked before rights are given up for good: it is
//! nothing to Linux 5.19 and later, and takes CAP_BPF before that.

use std::io;
use std::os::fd::AsFd;

use aftertrace_bpf_programs::maps::{CONNECTION_WORDS, SWEEP_BATCH, SWEEP_RECORD_BYTES};
use aya::programs::{Iter, RawTracePoint};

use super::attach::program;
use super::probes::{SCAN, SWEEP};
use super::{Kernel, map_fd, syscall};

impl Kernel {
    /// Does once, and to no effect, each thing that is done while recording: reading and writing maps, a sweep of no
    /// connections, the beginning of a scan.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn rehearse(&mut self) -> io::Result<()> {
        let other = |reason: String| io::Error::other(reason);
        syscall::read_map(map_fd(&self.connections), None, &mut [0], &mut [[0; CONNECTION_WORDS]])?;
        self.sweep_in.set(0, [0; SWEEP_BATCH + 1], 0).map_err(|error| other(super::error::chain(&error)))?;
        if let Ok(program) = program::<RawTracePoint>(&mut self.ebpf, SWEEP.1)
            && let Ok(fd) = program.fd()
        {
            syscall::run_program(fd.as_fd())?;
        }
        syscall::read_element(map_fd(&self.sweep_out), 0, &mut vec![0; SWEEP_BATCH * SWEEP_RECORD_BYTES])?;
        // A program that was rejected is not begun here either, and a probe row says so.
        if let Ok(iterator) = program::<Iter>(&mut self.ebpf, SCAN.1)
            && iterator.fd().is_ok()
        {
            let begun = iterator.attach().and_then(|id| iterator.take_link(id));
            let link = begun.map_err(|error| other(super::error::chain(&error)))?;
            link.into_file().map_err(|error| other(super::error::chain(&error)))?;
        }
        Ok(())
    }
}
