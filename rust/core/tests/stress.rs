//! One writer and four readers at full speed: no reader ever sees a row that is torn, lost or changed.

use std::sync::atomic::{AtomicBool, Ordering};

use millstream_core::buffer::{Buffer, View};
use millstream_core::table::Table;

/// Ten million rows, seconds in a release build (`make test-stress`); fewer where the build is slow.
const ROWS: u64 = if cfg!(debug_assertions) { 200_000 } else { 10_000_000 };
const CAPACITY: i64 = 1_000;
const READERS: usize = 4;

/// What stands beside `row` in its second column.
fn checksum(row: u64) -> f64 {
    (row.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 12) as f64
}

fn append(buffer: &mut Buffer, row: u64) {
    buffer.append_row(&[row as f64, checksum(row)]).expect("finite numbers");
}

/// The sequence of the first row. Panics at a row that is not what was written, or whose largest value of the last
/// three, kept up at append, is not its own.
fn check(table: &Table) -> Option<u64> {
    let column = |name: &str| table.floats(table.place(name).expect("a column")).expect("numbers");
    let (rows, sums, newest) = (column("row"), column("sum"), column("row_rolling_max_3"));
    let first = rows.first().map(|first| *first as u64)?;
    for (at, (row, (sum, newest))) in (first..).zip(rows.iter().zip(sums.iter().zip(&*newest))) {
        assert_eq!((*row, *sum), (at as f64, checksum(at)), "row {at}");
        assert!(*newest == *row || (at < 2 && newest.is_nan()), "the features of row {at}");
    }
    Some(first)
}

fn read(view: &View, done: &AtomicBool) -> usize {
    let ask = millstream_core::buffer::Ask {
        windows: None,
        stats: &["max"],
        lags: Some(&[]),
        include_lags: false,
        include_deltas: false,
        min_samples: None,
        tail: None,
    };
    let (mut latest, mut seen, mut held) = (0, 0, Vec::new());
    while !done.load(Ordering::Relaxed) {
        let table = view.features(&ask).expect("declared features");
        if let Some(first) = check(&table) {
            assert!(first >= latest, "time runs one way");
            latest = first;
        }
        seen += 1;
        held.push((latest, table));
        if held.len() > 3 {
            let (first, table) = held.remove(0);
            assert_eq!(check(&table).unwrap_or(0), first, "a table that is held does not change");
        }
    }
    seen
}

#[test]
fn readers_never_see_a_row_that_is_torn_lost_or_changed() {
    let names = ["row".to_owned(), "sum".to_owned()];
    let mut buffer = Buffer::new(CAPACITY, Some(&names), &[3], &[], None).expect("a buffer");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers = [(); READERS].map(|()| {
            let view = buffer.view();
            scope.spawn({
                let done = &done;
                move || read(&view, done)
            })
        });
        (0..ROWS).for_each(|row| append(&mut buffer, row));
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            assert!(reader.join().expect("a reader's own assertions") > 0, "it read");
        }
    });
    let rows = buffer.view().snapshot(None);
    assert_eq!((rows.len() as i64, buffer.view().append_count()), (CAPACITY, ROWS));
    assert_eq!(rows.floats(0).and_then(|rows| rows.last().copied()), Some((ROWS - 1) as f64));
}
