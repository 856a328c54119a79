//! The numbers of several columns over one run of rows, written once from front to back while the rows before are
//! read. The memory that all unsafe code of the ring is about.
//!
//! Invariant: a cell is written by the ring's writer only, before the row it belongs to is published, and read by others
//! only afterwards. The published length is stored with `Release` after the write and loaded with `Acquire` before the
//! read, so the two never race (the loom models check it cell by cell).

use std::ops::Range;
#[cfg(not(loom))]
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[cfg(all(not(loom), target_arch = "x86_64", not(miri)))]
use crate::simd::LINE;
use crate::simd::PIECE;
#[cfg(not(loom))]
use crate::slab::Slab;
use crate::slab::pitch;

#[cfg(loom)]
use loom::cell::UnsafeCell;
#[cfg(not(loom))]
use std::cell::UnsafeCell;

/// A column's rows stand one after the other, column after column.
pub(super) struct Numbers {
    cells: Memory,
    /// Cells from one column to the next.
    pitch: usize,
    gaps: Box<[Gaps]>,
    /// Whether the memory was never written before: then it takes pages only up to the newest row.
    fresh: bool,
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

// Half-written rows that a panic may leave are numbers all the same; no caller panics between opening rows and
// publishing them.
impl std::panic::RefUnwindSafe for Numbers {}

impl Numbers {
    /// Cells that hold anything.
    pub(super) fn new(rows: usize, columns: usize) -> Self {
        let pitch = pitch(rows);
        let (cells, fresh) = Memory::take(pitch * columns);
        Self { cells, pitch, gaps: (0..columns).map(|_| Gaps::new()).collect(), fresh }
    }

    /// What it takes when `rows` rows are written.
    pub(super) fn bytes(&self, rows: usize) -> usize {
        const PAGE: usize = 4_096 / size_of::<f64>();
        let touched = if self.fresh { self.pitch.min(rows.next_multiple_of(PAGE)) } else { self.pitch };
        self.gaps.len() * (touched * size_of::<f64>() + size_of::<Gaps>())
    }

    /// Forgets where values are missing, before the rows are written anew.
    pub(super) fn reset(&mut self) {
        self.gaps.fill_with(Gaps::new);
        self.fresh = false;
    }

    /// Has its memory kept for later segments once the readers that still look at it let go. To a writer beside readers,
    /// new pages for each segment that they hold cost half as much as its rows.
    pub(super) fn keep(&self) {
        // Relaxed: whoever drops it last sees what was done before the others let go.
        self.cells.kept.store(true, Ordering::Relaxed);
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

    /// Writes a row: each of `columns` takes its value of `values`, and the `count` columns after it those of `more`.
    /// None is missing unless it `may_miss`.
    ///
    /// # Safety
    /// The caller is the only writer, and the row is not published.
    #[inline(always)]
    pub(super) unsafe fn write_row<'a, const L: usize>(
        &self,
        columns: [usize; L],
        row: usize,
        values: &'a [f64; L],
        (count, more): (usize, impl Iterator<Item = &'a [[f64; L]]>),
        may_miss: bool,
    ) {
        let all = self.gaps.len();
        let last = all.wrapping_sub(1 + count); // where the last that fits begins
        let inside = columns.iter().fold(count < all, |inside, first| inside & (*first <= last));
        assert!(row < self.pitch && inside, "inside the cells");
        self.fetch(columns[0]..columns[L - 1] + 1 + count, row);
        let (cells, pitch) = (self.cells.as_ptr(), self.pitch);
        let (mut starts, mut left) = (columns.map(|column| column * pitch + row), 1 + count);
        for run in std::iter::once(std::slice::from_ref(values)).chain(more) {
            assert!(run.len() <= left, "inside the cells");
            left -= run.len();
            for values in run {
                for lane in 0..L {
                    // SAFETY: row and column are inside the cells (asserted); nobody reads or writes this one (the caller).
                    unsafe { set(cells, starts[lane], values[lane]) };
                    starts[lane] += pitch;
                }
            }
        }
        assert_eq!(left, 0, "a value for each column");
        if may_miss {
            columns.iter().for_each(|first| self.note_missing_in_row(*first..first + 1 + count, row));
        }
    }

    #[cold]
    fn note_missing_in_row(&self, columns: Range<usize>, row: usize) {
        for column in columns {
            // SAFETY: only the writer notes what is missing, of rows it has written.
            if unsafe { self.read(column, row) }.is_nan() {
                self.note_missing(column, row);
            }
        }
    }

    /// Writes `values` to consecutive rows of a column, the first to row `row`.
    ///
    /// # Safety
    /// The caller is the only writer, and none of the rows is published.
    pub(super) unsafe fn write_column(&self, column: usize, row: usize, values: &[f64]) {
        let room = self.pitch.saturating_sub(row);
        assert!(values.len() <= room && column < self.gaps.len(), "inside the cells");
        let mut any_missing = false;
        for (at, piece) in (row..).step_by(PIECE).zip(values.chunks(PIECE)) {
            // SAFETY: inside the cells (asserted); nobody reads or writes them (the caller).
            unsafe { self.set_run(column * self.pitch + at, piece) };
            any_missing |= piece.iter().fold(false, |missing, value| missing | value.is_nan());
        }
        if any_missing {
            let missing = || values.iter().enumerate().filter(|(_, value)| value.is_nan());
            let ends = [missing().next(), missing().next_back()];
            ends.into_iter().flatten().for_each(|(at, _)| self.note_missing(column, row + at));
        }
    }

    /// The values of a row in consecutive columns, from `first` on.
    ///
    /// # Safety
    /// The row is published.
    #[inline]
    pub(super) unsafe fn read_row(&self, first: usize, row: usize, out: &mut [f64]) {
        let room = self.gaps.len().saturating_sub(first);
        assert!(row < self.pitch && out.len() <= room, "inside the cells");
        let (cells, pitch) = (&*self.cells, self.pitch);
        for (column, out) in (first..).zip(out) {
            // SAFETY: inside the cells (asserted), and never written again (published).
            *out = unsafe { get(cells, column * pitch + row) };
        }
    }

    /// The value of a row.
    ///
    /// # Safety
    /// The row is published, or the caller wrote it.
    #[inline(always)]
    pub(super) unsafe fn read(&self, column: usize, row: usize) -> f64 {
        assert!(row < self.pitch && column < self.gaps.len(), "inside the cells");
        // SAFETY: inside the cells (asserted), and never written again (published).
        unsafe { get(&self.cells, column * self.pitch + row) }
    }
}

/// # Safety
/// There is a cell at `at`, and nobody reads or writes it at the same time.
#[cfg(not(loom))]
#[inline(always)]
unsafe fn set(cells: *const UnsafeCell<f64>, at: usize, value: f64) {
    // SAFETY: the caller's.
    unsafe { *UnsafeCell::raw_get(cells.add(at)) = value };
}

/// As above; loom looks.
#[cfg(loom)]
unsafe fn set(cells: *const UnsafeCell<f64>, at: usize, value: f64) {
    // SAFETY: the caller's.
    unsafe { (*cells.add(at)).with_mut(|cell| *cell = value) };
}

/// # Safety
/// There is a cell at `at`, and nobody writes it at the same time.
#[cfg(not(loom))]
#[inline(always)]
unsafe fn get(cells: &[UnsafeCell<f64>], at: usize) -> f64 {
    // SAFETY: the caller's.
    unsafe { *cells.get_unchecked(at).get() }
}

/// As above; loom looks.
#[cfg(loom)]
unsafe fn get(cells: &[UnsafeCell<f64>], at: usize) -> f64 {
    // SAFETY: the caller's, and loom looks.
    cells[at].with(|cell| unsafe { *cell })
}

#[cfg(not(loom))]
impl Numbers {
    /// Has the cache line after the next one of an eighth of the columns brought in, so that each is there when a row
    /// reaches it: no processor foresees the steps of dozens of columns. Measured: a row of 52 columns in 2/3 of the
    /// time; with the next line itself, which some columns reach a row later, 4 % more.
    #[inline(always)]
    fn fetch(&self, columns: Range<usize>, row: usize) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let cells = self.cells.as_ptr().wrapping_add(row + 2 * LINE);
            // As many in each row: then the processor foresees where the loop ends.
            for eighth in 0..columns.len().div_ceil(LINE) {
                let column = (columns.start + eighth * LINE + row % LINE).min(columns.end - 1);
                let next = cells.wrapping_add(column * self.pitch);
                // SAFETY: to prefetch reads nothing, whatever the address.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(next.cast()) };
            }
        }
    }

