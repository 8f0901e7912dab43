//! What the live mode asks of a recording: metrics at a place in the order, and what its page shows.

use std::time::Duration;

use aftertrace_registry::Span;
use aftertrace_registry::metrics::Family;
use aftertrace_schemas::Kind;
use aftertrace_schemas::tables::{PushStats, Scrape, ScrapeFormat};

use super::error::RecordError;
use super::session::Session;
use crate::serve::View;
use crate::sources::clock::{Clock, SystemClock};

impl Session<'_> {
    /// Gives a scrape its number and its place in the order, and collects what is known there.
    pub(crate) fn scrape(&mut self, format: ScrapeFormat) -> Result<(u64, Vec<Family>), RecordError> {
        self.scrapes += 1;
        let number = self.scrapes;
        self.emit_now(Kind::Scrape(Scrape { number, format }))?;
        let families = self.sinks.registry.as_ref().map(|registry| registry.collect()).unwrap_or_default();
        Ok((number, families))
    }

    /// The spans that are ready since the last time.
    pub(crate) fn take_spans(&mut self) -> Vec<Span> {
        self.sinks.registry.as_mut().map(|registry| registry.drain_spans().collect()).unwrap_or_default()
    }

    /// What became of pushed metrics, as far as it changed.
    pub(crate) fn write_pushes(&mut self, pushes: Vec<PushStats>) -> Result<(), RecordError> {
        let before = std::mem::replace(&mut self.pushes, pushes.clone());
        for row in pushes.into_iter().filter(|row| !before.contains(row)) {
            self.emit_now(Kind::Push(row))?;
        }
        Ok(())
    }

    /// The host's name, once it is known.
    pub(crate) fn hostname(&self) -> String {
        self.live.host().map(|host| host.hostname.clone()).unwrap_or_default()
    }

    /// What the page shows.
    pub(crate) fn view(&self) -> View {
        let now = self.anchor.unix_ns(SystemClock.boot_ns());
        let age = |succeeded: i64| Duration::from_nanos(u64::try_from(now - succeeded).unwrap_or_default());
        let sources = self.measuring.stats();
        let filter = &self.config.filter;
        let words = |what: &str, of: &dyn std::fmt::Display| format!("{what} {of}");
        View {
            hostname: self.hostname(),
            filters: (filter.cgroups.iter().map(|path| words("control group", path)))
                .chain(filter.containers.iter().map(|regex| words("containers like", regex)))
                .chain(filter.pids.iter().map(|pid| words("process", pid)))
                .collect(),
            output: self.config.output.as_ref().map(|output| output.display().to_string()),
            status: self.status(),
            probes: self.live.probes().cloned().collect(),
            pushes: self.pushes.clone(),
            sources: sources.map(|row| (row.clone(), row.succeeded.map(|time| age(time.0)))).collect(),
        }
    }
}
