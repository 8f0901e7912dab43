//! The interactive prompt: history, completion, and the commands that psql's users know.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper, Highlighter, Hinter};

use super::{Sql, SqlError};
use crate::format::{Style, duration};
use crate::{NoProgress, Progress};

const HELP: &str = r"Statements end with ;
  \d          tables and views
  \d TABLE    columns of a table
  \timing     switch times after each statement on or off
  \?          this help
  \q          quit (also Ctrl-D)
Ctrl-C ends a running query; a second one, should that take long, the prompt too. The stored rows, with addresses as bytes, are in the schema raw.
";

const KEYWORDS: &str = "SELECT FROM WHERE GROUP BY ORDER LIMIT JOIN LEFT ON AS AND OR NOT NULL IS IN LIKE BETWEEN \
DISTINCT COUNT SUM MIN MAX AVG CASE WHEN THEN ELSE END HAVING UNION ALL WITH EXPLAIN ANALYZE DESC INTERVAL date_bin \
ip ip_text container_id error_name";

const HISTORY_LINES: usize = 1000;
/// As a shell says it.
const ENDED_BY_SIGINT: i32 = 130;

/// Why the prompt ended.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// The terminal failed.
    #[error("cannot read from the terminal: {0}")]
    Terminal(#[from] ReadlineError),
    /// The output failed.
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

/// Reads statements from the terminal until the user leaves.
///
/// # Errors
/// When the terminal or `out` fails. A statement that fails is reported there, and the prompt goes on.
pub fn prompt(
    sql: &Sql,
    name: &str,
    out: &mut (dyn Write + Send),
    style: Style,
    progress: &mut dyn Progress,
) -> Result<(), PromptError> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .auto_add_history(true)
        .max_history_size(HISTORY_LINES)?
        .build();
    let mut editor: Editor<Assistant, DefaultHistory> = Editor::with_config(config)?;
    let tables = sql.tables();
    editor.set_helper(Some(Assistant::new(&tables)));
    let history = history_file();
    if let Some(file) = &history {
        // The first time there is none.
        let _ = editor.load_history(file);
        let _ = file.parent().map(std::fs::create_dir_all);
    }
    let cancelled = Arc::new(AtomicBool::new(false));
    // Some plans, such as a cross join, do not look up from their work for minutes.
    let impatience = signal_hook::flag::register_conditional_shutdown(
        signal_hook::consts::SIGINT,
        ENDED_BY_SIGINT,
        Arc::clone(&cancelled),
    )?;
    // While a line is read, the terminal gives Ctrl-C as a key; this is for the time of a query.
    let signal = signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&cancelled))?;
    writeln!(out, "{name}: \\d lists tables, \\? helps, \\q quits")?;
    let mut timing = false;
    loop {
        let line = match editor.readline("aftertrace> ") {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        };
        if let Some(file) = &history {
            // At once, for prompts that do not end well. One that cannot be kept is no reason to fail.
            let _ = editor.append_history(file);
        }
        match line.trim().trim_end_matches(';').split_whitespace().collect::<Vec<_>>().as_slice() {
            [] => {}
            ["\\q" | "quit" | "exit"] => break,
            ["\\?"] => out.write_all(HELP.as_bytes())?,
            ["\\d"] => list_tables(&tables, out)?,
            ["\\d", table] => describe(sql, table, out, style)?,
            ["\\timing"] => {
                timing = !timing;
                writeln!(out, "Timing is {}.", if timing { "on" } else { "off" })?;
            }
            [command, ..] if command.starts_with('\\') => {
                writeln!(out, "unknown command {command}; \\? helps")?
            }
            _ => {
                cancelled.store(false, Ordering::Relaxed);
                run(sql, &line, out, style, timing, &cancelled, progress)?;
            }
        }
        out.flush()?;
    }
    signal_hook::low_level::unregister(signal);
    signal_hook::low_level::unregister(impatience);
    Ok(())
}

fn run(
    sql: &Sql,
    statements: &str,
    out: &mut (dyn Write + Send),
    style: Style,
    timing: bool,
    cancelled: &AtomicBool,
    progress: &mut dyn Progress,
) -> io::Result<()> {
    match sql.run_until(statements, out, cancelled, progress) {
        Ok(answers) => {
            for answer in answers.iter().filter(|_| timing) {
                let ns = u64::try_from(answer.elapsed.as_nanos()).unwrap_or(u64::MAX);
                writeln!(out, "Time: {}", duration(ns))?;
            }
            Ok(())
        }
        Err(SqlError::Output(error)) => Err(error),
        Err(error) => writeln!(out, "{} {error}", style.bad("error:")),
    }
}

fn list_tables(tables: &[(String, Vec<String>)], out: &mut (dyn Write + Send)) -> io::Result<()> {
    for (table, columns) in tables {
        writeln!(out, "{table} ({})", columns.join(", "))?;
    }
    Ok(())
}

fn describe(sql: &Sql, table: &str, out: &mut (dyn Write + Send), style: Style) -> io::Result<()> {
    let quoted: Vec<String> = table.split('.').map(|part| format!("\"{}\"", part.replace('"', ""))).collect();
    run(
        sql,
        &format!("DESCRIBE {}", quoted.join(".")),
        out,
        style,
        false,
        &AtomicBool::new(false),
        &mut NoProgress,
    )
}

/// `$XDG_STATE_HOME/aftertrace/sql_history`.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")))?;
    Some(state.join("aftertrace").join("sql_history"))
}

/// Completes words, and waits for the `;`.
#[derive(Helper, Highlighter, Hinter)]
struct Assistant {
    words: Vec<String>,
}

impl Assistant {
    fn new(tables: &[(String, Vec<String>)]) -> Self {
        let mut words: Vec<String> = KEYWORDS.split_whitespace().map(str::to_owned).collect();
        for (table, columns) in tables {
            words.push(table.clone());
            words.extend(columns.iter().cloned());
        }
        words.sort();
        words.dedup();
        Self { words }
    }

    /// Where the last word of the line begins, and what completes it.
    fn completions(&self, line: &str) -> (usize, Vec<String>) {
        let start = line.rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |place| {
            place + line.get(place..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8)
        });
        let typed = line.get(start..).unwrap_or_default().to_lowercase();
        if typed.is_empty() {
            return (start, Vec::new());
        }
        let found = self.words.iter().filter(|word| word.to_lowercase().starts_with(&typed)).cloned();
        (start, found.collect())
    }
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, words) = self.completions(line.get(..position).unwrap_or(line));
        Ok((start, words.into_iter().map(|word| Pair { display: word.clone(), replacement: word }).collect()))
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let line = context.input().trim();
        let whole = line.is_empty()
            || line.ends_with(';')
            || line.starts_with('\\')
            || matches!(line, "quit" | "exit");
        Ok(if whole { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_is_completed_from_keywords_tables_and_columns() {
        let assistant = Assistant::new(&[("tcp_events".to_owned(), vec!["time".to_owned()])]);
        assert_eq!(assistant.completions("SELECT * FROM tcp_"), (14, vec!["tcp_events".to_owned()]));
        assert_eq!(assistant.completions("sel"), (0, vec!["SELECT".to_owned()]));
        assert_eq!(assistant.completions("SELECT count(tim"), (13, vec!["time".to_owned()]));
        assert!(assistant.completions("SELECT ").1.is_empty());
        assert!(assistant.completions("'ä").1.is_empty());
    }
}
