//! Arrow in through PyCapsules (the Arrow PyCapsule interface): no pyarrow on the other side.

use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::array::AnyDictionaryArray;
use arrow_array::cast::AsArray;
use arrow_array::ffi_stream::{ArrayStreamReader, FFI_ArrowArrayStream};
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, ArrayReader, ArrayRef, make_array};
use arrow_buffer::ScalarBuffer;
use arrow_data::ffi::FFI_ArrowArray;
use arrow_schema::ffi::FFI_ArrowSchema;
use arrow_schema::{ArrowError, DataType, Field};
use millstream_core::error::{Error, Step, shortened};
use millstream_core::rows::{Cell, MAX_COLUMNS, Texts, Values};
use millstream_core::table::{Column, Table};
use pyo3::exceptions::{PyNotImplementedError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyCapsuleMethods, PyDict, PyMapping, PyTuple};

use crate::error::{is_ours, raise};

pub(crate) const STREAM: &CStr = c"arrow_array_stream";
pub(crate) const SCHEMA: &CStr = c"arrow_schema";
const ARRAY: &CStr = c"arrow_array";

/// Whether the object hands itself over as Arrow data.
pub(crate) fn speaks_arrow(data: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(data.hasattr("__arrow_c_stream__")? || data.hasattr("__arrow_c_array__")?)
}

pub(crate) fn refuse(error: &ArrowError) -> PyErr {
    raise(Error::invalid(format!("Arrow data that cannot be read: {error}.")))
}

/// What becomes of columns that are neither numbers nor booleans nor text, such as times.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    /// They are refused.
    Refused,
    /// They are left out.
    LeftOut,
}

/// The table of an object that speaks Arrow; numbers may be infinite.
pub(crate) fn import(data: &Bound<'_, PyAny>, others: Others) -> PyResult<Table> {
    let data = &without_index(data)?;
    match imported(data, others, &[]) {
        Err(_) if has_null_columns(data)? => imported_without_nulls(data, others),
        result => result,
    }
}

/// Whether it is a series of pandas whose labels are texts: a row of a frame is one, and a column may be.
pub(crate) fn is_labelled_series(data: &Bound<'_, PyAny>) -> PyResult<bool> {
    if !data.hasattr("to_frame")? {
        return Ok(false);
    }
    let labels = data.getattr_opt("index")?;
    let kind = labels.map(|labels| labels.getattr_opt("inferred_type")).transpose()?.flatten();
    kind.map_or(Ok(false), |kind| kind.eq("string"))
}

/// Pandas hands its index over as one more column, which is no data of the rows.
fn without_index<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if !data.hasattr("reset_index")? {
        return Ok(data.clone());
    }
    let options = PyDict::new(data.py());
    options.set_item("drop", true)?;
    data.call_method("reset_index", (), Some(&options))
}

/// Whether it is a frame of Polars with columns that never held a value: Polars exports those with a buffer that
/// the C data interface does not have, and arrow-rs refuses it.
fn has_null_columns(data: &Bound<'_, PyAny>) -> PyResult<bool> {
    let loaded = PyModule::import(data.py(), "sys")?.getattr("modules")?;
    if !loaded.contains("polars")? {
        return Ok(false);
    }
    let polars = loaded.get_item("polars")?;
    Ok(data.is_instance(&polars.getattr("DataFrame")?)?
        && data.getattr("dtypes")?.contains(polars.getattr("Null")?)?)
}

/// Such a frame by way of floats for nulls; the columns have no type yet.
fn imported_without_nulls(frame: &Bound<'_, PyAny>, others: Others) -> PyResult<Table> {
    let polars = PyModule::import(frame.py(), "polars")?;
    let null = polars.getattr("Null")?;
    let types = PyDict::new(frame.py());
    types.set_item(&null, polars.getattr("Float64")?)?;
    let schema = frame.getattr("schema")?.cast_into::<PyMapping>()?.items()?;
    let mut untyped = Vec::new();
    for (name, kind) in schema.extract::<Vec<(String, Bound<'_, PyAny>)>>()? {
        if kind.eq(&null)? {
            untyped.push(name);
        }
    }
    imported(&frame.call_method1("cast", (types,))?, others, &untyped)
}

