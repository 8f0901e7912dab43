//! `aftertrace analyze`: opens the trace, shows progress, and passes the analyzer's answers on.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use aftertrace_analyzer::format::{Style, duration, time};
use aftertrace_analyzer::sql::{self, Options, Sql};
use aftertrace_analyzer::summary::Summary;
use aftertrace_analyzer::verify::{Verification, verify};
use aftertrace_analyzer::{Moment, Progress, ReportFormat, Trace, info, metrics, scrapes, spans};
use anyhow::Context;

use crate::args::{
    AnalyzeArgs, AnalyzeVerb, MetricsArgs, MetricsFormat, RowFormat, SpanFormat, SpansArgs, SqlArgs,
    TextFormat,
};
use crate::progress::Bar;
use crate::{colour_is_welcome, print_warning};

/// Answers as asked for.
pub(crate) fn run(arguments: AnalyzeArgs) -> anyhow::Result<ExitCode> {
    match (arguments.verb, arguments.trace) {
        (None, Some(trace)) => summary(&trace),
        (Some(AnalyzeVerb::Info { trace, format }), _) => print_info(&trace, format),
        (Some(AnalyzeVerb::Verify { trace, against, .. }), _) if !against.is_empty() => {
            print_comparisons(&trace, &against)
        }
        (Some(AnalyzeVerb::Verify { trace, format, .. }), _) => print_verification(&trace, format),
        (Some(AnalyzeVerb::Metrics(arguments)), _) => print_metrics(&arguments),
        (Some(AnalyzeVerb::Spans(arguments)), _) => print_spans(arguments),
        (Some(AnalyzeVerb::Sql(arguments)), _) => run_sql(&arguments),
        (None, None) => anyhow::bail!("no trace given; see aftertrace analyze --help"),
    }
}

fn summary(path: &Path) -> anyhow::Result<ExitCode> {
    let mut bar = Bar::new();
    let trace = open(path, &mut bar)?;
    let summary = Summary::new(&trace, &mut bar);
    to_stdout(|out, style| Ok(summary.write(out, ReportFormat::Text, style)?))?;
    Ok(ExitCode::SUCCESS)
}

fn print_info(path: &Path, format: TextFormat) -> anyhow::Result<ExitCode> {
    let trace = open(path, &mut Bar::new())?;
    to_stdout(|out, _| Ok(info::Info::new(&trace).write(out, report_format(format))?))?;
    Ok(ExitCode::SUCCESS)
}

fn print_verification(path: &Path, format: TextFormat) -> anyhow::Result<ExitCode> {
    let mut bar = Bar::new();
    let verification = match Trace::open(path, &mut bar) {
        Ok(trace) => verify(&trace, &mut bar),
        Err(error) => Verification::unusable(&path.display().to_string(), &error.to_string()),
    };
    to_stdout(|out, style| Ok(verification.write(out, report_format(format), style)?))?;
    Ok(ExitCode::from(verification.verdict.exit_code()))
}

