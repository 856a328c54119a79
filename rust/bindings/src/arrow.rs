//! Arrow in and out through PyCapsules.

use millstream_core::error::Error;
use millstream_core::table::Table;
use pyo3::prelude::*;

use crate::error::raise;

/// Whether the object hands itself over as Arrow data.
pub(crate) fn speaks_arrow(data: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(data.hasattr("__arrow_c_stream__")? || data.hasattr("__arrow_c_array__")?)
}

pub(crate) fn import(_data: &Bound<'_, PyAny>) -> PyResult<Table> {
    Err(raise(Error::invalid("Arrow data cannot be read yet.")))
}
