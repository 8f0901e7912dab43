//! A moment of a trace, as people write it.

use std::str::FromStr;

use aftertrace_schemas::UnixNanos;
use chrono::{DateTime, NaiveDateTime};

use crate::Trace;

const SECOND_NS: f64 = 1e9;

/// A moment: absolute, or relative to the start or end of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Unix nanoseconds.
    At(UnixNanos),
    /// Nanoseconds after the start.
    AfterStart(i64),
    /// Nanoseconds before the end.
    BeforeEnd(i64),
}

/// The text is no moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no time: expected 2026-11-23T07:00:00Z (or without Z, which is UTC too), Unix seconds, +90s after the start, or -30s before the end"
)]
pub struct MomentError(String);

impl Moment {
    /// The moment in a trace, Unix nanoseconds.
    pub fn in_trace(self, trace: &Trace) -> UnixNanos {
        match self {
            Self::At(time) => time,
            Self::AfterStart(ns) => trace.started().saturating_add(ns),
            Self::BeforeEnd(ns) => trace.ended().saturating_sub(ns),
        }
    }
}

impl FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, MomentError> {
        let error = || MomentError(text.to_owned());
        let text = text.trim();
        if let Some(after) = text.strip_prefix('+') {
            return Ok(Self::AfterStart(duration_ns(after).ok_or_else(error)?));
        }
        if let Some(before) = text.strip_prefix('-') {
            return Ok(Self::BeforeEnd(duration_ns(before).ok_or_else(error)?));
        }
        if let Some(ns) = number_ns(text) {
            return Ok(Self::At(ns));
        }
        // As many programs print it.
        let text = text.replacen(' ', "T", 1);
        let time = DateTime::parse_from_rfc3339(&text)
            .map(|time| time.timestamp_nanos_opt())
            .or_else(|_| text.parse::<NaiveDateTime>().map(|time| time.and_utc().timestamp_nanos_opt()));
        time.ok().flatten().map(Self::At).ok_or_else(error)
    }
}

/// Seconds with a fraction, kept exact to the nanosecond.
fn number_ns(text: &str) -> Option<i64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let seconds: i64 = seconds.parse().ok().filter(|seconds| *seconds >= 0)?;
    let fraction: i64 = format!("{fraction:0<9}").parse().ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(fraction)
}

/// `90s`, `1m30s`, `1.5h`, `250ms`; a bare number is seconds.
fn duration_ns(text: &str) -> Option<i64> {
    if let Some(ns) = number_ns(text) {
        return Some(ns);
    }
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let unit = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at_checked(unit)?;
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end)?;
        let seconds = match unit {
            "ms" => 1e-3,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * seconds * SECOND_NS;
        rest = after;
    }
    (!text.is_empty() && total < i64::MAX as f64).then_some(total as i64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_time_is_understood() {
        for (text, expected) in [
            ("2026-11-23T07:00:00Z", Moment::At(1_795_417_200_000_000_000)),
            ("2026-11-23T08:00:00.5+01:00", Moment::At(1_795_417_200_500_000_000)),
            ("2026-11-23T07:00:00", Moment::At(1_795_417_200_000_000_000)),
            ("2026-11-23 07:00:00", Moment::At(1_795_417_200_000_000_000)),
            ("2026-11-23 08:00:00+01:00", Moment::At(1_795_417_200_000_000_000)),
            ("1795417200", Moment::At(1_795_417_200_000_000_000)),
            ("1795417200.123456789", Moment::At(1_795_417_200_123_456_789)),
            ("+90s", Moment::AfterStart(90_000_000_000)),
            ("+1m30s", Moment::AfterStart(90_000_000_000)),
            ("+90", Moment::AfterStart(90_000_000_000)),
            ("-250ms", Moment::BeforeEnd(250_000_000)),
            ("-1.5h", Moment::BeforeEnd(5_400_000_000_000)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        for text in ["", "+", "-", "yesterday", "+5 parsecs", "12:00", "+s", "1.2.3", "99999999999999999999"]
        {
            let error = text.parse::<Moment>().unwrap_err();
            assert!(error.to_string().starts_with(&format!("`{text}` is no time")), "{error}");
        }
    }
}
