//! What runtimes and systemd say of a container, as far as metrics show it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use aftertrace_schemas::UnixNanos;
use aftertrace_schemas::column::Ip;
use aftertrace_schemas::tables::{ContainerSnapshot, SystemdUnit};

use crate::Limits;
use crate::endpoint::Endpoint;
use crate::losses::{Dropped, Drops};
use crate::metrics::{Collector, definitions};

/// What runtimes and systemd say of a container.
#[derive(Debug, Default)]
pub(crate) struct Description {
    image: Option<Arc<str>>,
    triggered_by: Option<Arc<str>>,
    unit_type: Option<Arc<str>>,
    /// Who listens on the host for the container.
    proxy: &'static str,
    /// Where.
    pub(super) bindings: BTreeSet<Endpoint>,
}

impl Description {
    /// Takes what a runtime says; what it does not say stays as it was.
    pub(crate) fn learn_container(
        &mut self,
        row: &ContainerSnapshot,
        limits: &Limits,
        drops: &mut Drops,
        now: UnixNanos,
    ) {
        if let Some(image) = row.image.as_deref().filter(|image| !image.is_empty()) {
            self.image = Some(drops.label(image, limits, now));
        }
        if let Some(bindings) = &row.port_bindings {
            // Docker's daemon is what listens; podman leaves it to helpers of its own.
            self.proxy = if row.runtime == "docker" { "dockerd" } else { "podman" };
            self.bindings.clear();
            for endpoint in bindings.iter().filter_map(|text| text.parse::<SocketAddr>().ok()) {
                if self.bindings.len() >= limits.listens {
                    drops.count(Dropped::Listens, now);
                    continue;
                }
                self.bindings.insert(Endpoint::new(Ip::from(endpoint.ip()), endpoint.port()));
            }
        }
    }

    /// Takes what systemd says.
    pub(crate) fn learn_unit(
        &mut self,
        row: &SystemdUnit,
        limits: &Limits,
        drops: &mut Drops,
        now: UnixNanos,
    ) {
        self.triggered_by = row.triggered_by.first().map(|unit| drops.label(unit, limits, now));
        self.unit_type = row.unit_type.as_deref().map(|unit_type| drops.label(unit_type, limits, now));
    }

    /// Takes over what is known of the same container under another id.
    pub(crate) fn merge(&mut self, other: Self) {
        let own = std::mem::replace(self, other);
        self.image = self.image.take().or(own.image);
        self.triggered_by = self.triggered_by.take().or(own.triggered_by);
        self.unit_type = self.unit_type.take().or(own.unit_type);
        if self.proxy.is_empty() {
            (self.proxy, self.bindings) = (own.proxy, own.bindings);
        }
    }

    /// Its image, when the runtime told.
    pub(crate) fn image(&self) -> Option<&Arc<str>> {
        self.image.as_ref()
    }

    /// Who listens on the host for the container.
    pub(super) fn proxy(&self) -> &'static str {
        self.proxy
    }

    pub(crate) fn collect(&self, collector: &mut Collector) {
        if self.image.is_none() && self.triggered_by.is_none() && self.unit_type.is_none() {
            return;
        }
        let text = |value: &Option<Arc<str>>| value.clone().unwrap_or_default();
        let labels = [
            ("image", text(&self.image)),
            ("systemd_triggered_by", text(&self.triggered_by)),
            ("systemd_type", text(&self.unit_type)),
        ];
        collector.add(&definitions::CONTAINER_INFO, labels, 1.0);
    }
}
