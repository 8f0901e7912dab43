//! The ledger: what the kernel programs counted, against each other and against the rows of the trace.

use std::collections::BTreeMap;

use aftertrace_schemas::tables::LedgerEntry;
use serde::Serialize;

use super::Group;

/// The account of a kernel program, CPUs summed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Kernel program.
    pub program: String,
    /// Times it ran.
    pub seen: u64,
    /// Runs without a record.
    pub filtered: u64,
    /// Records handed to user space.
    pub submitted: u64,
    /// Records lost in the kernel, all causes.
    pub dropped: u64,
    /// Records that the recorder took.
    pub received: u64,
    /// Records that the recorder took and did not need.
    pub set_aside: u64,
    /// Records that became observations.
    pub recorded: u64,
}

impl Account {
    fn add(&mut self, row: &LedgerEntry) {
        self.seen += row.seen;
        self.filtered += row.filtered;
        self.submitted += row.submitted;
        self.dropped += dropped(row);
        self.received += row.received;
        self.set_aside += row.set_aside;
        self.recorded += row.recorded;
    }
}

fn dropped(row: &LedgerEntry) -> u64 {
    row.dropped_ring_full.saturating_add(row.dropped_map_full).saturating_add(row.dropped_read_fault)
}

/// Rows of a group against what its programs' accounts grew by, in the segments that are present and complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct GroupAccount {
    /// The group.
    pub group: Group,
    /// Rows in the trace.
    pub rows: u64,
    /// Observations that its programs' accounts say were recorded.
    pub recorded: u64,
    /// Rows that the writer lost, all groups of the same table.
    pub lost_by_writer: u64,
}

impl GroupAccount {
    /// Whether rows and accounts agree, but for what the writer said that it lost.
    pub fn balances(&self) -> bool {
        (self.rows..=self.rows.saturating_add(self.lost_by_writer)).contains(&self.recorded)
    }
}

type Key = (String, u32);

/// A segment's own part.
#[derive(Default)]
struct Part {
    number: u32,
    /// `recorded` where the segment begins and where it ends.
    growth: BTreeMap<Key, (u64, u64)>,
    /// Past the accounts with which the segment opens: one that first shows now began at nothing.
    opened: bool,
    rows: BTreeMap<Group, u64>,
    lost_rows: BTreeMap<String, u64>,
    complete: bool,
}

impl Part {
    fn group(&self, group: Group) -> GroupAccount {
        let of_group = |key: &Key| Group::of_program(&key.0) == Some(group);
        let recorded = self.growth.iter().filter(|(key, _)| of_group(key));
        GroupAccount {
            group,
            rows: self.rows.get(&group).copied().unwrap_or_default(),
            recorded: recorded.map(|(_, (from, to))| to.saturating_sub(*from)).sum(),
            lost_by_writer: group.tables().iter().filter_map(|table| self.lost_rows.get(*table)).sum(),
        }
    }

    /// Whether any program of the group has an account: else nothing can be compared.
    fn has(&self, group: Group) -> bool {
        self.growth.keys().any(|key| Group::of_program(&key.0) == Some(group))
    }
}

/// All accounts of a trace, gathered segment by segment.
#[derive(Default)]
pub(super) struct Accounts {
    latest: BTreeMap<Key, LedgerEntry>,
    parts: Vec<Part>,
    current: Part,
}

impl Accounts {
    pub(super) fn begin_segment(&mut self, number: u32) {
        self.current = Part { number, ..Part::default() };
    }

    pub(super) fn end_segment(&mut self, complete: bool) {
        self.current.complete = complete;
        self.parts.push(std::mem::take(&mut self.current));
    }

    pub(super) fn add_row(&mut self, group: Group) {
        *self.current.rows.entry(group).or_default() += 1;
    }

    pub(super) fn add_entry(&mut self, row: &LedgerEntry) {
        let key = (row.program.clone(), row.cpu);
        let opening = if self.current.opened { 0 } else { row.recorded };
        let growth = self.current.growth.entry(key.clone()).or_insert((opening, row.recorded));
        growth.1 = row.recorded;
        self.latest.insert(key, row.clone());
    }

    /// The snapshot that opens the segment is over.
    pub(super) fn end_opening(&mut self) {
        self.current.opened = true;
    }

    pub(super) fn add_lost_rows(&mut self, table: &str, lost: u64) {
        *self.current.lost_rows.entry(table.to_owned()).or_default() += lost;
    }

    /// The last account of each program.
    pub(super) fn ledger(&self) -> Vec<Account> {
        let mut accounts: BTreeMap<&str, Account> = BTreeMap::new();
        for ((program, _), row) in &self.latest {
            let account = accounts.entry(program).or_default();
            account.program.clone_from(program);
            account.add(row);
        }
        accounts.into_values().collect()
    }

    /// Rows against accounts, complete segments summed.
    pub(super) fn groups(&self) -> Vec<GroupAccount> {
        let of = |group: Group| {
            let parts = self.parts.iter().filter(|part| part.complete && part.has(group));
            parts.map(|part| part.group(group)).reduce(|a, b| GroupAccount {
                group,
                rows: a.rows + b.rows,
                recorded: a.recorded + b.recorded,
                lost_by_writer: a.lost_by_writer + b.lost_by_writer,
            })
        };
        Group::ALL.into_iter().filter_map(of).collect()
    }

    /// Segments whose rows are others than the accounts say.
    pub(super) fn segment_imbalances(&self) -> Vec<String> {
        let mut found = Vec::new();
        for part in self.parts.iter().filter(|part| part.complete) {
            let groups =
                Group::ALL.into_iter().filter(|group| part.has(*group)).map(|group| part.group(group));
            for account in groups.filter(|account| !account.balances()) {
                let GroupAccount { group, rows, recorded, lost_by_writer } = account;
                let (number, words) = (part.number, group.words());
                found.push(format!(
                    "segment {number}: {rows} rows of {words}, the ledger says {recorded} recorded, {lost_by_writer} lost by the writer"
                ));
            }
        }
        found
    }

    /// What must hold of each program's last account after a clean end.
    pub(super) fn final_imbalances(&self) -> Vec<String> {
        let mut found = Vec::new();
        for ((program, cpu), row) in &self.latest {
            let out = row.filtered.saturating_add(row.submitted).saturating_add(dropped(row));
            if row.seen != out {
                let (filtered, submitted, dropped) = (row.filtered, row.submitted, dropped(row));
                found.push(format!(
                    "{program} on CPU {cpu}: seen {} is not filtered {filtered} + submitted {submitted} + dropped {dropped}",
                    row.seen
                ));
            }
        }
        for account in self.ledger() {
            let Account { program, submitted, received, set_aside, recorded, .. } = account;
            if submitted != received {
                found.push(format!("{program}: {submitted} records submitted, {received} received"));
            }
            if received != set_aside.saturating_add(recorded) {
                found.push(format!(
                    "{program}: received {received} is not set aside {set_aside} + recorded {recorded}"
                ));
            }
        }
        found
    }
}
