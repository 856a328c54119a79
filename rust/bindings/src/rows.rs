//! Python data -> Table: mappings, sequences of rows, arrays, JSON bytes, anything that speaks Arrow.
//!
//! A dictionary's values are all taken out before the first is converted: a value's `__float__` may run any
//! code, and the dictionary must not change under the iteration.

use std::borrow::Cow;

use millstream_core::error::Error;
use millstream_core::rows::json;
use millstream_core::rows::{Builder, Cell, Mode, Refusal, Wanted, write_json};
use millstream_core::table::Table;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyOverflowError, PyUnicodeEncodeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMapping, PyMemoryView, PySequence,
    PyString, PyTuple,
};

use crate::arrow::{self, Others};
use crate::error::raise;
use crate::numpy::{is_ndarray, read_matrix};
use crate::table::PyTable;

/// The items of one mapping; kept between rows.
type Items<'py> = Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>;

/// Reads rows from a table, a mapping, a sequence of rows, an array, JSON bytes or Arrow data.
#[pyfunction]
#[pyo3(signature = (data, columns=None, rows="typed", text=Vec::new(), only=None))]
pub(crate) fn read_rows(
    data: &Bound<'_, PyAny>,
    columns: Option<Vec<String>>,
    rows: &str,
    text: Vec<String>,
    only: Option<Vec<String>>,
) -> PyResult<PyTable> {
    read(data, columns, mode(rows)?, &Wanted { text, only }).map(PyTable::from)
}

/// The mode of that name.
pub(crate) fn mode(name: &str) -> PyResult<Mode> {
    match name {
        "typed" => Ok(Mode::Typed),
        "numeric" => Ok(Mode::Numeric),
        "text" => Ok(Mode::Text),
        _ => Err(raise(Error::invalid(format!("rows is '{name}'. It is 'typed', 'numeric' or 'text'.")))),
    }
}

/// The rows of `data`, of the columns that are `wanted`; `names` are those of its columns where it is an array.
/// Arrays, tables and Arrow hold no text of their numbers: they come whole, as what they are.
pub(crate) fn read(
    data: &Bound<'_, PyAny>,
    names: Option<Vec<String>>,
    mode: Mode,
    wanted: &Wanted,
) -> PyResult<Table> {
    let names = names.unwrap_or_default();
    let mut builder = Builder::new(mode).with_names(names.clone());
    if let Ok(row) = data.cast::<PyDict>() {
        mapping(&mut builder, row, &mut Vec::new())?;
    } else if let Ok(table) = data.cast::<PyTable>() {
        return taken(table.get().table().clone(), mode);
    } else if is_ndarray(data)? {
        return array(data, &names, builder);
    } else if let Some(bytes) = bytes(data)? {
        return data.py().detach(|| json::read_rows(&bytes, mode, wanted)).map(Table::from).map_err(raise);
    } else if arrow::speaks_arrow(data)? {
        return taken(named(data)?, mode);
    } else if is_array(data)? {
        return array(data, &names, builder);
    } else {
        python_rows(&mut builder, data)?;
    }
    builder.finish(wanted).map(Table::from).map_err(raise)
}

/// Arrow data as rows, whose columns have names.
fn named(data: &Bound<'_, PyAny>) -> PyResult<Table> {
    if arrow::is_labelled_series(data)? {
        return Err(raise(Error::invalid(
            "A series whose labels are texts is a row or a column. Send series.to_dict() for a row, series.to_frame() for a column.",
        )));
    }
    let table = arrow::import(data, Others::Refused)?;
    match table.columns() {
        [column] if column.name().is_empty() && data.hasattr("to_frame")? => Err(raise(Error::invalid(
            "A series without a name. Name it as its column, or send a list of rows.",
        ))),
        _ => Ok(table),
    }
}

/// A table that is one already, if its values may be rows.
fn taken(table: Table, mode: Mode) -> PyResult<Table> {
    for (place, column) in table.columns().iter().enumerate() {
        let name = column.name();
        if mode == Mode::Numeric && !column.is_numeric() {
            let message =
                format!("The column '{name}' does not hold numbers. Send numbers and missing values only.");
            let row = table.first_value(place).unwrap_or(0) as u64;
            return Err(raise(Error::cell(row, name, message)));
        }
        let values = table.floats(place).unwrap_or_default();
        // Without an early exit the compiler looks at several values at a time.
        if values.iter().fold(false, |infinite, value| infinite | value.is_infinite()) {
            let row = values.iter().position(|value| value.is_infinite()).unwrap_or(0);
            return Err(raise(Error::cell(row as u64, name, Refusal::Infinite.sentence("", name))));
        }
    }
    Ok(table)
}

fn bytes<'a>(data: &'a Bound<'_, PyAny>) -> PyResult<Option<Cow<'a, [u8]>>> {
    if let Ok(bytes) = data.cast::<PyBytes>() {
        return Ok(Some(bytes.as_bytes().into()));
    }
    if data.is_instance_of::<PyByteArray>() || data.is_instance_of::<PyMemoryView>() {
        let bytes = PyBuffer::<u8>::get(data).map_err(|_| {
            raise(Error::invalid(
                "A memoryview of something other than bytes. Send its array: numpy.asarray(view).",
            ))
        })?;
        return Ok(Some(bytes.to_vec(data.py())?.into()));
    }
    Ok(None)
}

