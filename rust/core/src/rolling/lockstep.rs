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
    /// Those of the blocks of late, newest last.
    weights: Vec<Weights>,
    rows: Vec<Row>,
    suffix: Vec<Suffix>,
    /// Whether results are to go past the caches, because there are more of them than caches hold.
    pub(super) past_caches: bool,
}

#[cfg(not(loom))]
impl Memory {
    pub(super) fn bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Row>()
            + self.suffix.capacity() * size_of::<Suffix>()
            + self.weights.iter().map(Weights::bytes).sum::<usize>()
    }
}

/// The factors that depend on a row's place in its block alone.
struct Weights {
    /// `1 / n` for n rows in a part; `1 / 0` stands at 0.
    share: Vec<f64>,
    /// The part of the window that lies in the block before.
    before: Vec<f64>,
    /// That part times the rows in the block itself.
    cross: Vec<f64>,
}

impl Weights {
    /// How many are kept: a thousand rows are done before those of three windows are made anew.
    const KEPT: usize = 8;

    fn new(rows: usize) -> Self {
        let before = |place: usize| (rows - 1 - place) as f64 / rows as f64;
        Self {
            share: (0..=rows).map(|n| 1.0 / n as f64).collect(),
            before: (0..rows).map(before).collect(),
            cross: (0..rows).map(|place| (place + 1) as f64 * before(place)).collect(),
        }
    }

    /// Those of blocks of `rows` rows.
    fn of(rows: usize, kept: &mut Vec<Self>) -> &Self {
        let known = kept.iter().position(|weights| weights.before.len() == rows);
        let at = known.unwrap_or_else(|| {
            if kept.len() == Self::KEPT {
                kept.remove(0);
            }
            kept.push(Self::new(rows));
            kept.len() - 1
        });
        &kept[at]
    }

    #[cfg(not(loom))]
    fn bytes(&self) -> usize {
        (self.share.capacity() + self.before.capacity() + self.cross.capacity()) * size_of::<f64>()
    }
}

/// The most blocks of `rows` rows to give to [`blocks`] at once: so many that all runs start at the same place of a line,
/// and most results are written a line at a time.
pub(super) fn most(rows: usize) -> usize {
    let whole_lines = SIDE >> rows.trailing_zeros().min(SIDE.trailing_zeros());
    let unit = if whole_lines * rows <= 4 * RUN { whole_lines } else { 1 };
    LANES * RUN.div_ceil(rows).next_multiple_of(unit)
}

/// All windows that end in whole blocks of `rows` rows, for each of which `out` has a place. `values` are those
/// blocks and the one before them, all finite.
#[inline(always)]
pub(super) fn blocks(values: &[f64], rows: usize, turn: impl Turn, memory: &mut Memory, out: Columns<'_>) {
    let count = out[0].len() / rows;
    let length = count.div_ceil(LANES);
    let weights = Weights::of(rows, &mut memory.weights);
    memory.rows.resize((length + 1) * rows, Row([0.0; LANES]));
    memory.suffix.resize(rows, Suffix(Fold::EMPTY));
    let starts = Starts::new(
        std::array::from_fn(|lane| (lane * length).min(count - length) * rows),
        memory.past_caches,
    );
    turn_in(values, &starts, turn, &mut memory.rows);
    let mut results = Results::new(starts, turn, out);
    for older in (0..length).map(|block| block * rows) {
        let (older, newer) = memory.rows[older..][..2 * rows].split_at(rows);
        fold_suffixes(older, weights, &mut memory.suffix);
        merge_prefixes(newer, &older[rows - 1], weights, &memory.suffix, &mut results);
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
    /// Of each statistic the newest rows, each where it stands in its line.
    newest: [Square; 4],
    count: usize,
    /// Where in its line the first row stands.
    phase: usize,
    starts: Starts,
    turn: T,
    out: Columns<'a>,
}

impl<'a, T: Turn> Results<'a, T> {
    #[inline(always)]
    fn new(starts: Starts, turn: T, out: Columns<'a>) -> Self {
        let phase = out[0].as_ptr().addr() / size_of::<f64>() % SIDE;
        Self { newest: [Square([[0.0; LANES]; SIDE]); 4], count: 0, phase, starts, turn, out }
    }

    #[inline(always)]
    fn put(&mut self, results: [[f64; LANES]; 4]) {
        let place = (self.count + self.phase) % SIDE;
        for (newest, results) in self.newest.iter_mut().zip(results) {
            newest.0[place] = results;
        }
        self.count += 1;
        if place == SIDE - 1 {
            self.write();
        }
    }

    /// Writes the lines that are full.
    #[inline(always)]
    fn write(&mut self) {
        if self.count < SIDE {
            return self.write_newest(self.count);
        }
        for (newest, out) in self.newest.iter().zip(&mut self.out) {
            self.turn.turn_out(newest, &self.starts, self.count - SIDE, out);
        }
    }

    /// Writes the rows that fill no line.
    #[inline(always)]
    fn rest(mut self) {
        self.write_newest(self.count.min((self.count + self.phase) % SIDE));
        self.turn.finish(&self.starts);
    }

    #[cold]
    fn write_newest(&mut self, rows: usize) {
        for (newest, out) in self.newest.iter().zip(&mut self.out) {
            for row in self.count - rows..self.count {
                for (start, result) in self.starts.get().iter().zip(newest.0[(row + self.phase) % SIDE]) {
                    out[start + row] = result;
                }
            }
        }
    }
}
