//! `rolling` and `lags`: features of values that are in no buffer.

use millstream_core::error::Error;
use millstream_core::features::{Plan, Request};
use millstream_core::rolling::Scratch;
use millstream_core::table::{Column, Table};
use pyo3::prelude::*;

use crate::error::raise;
use crate::rows::floats;
use crate::table::PyTable;
use crate::{arrow, rows};

/// Windows and lags may be longer than the values.
const LONGEST: usize = i64::MAX as usize;

/// Rolling statistics of each column, named as `Buffer.features` names them.
#[pyfunction]
#[pyo3(signature = (values, windows, stats=vec!["mean".into(), "std".into(), "min".into(), "max".into()], min_samples=None))]
pub(crate) fn rolling(
    values: &Bound<'_, PyAny>,
    windows: Vec<i64>,
    stats: Vec<String>,
    min_samples: Option<i64>,
) -> PyResult<PyTable> {
    let stats: Vec<&str> = stats.iter().map(String::as_str).collect();
    features(values, Request { windows: &windows, stats: &stats, min_samples, ..NOTHING })
}

/// Lags of each column, and deltas where asked for.
#[pyfunction]
#[pyo3(signature = (values, periods, deltas=false))]
pub(crate) fn lags(values: &Bound<'_, PyAny>, periods: Vec<i64>, deltas: bool) -> PyResult<PyTable> {
    features(values, Request { lags: &periods, include_deltas: deltas, ..NOTHING })
}

const NOTHING: Request<'static> = Request {
    windows: &[],
    stats: &[],
    lags: &[],
    include_lags: true,
    include_deltas: false,
    min_samples: None,
    longest: LONGEST,
};

fn features(values: &Bound<'_, PyAny>, request: Request<'_>) -> PyResult<PyTable> {
    let plan = Plan::new(request).map_err(raise)?;
    let columns = columns(values)?;
    Ok(values.py().detach(|| compute(&plan, &columns)).into())
}

fn compute(plan: &Plan, columns: &[(String, Vec<f64>)]) -> Table {
    let mut scratch = Scratch::default();
    let mut out = Vec::with_capacity(columns.len() * plan.per_column());
    for (name, values) in columns {
        let mut features: Vec<_> = (0..plan.per_column()).map(|_| vec![0.0; values.len()]).collect();
        let mut slices: Vec<&mut [f64]> = features.iter_mut().map(Vec::as_mut_slice).collect();
        plan.compute(values, 0, &mut scratch, &mut slices);
        out.extend(plan.names(name).zip(features).map(|(name, values)| Column::numbers(&name, values)));
    }
    Table::new(out, columns.first().map_or(0, |(_, values)| values.len()))
}

/// The names and values of the columns of numbers.
fn columns(values: &Bound<'_, PyAny>) -> PyResult<Vec<(String, Vec<f64>)>> {
    if let Ok(table) = values.cast::<PyTable>() {
        return Ok(of_table(table.get().table()));
    }
    if arrow::speaks_arrow(values)? {
        return Ok(of_table(&arrow::import(values)?));
    }
    of_array(values)
}

fn of_table(table: &Table) -> Vec<(String, Vec<f64>)> {
    let column = |place: usize| {
        let name = table.columns()[place].name();
        let name = if name.is_empty() { "value" } else { name };
        table.floats(place).map(|values| (name.to_owned(), values.into_owned()))
    };
    (0..table.columns().len()).filter_map(column).collect()
}

fn of_array(values: &Bound<'_, PyAny>) -> PyResult<Vec<(String, Vec<f64>)>> {
    let py = values.py();
    let mut array = py.import("numpy")?.call_method1("asarray", (values,))?;
    let kind: char = array.getattr("dtype")?.getattr("kind")?.extract()?;
    if !matches!(kind, 'f' | 'i' | 'u') {
        return Err(raise(Error::invalid(
            "Values that are no numbers. Send a 1-D or 2-D array of numbers, or an Arrow column or frame of them.",
        )));
    }
    let dimensions: usize = array.getattr("ndim")?.extract()?;
    if !matches!(dimensions, 1 | 2) {
        return Err(raise(Error::invalid(format!(
            "An array of {dimensions} dimensions. Send a 1-D array or, for several columns, a 2-D array."
        ))));
    }
    if rows::floats(&array)?.is_none() {
        array = array.call_method1("astype", ("float64",))?;
    }
    let Some(buffer) = floats(&array)? else {
        return Err(raise(Error::invalid("Values of no native float type. Convert them to float64.")));
    };
    let data = buffer.to_fortran_vec(py)?;
    match *buffer.shape() {
        [rows, width] => {
            let column = |place: usize| (format!("column_{place}"), data[place * rows..][..rows].to_vec());
            Ok((0..width).map(column).collect())
        }
        _ => Ok(vec![("value".to_owned(), data)]),
    }
}