    /// # Safety
    /// There are as many cells from `at` on as values, and nobody reads or writes them at the same time.
    unsafe fn set_run(&self, at: usize, values: &[f64]) {
        let start = self.cells[at..at + values.len()].as_ptr();
        // SAFETY: the cells are there (the slice above); an UnsafeCell<f64> is laid out as an f64; nobody reads or
        // writes them (the caller), so they do not overlap with `values` either.
        unsafe {
            std::ptr::copy_nonoverlapping(values.as_ptr(), UnsafeCell::raw_get(start), values.len());
        }
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
    fn fetch(&self, _columns: Range<usize>, _row: usize) {}

    unsafe fn set_run(&self, at: usize, values: &[f64]) {
        for (offset, value) in values.iter().enumerate() {
            // SAFETY: the caller's.
            unsafe { set(self.cells.as_ptr(), at + offset, *value) };
        }
    }
}

/// The memory of the cells.
#[cfg(not(loom))]
struct Memory {
    start: NonNull<UnsafeCell<f64>>,
    cells: usize,
    /// Only to be dropped: its numbers are looked at through `start` alone.
    slab: Slab,
    /// Whether it is for later segments when nobody looks at it any more.
    kept: AtomicBool,
}

#[cfg(not(loom))]
impl Memory {
    /// Memory for as many cells, and whether it is new. Pages that nobody has written yet cost nothing.
    fn take(cells: usize) -> (Self, bool) {
        let (mut slab, new) = Slab::take_growing(cells);
        let start = NonNull::from(&mut slab.values()[..cells]).cast();
        (Self { start, cells, slab, kept: AtomicBool::new(false) }, new)
    }
}

#[cfg(not(loom))]
impl Drop for Memory {
    fn drop(&mut self) {
        if !*self.kept.get_mut() {
            std::mem::take(&mut self.slab).free();
        }
    }
}

#[cfg(not(loom))]
impl std::ops::Deref for Memory {
    type Target = [UnsafeCell<f64>];

    #[inline(always)]
    fn deref(&self) -> &[UnsafeCell<f64>] {
        // SAFETY: the slab holds as many numbers, of which any bits are one, and nobody else gets at them; an
        // UnsafeCell<f64> is laid out as an f64.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.cells) }
    }
}

#[cfg(loom)]
struct Memory {
    cells: Box<[UnsafeCell<f64>]>,
    kept: AtomicBool,
}

#[cfg(loom)]
impl Memory {
    fn take(cells: usize) -> (Self, bool) {
        (
            Self { cells: (0..cells).map(|_| UnsafeCell::new(0.0)).collect(), kept: AtomicBool::new(false) },
            true,
        )
    }
}

#[cfg(loom)]
impl std::ops::Deref for Memory {
    type Target = [UnsafeCell<f64>];

    fn deref(&self) -> &[UnsafeCell<f64>] {
        &self.cells
    }
}