/// `untyped`: the columns whose type is yet to come.
fn imported(data: &Bound<'_, PyAny>, others: Others, untyped: &[String]) -> PyResult<Table> {
    // arrow-rs asserts what it expects of foreign data (a released schema, a child too few): caught here, so that
    // such data is refused like any other. Nothing of the call is kept, so nothing half-done is seen.
    let received = catch_unwind(AssertUnwindSafe(|| receive(data)));
    let (mut field, arrays) = received.unwrap_or_else(|_| Err(raise(contradictory())))?;
    if field.name().is_empty()
        && let Some(name) = data.getattr_opt("name")?.and_then(|name| name.extract::<String>().ok())
    {
        field.set_name(name); // pandas keeps a series' name to itself
    }
    let mut columns = Gathered::new(&field, others, untyped)?;
    for array in &arrays {
        array.to_data().validate_full().map_err(|error| refuse(&error))?;
    }
    if let [array] = &*arrays
        && columns.frame
        && let Some(table) = lent(&columns, array)
    {
        return Ok(table);
    }
    for array in &arrays {
        columns.add(array)?;
    }
    Ok(columns.finish())
}

/// Numbers that stay where the one who made them put them.
struct Lent(ScalarBuffer<f64>);

impl AsRef<[f64]> for Lent {
    fn as_ref(&self) -> &[f64] {
        &self.0
    }
}

/// A frame of one chunk that holds nothing but float64 without nulls: nothing of it is copied.
fn lent(columns: &Gathered, chunk: &ArrayRef) -> Option<Table> {
    let rows = chunk.as_struct_opt().filter(|rows| rows.null_count() == 0)?;
    let column = |((field, values), array): (&(Field, Option<Values>), &ArrayRef)| {
        let Some(Values::Number(_)) = values else { return None };
        let values = array.as_primitive_opt::<Float64Type>().filter(|array| array.null_count() == 0)?;
        Some(Column::lent(field.name(), Arc::new(Lent(values.values().clone()))))
    };
    let columns = columns.columns.iter().zip(rows.columns()).map(column).collect::<Option<Vec<_>>>()?;
    Some(Table::new(columns, chunk.len()))
}

fn contradictory() -> Error {
    Error::invalid("Arrow data that contradicts its own schema, or was already used up. Export it anew.")
}

fn receive(data: &Bound<'_, PyAny>) -> PyResult<(Field, Vec<ArrayRef>)> {
    if data.hasattr("__arrow_c_stream__")? { stream(data) } else { single(data) }
}

/// The Arrow data of an object. Where it finds that it is none (frames of pandas may have columns of several types, and
/// names that come twice), that is an error of what was sent.
fn handed_over<'py>(data: &Bound<'py, PyAny>, method: &str) -> PyResult<Bound<'py, PyAny>> {
    let py = data.py();
    let error = match data.call_method0(method) {
        Ok(handed_over) => return Ok(handed_over),
        Err(error) => error,
    };
    let of_the_data = error.is_instance_of::<PyValueError>(py)
        || error.is_instance_of::<PyTypeError>(py)
        || error.is_instance_of::<PyOverflowError>(py)
        || error.is_instance_of::<PyNotImplementedError>(py);
    if !of_the_data || is_ours(py, &error)? {
        return Err(error);
    }
    let why = shortened(&said_by(py, &error)?, SHOWN);
    let refused = raise(Error::invalid(format!(
        "Data that did not hand itself over as Arrow: {why}. In a frame each column has a name of its own and values of one type, numbers, booleans or text."
    )));
    refused.set_cause(py, Some(error));
    Err(refused)
}

/// The longest reason that a message repeats.
const SHOWN: usize = 300;

/// An error's texts, of which pyarrow's have several and the last names the column; its kind where it has none.
fn said_by(py: Python<'_>, error: &PyErr) -> PyResult<String> {
    let texts = error.value(py).getattr("args")?.extract::<Vec<String>>();
    let said = texts.map_or_else(|_| error.value(py).to_string(), |texts| texts.join("; "));
    if said.is_empty() { Ok(error.get_type(py).name()?.to_string()) } else { Ok(said) }
}

