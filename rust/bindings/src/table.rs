//! `Table`: the core's table for Python.

use millstream_core::table::Table;
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule, PyTuple};

use crate::arrow;
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

/// A read-only NumPy array over a copy of `values`.
pub(crate) fn float_array<'py>(py: Python<'py>, values: &[f64]) -> PyResult<Bound<'py, PyAny>> {
    let fill = |bytes: &mut [u8]| {
        for (out, value) in bytes.chunks_exact_mut(8).zip(values) {
            out.copy_from_slice(&value.to_ne_bytes());
        }
        Ok(())
    };
    let bytes = PyBytes::new_with(py, values.len() * 8, fill)?;
    py.import("numpy")?.call_method1("frombuffer", (bytes, "float64"))
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

    fn __getitem__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let place = self.place(name)?;
        if let Some(values) = self.0.floats(place) {
            return float_array(py, &values);
        }
        let objects = match (self.0.booleans(place), self.0.texts(place)) {
            (Some(booleans), _) => booleans.into_pyobject(py)?.into_any(),
            (_, Some(texts)) => texts.into_pyobject(py)?.into_any(),
            _ => return float_array(py, &vec![f64::NAN; self.0.len()]),
        };
        let array = py.import("numpy")?.call_method1("array", (objects, "object"))?;
        array.call_method1("setflags", (false,))?;
        Ok(array)
    }

    #[pyo3(signature = (columns=None))]
    fn matrix<'py>(&self, py: Python<'py>, columns: Option<Vec<String>>) -> PyResult<Bound<'py, PyAny>> {
        let places = match columns {
            Some(names) => names.iter().map(|name| self.place(name)).collect::<PyResult<Vec<_>>>()?,
            None => (0..self.0.columns().len()).collect(),
        };
        let values = py.detach(|| self.0.matrix(&places)).map_err(raise)?;
        float_array(py, &values)?.call_method1("reshape", (self.0.len(), places.len()))
    }

    fn slice(&self, offset: usize, length: usize) -> Self {
        Self(self.0.slice(offset, length))
    }

    /// The table as Arrow; numbers are shared, not copied.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema; // best effort by definition: the one schema there is
        arrow::export(py, &self.0)
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        arrow::export_schema(py, &self.0)
    }

    fn to_json<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &py.detach(|| self.0.to_json()))
    }
}

impl PyTable {
    fn place(&self, name: &str) -> PyResult<usize> {
        let names = || self.0.columns().iter().map(|column| column.name()).collect::<Vec<_>>().join(", ");
        self.0
            .place(name)
            .ok_or_else(|| PyKeyError::new_err(format!("No column '{name}'. The columns are: {}.", names())))
    }
}
