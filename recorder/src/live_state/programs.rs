//! What is known of the programs that live processes run: what built them, and the state of Java virtual machines.
//!
//! Every row is of a process that is alive, so there are no more of them than of processes.

use std::collections::BTreeMap;

use aftertrace_schemas::Kind;
use aftertrace_schemas::tables::{Executable, JvmGcStats, JvmStats};

/// HotSpot has three collectors at most.
const COLLECTORS_LIMIT: usize = 8;

/// The programs of live processes, by process id.
#[derive(Debug, Default)]
pub(super) struct Programs {
    executables: BTreeMap<u32, Executable>,
    jvms: BTreeMap<u32, (JvmStats, BTreeMap<String, JvmGcStats>)>,
}

impl Programs {
    pub(super) fn executable(&mut self, row: &Executable) {
        self.executables.insert(row.pid, row.clone());
    }

    pub(super) fn jvm(&mut self, row: &JvmStats) {
        self.jvms.entry(row.pid).or_insert_with(|| (row.clone(), BTreeMap::new())).0 = row.clone();
    }

    pub(super) fn collector(&mut self, row: &JvmGcStats) {
        if let Some((_, collectors)) = self.jvms.get_mut(&row.pid)
            && (collectors.len() < COLLECTORS_LIMIT || collectors.contains_key(&row.gc))
        {
            collectors.insert(row.gc.clone(), row.clone());
        }
    }

    /// The process ended.
    pub(super) fn ended(&mut self, pid: u32) {
        self.executables.remove(&pid);
        self.jvms.remove(&pid);
    }

    /// The process runs another program: what that is built with will be told.
    pub(super) fn replaced(&mut self, pid: u32) {
        self.jvms.remove(&pid);
    }

    /// The rows that say it again.
    pub(super) fn snapshot(&self) -> impl Iterator<Item = Kind> + '_ {
        let jvms = self.jvms.values().flat_map(|(jvm, collectors)| {
            let collectors = collectors.values().cloned().map(Kind::JvmGcStats);
            std::iter::once(Kind::JvmStats(jvm.clone())).chain(collectors)
        });
        self.executables.values().cloned().map(Kind::Executable).chain(jvms)
    }
}