fn is_array(data: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(data.hasattr("__array_interface__")? && data.hasattr("tolist")?)
}

/// A mapping that is no dictionary, or a sequence of rows.
fn python_rows<'py>(builder: &mut Builder, data: &Bound<'py, PyAny>) -> PyResult<()> {
    let mut items = Vec::new();
    if let Ok(row) = data.cast::<PyMapping>() {
        return mapping(builder, &as_dict(row)?, &mut items);
    }
    match data.cast::<PySequence>() {
        Ok(rows) if !data.is_instance_of::<PyString>() => {
            for row in rows.to_list()? {
                any_row(builder, &row, &mut items)?;
            }
            Ok(())
        }
        _ => Err(raise(Error::invalid(format!(
            "Data of type {}. Send a mapping, a sequence of rows, an array, JSON bytes or Arrow data.",
            type_name(data)
        )))),
    }
}

fn as_dict<'py>(mapping: &Bound<'py, PyMapping>) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(mapping.py());
    dict.update(mapping)?;
    Ok(dict)
}

fn any_row<'py>(builder: &mut Builder, row: &Bound<'py, PyAny>, items: &mut Items<'py>) -> PyResult<()> {
    if let Ok(row) = row.cast::<PyDict>() {
        return mapping(builder, row, items);
    }
    if row.is_instance_of::<PyList>() || row.is_instance_of::<PyTuple>() {
        return list(builder, row);
    }
    if is_array(row)? && row.getattr("ndim")?.extract::<usize>()? == 1 {
        return list(builder, &row.call_method0("tolist")?);
    }
    if let Ok(row) = row.cast::<PyMapping>() {
        return mapping(builder, &as_dict(row)?, items);
    }
    Err(raise(Error::row(
        builder.rows() as u64,
        format!("A row of type {}. Send rows as mappings, lists, tuples or 1-D arrays.", type_name(row)),
    )))
}

/// Takes in one mapping.
pub(crate) fn mapping<'py>(
    builder: &mut Builder,
    row: &Bound<'py, PyDict>,
    items: &mut Items<'py>,
) -> PyResult<()> {
    builder.begin_mapping().map_err(raise)?;
    items.clear();
    items.extend(row.iter());
    for (key, value) in items.iter() {
        let Ok(key) = key.cast::<PyString>() else {
            let message =
                format!("A key of type {}. The keys of a row are column names, strings.", type_name(key));
            return Err(raise(Error::row(builder.rows() as u64, message)));
        };
        let place = builder.column(utf8(key)?).map_err(raise)?;
        stage(builder, place, value)?;
    }
    builder.end_row().map_err(raise)
}

fn list(builder: &mut Builder, row: &Bound<'_, PyAny>) -> PyResult<()> {
    builder.begin_list().map_err(raise)?;
    for value in row.try_iter()? {
        let place = builder.position().map_err(raise)?;
        stage(builder, place, &value?)?;
    }
    builder.end_row().map_err(raise)
}

fn utf8<'a>(text: &'a Bound<'_, PyString>) -> PyResult<&'a str> {
    text.to_str().map_err(|error| {
        if error.is_instance_of::<PyUnicodeEncodeError>(text.py()) {
            raise(Error::invalid("Text with a lone surrogate. Send valid Unicode."))
        } else {
            error
        }
    })
}

fn type_name(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| "unknown".to_owned(), |name| name.to_string())
}

#[inline]
fn stage(builder: &mut Builder, place: usize, value: &Bound<'_, PyAny>) -> PyResult<()> {
    if let Ok(float) = value.cast_exact::<PyFloat>() {
        stage_float(builder, place, float.value());
        Ok(())
    } else {
        stage_any(builder, place, value)
    }
}

fn stage_float(builder: &mut Builder, place: usize, number: f64) {
    let cell = match number {
        _ if number.is_nan() => Cell::Missing,
        _ if number.is_infinite() => Cell::Refused(Refusal::Infinite),
        _ => Cell::Number(number),
    };
    if builder.wants_text() && cell == Cell::Number(number) {
        let mut text = Vec::new();
        write_json::number(&mut text, number);
        builder.stage_text(place, cell, &String::from_utf8_lossy(&text));
    } else {
        builder.stage(place, cell);
    }
}

fn stage_any(builder: &mut Builder, place: usize, value: &Bound<'_, PyAny>) -> PyResult<()> {
    if value.is_none() {
        builder.stage(place, Cell::Missing);
    } else if let Ok(boolean) = value.cast::<PyBool>() {
        let text = if boolean.is_true() { "true" } else { "false" };
        builder.stage_text(place, Cell::Boolean(boolean.is_true()), text);
    } else if let Ok(integer) = value.cast::<PyInt>() {
        stage_integer(builder, place, integer)?;
    } else if let Ok(text) = value.cast::<PyString>() {
        builder.stage_text(place, Cell::Text, utf8(text)?);
    } else if let Ok(float) = value.cast::<PyFloat>() {
        stage_float(builder, place, float.value());
    } else {
        stage_other(builder, place, value)?;
    }
    Ok(())
}