fn print_comparisons(path: &Path, files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let mut bar = Bar::new();
    let trace = open(path, &mut bar)?;
    let read = |file: &PathBuf| {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
        anyhow::Ok(scrapes::Saved { file: name, text })
    };
    let saved = files.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    let comparisons = scrapes::compare(&trace, &saved, &mut bar)?;
    let differ = comparisons.all.iter().any(|comparison| !comparison.is_same());
    to_stdout(|out, style| {
        for comparison in &comparisons.all {
            let (file, number) = (&comparison.file, comparison.number);
            if comparison.is_same() {
                let verdict = style.good("the same, byte for byte");
                writeln!(out, "{file} is scrape {number} of {}: {verdict}", path.display())?;
                continue;
            }
            let verdict = style.bad("not the same");
            writeln!(out, "{file} and scrape {number} of {}: {verdict}", path.display())?;
            writeln!(out, "{} lines differ (- the file, + the trace):", comparison.differing)?;
            for line in &comparison.differences {
                writeln!(out, "{line}")?;
            }
        }
        for doubt in comparisons.doubts.iter().filter(|_| differ) {
            writeln!(out, "They may differ since {doubt}")?;
        }
        Ok(())
    })?;
    Ok(if differ { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print_metrics(arguments: &MetricsArgs) -> anyhow::Result<ExitCode> {
    let mut bar = Bar::new();
    let trace = open(&arguments.trace, &mut bar)?;
    let at = arguments.at.as_deref().map(str::parse::<Moment>).transpose().context("--at")?;
    if let Some(moment) = at.map(|moment| moment.in_trace(&trace))
        && !(trace.started()..=trace.ended()).contains(&moment)
    {
        let (from, to) = (time(trace.started()), time(trace.ended()));
        print_warning(&format_args!("--at: {} is outside of the trace ({from} to {to})", time(moment)));
    }
    let format = arguments.format.map(|format| match format {
        MetricsFormat::Prometheus => metrics::MetricsFormat::Prometheus,
        MetricsFormat::Openmetrics => metrics::MetricsFormat::OpenMetrics,
    });
    if let Some(number) = arguments.at_scrape {
        let replayed = scrapes::at(&trace, number, format, &mut bar)?;
        for doubt in &replayed.doubts {
            print_warning(&format_args!("may differ from what was said live: {doubt}"));
        }
        to_stdout(|out, _| Ok(out.write_all(replayed.text.as_bytes())?))?;
        return Ok(ExitCode::SUCCESS);
    }
    let format = format.unwrap_or(metrics::MetricsFormat::Prometheus);
    to_stdout(|out, _| {
        metrics::write(&trace, at, format, out, &mut bar)?;
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

fn print_spans(arguments: SpansArgs) -> anyhow::Result<ExitCode> {
    let mut bar = Bar::new();
    let trace = open(&arguments.trace, &mut bar)?;
    let format = match arguments.format {
        SpanFormat::Table => spans::SpanFormat::Table,
        SpanFormat::Jsonl => spans::SpanFormat::JsonLines,
        SpanFormat::OtlpJson => spans::SpanFormat::OtlpJson,
    };
    let filter = spans::SpanFilter {
        containers: arguments.container,
        protocols: arguments.protocol,
        trace_id: arguments.trace_id,
        errors: arguments.errors,
        slower_than: arguments.slower_than,
        limit: arguments.limit,
    };
    to_stdout(|out, style| {
        let replayed = spans::write(&trace, &filter, arguments.raw_statements, format, style, out, &mut bar)?;
        for damage in replayed.damage.iter().filter(|damage| !trace.damage.contains(damage)) {
            print_warning(damage);
        }
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

fn run_sql(arguments: &SqlArgs) -> anyhow::Result<ExitCode> {
    let mut bar = Bar::new();
    let trace = open(&arguments.trace, &mut bar)?;
    let options = Options {
        memory_limit_bytes: usize::try_from(arguments.memory_limit.as_u64()).unwrap_or(usize::MAX),
        format: match arguments.format {
            RowFormat::Table => sql::RowFormat::Table,
            RowFormat::Csv => sql::RowFormat::Csv,
            RowFormat::Json => sql::RowFormat::Json,
            RowFormat::Parquet => sql::RowFormat::Parquet,
        },
        row_counts: !arguments.quiet,
        ..Options::default()
    };
    let statements = statements(arguments)?;
    if arguments.format == RowFormat::Parquet {
        anyhow::ensure!(
            arguments.output.is_some() || !io::stdout().is_terminal(),
            "--format parquet: give --output FILE, or redirect the output"
        );
        anyhow::ensure!(statements.len() == 1, "--format parquet: give one statement, with -c or -f");
    }
    let sql = Sql::open(&trace, &options)?;
    if statements.is_empty() {
        anyhow::ensure!(arguments.output.is_none(), "--output: give statements, with -c or -f");
        sql::prompt(&sql, &trace.name, &mut io::stdout(), style(), &mut bar)?;
        return Ok(ExitCode::SUCCESS);
    }
    let out: Box<dyn Write + Send> = match &arguments.output {
        Some(file) => {
            Box::new(std::fs::File::create(file).with_context(|| format!("cannot write {}", file.display()))?)
        }
        None => Box::new(io::stdout()),
    };
    let mut out = BufWriter::new(out);
    for text in statements {
        let answers = sql.run_until(&text, &mut out, &AtomicBool::new(false), &mut bar)?;
        if options.format == sql::RowFormat::Table && !arguments.quiet {
            for answer in answers {
                writeln!(
                    out,
                    "Time: {}",
                    duration(u64::try_from(answer.elapsed.as_nanos()).unwrap_or(u64::MAX))
                )?;
            }
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// What is to be run: of the flags, or of standard input. None on a terminal, where a prompt asks for it.
fn statements(arguments: &SqlArgs) -> anyhow::Result<Vec<String>> {
    let mut statements = arguments.command.clone();
    for file in &arguments.file {
        statements
            .push(std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?);
    }
    if statements.is_empty() && !io::stdin().is_terminal() {
        statements.push(io::read_to_string(io::stdin()).context("cannot read standard input")?);
    }
    Ok(statements)
}

fn open(path: &Path, progress: &mut dyn Progress) -> anyhow::Result<Trace> {
    let trace = Trace::open(path, progress)?;
    for damage in &trace.damage {
        print_warning(damage);
    }
    Ok(trace)
}

fn report_format(format: TextFormat) -> ReportFormat {
    match format {
        TextFormat::Text => ReportFormat::Text,
        TextFormat::Json => ReportFormat::Json,
    }
}

fn style() -> Style {
    if io::stdout().is_terminal() && colour_is_welcome() { Style::Colour } else { Style::Plain }
}

fn to_stdout(write: impl FnOnce(&mut dyn Write, Style) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    write(&mut out, style())?;
    out.flush()?;
    Ok(())
}
