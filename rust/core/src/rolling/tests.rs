use super::naive::naive;
use super::{Live, Scratch, Series, Window, tail};
use crate::compute::{Held, compute};
use crate::features::Plan;
use crate::simd::Widest;
use proptest::prelude::*;

fn kernel(values: &[f64], first_sequence: u64, window: Window) -> [Vec<f64>; 4] {
    newest(values, first_sequence, values.len(), window)
}

fn newest(values: &[f64], first_sequence: u64, rows: usize, window: Window) -> [Vec<f64>; 4] {
    let on = |widest, past_caches| {
        let mut out = std::array::from_fn(|_| vec![7.0; rows]);
        let columns = out.each_mut().map(Vec::as_mut_slice);
        let mut scratch = Scratch::on(widest);
        scratch.past_caches(past_caches);
        tail(&Series::new(values, first_sequence), rows, window, &mut scratch, columns);
        out
    };
    let out = on(Widest::of_this_machine(), false);
    for (widest, past_caches) in Widest::all().flat_map(|widest| [(widest, false), (widest, true)]) {
        let bits = |column: &Vec<f64>| column.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let got = on(widest, past_caches);
        assert_eq!(out.each_ref().map(bits), got.each_ref().map(bits), "{widest:?}, {past_caches}");
    }
    out
}

/// Deterministic noise in -1..1 (splitmix64).
fn noise(n: usize) -> Vec<f64> {
    let mix = |i: usize| {
        let mut z = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as f64 / 2f64.powi(63) - 1.0
    };
    (0..n).map(mix).collect()
}

fn walk(n: usize) -> Vec<f64> {
    noise(n)
        .iter()
        .scan(0.0, |at, step| {
            *at += step;
            Some(*at)
        })
        .collect()
}

fn same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}

fn check(name: &str, values: &[f64], first_sequence: u64, window: Window) {
    let [mean, std, min, max] = kernel(values, first_sequence, window);
    let want = naive(values, window);
    for row in 0..values.len() {
        let at = format!("{name}, window {window:?} from sequence {first_sequence}, row {row}");
        assert!(same(min[row], want[2][row]) && same(max[row], want[3][row]), "extremes of {at}");
        let size = min[row].abs().max(max[row].abs());
        let near = |a: f64, b: f64, within: f64| same(a, b) || (a - b).abs() <= within;
        assert!(near(mean[row], want[0][row], 1e-14 * size), "mean of {at}: {} {}", mean[row], want[0][row]);
        let exact = want[1][row];
        assert!(near(std[row], exact, 1e-11 * exact), "std of {at}: {} instead of {exact}", std[row]);
    }
}

fn hostile(n: usize) -> Vec<(&'static str, Vec<f64>)> {
    let spiked =
        |at: usize| noise(n).iter().enumerate().map(|(i, x)| if i == at { 1e15 } else { *x }).collect();
    let map = |f: fn(f64) -> f64| noise(n).into_iter().map(f).collect::<Vec<_>>();
    vec![
        ("1e9 + 1e-3 noise", map(|x| 1e9 + 1e-3 * x)),
        ("1e12 + noise", map(|x| 1e12 + x)),
        ("random walk", walk(n)),
        ("random walk at 1e12", walk(n).into_iter().map(|x| 1e12 + x).collect()),
        ("spike at a border", spiked(n / 20 * 10)),
        ("spike inside", spiked(n / 2 + 3)),
        ("log-normal", map(|x| (12.0 * x).exp())),
        ("tiny", map(|x| 1e-200 * x)),
        ("alternating", (0..n).map(|i| if i % 2 == 0 { 1e6 } else { -1e6 }).collect()),
    ]
}

#[test]
fn hostile_data_is_exact_at_every_window() {
    for (name, values) in hostile(400) {
        for rows in [1, 2, 3, 7, 10, 50, 133, 399, 400, 401, 5000] {
            for (first_sequence, samples) in [(0, None), (3, Some(1)), (u64::from(u32::MAX) + 17, None)] {
                check(name, &values, first_sequence, Window::new(rows, samples));
            }
        }
    }
}

