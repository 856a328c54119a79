//! The features of whole columns, computed when they are asked for.
//!
//! All of an answer stands in one [`Slab`]: first the columns themselves where lags are wanted, each with room for
//! missing values before it, then what is computed from them. So a lag is no work at all: it is its column, looked at
//! from `period` rows earlier.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use crate::features::{Feature, Plan};
use crate::lag;
use crate::rolling::{self, ABREAST, FEW, Scratch, Series, Stat, Window};
use crate::simd::{CACHED, LINE, place_in_line};
use crate::slab::{Numbers, Slab, pitch};

/// The rows that features are computed from.
#[derive(Clone, Copy)]
pub struct Held {
    /// How many columns of numbers.
    pub columns: usize,
    /// How many rows; those before them count as missing.
    pub rows: usize,
    /// The sequence of the first.
    pub first_sequence: u64,
}

/// The features of the newest `rows` rows, column by column in the order of their names. `fill` writes the
/// values of a column, as many as rows are held; [`Plan::reach`] of them belong before the newest.
///
/// # Panics
/// If fewer than `rows` rows are held.
pub fn compute(
    plan: &Plan,
    held: Held,
    rows: usize,
    mut fill: impl FnMut(usize, &mut [f64]),
) -> Vec<Numbers> {
    if rows == 0 {
        return vec![Numbers::default(); held.columns * plan.per_column()];
    }
    assert!(rows <= held.rows, "no more rows than are held");
    let layout = Layout::new(plan, held, rows);
    let mut slab = Slab::take(layout.len());
    let (sources, results) = slab.values().split_at_mut(layout.sources());
    let together = together(rows);
    for first in (0..held.columns).step_by(together) {
        let columns = first..held.columns.min(first + together);
        let places = |of_one: usize| columns.start * of_one..columns.end * of_one;
        let sources = &mut sources[places(layout.source)];
        for (column, source) in columns.clone().zip(sources.chunks_mut(layout.source)) {
            let (before, values) = source[..layout.padded].split_at_mut(layout.padded - held.rows);
            before.fill(f64::NAN);
            fill(column, values);
        }
        let sources = sources.chunks(layout.source).map(|source| &source[..layout.padded]);
        work_out(plan, held, &layout, sources, &mut results[places(layout.of_one())]);
    }
    layout.numbers(plan, &Arc::new(slab))
}

/// The features of all rows of some columns, the first of which has sequence 0. Where no lag is wanted, which shows the
/// column itself, they are read where they stand: of ten million rows the copy takes a tenth of the time.
///
/// # Panics
/// If the columns are not `rows` long.
pub fn compute_of(plan: &Plan, columns: &[Cow<'_, [f64]>], rows: usize) -> Vec<Numbers> {
    let held = Held { columns: columns.len(), rows, first_sequence: 0 };
    let layout = Layout { source: 0, ..Layout::new(plan, held, rows) };
    if !plan.lags().is_empty() || rows == 0 || layout.of_one() == 0 {
        return compute(plan, held, rows, |column, values| values.copy_from_slice(&columns[column]));
    }
    let mut slab = Slab::take(layout.len());
    let together = together(rows);
    let results = slab.values()[..layout.len()].chunks_mut(together * layout.of_one());
    for (columns, results) in columns.chunks(together).zip(results) {
        work_out(plan, held, &layout, columns.iter().map(|column| &column[..rows]), results);
    }
    layout.numbers(plan, &Arc::new(slab))
}

/// How many columns at a time: one at a time, a long column is still in the caches when its features are computed.
fn together(rows: usize) -> usize {
    if rows <= FEW { ABREAST } else { 1 }
}

/// Computes what is no lag, of some columns with the missing values before each.
fn work_out<'a>(
    plan: &Plan,
    held: Held,
    layout: &Layout,
    sources: impl ExactSizeIterator<Item = &'a [f64]> + Clone,
    results: &mut [f64],
) {
    let mut results: Vec<&mut [f64]> =
        results.chunks_mut(layout.result).map(|result| &mut result[..layout.rows]).collect();
    let mut rolling = Vec::with_capacity(sources.len());
    for (source, results) in sources.clone().zip(results.chunks_mut(layout.results.max(1))) {
        let (rolled, deltas) = results.split_at_mut(plan.windows().len() * plan.stats().len());
        for (period, delta) in plan.lags().iter().zip(deltas) {
            lag::delta(source, *period, delta);
        }
        rolling.push(rolled);
    }
    if plan.windows().is_empty() {
        return;
    }
    let held_values = sources.map(|source| &source[layout.padded - held.rows..]);
    Scratch::kept(|scratch| {
        scratch.past_caches(layout.len() > CACHED);
        roll(plan, held_values, held.first_sequence, scratch, &mut rolling);
    });
}

