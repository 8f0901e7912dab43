//! SQL on a trace, by DataFusion.
//!
//! In: statements. Out: rows as text, CSV, JSON or Parquet. Every table is there under its own name with addresses as
//! text and a `host` column; as stored it is in the schema `raw`. Nothing is loaded whole: see `table`.
//! A trace is never changed: statements that define or write anything are refused.

mod functions;
mod output;
mod prompt;
mod table;
mod views;

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aftertrace_schemas::TableId;
use datafusion::catalog::MemorySchemaProvider;
use datafusion::common::TableReference;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::{DFParser, Statement};
use futures::StreamExt;
use tokio::runtime::{Builder, Runtime};

pub(crate) use functions::error_name;
pub use output::RowFormat;
pub use prompt::{PromptError, prompt};

use crate::identity::Identities;
use crate::{NoProgress, Progress, Trace};
use output::Printer;
use table::TraceTable;

const CATALOG: &str = "trace";
const VIEWS: &str = "public";
const RAW: &str = "raw";
/// How soon a cancelled query ends.
const CANCEL_INTERVAL: Duration = Duration::from_millis(50);

/// How queries run and how rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Most memory that a query may use before it spills to disk, bytes.
    pub memory_limit_bytes: usize,
    /// Parts in which a query runs at a time; `None` for one a core.
    pub partitions: Option<usize>,
    /// How rows are printed.
    pub format: RowFormat,
    /// Row counts after the rows of [`RowFormat::Table`].
    pub row_counts: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { memory_limit_bytes: 1 << 30, partitions: None, format: RowFormat::Table, row_counts: true }
    }
}

/// Why a statement gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// The statement is wrong, or a file that it needs is damaged.
    #[error("{0}")]
    Query(String),
    /// The statement would change something.
    #[error("refused, since a trace is never changed: {0}")]
    ReadOnly(String),
    /// The user interrupted it.
    #[error("cancelled")]
    Cancelled,
    /// The rows of two statements do not fit in one Parquet file.
    #[error("only one statement's rows fit in a Parquet file")]
    SecondAnswer,
    /// The output failed.
    #[error("cannot write the rows: {0}")]
    Output(#[from] io::Error),
}

impl From<DataFusionError> for SqlError {
    fn from(error: DataFusionError) -> Self {
        Self::Query(error.strip_backtrace())
    }
}

/// What a statement gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Rows printed.
    pub rows: u64,
    /// Time that it took.
    pub elapsed: Duration,
}

/// A trace, ready for statements.
pub struct Sql {
    runtime: Runtime,
    context: SessionContext,
    format: RowFormat,
    row_counts: bool,
}

impl Sql {
    /// Prepares the tables and views of a trace. Only the small `containers` table is read.
    ///
    /// # Errors
    /// When the engine cannot start; never for what is in the trace.
    pub fn open(trace: &Trace, options: &Options) -> Result<Self, SqlError> {
        let runtime = Builder::new_multi_thread().worker_threads(cores()).enable_time().build()?;
        let mut config = SessionConfig::new()
            .with_information_schema(true)
            .with_default_catalog_and_schema(CATALOG, VIEWS)
            .with_target_partitions(options.partitions.unwrap_or_else(cores));
        let parquet = &mut config.options_mut().execution.parquet;
        parquet.pushdown_filters = true;
        parquet.reorder_filters = true;
        let environment =
            RuntimeEnvBuilder::new().with_memory_limit(options.memory_limit_bytes, 1.0).build_arc()?;
        let context = SessionContext::new_with_config_rt(config, environment);
        let catalog = context.catalog(CATALOG).ok_or_else(|| SqlError::Query("no catalog".to_owned()))?;
        catalog.register_schema(RAW, Arc::new(MemorySchemaProvider::new()))?;
        for table in TableId::ALL.iter().copied() {
            let provider = Arc::new(TraceTable::new(trace, table));
            context.register_table(TableReference::partial(RAW, table.name()), provider)?;
        }
        functions::register(&context, Identities::of(trace));
        runtime.block_on(async {
            for view in views::definitions(trace) {
                context.sql(&view).await?;
            }
            Ok::<(), SqlError>(())
        })?;
        Ok(Self { runtime, context, format: options.format, row_counts: options.row_counts })
    }

