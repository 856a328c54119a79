//! `Window`: a buffer of numbers as a stream uses it, rows in and out as arrays.

use std::sync::{Mutex, PoisonError};

use millstream_core::buffer::{Buffer, NumberRows, View};
use millstream_core::error::Error;
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::error::raise;
use crate::table::float_array;

/// The integers that float64 holds exactly, each of them.
const EXACT: i64 = 1 << 53;

/// The newest rows of a stream, their features live. Every row taken in comes out with its features.
#[pyclass(module = "millstream._core", frozen)]
pub(crate) struct Window {
    state: Mutex<State>,
    view: View,
    names: Vec<Py<PyString>>,
    width: usize,
    /// Where `take` leaves a row.
    row: PyBuffer<f64>,
}

struct State {
    buffer: Buffer,
    values: Vec<f64>,
    out: Vec<f64>,
}

#[pymethods]
impl Window {
    #[new]
    fn new(
        py: Python<'_>,
        capacity: i64,
        columns: Vec<String>,
        rolling_windows: Vec<i64>,
        lag_periods: Vec<i64>,
        row: PyBuffer<f64>,
    ) -> PyResult<Self> {
        let buffer =
            Buffer::new(capacity, Some(&columns), &rolling_windows, &lag_periods, None).map_err(raise)?;
        let width = buffer.width();
        if columns.is_empty() || row.as_mut_slice(py).is_none_or(|row| row.len() != width) {
            let message = format!("A window of {} columns wants a place for {width} numbers.", columns.len());
            return Err(raise(Error::invalid(message)));
        }
        Ok(Self {
            view: buffer.view(),
            names: columns.iter().map(|name| PyString::intern(py, name).unbind()).collect(),
            width,
            row,
            state: Mutex::new(State { buffer, values: Vec::new(), out: vec![0.0; width] }),
        })
    }

    /// Takes in one row and leaves it with its features in `row`; False, and nothing happens, unless it is
    /// a dictionary of just the columns, or a list, tuple or float64 array as wide, of finite numbers.
    fn take(&self, row: &Bound<'_, PyAny>) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { buffer, values, out } = &mut *state;
        values.clear();
        if !self.read(row, values) || values.len() != self.names.len() {
            return false;
        }
        buffer.push(values, out);
        if let Some(slots) = self.row.as_mut_slice(row.py()) {
            slots.iter().zip(&*out).for_each(|(slot, value)| slot.set(*value));
        }
        true
    }

    /// Takes in the rows of a C-ordered float64 array (n, columns), NaN where missing; the rows with their
    /// features (n, width), which is the same array when there are none.
    fn take_rows<'py>(&self, rows: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = rows.py();
        let array = PyBuffer::<f64>::get(&rows)?;
        let columns = self.names.len();
        let count = match *array.shape() {
            [count, width] if width == columns && array.is_c_contiguous() => count,
            _ => {
                return Err(raise(Error::invalid(format!(
                    "The rows are no C-ordered array of {columns} columns."
                ))));
            }
        };
        let values = array.to_vec(py)?;
        if values.iter().any(|value| value.is_infinite()) {
            return Err(raise(Error::invalid(
                "An infinite value among the rows. They are finite or missing.",
            )));
        }
        let out = py.detach(|| {
            let mut out = vec![0.0; count * self.width];
            self.state.lock().unwrap_or_else(PoisonError::into_inner).buffer.push(&values, &mut out);
            out
        });
        if self.width == columns {
            return Ok(rows);
        }
        float_array(py, out)?.call_method1("reshape", (count, self.width))
    }

    /// The rows held now, to be read whenever.
    fn snapshot(&self) -> WindowRows {
        WindowRows(self.view.number_rows())
    }

    /// Goes on from the rows of another window of the same columns, windows and lags: `places` is what
    /// `WindowRows.places` gave there, `first` the number of its first row.
    fn resume(&self, py: Python<'_>, first: u64, places: PyBuffer<f64>) -> PyResult<()> {
        let rows = match *places.shape() {
            [_, rows] if places.is_c_contiguous() => rows,
            _ => return Err(raise(Error::invalid("The rows of a window are no C-ordered matrix."))),
        };
        let places = places.to_vec(py)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.buffer.resume(first, rows, &places).map_err(raise)
    }

    #[getter]
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.names)
    }

    #[getter]
    fn memory_bytes(&self) -> usize {
        self.view.memory_bytes()
    }

    fn __len__(&self) -> usize {
        self.view.len()
    }
}

impl Window {
    fn read(&self, row: &Bound<'_, PyAny>, values: &mut Vec<f64>) -> bool {
        if let Ok(row) = row.cast_exact::<PyDict>() {
            // A value is looked at only if it is a plain number, so no code runs that could change the row.
            return row.len() == self.names.len()
                && self.names.iter().all(|name| match row.get_item(name.bind(row.py())) {
                    Ok(Some(value)) => number(&value, values),
                    _ => false,
                });
        }
        if let Ok(row) = row.cast_exact::<PyList>() {
            return row.iter().all(|value| number(&value, values));
        }
        if let Ok(row) = row.cast_exact::<PyTuple>() {
            return row.iter().all(|value| number(&value, values));
        }
        if row.is_instance_of::<PyDict>() {
            return false;
        }
        PyBuffer::<f64>::get(row).is_ok_and(|array| {
            array.dimensions() == 1
                && array.to_vec(row.py()).is_ok_and(|read| {
                    values.extend_from_slice(&read);
                    read.iter().all(|value| value.is_finite())
                })
        })
    }
}

#[inline]
fn number(value: &Bound<'_, PyAny>, values: &mut Vec<f64>) -> bool {
    let number = if let Ok(float) = value.cast::<PyFloat>() {
        float.value()
    } else if let Ok(integer) = value.cast_exact::<PyInt>() {
        match integer.extract::<i64>() {
            Ok(integer) if integer.abs() <= EXACT => integer as f64,
            _ => return false,
        }
    } else {
        return false;
    };
    values.push(number);
    number.is_finite()
}

/// The rows a window held at one moment.
#[pyclass(module = "millstream._core", frozen)]
pub(crate) struct WindowRows(NumberRows);

#[pymethods]
impl WindowRows {
    /// The number of the first row since the window was made.
    #[getter]
    fn first(&self) -> u64 {
        self.0.first_sequence()
    }

    /// The columns and their features, one after the other (width, n).
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.matrix(py, py.detach(|| self.0.columns()))
    }

    /// The same, into a writable C-ordered array of that shape: fresh memory costs more than the copy.
    fn columns_into(&self, py: Python<'_>, out: PyBuffer<f64>) -> PyResult<()> {
        if !matches!(*out.shape(), [_, rows] if rows == self.0.len()) {
            let rows = self.0.len();
            return Err(raise(Error::invalid(format!(
                "An array for a window of {rows} rows that has others."
            ))));
        }
        out.copy_from_slice(py, &self.0.columns())
    }

    /// All that is stored (columns and all declared features, n), for `Window.resume`.
    fn places<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.matrix(py, py.detach(|| self.0.places()))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }
}

impl WindowRows {
    fn matrix<'py>(&self, py: Python<'py>, values: Vec<f64>) -> PyResult<Bound<'py, PyAny>> {
        let rows = self.0.len();
        let count = values.len() / rows.max(1);
        float_array(py, values)?.call_method1("reshape", (count, rows))
    }
}