fn stream(data: &Bound<'_, PyAny>) -> PyResult<(Field, Vec<ArrayRef>)> {
    let capsule = handed_over(data, "__arrow_c_stream__")?.cast_into::<PyCapsule>()?;
    let pointer = capsule.pointer_checked(Some(STREAM))?.cast::<FFI_ArrowArrayStream>();
    // SAFETY: a capsule of this name holds a stream of the C stream interface, by the capsule interface's
    // definition; it is moved out, which leaves a released one for the capsule's destructor.
    let reader = unsafe { ArrayStreamReader::from_raw(pointer.as_ptr()) }.map_err(|error| refuse(&error))?;
    let field = reader.field().as_ref().clone();
    let arrays = reader.collect::<Result<Vec<_>, _>>().map_err(|error| refuse(&error))?;
    Ok((field, arrays))
}

fn single(data: &Bound<'_, PyAny>) -> PyResult<(Field, Vec<ArrayRef>)> {
    let capsules = handed_over(data, "__arrow_c_array__")?.cast_into::<PyTuple>()?;
    let (schema, array) =
        (capsules.get_item(0)?.cast_into::<PyCapsule>()?, capsules.get_item(1)?.cast_into::<PyCapsule>()?);
    let schema = schema.pointer_checked(Some(SCHEMA))?.cast::<FFI_ArrowSchema>();
    let array = array.pointer_checked(Some(ARRAY))?.cast::<FFI_ArrowArray>();
    // SAFETY: capsules of these names hold these structures; both are moved out, which leaves released ones for
    // the capsules' destructors.
    let (schema, array) =
        unsafe { (FFI_ArrowSchema::from_raw(schema.as_ptr()), FFI_ArrowArray::from_raw(array.as_ptr())) };
    let field = Field::try_from(&schema).map_err(|error| refuse(&error))?;
    // SAFETY: the array was handed over together with this schema.
    let data = unsafe { arrow_array::ffi::from_ffi(array, &schema) }.map_err(|error| refuse(&error))?;
    Ok((field, vec![make_array(data)]))
}

/// Columns that grow by a chunk at a time.
struct Gathered {
    /// None: left out.
    columns: Vec<(Field, Option<Values>)>,
    /// Whether each chunk is a struct of the columns, not the one column itself.
    frame: bool,
    rows: usize,
}

impl Gathered {
    fn new(field: &Field, others: Others, untyped: &[String]) -> PyResult<Self> {
        let frame = matches!(field.data_type(), DataType::Struct(_));
        let fields = match field.data_type() {
            DataType::Struct(fields) => fields.iter().map(|field| field.as_ref().clone()).collect(),
            _ => vec![field.clone()],
        };
        if fields.len() > MAX_COLUMNS {
            let count = fields.len();
            return Err(raise(Error::invalid(format!(
                "{count} columns, but a table has at most {MAX_COLUMNS}. Send fewer."
            ))));
        }
        let mut names = std::collections::HashSet::new();
        if let Some(twice) = fields.iter().find(|field| !names.insert(field.name().clone())) {
            let name = twice.name();
            return Err(raise(Error::invalid(format!(
                "The column '{name}' comes twice. Name each column once."
            ))));
        }
        let columns = fields.into_iter().map(|field| {
            match values_for(&field) {
                Some(_) if untyped.contains(field.name()) => Ok((field, Some(Values::Unknown))),
                None if others == Others::Refused => {
                    let (name, kind) = (field.name(), field.data_type());
                    let message = format!(
                        "The column '{name}' is of the Arrow type {kind}. Cast it to a number, boolean or text, or leave it out."
                    );
                    Err(raise(Error::Invalid { message, at: vec![Step::Key(name.clone())] }))
                }
                values => Ok((field, values)),
            }
        });
        Ok(Self { columns: columns.collect::<PyResult<_>>()?, frame, rows: 0 })
    }

    fn add(&mut self, chunk: &ArrayRef) -> PyResult<()> {
        let chunks = match chunk.as_struct_opt() {
            Some(rows) if self.frame && rows.null_count() > 0 => {
                return Err(raise(Error::invalid(
                    "Arrow rows that are null as a whole. Send rows of values or nulls.",
                )));
            }
            Some(rows) if self.frame => rows.columns().to_vec(),
            _ => vec![chunk.clone()],
        };
        for ((field, values), chunk) in self.columns.iter_mut().zip(&chunks) {
            let Some(values) = values else { continue };
            extend(values, chunk.as_ref()).map_err(|(row, message)| {
                let name = field.name();
                raise(Error::cell((self.rows + row) as u64, name, format!("{message} in column '{name}'.")))
            })?;
        }
        self.rows += chunk.len();
        Ok(())
    }

