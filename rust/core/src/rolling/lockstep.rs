//! The windows that end in whole blocks of finite values, several blocks at a time.
//!
//! Folding a block is a chain of steps that wait for each other, so one block at a time leaves most of a machine
//! idle. Here L runs of neighbouring blocks go in lockstep, each in a lane: a run's rows are turned from along
//! memory to across the lanes, folded and merged by [`Fold`], and the results turned back eight rows at a time. Runs
//! are kept so short that all of it stays in the nearest caches, and overlap where the blocks do not come out even:
//! a lane costs nothing, and gives the same bits. There are as many lanes as one vector of the machine holds: with more,
//! what is known of both halves of a window does not fit into 16 registers. Plain code takes two thirds of what it
//! takes with eight lanes.

use super::Results;
use super::fold::{Fold, Half, Side, merge};
use crate::simd::place_in_line;
use crate::simd::turn::{SIDE, Starts, Turn};

/// The fewest rows of a run.
const RUN: usize = 64;

/// The most rows of a run that is made longer so that it ends with a line.
const LONGEST: usize = 8 * RUN;

/// How many rows after its variance a row's root is taken. A row that waited for its own root would fill the queues from
/// which the next rows could go on meanwhile, for as long as all else in a row takes.
const BEHIND: usize = 4;

/// How many rows are merged before those that are ready go past the caches: memory takes them while the next are merged.
/// Written at the end of a run they cost up to a quarter more; what stays in the caches costs a tenth less at the end.
const AT_ONCE: usize = 16;

/// As many rows as there are.
const ALL: usize = usize::MAX;

/// Working memory, kept between calls.
#[derive(Default)]
pub(super) struct Memory {
    /// Those of the blocks that were new of late, newest last.
    weights: Vec<Weights>,
    /// The values of all lanes in each row of their runs.
    rows: Vec<f64>,
    /// What is known of the older half of all lanes' windows in each row of their runs, and then their results: in one
    /// place, because each address more that a loop keeps costs it a tenth.
    halves: Vec<f64>,
    /// Whether results are to go past the caches, because there are more of them than caches hold.
    pub(super) past_caches: bool,
}

#[cfg(not(loom))]
impl Memory {
    pub(super) fn bytes(&self) -> usize {
        (self.rows.capacity() + self.halves.capacity()) * size_of::<f64>()
            + self.weights.iter().map(|weights| size_of_val(&*weights.0)).sum::<usize>()
    }
}

/// The factors that depend on a row's place in its block alone.
struct Weights(Vec<Weight>);

#[derive(Clone, Copy)]
struct Weight {
    /// 1 over the rows of the block up to this one.
    share: f64,
    /// The part of the window that lies in the block before.
    before: f64,
    /// That part times the rows in the block itself.
    cross: f64,
}

impl Weights {
    /// How many are kept: those of three windows take as long to make as the features of a thousand rows.
    const KEPT: usize = 32;

    fn new(rows: usize) -> Self {
        let weight = |place: usize| {
            let (newer, before) = ((place + 1) as f64, (rows - 1 - place) as f64 / rows as f64);
            Weight { share: 1.0 / newer, before, cross: newer * before }
        };
        Self((0..rows).map(weight).collect())
    }

    /// Those of blocks of `rows` rows.
    fn of(rows: usize, kept: &mut Vec<Self>) -> &[Weight] {
        let known = kept.iter().position(|weights| weights.0.len() == rows);
        let at = known.unwrap_or_else(|| {
            if kept.len() == Self::KEPT {
                kept.remove(0);
            }
            kept.push(Self::new(rows));
            kept.len() - 1
        });
        &kept[at].0
    }
}

/// `count` rows of L values, each on one line of the cache: a vector that spans two lines costs two loads.
fn rows_on_lines<const L: usize>(memory: &mut Vec<f64>, count: usize) -> &mut [[f64; L]] {
    let numbers = count * L + SIDE - 1;
    if memory.len() < numbers {
        memory.resize(numbers, 0.0); // never shortened: it would be zeroed anew for the next window
    }
    let start = (SIDE - place_in_line(memory)) % SIDE;
    memory[start..][..count * L].as_chunks_mut().0
}

