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
use super::turn::{SIDE, Starts, Turn};

/// The fewest rows of a run.
const RUN: usize = 64;

/// The most rows of a run that is made longer so that it ends with a line.
const LONGEST: usize = 8 * RUN;

/// How many rows after its variance a row's root is taken. A row that waited for its own root would fill the queues from
/// which the next rows could go on meanwhile, for as long as all else in a row takes.
const BEHIND: usize = 4;

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
    const KEPT: usize = 8;

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
    memory.resize(count * L + SIDE - 1, 0.0);
    let place = memory.as_ptr().addr() / size_of::<f64>() % SIDE;
    memory[(SIDE - place) % SIDE..][..count * L].as_chunks_mut().0
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
    let weights = Weights::of(rows, &mut memory.weights);
    let run = rows_on_lines(&mut memory.rows, (length + 1) * rows);
    let (halves, _) = rows_on_lines(&mut memory.halves, 4 * (length * rows + 2 * BEHIND)).as_chunks_mut();
    let starts = Starts::new(
        std::array::from_fn(|lane| (lane * length).min(count - length) * rows),
        // Else two lanes write the same place, and nobody may touch what goes past the caches before the end.
        memory.past_caches && count.is_multiple_of(L),
    );
    turn_in(values, &starts, turn, run);
    for block in 0..length {
        let (older, newer) = run[block * rows..][..2 * rows].split_at(rows);
        let halves = &mut halves[block * rows..][..rows + 2 * BEHIND];
        fold_suffixes(older, weights, &mut halves[2 * BEHIND..]);
        let fetch = |place| turn.fetch(&starts, block * rows + place, &out);
        merge_prefixes(newer, &older[rows - 1], weights, halves, fetch);
    }
    halves[length * rows..][..BEHIND].iter_mut().for_each(take_root);
    turn_out(&halves[BEHIND..][..length * rows], &starts, turn, out);
    turn.finish(&starts);
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

/// From the windows' older halves, which stand from `2 * BEHIND` on, to their results, from `BEHIND` on; those of the
/// newest [`BEHIND`] rows still have variances. Written where the older half stood, they would be masked stores.
#[inline(always)]
fn merge_prefixes<const L: usize>(
    block: &[[f64; L]],
    older_shift: &[f64; L],
    weights: &[Weight],
    halves: &mut [Half<L>],
    fetch: impl Fn(usize),
) {
    let last = block.len() - 1;
    let (weights, halves) = (&weights[..=last], &mut halves[..=last + 2 * BEHIND]);
    // Copies, so that the compiler knows that no result changes them.
    let (older_shift, shift, share) = (*older_shift, block[0], 1.0 / last as f64);
    let mut fold = Fold::EMPTY;
    for place in 0..last {
        let weight = weights[place];
        fetch(place);
        take_root(&mut halves[place]);
        fold.add(&block[place], &shift, weight.share);
        let older = Side { half: &halves[place + 2 * BEHIND], shift: &older_shift };
        let newer = Side { half: &fold.half(), shift: &shift };
        halves[place + BEHIND] = merge(&older, &newer, weight.before, weight.cross, share);
    }
    fetch(last);
    take_root(&mut halves[last]);
    fold.add(&block[last], &shift, weights[last].share);
    halves[last + BEHIND] = fold.alone(&shift, share);
}

/// From variances to standard deviations.
#[inline(always)]
fn take_root<const L: usize>([_, variances, ..]: &mut Half<L>) {
    *variances = variances.map(f64::sqrt);
}

/// Puts the results of all runs in their columns, whole lines of the cache at a time where they can be.
#[inline(always)]
fn turn_out<const L: usize>(results: &[Half<L>], starts: &Starts<L>, turn: impl Turn<L>, out: Results<'_>) {
    for (stat, out) in out.into_iter().enumerate() {
        let phase = out.as_ptr().addr() / size_of::<f64>() % SIDE;
        let (first, results) = results.split_at(((SIDE - phase) % SIDE).min(results.len()));
        let (squares, rest) = results.as_chunks::<SIDE>();
        put(first, stat, starts, 0, out);
        for (at, square) in squares.iter().enumerate() {
            turn.along(square.each_ref().map(|row| &row[stat]), starts, first.len() + at * SIDE, out);
        }
        put(rest, stat, starts, first.len() + results.len() - rest.len(), out);
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
