//! `Buffer`: one writer at a time, any number of readers.

use millstream_core::buffer::{Ask, Buffer, View};
use millstream_core::error::Error;
use millstream_core::rows::{Mode, Wanted};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::arguments::{self, periods_if_any, whole_if_any};
use crate::claim::{Claim, Claimed};
use crate::error::raise;
use crate::numpy::array_of;
use crate::one_row::{plain_number, read_in_order};
use crate::rows::read;
use crate::table::{PyTable, listed};

/// Rows of a buffer that is not told how many.
const CAPACITY: i64 = 10_000;

/// A ring of the newest `capacity` rows, with rolling statistics, lags and deltas kept live.
///
/// Parameters
/// ----------
/// capacity : int
///     Rows held, 1 to 10,000,000; the oldest leave.
/// columns : sequence of str, optional
///     Exactly these columns, all of numbers. By default columns appear with the data, each of the type of its first
///     value: numbers (float64), booleans or text.
/// rolling_windows, lag_periods : sequence of int
///     Features kept up at every append, in rows, each at most `capacity`: the mean, standard deviation (ddof 1), minimum
///     and maximum of each window, and the lags and deltas of each period.
/// min_samples : int, optional
///     A window's statistics are missing where it holds fewer values. By default it must be full and without gaps; never
///     more than the window.
///
/// Raises
/// ------
/// InvalidRequestError
///     An argument that is not allowed, by name.
///
/// Notes
/// -----
/// One thread appends at a time (a second gets WriterBusyError), any number read, without a lock. NaN and None are missing
/// values; infinities are refused. A row keeps the features it had when it arrived. Memory follows the rows held.
///
/// Statistics are computed in two halves of a window, each relative to one of its own values (Welford 1962; Chan, Golub,
/// LeVeque 1983; blocks as in van Herk 1992): no running sum is ever subtracted from, so a large offset costs no digits
/// and an outlier leaves with its row. Where values of a window differ by more than 1e154 their squares overflow, and the
/// standard deviation is missing or infinite; where they differ by less than 1e-154, it loses digits. A mean is missing or
/// infinite where the sum of the differences passes 1.8e308.
#[pyclass(name = "Buffer", module = "millstream", frozen)]
pub(crate) struct PyBuffer {
    /// Nobody ever waits for it. In a place of its own, because the writer changes what lies beside the claim and readers
    /// need what lies beside the view.
    writer: Box<Claim<Writer>>,
    view: View,
}

struct Writer {
    buffer: Buffer,
    /// The names of the columns as Python has them, where all of them hold numbers.
    keys: Vec<Py<PyString>>,
    /// Room for a row.
    row: Vec<f64>,
}

impl PyBuffer {
    /// The right to write, for the whole call: whoever comes second is refused.
    fn claim(&self, py: Python<'_>) -> PyResult<Claimed<'_, Writer>> {
        self.writer.claim(py).ok_or_else(|| raise(Error::WriterBusy))
    }

    /// [`Writer::take`], if nobody else writes.
    #[inline(always)]
    pub(crate) fn take(&self, row: &Bound<'_, PyDict>) -> bool {
        self.writer.claim(row.py()).is_some_and(|mut writer| writer.take(row))
    }
}

impl Writer {
    /// Takes in a dictionary of just the columns, all of them numbers: without a table between. False, and nothing
    /// happens, for any other.
    #[inline(always)]
    fn take(&mut self, row: &Bound<'_, PyDict>) -> bool {
        if self.keys.is_empty() || row.len() != self.keys.len() {
            return false;
        }
        let read = read_in_order(row, &self.keys, &mut self.row) || self.read_by_name(row);
        // What it refuses (infinite numbers) is refused once more, with the right words.
        read && self.buffer.append_row(&self.row).is_ok()
    }

    /// Keys of other objects with the same names: JSON has them. Plain ones, so that no code of theirs runs.
    #[cold]
    fn read_by_name(&mut self, row: &Bound<'_, PyDict>) -> bool {
        row.iter().all(|(key, _)| key.is_exact_instance_of::<PyString>())
            && self.keys.iter().zip(&mut self.row).all(|(name, into)| {
                let value = row.get_item(name.bind(row.py())).ok().flatten();
                value.and_then(|value| plain_number(&value)).map(|number| *into = number).is_some()
            })
    }

