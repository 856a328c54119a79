//! `millstream._core`: detach, call the core, convert. No logic of its own.

use pyo3::prelude::*;

#[pymodule]
mod _core {}
