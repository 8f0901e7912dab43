//! `probes`: whether a probe or source works, and why not.

use crate::label::labels;

labels! {
    /// Whether the probe or source gives data.
    pub enum ProbeState {
        /// It works.
        Active = "active",
        /// It was not attached or does not answer.
        Failed = "failed",
        /// It was switched off, or the host has no such thing.
        Off = "off",
    }
}

table! {
    /// Whether a probe (kernel program) or source (runtime, /proc, cgroups) works, and why not.
    pub struct ProbeStatus in "probes" as Probe {
        /// Name: the tracepoint, or the source.
        [Dictionary] probe: String,
        /// Whether it gives data.
        [Dictionary] state: ProbeState,
        /// Why not: the kernel's or the runtime's words.
        [Dictionary] reason: Option<String>,
    }
}
