//! `rolling` and `lags`: features of values that are in no buffer.

use millstream_core::compute::{Held, compute};
use millstream_core::error::Error;
use millstream_core::features::{Plan, Request};
use millstream_core::rows::Values;
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
    let table = table(values)?;
    Ok(values.py().detach(|| of_table(&plan, &table)).into())
}

fn of_table(plan: &Plan, table: &Table) -> Table {
    let columns = table.columns().iter().enumerate();
    let numbers = columns.filter_map(|(place, column)| Some((column.name(), table.floats(place)?)));
    let (names, columns): (Vec<_>, Vec<_>) = numbers.unzip();
    let rows = if columns.is_empty() { 0 } else { table.len() };
    let held = Held { columns: columns.len(), rows, first_sequence: 0 };
    let computed = compute(plan, held, rows, |column, values| values.copy_from_slice(&columns[column]));
    let names = names.into_iter().map(|column: &str| if column.is_empty() { "value" } else { column });
    let names = plan.names_of(names).into_iter();
    Table::new(names.zip(computed).map(|(name, values)| Column::numbers(name, values)).collect(), rows)
}

fn table(values: &Bound<'_, PyAny>) -> PyResult<Table> {
    if let Ok(table) = values.cast::<PyTable>() {
        return Ok(table.get().table().clone());
    }
    if arrow::speaks_arrow(values)? {
        return arrow::import(values);
    }
    of_array(values)
}

fn of_array(values: &Bound<'_, PyAny>) -> PyResult<Table> {
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
    let column = |name: &str, values| Column::new(name, Values::Number(values));
    Ok(match *buffer.shape() {
        [rows, width] => {
            let values = |place: usize| data[place * rows..][..rows].to_vec();
            Table::new(
                (0..width).map(|place| column(&format!("column_{place}"), values(place))).collect(),
                rows,
            )
        }
        _ => {
            let rows = data.len();
            Table::new(vec![column("value", data)], rows)
        }
    })
}
