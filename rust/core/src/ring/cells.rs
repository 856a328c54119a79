//! The numbers of several columns over one run of rows, written once from front to back while the rows before are
//! read. The one place where the ring is unsafe.
//!
//! Invariant: a cell is written by the ring's writer only, before the row it belongs to is published, and read only
//! afterwards. The published length is stored with `Release` after the write and loaded with `Acquire` before the
//! read, so the two never race (the loom models check it cell by cell).

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::slab::pitch;

#[cfg(loom)]
use loom::cell::UnsafeCell;
#[cfg(not(loom))]
use std::cell::UnsafeCell;

/// Cells of a cache line.
const LINE: usize = 8;

/// A column's rows stand one after the other, column after column.
pub(super) struct Numbers {
    cells: Box<[UnsafeCell<f64>]>,
    /// Cells from one column to the next.
    pitch: usize,
    gaps: Box<[Gaps]>,
}

/// Between which rows of a column values are missing: none before `first`, none after `last`.
struct Gaps {
    first: AtomicUsize,
    last: AtomicUsize,
}

impl Gaps {
    const NONE: usize = usize::MAX;

    fn new() -> Self {
        Self { first: AtomicUsize::new(Self::NONE), last: AtomicUsize::new(0) }
    }
}

// SAFETY: cells are shared under the invariant above, and f64 is plain data.
unsafe impl Send for Numbers {}
// SAFETY: as for Send.
unsafe impl Sync for Numbers {}

// What a panic may leave half-written is not published.
impl std::panic::RefUnwindSafe for Numbers {}

impl Numbers {
    /// Zeros.
    pub(super) fn new(rows: usize, columns: usize) -> Self {
        let pitch = pitch(rows);
        Self { cells: zeros(pitch * columns), pitch, gaps: (0..columns).map(|_| Gaps::new()).collect() }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.cells) + size_of_val(&*self.gaps)
    }

    /// Forgets where values are missing, before the rows are written anew.
    pub(super) fn reset(&mut self) {
        self.gaps.fill_with(Gaps::new);
    }

    /// Whether one of the published rows `from..to` of a column may be missing.
    pub(super) fn may_miss(&self, column: usize, from: usize, to: usize) -> bool {
        let gaps = &self.gaps[column];
        // Relaxed: written before the rows were published. What came since can only widen the answer.
        gaps.first.load(Ordering::Relaxed) < to && gaps.last.load(Ordering::Relaxed) >= from
    }

    fn note_missing(&self, column: usize, row: usize) {
        let gaps = &self.gaps[column];
        gaps.first.fetch_min(row, Ordering::Relaxed);
        gaps.last.store(row, Ordering::Relaxed);
    }

    /// Writes a row: each of `columns` takes the value at its own place in `values`, and the columns after it what
    /// stands as many places further as there are `columns`.
    ///
    /// # Safety
    /// The caller is the only writer, and the row is not published.
    #[inline(always)]
    pub(super) unsafe fn write_row<const L: usize>(&self, columns: [usize; L], row: usize, values: &[f64]) {
        let count = values.len() / L;
        let inside = columns.iter().fold(true, |inside, first| inside & (first + count <= self.gaps.len()));
        assert!(row < self.pitch && inside, "inside the cells");
        let mut starts = columns.map(|column| column * self.pitch + row);
        for values in values.chunks_exact(L) {
            for (start, value) in starts.iter_mut().zip(values) {
                // SAFETY: row and column are inside the cells (asserted); nobody reads or writes this one (the caller).
                unsafe { self.set(*start, *value) };
                *start += self.pitch;
            }
        }
        self.fetch(columns, row, count);
        // Without an early exit the compiler looks at several values at a time.
        if values.iter().fold(false, |missing, value| missing | value.is_nan()) {
            self.note_missing_in_row(&columns, row, values);
        }
    }

    #[cold]
    fn note_missing_in_row(&self, columns: &[usize], row: usize, values: &[f64]) {
        for (at, values) in values.chunks_exact(columns.len()).enumerate() {
            for (column, value) in columns.iter().zip(values) {
                if value.is_nan() {
                    self.note_missing(column + at, row);
                }
            }
        }
    }

    /// Writes `values` to consecutive rows of a column, the first to row `row`.
    ///
    /// # Safety
    /// The caller is the only writer, and none of the rows is published.
    pub(super) unsafe fn write_column(&self, column: usize, row: usize, values: &[f64]) {
        assert!(row + values.len() <= self.pitch && column < self.gaps.len(), "inside the cells");
        // SAFETY: inside the cells (asserted); nobody reads or writes them (the caller).
        unsafe { self.set_run(column * self.pitch + row, values) };
        if values.iter().fold(false, |missing, value| missing | value.is_nan()) {
            let missing = || values.iter().enumerate().filter(|(_, value)| value.is_nan());
            let ends = [missing().next(), missing().next_back()];
            ends.into_iter().flatten().for_each(|(at, _)| self.note_missing(column, row + at));
        }
    }

    /// The value of a row.
    ///
    /// # Safety
    /// The row is published.
    #[inline(always)]
    pub(super) unsafe fn read(&self, column: usize, row: usize) -> f64 {
        assert!(row < self.pitch && column < self.gaps.len(), "inside the cells");
        // SAFETY: inside the cells (asserted), and never written again (published).
        unsafe { self.get(column * self.pitch + row) }
    }
}