fn stage_integer(builder: &mut Builder, place: usize, integer: &Bound<'_, PyInt>) -> PyResult<()> {
    let cell = match integer.extract::<i64>() {
        Ok(small) => Cell::integer(small),
        Err(_) => long_integer(integer)?,
    };
    if builder.wants_text() || matches!(cell, Cell::Refused(_)) {
        let text = if cell == Cell::Refused(Refusal::BeyondFloat) {
            "An integer of more than 300 digits".to_owned() // str() refuses the longest ones
        } else {
            integer.call_method0("__repr__")?.extract()?
        };
        builder.stage_text(place, cell, &text);
    } else {
        builder.stage(place, cell);
    }
    Ok(())
}

fn long_integer(integer: &Bound<'_, PyInt>) -> PyResult<Cell> {
    match integer.call_method0("__float__") {
        Ok(float) if float.eq(integer)? => Ok(Cell::Number(float.extract()?)),
        Ok(_) => Ok(Cell::Refused(Refusal::InexactInteger)),
        Err(error) if error.is_instance_of::<PyOverflowError>(integer.py()) => {
            Ok(Cell::Refused(Refusal::BeyondFloat))
        }
        Err(error) => Err(error),
    }
}

/// NumPy's scalars and whatever else calls itself a number.
#[cold]
fn stage_other(builder: &mut Builder, place: usize, value: &Bound<'_, PyAny>) -> PyResult<()> {
    if value.hasattr("__array_interface__")? && value.hasattr("ndim")? && value.getattr("ndim")?.eq(0)? {
        if value.hasattr("mask")? && value.getattr("mask")?.is_truthy()? {
            builder.stage(place, Cell::Missing); // a cell of a masked array
            return Ok(());
        }
        let item = value.call_method0("item")?;
        if !item.get_type().is(value.get_type()) {
            return stage_any(builder, place, &item);
        }
    } else if value.is_instance_of::<PyDict>() || value.cast::<PySequence>().is_ok() || is_array(value)? {
        builder.stage(place, Cell::Refused(Refusal::Nested));
        return Ok(());
    } else if value.hasattr("__index__")? {
        return stage_any(builder, place, &value.call_method0("__index__")?);
    }
    if value.hasattr("__float__")? {
        stage_float(builder, place, value.extract()?);
    } else {
        builder.stage_text(place, Cell::Refused(Refusal::OtherType), &type_name(value));
    }
    Ok(())
}

/// A 1-D array is one row, a 2-D array is rows.
fn array(data: &Bound<'_, PyAny>, names: &[String], mut builder: Builder) -> PyResult<Table> {
    let dimensions: usize = data.getattr("ndim")?.extract()?;
    match dimensions {
        1 => list(&mut builder, &data.call_method0("tolist")?)?,
        2 => match floats(data)? {
            Some(floats) => {
                return read_matrix(data, &floats, |cells, rows, width| {
                    Table::from_matrix(cells, rows, width, names)
                })?
                .map_err(raise);
            }
            None => python_rows(&mut builder, &data.call_method0("tolist")?)?,
        },
        _ => {
            return Err(raise(Error::invalid(format!(
                "An array of {dimensions} dimensions. Send one row as a 1-D array or rows as a 2-D array."
            ))));
        }
    }
    builder.finish(&Wanted::default()).map(Table::from).map_err(raise)
}

/// The array as float64 where every value of its type is one.
pub(crate) fn floats(array: &Bound<'_, PyAny>) -> PyResult<Option<PyBuffer<f64>>> {
    let py = array.py();
    let kind = array.getattr(intern!(py, "dtype"))?;
    let size: usize = kind.getattr(intern!(py, "itemsize"))?.extract()?;
    let exact = match kind.getattr(intern!(py, "kind"))?.extract::<char>()? {
        'f' => size <= 8,
        'i' | 'u' => size <= 4,
        _ => false,
    };
    if !exact {
        return Ok(None);
    }
    let array = &without_mask(array)?;
    // The buffer of a foreign byte order passes for a native one.
    if kind.getattr(intern!(py, "isnative"))?.is_truthy()? && size == 8 {
        // It fails where the values are not aligned, as in a view of a file's bytes; those of a copy are.
        let aligned = |_| PyBuffer::get(&array.call_method0("copy")?);
        return PyBuffer::get(array).or_else(aligned).map(Some);
    }
    PyBuffer::get(&array.call_method1("astype", ("float64",))?).map(Some)
}

/// A masked array's values are missing where it masks them; any other array is what it is.
pub(crate) fn without_mask<'py>(array: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if is_ndarray(array)? || !array.hasattr("filled")? {
        return Ok(array.clone());
    }
    array.call_method1("astype", ("float64",))?.call_method1("filled", (f64::NAN,))
}