/// Computes the rolling features of the newest rows of some columns of the same rows: as many as each slice of `out`
/// is long, which has one for each statistic of each window of each column. [`Plan::reach`] rows belong before the
/// newest; those before the first count as missing.
fn roll<'a>(
    plan: &Plan,
    columns: impl ExactSizeIterator<Item = &'a [f64]> + Clone,
    first_sequence: u64,
    scratch: &mut Scratch,
    out: &mut [&mut [&mut [f64]]],
) {
    if columns.len() > 1 && plan.stats().len() == Stat::ALL.len() {
        let series: Vec<_> = columns.clone().map(|values| Series::new(values, first_sequence)).collect();
        if series.iter().all(Series::is_finite) {
            return roll_abreast(plan, &series, scratch, out);
        }
    }
    for (values, out) in columns.zip(out) {
        roll_one(plan, &Series::unseen(values, first_sequence), scratch, out);
    }
}

fn roll_abreast(plan: &Plan, columns: &[Series<'_>], scratch: &mut Scratch, out: &mut [&mut [&mut [f64]]]) {
    for (place, window) in plan.windows().iter().enumerate() {
        let stats = out.iter_mut().map(|column| column.as_chunks_mut::<{ Stat::ALL.len() }>().0);
        let mut out: Vec<rolling::Results<'_>> =
            stats.map(|windows| windows[place].each_mut().map(|stat| &mut **stat)).collect();
        rolling::abreast(columns, Window::new(*window, plan.min_samples()), scratch, &mut out);
    }
}

/// How many rows of a column at a time: they are still in the nearer caches when the last window comes to them. Of ten
/// million rows a window at a time took two fifths more.
const ROWS_AT_ONCE: usize = if cfg!(test) { 1 << 8 } else { 1 << 15 };

/// As [`roll`] of one column: so many rows at a time, of them as far as a window's runs come out even.
fn roll_one(plan: &Plan, column: &Series<'_>, scratch: &mut Scratch, out: &mut [&mut [f64]]) {
    let Some(rows) = out.first().map(|first| first.len()) else { return };
    let values = column.values();
    let (all, first) = (values.len(), values.len() - rows);
    let mut looked_at = first.saturating_sub(plan.windows().iter().copied().max().unwrap_or(0));
    let (mut finite_from, mut end) = (looked_at, first);
    while end < all {
        end = all.min(end + ROWS_AT_ONCE);
        let new = &values[looked_at..end];
        if !rolling::all_finite(new)
            && let Some(at) = new.iter().rposition(|value| !value.is_finite())
        {
            finite_from = looked_at + at + 1;
        }
        looked_at = end;
        for (window, wanted) in plan.windows().iter().zip(out.chunks_exact_mut(plan.stats().len())) {
            let window = Window::new(*window, plan.min_samples());
            let done = all - wanted[0].len();
            let to = if end == all { all } else { rolling::even(column, done, end, window, scratch) };
            if to == done {
                continue;
            }
            let from = done.saturating_sub(window.rows());
            let wanted = wanted.iter_mut().map(|out| out.split_off_mut(..to - done).unwrap_or_default());
            roll_part(plan, &column.part(from..to, from >= finite_from), window, scratch, wanted);
        }
    }
}

fn roll_part<'a>(
    plan: &Plan,
    series: &Series<'_>,
    window: Window,
    scratch: &mut Scratch,
    wanted: impl Iterator<Item = &'a mut [f64]>,
) {
    let mut unwanted = std::mem::take(&mut scratch.unwanted);
    let mut wanted = plan.stats().iter().zip(wanted).peekable();
    let (rows, place) = wanted.peek().map_or((0, 0), |(_, first)| (first.len(), place_in_line(first)));
    let pitch = pitch(rows).max(1);
    let numbers = pitch * (Stat::ALL.len() - plan.stats().len()) + LINE;
    if unwanted.len() < numbers {
        unwanted.resize(numbers, 0.0); // never shortened: it would be zeroed anew for the next piece
    }
    // At the same place of a line as what is wanted: all are written line by line together.
    let start = (place + LINE - place_in_line(&unwanted)) % LINE;
    let mut spare = unwanted[start..].chunks_exact_mut(pitch).map(|column| &mut column[..rows]);
    let out = Stat::ALL.map(|stat| match wanted.next_if(|(wanted, _)| **wanted == stat) {
        Some((_, out)) => out,
        None => spare.next().unwrap_or_default(),
    });
    rolling::tail(series, rows, window, scratch, out);
    scratch.unwanted = unwanted;
}

