//! Asks `aftertrace analyze` about a trace, as anybody would: by its command line.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

use crate::host;

/// A row of an answer.
pub(crate) type Row = Map<String, Value>;

/// A trace and the program that reads it.
pub(crate) struct Trace {
    binary: PathBuf,
    path: PathBuf,
}

impl Trace {
    /// The trace at `path`, a directory or a tar of one, read by `binary`.
    pub(crate) fn new(binary: &Path, path: &Path) -> Self {
        Self { binary: binary.to_owned(), path: path.to_owned() }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn command(&self, verb: Option<&str>) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("analyze").args(verb).arg(&self.path);
        command
    }

    /// What happened, on a screen.
    ///
    /// # Errors
    /// When the program fails.
    pub(crate) fn summary(&self) -> Result<String> {
        host::text(&mut self.command(None))
    }

    /// The metrics at the end of the trace, as Prometheus text.
    ///
    /// # Errors
    /// When the program fails.
    pub(crate) fn metrics(&self) -> Result<String> {
        host::text(&mut self.metrics_command())
    }

    /// What gives them.
    pub(crate) fn metrics_command(&self) -> Command {
        self.command(Some("metrics"))
    }

    /// Whether the trace is whole: exit status 0 (whole), 1 (usable with gaps), 2 (unusable), and what was said.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub(crate) fn verify(&self) -> Result<(ExitStatus, String)> {
        let output = host::output(&mut self.command(Some("verify")))?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status, String::from_utf8_lossy(&said).into_owned()))
    }

    /// The rows that answer `query`.
    ///
    /// # Errors
    /// When the program fails or its answer is not JSON.
    pub(crate) fn sql(&self, query: &str) -> Result<Vec<Row>> {
        let mut command = self.command(Some("sql"));
        rows(&host::text(command.args(["-c", query, "--format", "json"]))?)
            .with_context(|| format!("the answer to `{query}` is not rows in JSON"))
    }

    /// The one number that answers `query`.
    ///
    /// # Errors
    /// As [`Self::sql`], and when it is something else.
    pub(crate) fn number(&self, query: &str) -> Result<u64> {
        let rows = self.sql(query)?;
        let first = rows.first().and_then(|row| row.values().next());
        first.and_then(Value::as_u64).with_context(|| format!("`{query}` gave {rows:?}, not a number"))
    }
}

/// One array of objects, or an object a line.
fn rows(text: &str) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        match value? {
            Value::Object(row) => rows.push(row),
            Value::Array(values) => {
                for value in values {
                    let Value::Object(row) = value else { bail!("not an object: {value}") };
                    rows.push(row);
                }
            }
            other => bail!("not an object: {other}"),
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn rows_are_read_from_an_array_and_from_lines() {
        assert_eq!(rows(r#"[{"a":1},{"a":2}]"#).unwrap().len(), 2);
        assert_eq!(rows("{\"a\":1}\n{\"a\":2}\n").unwrap().len(), 2);
        assert!(rows("").unwrap().is_empty());
        assert!(rows("3").is_err());
    }
}
