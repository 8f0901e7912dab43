//! Gathers series into families: labels that all series share, one order for everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::definitions::Definition;
use super::{Family, Label, Series};

/// Gathers series into families.
pub(crate) struct Collector {
    shared: Vec<Label>,
    families: BTreeMap<&'static str, Family>,
}

impl Collector {
    /// Every series gets the `shared` labels.
    pub(crate) fn new(shared: Vec<Label>) -> Self {
        Self { shared, families: BTreeMap::new() }
    }

    /// All further series also get the labels of a container.
    pub(crate) fn begin_container(&mut self, id: &Arc<str>) {
        self.end_container();
        self.shared.push(("container_id", id.clone()));
        // coroot-node-agent puts the OpenTelemetry service name here when it differs from the id. There is none here.
        self.shared.push(("app_id", "".into()));
    }

    /// Ends what [`Self::begin_container`] began.
    pub(crate) fn end_container(&mut self) {
        self.shared.retain(|(name, _)| !matches!(*name, "container_id" | "app_id"));
    }

    /// Adds one series.
    pub(crate) fn add(
        &mut self,
        definition: &'static Definition,
        own: impl IntoIterator<Item = Label>,
        value: f64,
    ) {
        let mut labels: Vec<Label> = self.shared.iter().cloned().chain(own).collect();
        labels.sort_unstable_by_key(|(name, _)| *name);
        let Definition { name, help, kind } = *definition;
        let family =
            self.families.entry(name).or_insert_with(|| Family { name, help, kind, series: Vec::new() });
        family.series.push(Series { labels, value });
    }

    /// The families sorted by name, their series by labels.
    pub(crate) fn finish(self) -> Vec<Family> {
        let mut families: Vec<Family> = self.families.into_values().collect();
        for family in &mut families {
            family.series.sort_by(|a, b| a.labels.cmp(&b.labels));
        }
        families
    }
}
