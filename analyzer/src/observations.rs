//! The observations of a trace in their one order: a merge of all tables, segment by segment, by sequence number.
//!
//! Tables are read as streams. Neighbours in the order mostly stand in the same table, so the merge takes a run from one
//! table for as long as its rows come before the first row of every other.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use aftertrace_schemas::{Batch, Observation, TableId};
use serde::Serialize;

use crate::table_file::Batches;
use crate::trace::Segment;
use crate::{Damage, Trace};

/// What the sequence numbers say of the order, as far as it was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Order {
    /// Observations.
    pub observations: u64,
    /// First sequence number.
    pub first_seq: Option<u64>,
    /// Greatest sequence number.
    pub last_seq: Option<u64>,
    /// Numbers between the first and the greatest that no row has.
    pub missing: u64,
    /// Rows whose number an earlier row has too.
    pub repeated: u64,
    /// Rows whose number is less than that of the row before them.
    pub out_of_order: u64,
}

impl Order {
    fn add(&mut self, seq: u64) {
        self.observations += 1;
        self.first_seq.get_or_insert(seq);
        match self.last_seq {
            Some(last) if seq == last => self.repeated += 1,
            Some(last) if seq < last => self.out_of_order += 1,
            Some(last) => {
                self.missing += seq - last - 1;
                self.last_seq = Some(seq);
            }
            None => self.last_seq = Some(seq),
        }
    }
}

struct Source<'t> {
    name: &'t str,
    table: TableId,
    batches: Batches,
    batch: Batch,
    row: usize,
}

impl Source<'_> {
    fn seq(&self) -> Option<u64> {
        self.batch.seq(self.row)
    }

    /// Reads on to the next row. False at the end of the file.
    fn refill(&mut self) -> Result<bool, String> {
        while let Some(batch) = self.batches.next(self.table)? {
            if !batch.is_empty() {
                self.batch = batch;
                self.row = 0;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A run of rows from one table: up to `limit`, the first row of the others.
#[derive(Clone, Copy)]
struct Run {
    source: usize,
    limit: u64,
}

/// Iterates over the observations of a trace. Damaged files end early, and are listed.
pub struct Observations<'t> {
    segments: std::slice::Iter<'t, Segment>,
    tables: Option<&'t [TableId]>,
    sources: Vec<Source<'t>>,
    heads: BinaryHeap<Reverse<(u64, usize)>>,
    run: Option<Run>,
    segment: Option<&'t Segment>,
    damage: Vec<Damage>,
    order: Order,
}

impl Trace {
    /// All observations, in order.
    pub fn observations(&self) -> Observations<'_> {
        Observations::new(&self.segments, None)
    }

    /// The observations from the segment with index `first` on, in order: each segment can be understood by itself.
    pub fn observations_from(&self, first: usize) -> Observations<'_> {
        Observations::new(self.segments.get(first..).unwrap_or_default(), None)
    }

    /// The observations of some tables, in order.
    pub fn observations_of<'t>(&'t self, tables: &'t [TableId]) -> Observations<'t> {
        Observations::new(&self.segments, Some(tables))
    }
}

impl<'t> Observations<'t> {
    fn new(segments: &'t [Segment], tables: Option<&'t [TableId]>) -> Self {
        Self {
            segments: segments.iter(),
            tables,
            sources: Vec::new(),
            heads: BinaryHeap::new(),
            run: None,
            segment: None,
            damage: Vec::new(),
            order: Order::default(),
        }
    }

    /// The observations of one segment; the order goes on from `order`.
    pub(crate) fn of_segment(segment: &'t Segment, order: Order) -> Self {
        Self { order, ..Self::new(std::slice::from_ref(segment), None) }
    }

    /// What could not be read so far.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// What the order looks like so far.
    pub fn order(&self) -> Order {
        self.order
    }

    /// The segment of the observation that came last.
    pub fn segment(&self) -> Option<&'t Segment> {
        self.segment
    }

    /// False when there is no further segment.
    fn open_next_segment(&mut self) -> bool {
        let Some(segment) = self.segments.next() else { return false };
        self.segment = Some(segment);
        self.sources.clear();
        for file in &segment.tables {
            if self.tables.is_some_and(|tables| !tables.contains(&file.table)) {
                continue;
            }
            let opened = Batches::open(file).and_then(|mut batches| {
                let first = batches.next(file.table)?;
                Ok(first.map(|batch| Source { name: &file.name, table: file.table, batches, batch, row: 0 }))
            });
            match opened {
                Ok(Some(source)) => {
                    self.heads.extend(source.seq().map(|seq| Reverse((seq, self.sources.len()))));
                    self.sources.push(source);
                }
                Ok(None) => {}
                Err(reason) => self.damage.push(Damage { file: file.name.clone(), reason }),
            }
        }
        true
    }

    fn begin_run(&mut self) -> bool {
        let Some(Reverse((_, source))) = self.heads.pop() else { return false };
        let limit = self.heads.peek().map_or(u64::MAX, |Reverse((seq, _))| *seq);
        self.run = Some(Run { source, limit });
        true
    }
}

impl Iterator for Observations<'_> {
    type Item = Observation;

    fn next(&mut self) -> Option<Observation> {
        loop {
            let Some(run) = self.run else {
                if !self.begin_run() && !self.open_next_segment() {
                    return None;
                }
                continue;
            };
            let source = self.sources.get_mut(run.source)?;
            match source.seq() {
                Some(seq) if seq <= run.limit => {
                    let observation = source.batch.observation(source.row)?;
                    source.row += 1;
                    self.order.add(seq);
                    return Some(observation);
                }
                Some(seq) => {
                    self.heads.push(Reverse((seq, run.source)));
                    self.run = None;
                }
                None => match source.refill() {
                    Ok(true) => {}
                    Ok(false) => self.run = None,
                    Err(reason) => {
                        self.damage.push(Damage { file: source.name.to_owned(), reason });
                        self.run = None;
                    }
                },
            }
        }
    }
}