    /// Runs statements, separated by `;`, and prints their rows.
    ///
    /// # Errors
    /// The first statement that fails ends the run; the rows of those before it are printed.
    pub fn run(&self, statements: &str, out: &mut (dyn Write + Send)) -> Result<Vec<Answer>, SqlError> {
        self.run_until(statements, out, &AtomicBool::new(false), &mut NoProgress)
    }

    /// As [`Self::run`]; ends soon after `cancelled` becomes true. Progress is told of the time before the first rows.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_until(
        &self,
        statements: &str,
        out: &mut (dyn Write + Send),
        cancelled: &AtomicBool,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Answer>, SqlError> {
        let statements = DFParser::parse_sql(statements)?;
        if self.format == RowFormat::Parquet && statements.len() > 1 {
            return Err(SqlError::SecondAnswer);
        }
        // A decoder may panic on a damaged file.
        let run = catch_unwind(AssertUnwindSafe(|| {
            self.runtime.block_on(async {
                let mut answers = Vec::new();
                for statement in statements {
                    let waiting = Waiting::begin(progress);
                    tokio::select! {
                        answer = self.run_one(statement, out, &waiting) => answers.push(answer?),
                        () = cancellation(cancelled, &waiting) => return Err(SqlError::Cancelled),
                    }
                }
                Ok(answers)
            })
        }));
        run.unwrap_or_else(|_| {
            Err(SqlError::Query(
                "the engine gave up: a file may be damaged; `analyze verify` names it".to_owned(),
            ))
        })
    }

    async fn run_one(
        &self,
        statement: Statement,
        out: &mut (dyn Write + Send),
        waiting: &Waiting<'_>,
    ) -> Result<Answer, SqlError> {
        let begin = Instant::now();
        let plan = self.context.state().statement_to_plan(statement).await?;
        let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false);
        read_only.verify_plan(&plan).map_err(|error| SqlError::ReadOnly(error.strip_backtrace()))?;
        let frame = self.context.execute_logical_plan(plan).await?;
        let mut stream = frame.execute_stream().await?;
        let schema = stream.schema();
        if schema.fields().is_empty() {
            return Ok(Answer { rows: 0, elapsed: begin.elapsed() });
        }
        let mut next = stream.next().await;
        waiting.end();
        let mut printer = Printer::new(self.format, schema, out)?;
        while let Some(batch) = next {
            printer.print(&batch?)?;
            next = stream.next().await;
        }
        let rows = printer.finish(self.row_counts)?;
        Ok(Answer { rows, elapsed: begin.elapsed() })
    }

    /// Names of the views, which are what most queries want, with their columns.
    pub fn tables(&self) -> Vec<(String, Vec<String>)> {
        let Some(schema) = self.context.catalog(CATALOG).and_then(|catalog| catalog.schema(VIEWS)) else {
            return Vec::new();
        };
        let mut tables: Vec<_> = schema
            .table_names()
            .into_iter()
            .map(|name| {
                let provider = self.runtime.block_on(schema.table(&name)).ok().flatten();
                let columns = provider
                    .map(|table| table.schema().fields().iter().map(|field| field.name().clone()).collect())
                    .unwrap_or_default();
                (name, columns)
            })
            .collect();
        tables.sort();
        tables
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

async fn cancellation(cancelled: &AtomicBool, waiting: &Waiting<'_>) {
    while !cancelled.load(Ordering::Relaxed) {
        tokio::time::sleep(CANCEL_INTERVAL).await;
        waiting.advance();
    }
}

/// The progress of a statement until its first rows come, or its end.
struct Waiting<'p> {
    progress: RefCell<Option<&'p mut dyn Progress>>,
    turns: Cell<u64>,
}

impl<'p> Waiting<'p> {
    fn begin(progress: &'p mut dyn Progress) -> Self {
        progress.begin("running the query", None);
        Self { progress: RefCell::new(Some(progress)), turns: Cell::new(0) }
    }

    fn advance(&self) {
        self.turns.set(self.turns.get() + 1);
        if let Some(progress) = &mut *self.progress.borrow_mut() {
            progress.advance(self.turns.get());
        }
    }

    fn end(&self) {
        if let Some(progress) = self.progress.borrow_mut().take() {
            progress.end();
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.end();
    }
}