/// The most blocks of `rows` rows to give to each lane of [`blocks`]: so many that all runs start at the same place of a
/// line, and most results are written a line at a time.
pub(super) fn longest(rows: usize) -> usize {
    let whole_lines = SIDE >> rows.trailing_zeros().min(SIDE.trailing_zeros());
    let unit = if whole_lines * rows <= LONGEST { whole_lines } else { 1 };
    RUN.div_ceil(rows).next_multiple_of(unit)
}

/// How many of `blocks` come out even in the lanes, or all if they are fewer than the lanes.
pub(super) const fn even(blocks: usize, lanes: usize) -> usize {
    if blocks < lanes { blocks } else { blocks - blocks % lanes }
}

/// All windows that end in whole blocks of `rows` rows, for each of which `out` has a place. `values` are those
/// blocks and the one before them, all finite.
#[inline(always)]
pub(super) fn blocks<const L: usize>(
    values: &[f64],
    rows: usize,
    turn: impl Turn<L>,
    memory: &mut Memory,
    out: Results<'_>,
) {
    let count = out[0].len() / rows;
    let length = count.div_ceil(L);
    // Else two lanes write the same place, and nobody may touch what goes past the caches before the end.
    let past_caches = memory.past_caches && count.is_multiple_of(L);
    let starts =
        Starts::new(std::array::from_fn(|lane| (lane * length).min(count - length) * rows), past_caches);
    if past_caches {
        run::<L, AT_ONCE>(values, rows, &starts, turn, memory, out);
    } else {
        run::<L, ALL>(values, rows, &starts, turn, memory, out);
    }
}

/// One run of each lane, in blocks of `rows` rows.
#[inline(always)]
fn run<const L: usize, const AT_ONCE: usize>(
    values: &[f64],
    rows: usize,
    starts: &Starts<L>,
    turn: impl Turn<L>,
    memory: &mut Memory,
    mut out: Results<'_>,
) {
    let length = (out[0].len() / rows).div_ceil(L) * rows;
    let weights = Weights::of(rows, &mut memory.weights);
    let run = rows_on_lines(&mut memory.rows, length + rows);
    let (halves, _) = rows_on_lines(&mut memory.halves, 4 * (length + 2 * BEHIND)).as_chunks_mut();
    turn_in(values, starts, turn, run);
    let mut written = Written::new(starts, length, &out);
    for first in (0..length).step_by(rows) {
        let (older, newer) = run[first..][..2 * rows].split_at(rows);
        fold_suffixes(older, weights, &mut halves[first + 2 * BEHIND..][..rows]);
        let shift = &older[rows - 1];
        merge_prefixes::<L, AT_ONCE>(newer, shift, weights, (halves, first), turn, &mut written, &mut out);
    }
    halves[length..][..BEHIND].iter_mut().for_each(take_root);
    written.up_to(length, &halves[BEHIND..], turn, &mut out);
    written.rest(&halves[BEHIND..], &mut out);
    turn.finish(starts);
}

/// Row `i` becomes the values `i` rows after each of `starts`.
#[inline(always)]
fn turn_in<const L: usize>(values: &[f64], starts: &Starts<L>, turn: impl Turn<L>, rows: &mut [[f64; L]]) {
    let lanes = starts.get().map(|start| values[start..][..rows.len()].as_chunks::<SIDE>());
    let (squares, rest) = rows.as_chunks_mut::<SIDE>();
    for (at, square) in squares.iter_mut().enumerate() {
        turn.across(lanes.each_ref().map(|(lane, _)| &lane[at]), square);
    }
    for (at, row) in rest.iter_mut().enumerate() {
        *row = lanes.map(|(_, lane)| lane[at]);
    }
}

/// `halves[place]` becomes what a window that ends at `place` of the next block takes from this one.
#[inline(always)]
fn fold_suffixes<const L: usize>(block: &[[f64; L]], weights: &[Weight], halves: &mut [Half<L>]) {
    let rows = block.len();
    let (halves, weights) = (&mut halves[..rows], &weights[..rows]);
    let shift = block[rows - 1];
    let mut fold = Fold::EMPTY;
    halves[rows - 1] = fold.half();
    for place in (1..rows).rev() {
        fold.add(&block[place], &shift, weights[rows - 1 - place].share);
        halves[place - 1] = fold.half();
    }
}

