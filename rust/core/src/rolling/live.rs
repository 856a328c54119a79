//! Features kept up row by row: what a buffer with declared windows does at append.
//!
//! For each window the suffixes of the block before stand ready and the prefix of the current block grows, so
//! a row costs one step and one merge, whatever the window. When a block is full its suffixes are folded: one
//! more step per row, in one go every `window` rows. The bits are those of [`super::tail`] over the same rows.
//!
//! Up to four columns are kept up together, one to a lane. Where no value of a window is missing, all lanes
//! share their counts, and with them every division; a missing value costs its window that until its block and
//! the next are over.

use super::Window;
use super::fold::{Fold, Half, Side, merge, merge_counted};
use crate::features::{Feature, Plan};
use crate::simd::Widest;

/// The state that the next row's features of some columns rest on. A new one has seen no rows: what came before
/// counts as missing.
#[derive(Clone)]
pub struct Live {
    lanes: Lanes,
    widest: Widest,
}

#[derive(Clone)]
enum Lanes {
    One(Columns<1>),
    Two(Columns<2>),
    Four(Columns<4>),
}

impl Live {
    /// No rows so far of 1, 2 or 4 columns with the features of a plan that has all statistics.
    ///
    /// # Panics
    /// For another number of columns, or a plan without some statistic.
    #[must_use]
    pub fn new(plan: &Plan, columns: usize) -> Self {
        Self::on(Widest::of_this_machine(), plan, columns)
    }

    pub(super) fn on(widest: Widest, plan: &Plan, columns: usize) -> Self {
        assert!(plan.windows().is_empty() || plan.stats().len() == 4, "all statistics");
        let lanes = match columns {
            1 => Lanes::One(Columns::new(plan)),
            2 => Lanes::Two(Columns::new(plan)),
            4 => Lanes::Four(Columns::new(plan)),
            _ => unreachable!("1, 2 or 4 columns"),
        };
        Self { lanes, widest }
    }

    /// How many columns it keeps up.
    #[must_use]
    pub fn columns(&self) -> usize {
        match &self.lanes {
            Lanes::One(_) => 1,
            Lanes::Two(_) => 2,
            Lanes::Four(_) => 4,
        }
    }

    /// Takes in the columns' values of row `sequence` (NaN: missing, infinities are not allowed) and writes the row's
    /// features in the order of their names, of each the columns side by side. Whether some of them may be missing;
    /// `false` is certain. Rows come in order of their sequence, none left out.
    ///
    /// # Panics
    /// If there is not a value for each column, and a place in `out` for each feature of it.
    #[inline]
    pub fn push(&mut self, sequence: u64, values: &[f64], out: &mut [f64]) -> bool {
        match &mut self.lanes {
            Lanes::One(columns) => self.widest.push(columns, sequence, values, out),
            Lanes::Two(columns) => self.widest.push(columns, sequence, values, out),
            Lanes::Four(columns) => self.widest.push(columns, sequence, values, out),
        }
    }

    /// Forgets all rows.
    pub fn reset(&mut self) {
        match &mut self.lanes {
            Lanes::One(columns) => columns.reset(),
            Lanes::Two(columns) => columns.reset(),
            Lanes::Four(columns) => columns.reset(),
        }
    }

    /// The bytes it holds beside its own size.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        match &self.lanes {
            Lanes::One(columns) => columns.memory_bytes(),
            Lanes::Two(columns) => columns.memory_bytes(),
            Lanes::Four(columns) => columns.memory_bytes(),
        }
    }
}

/// L columns side by side.
#[derive(Clone)]
pub(super) struct Columns<const L: usize> {
    windows: Vec<LiveWindow<L>>,
    lags: Recent<L>,
    features: Vec<Feature>,
    /// The sequence that the next row has if none is left out, as the windows' places stand.
    next: Option<u64>,
    /// Whether values came whose squares may overflow, and with them features that are missing.
    overflows: bool,
}

/// No sum of squared deviations of ten million values up to it overflows.
const PLAIN: f64 = 1e150;

impl<const L: usize> Columns<L> {
    fn new(plan: &Plan) -> Self {
        let windows =
            plan.windows().iter().map(|rows| LiveWindow::new(Window::new(*rows, plan.min_samples())));
        Self {
            windows: windows.collect(),
            lags: Recent::new(plan.lags().iter().copied().max().unwrap_or(0)),
            features: plan.lag_features().collect(),
            next: None,
            overflows: false,
        }
    }

