//! Loads and attaches the programs, each by itself, and remembers why one is not there.

use aya::programs::links::FdLink;
use aya::programs::trace_point::TracePointLink;
use aya::programs::{BtfTracePoint, Iter, Program, ProgramError, RawTracePoint, TracePoint};
use aya::{Btf, Ebpf};

use super::error::chain;
use super::probes::{DECIDE, Data, Hook, PROBES, Probe, SCAN, SWEEP};
use super::{Kernel, preflight, syscall};

/// Why a probe is not attached that nobody asked for.
const NOT_ASKED_FOR: &str = "switched off";
/// Why one is not that another one does the work of.
const NOT_NEEDED: &str = "not needed on this kernel";

/// Whether a probe gives data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeStatus {
    /// Category and name of the tracepoint; `scan` and `sweep` for what user space runs.
    pub probe: &'static str,
    /// Whether it is attached.
    pub attached: bool,
    /// Why it is not: the kernel's words.
    pub reason: Option<String>,
}

impl ProbeStatus {
    /// Whether it is not attached since nothing wants it.
    pub fn is_off(&self) -> bool {
        matches!(self.reason.as_deref(), Some(NOT_ASKED_FOR | NOT_NEEDED))
    }
}

/// An attached program; dropping it detaches.
#[expect(dead_code, reason = "held for their drop")]
pub(super) enum Link {
    /// To a typed tracepoint.
    Typed(FdLink),
    /// To a classic one.
    Classic(TracePointLink),
}

impl Kernel {
    /// Hands every program to the verifier, and remembers those that it rejects.
    pub(super) fn load_programs(&mut self, btf: &Btf, has_data: bool, data_at_exits: bool) {
        let is_told = !data_at_exits && preflight::kernel_has_name(Data::SIGN);
        let way = if is_told { Data::AtSockets } else { Data::AtExits };
        for probe in &PROBES {
            let unwanted = match probe.of {
                Some(_) if !has_data => Some(NOT_ASKED_FOR),
                Some(of) if of != way => Some(NOT_NEEDED),
                _ => None,
            };
            if let Some(reason) = unwanted {
                self.remember(probe.name, Err(reason.to_owned()));
                continue;
            }
            let loaded = match probe.hook {
                Hook::Typed(tracepoint) => program::<BtfTracePoint>(&mut self.ebpf, probe.program)
                    .and_then(|program| program.load(tracepoint, btf).map_err(words)),
                Hook::Classic(..) => program::<TracePoint>(&mut self.ebpf, probe.program)
                    .and_then(|program| program.load().map_err(words)),
            };
            self.remember(probe.name, loaded);
        }
        let scan = program::<Iter>(&mut self.ebpf, SCAN.1)
            .and_then(|program| program.load("task_file", btf).map_err(words));
        self.remember(SCAN.0, scan);
        for (name, function) in [SWEEP, DECIDE] {
            let loaded = program::<RawTracePoint>(&mut self.ebpf, function)
                .and_then(|program| program.load().map_err(words));
            self.remember(name, loaded);
        }
    }

    /// Attaches every program that was loaded. Returns how each probe fares; a second call attaches nothing more.
    pub fn attach(&mut self) -> Vec<ProbeStatus> {
        if self.links.is_empty() {
            for probe in &PROBES {
                if self.reason(probe.name).is_some() {
                    continue;
                }
                let attached = match probe.needs.filter(|needs| self.reason(needs).is_some()) {
                    Some(needs) => Err(format!("it needs {needs}, which is not attached")),
                    None => attach(&mut self.ebpf, probe),
                };
                let attached = attached.map(|link| self.links.push(link));
                self.remember(probe.name, attached);
            }
        }
        self.statuses.clone()
    }

    /// Detaches every tracepoint and waits until no program runs any more: then a last [`Kernel::drain`] takes all
    /// that there is, and the ledger stands still.
    pub fn detach(&mut self) {
        // The enter of a system call before its exit.
        while self.links.pop().is_some() {}
        syscall::wait_for_running_programs();
    }

    fn remember(&mut self, probe: &'static str, result: Result<(), String>) {
        let status = ProbeStatus { probe, attached: result.is_ok(), reason: result.err() };
        match self.statuses.iter_mut().find(|known| known.probe == probe) {
            Some(known) => *known = status,
            None => self.statuses.push(status),
        }
    }

    fn reason(&self, probe: &str) -> Option<&str> {
        self.statuses.iter().find(|status| status.probe == probe)?.reason.as_deref()
    }
}

fn attach(ebpf: &mut Ebpf, probe: &Probe) -> Result<Link, String> {
    match probe.hook {
        Hook::Typed(_) => {
            let program = program::<BtfTracePoint>(ebpf, probe.program)?;
            let id = program.attach().map_err(words)?;
            program.take_link(id).map(|link| Link::Typed(link.into())).map_err(words)
        }
        Hook::Classic(category, name) => {
            let program = program::<TracePoint>(ebpf, probe.program)?;
            let id = program.attach(category, name).map_err(words)?;
            program.take_link(id).map(Link::Classic).map_err(words)
        }
    }
}

/// A program of the object, as the type that its section makes it.
pub(super) fn program<'a, T>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut T, String>
where
    &'a mut T: TryFrom<&'a mut Program, Error = ProgramError>,
{
    ebpf.program_mut(name)
        .ok_or_else(|| "the object has no such program".to_owned())?
        .try_into()
        .map_err(words)
}

/// How lines of a verifier's log begin that say what it cost.
const STATISTICS: [&str; 3] = ["processed ", "verification time", "stack depth"];

/// What went wrong, without the pages that a verifier writes: its last complaint is what matters.
pub(super) fn words(error: ProgramError) -> String {
    let ProgramError::LoadError { io_error, verifier_log } = &error else { return chain(&error) };
    let log = verifier_log.to_string();
    let complaint = log
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty() && !STATISTICS.iter().any(|word| line.starts_with(word)));
    match complaint {
        Some(complaint) => format!("the kernel rejects the program: {io_error}: {complaint}"),
        None => format!("the kernel rejects the program: {io_error}"),
    }
}
