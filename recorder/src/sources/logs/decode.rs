//! What container runtimes write around a line: Docker's JSON, and the text format of Kubernetes' runtimes (CRI).
//! Both split long lines; here they become whole again.

use std::borrow::Cow;

use serde::Deserialize;

use super::lines::Line;

/// How a file holds lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogFormat {
    /// As its first line shows.
    Unknown,
    /// Lines as they are.
    Plain,
    /// `{"log":"text\n","stream":"stdout","time":"2026-01-01T00:00:00.1Z"}`
    DockerJson,
    /// `2026-01-01T00:00:00.1Z stdout F text`
    Cri,
}

impl LogFormat {
    /// The format that a runtime names: `docker_json`, `cri`.
    pub fn from_name(name: &str) -> Self {
        match name {
            "docker_json" => Self::DockerJson,
            "cri" => Self::Cri,
            _ => Self::Unknown,
        }
    }

    fn of(line: &[u8]) -> Self {
        if docker(line).is_some() {
            Self::DockerJson
        } else if cri(line).is_some() {
            Self::Cri
        } else {
            Self::Plain
        }
    }
}

/// What was logged.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Logged<'a> {
    /// `stdout` or `stderr`, where the format tells.
    pub(super) stream: Option<&'static str>,
    /// Unix nanoseconds, where the format tells.
    pub(super) time: Option<i64>,
    /// Where it begins in the file.
    pub(super) offset: u64,
    /// The line, up to the limit.
    pub(super) text: Cow<'a, [u8]>,
    /// Bytes that it had.
    pub(super) length: u64,
}

/// A part of a line, as a runtime wrote it.
#[derive(Debug)]
struct Part<'a> {
    stream: Option<&'static str>,
    time: Option<i64>,
    text: Cow<'a, [u8]>,
    is_last: bool,
}

/// The beginning of a line that was split.
#[derive(Debug)]
struct Begun {
    stream: Option<&'static str>,
    time: Option<i64>,
    offset: u64,
    text: Vec<u8>,
    length: u64,
}

/// Decodes the lines of one file and of those that it was before it was rotated.
#[derive(Debug)]
pub(super) struct Decoder {
    format: LogFormat,
    limit: usize,
    /// By stream: standard output and standard error may take turns.
    begun: Vec<Begun>,
}

impl Decoder {
    /// Joins what was split to lines of at most `limit` bytes.
    pub(super) fn new(format: LogFormat, limit: usize) -> Self {
        Self { format, limit, begun: Vec::new() }
    }

    /// Takes a line of the file; gives what was logged.
    pub(super) fn decode(&mut self, line: &Line<'_>, out: &mut impl FnMut(Logged<'_>)) {
        if self.format == LogFormat::Unknown && !line.bytes.is_empty() {
            self.format = LogFormat::of(line.bytes);
        }
        let part = match self.format {
            LogFormat::DockerJson => docker(line.bytes),
            LogFormat::Cri => cri(line.bytes),
            LogFormat::Plain | LogFormat::Unknown => None,
        };
        // What is not as the format wants is kept as it stands.
        let Some(part) = part else {
            out(Logged {
                stream: None,
                time: None,
                offset: line.offset,
                text: Cow::Borrowed(line.bytes),
                length: line.length,
            });
            return;
        };
        // What was cut off was text: it stands last in the only format that can be read without its end.
        let length = part.text.len() as u64 + line.length.saturating_sub(line.bytes.len() as u64);
        let place = self.begun.iter().position(|begun| begun.stream == part.stream);
        match (place, part.is_last) {
            (None, true) => out(Logged {
                stream: part.stream,
                time: part.time,
                offset: line.offset,
                text: part.text,
                length,
            }),
            (None, false) => self.begun.push(Begun {
                stream: part.stream,
                time: part.time,
                offset: line.offset,
                text: part.text.into_owned(),
                length,
            }),
            (Some(place), is_last) => {
                if let Some(begun) = self.begun.get_mut(place) {
                    let room = self.limit.saturating_sub(begun.text.len());
                    begun.text.extend_from_slice(part.text.get(..room).unwrap_or(&part.text));
                    begun.length += length;
                }
                if is_last {
                    give(self.begun.swap_remove(place), out);
                }
            }
        }
    }

    /// No more lines come: what was split has no other end.
    pub(super) fn finish(&mut self, out: &mut impl FnMut(Logged<'_>)) {
        self.begun.drain(..).for_each(|begun| give(begun, out));
    }
}

