//! The newest few rows of some columns side by side, all of finite values.
//!
//! A few rows are too few to fill the lanes of [`super::lockstep`] with blocks, and folding the block before them is a
//! chain of steps that wait for each other: 2.9 of the 11 us that 72 features of ten rows took. The same chain serves
//! four columns at once, one to a lane.

use super::fold::{Fold, Half, Side, merge};
use super::{Results, Scratch, Series, Window};

/// Columns side by side.
pub(crate) const ABREAST: usize = 4;

/// The most rows that are done so: 200 rows take four fifths of the time, and ten two thirds.
pub(crate) const FEW: usize = 200;

type Row = [f64; ABREAST];

/// As [`super::tail`] of each of some columns of the same rows, of which there are at most [`ABREAST`]; `out` has a
/// place for each. All values are finite.
pub(crate) fn abreast(
    columns: &[Series<'_>],
    window: Window,
    scratch: &mut Scratch,
    out: &mut [Results<'_>],
) {
    let Some(last) = columns.last() else { return };
    let lanes = std::array::from_fn(|lane| columns.get(lane).unwrap_or(last).values);
    let (end, rows) = (last.values.len(), out.first().map_or(0, |out| out[0].len()));
    assert!(rows <= end, "no more rows than values");
    let mut row = end - rows;
    while row < end {
        let place = last.place(row, window);
        let block = Block { lanes: &lanes, start: row.saturating_sub(place), from: row, window };
        let to = end.min(row + window.rows - place);
        let older = block.fold_suffixes(&mut scratch.abreast);
        block.merge_prefixes(to, &older, &scratch.abreast, |row, results| {
            for (lane, out) in out.iter_mut().enumerate() {
                for (out, results) in out.iter_mut().zip(&results) {
                    out[row + rows - end] = results[lane];
                }
            }
        });
        row = to;
    }
    for [_, variances, ..] in out {
        variances.iter_mut().for_each(|variance| *variance = variance.sqrt());
    }
}

/// A block of one window, or what is held of it.
struct Block<'a> {
    lanes: &'a [&'a [f64]; ABREAST],
    /// Its first row.
    start: usize,
    /// The first row asked for.
    from: usize,
    window: Window,
}

impl Block<'_> {
    fn row(&self, row: usize) -> Row {
        self.lanes.map(|lane| lane[row])
    }

    /// `suffix[n]` becomes what is known of the n rows before the block; what they are relative to.
    fn fold_suffixes(&self, suffix: &mut Vec<Half<ABREAST>>) -> Row {
        let shift = self.start.checked_sub(1).map_or([0.0; ABREAST], |row| self.row(row));
        let mut fold = Fold::EMPTY;
        suffix.clear();
        suffix.push(fold.half());
        for (count, row) in (self.oldest(self.from)..self.start).rev().enumerate() {
            fold.add(&self.row(row), &shift, 1.0 / (count + 1) as f64);
            suffix.push(fold.half());
        }
        shift
    }

    /// The first row of the window that ends at `row`, or the block's.
    fn oldest(&self, row: usize) -> usize {
        (row + 1).saturating_sub(self.window.rows).min(self.start)
    }

    /// Puts the results of each row that was asked for, up to the one before `to`, with variances.
    fn merge_prefixes(
        &self,
        to: usize,
        older_shift: &Row,
        suffix: &[Half<ABREAST>],
        mut put: impl FnMut(usize, [Row; 4]),
    ) {
        let shift = self.row(self.start);
        let mut fold = Fold::EMPTY;
        for row in self.start..to {
            let newer = row + 1 - self.start;
            fold.add(&self.row(row), &shift, 1.0 / newer as f64);
            if row >= self.from {
                let older = self.start - self.oldest(row);
                let older_side = Side { half: &suffix[older], shift: older_shift };
                put(row, self.results(older, &older_side, newer, &fold, &shift));
            }
        }
    }

    fn results(
        &self,
        older: usize,
        older_side: &Side<'_, ABREAST>,
        newer: usize,
        fold: &Fold<ABREAST>,
        shift: &Row,
    ) -> [Row; 4] {
        let count = (older + newer) as f64;
        let share = 1.0 / (count - 1.0);
        if older + newer < self.window.min_samples {
            return [[f64::NAN; ABREAST]; 4];
        }
        if older == 0 {
            return fold.alone(shift, share);
        }
        let before = older as f64 / count;
        let newer_side = Side { half: &fold.half(), shift };
        merge(older_side, &newer_side, before, newer as f64 * before, share)
    }
}
