//! The ledger: what the kernel programs counted, beside what arrived here and what became of it.

use std::collections::BTreeMap;

use aftertrace_schemas::column::Timestamp;
use aftertrace_schemas::tables::{LedgerEntry, Loss};
use aftertrace_schemas::{Kind, UnixNanos};

use crate::kernel::LedgerRow;

/// What user space did with the records of one program on one CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Received {
    received: u64,
    set_aside: u64,
    recorded: u64,
}

/// Accounts by program and CPU.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    /// By number of the account and by CPU; looked up for each event.
    received: Vec<Vec<Received>>,
    written: BTreeMap<(&'static str, u32), LedgerEntry>,
    losses: BTreeMap<(&'static str, &'static str), u64>,
    since: UnixNanos,
}

impl Accounts {
    /// Accounts that begin at `now`.
    pub(super) fn new(now: UnixNanos) -> Self {
        Self { since: now, ..Self::default() }
    }

    /// A record was taken from a ring.
    pub(super) fn received(&mut self, account: u16, cpu: u32) {
        self.update(account, cpu, |of| of.received += 1);
    }

    /// A record became an observation.
    pub(super) fn recorded(&mut self, account: u16, cpu: u32) {
        self.update(account, cpu, |of| of.recorded += 1);
    }

    /// A record turned out to be outside the filter.
    pub(super) fn set_aside(&mut self, account: u16, cpu: u32) {
        self.update(account, cpu, |of| of.set_aside += 1);
    }

    fn update(&mut self, account: u16, cpu: u32, update: impl FnOnce(&mut Received)) {
        let (account, cpu) = (usize::from(account), cpu as usize);
        if self.received.len() <= account {
            self.received.resize_with(account + 1, Vec::new);
        }
        let Some(of_account) = self.received.get_mut(account) else { return };
        if of_account.len() <= cpu {
            of_account.resize(cpu + 1, Received::default());
        }
        if let Some(of_cpu) = of_account.get_mut(cpu) {
            update(of_cpu);
        }
    }

    fn of(&self, account: u16, cpu: u32) -> Received {
        let of_account = self.received.get(usize::from(account));
        of_account.and_then(|of_account| of_account.get(cpu as usize)).copied().unwrap_or_default()
    }

    /// The rows to write: those that changed since they were last written, or all of them.
    pub(super) fn rows(&mut self, ledger: &[LedgerRow], all: bool) -> Vec<Kind> {
        let mut rows = Vec::new();
        for row in ledger {
            let key = (row.program, row.cpu);
            let here = self.of(row.account, row.cpu);
            let entry = LedgerEntry {
                program: row.program.to_owned(),
                cpu: row.cpu,
                seen: row.seen,
                filtered: row.filtered,
                submitted: row.submitted,
                dropped_ring_full: row.dropped_ring_full,
                dropped_map_full: row.dropped_map_full,
                dropped_read_fault: row.dropped_read_fault,
                received: here.received,
                set_aside: here.set_aside,
                recorded: here.recorded,
            };
            if all || self.written.get(&key) != Some(&entry) {
                self.written.insert(key, entry.clone());
                rows.push(Kind::Ledger(entry));
            }
        }
        rows
    }

    /// Losses in the kernel since the last call, by program and cause, with the interval in which they happened.
    pub(super) fn losses(
        &mut self,
        ledger: &[LedgerRow],
        missed: impl Iterator<Item = (&'static str, u64)>,
        now: UnixNanos,
    ) -> Vec<Kind> {
        let mut totals: BTreeMap<(&'static str, &'static str), u64> = BTreeMap::new();
        for row in ledger {
            for (cause, lost) in [
                ("ring_full", row.dropped_ring_full),
                ("map_full", row.dropped_map_full),
                ("read_fault", row.dropped_read_fault),
            ] {
                *totals.entry((row.program, cause)).or_default() += lost;
            }
        }
        for (program, missed) in missed {
            *totals.entry((program, "recursion")).or_default() += missed;
        }
        let from = std::mem::replace(&mut self.since, now);
        let mut rows = Vec::new();
        for ((program, cause), total) in totals {
            let before = self.losses.insert((program, cause), total).unwrap_or_default();
            let lost = total.saturating_sub(before);
            if lost > 0 {
                rows.push(Kind::Loss(Loss {
                    source: format!("kernel/{program}"),
                    cause: cause.to_owned(),
                    subject: Some(program.to_owned()),
                    lost,
                    from: Timestamp(from),
                    to: Timestamp(now),
                }));
            }
        }
        rows
    }

    /// Records lost in the kernel in all.
    pub(super) fn lost(&self) -> u64 {
        self.losses.values().sum()
    }
}
