//! `rolling` and `lags`: features of values that are in no buffer.

use std::sync::Arc;

use millstream_core::compute::compute_of;
use millstream_core::error::Error;
use millstream_core::features::{Called, Plan, Request};
use millstream_core::slab::{Numbers, Slab};
use millstream_core::table::{Column, Table};
use pyo3::buffer::PyBuffer;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::arguments::{self, whole_if_any};
use crate::arrow::{self, Others};
use crate::error::raise;
use crate::numpy::{is_ndarray, read_column, read_matrix};
use crate::one_row::plain_number;
use crate::rows::{self, without_mask};
use crate::table::{PyTable, float_array};

/// Rolling statistics of each column, of values that are in no buffer.
///
/// Parameters
/// ----------
/// values : array, list, Polars or Arrow column, or a frame
///     Numbers (n) or (n, d); NaN, None and null are missing, infinities are taken and leave with their rows. Columns of a
///     frame that hold no numbers are left out.
/// windows : sequence of int
///     In rows; they may be longer than the values.
/// stats : sequence of str
///     Some of mean, std (ddof 1), min and max.
/// min_samples : int, optional
///     A window's statistics are missing where it holds fewer values; by default it must be full and without gaps.
///
/// Returns
/// -------
/// Table
///     (n) rows of `x_rolling_mean_10`, ... for each column x; `value` and `column_0`, `column_1`, ... where they have no
///     names. float64, NaN where missing; `pl.DataFrame(table)` shares the memory.
///
/// Raises
/// ------
/// InvalidRequestError
///     An argument that is not allowed, or values without a column of numbers.
///
/// Notes
/// -----
/// The time per row does not depend on the window. Exact to the last digits at any offset: see `Buffer`.
#[pyfunction]
#[pyo3(
    signature = (values, windows, stats=None, min_samples=None),
    text_signature = "(values, windows, stats=('mean', 'std', 'min', 'max'), min_samples=None)"
)]
pub(crate) fn rolling(
    values: &Bound<'_, PyAny>,
    windows: &Bound<'_, PyAny>,
    stats: Option<&Bound<'_, PyAny>>,
    min_samples: Option<&Bound<'_, PyAny>>,
) -> PyResult<PyTable> {
    let windows = arguments::periods("windows", windows)?;
    let stats = arguments::statistics("stats", stats)?;
    let stats: Vec<&str> = stats.iter().map(String::as_str).collect();
    let min_samples = whole_if_any("min_samples", min_samples)?;
    features(values, Request { windows: &windows, stats: &stats, min_samples, ..NOTHING })
}

/// Lags of each column, and deltas where asked for: `x_lag_1` is the value one row before, `x_delta_1` the value less that.
///
/// `values`, the table and the errors are as of `rolling`; `periods` are in rows. The first rows of a lag are missing.
#[pyfunction]
#[pyo3(signature = (values, periods, deltas=None), text_signature = "(values, periods, deltas=False)")]
pub(crate) fn lags(
    values: &Bound<'_, PyAny>,
    periods: &Bound<'_, PyAny>,
    deltas: Option<&Bound<'_, PyAny>>,
) -> PyResult<PyTable> {
    let deltas = arguments::flag("deltas", deltas, false)?;
    let lags = arguments::periods("periods", periods)?;
    features(values, Request { lags: &lags, include_deltas: deltas, ..NOTHING })
}

const NOTHING: Request<'static> = Request {
    windows: &[],
    stats: &[],
    lags: &[],
    include_lags: true,
    include_deltas: false,
    min_samples: None,
    longest: Request::UNBOUNDED,
    called: Called { windows: "windows", stats: "stats", lags: "periods" },
};

fn features(values: &Bound<'_, PyAny>, request: Request<'_>) -> PyResult<PyTable> {
    let plan = Plan::new(request).map_err(raise)?;
    let table = table(values)?;
    if (0..table.columns().len()).all(|place| table.floats(place).is_none()) {
        return Err(raise(Error::invalid(
            "Values without a column of numbers. Send some, or cast a column to numbers.",
        )));
    }
    Ok(values.py().detach(|| of_table(&plan, &table)).into())
}

fn of_table(plan: &Plan, table: &Table) -> Table {
    let columns = table.columns().iter().enumerate();
    let numbers = columns.filter_map(|(place, column)| Some((column.name(), table.floats(place)?)));
    let (names, columns): (Vec<_>, Vec<_>) = numbers.unzip();
    let rows = if columns.is_empty() { 0 } else { table.len() };
    let computed = compute_of(plan, &columns, rows);
    let names = names.into_iter().map(|column: &str| if column.is_empty() { "value" } else { column });
    let names = plan.names_of(names).into_iter();
    Table::new(names.zip(computed).map(|(name, values)| Column::numbers(name, values)).collect(), rows)
}

fn table(values: &Bound<'_, PyAny>) -> PyResult<Table> {
    if let Ok(table) = values.cast::<PyTable>() {
        return Ok(table.get().table().clone());
    }
    if let Some((slab, rows)) = read_column(values, copied)? {
        let numbers = Numbers::new(&Arc::new(slab), 0..rows);
        return Ok(Table::new(vec![Column::numbers("value", numbers)], rows));
    }
    // An array is not asked whether it speaks Arrow: to say no takes it half a microsecond.
    if !is_ndarray(values)? && arrow::speaks_arrow(values)? {
        return arrow::import(values, Others::LeftOut);
    }
    of_array(values)
}

fn of_array(values: &Bound<'_, PyAny>) -> PyResult<Table> {
    static ASARRAY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = values.py();
    let mut array = ASARRAY.import(py, "numpy", "asarray")?.call1((without_mask(values)?,))?;
    let kind: char = array.getattr(intern!(py, "dtype"))?.getattr(intern!(py, "kind"))?.extract()?;
    if kind == 'O'
        && let Some(numbers) = numbers_or_none(&array)?
    {
        array = numbers;
    } else if !matches!(kind, 'f' | 'i' | 'u') {
        return Err(raise(Error::invalid(
            "Values that are no numbers. Send a 1-D or 2-D array of numbers, or an Arrow column or frame of them; None and NaN are missing.",
        )));
    }
    let names = match array.getattr(intern!(py, "ndim"))?.extract()? {
        1 => vec!["value".to_owned()],
        2 => Vec::new(),
        dimensions => {
            return Err(raise(Error::invalid(format!(
                "An array of {dimensions} dimensions. Send a 1-D array or, for several columns, a 2-D array."
            ))));
        }
    };
    let floats = if let Some(floats) = rows::floats(&array)? {
        floats
    } else {
        array = array.call_method1("astype", ("float64",))?;
        PyBuffer::get(&array)?
    };
    read_matrix(&array, &floats, |cells, rows, width| Table::of_matrix(cells, rows, width, &names).0)
}

/// A list of numbers, some of them None, as an array of float64.
fn numbers_or_none<'py>(objects: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if objects.len().is_err() {
        return Ok(None); // a single object
    }
    let mut numbers = Vec::new();
    for item in objects.call_method0("tolist")?.try_iter()? {
        let Some(number) = plain_number(&item?) else { return Ok(None) };
        numbers.push(number);
    }
    float_array(objects.py(), numbers).map(Some)
}

/// The values of a column and how many they are. A copy: others may change the array while it is worked on.
fn copied(values: &[f64]) -> (Slab, usize) {
    let mut slab = Slab::take(values.len());
    slab.values()[..values.len()].copy_from_slice(values);
    (slab, values.len())
}
