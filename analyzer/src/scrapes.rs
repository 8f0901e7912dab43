//! Scrapes that `serve --record` answered: what they said, said again, and compared.

use std::collections::BTreeMap;

use aftertrace_registry::{Config, Registry};
use aftertrace_schemas::Kind;
use aftertrace_schemas::tables::{Scrape, ScrapeFormat};

use crate::metrics::{MetricsFormat, text};
use crate::{Damage, Progress, Trace};

/// Progress is told every so many observations.
const PROGRESS_STEP: u64 = 1 << 16;
/// Differing lines that are shown at most.
const LINES_SHOWN: usize = 20;
/// In every answer of `serve`: which scrape it is.
const NUMBER: &str = "aftertrace_scrapes_total";

/// Why a scrape cannot be said again.
#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    /// The trace does not have it.
    #[error("{trace}: no scrape {number}; {known}", known = known(*.last))]
    NoSuchScrape {
        /// The trace.
        trace: String,
        /// Asked for.
        number: u64,
        /// The last one that is there.
        last: Option<u64>,
    },
    /// The file is not an answer of `serve`.
    #[error("{file} is no scrape of aftertrace: it has no metric {NUMBER}")]
    NotAScrape {
        /// The file.
        file: String,
    },
}

fn known(last: Option<u64>) -> String {
    match last {
        Some(last) => format!("its scrapes end with {last}"),
        None => "it has none: only `aftertrace serve --record` writes them".to_owned(),
    }
}

/// A scrape, said again.
#[derive(Debug)]
pub struct Replayed {
    /// The text, in the format that was asked for or, without that, in the scrape's own.
    pub text: String,
    /// Why the text may differ from what was said live.
    pub doubts: Vec<String>,
}

/// What the trace says that scrape `number` said.
///
/// # Errors
/// When the trace has no such scrape.
pub fn at(
    trace: &Trace,
    number: u64,
    format: Option<MetricsFormat>,
    progress: &mut dyn Progress,
) -> Result<Replayed, ScrapeError> {
    let mut found = None;
    let read = replay_to(trace, number, progress, &mut |this, own, registry| {
        if this == number {
            found = Some((own, registry.collect()));
        }
    });
    let Some((own, families)) = found else {
        return Err(ScrapeError::NoSuchScrape { trace: trace.name.clone(), number, last: read.last });
    };
    let own = match own {
        ScrapeFormat::OpenMetrics => MetricsFormat::OpenMetrics,
        _ => MetricsFormat::Prometheus,
    };
    Ok(Replayed { text: text(&families, format.unwrap_or(own)), doubts: doubts(trace, &read.damage) })
}

/// What a replay up to a scrape read.
struct Read {
    /// Number of the last scrape that was met.
    last: Option<u64>,
    damage: Vec<Damage>,
}

/// Replays up to scrape `number`, and hands each scrape on the way to `visit`, with the registry as it was then.
fn replay_to(
    trace: &Trace,
    number: u64,
    progress: &mut dyn Progress,
    visit: &mut dyn FnMut(u64, ScrapeFormat, &Registry),
) -> Read {
    let mut registry = Registry::new(registry_config(trace));
    let mut observations = trace.observations_from(0);
    progress.begin("replaying", Some(trace.segments.iter().map(crate::Segment::rows).sum()));
    let (mut last, mut done) = (None, 0);
    for observation in observations.by_ref() {
        registry.apply(&observation);
        if let Kind::Scrape(Scrape { number: this, format }) = observation.kind {
            last = Some(this);
            visit(this, format, &registry);
            if this >= number {
                break;
            }
        }
        done += 1;
        if done % PROGRESS_STEP == 0 {
            progress.advance(done);
        }
    }
    progress.end();
    Read { last, damage: observations.damage().to_vec() }
}

/// How the registry was set up that answered the scrapes; the defaults when there was none.
pub fn registry_config(trace: &Trace) -> Config {
    let given = trace.manifest.as_ref().and_then(|manifest| manifest.options.registry.clone());
    given.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default()
}

/// What makes a trace say less than the live registry knew.
fn doubts(trace: &Trace, damage: &[Damage]) -> Vec<String> {
    let mut doubts = Vec::new();
    if let Some(manifest) = &trace.manifest {
        if manifest.retired.segments > 0 {
            doubts.push(format!(
                "{} segments were dropped to keep the size or age asked for: counters begin later than they did live",
                manifest.retired.segments
            ));
        }
        let shed: u64 = manifest
            .losses
            .iter()
            .filter(|(cause, _)| cause.starts_with("writer/"))
            .map(|(_, lost)| lost)
            .sum();
        if shed > 0 {
            doubts.push(format!("{shed} observations did not reach the disk"));
        }
    } else {
        doubts.push("there is no manifest: how the live registry was set up is not known".to_owned());
    }
    doubts.extend(damage.iter().map(ToString::to_string));
    doubts
}

