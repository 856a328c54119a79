//! The windows that end in whole blocks of finite values, eight blocks at a time.
//!
//! Folding a block is a chain of steps that wait for each other, so one block at a time leaves most of a machine
//! idle. Here eight runs of neighbouring blocks go in lockstep, each in a lane: a run's rows are turned from along
//! memory to across the lanes, folded and merged by [`Fold`], and the results turned back eight rows at a time. Runs
//! are kept so short that all of it stays in the nearest caches, and overlap where the blocks do not come out even:
//! a lane costs nothing, and gives the same bits.

use super::Columns;
use super::fold::{Fold, Side, merge};
use super::turn::{SIDE, Square, Starts, Turn};

/// Runs side by side: as many as a square has values across, and one 512-bit vector.
pub(super) const LANES: usize = SIDE;

/// Rows of a run, or one block.
const RUN: usize = 128;

/// The values of all lanes in one row of their runs.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Row([f64; LANES]);

/// What is folded of some rows of all lanes, on lines of its own: a vector that spans two lines costs two loads.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Suffix(Fold<LANES>);

/// Working memory, kept between calls.
#[derive(Default)]
pub(super) struct Memory {
    weights: Weights,
    rows: Vec<Row>,
    suffix: Vec<Suffix>,
}

#[cfg(not(loom))]
impl Memory {
    pub(super) fn bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Row>()
            + self.suffix.capacity() * size_of::<Suffix>()
            + (self.weights.share.capacity() + 2 * self.weights.before.capacity()) * size_of::<f64>()
    }
}

/// The factors that depend on a row's place in its block alone.
#[derive(Default)]
struct Weights {
    /// `1 / n` for n rows in a part; `1 / 0` stands at 0.
    share: Vec<f64>,
    /// The part of the window that lies in the block before.
    before: Vec<f64>,
    /// That part times the rows in the block itself.
    cross: Vec<f64>,
}

impl Weights {
    /// Makes them those of blocks of `rows` rows.
    fn set(&mut self, rows: usize) {
        if self.before.len() == rows {
            return;
        }
        let before = |place: usize| (rows - 1 - place) as f64 / rows as f64;
        self.share.clear();
        self.share.extend((0..=rows).map(|n| 1.0 / n as f64));
        self.before.clear();
        self.before.extend((0..rows).map(before));
        self.cross.clear();
        self.cross.extend((0..rows).map(|place| (place + 1) as f64 * before(place)));
    }
}

/// The most blocks of `rows` rows to give to [`blocks`] at once.
pub(super) fn most(rows: usize) -> usize {
    LANES * RUN.div_ceil(rows)
}

/// All windows that end in whole blocks of `rows` rows, for each of which `out` has a place. `values` are those
/// blocks and the one before them, all finite.
#[inline(always)]
pub(super) fn blocks(values: &[f64], rows: usize, turn: impl Turn, memory: &mut Memory, out: Columns<'_>) {
    let count = out[0].len() / rows;
    let length = count.div_ceil(LANES);
    memory.weights.set(rows);
    memory.rows.resize((length + 1) * rows, Row([0.0; LANES]));
    memory.suffix.resize(rows, Suffix(Fold::EMPTY));
    let starts = Starts::new(std::array::from_fn(|lane| (lane * length).min(count - length) * rows));
    turn_in(values, &starts, turn, &mut memory.rows);
    let mut results = Results::new(starts, turn, out);
    for older in (0..length).map(|block| block * rows) {
        let (older, newer) = memory.rows[older..][..2 * rows].split_at(rows);
        fold_suffixes(older, &memory.weights, &mut memory.suffix);
        merge_prefixes(newer, &older[rows - 1], &memory.weights, &memory.suffix, &mut results);
    }
    results.rest();
}

/// Row `i` becomes the values `i` rows after each of `starts`.
#[inline(always)]
fn turn_in(values: &[f64], starts: &Starts, turn: impl Turn, rows: &mut [Row]) {
    let lanes = starts.get().map(|start| values[start..][..rows.len()].as_chunks::<SIDE>());
    let (squares, rest) = rows.as_chunks_mut::<SIDE>();
    for (at, square) in squares.iter_mut().enumerate() {
        let turned = turn.turn(lanes.each_ref().map(|(lane, _)| &lane[at]));
        for (row, turned) in square.iter_mut().zip(turned.0) {
            row.0 = turned;
        }
    }
    for (at, row) in rest.iter_mut().enumerate() {
        row.0 = lanes.map(|(_, lane)| lane[at]);
    }
}

/// `suffix[place]` becomes what a window that ends at `place` of the next block takes from this one.
#[inline(always)]
fn fold_suffixes(block: &[Row], weights: &Weights, suffix: &mut [Suffix]) {
    let rows = block.len();
    let (suffix, share) = (&mut suffix[..rows], &weights.share[..=rows]);
    let shift = block[rows - 1];
    let mut fold = Fold::EMPTY;
    suffix[rows - 1] = Suffix(fold);
    for place in (1..rows).rev() {
        fold.add(&block[place].0, &shift.0, share[rows - place]);
        suffix[place - 1] = Suffix(fold);
    }
}

#[inline(always)]
fn merge_prefixes<T: Turn>(
    block: &[Row],
    older_shift: &Row,
    weights: &Weights,
    suffix: &[Suffix],
    results: &mut Results<'_, T>,
) {
    let last = block.len() - 1;
    let (share, suffix) = (&weights.share[..last + 2], &suffix[..=last]);
    let (before, cross) = (&weights.before[..=last], &weights.cross[..=last]);
    let shift = block[0];
    let mut fold = Fold::EMPTY;
    for place in 0..last {
        fold.add(&block[place].0, &shift.0, share[place + 1]);
        let older = Side { fold: &suffix[place].0, shift: &older_shift.0 };
        let newer = Side { fold: &fold, shift: &shift.0 };
        results.put(merge(&older, &newer, before[place], cross[place], share[last]));
    }
    fold.add(&block[last].0, &shift.0, share[last + 1]);
    results.put(fold.alone(&shift.0, share[last]));
}

/// Turns results back and puts them in their columns.
struct Results<'a, T> {
    /// Of each statistic the newest rows.
    newest: [Square; 4],
    count: usize,
    /// Where in its column each lane starts.
    starts: Starts,
    turn: T,
    out: Columns<'a>,
}

impl<'a, T: Turn> Results<'a, T> {
    #[inline(always)]
    fn new(starts: Starts, turn: T, out: Columns<'a>) -> Self {
        Self { newest: [Square([[0.0; LANES]; SIDE]); 4], count: 0, starts, turn, out }
    }

    #[inline(always)]
    fn put(&mut self, results: [[f64; LANES]; 4]) {
        for (newest, results) in self.newest.iter_mut().zip(results) {
            newest.0[self.count % SIDE] = results;
        }
        self.count += 1;
        if self.count.is_multiple_of(SIDE) {
            self.write(self.count - SIDE);
        }
    }

    /// Writes a square of each statistic, whose first row is `row`.
    #[inline(always)]
    fn write(&mut self, row: usize) {
        for (newest, out) in self.newest.iter().zip(&mut self.out) {
            self.turn.turn_out(newest, &self.starts, row, out);
        }
    }

    /// Writes the rows that fill no square.
    #[inline(always)]
    fn rest(self) {
        let waiting = self.count % SIDE;
        for (newest, out) in self.newest.iter().zip(self.out) {
            for (at, results) in newest.0[..waiting].iter().enumerate() {
                for (start, result) in self.starts.get().iter().zip(results) {
                    out[start + self.count - waiting + at] = *result;
                }
            }
        }
    }
}
