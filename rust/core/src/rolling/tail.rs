//! The newest rows of a column, over the blocks their windows touch.

use super::block::block;
use super::{Results, Scratch, Window, lockstep};

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

    /// As [`Self::new`]; `surely_finite` where it is known that no value is missing or infinite.
    #[cfg(not(loom))]
    pub(crate) fn known(values: &'a [f64], first_sequence: u64, surely_finite: bool) -> Self {
        Self { values, first_sequence, finite: surely_finite }
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
    let blocks = Blocks::new(series, window);
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
    values: &'a [f64],
    finite: bool,
    window: Window,
    /// The place of the first value in its block.
    phase: usize,
}

impl<'a> Blocks<'a> {
    fn new(series: &Series<'a>, window: Window) -> Self {
        let phase = (series.first_sequence % window.rows as u64) as usize;
        Self { values: series.values, finite: series.finite, window, phase }
    }

    /// Writes the results of some rows from `row` on; how many.
    fn next(&self, row: usize, scratch: &mut Scratch, out: Results<'_>) -> usize {
        let rows = self.window.rows;
        let place = (self.phase + row % rows) % rows;
        if place == 0 && row >= rows {
            let widest = scratch.machine.for_answers(scratch.lockstep.past_caches);
            let lanes = widest.lanes();
            let blocks = lockstep::even(self.finite_blocks(row, lanes * lockstep::longest(rows)), lanes);
            if blocks > 0 {
                let values = &self.values[row - rows..row + blocks * rows];
                let out = out.map(|column| &mut column[..blocks * rows]);
                widest.blocks(values, rows, &mut scratch.lockstep, out);
                return blocks * rows;
            }
        }
        if row + 1 < rows && self.window.min_samples == rows {
            // No window is full before that of row `rows - 1`.
            let missing = self.values.len().min(rows - 1) - row;
            out.into_iter().for_each(|column| column[..missing].fill(f64::NAN));
            return missing;
        }
        let start = row as isize - place as isize;
        let to = (row + rows - place).min(self.values.len());
        block(self.values, self.window, start, row, to, &mut scratch.suffix, out);
        to - row
    }

    /// How many whole blocks from `row` on, up to `most`, are finite like those before them.
    fn finite_blocks(&self, row: usize, most: usize) -> usize {
        let rows = self.window.rows;
        if self.finite {
            return most.min((self.values.len() - row) / rows);
        }
        let blocks = self.values[row - rows..].chunks_exact(rows).take(most + 1);
        blocks.take_while(|block| all_finite(block)).count().saturating_sub(1)
    }
}

/// How many of the rows up to `end` to leave for later, so that those from `from` on are whole runs of all lanes.
#[cfg(not(loom))]
pub(crate) fn uneven(
    from: usize,
    first_sequence: u64,
    end: usize,
    window: Window,
    scratch: &Scratch,
) -> usize {
    let rows = end - from;
    if window.rows > rows {
        return rows; // and no product below overflows
    }
    let widest = scratch.machine.for_answers(scratch.lockstep.past_caches);
    let phase = (first_sequence % window.rows as u64) as usize;
    let to_block = (window.rows - (phase + from % window.rows) % window.rows) % window.rows;
    let run = window.rows * lockstep::longest(window.rows) * widest.lanes();
    rows.checked_sub(to_block).map_or(rows, |rows| rows % run)
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
