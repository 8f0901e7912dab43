//! A table of the trace as DataFusion reads it: the Parquet files of the sealed segments and the journal of the open one.
//!
//! Each file's range of times and sequence numbers is known from its footer, so a filter on them leaves out whole
//! segments before any is opened; within a file, row groups and pages are left out by their own statistics.

use std::collections::HashSet;
use std::sync::Arc;

use aftertrace_schemas::TableId;
use arrow::array::{
    ArrayRef, BooleanArray, RecordBatch, TimestampNanosecondArray, UInt64Array, new_null_array,
};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{Column, DFSchema, ScalarValue, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::object_store::ObjectMeta;
use datafusion::object_store::path::Path;
use datafusion::physical_optimizer::pruning::{PruningPredicateBuilder, PruningStatistics};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;

use crate::Trace;
use crate::table_file::journal_batches;
use crate::trace::TableFile;

/// See the module.
#[derive(Debug)]
pub(super) struct TraceTable {
    schema: SchemaRef,
    files: Vec<TableFile>,
}

impl TraceTable {
    pub(super) fn new(trace: &Trace, table: TableId) -> Self {
        Self { schema: table.schema(), files: trace.files_of(table).cloned().collect() }
    }

    /// The files that can hold rows that pass the filters.
    fn pruned(&self, state: &dyn Session, filters: &[Expr]) -> Vec<&TableFile> {
        let keep = conjunction(filters.iter().cloned()).and_then(|filter| {
            let schema = DFSchema::try_from(self.schema.as_ref().clone()).ok()?;
            let filter = state.create_physical_expr(filter, &schema).ok()?;
            let predicate =
                PruningPredicateBuilder::new().with_file_schema(self.schema.clone()).build(filter)?;
            predicate.prune(&Ranges(&self.files)).ok()
        });
        match keep {
            Some(keep) => {
                self.files.iter().zip(keep).filter(|(_, keep)| *keep).map(|(file, _)| file).collect()
            }
            None => self.files.iter().collect(),
        }
    }

    async fn scan_parquet(
        &self,
        state: &dyn Session,
        files: &[&TableFile],
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let parquet = state.default_table_options().parquet;
        let source = ParquetSource::new(self.schema.clone()).with_table_parquet_options(parquet.clone());
        let files: Vec<_> =
            files.iter().map(|file| partitioned(file, &self.schema)).collect::<Result<_>>()?;
        let groups = FileGroup::new(files).split_files(state.config().target_partitions());
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        ParquetFormat::default().with_options(parquet).create_physical_plan(state, config).await
    }

    fn scan_journals(
        &self,
        files: &[&TableFile],
        projection: Option<&Vec<usize>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut batches = Vec::new();
        for file in files {
            let read = journal_batches(&file.path)
                .map_err(|reason| DataFusionError::Execution(format!("{}: {reason}", file.name)))?;
            for batch in read {
                batches.push(adapted(&batch, &self.schema)?);
            }
        }
        Ok(MemorySourceConfig::try_new_exec(&[batches], self.schema.clone(), projection.cloned())?)
    }
}

#[async_trait]
impl TableProvider for TraceTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (sealed, journals): (Vec<_>, Vec<_>) =
            self.pruned(state, filters).into_iter().partition(|file| file.sealed);
        let mut plans = Vec::new();
        if !sealed.is_empty() {
            plans.push(self.scan_parquet(state, &sealed, projection, limit).await?);
        }
        if !journals.is_empty() {
            plans.push(self.scan_journals(&journals, projection)?);
        }
        match plans.len() {
            0 => {
                let schema = match projection {
                    Some(columns) => Arc::new(self.schema.project(columns)?),
                    None => self.schema.clone(),
                };
                Ok(Arc::new(EmptyExec::new(schema)))
            }
            1 => Ok(plans.remove(0)),
            _ => UnionExec::try_new(plans),
        }
    }
}

fn partitioned(file: &TableFile, schema: &SchemaRef) -> Result<PartitionedFile> {
    let location =
        Path::from_filesystem_path(&file.path).map_err(|error| DataFusionError::External(Box::new(error)))?;
    let last_modified = std::fs::metadata(&file.path)?.modified()?.into();
    let meta = ObjectMeta { location, last_modified, size: file.bytes, e_tag: None, version: None };
    Ok(PartitionedFile::new_from_meta(meta).with_statistics(Arc::new(statistics(file, schema))))
}

/// What the footer said, so that the planner need not read it again.
fn statistics(file: &TableFile, schema: &SchemaRef) -> Statistics {
    let mut statistics = Statistics::new_unknown(schema);
    statistics.num_rows = usize::try_from(file.rows).map_or(Precision::Absent, Precision::Exact);
    for (field, column) in schema.fields().iter().zip(&mut statistics.column_statistics) {
        let range = match field.name().as_str() {
            "seq" => {
                file.seqs.map(|(from, to)| (ScalarValue::UInt64(Some(from)), ScalarValue::UInt64(Some(to))))
            }
            "time" => file.times.map(|(from, to)| (time(from), time(to))),
            _ => None,
        };
        if let Some((from, to)) = range {
            column.min_value = Precision::Exact(from);
            column.max_value = Precision::Exact(to);
            column.null_count = Precision::Exact(0);
        }
    }
    statistics
}

fn time(ns: i64) -> ScalarValue {
    ScalarValue::TimestampNanosecond(Some(ns), Some("UTC".into()))
}

/// A journal's batch with the columns of this build: absent ones are null.
fn adapted(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let column = |name: &str, data_type| {
        let absent = || new_null_array(data_type, batch.num_rows());
        batch.column_by_name(name).cloned().unwrap_or_else(absent)
    };
    let columns = schema.fields().iter().map(|field| column(field.name(), field.data_type())).collect();
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

/// The known ranges of files, for pruning.
struct Ranges<'a>(&'a [TableFile]);

impl Ranges<'_> {
    fn values(&self, column: &Column, of: fn(&TableFile) -> (Option<u64>, Option<i64>)) -> Option<ArrayRef> {
        let values = self.0.iter().map(of);
        match column.name.as_str() {
            "seq" => Some(Arc::new(values.map(|(seq, _)| seq).collect::<UInt64Array>())),
            "time" => {
                let times: TimestampNanosecondArray = values.map(|(_, time)| time).collect();
                Some(Arc::new(times.with_timezone("UTC")))
            }
            _ => None,
        }
    }
}

impl PruningStatistics for Ranges<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |file| (file.seqs.map(|range| range.0), file.times.map(|range| range.0)))
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |file| (file.seqs.map(|range| range.1), file.times.map(|range| range.1)))
    }

    fn num_containers(&self) -> usize {
        self.0.len()
    }

    fn null_counts(&self, _column: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        None
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
