//! What the host is to the cloud that it is rented from: firmware and the provider's metadata service in,
//! `CloudInstance` rows out.
//!
//! The service is at an address of the host's own link, and is asked only when the firmware names its provider: in
//! other networks that address may be anybody's. What flags say goes before what the service says.

mod provider;
mod providers;
mod service;

use std::time::{Duration, Instant};

use aftertrace_schemas::tables::CloudInstance;

use rustix::thread::LinkNameSpaceType;

use super::Roots;
use super::host_namespace::in_namespace_of_host;
use super::source::{Rows, Source, Subjects, Unavailable};
use crate::capabilities::CapabilitySet;
pub use provider::Provider;
use service::Service;

/// What flags say instead of the metadata service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CloudOverrides {
    /// Name of the provider.
    pub provider: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// Availability zone.
    pub availability_zone: Option<String>,
    /// Machine type.
    pub instance_type: Option<String>,
    /// How the machine was bought.
    pub instance_life_cycle: Option<String>,
}

/// How patient the source is.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// For one request.
    request: Duration,
    /// For all requests of a round.
    round: Duration,
}

const PATIENCE: Patience = Patience { request: Duration::from_secs(2), round: Duration::from_secs(8) };
/// How often the source sees whether the service is to be asked.
const INTERVAL: Duration = Duration::from_secs(60);
/// What the service says changes seldom: an address, for one.
const ASK_AGAIN: Duration = Duration::from_secs(3600);

/// Asks the cloud.
#[derive(Debug)]
pub struct CloudSource {
    roots: Roots,
    overrides: CloudOverrides,
    /// Where the service is instead of the provider's own address.
    service: Option<String>,
    patience: Patience,
    schedule: Schedule,
    /// What the service said last.
    said: Option<CloudInstance>,
    /// Why it said nothing when it was last asked.
    failure: Option<String>,
    /// The row that was last told.
    told: Option<CloudInstance>,
}

impl CloudSource {
    /// Asks the cloud of `roots`.
    pub fn new(roots: Roots, overrides: CloudOverrides) -> Self {
        Self {
            roots,
            overrides,
            service: None,
            patience: PATIENCE,
            schedule: Schedule::default(),
            said: None,
            failure: None,
            told: None,
        }
    }

    /// The same, with the metadata service at another address: `http://127.0.0.1:8080`.
    #[must_use]
    pub fn with_service(mut self, base: String) -> Self {
        self.service = Some(base);
        self
    }

    fn ask(&mut self, provider: Provider, now: Instant) {
        let base = self.service.as_deref().unwrap_or(provider.service());
        let patience = self.patience;
        // Answers of metadata services are not routed any further than to the host.
        let answer = in_namespace_of_host(&self.roots, LinkNameSpaceType::Network, || {
            providers::ask(provider, &Service::new(base, patience.round, patience.request))
        });
        self.failure = match answer {
            Some(Ok(row)) => {
                self.said = Some(row);
                None
            }
            Some(Err(error)) => Some(error.to_string()),
            None => Some("no thread".to_owned()),
        };
        self.schedule.asked(now, self.failure.is_none());
    }

    /// What is known. What was said before a failure still holds.
    fn row(&self, provider: Option<Provider>) -> Option<CloudInstance> {
        if provider.is_none() && self.overrides == CloudOverrides::default() {
            return None;
        }
        let mut row = self.said.clone().unwrap_or_else(providers::nothing);
        if let Some(provider) = provider {
            provider.name().clone_into(&mut row.provider);
        }
        let CloudOverrides { provider, region, availability_zone, instance_type, instance_life_cycle } =
            &self.overrides;
        for (own, given) in [
            (&mut row.provider, provider),
            (&mut row.region, region),
            (&mut row.availability_zone, availability_zone),
            (&mut row.instance_type, instance_type),
            (&mut row.instance_life_cycle, instance_life_cycle),
        ] {
            if let Some(given) = given {
                own.clone_from(given);
            }
        }
        Some(row)
    }
}

impl Source for CloudSource {
    fn name(&self) -> &'static str {
        "cloud"
    }

    fn interval(&self, base: Duration) -> Duration {
        base.max(INTERVAL)
    }

    fn capabilities(&self) -> CapabilitySet {
        self.roots.way_to_host()
    }

    fn measure(&mut self, _: &Subjects, rows: &mut Rows) -> Result<(), Unavailable> {
        let provider = Provider::detect(&self.roots);
        let now = Instant::now();
        if let Some(provider) = provider
            && self.schedule.is_due(now)
        {
            self.ask(provider, now);
        }
        let row = self.row(provider);
        if let Some(row) = row
            && self.told.as_ref() != Some(&row)
        {
            rows.push(row.clone());
            self.told = Some(row);
        }
        match (provider, &self.failure) {
            (Some(provider), Some(reason)) => {
                let name = provider.name();
                Err(Unavailable::failed(format!("the metadata service of {name} does not answer: {reason}")))
            }
            (None, _) if self.told.is_none() => {
                Err(Unavailable::off("the firmware names no cloud that is known"))
            }
            _ => Ok(()),
        }
    }
}

/// When to ask next: at once, then seldom; after failures ever more seldom.
#[derive(Debug, Default)]
struct Schedule {
    next: Option<Instant>,
    failures: u32,
}

impl Schedule {
    fn is_due(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| now >= next)
    }

    fn asked(&mut self, now: Instant, is_answered: bool) {
        self.failures = if is_answered { 0 } else { self.failures.saturating_add(1) };
        let pause = match self.failures {
            0 => ASK_AGAIN,
            failures => (INTERVAL * 2_u32.saturating_pow(failures.min(16) - 1)).min(ASK_AGAIN),
        };
        self.next = Some(now + pause);
    }
}

#[cfg(test)]
mod tests;
