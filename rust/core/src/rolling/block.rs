//! The windows that end in one block: suffixes of the block before, merged with prefixes of the block itself.
//!
//! Two forms with the same arithmetic, so that they agree bit for bit: [`any`] takes every block one at a
//! time, [`whole`] takes several neighbouring blocks at once, one to a lane, where both blocks of each are
//! complete and hold finite values only.

use super::part::Part;
use super::{Columns, Window};

/// Neighbouring blocks worked on at once.
pub(super) const LANES: usize = 8;

/// Working memory of [`whole`] for several blocks.
pub(super) type Lanes = Vec<Finite<LANES>>;
/// Working memory of [`whole`] for one block.
pub(super) type Single = Vec<Finite<1>>;

/// The factors that depend on a row's place in its block alone.
pub(super) struct Weights {
    /// `1 / n` for n rows in a part; `1 / 0` stands at 0.
    share: Vec<f64>,
    /// The part of the window that lies in the block before.
    before: Vec<f64>,
}

impl Weights {
    pub(super) fn of(rows: usize) -> Self {
        let count = rows as f64;
        Self {
            share: (0..=rows).map(|n| 1.0 / n as f64).collect(),
            before: (0..rows).map(|place| (rows - 1 - place) as f64 / count).collect(),
        }
    }
}

/// [`Part`] for L blocks side by side that hold finite values only: counts and shifts are the caller's.
#[derive(Clone, Copy)]
pub(super) struct Finite<const L: usize> {
    mean: [f64; L],
    m2: [f64; L],
    min: [f64; L],
    max: [f64; L],
}

impl<const L: usize> Finite<L> {
    const EMPTY: Self =
        Self { mean: [0.0; L], m2: [0.0; L], min: [f64::INFINITY; L], max: [f64::NEG_INFINITY; L] };

    #[inline(always)]
    fn add(&mut self, value: [f64; L], shift: [f64; L], share: f64) {
        for lane in 0..L {
            let offset = value[lane] - shift[lane];
            let deviation = offset - self.mean[lane];
            self.mean[lane] += deviation * share;
            self.m2[lane] += deviation * (offset - self.mean[lane]);
            self.min[lane] = if value[lane] < self.min[lane] { value[lane] } else { self.min[lane] };
            self.max[lane] = if value[lane] > self.max[lane] { value[lane] } else { self.max[lane] };
        }
    }
}

/// The value at `place` of each of L blocks.
#[inline(always)]
fn gather<const L: usize>(blocks: [&[f64]; L], place: usize) -> [f64; L] {
    std::array::from_fn(|lane| blocks[lane][place])
}

/// All windows that end in L neighbouring blocks. `values` are those blocks and the one before them, L + 1
/// blocks of finite values; `out` takes L blocks of results.
#[inline(always)]
pub(super) fn whole<const L: usize>(
    values: &[f64],
    rows: usize,
    weights: &Weights,
    suffix: &mut Vec<Finite<L>>,
    out: Columns<'_>,
) {
    let older: [&[f64]; L] = std::array::from_fn(|lane| &values[lane * rows..][..rows]);
    let newer: [&[f64]; L] = std::array::from_fn(|lane| &values[(lane + 1) * rows..][..rows]);
    fold_suffixes(older, rows, &weights.share, suffix);
    merge_prefixes(newer, gather(older, rows - 1), rows, weights, &suffix[..rows], out);
}

/// `suffix[place]` becomes what a window that ends at `place` of the next block takes from this one.
#[inline(always)]
fn fold_suffixes<const L: usize>(
    blocks: [&[f64]; L],
    rows: usize,
    share: &[f64],
    suffix: &mut Vec<Finite<L>>,
) {
    if suffix.len() < rows {
        suffix.resize(rows, Finite::EMPTY);
    }
    let (suffix, share) = (&mut suffix[..rows], &share[..=rows]);
    let shift = gather(blocks, rows - 1);
    let mut part = Finite::EMPTY;
    suffix[rows - 1] = part;
    for place in (1..rows).rev() {
        part.add(gather(blocks, place), shift, share[rows - place]);
        suffix[place - 1] = part;
    }
}

#[inline(always)]
fn merge_prefixes<const L: usize>(
    blocks: [&[f64]; L],
    older_shift: [f64; L],
    rows: usize,
    weights: &Weights,
    suffix: &[Finite<L>],
    out: Columns<'_>,
) {
    let [means, stds, mins, maxs] = out.map(|column| &mut column[..L * rows]);
    let (share, before) = (&weights.share[..=rows], &weights.before[..rows]);
    let shift = gather(blocks, 0);
    let mut part = Finite::EMPTY;
    for place in 0..rows {
        part.add(gather(blocks, place), shift, share[place + 1]);
        let older = &suffix[place];
        let cross = (place + 1) as f64 * before[place];
        for lane in 0..L {
            let gap = match place + 1 == rows {
                true => 0.0,
                false => (shift[lane] - older_shift[lane]) + (part.mean[lane] - older.mean[lane]),
            };
            let m2 = older.m2[lane] + part.m2[lane] + gap * gap * cross;
            let row = lane * rows + place;
            means[row] = shift[lane] + (part.mean[lane] - gap * before[place]);
            stds[row] = (m2 * share[rows - 1]).sqrt();
            mins[row] = if older.min[lane] < part.min[lane] { older.min[lane] } else { part.min[lane] };
            maxs[row] = if older.max[lane] > part.max[lane] { older.max[lane] } else { part.max[lane] };
        }
    }
}

/// The windows that end at the rows `from..to` of `values`, all in the block that starts at row `start`
/// (before `values` where it is negative): any values, blocks cut short at either end.
pub(super) fn any(
    values: &[f64],
    window: Window,
    start: isize,
    from: usize,
    to: usize,
    suffix: &mut Vec<Part>,
    out: Columns<'_>,
) {
    let border = start.max(0).unsigned_abs();
    let reach = |row: usize| (row + 1).saturating_sub(window.rows);
    let oldest = reach(from).min(border);
    suffix.clear();
    suffix.push(Part::EMPTY);
    let mut part = Part::EMPTY;
    for row in (oldest..border).rev() {
        part.add(values[row]);
        suffix.push(part);
    }
    let mut newer = Part::EMPTY;
    for value in values.get(border..from).unwrap_or_default() {
        newer.add(*value);
    }
    let [means, stds, mins, maxs] = out;
    for row in from..to {
        newer.add(values[row]);
        let older = &suffix[border - reach(row).min(border)];
        let at = row - from;
        [means[at], stds[at], mins[at], maxs[at]] = Part::merge(older, &newer, window.min_samples);
    }
}
