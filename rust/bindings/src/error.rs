//! The core's errors as the classes of `millstream.errors`.

use millstream_core::error::{Error, Step};
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};

/// The Python error that says the same.
pub(crate) fn raise(error: Error) -> PyErr {
    Python::attach(|py| build(py, &error).unwrap_or_else(|failure| failure))
}

fn build(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let class = py.import("millstream.errors")?.getattr(class_of(error))?.cast_into::<PyType>()?;
    let message = error.to_string();
    Ok(match error {
        Error::Invalid { at, .. } => PyErr::from_type(class, (message, steps(py, at)?.unbind())),
        _ => PyErr::from_type(class, (message,)),
    })
}

/// Whether an error is one of `millstream.errors` already.
pub(crate) fn is_ours(py: Python<'_>, error: &PyErr) -> PyResult<bool> {
    let ours = py.import("millstream.errors")?.getattr("MillstreamError")?;
    error.value(py).is_instance(&ours)
}

fn class_of(error: &Error) -> &'static str {
    match error {
        Error::Json { .. } => "InvalidJsonError",
        Error::Invalid { .. } => "InvalidRequestError",
        Error::Conflict { .. } => "ConflictError",
        Error::TooLarge { .. } => "TooLargeError",
        Error::WriterBusy => "WriterBusyError",
    }
}

fn steps<'py>(py: Python<'py>, at: &[Step]) -> PyResult<Bound<'py, PyTuple>> {
    let step = |step: &Step| match step {
        Step::Key(key) => key.into_pyobject(py).map(|key| key.into_any()).map_err(PyErr::from),
        Step::Index(index) => index.into_pyobject(py).map(|index| index.into_any()).map_err(PyErr::from),
    };
    PyTuple::new(py, at.iter().map(step).collect::<PyResult<Vec<_>>>()?)
}