fn give(begun: Begun, out: &mut impl FnMut(Logged<'_>)) {
    let Begun { stream, time, offset, text, length } = begun;
    out(Logged { stream, time, offset, text: Cow::Owned(text), length });
}

fn stream(name: &[u8]) -> Option<&'static str> {
    match name {
        b"stdout" => Some("stdout"),
        b"stderr" => Some("stderr"),
        _ => None,
    }
}

#[derive(Deserialize)]
struct DockerLine<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    #[serde(borrow, default)]
    stream: Cow<'a, str>,
    #[serde(borrow, default)]
    time: Cow<'a, str>,
}

/// A line whose text has no end is continued by the next one.
fn docker(line: &[u8]) -> Option<Part<'_>> {
    let DockerLine { log, stream: name, time } = serde_json::from_slice(line).ok()?;
    let is_last = log.ends_with('\n');
    let text = match log {
        Cow::Borrowed(text) => Cow::Borrowed(text.strip_suffix('\n').unwrap_or(text).as_bytes()),
        Cow::Owned(mut text) => {
            text.truncate(text.len() - usize::from(is_last));
            Cow::Owned(text.into_bytes())
        }
    };
    Some(Part { stream: stream(name.as_bytes()), time: rfc3339(time.as_bytes()), text, is_last })
}

fn cri(line: &[u8]) -> Option<Part<'_>> {
    let mut fields = line.splitn(4, |byte| *byte == b' ');
    let time = rfc3339(fields.next()?)?;
    let stream = stream(fields.next()?)?;
    // Tags may follow the first one, after colons.
    let is_last = match fields.next()?.split(|byte| *byte == b':').next()? {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    let text = Cow::Borrowed(fields.next().unwrap_or_default());
    Some(Part { stream: Some(stream), time: Some(time), text, is_last })
}

