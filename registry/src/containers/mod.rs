//! All containers: found by the path of a control group, named by what the runtime says, merged when two names turn out
//! to be one, forgotten some time after their last process.

mod container;
mod description;
mod destinations;
mod disks;
mod group_counters;
mod identities;
mod jvms;
mod listens;
mod usage;
mod waiting;

use std::sync::Arc;

use aftertrace_schemas::UnixNanos;

pub(crate) use container::Container;
pub(crate) use destinations::Destination;
pub(crate) use identities::Identities;
pub(crate) use jvms::Jvms;
pub(crate) use listens::{ListenKey, NamespaceAddresses};
pub(crate) use waiting::Delays;

use crate::Config;
use crate::losses::{Dropped, Drops};
use crate::maps::OrderedMap;

/// How long a container is kept after its last process, and a destination or listening address after its last use.
pub(crate) const RETENTION_NS: i64 = 600_000_000_000;

/// Place of a container in [`Containers`]; used again after the container was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ContainerIndex(u32);

/// All containers.
#[derive(Debug, Default)]
pub(crate) struct Containers {
    slots: Vec<Option<Box<Container>>>,
    free: Vec<ContainerIndex>,
    by_id: OrderedMap<Arc<str>, ContainerIndex>,
}

impl Containers {
    pub(crate) fn get(&self, index: ContainerIndex) -> Option<&Container> {
        self.slots.get(index.0 as usize)?.as_deref()
    }

    pub(crate) fn get_mut(&mut self, index: ContainerIndex) -> Option<&mut Container> {
        self.slots.get_mut(index.0 as usize)?.as_deref_mut()
    }

    pub(crate) fn by_id(&self, id: &str) -> Option<ContainerIndex> {
        self.by_id.get(id).copied()
    }

    /// The container with this id, new if need be; `None` when there are too many.
    pub(crate) fn entry(
        &mut self,
        id: Arc<str>,
        time: UnixNanos,
        config: &Config,
        drops: &mut Drops,
    ) -> Option<ContainerIndex> {
        if let Some(index) = self.by_id(&id) {
            return Some(index);
        }
        if self.by_id.len() >= config.limits.containers {
            drops.count(Dropped::Containers, time);
            return None;
        }
        let container = Some(Box::new(Container::new(id.clone(), config.admits(&id), time)));
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                let index = ContainerIndex(u32::try_from(self.slots.len()).ok()?);
                self.slots.push(None);
                index
            }
        };
        *self.slots.get_mut(index.0 as usize)? = container;
        self.by_id.insert(id, index);
        Some(index)
    }

    pub(crate) fn remove(&mut self, index: ContainerIndex) -> Option<Box<Container>> {
        let container = self.slots.get_mut(index.0 as usize)?.take()?;
        self.by_id.swap_remove(&container.id);
        self.free.push(index);
        Some(container)
    }

    /// Gives the container another id that no container has.
    pub(crate) fn rename(&mut self, index: ContainerIndex, id: Arc<str>, config: &Config) {
        let Some(container) = self.slots.get_mut(index.0 as usize).and_then(Option::as_deref_mut) else {
            return;
        };
        self.by_id.swap_remove(&container.id);
        container.is_admitted = config.admits(&id);
        container.id = id.clone();
        self.by_id.insert(id, index);
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Sorted by id.
    pub(crate) fn sorted(&self) -> Vec<(ContainerIndex, &Container)> {
        let mut all: Vec<_> = self
            .by_id
            .values()
            .filter_map(|index| self.get(*index).map(|container| (*index, container)))
            .collect();
        all.sort_unstable_by(|(_, a), (_, b)| a.id.cmp(&b.id));
        all
    }

    /// In no meaningful order, for changes of each by itself.
    pub(crate) fn each_mut(&mut self) -> impl Iterator<Item = &mut Container> {
        self.slots.iter_mut().filter_map(Option::as_deref_mut)
    }
}
