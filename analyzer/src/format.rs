//! Numbers, times and columns as people read them.

use std::io::{self, Write};

use aftertrace_schemas::UnixNanos;
use chrono::{DateTime, SecondsFormat};

/// Whether text may carry colour. The terminal is the caller's to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// Bare text.
    #[default]
    Plain,
    /// ANSI colours.
    Colour,
}

impl Style {
    fn wrap(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }

    /// A heading.
    pub fn heading(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// All is well.
    pub fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// Worth a look.
    pub fn warning(self, text: &str) -> String {
        self.wrap("33", text)
    }

    /// Something failed.
    pub fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }
}

/// `1234567` as `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in binary units, three digits: `1.44 MiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    for next in units {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.decimals$} {unit}")
}

/// A length of time: `1h 02m`, `3m 05s`, `12.3s`, `250 ms`.
pub fn duration(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    match seconds {
        0 if ns < 1_000_000 => format!("{} us", ns / 1000),
        0 => format!("{} ms", ns / 1_000_000),
        1..60 => format!("{:.1}s", ns as f64 / 1e9),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A moment in UTC, to the millisecond.
pub fn time(time: UnixNanos) -> String {
    DateTime::from_timestamp_nanos(time).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// As [`time`], to the microsecond; nanoseconds before 1970 or after 2554 are not.
pub fn precise_time(unix_ns: u64) -> String {
    let time = DateTime::from_timestamp_nanos(i64::try_from(unix_ns).unwrap_or(i64::MAX));
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Cuts text in its middle, so that both the beginning and the end of a path stay.
pub fn shorten(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(1);
    let head = kept / 2;
    let tail = kept - head;
    let mut short: String = text.chars().take(head).collect();
    short.push('…');
    short.extend(text.chars().skip(length - tail));
    short
}

/// On which side a column's cells stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Prints aligned columns under their headings, each line after `indent`.
///
/// # Errors
/// When `out` fails.
pub fn columns(
    out: &mut dyn Write,
    indent: &str,
    headings: &[(&str, Align)],
    rows: &[Vec<String>],
) -> io::Result<()> {
    let width = |column: usize, heading: &str| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([heading.chars().count()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> =
        headings.iter().enumerate().map(|(column, (heading, _))| width(column, heading)).collect();
    let titles: Vec<String> = headings.iter().map(|(heading, _)| (*heading).to_owned()).collect();
    for row in std::iter::once(&titles).chain(rows) {
        let mut line = indent.to_owned();
        for ((cell, width), (_, align)) in row.iter().zip(&widths).zip(headings) {
            let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
            match align {
                Align::Left => line.extend([cell.as_str(), &padding]),
                Align::Right => line.extend([padding.as_str(), cell]),
            }
            line.push_str("  ");
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_say_their_unit() {
        assert_eq!([count(0), count(999), count(1000), count(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [bytes(0), bytes(1023), bytes(1024), bytes(1_509_949)],
            ["0 B", "1023 B", "1.00 KiB", "1.44 MiB"]
        );
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
        assert_eq!(
            [duration(5_000), duration(250_000_000), duration(12_340_000_000), duration(185_000_000_000)],
            ["5 us", "250 ms", "12.3s", "3m 05s"]
        );
        assert_eq!([duration(3_720_000_000_000), duration(90_000_000_000_000)], ["1h 02m", "1d 01h"]);
    }

    #[test]
    fn long_names_lose_their_middle() {
        assert_eq!(shorten("/system.slice/nginx.service", 12), "/syst…ervice");
        assert_eq!(shorten("short", 12), "short");
        assert_eq!(shorten("long", 0), "…");
    }
}