/// Where what stands in a slab.
struct Layout {
    columns: usize,
    rows: usize,
    /// From one column to the next.
    source: usize,
    /// A column.
    held: usize,
    /// A column with the missing values before it.
    padded: usize,
    /// What is computed of each column.
    results: usize,
    /// From one result to the next.
    result: usize,
}

impl Layout {
    fn new(plan: &Plan, held: Held, rows: usize) -> Self {
        // A lag beyond the rows held shows missing values alone, as does that of all of them.
        let longest = plan.lag_features().map(Feature::rows).max().unwrap_or(0).min(held.rows);
        let padded = held.rows.max(rows + longest);
        let results = plan.features().filter(|feature| !matches!(feature, Feature::Lag { .. })).count();
        Self {
            columns: held.columns,
            rows,
            source: pitch(padded),
            held: held.rows,
            padded,
            results,
            result: pitch(rows.max(1)),
        }
    }

    fn sources(&self) -> usize {
        self.columns * self.source
    }

    /// What the results of one column take.
    fn of_one(&self) -> usize {
        self.results * self.result
    }

    fn len(&self) -> usize {
        self.sources() + self.columns * self.of_one()
    }

    fn numbers(&self, plan: &Plan, slab: &Arc<Slab>) -> Vec<Numbers> {
        let mut all = Vec::with_capacity(self.columns * plan.per_column());
        let mut result = self.sources();
        for column in 0..self.columns {
            let newest = column * self.source + self.padded - self.rows;
            for feature in plan.features() {
                let start = match feature {
                    Feature::Lag { rows } => newest - rows.min(self.held),
                    _ => {
                        result += self.result;
                        result - self.result
                    }
                };
                all.push(Numbers::new(slab, start..start + self.rows));
            }
        }
        all
    }
}

impl Scratch {
    /// The most bytes of it a thread keeps: those of windows of thousands of rows.
    const KEPT: usize = 1 << 20;

