//! `Buffer.append` of one dictionary of numbers, the commonest call, below PyO3: its way from Python to a method and
//! over a dictionary took longer than the row itself. Whatever else comes goes on to [`PyBuffer::append`].

use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use pyo3::ffi;
use pyo3::panic::PanicException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

use crate::buffer::PyBuffer;

/// Its signature and what it says of itself.
const APPEND: &CStr = c"append($self, data)\n--\n\n\
    Take in one row or many, all of them or none, and return how many.\n\n\
    Parameters\n\
    ----------\n\
    data : mapping, sequence, array, bytes or Arrow data\n    \
        One row (a mapping or a 1-D array), a sequence of rows, a 2-D array with the columns in order, JSON bytes (an\n    \
        object, an array of objects or one object a line), or a frame of Polars, pandas or pyarrow. NaN, None and null are\n    \
        missing; a column that a row leaves out is missing there.\n\n\
    Raises\n\
    ------\n\
    InvalidRequestError\n    \
        With the row and column of the first value that is not allowed.\n\
    ConflictError\n    \
        A new column would be called like a declared feature.\n\
    WriterBusyError\n    \
        Another thread is appending.";

/// `Buffer.append` as PyO3 made it.
static WHOLE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Puts the short way before the method `append` of the class.
pub(crate) fn install(class: &Bound<'_, PyType>) -> PyResult<()> {
    let py = class.py();
    let whole = class.getattr("append")?;
    if WHOLE.set(py, whole.unbind()).is_err() {
        return Ok(()); // the class has it already
    }
    let method = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: c"append".as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: append },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: APPEND.as_ptr(),
    }));
    // SAFETY: a class and a definition that is never dropped; what comes back is a new reference, or null with an
    // error set.
    let method = unsafe {
        let method = ffi::PyDescr_NewMethod(class.as_type_ptr(), method);
        Bound::from_owned_ptr_or_err(py, method)?
    };
    class.setattr("append", method)
}

/// What Python calls.
///
/// # Safety
/// Python's: attached, `slf` an instance of the class (the descriptor sees to it), `count` arguments and then one for
/// each of `names`, all of them alive until it returns.
unsafe extern "C" fn append(
    slf: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let answer = catch_unwind(AssertUnwindSafe(|| {
        if count != 1 || !names.is_null() {
            // SAFETY: the caller's.
            return Python::attach(|py| unsafe { as_told(py, slf, arguments, count, names) });
        }
        // SAFETY: the caller's; one argument is there.
        let (slf, data) = unsafe {
            let py = Python::assume_attached();
            (Borrowed::from_ptr(py, slf).cast_unchecked::<PyBuffer>(), Borrowed::from_ptr(py, *arguments))
        };
        let count = match data.cast_exact::<PyDict>() {
            Ok(row) if slf.get().take(&row) => 1,
            _ => Python::attach(|_| slf.get().append(&data))?,
        };
        // SAFETY: attached.
        Ok(unsafe { ffi::PyLong_FromSize_t(count) })
    }));
    let answer = answer.unwrap_or_else(|_| Err(PanicException::new_err("a row that could not be taken in")));
    answer.unwrap_or_else(|error| {
        Python::attach(|py| error.restore(py));
        ptr::null_mut()
    })
}

/// The call as PyO3 reads it: arguments by name, or too many or too few of them.
///
/// # Safety
/// As of [`append`].
#[cold]
unsafe fn as_told(
    py: Python<'_>,
    slf: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> PyResult<*mut ffi::PyObject> {
    // SAFETY: the caller's.
    let argument = |at: usize| unsafe { Bound::from_borrowed_ptr(py, *arguments.add(at)) };
    // SAFETY: the caller's; names are null or a tuple.
    let (slf, names) =
        unsafe { (Bound::from_borrowed_ptr(py, slf), Bound::from_borrowed_ptr_or_opt(py, names)) };
    let count = count.cast_unsigned();
    let positional =
        PyTuple::new(py, std::iter::once(slf).chain((0..count).map(argument)).collect::<Vec<_>>())?;
    let named = PyDict::new(py);
    for (at, name) in names.iter().flat_map(|names| names.try_iter()).flatten().enumerate() {
        named.set_item(name?, argument(count + at))?;
    }
    let method = WHOLE.get(py).map(|method| method.bind(py));
    let Some(method) = method else { unreachable!("set before this one stands in the class") };
    Ok(method.call(positional, Some(&named))?.into_ptr())
}

/// Reads the values of a row whose keys are these very objects in this order, and whose values are plain numbers: so it
/// is nearly always, since Python interns names. No code of Python's runs meanwhile.
#[inline(always)]
pub(crate) fn read_in_order(row: &Bound<'_, PyDict>, keys: &[Py<PyString>], values: &mut [f64]) -> bool {
    with_critical_section(row, || {
        let (mut place, mut key, mut value) = (0, ptr::null_mut(), ptr::null_mut());
        keys.iter().zip(values).all(|(name, into)| {
            // SAFETY: attached, and a dictionary; key and value stand where the dictionary has them, which nobody
            // changes meanwhile.
            unsafe {
                ffi::PyDict_Next(row.as_ptr(), &raw mut place, &raw mut key, &raw mut value) != 0
                    && key == name.as_ptr()
                    && number(value).map(|number| *into = number).is_some()
            }
        })
    })
}

/// A float, a small integer, or None; NaN where missing.
#[inline(always)]
pub(crate) fn plain_number(value: &Bound<'_, PyAny>) -> Option<f64> {
    // SAFETY: attached, and an object.
    unsafe { number(value.as_ptr()) }
}

/// As above.
///
/// # Safety
/// Attached, and `value` is an object.
#[inline(always)]
unsafe fn number(value: *mut ffi::PyObject) -> Option<f64> {
    const EXACT: i64 = 1 << 53;
    // SAFETY: the caller's; numbers of exactly these types convert without an error and without code of Python's.
    unsafe {
        if ffi::PyFloat_CheckExact(value) != 0 {
            return Some(ffi::PyFloat_AsDouble(value));
        }
        if ffi::PyLong_CheckExact(value) != 0 {
            let mut beyond = 0;
            let integer = ffi::PyLong_AsLongLongAndOverflow(value, &raw mut beyond);
            return (beyond == 0 && (-EXACT..=EXACT).contains(&integer)).then_some(integer as f64);
        }
        (value == ffi::Py_None()).then_some(f64::NAN)
    }
}