    #[inline(always)]
    pub(super) fn push(&mut self, sequence: u64, values: &[f64; L], out: &mut [f64]) -> bool {
        assert_eq!(out.len(), L * (4 * self.windows.len() + self.features.len()), "a place for each feature");
        if self.next != Some(sequence) {
            self.windows.iter_mut().for_each(|window| window.place_at(sequence));
        }
        self.next = Some(sequence + 1);
        let plain = values.iter().fold(true, |plain, value| plain & (value.abs() <= PLAIN));
        let missing = !plain && self.look_at(values);
        let mut may_miss = self.overflows | !self.features.is_empty();
        let (rolling, rest) = out.split_at_mut(4 * L * self.windows.len());
        for (window, out) in self.windows.iter_mut().zip(rolling.chunks_exact_mut(4 * L)) {
            let (results, all) = window.push(values, missing);
            may_miss |= !all;
            for (out, results) in out.chunks_exact_mut(L).zip(results) {
                out.copy_from_slice(&results);
            }
        }
        // All roots at once: one after its window's other results, each would be waited for.
        for variances in rolling.chunks_exact_mut(L).skip(1).step_by(4) {
            variances.iter_mut().for_each(|variance| *variance = variance.sqrt());
        }
        if !self.features.is_empty() {
            self.look_back(values, rest);
        }
        may_miss
    }

    /// Whether one of the values is missing; that others are so large that features may overflow is kept.
    #[cold]
    fn look_at(&mut self, values: &[f64; L]) -> bool {
        self.overflows |= values.iter().any(|value| value.abs() > PLAIN);
        values.iter().any(|value| value.is_nan())
    }

    #[inline(always)]
    fn look_back(&mut self, values: &[f64; L], out: &mut [f64]) {
        for (feature, out) in self.features.iter().zip(out.chunks_exact_mut(L)) {
            match *feature {
                Feature::Delta { rows } => {
                    let past = self.lags.back(rows);
                    (0..L).for_each(|lane| out[lane] = values[lane] - past[lane]);
                }
                Feature::Lag { rows } => out.copy_from_slice(self.lags.back(rows)),
                Feature::Rolling { .. } => unreachable!("a lag or a delta"),
            }
        }
        self.lags.push(*values);
    }

    fn reset(&mut self) {
        self.windows.iter_mut().for_each(|window| *window = LiveWindow::new(window.window));
        self.lags = Recent::new(self.lags.longest);
        self.next = None;
        self.overflows = false;
    }

    fn memory_bytes(&self) -> usize {
        let windows = self.windows.iter().map(|window| size_of::<LiveWindow<L>>() + window.memory_bytes());
        windows.sum::<usize>()
            + self.lags.values.capacity() * size_of::<[f64; L]>()
            + size_of_val(&*self.features)
    }
}

#[derive(Clone)]
struct LiveWindow<const L: usize> {
    window: Window,
    /// The next row's place in its block; counted on, because the division costs more than the step.
    place: usize,
    /// The values of the current block that were seen.
    block: Vec<[f64; L]>,
    prefix: Fold<L>,
    prefix_shift: [f64; L],
    prefix_counts: [f64; L],
    /// `suffix[n]`: the newest n rows of the block before. As long as rows of it were seen, plus one.
    suffix: Vec<Half<L>>,
    suffix_shift: [f64; L],
    suffix_counts: Vec<[f64; L]>,
    /// Whether a value of the current block is missing, or of the block before. Only then are there counts: else each
    /// lane has as many values as rows.
    gaps: [bool; 2],
    /// 1 over a full window's rows less one.
    share: f64,
}

impl<const L: usize> LiveWindow<L> {
    fn new(window: Window) -> Self {
        Self {
            window,
            place: 0,
            block: Vec::new(),
            prefix: Fold::EMPTY,
            prefix_shift: [0.0; L],
            prefix_counts: [0.0; L],
            suffix: vec![Fold::EMPTY.half()],
            suffix_shift: [0.0; L],
            suffix_counts: Vec::new(),
            gaps: [false; 2],
            share: 1.0 / (window.rows as f64 - 1.0),
        }
    }

    fn place_at(&mut self, sequence: u64) {
        self.place = (sequence % self.window.rows as u64) as usize;
    }

    fn memory_bytes(&self) -> usize {
        self.block.capacity() * size_of::<[f64; L]>()
            + self.suffix.capacity() * size_of::<Half<L>>()
            + self.suffix_counts.capacity() * size_of::<[f64; L]>()
    }

    /// Mean, variance, min and max of the window that ends with `values`, and whether none of them is missing.
    #[inline(always)]
    fn push(&mut self, values: &[f64; L], missing: bool) -> ([[f64; L]; 4], bool) {
        let (rows, place) = (self.window.rows, self.place);
        if place == 0 {
            self.turn();
        }
        self.place = if place + 1 == rows { 0 } else { place + 1 };
        self.block.push(*values);
        let older = (rows - 1 - place).min(self.suffix.len() - 1);
        if missing | self.gaps[0] | self.gaps[1] {
            return (self.counted(values, older), false);
        }
        self.plain(values, older)
    }

