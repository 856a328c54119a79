//! The newest rows of a column, over the blocks their windows touch.

use super::block::{self, LANES, Weights};
use super::{Columns, Scratch, Window};

/// The statistics of the windows that end at each of the newest `rows` of `values`. The first value has
/// sequence `first_sequence`; rows before it count as missing. Reads at most `rows + window - 1` values.
///
/// # Panics
/// If a column of `out` is not `rows` long, or `rows` exceeds the values.
pub fn tail(
    values: &[f64],
    first_sequence: u64,
    rows: usize,
    window: Window,
    scratch: &mut Scratch,
    mut out: Columns<'_>,
) {
    assert!(out.iter().all(|column| column.len() == rows), "a result for each row asked for");
    let blocks = Blocks::new(values, first_sequence, window);
    let mut row = values.len() - rows;
    while row < values.len() {
        let done = blocks.next(row, scratch, split(&mut out));
        for column in &mut out {
            *column = std::mem::take(column).split_at_mut(done).1;
        }
        row += done;
    }
}

fn split<'a>(out: &'a mut Columns<'_>) -> Columns<'a> {
    out.each_mut().map(|column| &mut **column)
}

/// A column cut into the blocks of one window.
struct Blocks<'a> {
    values: &'a [f64],
    window: Window,
    weights: Option<Weights>,
    /// The place of the first value in its block.
    phase: usize,
}

impl<'a> Blocks<'a> {
    fn new(values: &'a [f64], first_sequence: u64, window: Window) -> Self {
        let phase = (first_sequence % window.rows as u64) as usize;
        let whole = values.len() / window.rows >= 2;
        Self { values, window, weights: whole.then(|| Weights::of(window.rows)), phase }
    }

    /// Writes the results of the rows from `row` to the end of its block, or of several blocks; how many.
    fn next(&self, row: usize, scratch: &mut Scratch, out: Columns<'_>) -> usize {
        let rows = self.window.rows;
        let place = (self.phase + row % rows) % rows;
        let to = (row + rows - place).min(self.values.len());
        if let (Some(weights), true) = (&self.weights, place == 0 && row >= rows) {
            if let Some(values) = self.finite(row, LANES) {
                block::whole(values, rows, weights, &mut scratch.lanes, out);
                return LANES * rows;
            }
            if let Some(values) = self.finite(row, 1) {
                block::whole(values, rows, weights, &mut scratch.single, out);
                return rows;
            }
        }
        let start = row as isize - place as isize;
        block::any(self.values, self.window, start, row, to, &mut scratch.suffix, out);
        to - row
    }

    /// The `count` blocks from `row` on and the one before, where all are held and finite.
    fn finite(&self, row: usize, count: usize) -> Option<&'a [f64]> {
        let values = self.values.get(row - self.window.rows..row + count * self.window.rows)?;
        // `&`, not `all`: without an early exit the compiler takes several values at a time.
        values.iter().fold(true, |finite, value| finite & value.is_finite()).then_some(values)
    }
}
