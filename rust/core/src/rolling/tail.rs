//! The newest rows of a column, over the blocks their windows touch.

use std::ops::Range;

use super::block::block;
use super::{Results, Scratch, Window, lockstep};
use crate::simd::Widest;

/// A column of numbers.
pub struct Series<'a> {
    pub(super) values: &'a [f64],
    pub(super) first_sequence: u64,
    finite: bool,
}

impl<'a> Series<'a> {
    /// The first of `values` has sequence `first_sequence`; rows before it count as missing.
    #[must_use]
    pub fn new(values: &'a [f64], first_sequence: u64) -> Self {
        Self { values, first_sequence, finite: all_finite(values) }
    }

    /// As [`Self::new`], without a look at the values.
    #[cfg(not(loom))]
    pub(crate) fn unseen(values: &'a [f64], first_sequence: u64) -> Self {
        Self { values, first_sequence, finite: false }
    }

    /// Some of the values; `surely_finite` where it is known that none of them is missing or infinite.
    #[cfg(not(loom))]
    pub(crate) fn part(&self, rows: Range<usize>, surely_finite: bool) -> Self {
        let first_sequence = self.first_sequence + rows.start as u64;
        Self { values: &self.values[rows], first_sequence, finite: surely_finite }
    }

    #[cfg(not(loom))]
    pub(crate) fn values(&self) -> &'a [f64] {
        self.values
    }

    /// The place of value `row` in its block.
    pub(super) fn place(&self, row: usize, window: Window) -> usize {
        let phase = (self.first_sequence % window.rows as u64) as usize;
        (phase + row % window.rows) % window.rows
    }

    /// Whether no value is missing or infinite.
    #[cfg(not(loom))]
    pub(crate) fn is_finite(&self) -> bool {
        self.finite
    }
}

/// The statistics of the windows that end at each of the newest `rows` of a series. Reads at most `rows + window` values.
///
/// # Panics
/// If a column of `out` is not `rows` long, or `rows` exceeds the values.
pub fn tail(series: &Series<'_>, rows: usize, window: Window, scratch: &mut Scratch, mut out: Results<'_>) {
    assert!(out.iter().all(|column| column.len() == rows), "a result for each row asked for");
    let blocks = Blocks { series, window };
    let end = series.values.len();
    assert!(rows <= end, "no more rows than values");
    let mut row = end - rows;
    while row < end {
        let done = blocks.next(row, scratch, split(&mut out));
        for column in &mut out {
            *column = std::mem::take(column).split_at_mut(done).1;
        }
        row += done;
    }
}

fn split<'a>(out: &'a mut Results<'_>) -> Results<'a> {
    out.each_mut().map(|column| &mut **column)
}

/// A series cut into the blocks of one window.
struct Blocks<'a> {
    series: &'a Series<'a>,
    window: Window,
}

impl Blocks<'_> {
    /// Writes the results of some rows from `row` on; how many.
    fn next(&self, row: usize, scratch: &mut Scratch, out: Results<'_>) -> usize {
        let rows = self.window.rows;
        let Series { values, .. } = *self.series;
        let place = self.series.place(row, self.window);
        if place == 0 && row >= rows {
            let (widest, most) = scratch.at_once(self.window);
            let blocks = lockstep::even(self.finite_blocks(row, most), widest.lanes());
            if blocks > 0 {
                let values = &values[row - rows..row + blocks * rows];
                let out = out.map(|column| &mut column[..blocks * rows]);
                widest.blocks(values, rows, &mut scratch.lockstep, out);
                return blocks * rows;
            }
        }
        if row + 1 < rows && self.window.min_samples == rows {
            // No window is full before that of row `rows - 1`.
            let missing = values.len().min(rows - 1) - row;
            out.into_iter().for_each(|column| column[..missing].fill(f64::NAN));
            return missing;
        }
        let start = row as isize - place as isize;
        let to = (row + rows - place).min(values.len());
        block(values, self.window, start, row, to, &mut scratch.suffix, out);
        to - row
    }

    /// How many whole blocks from `row` on, up to `most`, are finite like those before them.
    fn finite_blocks(&self, row: usize, most: usize) -> usize {
        let rows = self.window.rows;
        let Series { values, finite, .. } = *self.series;
        if finite {
            return most.min((values.len() - row) / rows);
        }
        let blocks = values[row - rows..].chunks_exact(rows).take(most + 1);
        blocks.take_while(|block| all_finite(block)).count().saturating_sub(1)
    }
}

/// How far to go from value `from` of a series before value `end`, so that all that is done are whole runs of all lanes.
#[cfg(not(loom))]
pub(crate) fn even(series: &Series<'_>, from: usize, end: usize, window: Window, scratch: &Scratch) -> usize {
    if window.rows > end - from {
        return from;
    }
    let place = series.place(from, window);
    let block = if place == 0 { from } else { from + window.rows - place };
    let (_, blocks) = scratch.at_once(window);
    if block > end { from } else { end - (end - block) % (blocks * window.rows) }
}

impl Scratch {
    /// The vectors for the window's whole blocks, and how many blocks fill a run of all their lanes.
    fn at_once(&self, window: Window) -> (Widest, usize) {
        let widest = self.machine.for_answers(self.lockstep.past_caches);
        (widest, widest.lanes() * lockstep::longest(window.rows))
    }
}

/// Whether no value is NaN or infinite. Such a value times 0 is NaN, and stays so in a sum; eight sums side by side
/// let the compiler take several values at a time.
pub(crate) fn all_finite(values: &[f64]) -> bool {
    let (eights, rest) = values.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for eight in eights {
        for (sum, value) in sums.iter_mut().zip(eight) {
            *sum += value * 0.0;
        }
    }
    sums.iter().sum::<f64>() == 0.0 && rest.iter().all(|value| value.is_finite())
}
