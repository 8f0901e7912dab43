//! The functions that traces need in SQL: addresses, container ids, names of errors.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use aftertrace_schemas::column::{Column, Ip};
use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::datatypes::{DataType, UInt16Type};
use datafusion::common::ScalarValue;
use datafusion::common::cast::{as_fixed_size_binary_array, as_string_array};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
use datafusion::prelude::SessionContext;

use crate::identity::Identities;

pub(super) fn register(context: &SessionContext, identities: Identities) {
    let ip = Ip::data_type();
    context.register_udf(create_udf(
        "ip_text",
        vec![ip.clone()],
        DataType::Utf8,
        Volatility::Immutable,
        Arc::new(|arguments| each(arguments, ip_text)),
    ));
    context.register_udf(create_udf(
        "ip",
        vec![DataType::Utf8],
        ip,
        Volatility::Immutable,
        Arc::new(|arguments| each(arguments, ip_bytes)),
    ));
    context.register_udf(create_udf(
        "container_id",
        vec![DataType::Utf8],
        DataType::Utf8,
        Volatility::Immutable,
        Arc::new(move |arguments| each(arguments, |column| container_ids(column, &identities))),
    ));
    context.register_udf(create_udf(
        "error_name",
        vec![DataType::UInt16],
        DataType::Utf8,
        Volatility::Immutable,
        Arc::new(|arguments| each(arguments, error_names)),
    ));
}

/// Applies a function of one column; a constant stays one.
fn each(
    arguments: &[ColumnarValue],
    function: impl Fn(&ArrayRef) -> Result<ArrayRef>,
) -> Result<ColumnarValue> {
    match arguments {
        [ColumnarValue::Array(column)] => Ok(ColumnarValue::Array(function(column)?)),
        [ColumnarValue::Scalar(value)] => {
            let answer = function(&value.to_array()?)?;
            Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&answer, 0)?))
        }
        _ => Err(DataFusionError::Execution("one argument expected".to_owned())),
    }
}

fn ip_text(column: &ArrayRef) -> Result<ArrayRef> {
    use std::fmt::Write;
    let addresses = as_fixed_size_binary_array(column)?;
    let mut texts = StringBuilder::with_capacity(addresses.len(), addresses.len() * 16);
    for address in addresses {
        match address.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok()) {
            Some(bytes) => {
                write!(texts, "{}", Ip(bytes))
                    .map_err(|error| DataFusionError::Execution(error.to_string()))?;
                texts.append_value("");
            }
            None => texts.append_null(),
        }
    }
    Ok(Arc::new(texts.finish()))
}

fn ip_bytes(column: &ArrayRef) -> Result<ArrayRef> {
    let mut addresses = <Option<Ip>>::builder(column.len());
    for text in as_string_array(column)? {
        let address = text.map(|text| {
            let address: std::result::Result<IpAddr, _> = text.trim().parse();
            address
                .map(Ip::from)
                .map_err(|_| DataFusionError::Execution(format!("`{text}` is no IP address")))
        });
        address.transpose()?.append(&mut addresses);
    }
    Ok(<Option<Ip>>::finish(&mut addresses))
}

fn container_ids(column: &ArrayRef, identities: &Identities) -> Result<ArrayRef> {
    let paths = as_string_array(column)?;
    let mut known: HashMap<&str, Option<String>> = HashMap::new();
    let mut ids = StringBuilder::with_capacity(paths.len(), paths.len() * 32);
    for path in paths {
        let id = path
            .and_then(|path| known.entry(path).or_insert_with(|| identities.container_id(path)).as_deref());
        ids.append_option(id);
    }
    Ok(Arc::new(ids.finish()))
}

fn error_names(column: &ArrayRef) -> Result<ArrayRef> {
    let numbers = column
        .as_primitive_opt::<UInt16Type>()
        .ok_or_else(|| DataFusionError::Execution("an error number is a UInt16".to_owned()))?;
    let mut names = StringBuilder::new();
    for number in numbers {
        match number {
            None | Some(0) => names.append_null(),
            Some(number) => names.append_value(error_name(number)),
        }
    }
    Ok(Arc::new(names.finish()))
}

/// Linux's names of the errors that connections end with; the numbers are the same on all architectures we record but
/// are not those of other systems, so the platform's own table cannot be asked.
pub(crate) fn error_name(number: u16) -> String {
    let name = match number {
        1 => "EPERM",
        4 => "EINTR",
        11 => "EAGAIN",
        13 => "EACCES",
        22 => "EINVAL",
        32 => "EPIPE",
        97 => "EAFNOSUPPORT",
        98 => "EADDRINUSE",
        99 => "EADDRNOTAVAIL",
        100 => "ENETDOWN",
        101 => "ENETUNREACH",
        102 => "ENETRESET",
        103 => "ECONNABORTED",
        104 => "ECONNRESET",
        105 => "ENOBUFS",
        110 => "ETIMEDOUT",
        111 => "ECONNREFUSED",
        112 => "EHOSTDOWN",
        113 => "EHOSTUNREACH",
        115 => "EINPROGRESS",
        other => return format!("errno {other}"),
    };
    name.to_owned()
}
