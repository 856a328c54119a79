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

/// The state that the next row's features of L columns side by side rest on: 1, 2 or 4. A new one has seen no rows: what
/// came before counts as missing.
#[derive(Clone)]
pub struct Live<const L: usize> {
    columns: Columns<L>,
    widest: Widest,
}

impl<const L: usize> Live<L> {
    /// No rows so far, with the features of a plan that has all statistics.
    ///
    /// # Panics
    /// For a plan without some statistic.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self::on(Widest::of_this_machine(), plan)
    }

    pub(super) fn on(widest: Widest, plan: &Plan) -> Self {
        assert!(plan.windows().is_empty() || plan.stats().len() == 4, "all statistics");
        Self { columns: Columns::new(plan), widest }
    }

    /// Takes in the columns' values of row `sequence` (NaN: missing, infinities are not allowed). Whether some of its
    /// features may be missing; `false` is certain. Rows come in order of their sequence, none left out.
    #[inline(always)]
    pub fn push(&mut self, sequence: u64, values: [f64; L]) -> bool {
        self.widest.push(&mut self.columns, sequence, values)
    }

    /// The features of the row taken in last, in the order of their names: as they stand, in several runs.
    #[inline(always)]
    pub fn features(&self) -> impl Iterator<Item = &[[f64; L]]> {
        let Columns { windows, lagged, .. } = &self.columns;
        windows.iter().map(|window| &window.results[..]).chain(std::iter::once(&lagged[..]))
    }

    /// Forgets all rows.
    pub fn reset(&mut self) {
        self.columns.reset();
    }

    /// The bytes it holds beside its own size.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.columns.memory_bytes()
    }
}

/// L columns side by side.
#[derive(Clone)]
pub(super) struct Columns<const L: usize> {
    windows: Vec<LiveWindow<L>>,
    recent: Recent<L>,
    lags: Vec<Feature>,
    /// The lags and deltas of the row taken in last.
    lagged: Vec<[f64; L]>,
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
        // A lag looks back past the row at hand.
        let looked_at = plan.windows().iter().copied().chain(plan.lags().iter().map(|rows| rows + 1));
        let lags: Vec<_> = plan.lag_features().collect();
        Self {
            windows: windows.collect(),
            recent: Recent::new(looked_at.max().unwrap_or(0)),
            lagged: vec![[f64::NAN; L]; lags.len()],
            lags,
            next: None,
            overflows: false,
        }
    }

    #[inline(always)]
    pub(super) fn push(&mut self, sequence: u64, values: &[f64; L]) -> bool {
        if self.next != Some(sequence) {
            self.windows.iter_mut().for_each(|window| window.place_at(sequence));
        }
        self.next = Some(sequence + 1);
        let plain = values.iter().fold(true, |plain, value| plain & (value.abs() <= PLAIN));
        let missing = !plain && self.look_at(*values);
        self.recent.push(*values);
        let mut may_miss = self.overflows | !self.lags.is_empty();
        for window in &mut self.windows {
            may_miss |= !window.push(values, missing, &self.recent);
        }
        if !self.lags.is_empty() {
            self.look_back(values);
        }
        may_miss
    }

    /// Whether one of the values is missing; that others are so large that features may overflow is kept.
    #[cold]
    fn look_at(&mut self, values: [f64; L]) -> bool {
        self.overflows |= values.iter().any(|value| value.abs() > PLAIN);
        values.iter().any(|value| value.is_nan())
    }

    #[inline(always)]
    fn look_back(&mut self, values: &[f64; L]) {
        for (feature, out) in self.lags.iter().zip(&mut self.lagged) {
            *out = match *feature {
                Feature::Delta { rows } => {
                    let past = self.recent.back(rows);
                    std::array::from_fn(|lane| values[lane] - past[lane])
                }
                Feature::Lag { rows } => *self.recent.back(rows),
                Feature::Rolling { .. } => unreachable!("a lag or a delta"),
            };
        }
    }

    fn reset(&mut self) {
        self.windows.iter_mut().for_each(|window| *window = LiveWindow::new(window.window));
        self.recent = Recent::new(self.recent.longest);
        self.next = None;
        self.overflows = false;
    }

    fn memory_bytes(&self) -> usize {
        let windows = self.windows.iter().map(|window| size_of::<LiveWindow<L>>() + window.memory_bytes());
        windows.sum::<usize>()
            + self.recent.values.capacity() * size_of::<[f64; L]>()
            + size_of_val(&*self.lags)
            + size_of_val(&*self.lagged)
    }
}

// With what a row reads and writes in one place: a value written at the same distance into a page as one read soon after
// is taken for it at first, and where results stood anywhere, a row took up to half as long again.
#[derive(Clone)]
struct LiveWindow<const L: usize> {
    window: Window,
    /// Mean, standard deviation, min and max of the window that ends with the row taken in last.
    results: [[f64; L]; 4],
    /// The next row's place in its block; counted on, because the division costs more than the step.
    place: usize,
    /// The rows of the current block that were seen.
    newer: usize,
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
    /// Whether the values of the current block are counted.
    counting: bool,
    /// 1 over a full window's rows less one.
    share: f64,
}

