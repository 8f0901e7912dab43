//! `aftertrace`: arguments, exit codes, progress and colour. The work is done by the recorder and the analyzer.

mod args;

#[cfg(feature = "analyze")]
mod analyze;
#[cfg(feature = "analyze")]
mod progress;
#[cfg(feature = "record")]
mod record;
#[cfg(feature = "record")]
mod serve;

use std::fmt::{Arguments, Display};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    let result = match cli.verb {
        #[cfg(feature = "record")]
        args::Verb::Record(arguments) => record::run(*arguments),
        #[cfg(feature = "record")]
        args::Verb::Serve(arguments) => serve::run(*arguments),
        #[cfg(feature = "analyze")]
        args::Verb::Analyze(arguments) => analyze::run(arguments),
    };
    match result {
        Ok(code) => code,
        // Whoever reads our output has seen enough: `aftertrace analyze ... | head`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Prints an error with its causes on one line. Many errors quote their cause already; it is not said twice.
fn print_error(error: &anyhow::Error) {
    let mut message = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !message.contains(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    let coloured = std::io::stderr().is_terminal() && colour_is_welcome();
    let (red, plain) = if coloured { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    say(format_args!("{red}error:{plain} {message}\n"));
}

fn print_warning(warning: &dyn Display) {
    say(format_args!("warning: {warning}\n"));
}

/// Writes to standard error. A terminal that went away or a full disk under it is no reason to stop.
fn say(words: Arguments<'_>) {
    let _ = std::io::stderr().write_fmt(words);
}

/// Colour is for those who did not ask to be spared (<https://no-color.org>).
fn colour_is_welcome() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}