#[test]
fn a_long_window_is_exact_with_a_spike_as_its_anchor() {
    let mut values = noise(9000);
    values[3000] = 1e15;
    let [_, std, ..] = kernel(&values, 0, Window::new(3000, None));
    let want = naive(&values, Window::new(3000, None));
    for row in (2999..9000).step_by(97) {
        assert!((std[row] - want[1][row]).abs() <= 1e-11 * want[1][row], "row {row}");
    }
}

/// So many rows that whole runs of blocks fill all lanes, with a rest.
#[test]
fn a_long_column_is_exact_wherever_its_runs_begin() {
    let values = walk(5_001);
    for rows in [1, 2, 3, 8, 10, 13, 50, 129, 200, 500] {
        let window = Window::new(rows, None);
        let want = naive(&values, window);
        for (newest_rows, first_sequence) in [(5_001, 0), (5_001, 7), (4_000, 3), (2_063, 1)] {
            let got = newest(&values, first_sequence, newest_rows, window);
            for row in (5_001 - newest_rows)..5_001 {
                let [mean, std, min, max] = got.each_ref().map(|column| column[row + newest_rows - 5_001]);
                let at = format!("row {row} of {newest_rows}, window {rows}, from {first_sequence}");
                assert!(same(min, want[2][row]) && same(max, want[3][row]), "extremes of {at}");
                assert!(same(mean, want[0][row]) || (mean - want[0][row]).abs() <= 1e-11, "mean of {at}");
                assert!(same(std, want[1][row]) || (std - want[1][row]).abs() <= 1e-11 * std, "std of {at}");
            }
        }
    }
}

#[test]
fn a_constant_run_has_no_spread_and_its_own_mean() {
    for value in [0.1, -1e9 - 0.3, 1e200, -0.0, 5e-324] {
        for rows in [2, 10, 64] {
            let [mean, std, ..] = kernel(&vec![value; 300], 5, Window::new(rows, Some(2)));
            assert!(std[1..].iter().all(|std| *std == 0.0), "{value} {rows}");
            assert!(mean[1..].iter().all(|mean| *mean == value), "{value} {rows}");
        }
    }
}

#[test]
fn an_infinity_leaves_with_its_row() {
    let mut values = noise(120);
    values[31] = f64::INFINITY;
    values[60] = f64::NEG_INFINITY;
    values[64] = f64::INFINITY;
    for rows in [1, 4, 10, 30] {
        check("infinities", &values, 2, Window::new(rows, None));
    }
    let [mean, std, min, max] = kernel(&values, 0, Window::new(10, None));
    assert!(mean[35] == f64::INFINITY && std[35].is_nan() && max[35] == f64::INFINITY && min[35].is_finite());
    assert!(
        mean[65].is_nan() && std[65].is_nan() && min[65] == f64::NEG_INFINITY && max[65] == f64::INFINITY
    );
}

#[test]
fn no_rows_give_no_results() {
    assert!(kernel(&[], 3, Window::new(4, None)).iter().all(Vec::is_empty));
}