    /// Works with the thread's own.
    fn kept<T>(work: impl FnOnce(&mut Self) -> T) -> T {
        thread_local!(static SCRATCH: RefCell<Scratch> = RefCell::default());
        SCRATCH.with_borrow_mut(|scratch| {
            let result = work(scratch);
            if scratch.bytes() > Self::KEPT {
                *scratch = Self::default();
            }
            result
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Held, compute, compute_of};
    use crate::features::{Called, Feature, Plan, Request};
    use crate::rolling::{Scratch, Series, Window, tail};
    use proptest::prelude::*;
    use std::borrow::Cow;

    fn of_one(
        feature: Feature,
        values: &[f64],
        samples: Option<usize>,
        first_sequence: u64,
        rows: usize,
    ) -> Vec<f64> {
        let newest = values.len() - rows..values.len();
        let past = |row: usize, by: usize| row.checked_sub(by).map_or(f64::NAN, |row| values[row]);
        match feature {
            Feature::Lag { rows } => newest.map(|row| past(row, rows)).collect(),
            Feature::Delta { rows } => newest.map(|row| values[row] - past(row, rows)).collect(),
            Feature::Rolling { stat, rows: window } => {
                let mut out = std::array::from_fn(|_| vec![7.0; rows]);
                let columns = out.each_mut().map(Vec::as_mut_slice);
                let window = Window::new(window, samples);
                let series = Series::new(values, first_sequence);
                tail(&series, rows, window, &mut Scratch::default(), columns);
                out[stat as usize].clone()
            }
        }
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![300 => -9.0..9.0, 1 => Just(f64::NAN), 1 => Just(f64::INFINITY)]
    }

    fn bits(values: &[f64]) -> Vec<u64> {
        values.iter().map(|x| if x.is_nan() { 1 } else { x.to_bits() }).collect()
    }

    #[test]
    fn values_stand_under_their_names() {
        let plan = Plan::new(Request {
            windows: &[2],
            stats: &["std", "max"],
            lags: &[1],
            include_lags: true,
            include_deltas: true,
            min_samples: None,
            longest: 3,
            called: Called::OF_BUFFERS,
        });
        let (plan, values) = (plan.unwrap(), [9.0, 4.0, 6.0]);
        let held = Held { columns: 1, rows: 3, first_sequence: 0 };
        let got = compute(&plan, held, 2, |_, out| out.copy_from_slice(&values));
        let std = |a: f64, b: f64| ((a - b) * (a - b) / 2.0).sqrt();
        let want = [[std(9.0, 4.0), std(4.0, 6.0)], [9.0, 6.0], [9.0, 4.0], [-5.0, 2.0]];
        assert!(got.iter().map(|column| &**column).eq(want.iter().map(|column| &column[..])));
    }

    #[test]
    fn a_column_of_many_pieces_is_as_if_it_were_one() {
        let windows = [1, 3, 10, 50, 64, 200, 700, 2_500, 1 << 62];
        for (samples, gaps) in [(None, &[][..]), (None, &[0, 1_000, 1_001, 3_999]), (Some(2), &[2_345])] {
            let mut values: Vec<f64> = (0..4_000).map(|row| f64::from(row * row % 1_009)).collect();
            gaps.iter().for_each(|at| values[*at] = if at % 2 == 0 { f64::NAN } else { f64::INFINITY });
            for (stats, rows) in [(&["mean", "std", "min", "max"][..], 4_000), (&["std"], 3_333)] {
                let plan = Plan::new(Request {
                    windows: &windows,
                    stats,
                    lags: &[],
                    include_lags: false,
                    include_deltas: false,
                    min_samples: samples,
                    longest: usize::MAX,
                    called: Called::OF_BUFFERS,
                })
                .unwrap();
                let held = Held { columns: 1, rows: 4_000, first_sequence: 7 };
                let got = compute(&plan, held, rows, |_, out| out.copy_from_slice(&values));
                for (feature, got) in plan.features().zip(got) {
                    let want = of_one(feature, &values, samples.map(|samples| samples as usize), 7, rows);
                    assert_eq!(bits(&got), bits(&want), "{feature:?}, {gaps:?}");
                }
            }
        }
    }

    #[test]
    fn windows_without_statistics_have_no_features() {
        let plan = Plan::new(Request {
            windows: &[40],
            stats: &[],
            lags: &[5],
            include_lags: false,
            include_deltas: true,
            min_samples: None,
            longest: 300,
            called: Called::OF_BUFFERS,
        });
        let held = Held { columns: 1, rows: 1, first_sequence: 5 };
        let got = compute(&plan.unwrap(), held, 1, |_, out| out.fill(0.0));
        assert_eq!(got.iter().map(|column| bits(column)).collect::<Vec<_>>(), [[1]]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn every_feature_of_every_column_stands_in_its_place(
            columns in prop::collection::vec(prop::collection::vec(value(), 200), 0..7), held in 0usize..200,
            samples in prop::option::of(1usize..50), missing in any::<bool>(),
            rows in 0usize..200, windows in prop::sample::subsequence(vec![1, 2, 7, 40], 0..=4),
            lags in prop::sample::subsequence(vec![1, 5, 60, 300], 0..=4),
            stats in prop::sample::subsequence(vec!["mean", "std", "min", "max"], 0..=4),
            include_lags in any::<bool>(), include_deltas in any::<bool>(),
        ) {
            let plan = Plan::new(Request {
                windows: &windows, stats: &stats, lags: &lags, include_lags, include_deltas,
                min_samples: samples.map(|samples| samples as i64),
                longest: 300,
                called: Called::OF_BUFFERS,
            }).unwrap();
            let rows = rows.min(held);
            let held_values = |x: f64| if missing || x.is_finite() { x } else { 0.5 };
            let columns: Vec<Vec<f64>> = columns.into_iter().map(|column: Vec<f64>| column.into_iter().map(held_values).collect()).collect();
            let shape = Held { columns: columns.len(), rows: held, first_sequence: 5 };
            let mut got = compute(&plan, shape, rows, |column, values| values.copy_from_slice(&columns[column][..held]))
                .into_iter();
            for column in &columns {
                for feature in plan.features() {
                    let want = of_one(feature, &column[..held], samples, 5, rows);
                    prop_assert_eq!(bits(&got.next().unwrap()), bits(&want), "{:?}", feature);
                }
            }
            prop_assert!(got.next().is_none());
            let standing: Vec<_> = columns.iter().map(|column| Cow::Borrowed(&column[..held])).collect();
            let all = compute_of(&plan, &standing, held);
            prop_assert_eq!(all.len(), columns.len() * plan.per_column());
            let wants = columns.iter().flat_map(|column| plan.features().map(move |feature| (column, feature)));
            for (got, (column, feature)) in all.into_iter().zip(wants) {
                let want = of_one(feature, &column[..held], samples, 0, held);
                prop_assert_eq!(bits(&got), bits(&want), "{:?}", feature);
            }
        }
    }
}
