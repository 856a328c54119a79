//! Arguments of Python's calls that are numbers and lists, read so that a refusal names the argument, says what was given
//! and what is wanted.

use millstream_core::error::{Error, Step, shortened};
use millstream_core::rolling::Stat;
use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyDict, PyString};

use crate::error::raise;

/// The longest piece of a value that a message repeats.
const SHOWN: usize = 60;

/// A whole number; one beyond 64 bits becomes the nearest that fits, which is beyond every limit too.
fn whole(name: &str, value: &Bound<'_, PyAny>) -> PyResult<i64> {
    match value.extract::<i64>() {
        Ok(number) if !value.is_instance_of::<PyBool>() => Ok(number),
        Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => {
            Ok(if value.lt(0)? { i64::MIN } else { i64::MAX })
        }
        _ => Err(refuse(name, value, "It is a whole number")),
    }
}

/// As [`whole`], or None.
pub(crate) fn whole_if_any(name: &str, value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<i64>> {
    value.map(|value| whole(name, value)).transpose()
}

/// True or False, `other` where it is left out.
pub(crate) fn flag(name: &str, value: Option<&Bound<'_, PyAny>>, other: bool) -> PyResult<bool> {
    let read = |value: &Bound<'_, PyAny>| {
        value.extract::<bool>().map_err(|_| refuse(name, value, "It is True or False"))
    };
    value.map_or(Ok(other), read)
}

/// Numbers of rows: whole numbers in a sequence.
pub(crate) fn periods(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<i64>> {
    const WANTED: &str = "It is a list of whole numbers, such as [10, 50]";
    each(name, value, WANTED, |item| whole(name, item).map_err(|_| refuse(name, value, WANTED)))
}

/// As [`periods`], or None.
pub(crate) fn periods_if_any(name: &str, value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Vec<i64>>> {
    value.map(|value| periods(name, value)).transpose()
}

/// Names in a sequence.
pub(crate) fn names(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    const WANTED: &str = "It is a list of names, each a text";
    each(name, value, WANTED, |item| item.extract::<String>().map_err(|_| refuse(name, value, WANTED)))
}

/// Names of statistics, all of them where none are given.
pub(crate) fn statistics(name: &str, value: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<String>> {
    match value {
        Some(value) => names(name, value),
        None => Ok(Stat::ALL.map(|stat| stat.name().to_owned()).into()),
    }
}

/// How many of the newest rows are wanted; None for all.
pub(crate) fn tail(value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<usize>> {
    let rows = whole_if_any("tail", value)?;
    if let (Some(..1), Some(value)) = (rows, value) {
        return Err(refuse("tail", value, "It is a number of rows from 1, or left out for all"));
    }
    Ok(rows.map(|rows| rows as usize))
}

/// A number of rows from 0.
pub(crate) fn count(name: &str, value: &Bound<'_, PyAny>) -> PyResult<usize> {
    let rows = whole(name, value)?;
    usize::try_from(rows).map_err(|_| refuse(name, value, "It is a number of rows from 0"))
}

/// The items of a list, a tuple, an array or whatever else has items in order and in places.
fn each<T>(
    name: &str,
    value: &Bound<'_, PyAny>,
    wanted: &str,
    read: impl Fn(&Bound<'_, PyAny>) -> PyResult<T>,
) -> PyResult<Vec<T>> {
    let no_list = value.is_instance_of::<PyString>()
        || value.is_instance_of::<PyBytes>()
        || value.is_instance_of::<PyByteArray>()
        || value.is_instance_of::<PyDict>();
    if no_list || !value.hasattr("__getitem__")? {
        return Err(refuse(name, value, wanted));
    }
    let items = value.try_iter().map_err(|_| refuse(name, value, wanted))?;
    items.map(|item| read(&item?)).collect()
}

fn refuse(name: &str, value: &Bound<'_, PyAny>, wanted: &str) -> PyErr {
    let shown = value.repr().map(|text| text.to_string()).unwrap_or_default();
    let shown = shortened(&shown, SHOWN);
    let message = format!("'{name}' is {shown}. {wanted}.");
    raise(Error::Invalid { message, at: vec![Step::Key(name.to_owned())] })
}
