//! `Table`: the core's table for Python.

use std::borrow::Cow;
use std::ffi::c_int;
use std::sync::{Mutex, MutexGuard, PoisonError};

use millstream_core::error::counted;
use millstream_core::table::Table;
use pyo3::exceptions::PyKeyError;
use pyo3::ffi::{Py_buffer, PyBuffer_FillInfo};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyCapsule, PyTuple};

use crate::arguments;
use crate::arrow_export;
use crate::error::raise;

/// Immutable columns with missing values.
#[pyclass(name = "Table", module = "millstream._core", frozen)]
pub(crate) struct PyTable(Table);

impl PyTable {
    pub(crate) fn table(&self) -> &Table {
        &self.0
    }
}

impl From<Table> for PyTable {
    fn from(table: Table) -> Self {
        Self(table)
    }
}

/// Numbers that stay where they are while Python looks at them.
#[pyclass(module = "millstream._core", frozen)]
struct Floats(Held);

enum Held {
    /// A column of numbers that stand in one place.
    Column {
        table: Table,
        place: usize,
    },
    Own(Vec<f64>),
}

impl Floats {
    fn values(&self) -> &[f64] {
        match &self.0 {
            Held::Column { table, place } => match table.floats(*place) {
                Some(Cow::Borrowed(values)) => values,
                _ => &[],
            },
            Held::Own(values) => values,
        }
    }
}

#[pymethods]
impl Floats {
    /// Lends the values, read-only.
    ///
    /// # Safety
    /// `view` is Python's to be filled in.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut Py_buffer, flags: c_int) -> PyResult<()> {
        let values = slf.get().values();
        let start = values.as_ptr().cast_mut().cast();
        let bytes = size_of_val(values).cast_signed();
        // SAFETY: the values are `bytes` long and neither change nor move while `slf` lives (it is frozen, and a
        // table's rows are), and the view takes a reference to `slf`; it is read-only.
        if unsafe { PyBuffer_FillInfo(view, slf.as_ptr(), start, bytes, 1, flags) } == -1 {
            return Err(PyErr::fetch(slf.py()));
        }
        Ok(())
    }
}

/// A read-only NumPy array over `values`.
pub(crate) fn float_array(py: Python<'_>, values: Vec<f64>) -> PyResult<Bound<'_, PyAny>> {
    view(py, Held::Own(values))
}

fn view(py: Python<'_>, held: Held) -> PyResult<Bound<'_, PyAny>> {
    // Importing NumPy anew each time costs more than the view itself; float64 is frombuffer's default.
    static FROMBUFFER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    FROMBUFFER.import(py, "numpy", "frombuffer")?.call1((Floats(held),))
}

#[pymethods]
impl PyTable {
    #[getter]
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.columns().iter().map(|column| column.name()))
    }

    #[getter]
    fn kinds<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.columns().iter().map(|column| column.kind()))
    }

    #[getter]
    fn named(&self) -> bool {
        self.0.named()
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn __repr__(&self) -> String {
        let columns = listed(self.0.columns().iter().map(|column| column.name()));
        format!("<Table: {}; {columns}>", counted(self.0.len(), "row"))
    }

    fn __getitem__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let place = self.place(name)?;
        match self.0.floats(place) {
            Some(Cow::Borrowed(_)) => return view(py, Held::Column { table: self.0.clone(), place }),
            Some(Cow::Owned(values)) => return float_array(py, values),
            None => {}
        }
        let objects = match (self.0.booleans(place), self.0.texts(place)) {
            (Some(booleans), _) => booleans.into_pyobject(py)?.into_any(),
            (_, Some(texts)) => texts.into_pyobject(py)?.into_any(),
            _ => return float_array(py, vec![f64::NAN; self.0.len()]),
        };
        let array = py.import("numpy")?.call_method1("array", (objects, "object"))?;
        array.call_method1("setflags", (false,))?;
        Ok(array)
    }

    /// The place of each row's text among the distinct texts (int32, -1 where missing), and those texts; None
    /// where the column does not hold text.
    fn codes<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Option<(Bound<'py, PyAny>, Vec<&str>)>> {
        let place = self.place(name)?;
        let Some((codes, distinct)) = py.detach(|| self.0.codes(place)) else { return Ok(None) };
        let bytes: Vec<u8> = codes.into_iter().flat_map(i32::to_ne_bytes).collect();
        let array = py.import("numpy")?.call_method1("frombuffer", (PyBytes::new(py, &bytes), "int32"))?;
        Ok(Some((array, distinct)))
    }

    /// The first row that came with text or a boolean.
    fn first_other(&self, name: &str) -> PyResult<Option<usize>> {
        Ok(self.0.first_other(self.place(name)?))
    }

    #[pyo3(signature = (columns=None))]
    fn matrix<'py>(&self, py: Python<'py>, columns: Option<Vec<String>>) -> PyResult<Bound<'py, PyAny>> {
        let places = match columns {
            Some(names) => names.iter().map(|name| self.place(name)).collect::<PyResult<Vec<_>>>()?,
            None => (0..self.0.columns().len()).collect(),
        };
        let values = py.detach(|| self.0.matrix(&places)).map_err(raise)?;
        float_array(py, values)?.call_method1("reshape", (self.0.len(), places.len()))
    }

    fn slice(&self, offset: &Bound<'_, PyAny>, length: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self(self.0.slice(arguments::count("offset", offset)?, arguments::count("length", length)?)))
    }

    /// The table as Arrow; numbers are shared, not copied.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema; // best effort by definition: the one schema there is
        arrow_export::export(py, &self.0)
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        arrow_export::export_schema(py, &self.0)
    }

    fn to_json<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let json = py.detach(|| self.0.to_json(std::mem::take(&mut *spare())));
        let bytes = PyBytes::new(py, &json);
        if json.capacity() <= KEPT {
            *spare() = json;
        }
        bytes
    }
}

/// The names of a few columns and how many there are, for people to read.
pub(crate) fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 6;
    let count = names.len();
    let mut shown = names.take(SHOWN).collect::<Vec<_>>().join(", ");
    if count > SHOWN {
        shown += ", ...";
    }
    match count {
        0 => "no columns".to_owned(),
        1 => format!("column {shown}"),
        _ => format!("{count} columns: {shown}"),
    }
}

/// The most bytes kept to write JSON into: fresh pages cost more than what is written on them.
const KEPT: usize = 64 << 20;

/// What is kept.
fn spare() -> MutexGuard<'static, Vec<u8>> {
    static SPARE: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    SPARE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PyTable {
    fn place(&self, name: &str) -> PyResult<usize> {
        let names = || self.0.columns().iter().map(|column| column.name()).collect::<Vec<_>>().join(", ");
        self.0
            .place(name)
            .ok_or_else(|| PyKeyError::new_err(format!("No column '{name}'. The columns are: {}.", names())))
    }
}