    fn finish(self) -> Table {
        let column = |(field, values): (Field, Option<Values>)| Some(Column::new(field.name(), values?));
        Table::new(self.columns.into_iter().filter_map(column).collect(), self.rows)
    }
}

fn values_for(field: &Field) -> Option<Values> {
    use DataType as D;
    Some(match field.data_type() {
        D::Null => Values::Unknown,
        D::Boolean => Values::Boolean(Vec::new()),
        kind if is_text(kind) => Values::Text { present: Vec::new(), texts: Texts::default() },
        D::Dictionary(_, kind) if is_text(kind) => {
            Values::Text { present: Vec::new(), texts: Texts::default() }
        }
        D::Int8
        | D::Int16
        | D::Int32
        | D::Int64
        | D::UInt8
        | D::UInt16
        | D::UInt32
        | D::UInt64
        | D::Float32
        | D::Float64 => Values::Number(Vec::new()),
        _ => return None,
    })
}

fn is_text(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// The texts of an array of text.
fn texts(array: &dyn Array) -> Box<dyn Iterator<Item = Option<&str>> + '_> {
    match array.data_type() {
        DataType::Utf8 => Box::new(array.as_string::<i32>().iter()),
        DataType::LargeUtf8 => Box::new(array.as_string::<i64>().iter()),
        _ => Box::new(array.as_string_view().iter()),
    }
}

/// The texts of categories, which stand once each, by the category of each row.
fn texts_by_category(array: &dyn AnyDictionaryArray) -> impl Iterator<Item = Option<&str>> {
    let categories: Vec<_> = texts(array.values()).collect();
    let places = if categories.is_empty() { vec![0; array.len()] } else { array.normalized_keys() };
    let is_null = |row: usize| array.keys().is_null(row);
    places
        .into_iter()
        .enumerate()
        .map(move |(row, place)| if is_null(row) { None } else { categories.get(place).copied().flatten() })
}

/// Why a chunk cannot be taken: its row and what stands there.
type Refused = (usize, String);

fn extend(values: &mut Values, chunk: &dyn Array) -> Result<(), Refused> {
    match values {
        Values::Unknown => {}
        Values::Boolean(values) => values.extend(chunk.as_boolean().iter()),
        Values::Text { present, texts: taken } => {
            let take = |text: Option<&str>| {
                present.push(text.is_some());
                taken.push(text.unwrap_or_default());
            };
            match chunk.as_any_dictionary_opt() {
                Some(categories) => texts_by_category(categories).for_each(take),
                None => texts(chunk).for_each(take),
            }
        }
        Values::Number(values) => extend_numbers(values, chunk)?,
    }
    Ok(())
}

fn extend_numbers(values: &mut Vec<f64>, chunk: &dyn Array) -> Result<(), Refused> {
    macro_rules! exact {
        ($kind:ty) => {
            values.extend(chunk.as_primitive::<$kind>().iter().map(|value| value.map_or(f64::NAN, f64::from)))
        };
    }
    match chunk.data_type() {
        DataType::Float64 if chunk.null_count() == 0 => {
            values.extend_from_slice(chunk.as_primitive::<Float64Type>().values());
        }
        DataType::Float64 => exact!(Float64Type),
        DataType::Float32 => exact!(Float32Type),
        DataType::Int8 => exact!(Int8Type),
        DataType::Int16 => exact!(Int16Type),
        DataType::Int32 => exact!(Int32Type),
        DataType::UInt8 => exact!(UInt8Type),
        DataType::UInt16 => exact!(UInt16Type),
        DataType::UInt32 => exact!(UInt32Type),
        DataType::Int64 => {
            extend_integers(values, chunk.as_primitive::<Int64Type>().iter().map(|v| v.map(i128::from)))?
        }
        _ => extend_integers(values, chunk.as_primitive::<UInt64Type>().iter().map(|v| v.map(i128::from)))?,
    }
    Ok(())
}

fn extend_integers(
    values: &mut Vec<f64>,
    integers: impl Iterator<Item = Option<i128>>,
) -> Result<(), Refused> {
    for (row, integer) in integers.enumerate() {
        values.push(match integer.map(Cell::integer) {
            None => f64::NAN,
            Some(Cell::Number(number)) => number,
            Some(_) => {
                let integer = integer.unwrap_or_default();
                return Err((row, format!("The integer {integer}, which float64 cannot hold exactly,")));
            }
        });
    }
    Ok(())
}
