//! The verification as text.

use std::io::{self, Write};

use super::{Gap, Verdict, Verification};
use crate::format::{Align, Style, columns, count, duration, time};

/// Gaps beyond these are counted, not listed.
const GAPS_SHOWN: usize = 20;

pub(super) fn write(report: &Verification, out: &mut dyn Write, style: Style) -> io::Result<()> {
    let verdict = report.verdict.words();
    let verdict = match report.verdict {
        Verdict::Whole => style.good(verdict),
        Verdict::UsableWithGaps => style.warning(verdict),
        Verdict::Unusable => style.bad(verdict),
    };
    writeln!(out, "{}: {verdict}", report.trace)?;
    if report.order.observations > 0 {
        let length = u64::try_from(report.ended.saturating_sub(report.started)).unwrap_or_default();
        writeln!(out, "  {} to {} ({})", time(report.started), time(report.ended), duration(length))?;
        writeln!(
            out,
            "  {} observations read, {} known to be lost",
            count(report.order.observations),
            count(report.lost())
        )?;
    }
    section(out, style, "Missing", &gap_lines(&report.gaps))?;
    section(out, style, "Does not balance", &report.imbalances)?;
    let probes: Vec<String> = report
        .probes
        .iter()
        .map(|probe| format!("{} {}: {}", probe.probe, probe.state, probe.reason))
        .collect();
    section(out, style, "Probes without data", &probes)?;
    let steps: Vec<String> = report
        .clock_steps
        .iter()
        .map(|step| {
            format!(
                "{} wall clock now {:+.3} s off; times in the trace are not affected",
                time(step.time),
                step.offset_ns as f64 / 1e9
            )
        })
        .collect();
    section(out, style, "Clock steps", &steps)?;
    section(out, style, "Notes", &report.notes)?;
    if !report.ledger.is_empty() {
        writeln!(out, "\n{}", style.heading("Ledger: seen = filtered + submitted + dropped"))?;
        ledger(report, out)?;
    }
    if !report.groups.is_empty() {
        writeln!(
            out,
            "\n{}",
            style.heading("Rows in complete segments: rows + lost by the writer = recorded")
        )?;
        groups(report, out)?;
    }
    Ok(())
}

fn section(out: &mut dyn Write, style: Style, heading: &str, lines: &[String]) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", style.heading(heading))?;
    for line in lines {
        writeln!(out, "  {line}")?;
    }
    Ok(())
}

fn gap_lines(gaps: &[Gap]) -> Vec<String> {
    let mut lines: Vec<String> = gaps.iter().take(GAPS_SHOWN).map(gap_line).collect();
    if gaps.len() > GAPS_SHOWN {
        lines.push(format!("and {} more; --format json lists all", gaps.len() - GAPS_SHOWN));
    }
    lines
}

fn gap_line(gap: &Gap) -> String {
    let when = match (gap.from, gap.to) {
        (Some(from), Some(to)) => format!("{} to {}: ", time(from), time(to)),
        (Some(from), None) => format!("after {}: ", time(from)),
        (None, Some(to)) => format!("before {}: ", time(to)),
        (None, None) => String::new(),
    };
    let lost = gap.lost.map(|lost| format!("{} lost, ", count(lost))).unwrap_or_default();
    format!("{when}{lost}{}", gap.what)
}

fn ledger(report: &Verification, out: &mut dyn Write) -> io::Result<()> {
    let names = ["seen", "filtered", "submitted", "dropped", "received", "set aside", "recorded"];
    let headings: Vec<_> = std::iter::once(("program", Align::Left))
        .chain(names.into_iter().map(|name| (name, Align::Right)))
        .collect();
    let rows: Vec<Vec<String>> = report
        .ledger
        .iter()
        .map(|account| {
            let numbers = [
                account.seen,
                account.filtered,
                account.submitted,
                account.dropped,
                account.received,
                account.set_aside,
                account.recorded,
            ];
            std::iter::once(account.program.clone()).chain(numbers.into_iter().map(count)).collect()
        })
        .collect();
    columns(out, "  ", &headings, &rows)
}

fn groups(report: &Verification, out: &mut dyn Write) -> io::Result<()> {
    let names = ["rows", "lost by writer", "recorded"];
    let headings: Vec<_> = std::iter::once(("kind", Align::Left))
        .chain(names.into_iter().map(|name| (name, Align::Right)))
        .collect();
    let rows: Vec<Vec<String>> = report
        .groups
        .iter()
        .map(|account| {
            let numbers = [account.rows, account.lost_by_writer, account.recorded];
            std::iter::once(account.group.words().to_owned()).chain(numbers.into_iter().map(count)).collect()
        })
        .collect();
    columns(out, "  ", &headings, &rows)
}
