//! The recording itself: kernel events and snapshots in, one ordered trace out.
//!
//! One thread does it: it drains the rings, orders what came (`sequencer`), completes it with what is known
//! (`events`, `process_cgroups`), and hands observations to the trace writer. Slow sources run in threads of
//! their own and deliver when they can; nothing waits for them.

mod accounts;
mod begin;
mod capabilities;
mod containers;
mod data;
mod error;
mod events;
mod follow;
mod logs;
mod measuring;
mod observe;
mod options;
mod process_cgroups;
mod reports;
mod scope;
mod scrape;
mod session;
mod signals;
mod sinks;
mod sweep;
mod timer;
mod waiting_bytes;

use std::process::ExitStatus;
use std::time::{Duration, Instant};

pub use error::RecordError;

use crate::command::{RecordedCommand, exit_code};
use crate::config::RecordConfig;
use crate::serve::Service;
pub(crate) use session::Session;
use signals::Signals;

/// The rings are looked at this often when nothing wakes the recorder before.
const POLL: Duration = Duration::from_millis(20);

/// A command that does not end is left alone after so many signals in a row.
const SIGNALS_TO_GIVE_UP: usize = 3;
/// A signal this long after the one before begins a new row: programs have uses of their own for Ctrl-C.
const SIGNALS_BELONG_TOGETHER: Duration = Duration::from_secs(5);

/// How a recording goes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Status {
    /// Time since the start.
    pub elapsed: Duration,
    /// Observations written.
    pub observations: u64,
    /// Kernel events a second, over the last second.
    pub events_per_second: u64,
    /// Size of the trace on disk.
    pub trace_bytes: u64,
    /// Events lost, whatever the cause.
    pub lost: u64,
}

/// Is told how a recording goes.
pub trait Observer {
    /// The probes are attached and what was there before is known: from now on nothing of the filter is missed.
    fn started(&mut self);

    /// Called about once a second.
    fn status(&mut self, status: &Status);
    /// Something does not work, but the recording goes on.
    fn warning(&mut self, message: &str);
}

/// How a recording ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The last status.
    pub status: Status,
    /// Why it ended, in words.
    pub end_reason: String,
    /// With a command: the code to pass on.
    pub exit_code: Option<i32>,
}

/// Records as asked for, until the duration is over, the command ends, or a signal comes.
///
/// The calling thread gives up what it does not need (see [`crate::capabilities`]), and does not get it back.
///
/// # Errors
/// When the host cannot be recorded (the error names what is missing), the command cannot be run, or the trace cannot
/// be written any more; what was written before stays readable.
pub fn record(config: &RecordConfig, observer: &mut dyn Observer) -> Result<Outcome, RecordError> {
    crate::capabilities::keep_all(config.keep_capabilities);
    record_with(config, observer, None)
}

/// As [`record`], with the live mode beside it.
pub(crate) fn record_with(
    config: &RecordConfig,
    observer: &mut dyn Observer,
    mut service: Option<&mut Service>,
) -> Result<Outcome, RecordError> {
    let signals = Signals::install().map_err(RecordError::Signals)?;
    let mut session = Session::begin(config, observer)?;
    // The command is to have all that this process has.
    if config.command.is_empty() {
        session.give_up_capabilities(observer)?;
    }
    if let Some(service) = service.as_deref_mut() {
        service.turn(&mut session)?;
    }
    observer.started();
    let mut command = match session.spawn_command() {
        Ok(None) => None,
        Ok(command) => {
            session.give_up_capabilities(observer)?;
            command
        }
        Err(error) => {
            session.finish(&error.to_string(), observer)?;
            return Err(error);
        }
    };
    let end = run(config, observer, &signals, &mut session, command.as_mut(), service);
    if let Some(command) = &command
        && !matches!(end, Ok((_, Some(_))))
    {
        observer.warning(&format!(
            "the command goes on as process {}; it is not recorded any more",
            command.pid()
        ));
    }
    // After an error the trace stays as it is: readable, and not ended.
    let (end_reason, status) = end?;
    let exit_code = status.map(exit_code);
    Ok(Outcome { status: session.finish(&end_reason, observer)?, end_reason, exit_code })
}

/// The loop. Returns why it ended, and how the command did.
fn run(
    config: &RecordConfig,
    observer: &mut dyn Observer,
    signals: &Signals,
    session: &mut Session<'_>,
    mut command: Option<&mut RecordedCommand>,
    mut service: Option<&mut Service>,
) -> Result<(String, Option<ExitStatus>), RecordError> {
    let started = Instant::now();
    let mut signals_seen = 0;
    let mut in_a_row = 0;
    let mut last_signal: Option<Instant> = None;
    loop {
        session.step(POLL, observer)?;
        if let Some(service) = service.as_deref_mut() {
            service.turn(session)?;
        }
        if let Some(command) = command.as_deref_mut()
            && let Some(status) = command.ended()?
        {
            return Ok((format!("the command ended: {status}"), Some(status)));
        }
        let count = signals.count();
        if count > signals_seen {
            let now = Instant::now();
            if last_signal.replace(now).is_some_and(|last| now - last > SIGNALS_BELONG_TOGETHER) {
                in_a_row = 0;
            }
            in_a_row += count - signals_seen;
            signals_seen = count;
            match command.as_deref() {
                None => return Ok(("stopped by a signal".to_owned(), None)),
                Some(_) if in_a_row >= SIGNALS_TO_GIVE_UP => {
                    return Ok(("stopped by signals".to_owned(), None));
                }
                Some(command) => {
                    if let Some(signal) = signals.to_pass_on() {
                        command.signal(signal);
                    }
                }
            }
        }
        if session.has_nothing_left() {
            return Ok(("the last process that was followed ended".to_owned(), None));
        }
        if config.duration.is_some_and(|duration| started.elapsed() >= duration) {
            return Ok(("the duration is over".to_owned(), None));
        }
    }
}
