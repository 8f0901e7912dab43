//! The summary as text: at most 40 lines of 100 columns.

use std::io::{self, Write};

use super::{Summary, Talker};
use crate::format::{Align, Style, bytes, columns, count, duration, shorten, time};
use crate::verify::Verdict;

const WIDTH: usize = 100;
const CONTAINERS: usize = 10;
const TALKERS: usize = 8;
const FINDINGS: usize = 6;

pub(super) fn write(summary: &Summary, out: &mut dyn Write, style: Style) -> io::Result<()> {
    let report = &summary.verification;
    let length = u64::try_from(report.ended.saturating_sub(report.started)).unwrap_or_default();
    writeln!(out, "{}", style.heading(&shorten(&summary.host, WIDTH)))?;
    writeln!(out, "{} to {} ({})", time(report.started), time(report.ended), duration(length))?;
    writeln!(out, "{}", shorten(&format!("recorded: {}", summary.recorded), WIDTH))?;
    writeln!(out, "{}", completeness(summary, style))?;
    for note in &report.notes {
        writeln!(out, "{}", shorten(&format!("note: {note}"), WIDTH))?;
    }
    writeln!(out)?;
    writeln!(out, "{}", processes(summary))?;
    writeln!(out, "{}", connections(summary))?;
    containers(summary, out, style)?;
    talkers(summary, out, style)?;
    if !summary.findings.is_empty() {
        writeln!(out, "\n{}", style.heading("Findings"))?;
        for finding in summary.findings.iter().take(FINDINGS) {
            writeln!(out, "  {}", shorten(finding, WIDTH - 2))?;
        }
        more(out, summary.findings.len(), FINDINGS)?;
    }
    Ok(())
}

fn completeness(summary: &Summary, style: Style) -> String {
    let report = &summary.verification;
    let size = format!("{} observations in {}", count(report.order.observations), bytes(summary.bytes));
    let problems = report.gaps.len() + report.imbalances.len();
    match report.verdict {
        Verdict::Whole => format!("{}: nothing lost; {size}", style.good("complete")),
        Verdict::UsableWithGaps => {
            let lost = match report.lost() {
                0 => String::new(),
                lost => format!("{} lost, ", count(lost)),
            };
            let places = if problems == 1 { "1 gap" } else { &format!("{problems} gaps") };
            format!("{}: {lost}{places} (`analyze verify` lists them); {size}", style.warning("incomplete"))
        }
        Verdict::Unusable => style.bad("nothing can be read"),
    }
}

fn processes(summary: &Summary) -> String {
    let totals = &summary.totals;
    format!(
        "Processes    {} started, {} failed; {} OOM kills; {} files opened for writing",
        count(totals.processes_started),
        count(totals.processes_failed),
        count(totals.oom_kills),
        count(totals.files_opened),
    )
}

fn connections(summary: &Summary) -> String {
    let totals = &summary.totals;
    format!(
        "Connections  {} out, {} failed, {} in; {} retransmits",
        count(totals.connects),
        count(totals.failed_connects),
        count(totals.accepts),
        count(totals.retransmits),
    )
}

fn containers(summary: &Summary, out: &mut dyn Write, style: Style) -> io::Result<()> {
    if summary.containers.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", style.heading("Containers, busiest first"))?;
    let rows: Vec<Vec<String>> = summary
        .containers
        .iter()
        .take(CONTAINERS)
        .map(|container| {
            vec![
                shorten(&container.container, 48),
                count(container.processes),
                container.cpu_ns.map(duration).unwrap_or_default(),
                container.memory_bytes.map(bytes).unwrap_or_default(),
                some(container.restarts),
                some(container.oom_kills),
            ]
        })
        .collect();
    let headings = [
        ("container", Align::Left),
        ("processes", Align::Right),
        ("CPU", Align::Right),
        ("memory", Align::Right),
        ("restarts", Align::Right),
        ("OOM", Align::Right),
    ];
    columns(out, "  ", &headings, &rows)?;
    more(out, summary.containers.len(), CONTAINERS)
}

fn talkers(summary: &Summary, out: &mut dyn Write, style: Style) -> io::Result<()> {
    if summary.talkers.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", style.heading("Connections by destination, most first"))?;
    let rows: Vec<Vec<String>> = summary.talkers.iter().take(TALKERS).map(talker).collect();
    let headings = [
        ("from", Align::Left),
        ("to", Align::Left),
        ("connects", Align::Right),
        ("failed", Align::Right),
        ("retrans", Align::Right),
        ("sent", Align::Right),
        ("received", Align::Right),
        ("", Align::Left),
    ];
    columns(out, "  ", &headings, &rows)?;
    more(out, summary.talkers.len(), TALKERS)
}

fn talker(talker: &Talker) -> Vec<String> {
    let destination = talker.destination.map_or_else(|| "(others)".to_owned(), |to| to.to_string());
    vec![
        shorten(&talker.container, 20),
        shorten(&destination, 21),
        count(talker.connects),
        some(talker.failed),
        some(talker.retransmits),
        bytes(talker.bytes_sent),
        bytes(talker.bytes_received),
        shorten(talker.error.as_deref().unwrap_or_default(), 12),
    ]
}

/// Nothing instead of a zero: what is there stands out.
fn some(number: u64) -> String {
    if number == 0 { String::new() } else { count(number) }
}

fn more(out: &mut dyn Write, all: usize, shown: usize) -> io::Result<()> {
    match all.checked_sub(shown) {
        None | Some(0) => Ok(()),
        Some(more) => writeln!(out, "  and {} more", count(more as u64)),
    }
}
