//! What the filter admits, as user space sees it: the kernel filters events, this filters snapshots and
//! the control groups that the kernel reports regardless of the filter.

use std::collections::BTreeSet;

/// What is recorded.
#[derive(Debug, Default)]
pub(super) struct Scope {
    everything: bool,
    /// Control groups with all below them.
    roots: BTreeSet<String>,
}

impl Scope {
    /// Admits everything.
    pub(super) fn everything() -> Self {
        Self { everything: true, roots: BTreeSet::new() }
    }

    /// Admits nothing yet.
    pub(super) fn filtered() -> Self {
        Self::default()
    }

    /// Whether there is no filter.
    pub(super) fn is_everything(&self) -> bool {
        self.everything
    }

    /// Admits a control group with all below it. Returns whether that is news.
    pub(super) fn add_root(&mut self, path: &str) -> bool {
        self.roots.insert(path.to_owned())
    }

    /// Whether this control group itself was named, and not one above it.
    pub(super) fn is_root(&self, path: &str) -> bool {
        self.roots.contains(path)
    }

    /// The control groups that were admitted, for the manifest.
    pub(super) fn roots(&self) -> impl Iterator<Item = &str> {
        self.roots.iter().map(String::as_str)
    }

    /// Whether a control group is admitted by itself, whoever is in it.
    pub(super) fn admits_cgroup(&self, path: &str) -> bool {
        self.everything || self.roots.iter().any(|root| is_below(path, root))
    }
}

/// Whether `path` is `root` or a control group below it.
fn is_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_admits_itself_and_what_is_below_it_and_no_namesakes() {
        let mut scope = Scope::filtered();
        assert!(scope.add_root("/docker/abc"));
        assert!(!scope.add_root("/docker/abc"));
        assert!(scope.admits_cgroup("/docker/abc"));
        assert!(scope.admits_cgroup("/docker/abc/init"));
        assert!(!scope.admits_cgroup("/docker/abcdef"));
        assert!(!scope.admits_cgroup("/docker"));
    }

    #[test]
    fn the_root_group_admits_everything_below() {
        let mut scope = Scope::filtered();
        scope.add_root("/");
        assert!(scope.admits_cgroup("/system.slice/a.service"));
    }
}
