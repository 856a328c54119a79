//! `millstream._core`: detach, call the core, convert. No logic of its own.

use pyo3::prelude::*;

mod arguments;
mod arrow;
mod arrow_export;
mod body;
mod buffer;
mod claim;
mod error;
mod numpy;
mod one_row;
mod rolling;
mod rows;
mod table;
mod window;

#[pymodule]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::body::{Body, read_body};
    #[pymodule_export]
    use super::buffer::PyBuffer;
    #[pymodule_export]
    use super::rolling::{lags, rolling};
    #[pymodule_export]
    use super::rows::read_rows;
    #[pymodule_export]
    use super::table::PyTable;
    #[pymodule_export]
    use super::window::{Window, WindowRows};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("MAX_CAPACITY", millstream_core::buffer::MAX_CAPACITY)?;
        module.add("MAX_PERIODS", millstream_core::features::MAX_PERIODS)?;
        super::one_row::install(&module.py().get_type::<PyBuffer>())
    }
}
