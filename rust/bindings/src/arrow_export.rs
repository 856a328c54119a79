//! Tables as Arrow streams. Numbers are lent where they stand, never copied: what a column costs is a few words.
//!
//! The structures are those of the Arrow C data interface. arrow-rs makes them too, in half a microsecond each; a
//! table of dozens of columns in several pieces has hundreds.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::Arc;

use arrow_array::{Array, BooleanArray, NullArray, StringViewArray};
use arrow_data::ffi::FFI_ArrowArray;
use arrow_schema::ffi::FFI_ArrowSchema;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use millstream_core::table::{Column, Table};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::arrow::{SCHEMA, STREAM, refuse};

/// A capsule with the table as a stream, a chunk for each run of rows whose numbers stand in one place.
pub(crate) fn export<'py>(py: Python<'py>, table: &Table) -> PyResult<Bound<'py, PyCapsule>> {
    let schema = FFI_ArrowSchema::try_from(&schema(table)).map_err(|error| refuse(&error))?;
    let mut pieces = table.pieces();
    pieces.reverse();
    let state = Box::new(State { schema: Some(schema), table: table.clone(), pieces });
    PyCapsule::new_with_value(py, Stream::new(state), STREAM)
}

/// A capsule with the table's schema.
pub(crate) fn export_schema<'py>(py: Python<'py>, table: &Table) -> PyResult<Bound<'py, PyCapsule>> {
    let schema = FFI_ArrowSchema::try_from(&schema(table)).map_err(|error| refuse(&error))?;
    PyCapsule::new_with_value(py, schema, SCHEMA)
}

fn schema(table: &Table) -> Schema {
    let field = |column: &Column| {
        let kind = match column.kind() {
            "float64" => DataType::Float64,
            "boolean" => DataType::Boolean,
            "string" => DataType::Utf8View,
            _ => DataType::Null,
        };
        Field::new(column.name(), kind, true)
    };
    Schema::new(table.columns().iter().map(field).collect::<Vec<_>>())
}

/// `ArrowArrayStream` of the C stream interface.
#[repr(C)]
struct Stream {
    get_schema: Option<unsafe extern "C" fn(*mut Self, *mut FFI_ArrowSchema) -> c_int>,
    get_next: Option<unsafe extern "C" fn(*mut Self, *mut ArrowArray) -> c_int>,
    get_last_error: Option<unsafe extern "C" fn(*mut Self) -> *const c_char>,
    release: Option<unsafe extern "C" fn(*mut Self)>,
    private_data: *mut c_void,
}

/// What a stream has yet to hand over.
struct State {
    schema: Option<FFI_ArrowSchema>,
    table: Table,
    /// Newest first.
    pieces: Vec<Table>,
}

// SAFETY: the state is plain owned data, and only the stream points to it.
unsafe impl Send for Stream {}

impl Stream {
    fn new(state: Box<State>) -> Self {
        Self {
            get_schema: Some(get_schema),
            get_next: Some(get_next),
            get_last_error: Some(get_last_error),
            release: Some(release_stream),
            private_data: Box::into_raw(state).cast(),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: it was not released yet, and this is its own release.
            unsafe { release(self) };
        }
    }
}

/// EIO, for what is asked for after the end.
const FAILED: c_int = 5;

unsafe extern "C" fn get_schema(stream: *mut Stream, out: *mut FFI_ArrowSchema) -> c_int {
    // SAFETY: a consumer calls this with a stream that was not released, whose state is a `State`, from one thread at
    // a time.
    let state = unsafe { &mut *(*stream).private_data.cast::<State>() };
    let again = || FFI_ArrowSchema::try_from(&schema(&state.table));
    match state.schema.take().map_or_else(again, Ok) {
        Ok(schema) => {
            // SAFETY: `out` is the consumer's place for a schema and holds none.
            unsafe { out.write(schema) };
            0
        }
        Err(_) => FAILED,
    }
}

unsafe extern "C" fn get_next(stream: *mut Stream, out: *mut ArrowArray) -> c_int {
    // SAFETY: as in `get_schema`.
    let state = unsafe { &mut *(*stream).private_data.cast::<State>() };
    let piece = state.pieces.pop().map_or(Ok(ArrowArray::RELEASED), |piece| array_of(&piece));
    match piece {
        Ok(array) => {
            // SAFETY: `out` is the consumer's place for an array and holds none.
            unsafe { out.write(array) };
            0
        }
        Err(_) => FAILED,
    }
}

unsafe extern "C" fn get_last_error(_: *mut Stream) -> *const c_char {
    const MESSAGE: &CStr = c"a column that Arrow cannot describe";
    MESSAGE.as_ptr()
}

unsafe extern "C" fn release_stream(stream: *mut Stream) {
    // SAFETY: a consumer releases a stream once; its state came from a box.
    unsafe {
        drop(Box::from_raw((*stream).private_data.cast::<State>()));
        (*stream).release = None;
    }
}

/// `ArrowArray` of the C data interface.
#[repr(C)]
struct ArrowArray {
    length: i64,
    null_count: i64,
    offset: i64,
    n_buffers: i64,
    n_children: i64,
    buffers: *const *const c_void,
    children: *const *mut ArrowArray,
    dictionary: *mut ArrowArray,
    release: Option<unsafe extern "C" fn(*mut Self)>,
    private_data: *mut c_void,
}

const _: () = assert!(size_of::<ArrowArray>() == size_of::<FFI_ArrowArray>());

