//! `aftertrace analyze`: opens the trace, shows progress, and passes the analyzer's answers on.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use aftertrace_analyzer::format::Style;
use aftertrace_analyzer::sql::{self, Options, Sql};
use aftertrace_analyzer::summary::Summary;
use aftertrace_analyzer::verify::{Verification, verify};
use aftertrace_analyzer::{Moment, Progress, ReportFormat, Trace, info, metrics};
use anyhow::Context;

use crate::args::{AnalyzeArgs, AnalyzeVerb, MetricsArgs, MetricsFormat, RowFormat, SqlArgs, TextFormat};
use crate::progress::Bar;

/// Answers as asked for.
pub(crate) fn run(arguments: AnalyzeArgs) -> anyhow::Result<ExitCode> {
    match (arguments.verb, arguments.trace) {
        (None, Some(trace)) => summary(&trace),
        (Some(AnalyzeVerb::Info { trace, format }), _) => print_info(&trace, format),
        (Some(AnalyzeVerb::Verify { trace, format }), _) => print_verification(&trace, format),
        (Some(AnalyzeVerb::Metrics(arguments)), _) => print_metrics(&arguments),
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

fn print_metrics(arguments: &MetricsArgs) -> anyhow::Result<ExitCode> {
    let mut bar = Bar::new();
    let trace = open(&arguments.trace, &mut bar)?;
    let at = arguments.at.as_deref().map(str::parse::<Moment>).transpose().context("--at")?;
    let format = match arguments.format {
        MetricsFormat::Prometheus => metrics::MetricsFormat::Prometheus,
        MetricsFormat::Openmetrics => metrics::MetricsFormat::OpenMetrics,
    };
    to_stdout(|out, _| {
        metrics::write(&trace, at, format, out, &mut bar)?;
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

fn run_sql(arguments: &SqlArgs) -> anyhow::Result<ExitCode> {
    let trace = open(&arguments.trace, &mut Bar::new())?;
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
    let mut statements = arguments.command.clone();
    for file in &arguments.file {
        statements
            .push(std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?);
    }
    if arguments.format == RowFormat::Parquet && arguments.output.is_none() {
        anyhow::ensure!(
            !io::stdout().is_terminal(),
            "--format parquet: give --output FILE, or redirect the output"
        );
    }
    let sql = Sql::open(&trace, &options)?;
    let mut out: Box<dyn Write + Send> = match &arguments.output {
        Some(file) => {
            Box::new(std::fs::File::create(file).with_context(|| format!("cannot write {}", file.display()))?)
        }
        None => Box::new(io::stdout()),
    };
    if statements.is_empty() {
        sql::prompt(&sql, &trace.name, &mut out, style())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = BufWriter::new(out);
    for text in statements {
        let answers = sql.run(&text, &mut out)?;
        if options.format == sql::RowFormat::Table && !arguments.quiet {
            for answer in answers {
                writeln!(out, "{} rows in {:.3} s", answer.rows, answer.elapsed.as_secs_f64())?;
            }
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn open(path: &Path, progress: &mut dyn Progress) -> anyhow::Result<Trace> {
    let trace = Trace::open(path, progress)?;
    for damage in &trace.damage {
        eprintln!("warning: {damage}");
    }
    Ok(trace)
}

fn report_format(format: TextFormat) -> ReportFormat {
    match format {
        TextFormat::Text => ReportFormat::Text,
        TextFormat::Json => ReportFormat::Json,
    }
}

/// Colour is for terminals, and for those who did not ask to be spared (<https://no-color.org>).
fn style() -> Style {
    let spared = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if io::stdout().is_terminal() && !spared { Style::Colour } else { Style::Plain }
}

fn to_stdout(write: impl FnOnce(&mut dyn Write, Style) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    write(&mut out, style())?;
    out.flush()?;
    Ok(())
}