impl<const L: usize> LiveWindow<L> {
    fn new(window: Window) -> Self {
        Self {
            window,
            results: [[f64::NAN; L]; 4],
            place: 0,
            newer: 0,
            prefix: Fold::EMPTY,
            prefix_shift: [0.0; L],
            prefix_counts: [0.0; L],
            suffix: vec![Fold::EMPTY.half()],
            suffix_shift: [0.0; L],
            suffix_counts: Vec::new(),
            gaps: [false; 2],
            counting: false,
            share: 1.0 / (window.rows as f64 - 1.0),
        }
    }

    fn place_at(&mut self, sequence: u64) {
        self.place = (sequence % self.window.rows as u64) as usize;
    }

    fn memory_bytes(&self) -> usize {
        self.suffix.capacity() * size_of::<Half<L>>() + self.suffix_counts.capacity() * size_of::<[f64; L]>()
    }

    /// Takes in `values`, the newest of all; whether none of the results is missing.
    #[inline(always)]
    fn push(&mut self, values: &[f64; L], missing: bool, recent: &Recent<L>) -> bool {
        let left = self.window.rows - 1 - self.place;
        self.place += 1;
        self.newer += 1;
        let older = left.min(self.suffix.len() - 1);
        let (results, all) = if missing | self.gaps[0] | self.gaps[1] {
            self.gaps[0] |= missing;
            (self.counted(values, older), false)
        } else {
            self.plain(values, older)
        };
        let [mean, variance, min, max] = results;
        self.results = [mean, variance.map(f64::sqrt), min, max];
        if left == 0 {
            self.turn(recent);
        }
        all
    }

    /// [`Self::push`] where no value is missing.
    #[inline(always)]
    fn plain(&mut self, values: &[f64; L], older: usize) -> ([[f64; L]; 4], bool) {
        let newer = self.newer;
        if newer == 1 {
            self.prefix_shift = *values;
        }
        let mut prefix = self.prefix;
        prefix.add(values, &self.prefix_shift, 1.0 / float(newer));
        let results = self.merged(&prefix, older, newer);
        // Written back only here: right after it was read, the compiler would write the extremes as masked stores, which
        // take AMD 18 steps each, a quarter of the row.
        self.prefix = prefix;
        results
    }

    /// The results of the newest `older` rows of the block before and the `newer` rows of this one.
    #[inline(always)]
    fn merged(&self, prefix: &Fold<L>, older: usize, newer: usize) -> ([[f64; L]; 4], bool) {
        let count = older + newer;
        if count < self.window.min_samples {
            return ([[f64::NAN; L]; 4], false);
        }
        let share = if count == self.window.rows { self.share } else { 1.0 / (float(count) - 1.0) };
        if older == 0 {
            return (prefix.alone(&self.prefix_shift, share), count > 1);
        }
        let before = float(older) / float(count);
        let prefix = prefix.half();
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
        if !self.counting {
            self.counting = true;
            self.prefix_counts = [float(self.newer - 1); L];
        }
        self.prefix.add_counted(values, &mut self.prefix_shift, &mut self.prefix_counts);
        let older_counts = if self.gaps[1] { self.suffix_counts[older] } else { [float(older); L] };
        let prefix = self.prefix.half();
        let (older, newer) = self.sides(older, &prefix);
        merge_counted(&older, &newer, [&older_counts, &self.prefix_counts], float(self.window.min_samples))
    }

    /// The current block becomes the block before.
    #[inline(always)]
    fn turn(&mut self, recent: &Recent<L>) {
        let rows = self.newer.min(self.window.rows - 1);
        self.suffix.resize(rows + 1, Fold::EMPTY.half());
        self.suffix_counts.clear();
        self.gaps = [false, self.gaps[0]];
        let folds = self.suffix[1..].iter_mut().zip(recent.newest_first());
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
            self.suffix_shift = *recent.back(0);
            for (count, (suffix, values)) in (1..).zip(folds) {
                fold.add(values, &self.suffix_shift, 1.0 / float(count));
                *suffix = fold.half();
            }
        }
        self.newer = 0;
        self.place = 0;
        self.prefix = Fold::EMPTY;
        self.prefix_counts = [0.0; L];
        self.counting = false;
    }
}

/// One instruction, where a conversion from `usize` takes six.
#[inline(always)]
fn float(rows: usize) -> f64 {
    rows as i64 as f64
}

/// The newest values, as far as anything looks back.
#[derive(Clone)]
struct Recent<const L: usize> {
    values: Vec<[f64; L]>,
    /// Where the next goes, once there are as many as ever.
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

    /// The values `rows` before the newest; NaN where none were seen.
    #[inline(always)]
    fn back(&self, rows: usize) -> &[f64; L] {
        if rows >= self.values.len() {
            return &Self::MISSING;
        }
        let at = self.next + self.values.len() - 1 - rows;
        &self.values[if at < self.values.len() { at } else { at - self.values.len() }]
    }

    /// All of them, the newest first.
    #[inline(always)]
    fn newest_first(&self) -> impl Iterator<Item = &[f64; L]> {
        let (later, earlier) = self.values.split_at(self.next);
        later.iter().rev().chain(earlier.iter().rev())
    }
}
