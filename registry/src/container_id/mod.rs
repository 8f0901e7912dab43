//! Which container a process is in, from the path of its control group and what the runtime says.
//!
//! In: text of /proc/PID/cgroup, paths, [`ContainerSnapshot`]s, a time. Out: the path that decides ([`process_cgroup`]), what
//! kind of thing it belongs to ([`classify`]), and the container's id ([`container_id`]). Pure functions.

mod classify;
mod identity;
mod process_cgroup;

#[cfg(doc)]
use aftertrace_schemas::tables::ContainerSnapshot;

pub use classify::{CgroupKind, classify, unit_name};
pub use identity::{container_id, is_system_service, is_task};
pub use process_cgroup::process_cgroup;

#[cfg(test)]
mod tests;
