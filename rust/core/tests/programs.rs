//! Live, tail and full paths agree to the last bit on every row whose whole window is held, after any mix of appends,
//! batches, wrap-arounds, clears and late columns.

use millstream_core::buffer::{Ask, Buffer};
use millstream_core::rows::{Builder, Cell, Mode};
use millstream_core::table::Table;
use proptest::prelude::*;

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const WINDOWS: [i64; 4] = [1, 2, 7, 16];
const LAGS: [i64; 2] = [1, 5];

#[derive(Clone, Debug)]
enum Step {
    /// So many rows in one call, with so many of the columns.
    Append(usize, usize),
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let rows = prop_oneof![3 => 1usize..4, 1 => 0usize..60];
    let append = (rows, 1usize..=NAMES.len()).prop_map(|(rows, columns)| Step::Append(rows, columns));
    prop::collection::vec(prop_oneof![12 => append, 1 => Just(Step::Clear)], 1..30)
}

/// Numbers of any size from a seed; some are missing where `gaps` says so.
fn value(seed: u64, gaps: bool) -> Option<f64> {
    let mixed = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let noise = (mixed >> 11) as f64 / (1u64 << 53) as f64 - 0.5;
    match mixed % 23 {
        0 if gaps => None,
        1 => Some(1e15),
        2 => Some(1e9 + noise),
        _ => Some(noise * 1e3),
    }
}

fn batch(first: u64, rows: usize, columns: usize, gaps: bool) -> Table {
    let mut builder = Builder::new(Mode::Typed);
    for row in 0..rows as u64 {
        builder.begin_mapping().unwrap();
        for (at, name) in NAMES[..columns].iter().enumerate() {
            let place = builder.column(name).unwrap();
            let cell = value((first + row) * NAMES.len() as u64 + at as u64, gaps);
            builder.stage(place, cell.map_or(Cell::Missing, Cell::Number));
        }
        builder.end_row().unwrap();
    }
    Table::from(builder.finish(&Default::default()).unwrap())
}

fn features(buffer: &Buffer, min_samples: i64, tail: Option<usize>) -> Table {
    let ask = Ask {
        windows: Some(&WINDOWS),
        stats: &["mean", "std", "min", "max"],
        lags: Some(&LAGS),
        include_lags: true,
        include_deltas: true,
        min_samples: Some(min_samples),
        tail,
    };
    buffer.view().features(&ask).unwrap()
}

/// The bits of a column's newest `rows` values.
fn newest(table: &Table, place: usize, rows: usize) -> Vec<u64> {
    let values = table.floats(place).unwrap_or_default();
    let bits = |value: &f64| if value.is_nan() { 1 } else { value.to_bits() };
    values[values.len() - rows.min(values.len())..].iter().map(bits).collect()
}

/// How many rows before a row its feature rests on.
fn reach(name: &str) -> usize {
    let period: usize = name.rsplit('_').next().and_then(|period| period.parse().ok()).unwrap_or(0);
    if name.contains("rolling") { period - 1 } else { period }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 40 } else { 300 }))]

    #[test]
    fn every_path_gives_the_same_bits(
        steps in steps(), capacity in 16i64..90, min_samples in 1i64..=16, tail in 1usize..40, gaps in any::<bool>(),
    ) {
        let mut live = Buffer::new(capacity, None, &WINDOWS, &LAGS, Some(min_samples)).unwrap();
        let mut plain = Buffer::new(capacity, None, &[], &[], None).unwrap();
        let mut sent = 0;
        for step in steps {
            match step {
                Step::Clear => [&mut live, &mut plain].into_iter().for_each(Buffer::clear),
                Step::Append(rows, columns) => {
                    for buffer in [&mut live, &mut plain] {
                        prop_assert_eq!(buffer.append(&batch(sent, rows, columns, gaps)).unwrap(), rows);
                    }
                    sent += rows as u64;
                }
            }
            let (kept, full) = (features(&live, min_samples, None), features(&plain, min_samples, None));
            let short = features(&plain, min_samples, Some(tail));
            prop_assert_eq!(kept.len(), full.len());
            for (place, column) in full.columns().iter().enumerate() {
                let name = column.name();
                prop_assert_eq!(kept.columns()[place].name(), name);
                prop_assert_eq!(short.columns()[place].name(), name);
                let whole = full.len().saturating_sub(if name.len() == 1 { 0 } else { reach(name) });
                prop_assert_eq!(newest(&kept, place, whole), newest(&full, place, whole), "live and full: {}", name);
                let rows = short.len();
                prop_assert_eq!(newest(&short, place, rows), newest(&full, place, rows), "tail and full: {}", name);
            }
        }
    }
}
