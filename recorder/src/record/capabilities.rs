//! The recording thread gives up what only attaching took, and the trace says what the process can still do.

use aftertrace_schemas::Kind;
use aftertrace_schemas::tables::{ProbeState, ProbeStatus};

use super::{Observer, RecordError, Session};
use crate::capabilities::{self, CapabilitySet, OTHERS_PROCESSES};

/// The name of the probe row.
const NAME: &str = "capabilities";
/// What loaded programs may take beside what processes do, the least first.
const OF_PROGRAMS: [CapabilitySet; 3] = [
    CapabilitySet::empty(),
    CapabilitySet::BPF,
    CapabilitySet::BPF.union(CapabilitySet::PERFMON).union(CapabilitySet::SYS_ADMIN),
];

impl Session<'_> {
    /// Leaves the calling thread what recording takes from now on. Threads of sources have narrowed themselves.
    pub(super) fn give_up_capabilities(&mut self, observer: &mut dyn Observer) -> Result<(), RecordError> {
        if self.config.keep_capabilities {
            return self.tell(ProbeState::Off, "all are kept, as asked for: ", observer);
        }
        let mut needs = OTHERS_PROCESSES;
        if !self.config.command.is_empty() {
            // Signals are passed on, also to a command that became another user.
            needs |= CapabilitySet::KILL;
        }
        let kernel = &mut self.kernel;
        let is_enough = |more: &CapabilitySet| {
            capabilities::rehearse(needs | *more, || kernel.rehearse()).is_some_and(|outcome| outcome.is_ok())
        };
        let Some(more) = OF_PROGRAMS.into_iter().find(is_enough) else {
            return self.tell(
                ProbeState::Failed,
                "the kernel takes them for what recording does: ",
                observer,
            );
        };
        match capabilities::narrow(needs | more) {
            Ok(()) => self.tell(ProbeState::Active, "", observer),
            Err(error) => {
                self.tell(ProbeState::Failed, &format!("they cannot be given up: {error}; "), observer)
            }
        }
    }

    /// What each thread can do now, whatever it should be able to.
    fn tell(
        &mut self,
        state: ProbeState,
        words: &str,
        observer: &mut dyn Observer,
    ) -> Result<(), RecordError> {
        let reason = format!("{words}{}", capabilities::summary(&capabilities::of_threads()));
        if state == ProbeState::Failed {
            observer.warning(&format!("{NAME}: {reason}"));
        }
        self.emit_now(Kind::Probe(ProbeStatus { probe: NAME.to_owned(), state, reason: Some(reason) }))?;
        self.update_manifest_probes();
        Ok(())
    }
}