/// `2026-01-01T00:00:00.123456789+01:00` as Unix nanoseconds.
fn rfc3339(text: &[u8]) -> Option<i64> {
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        super::super::text::number(digits).and_then(|value| i64::try_from(value).ok())
    };
    let at =
        |place: usize, wanted: u8| text.get(place).is_some_and(|byte| byte.eq_ignore_ascii_case(&wanted));
    if !(at(4, b'-') && at(7, b'-') && at(10, b'T') && at(13, b':') && at(16, b':')) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let digits = text.get(19..)?.strip_prefix(b".").unwrap_or_default();
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let fraction_end = if digits == 0 { 19 } else { 20 + digits };
    let mut nanoseconds = number(20, 20 + digits.min(9)).unwrap_or_default();
    for _ in digits.min(9)..9 {
        nanoseconds *= 10;
    }
    let offset_minutes = match text.get(fraction_end..)? {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let minutes = number(fraction_end + 1, fraction_end + 3)? * 60
                + number(fraction_end + 4, fraction_end + 6)?;
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    // Days since 1970 of the proleptic Gregorian calendar, in years that begin in March.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute - offset_minutes) * 60 + second;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Owned = (Option<&'static str>, u64, String, u64);

    fn decoded(format: LogFormat, limit: usize, lines: &[&str]) -> Vec<Owned> {
        let mut decoder = Decoder::new(format, limit);
        let mut all = Vec::new();
        let mut keep = |logged: Logged<'_>| {
            let text = String::from_utf8_lossy(&logged.text).into_owned();
            all.push((logged.stream, logged.offset, text, logged.length));
        };
        let mut offset = 0;
        for line in lines {
            let (bytes, length) = (line.as_bytes(), line.len() as u64);
            decoder.decode(&Line { offset, bytes, length }, &mut keep);
            offset += length + 1;
        }
        decoder.finish(&mut keep);
        all
    }

    fn texts(format: LogFormat, lines: &[&str]) -> Vec<String> {
        decoded(format, 1 << 16, lines).into_iter().map(|(_, _, text, _)| text).collect()
    }

    #[test]
    fn dockers_lines_are_undone_and_long_ones_joined_by_stream() {
        let lines = [
            r#"{"log":"one \u003ctwo\u003e\t\"three\"\n","stream":"stdout","time":"2026-01-01T00:00:00.5Z"}"#,
            r#"{"log":"begin ","stream":"stdout","time":"2026-01-01T00:00:00Z"}"#,
            r#"{"log":"other\n","stream":"stderr","time":"2026-01-01T00:00:00Z"}"#,
            r#"{"log":"end\n","stream":"stdout","attrs":{"a":"b"},"time":"2026-01-01T00:00:00Z"}"#,
            r#"{"log":"no end","stream":"stderr","time":"2026-01-01T00:00:00Z"}"#,
        ];
        let begin = lines[0].len() as u64 + 1;
        let all = decoded(LogFormat::Unknown, 1 << 16, &lines);
        assert_eq!(all[0], (Some("stdout"), 0, "one <two>\t\"three\"".to_owned(), 17));
        assert_eq!(all[1].2, "other");
        assert_eq!(all[2], (Some("stdout"), begin, "begin end".to_owned(), 9));
        assert_eq!((all[3].0, all[3].2.as_str()), (Some("stderr"), "no end"));
    }

    #[test]
    fn partial_lines_of_kubernetes_are_joined_by_stream() {
        let lines = [
            "2026-01-01T00:00:00.000000001Z stdout P one ",
            "2026-01-01T00:00:00.000000002Z stderr F error",
            "2026-01-01T00:00:00.000000003+01:00 stdout P:x two ",
            "2026-01-01T00:00:00.000000004Z stdout F ",
            "2026-01-01T00:00:00.000000005Z stdout F",
            "2026-01-01T00:00:00.000000006Z stdout F  blank  ",
        ];
        assert_eq!(texts(LogFormat::Unknown, &lines), ["error", "one two ", "", " blank  "]);
    }

    #[test]
    fn what_is_not_as_the_format_wants_is_kept_as_it_stands() {
        let lines = [r#"{"log":"a\n","stream":"stdout"}"#, "torn\" line", ""];
        assert_eq!(texts(LogFormat::Unknown, &lines), ["a", "torn\" line", ""]);
        assert_eq!(texts(LogFormat::Unknown, &["plain", r#"{"log":"a\n"}"#]), ["plain", r#"{"log":"a\n"}"#]);
    }

    #[test]
    fn a_joined_line_is_cut_at_the_limit_and_its_length_is_known() {
        let part = |text: &str| format!("2026-01-01T00:00:00Z stdout P {text}");
        let lines = [part("aaaa"), part("bbbb"), part("cccc")];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(decoded(LogFormat::Cri, 6, &lines), [(Some("stdout"), 0, "aaaabb".to_owned(), 12)]);
    }

    #[test]
    fn times_are_read_with_fraction_and_offset() {
        for (text, wanted) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            // date -u -d ... +%s
            ("2026-11-23T15:11:04.25Z", Some(1_795_446_664_250_000_000)),
            ("2024-02-29T23:59:59.123456789-02:30", Some(1_709_260_199_123_456_789)),
            ("2026-11-23 15:11:04Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-11-23T15:11:04", None),
            ("", None),
        ] {
            assert_eq!(rfc3339(text.as_bytes()), wanted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(
            lines in proptest::collection::vec(prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..60),
                "2026-01-01T00:00:00Z std(out|err) [PF] [ab]{0,9}".prop_map(String::into_bytes),
                "\\{\"log\":\"[ab\\\\n]{0,9}\",\"stream\":\"std(out|err)\"\\}".prop_map(String::into_bytes),
            ], 0..20),
        ) {
            let mut decoder = Decoder::new(LogFormat::Unknown, 8);
            let mut given = 0;
            for bytes in &lines {
                let line = Line { offset: 0, bytes, length: bytes.len() as u64 };
                decoder.decode(&line, &mut |_| given += 1);
                let _ = rfc3339(bytes);
            }
            decoder.finish(&mut |_| given += 1);
            prop_assert!(given <= lines.len());
        }
    }
}
