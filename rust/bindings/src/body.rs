//! `Body` and `read_body`: a request body, read once.

use std::sync::{Mutex, PoisonError};

use millstream_core::error::Error;
use millstream_core::rows::Wanted;
use millstream_core::rows::json::{self, Form};
use millstream_core::table::Table;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::raise;
use crate::rows::mode;
use crate::table::PyTable;

/// One HTTP request body, read once. JSON errors are raised by `read_body`, row errors by `table`.
#[pyclass(module = "millstream._core", frozen)]
pub(crate) struct Body {
    envelope: Py<PyBytes>,
    form: Form,
    state: Mutex<State>,
}

/// The rows become a table when they are first asked for.
enum State {
    Read(Box<json::Body>),
    Table { rows: Result<Table, Error>, wanted: Wanted },
    Turning,
}

#[pymethods]
impl Body {
    /// The JSON object without the rows; the last of duplicate keys.
    #[getter]
    fn envelope(&self, py: Python<'_>) -> Py<PyBytes> {
        self.envelope.clone_ref(py)
    }

    /// What stands under the key of the rows.
    #[getter]
    fn form(&self) -> &'static str {
        self.form.name()
    }

    /// The rows; InvalidRequestError with loc (key, row, column) for the first that is refused. The columns
    /// named in `text` come as the text that was sent, whatever they hold (rows="text" only); of rows with names
    /// the columns not in `only` are left out, whatever they hold.
    #[pyo3(signature = (text=Vec::new(), only=None))]
    fn table(&self, py: Python<'_>, text: Vec<String>, only: Option<Vec<String>>) -> PyResult<PyTable> {
        py.detach(|| self.take(Wanted { text, only })).map(PyTable::from).map_err(raise)
    }
}

impl Body {
    fn take(&self, wanted: Wanted) -> Result<Table, Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (rows, wanted) = match std::mem::replace(&mut *state, State::Turning) {
            State::Read(body) => (body.into_rows(&wanted).map(Table::from), wanted),
            State::Table { rows, wanted: before } if before == wanted => (rows, wanted),
            State::Table { rows, wanted } => {
                *state = State::Table { rows, wanted };
                return Err(Error::invalid(
                    "The rows were taken with other columns before. Read the body again.",
                ));
            }
            State::Turning => return Err(Error::invalid("An earlier call broke off. Read the body again.")),
        };
        *state = State::Table { rows: rows.clone(), wanted };
        rows
    }
}

/// Reads a request body whose rows stand under `key` (None: it has none).
#[pyfunction]
#[pyo3(signature = (body, key=Some("data"), rows="typed"))]
pub(crate) fn read_body(py: Python<'_>, body: &[u8], key: Option<&str>, rows: &str) -> PyResult<Body> {
    let mode = mode(rows)?;
    let read = py.detach(|| json::read_body(body, key, mode)).map_err(raise)?;
    Ok(Body {
        envelope: PyBytes::new(py, read.envelope()).unbind(),
        form: read.form(),
        state: Mutex::new(State::Read(Box::new(read))),
    })
}