    /// [`Self::push`] where no value is missing.
    #[inline(always)]
    fn plain(&mut self, values: &[f64; L], older: usize) -> ([[f64; L]; 4], bool) {
        let newer = self.block.len();
        if newer == 1 {
            self.prefix_shift = *values;
        }
        self.prefix.add(values, &self.prefix_shift, 1.0 / float(newer));
        let count = older + newer;
        if count < self.window.min_samples {
            return ([[f64::NAN; L]; 4], false);
        }
        let share = if count == self.window.rows { self.share } else { 1.0 / (float(count) - 1.0) };
        if older == 0 {
            return (self.prefix.alone(&self.prefix_shift, share), count > 1);
        }
        let before = float(older) / float(count);
        let prefix = self.prefix.half();
        let (older, prefix) = self.sides(older, &prefix);
        (merge(&older, &prefix, before, float(newer) * before, share), true)
    }

    #[inline(always)]
    fn sides<'a>(&'a self, older: usize, prefix: &'a Half<L>) -> (Side<'a, L>, Side<'a, L>) {
        let older = Side { half: &self.suffix[older], shift: &self.suffix_shift };
        (older, Side { half: prefix, shift: &self.prefix_shift })
    }

    /// [`Self::push`] where values of this block or the one before are missing.
    #[inline(always)]
    fn counted(&mut self, values: &[f64; L], older: usize) -> [[f64; L]; 4] {
        if !self.gaps[0] {
            self.gaps[0] = true;
            self.prefix_counts = [float(self.block.len() - 1); L];
        }
        self.prefix.add_counted(values, &mut self.prefix_shift, &mut self.prefix_counts);
        let older_counts = if self.gaps[1] { self.suffix_counts[older] } else { [float(older); L] };
        let prefix = self.prefix.half();
        let (older, newer) = self.sides(older, &prefix);
        merge_counted(&older, &newer, [&older_counts, &self.prefix_counts], float(self.window.min_samples))
    }

    /// The current block becomes the block before.
    #[inline(always)]
    fn turn(&mut self) {
        let rows = self.block.len().min(self.window.rows - 1);
        self.suffix.resize(rows + 1, Fold::EMPTY.half());
        self.suffix_counts.clear();
        self.gaps = [false, self.gaps[0]];
        let folds = self.suffix[1..].iter_mut().zip(self.block.iter().rev());
        let (mut fold, mut counts) = (Fold::EMPTY, [0.0; L]);
        if self.gaps[1] {
            self.suffix_shift = counts;
            self.suffix_counts.push(counts);
            for (suffix, values) in folds {
                fold.add_counted(values, &mut self.suffix_shift, &mut counts);
                *suffix = fold.half();
                self.suffix_counts.push(counts);
            }
        } else {
            self.suffix_shift = self.block.last().copied().unwrap_or([0.0; L]);
            for (count, (suffix, values)) in (1..).zip(folds) {
                fold.add(values, &self.suffix_shift, 1.0 / float(count));
                *suffix = fold.half();
            }
        }
        self.block.clear();
        self.prefix = Fold::EMPTY;
        self.prefix_counts = [0.0; L];
    }
}

/// One instruction, where a conversion from `usize` takes six.
#[inline(always)]
fn float(rows: usize) -> f64 {
    rows as i64 as f64
}

/// The newest values, as many as the longest lag.
#[derive(Clone)]
struct Recent<const L: usize> {
    values: Vec<[f64; L]>,
    next: usize,
    longest: usize,
}

impl<const L: usize> Recent<L> {
    const MISSING: [f64; L] = [f64::NAN; L];

    fn new(longest: usize) -> Self {
        Self { values: Vec::new(), next: 0, longest }
    }

    #[inline(always)]
    fn push(&mut self, values: [f64; L]) {
        if self.values.len() < self.longest {
            self.values.push(values);
        } else if self.longest > 0 {
            self.values[self.next] = values;
            self.next = if self.next + 1 == self.longest { 0 } else { self.next + 1 };
        }
    }

    /// The values `rows` before those to come; NaN where none were seen.
    #[inline(always)]
    fn back(&self, rows: usize) -> &[f64; L] {
        if rows > self.values.len() {
            return &Self::MISSING;
        }
        let at = self.next + self.values.len() - rows;
        &self.values[if at < self.values.len() { at } else { at - self.values.len() }]
    }
}