/// A scrape that was saved: the body of an answer.
#[derive(Debug)]
pub struct Saved {
    /// Name of the file.
    pub file: String,
    /// Its text.
    pub text: String,
}

/// How a saved scrape compares with the trace.
#[derive(Debug)]
pub struct Comparison {
    /// Name of the file.
    pub file: String,
    /// Number of the scrape.
    pub number: u64,
    /// Lines of the file and of the trace that differ, the first of them: `-` is the file, `+` the trace.
    pub differences: Vec<String>,
    /// How many lines differ in all.
    pub differing: usize,
}

impl Comparison {
    /// Whether the bytes are the same.
    pub fn is_same(&self) -> bool {
        self.differing == 0
    }
}

/// All comparisons, and why scrapes may differ from the trace.
#[derive(Debug)]
pub struct Comparisons {
    /// One a file, in the order of the scrapes.
    pub all: Vec<Comparison>,
    /// Why the trace says less than the live registry knew, if it does.
    pub doubts: Vec<String>,
}

/// Compares saved scrapes with the trace, which is replayed once for all of them.
///
/// # Errors
/// When one is no scrape, or none of this trace.
pub fn compare(
    trace: &Trace,
    saved: &[Saved],
    progress: &mut dyn Progress,
) -> Result<Comparisons, ScrapeError> {
    let mut wanted = BTreeMap::<u64, Vec<&Saved>>::new();
    for scrape in saved {
        let number =
            number(&scrape.text).ok_or_else(|| ScrapeError::NotAScrape { file: scrape.file.clone() })?;
        wanted.entry(number).or_default().push(scrape);
    }
    let mut all = Vec::new();
    let end = wanted.keys().next_back().copied().unwrap_or_default();
    let damage = replay_to(trace, end, progress, &mut |number, _, registry| {
        for scrape in wanted.remove(&number).unwrap_or_default() {
            // OpenMetrics says where it ends.
            let open_metrics = scrape.text.ends_with("# EOF\n");
            let format = if open_metrics { MetricsFormat::OpenMetrics } else { MetricsFormat::Prometheus };
            let (differences, differing) = differences(&scrape.text, &text(&registry.collect(), format));
            all.push(Comparison { file: scrape.file.clone(), number, differences, differing });
        }
    });
    match wanted.keys().next() {
        Some(&number) => {
            Err(ScrapeError::NoSuchScrape { trace: trace.name.clone(), number, last: damage.last })
        }
        None => Ok(Comparisons { all, doubts: doubts(trace, &damage.damage) }),
    }
}

fn number(scrape: &str) -> Option<u64> {
    let line = scrape.lines().find(|line| line.starts_with(NUMBER))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Lines that only one of them has, in the order of either; the same lines in another order differ too.
fn differences(file: &str, trace: &str) -> (Vec<String>, usize) {
    if file == trace {
        return (Vec::new(), 0);
    }
    let mut counts = BTreeMap::<&str, i64>::new();
    for line in file.lines() {
        *counts.entry(line).or_default() += 1;
    }
    for line in trace.lines() {
        *counts.entry(line).or_default() -= 1;
    }
    let mut shown = Vec::new();
    let mut differing = 0;
    for (sign, text, only) in [('-', file, 1), ('+', trace, -1)] {
        for line in text.lines().filter(|line| counts.get(line).is_some_and(|count| *count * only > 0)) {
            differing += 1;
            if shown.len() < LINES_SHOWN {
                shown.push(format!("{sign} {line}"));
            }
        }
    }
    if differing == 0 {
        shown.push("the same lines in another order, or other line ends".to_owned());
        differing = 1;
    }
    (shown, differing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_read_from_the_text() {
        let text =
            "# TYPE aftertrace_scrapes_total counter\naftertrace_scrapes_total{machine_id=\"a b\"} 17\n";
        assert_eq!(number(text), Some(17));
        assert_eq!(number("up 1\n"), None);
    }

    #[test]
    fn lines_of_one_side_are_shown_with_their_side() {
        let (shown, differing) = differences("a 1\nb 2\n", "a 1\nb 3\n");
        assert_eq!((shown, differing), (vec!["- b 2".to_owned(), "+ b 3".to_owned()], 2));
        assert_eq!(differences("a\nb\n", "b\na\n").1, 1);
        assert_eq!(differences("a\n", "a\n").1, 0);
    }
}