/// From the windows' older halves, which stand in `halves` from `first + 2 * BEHIND` on, to their results, from
/// `first + BEHIND` on; those of the newest [`BEHIND`] rows still have variances. Written where the older half stood, they
/// would be masked stores. After every `AT_ONCE` rows what is ready is written.
#[inline(always)]
fn merge_prefixes<const L: usize, const AT_ONCE: usize>(
    block: &[[f64; L]],
    older_shift: &[f64; L],
    weights: &[Weight],
    (halves, first): (&mut [Half<L>], usize),
    turn: impl Turn<L>,
    written: &mut Written<'_, L>,
    out: &mut Results<'_>,
) {
    let last = block.len() - 1;
    let weights = &weights[..=last];
    // Copies, so that the compiler knows that no result changes them: each read anew would cost a row a twentieth.
    let (older_shift, shift, share) = (*older_shift, block[0], 1.0 / last as f64);
    let starts = written.starts;
    let (mut fold, mut from) = (Fold::EMPTY, 0);
    while from < last {
        let to = from.saturating_add(AT_ONCE).min(last);
        let here = &mut halves[first..][..=last + 2 * BEHIND];
        for place in from..to {
            let weight = weights[place];
            turn.fetch(starts, first + place, out);
            take_root(&mut here[place]);
            fold.add(&block[place], &shift, weight.share);
            let older = Side { half: &here[place + 2 * BEHIND], shift: &older_shift };
            let newer = Side { half: &fold.half(), shift: &shift };
            here[place + BEHIND] = merge(&older, &newer, weight.before, weight.cross, share);
        }
        if AT_ONCE < ALL {
            written.up_to((first + to).saturating_sub(BEHIND), &halves[BEHIND..], turn, out);
        }
        from = to;
    }
    let here = &mut halves[first..][..=last + 2 * BEHIND];
    turn.fetch(starts, first + last, out);
    take_root(&mut here[last]);
    fold.add(&block[last], &shift, weights[last].share);
    here[last + BEHIND] = fold.alone(&shift, share);
}

/// From variances to standard deviations.
#[inline(always)]
fn take_root<const L: usize>([_, variances, ..]: &mut Half<L>) {
    *variances = variances.map(f64::sqrt);
}

/// How far the results of all lanes stand in their columns: whole lines of the cache at a time where they can be.
struct Written<'a, const L: usize> {
    starts: &'a Starts<L>,
    /// How many rows a lane has.
    all: usize,
    /// Those before the first whole line.
    first: usize,
    /// Those that stand in the columns.
    rows: usize,
}

impl<'a, const L: usize> Written<'a, L> {
    #[inline(always)]
    fn new(starts: &'a Starts<L>, all: usize, out: &Results<'_>) -> Self {
        // All columns begin at the same place of a line, those that nobody asked for too: where one did not, each of its
        // lines would be written in two.
        let first = (SIDE - place_in_line(out[0])) % SIDE;
        Self { starts, all, first: first.min(all), rows: 0 }
    }

    /// Writes what fills lines of the first `ready` rows of `results`.
    #[inline(always)]
    fn up_to(&mut self, ready: usize, results: &[Half<L>], turn: impl Turn<L>, out: &mut Results<'_>) {
        if self.rows < self.first {
            if ready < self.first {
                return;
            }
            self.put(self.first, results, out);
        }
        while self.rows + SIDE <= ready {
            let (square, _) = results[self.rows..].as_chunks::<SIDE>();
            for (stat, out) in out.iter_mut().enumerate() {
                turn.along(square[0].each_ref().map(|row| &row[stat]), self.starts, self.rows, out);
            }
            self.rows += SIDE;
        }
    }

    /// Writes what is left when all rows are ready.
    #[inline(always)]
    fn rest(mut self, results: &[Half<L>], out: &mut Results<'_>) {
        self.put(self.all, results, out);
    }

    #[inline(always)]
    fn put(&mut self, end: usize, results: &[Half<L>], out: &mut Results<'_>) {
        for (stat, out) in out.iter_mut().enumerate() {
            put(&results[self.rows..end], stat, self.starts, self.rows, out);
        }
        self.rows = end;
    }
}

/// Puts a statistic of a few rows, from `row` on, where it belongs.
fn put<const L: usize>(results: &[Half<L>], stat: usize, starts: &Starts<L>, row: usize, out: &mut [f64]) {
    for (at, results) in results.iter().enumerate() {
        for (start, result) in starts.get().iter().zip(results[stat]) {
            out[start + row + at] = result;
        }
    }
}