#[cfg(not(loom))]
impl Numbers {
    /// # Safety
    /// `at` is inside the cells, and nobody reads or writes it at the same time.
    #[inline(always)]
    unsafe fn set(&self, at: usize, value: f64) {
        // SAFETY: the caller's.
        unsafe { *self.cells.get_unchecked(at).get() = value };
    }

    /// Has the next cache line of an eighth of the columns brought in, so that each is there when a row reaches it:
    /// no processor foresees the steps of dozens of columns. Measured: a row of 52 columns in 2/3 of the time.
    #[inline(always)]
    fn fetch<const L: usize>(&self, columns: [usize; L], row: usize, count: usize) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        for at in (row % LINE..count).step_by(LINE) {
            for column in columns {
                use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
                let next = self.cells.as_ptr().wrapping_add((column + at) * self.pitch + row + LINE);
                // SAFETY: to prefetch reads nothing, whatever the address.
                unsafe { _mm_prefetch::<_MM_HINT_ET0>(next.cast()) };
            }
        }
    }

    /// # Safety
    /// As [`Self::set`], for as many cells as values.
    unsafe fn set_run(&self, at: usize, values: &[f64]) {
        let start = self.cells[at..at + values.len()].as_ptr();
        // SAFETY: the cells are there (the slice above); an UnsafeCell<f64> is laid out as an f64; nobody reads or
        // writes them (the caller), so they do not overlap with `values` either.
        unsafe {
            std::ptr::copy_nonoverlapping(values.as_ptr(), UnsafeCell::raw_get(start), values.len());
        }
    }

    /// # Safety
    /// `at` is inside the cells, and nobody writes it at the same time.
    #[inline(always)]
    unsafe fn get(&self, at: usize) -> f64 {
        // SAFETY: the caller's.
        unsafe { *self.cells.get_unchecked(at).get() }
    }

    /// The rows `from..to` of a column, in place.
    ///
    /// # Safety
    /// The rows are published.
    pub(super) unsafe fn read_column(&self, column: usize, from: usize, to: usize) -> &[f64] {
        assert!(to <= self.pitch && column < self.gaps.len(), "inside the cells");
        let cells = &self.cells[column * self.pitch..][from..to];
        // SAFETY: the cells are there (the slice above), laid out as f64, and never written again while `self` is
        // shared (published).
        unsafe { std::slice::from_raw_parts(UnsafeCell::raw_get(cells.as_ptr()), cells.len()) }
    }
}

/// loom tells every cell's readers from its writers, and fails a model where they meet.
#[cfg(loom)]
impl Numbers {
    unsafe fn set(&self, at: usize, value: f64) {
        // SAFETY: the caller's, and loom looks.
        self.cells[at].with_mut(|cell| unsafe { *cell = value });
    }

    fn fetch<const L: usize>(&self, _columns: [usize; L], _row: usize, _count: usize) {}

    unsafe fn set_run(&self, at: usize, values: &[f64]) {
        for (offset, value) in values.iter().enumerate() {
            // SAFETY: the caller's.
            unsafe { self.set(at + offset, *value) };
        }
    }

    unsafe fn get(&self, at: usize) -> f64 {
        // SAFETY: the caller's, and loom looks.
        self.cells[at].with(|cell| unsafe { *cell })
    }
}

/// Pages that nobody has written yet cost nothing: they are asked for as zeros.
#[cfg(not(loom))]
fn zeros(cells: usize) -> Box<[UnsafeCell<f64>]> {
    let zeros = Box::into_raw(vec![0.0_f64; cells].into_boxed_slice());
    // SAFETY: an UnsafeCell<f64> is laid out as an f64, and the box is the only owner.
    unsafe { Box::from_raw(zeros as *mut [UnsafeCell<f64>]) }
}

#[cfg(loom)]
fn zeros(cells: usize) -> Box<[UnsafeCell<f64>]> {
    (0..cells).map(|_| UnsafeCell::new(0.0)).collect()
}