    /// Makes ready for plain rows, if the buffer takes such. Its columns change in tables only.
    fn learn(&mut self, py: Python<'_>) {
        if self.keys.len() != self.buffer.columns() {
            let names = self.buffer.takes_plain_rows().then(|| self.buffer.names());
            let keys = names.into_iter().flatten().map(|name| PyString::intern(py, name).unbind());
            self.keys = keys.collect();
            self.row = vec![0.0; self.keys.len()];
        }
    }
}

#[pymethods]
impl PyBuffer {
    #[new]
    #[pyo3(
        signature = (capacity=None, columns=None, rolling_windows=None, lag_periods=None, min_samples=None),
        text_signature = "(capacity=10000, columns=None, rolling_windows=(), lag_periods=(), min_samples=None)"
    )]
    fn new(
        capacity: Option<&Bound<'_, PyAny>>,
        columns: Option<&Bound<'_, PyAny>>,
        rolling_windows: Option<&Bound<'_, PyAny>>,
        lag_periods: Option<&Bound<'_, PyAny>>,
        min_samples: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let capacity = whole_if_any("capacity", capacity)?.unwrap_or(CAPACITY);
        let columns = columns.map(|names| arguments::names("columns", names)).transpose()?;
        let windows = periods_if_any("rolling_windows", rolling_windows)?;
        let lags = periods_if_any("lag_periods", lag_periods)?;
        let min_samples = whole_if_any("min_samples", min_samples)?;
        let (windows, lags) = (windows.unwrap_or_default(), lags.unwrap_or_default());
        let buffer =
            Buffer::new(capacity, columns.as_deref(), &windows, &lags, min_samples).map_err(raise)?;
        let view = buffer.view();
        Ok(Self { writer: Box::new(Claim::new(Writer { buffer, keys: Vec::new(), row: Vec::new() })), view })
    }

    /// Takes in one row or many, or none of them; how many.
    pub(crate) fn append(&self, data: &Bound<'_, PyAny>) -> PyResult<usize> {
        let mut writer = self.claim(data.py())?;
        let table = read(data, None, Mode::Typed, &Wanted::default())?;
        let buffer = &mut writer.buffer;
        let count = data.py().detach(|| buffer.append(&table)).map_err(raise)?;
        writer.learn(data.py());
        Ok(count)
    }

    /// The newest `tail` rows, or all: an immutable table that copies nothing and never changes.
    ///
    /// `len(table)`, `table.columns`, `table[name]` (a read-only array), `pl.DataFrame(table)` and whatever else reads
    /// Arrow.
    #[pyo3(signature = (tail=None))]
    fn snapshot(&self, py: Python<'_>, tail: Option<&Bound<'_, PyAny>>) -> PyResult<PyTable> {
        let tail = arguments::tail(tail)?;
        Ok(py.detach(|| self.view.snapshot(tail)).into())
    }

    /// The newest rows with their features, in a table as of `snapshot`.
    ///
    /// Parameters
    /// ----------
    /// rolling_windows, lag_periods : sequence of int, optional
    ///     In rows. By default those declared, or 5, 10, 20 and 1, 2, 3 where none were. Declared features are handed over
    ///     as they stand, of the moment each row arrived; others are computed over the rows held.
    /// include_rolling_stats : sequence of str
    ///     Some of mean, std (ddof 1), min and max.
    /// include_lags, include_deltas : bool
    ///     Whether `x_lag_1` (the value one row before) and `x_delta_1` (the value less that) are wanted.
    /// min_samples : int, optional
    ///     As declared, unless given: see the class.
    /// tail : int, optional
    ///     Only the newest rows; their features are those they have among all.
    ///
    /// Returns
    /// -------
    /// Table
    ///     All columns, then for each column of numbers `x_rolling_mean_5`, `x_rolling_std_5`, ..., `x_lag_1`, ...,
    ///     `x_delta_1`, ...; float64, null where missing.
    ///
    /// Raises
    /// ------
    /// InvalidRequestError
    ///     An argument that is not allowed, by name.
    /// ConflictError
    ///     A feature would be called like a column.
    /// TooLargeError
    ///     More than 67 million values at once; ask for a tail.
    #[pyo3(
        signature = (
            rolling_windows=None, include_rolling_stats=None, lag_periods=None, include_lags=None,
            include_deltas=None, min_samples=None, tail=None
        ),
        text_signature = "($self, rolling_windows=None, include_rolling_stats=('mean', 'std', 'min', 'max'), lag_periods=None, include_lags=True, include_deltas=False, min_samples=None, tail=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "the arguments of the Python method")]
    fn features(
        &self,
        py: Python<'_>,
        rolling_windows: Option<&Bound<'_, PyAny>>,
        include_rolling_stats: Option<&Bound<'_, PyAny>>,
        lag_periods: Option<&Bound<'_, PyAny>>,
        include_lags: Option<&Bound<'_, PyAny>>,
        include_deltas: Option<&Bound<'_, PyAny>>,
        min_samples: Option<&Bound<'_, PyAny>>,
        tail: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyTable> {
        let stats = arguments::statistics("include_rolling_stats", include_rolling_stats)?;
        let stats: Vec<&str> = stats.iter().map(String::as_str).collect();
        let windows = periods_if_any("rolling_windows", rolling_windows)?;
        let lags = periods_if_any("lag_periods", lag_periods)?;
        let ask = Ask {
            windows: windows.as_deref(),
            stats: &stats,
            lags: lags.as_deref(),
            include_lags: arguments::flag("include_lags", include_lags, true)?,
            include_deltas: arguments::flag("include_deltas", include_deltas, false)?,
            min_samples: whole_if_any("min_samples", min_samples)?,
            tail: arguments::tail(tail)?,
        };
        py.detach(|| self.view.features(&ask)).map(PyTable::from).map_err(raise)
    }

    /// The declared features of the newest row by name: rolling statistics, lags, deltas; None where missing.
    fn newest<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (names, values) = py.detach(|| {
            let row = self.view.newest();
            let mut values = vec![0.0; row.len()];
            row.write(&mut values);
            (row.names(), values)
        });
        let newest = PyDict::new(py);
        for (name, value) in names.iter().zip(values) {
            newest.set_item(name, (!value.is_nan()).then_some(value))?;
        }
        Ok(newest)
    }

    /// Forgets the rows; columns, types and declared features stay.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        let mut writer = self.claim(py)?;
        let buffer = &mut writer.buffer;
        py.detach(|| buffer.clear());
        Ok(())
    }

    /// The declared features of the newest row: a read-only float64 array in the order of `feature_names`, NaN where
    /// missing. A copy of the moment, in a quarter of a microsecond for any size of the buffer.
    #[getter]
    fn newest_values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        // Shorter than letting others run meanwhile would take.
        let row = self.view.newest();
        array_of(py, row.len(), |values| row.write(values))
    }

    /// The names of the declared features, column by column.
    #[getter]
    fn feature_names<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let names = py.detach(|| self.view.feature_names());
        PyTuple::new(py, names)
    }

    /// The most rows it holds.
    #[getter]
    fn capacity(&self, py: Python<'_>) -> usize {
        py.detach(|| self.view.capacity())
    }

    /// The names of the columns.
    #[getter]
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let names = py.detach(|| self.names(|_| true));
        PyTuple::new(py, names)
    }

    /// The names of the columns of numbers, which have features.
    #[getter]
    fn numeric_columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let names = py.detach(|| self.names(|numeric| numeric));
        PyTuple::new(py, names)
    }

    /// The declared windows, in rows.
    #[getter]
    fn rolling_windows<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let windows = py.detach(|| self.view.plan().windows().to_vec());
        PyTuple::new(py, windows)
    }

    /// The declared lags, in rows.
    #[getter]
    fn lag_periods<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let lags = py.detach(|| self.view.plan().lags().to_vec());
        PyTuple::new(py, lags)
    }

    /// All bytes it holds, spare segments included.
    #[getter]
    fn memory_bytes(&self, py: Python<'_>) -> usize {
        py.detach(|| self.view.memory_bytes())
    }

    /// Rows ever accepted; `clear` does not reset it.
    #[getter]
    fn append_count(&self, py: Python<'_>) -> u64 {
        py.detach(|| self.view.append_count())
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        py.detach(|| self.view.len())
    }

    fn __repr__(&self) -> String {
        let (rows, capacity, columns) = (self.view.len(), self.view.capacity(), self.names(|_| true));
        format!("<Buffer: {rows} of {capacity} rows; {}>", listed(columns.iter().map(String::as_str)))
    }
}

impl PyBuffer {
    fn names(&self, wanted: impl Fn(bool) -> bool) -> Vec<String> {
        let columns = self.view.columns();
        columns.iter().filter(|(_, numeric)| wanted(*numeric)).map(|(name, _)| name.to_string()).collect()
    }
}
