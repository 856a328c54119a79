//! What NumPy's arrays are, their numbers where they stand, and what its C interface is worth: a new array of float64,
//! which through Python takes three times as long as the values of a row, and a look at a column's values, which by
//! attributes takes a microsecond.

use std::ffi::{c_int, c_void};
use std::ptr;

use millstream_core::matrix::Matrix;
use pyo3::buffer::{PyBuffer, ReadOnlyCell};
use pyo3::exceptions::PyImportError;
use pyo3::ffi::{PyObject, PyTypeObject};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCapsule, PyCapsuleMethods, PyType};

/// `PyArray_New`.
type New = unsafe extern "C" fn(
    *mut PyTypeObject,
    c_int,
    *const isize,
    c_int,
    *const isize,
    *mut c_void,
    c_int,
    c_int,
    *mut PyObject,
) -> *mut PyObject;

/// Where NumPy's table has them, in all of its versions 1 and 2.
const ARRAY_TYPE: usize = 2;
const NEW: usize = 93;
const FLOAT64: c_int = 12;
const C_CONTIGUOUS: c_int = 0x0001;
const ALIGNED: c_int = 0x0100;
const WRITEABLE: c_int = 0x0400;

struct Interface {
    array_type: *mut PyTypeObject,
    new: New,
}

// SAFETY: both live as long as the process and never change.
unsafe impl Send for Interface {}
// SAFETY: as for Send.
unsafe impl Sync for Interface {}

/// The head of `PyArrayObject`, whose layout NumPy promises.
#[repr(C)]
struct ArrayHead {
    object: PyObject,
    data: *mut f64,
    dimensions: c_int,
    shape: *mut isize,
    strides: *mut isize,
    base: *mut PyObject,
    kind: *mut PyObject,
    flags: c_int,
}

/// Whether it is one of NumPy's arrays and nothing derived from them. To ask it for what arrays can do takes a dozen
/// times as long.
pub(crate) fn is_ndarray(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    static NDARRAY: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = value.py();
    if NDARRAY.get(py).is_none() && !PyModule::import(py, "sys")?.getattr("modules")?.contains("numpy")? {
        return Ok(false); // nothing is one before NumPy is there
    }
    Ok(value.is_exact_instance(NDARRAY.import(py, "numpy", "ndarray")?))
}

/// What `read` makes of the values of a plain column, one that stands as float64 in one piece; None if it is none.
pub(crate) fn read_column<T>(
    values: &Bound<'_, PyAny>,
    read: impl FnOnce(&[f64]) -> T,
) -> PyResult<Option<T>> {
    static KIND: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    if !is_ndarray(values)? {
        return Ok(None);
    }
    let py = values.py();
    let kind = KIND
        .get_or_try_init(py, || py.import("numpy")?.call_method1("dtype", ("float64",)).map(Bound::unbind))?;
    // SAFETY: it is one of NumPy's arrays.
    let head = unsafe { &*values.as_ptr().cast::<ArrayHead>() };
    let plain = C_CONTIGUOUS | ALIGNED;
    if head.dimensions != 1 || head.flags & plain != plain || head.kind != kind.as_ptr() {
        return Ok(None);
    }
    // SAFETY: an array of one dimension says how long it is in its shape.
    let length = unsafe { *head.shape }.cast_unsigned();
    if length == 0 {
        return Ok(Some(read(&[])));
    }
    // SAFETY: so many float64 stand there, aligned and in one piece, and nothing in Python runs while they are read.
    Ok(Some(read(unsafe { std::slice::from_raw_parts(head.data, length) })))
}

/// What `work` makes of an array of one or two dimensions, in whatever order it stands, its rows and its columns.
/// `floats` are its numbers.
pub(crate) fn read_matrix<T>(
    array: &Bound<'_, PyAny>,
    floats: &PyBuffer<f64>,
    work: impl FnOnce(Matrix<'_>, usize, usize) -> T,
) -> PyResult<T> {
    // SAFETY: a ReadOnlyCell<f64> is laid out as an f64. Nothing in Python runs while they are read; that no thread writes
    // them without the interpreter is the caller's, as for all of NumPy.
    let numbers = |cells: &[ReadOnlyCell<f64>]| unsafe {
        std::slice::from_raw_parts(cells.as_ptr().cast::<f64>(), cells.len())
    };
    let py = array.py();
    let (rows, width) = match *floats.shape() {
        [rows] => (rows, 1),
        [rows, width] => (rows, width),
        _ => unreachable!("one or two dimensions"),
    };
    let copied;
    let cells = if let Some(cells) = floats.as_slice(py) {
        Matrix::Rows(numbers(cells))
    } else if let Some(cells) = floats.as_fortran_slice(py) {
        Matrix::Columns(numbers(cells))
    } else {
        copied = contiguous(array)?;
        Matrix::Rows(numbers(copied.as_slice(py).unwrap_or_default()))
    };
    Ok(work(cells, rows, width))
}

/// A copy row after row: NumPy makes one a dozen times as fast as Python's buffers do.
fn contiguous(array: &Bound<'_, PyAny>) -> PyResult<PyBuffer<f64>> {
    static CONTIGUOUS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = array.py();
    let copy = CONTIGUOUS.import(py, "numpy", "ascontiguousarray")?.call1((array, intern!(py, "float64")))?;
    PyBuffer::get(&copy)
}

/// A read-only array of `len` values, which `write` puts into memory of zeros.
pub(crate) fn array_of<'py>(
    py: Python<'py>,
    len: usize,
    write: impl FnOnce(&mut [f64]),
) -> PyResult<Bound<'py, PyAny>> {
    static INTERFACE: PyOnceLock<Interface> = PyOnceLock::new();
    let numpy = INTERFACE.get_or_try_init(py, || interface(py))?;
    let length = len.cast_signed();
    // SAFETY: this is PyArray_New with the type it belongs to: one dimension, its own new memory.
    let array = unsafe {
        let none = ptr::null_mut();
        (numpy.new)(numpy.array_type, 1, &raw const length, FLOAT64, ptr::null(), none, 0, 0, ptr::null_mut())
    };
    // SAFETY: PyArray_New returns a new reference, or null with an error set.
    let array = unsafe { Bound::from_owned_ptr_or_err(py, array)? };
    let head = array.as_ptr().cast::<ArrayHead>();
    // SAFETY: it is an array with room for as many values, and nobody else has it yet.
    unsafe {
        ptr::write_bytes((*head).data, 0, len);
        write(std::slice::from_raw_parts_mut((*head).data, len));
        (*head).flags &= !WRITEABLE;
    }
    Ok(array)
}

fn interface(py: Python<'_>) -> PyResult<Interface> {
    let module = py.import("numpy._core.multiarray").or_else(|_| py.import("numpy.core.multiarray"))?;
    let capsule = module.getattr("_ARRAY_API")?.cast_into::<PyCapsule>()?;
    let table = capsule.pointer_checked(None)?.cast::<*mut c_void>();
    // SAFETY: the capsule holds NumPy's table of functions, which has these entries at these places.
    let (array_type, new) = unsafe { (*table.add(ARRAY_TYPE).as_ptr(), *table.add(NEW).as_ptr()) };
    if array_type.is_null() || new.is_null() {
        return Err(PyImportError::new_err(
            "NumPy's C interface is not what it was. Install NumPy 1.23 to 2.x.",
        ));
    }
    // SAFETY: the entry is PyArray_New, a function of this type.
    let new = unsafe { std::mem::transmute::<*mut c_void, New>(new) };
    Ok(Interface { array_type: array_type.cast(), new })
}