impl ArrowArray {
    /// What stands for the end of a stream.
    const RELEASED: Self = Self {
        length: 0,
        null_count: 0,
        offset: 0,
        n_buffers: 0,
        n_children: 0,
        buffers: ptr::null(),
        children: ptr::null(),
        dictionary: ptr::null_mut(),
        release: None,
        private_data: ptr::null_mut(),
    };
}

/// What the columns of one piece share, until the last of them is released.
struct Lent {
    /// The addresses of each column's validity bits (null: nothing is missing) and of its values.
    buffers: Box<[[*const c_void; 2]]>,
    /// Where the values are.
    _table: Table,
    /// Where the validity bits are.
    _validity: Vec<Box<[u8]>>,
}

// SAFETY: the addresses are of memory that never changes and that the other two fields keep; a consumer may release its
// columns on any thread.
unsafe impl Send for Lent {}
// SAFETY: as for Send.
unsafe impl Sync for Lent {}

/// What a piece itself holds.
struct Piece {
    /// No validity bits: no row is null as a whole.
    buffers: [*const c_void; 1],
    /// A box, behind a pointer because `children` point into it.
    columns: *mut [ArrowArray],
    children: Box<[*mut ArrowArray]>,
}

/// A piece of a table as a struct array, its columns as children.
fn array_of(table: &Table) -> Result<ArrowArray, ArrowError> {
    let mut validity = Vec::new();
    let mut buffers = vec![[ptr::null::<c_void>(); 2]; table.columns().len()].into_boxed_slice();
    let mut missing = vec![None; table.columns().len()];
    for (place, buffers) in buffers.iter_mut().enumerate() {
        let Some((values, may_miss)) = table.contiguous(place) else { continue };
        let count = if may_miss { count_missing(values) } else { 0 };
        missing[place] = Some(count);
        if count > 0 {
            let bits = validity_of(values);
            buffers[0] = bits.as_ptr().cast();
            validity.push(bits);
        }
        buffers[1] = values.as_ptr().cast();
    }
    let lent = Arc::new(Lent { buffers, _table: table.clone(), _validity: validity });
    let column = |place: usize| match missing[place] {
        Some(missing) => Ok(lend(&lent, place, table.len(), missing)),
        None => other(table, place),
    };
    let columns = (0..table.columns().len()).map(column).collect::<Result<Box<[_]>, _>>()?;
    let count = columns.len();
    let columns = Box::into_raw(columns);
    let children = (0..count).map(|at| columns.cast::<ArrowArray>().wrapping_add(at)).collect();
    let piece = Box::into_raw(Box::new(Piece { buffers: [ptr::null()], columns, children }));
    // SAFETY: `piece` was a box a moment ago.
    let Piece { buffers, children, .. } = unsafe { &*piece };
    Ok(ArrowArray {
        length: table.len() as i64,
        n_buffers: 1,
        n_children: children.len() as i64,
        buffers: buffers.as_ptr(),
        children: children.as_ptr(),
        release: Some(release_piece),
        private_data: piece.cast(),
        ..ArrowArray::RELEASED
    })
}

fn lend(lent: &Arc<Lent>, place: usize, rows: usize, missing: usize) -> ArrowArray {
    ArrowArray {
        length: rows as i64,
        null_count: missing as i64,
        n_buffers: 2,
        buffers: lent.buffers[place].as_ptr(),
        release: Some(release_column),
        private_data: Arc::into_raw(lent.clone()).cast_mut().cast(),
        ..ArrowArray::RELEASED
    }
}

/// A column that does not hold numbers, as arrow-rs makes it.
fn other(table: &Table, place: usize) -> Result<ArrowArray, ArrowError> {
    let data = match (table.booleans(place), table.texts(place)) {
        (Some(booleans), _) => BooleanArray::from(booleans.to_vec()).into_data(),
        (_, Some(texts)) => StringViewArray::from_iter(texts).into_data(),
        _ => NullArray::new(table.len()).into_data(),
    };
    let array = FFI_ArrowArray::new(&data);
    // SAFETY: both are the `ArrowArray` of the C data interface, field by field, and it is moved.
    Ok(unsafe { std::mem::transmute::<FFI_ArrowArray, ArrowArray>(array) })
}

unsafe extern "C" fn release_column(array: *mut ArrowArray) {
    // SAFETY: a column is released once, wherever it was moved to; it came with a count of its own.
    unsafe {
        drop(Arc::from_raw((*array).private_data.cast::<Lent>()));
        (*array).release = None;
    }
}

unsafe extern "C" fn release_piece(array: *mut ArrowArray) {
    // SAFETY: a piece is released once; its private data came from a box. A column that was moved away is marked as
    // released where it was, and is its new owner's to release.
    unsafe {
        let piece = Box::from_raw((*array).private_data.cast::<Piece>());
        for column in &piece.children {
            if let Some(release) = (**column).release {
                release(*column);
            }
        }
        drop(Box::from_raw(piece.columns));
        (*array).release = None;
    }
}

fn count_missing(values: &[f64]) -> usize {
    values.iter().map(|value| usize::from(value.is_nan())).sum()
}

/// A bit for each value, 0 where it is missing.
fn validity_of(values: &[f64]) -> Box<[u8]> {
    let byte = |values: &[f64]| {
        let bit = |byte, (at, value): (usize, &f64)| byte | u8::from(!value.is_nan()) << at;
        values.iter().enumerate().fold(0, bit)
    };
    values.chunks(8).map(byte).collect()
}