#[test]
fn one_value_has_no_standard_deviation() {
    let [mean, std, min, max] = kernel(&[2.5, f64::NAN], 0, Window::new(3, Some(1)));
    assert_eq!((mean, min, max), (vec![2.5; 2], vec![2.5; 2], vec![2.5; 2]));
    assert!(std.iter().all(|std| std.is_nan()));
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        12 => -1e3..1e3,
        2 => Just(f64::NAN),
        2 => Just(1e9),
        1 => prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(1e15)],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_values_match_the_oracle(
        values in prop::collection::vec(value(), 0..150),
        rows in 1usize..60, samples in prop::option::of(1usize..60), first_sequence in 0u64..1000,
    ) {
        check("any", &values, first_sequence, Window::new(rows, samples));
    }

    #[test]
    fn every_path_gives_the_same_bits(
        values in prop::collection::vec(prop_oneof![8 => -1e3..1e3, 1 => value()], 1..400),
        finite in any::<bool>(), rows in 1usize..70, samples in prop::option::of(1usize..70),
        first_sequence in prop_oneof![Just(0), 0u64..1000], newest_rows in 0usize..400, dropped in 0usize..400,
    ) {
        let values: Vec<f64> = values.into_iter().map(|x: f64| if finite && !x.is_finite() { 0.5 } else { x }).collect();
        let window = Window::new(rows, samples);
        let bits = |out: [Vec<f64>; 4], from: usize| {
            out.map(|column| column[from..].iter().map(|x| if x.is_nan() { 1 } else { x.to_bits() }).collect::<Vec<_>>())
        };
        let whole = kernel(&values, first_sequence, window);
        let count = newest_rows.min(values.len());
        let from = values.len() - count;
        prop_assert_eq!(bits(newest(&values, first_sequence, count, window), 0), bits(whole.clone(), from));
        // The same rows after older ones were dropped, and one row at a time as they arrive.
        let dropped = dropped.min(from.saturating_sub(rows - 1));
        let held = &values[dropped..];
        let later = first_sequence + dropped as u64;
        if from + 1 >= rows {
            prop_assert_eq!(bits(newest(held, later, count, window), 0), bits(whole.clone(), from));
        }
        for row in from..values.len() {
            let live = newest(&values[..=row], first_sequence, 1, window);
            prop_assert_eq!(bits(live, 0), bits(whole.clone().map(|column| vec![column[row]]), 0));
        }
    }

    #[test]
    fn live_features_have_the_bits_of_the_tail(
        runs in prop::collection::vec(prop::collection::vec(prop::array::uniform4(lane_value()), 0..120), 1..4),
        windows in prop::collection::hash_set(1i64..40, 0..4), lags in prop::collection::hash_set(1i64..50, 0..4),
        samples in prop::option::of(1i64..40), columns in prop::sample::select(&[1usize, 2, 4][..]),
        missing in any::<bool>(), first_sequence in 0u64..1000,
    ) {
        let (windows, lags) = (Vec::from_iter(windows), Vec::from_iter(lags));
        let plan = Plan::declared(&windows, &lags, samples, 100).unwrap();
        let mut lives: Vec<AnyLive> = Widest::all().map(|widest| any_live(widest, &plan, columns)).collect();
        let mut sequence = first_sequence;
        for run in runs {
            let held = |x: f64| if x.is_nan() && !missing { 0.5 } else { x };
            let run: Vec<[f64; 4]> = run.into_iter().map(|row| row.map(held)).collect();
            let start = sequence;
            for row in 0..run.len() {
                let mut want = vec![7.0; plan.per_column() * columns];
                for lane in 0..columns {
                    let values: Vec<f64> = run[..=row].iter().map(|row| row[lane]).collect();
                    let held = Held { columns: 1, rows: row + 1, first_sequence: start };
                    let computed = compute(&plan, held, 1, |_, out| out.copy_from_slice(&values));
                    for (want, got) in want.iter_mut().skip(lane).step_by(columns).zip(computed) {
                        *want = got[0];
                    }
                }
                for live in &mut lives {
                    let mut got = vec![7.0; want.len()];
                    live(Some((sequence, &run[row])), &mut got);
                    for (got, want) in got.iter().zip(&want) {
                        prop_assert!(got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()), "{got} {want}");
                    }
                }
                sequence += 1;
            }
            lives.iter_mut().for_each(|live| live(None, &mut []));
        }
    }
}

/// Takes in a row and writes its features, or, without one, forgets all.
type AnyLive = Box<dyn FnMut(Option<(u64, &[f64; 4])>, &mut [f64])>;

fn any_live(widest: Widest, plan: &Plan, columns: usize) -> AnyLive {
    match columns {
        1 => live::<1>(widest, plan),
        2 => live::<2>(widest, plan),
        _ => live::<4>(widest, plan),
    }
}

fn live<const L: usize>(widest: Widest, plan: &Plan) -> AnyLive {
    let mut live = Live::<L>::on(widest, plan);
    Box::new(move |row, out| match row {
        Some((sequence, values)) => {
            live.push(sequence, *values.first_chunk().unwrap());
            out.iter_mut().zip(live.features().flatten().flatten()).for_each(|(out, value)| *out = *value);
        }
        None => live.reset(),
    })
}

/// What a buffer takes: no infinities.
fn lane_value() -> impl Strategy<Value = f64> {
    prop_oneof![30 => -1e3..1e3, 1 => Just(f64::NAN), 1 => Just(1e9), 1 => Just(1e15)]
}
