//! What is in a trace: manifest, options, probes, losses, tables with rows and bytes.

use std::collections::BTreeMap;
use std::io::Write;

use aftertrace_schemas::manifest::{Host, Manifest, Options, Probe, Retired};
use aftertrace_schemas::{Kind, TableId};
use serde::Serialize;

use crate::format::{Align, bytes, columns, count, duration, time};
use crate::{Damage, ReportError, ReportFormat, Trace};

/// What is in a trace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Info {
    /// What the user called the trace.
    pub trace: String,
    /// Version of its format.
    pub format_version: Option<u32>,
    /// Version of aftertrace that wrote it.
    pub recorder_version: Option<String>,
    /// The host.
    pub host: Option<Host>,
    /// First moment, Unix nanoseconds.
    pub started: i64,
    /// Last moment, Unix nanoseconds.
    pub ended: i64,
    /// Whether the recorder ended by itself.
    pub ended_cleanly: bool,
    /// Why it ended.
    pub end_reason: Option<String>,
    /// What was asked for.
    pub options: Option<Options>,
    /// Probes and sources, with their last state.
    pub probes: Vec<Probe>,
    /// Lost observations, by `source/cause`.
    pub losses: BTreeMap<String, u64>,
    /// What retention dropped.
    pub retired: Option<Retired>,
    /// Number of segments.
    pub segments: usize,
    /// Tables that have rows.
    pub tables: Vec<TableInfo>,
    /// Files that cannot be read.
    pub damage: Vec<Damage>,
    /// Other things worth knowing.
    pub notes: Vec<String>,
}

/// A table in all segments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableInfo {
    /// Its name.
    pub table: &'static str,
    /// Rows in all segments.
    pub rows: u64,
    /// Bytes on disk in all segments.
    pub bytes: u64,
    /// What a row is.
    pub what: &'static str,
}

impl Info {
    /// Reads the manifest and the small tables, not the events.
    pub fn new(trace: &Trace) -> Self {
        let manifest = trace.manifest.as_ref();
        let mut probes = Latest::new(manifest);
        let mut losses = BTreeMap::new();
        let mut observations = trace.observations_of(&[TableId::Probe, TableId::Loss]);
        for observation in observations.by_ref() {
            match observation.kind {
                Kind::Probe(row) => probes.set(Probe {
                    probe: row.probe,
                    state: row.state.to_string(),
                    reason: row.reason.filter(|reason| !reason.is_empty()),
                }),
                Kind::Loss(row) => {
                    *losses.entry(format!("{}/{}", row.source, row.cause)).or_default() += row.lost
                }
                _ => {}
            }
        }
        // The manifest knows of retired segments too; the rows, of what came after it was last written.
        for (source, lost) in manifest.iter().flat_map(|manifest| &manifest.losses) {
            let known: &mut u64 = losses.entry(source.clone()).or_default();
            *known = (*known).max(*lost);
        }
        let mut damage = trace.damage.clone();
        damage.extend_from_slice(observations.damage());
        Self {
            trace: trace.name.clone(),
            format_version: manifest.map(|manifest| manifest.format_version),
            recorder_version: manifest.map(|manifest| manifest.recorder_version.clone()),
            host: manifest.map(|manifest| manifest.host.clone()),
            started: trace.started(),
            ended: trace.ended(),
            ended_cleanly: trace.ended_cleanly(),
            end_reason: manifest.and_then(|manifest| manifest.end_reason.clone()),
            options: manifest.map(|manifest| manifest.options.clone()),
            probes: probes.0,
            losses,
            retired: manifest.map(|manifest| manifest.retired),
            segments: trace.segments.len(),
            tables: tables(trace),
            damage,
            notes: trace.notes.clone(),
        }
    }

