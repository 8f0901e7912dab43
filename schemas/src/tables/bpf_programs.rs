//! `bpf_programs`: what the kernel programs cost.

table! {
    /// What a kernel program cost since it was loaded.
    pub struct BpfProgramStats in "bpf_programs" as BpfProgram {
        /// Kernel program.
        [Dictionary] program: String,
        /// Times it ran; 0 when the kernel's statistics are off.
        [Delta] runs: u64,
        /// Time it took, nanoseconds; 0 when the kernel's statistics are off.
        [Delta] run_time_ns: u64,
        /// Times that the kernel skipped it since it was already running on that CPU.
        [Delta] missed: u64,
    }
}
