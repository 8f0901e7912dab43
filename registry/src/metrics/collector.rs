//! Gathers series by family: labels that all series share, one order for everything.

use std::sync::Arc;

use super::definitions::{self, Definition};
use super::limiter::SeriesCounts;
use super::{Family, Label, Series, Value};

/// A series before it is known whether its family is too large.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Gathered {
    /// Number of its container in the order of ids, from 1; 0 when it is of none.
    pub(super) container: u32,
    /// What decides who is shown when not all can be: the heaviest.
    pub(super) weight: f64,
    /// What it is remembered by, and whether one of its labels is that of the rest: set by the limiter where needed.
    pub(super) key: u64,
    pub(super) has_other: bool,
    /// Whether it stands for others already.
    pub(super) is_rest: bool,
    pub(super) series: Series,
}

impl Gathered {
    /// Of no container, with no weight.
    pub(super) fn new(series: Series) -> Self {
        Self { container: 0, weight: 0.0, key: 0, has_other: false, is_rest: false, series }
    }
}

/// Labels of where containers run. They are the same for all, and tell no series apart.
pub(super) const PLACE: [&str; 2] = ["az", "region"];

/// Gathers series by family.
pub(crate) struct Collector {
    /// Labels of every series, then those of the container.
    shared: Vec<Label>,
    constant: usize,
    /// Where the containers run: labels of their series, and of no others.
    place: Vec<Label>,
    container: u32,
    weight: Option<f64>,
    /// By index of the definition, as the next two are.
    families: Vec<Vec<Gathered>>,
    counts: Vec<SeriesCounts>,
    /// Whether the family's series are kept, or only counted.
    wanted: Vec<bool>,
}

impl Collector {
    /// Every series gets the `shared` labels.
    pub(crate) fn new(shared: Vec<Label>) -> Self {
        Self::of(shared, vec![true; definitions::ALL.len()])
    }

    /// Only counts how many series there are.
    pub(crate) fn counting() -> Self {
        Self::of(Vec::new(), vec![false; definitions::ALL.len()])
    }

    /// Keeps series of the families that are `wanted`, by index of the definition.
    pub(crate) fn of(shared: Vec<Label>, wanted: Vec<bool>) -> Self {
        let families = definitions::ALL.iter().map(|_| Vec::new()).collect();
        let counts = vec![SeriesCounts::default(); definitions::ALL.len()];
        let constant = shared.len();
        Self { shared, constant, place: Vec::new(), container: 0, weight: None, families, counts, wanted }
    }

    /// Series of containers get these labels: see [`PLACE`].
    pub(crate) fn set_place(&mut self, place: Vec<Label>) {
        self.place = place;
    }

    /// All further series also get the labels of a container. To be called in the order of ids.
    pub(crate) fn begin_container(&mut self, id: &Arc<str>) {
        self.end_container();
        self.container += 1;
        // coroot-node-agent puts the OpenTelemetry service name here when it differs from the id. There is none here.
        self.shared.push(("app_id", "".into()));
        self.shared.push(("container_id", id.clone()));
        self.shared.extend_from_slice(&self.place);
    }

    /// All further series also get the labels of where containers run.
    pub(crate) fn begin_placed(&mut self) {
        self.end_container();
        self.shared.extend_from_slice(&self.place);
    }

    /// Ends what [`Self::begin_container`] or [`Self::begin_placed`] began.
    pub(crate) fn end_container(&mut self) {
        self.shared.truncate(self.constant);
    }

    /// Further series weigh this much, so that the same ones are shown in families that belong together. Without it, a
    /// series weighs its value.
    pub(crate) fn weigh(&mut self, weight: Option<f64>) {
        self.weight = weight;
    }

    /// Adds one series.
    pub(crate) fn add(
        &mut self,
        definition: &'static Definition,
        own: impl IntoIterator<Item = Label>,
        value: impl Into<Value>,
    ) {
        let value = value.into();
        let is_of_container = self.shared.len() > self.constant + self.place.len();
        let container = if is_of_container { self.container } else { 0 };
        if let Some(counts) = self.counts.get_mut(definition.index) {
            counts.add(container);
        }
        if !self.wanted.get(definition.index).is_some_and(|wanted| *wanted) {
            return;
        }
        let own = own.into_iter();
        let mut labels: Vec<Label> = Vec::with_capacity(self.shared.len() + own.size_hint().0);
        labels.extend_from_slice(&self.shared);
        labels.extend(own);
        labels.sort_unstable_by_key(|(name, _)| *name);
        #[cfg(test)]
        check(definition, &labels, &self.shared);
        let weight = self.weight.unwrap_or_else(|| value.number()).max(0.0);
        if let Some(family) = self.families.get_mut(definition.index) {
            let series = Series { labels, value };
            family.push(Gathered { container, weight, ..Gathered::new(series) });
        }
    }

    /// How many series each family has, by index of the definition.
    pub(super) fn counts(&self) -> &[SeriesCounts] {
        &self.counts
    }

    /// The families in the order of their definitions, each sorted by container and labels.
    pub(super) fn into_families(
        self,
    ) -> impl Iterator<Item = (&'static Definition, SeriesCounts, Vec<Gathered>)> {
        definitions::ALL.iter().zip(self.counts).zip(self.families).map(
            |((definition, counts), mut series)| {
                sort(&mut series);
                (*definition, counts, series)
            },
        )
    }

    /// The families that have series, however many.
    pub(crate) fn finish(self) -> Vec<Family> {
        let families = self.into_families().filter(|(_, _, series)| !series.is_empty());
        families.map(|(definition, _, series)| family(definition, series)).collect()
    }
}

/// The family of these series.
pub(super) fn family(definition: &'static Definition, series: Vec<Gathered>) -> Family {
    let Definition { name, help, kind, .. } = *definition;
    Family { name, help, kind, series: series.into_iter().map(|one| one.series).collect() }
}

/// By container, then by labels.
pub(super) fn sort(family: &mut [Gathered]) {
    family.sort_by(|a, b| a.container.cmp(&b.container).then_with(|| a.series.labels.cmp(&b.series.labels)));
}

/// Documentation and the limiter rest on what the definition says.
#[cfg(test)]
fn check(definition: &Definition, labels: &[Label], shared: &[Label]) {
    let own = labels.iter().map(|(name, _)| *name);
    let own: Vec<_> = own.filter(|name| !shared.iter().any(|(of_all, _)| of_all == name)).collect();
    let mut defined = definition.labels.to_vec();
    defined.sort_unstable();
    assert_eq!(own, defined, "labels of {} are not those of its definition", definition.name);
    assert!(definition.kept.iter().all(|kept| defined.contains(kept)), "{}", definition.name);
}