    /// Prints it.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn write(&self, out: &mut dyn Write, format: ReportFormat) -> Result<(), ReportError> {
        match format {
            ReportFormat::Json => {
                serde_json::to_writer_pretty(&mut *out, self)?;
                writeln!(out)?;
            }
            ReportFormat::Text => self.write_text(out)?,
        }
        Ok(())
    }

    fn write_text(&self, out: &mut dyn Write) -> std::io::Result<()> {
        writeln!(out, "Trace      {}", self.trace)?;
        if let (Some(format), Some(recorder)) = (self.format_version, &self.recorder_version) {
            writeln!(out, "Format     version {format}, written by aftertrace {recorder}")?;
        }
        if let Some(host) = &self.host {
            writeln!(
                out,
                "Host       {}, {}, kernel {}",
                host.hostname, host.architecture, host.kernel_version
            )?;
            writeln!(out, "           machine {}, boot {}", host.machine_id, host.boot_id)?;
        }
        let length = u64::try_from(self.ended.saturating_sub(self.started)).unwrap_or_default();
        writeln!(out, "Time       {} to {} ({})", time(self.started), time(self.ended), duration(length))?;
        let end = match (&self.end_reason, self.ended_cleanly) {
            (Some(reason), true) => reason.as_str(),
            (None, true) => "cleanly",
            (_, false) => "not ended cleanly: still recording, or the recorder was killed",
        };
        writeln!(out, "Ended      {end}")?;
        if let Some(options) = &self.options {
            writeln!(out, "Recorded   {}", filters(options))?;
            writeln!(out, "Caps       {}", caps(options))?;
        }
        if let Some(retired) = self.retired.filter(|retired| retired.segments > 0) {
            let (segments, rows) = (count(retired.segments), count(retired.rows));
            writeln!(out, "Retired    {segments} segments, {rows} rows, {}", bytes(retired.bytes))?;
        }
        let active = self.probes.iter().filter(|probe| probe.state == "active").count();
        writeln!(out, "Probes     {active} of {} active", self.probes.len())?;
        for probe in self.probes.iter().filter(|probe| probe.state != "active") {
            writeln!(
                out,
                "           {} {}: {}",
                probe.probe,
                probe.state,
                probe.reason.as_deref().unwrap_or("no reason")
            )?;
        }
        let lost: u64 = self.losses.values().sum();
        writeln!(out, "Losses     {}", if lost == 0 { "none".to_owned() } else { count(lost) })?;
        for (source, lost) in self.losses.iter().filter(|(_, lost)| **lost > 0) {
            writeln!(out, "           {source}: {}", count(*lost))?;
        }
        for damage in &self.damage {
            writeln!(out, "Damaged    {damage}")?;
        }
        for note in &self.notes {
            writeln!(out, "Note       {note}")?;
        }
        writeln!(out, "\n{} segments", self.segments)?;
        let rows: Vec<Vec<String>> = self
            .tables
            .iter()
            .map(|table| {
                let each = table.bytes as f64 / table.rows.max(1) as f64;
                vec![table.table.to_owned(), count(table.rows), bytes(table.bytes), format!("{each:.1}")]
            })
            .collect();
        let headings = [
            ("table", Align::Left),
            ("rows", Align::Right),
            ("on disk", Align::Right),
            ("bytes a row", Align::Right),
        ];
        columns(out, "  ", &headings, &rows)
    }
}

/// Probes by name in the order of their first mention, each with its latest state.
struct Latest(Vec<Probe>);

impl Latest {
    fn new(manifest: Option<&Manifest>) -> Self {
        Self(manifest.map(|manifest| manifest.probes.clone()).unwrap_or_default())
    }

    fn set(&mut self, probe: Probe) {
        match self.0.iter_mut().find(|known| known.probe == probe.probe) {
            Some(known) => *known = probe,
            None => self.0.push(probe),
        }
    }
}

fn tables(trace: &Trace) -> Vec<TableInfo> {
    let of = |table: TableId| TableInfo {
        table: table.name(),
        rows: trace.files_of(table).map(|file| file.rows).sum(),
        bytes: trace.files_of(table).map(|file| file.bytes).sum(),
        what: table.doc().trim(),
    };
    TableId::ALL.iter().copied().map(of).filter(|table| table.rows > 0).collect()
}

/// What was asked for, in words.
pub(crate) fn filters(options: &Options) -> String {
    let mut words = Vec::new();
    if !options.command.is_empty() {
        words.push(format!("the command `{}`", options.command.join(" ")));
    }
    words.extend(options.cgroups.iter().map(|path| format!("control group {path}")));
    words.extend(options.containers.iter().map(|regex| format!("containers matching {regex}")));
    words.extend(options.pids.iter().map(|pid| format!("process {pid} and its descendants")));
    if words.is_empty() { "the whole host".to_owned() } else { words.join(", ") }
}

fn caps(options: &Options) -> String {
    let mut words = Vec::new();
    words.extend(options.max_bytes.map(bytes));
    words.extend(options.max_age_s.map(|seconds| duration(seconds.saturating_mul(1_000_000_000))));
    words.push(format!("journal every {} ms", options.journal_interval_ms));
    words.join(", ")
}
