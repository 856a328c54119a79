use super::{Kind, Ring};

/// A row whose columns can be checked against each other and against its sequence.
fn push(ring: &mut Ring<()>, sequence: u64) {
    ring.open(1);
    ring.put_row(0, [0], &[sequence as f64], (1, [&[[checksum(sequence)]][..]].into_iter()), false);
}

fn checksum(sequence: u64) -> f64 {
    (sequence * 3 + 1) as f64
}

fn ring(capacity: usize, smallest: usize) -> Ring<()> {
    let mut ring = Ring::with_segments(capacity, (), smallest);
    ring.add_columns(&[Kind::Number, Kind::Number], ());
    ring
}

/// The sequences a snapshot holds; panics at a row that is torn or out of place.
fn checked(snapshot: &super::Snapshot<()>) -> usize {
    let values = |place| -> Vec<f64> {
        snapshot
            .column(place)
            .iter()
            .flat_map(|chunk| (0..chunk.len()).map(|row| chunk.number(row)))
            .collect()
    };
    let (sequences, sums) = (values(0), values(1));
    assert_eq!(sequences.len(), snapshot.len());
    for (at, (sequence, sum)) in sequences.iter().zip(&sums).enumerate() {
        assert_eq!(*sequence, (snapshot.first_sequence() + at as u64) as f64);
        assert_eq!(*sum, checksum(*sequence as u64));
    }
    sequences.len()
}

#[cfg(loom)]
mod models {
    use super::*;

    /// Every interleaving with at most three preemptions: seconds, where all of them take more than minutes.
    fn model(program: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(program);
    }

    #[test]
    fn a_reader_sees_whole_rows_while_segments_are_recycled() {
        model(|| {
            let mut ring = ring(1, 1);
            push(&mut ring, 0);
            ring.publish();
            let reader = ring.reader();
            let reading = loom::thread::spawn(move || {
                let snapshot = reader.snapshot();
                assert_eq!(checked(&snapshot), 1);
                drop(snapshot);
                assert_eq!(checked(&reader.snapshot()), 1);
            });
            for sequence in 1..3 {
                push(&mut ring, sequence);
                ring.publish();
            }
            reading.join().unwrap();
        });
    }

    #[test]
    fn a_snapshot_holds_what_it_held_while_a_column_comes_and_the_rows_are_displaced() {
        model(|| {
            let mut ring = ring(2, 2);
            push(&mut ring, 0);
            ring.publish();
            let reader = ring.reader();
            let reading = loom::thread::spawn(move || {
                let snapshot = reader.snapshot();
                let (first, rows) = (snapshot.first_sequence(), checked(&snapshot));
                assert!(matches!((first, rows), (0, 1) | (0, 2) | (1, 2)), "{first} {rows}");
                assert_eq!(checked(&snapshot), rows);
            });
            ring.add_columns(&[Kind::Number], ());
            for sequence in 1..3 {
                push(&mut ring, sequence);
                ring.put_column(0, 2, &[1.0]);
                ring.publish();
            }
            reading.join().unwrap();
        });
    }

    #[test]
    fn a_batch_shows_whole_or_not_at_all() {
        model(|| {
            let mut ring = ring(4, 2);
            push(&mut ring, 0);
            ring.publish();
            let reader = ring.reader();
            let reading = loom::thread::spawn(move || {
                let rows = checked(&reader.snapshot());
                assert!(rows == 1 || rows == 4, "{rows}");
            });
            for sequence in 1..4 {
                push(&mut ring, sequence);
            }
            ring.publish();
            reading.join().unwrap();
        });
    }

    #[test]
    fn a_snapshot_survives_clear_and_the_ring() {
        model(|| {
            let mut ring = ring(4, 4);
            push(&mut ring, 0);
            push(&mut ring, 1);
            ring.publish();
            let reader = ring.reader();
            let reading = loom::thread::spawn(move || {
                let snapshot = reader.snapshot();
                let rows = checked(&snapshot);
                let whole = [(0, 2), (2, 0), (2, 1)];
                assert!(
                    whole.contains(&(snapshot.first_sequence(), rows)),
                    "{} {rows}",
                    snapshot.first_sequence()
                );
                assert_eq!(checked(&snapshot), rows);
            });
            ring.clear();
            push(&mut ring, 2);
            ring.publish();
            drop(ring);
            reading.join().unwrap();
        });
    }
}

#[cfg(not(loom))]
mod threads {
    use std::collections::VecDeque;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn readers_see_whole_rows_while_the_writer_runs() {
        // Miri takes minutes where others take a second.
        let (capacity, smallest, rows) = if cfg!(miri) { (20, 4, 60) } else { (300, 16, 200_000) };
        let mut ring = ring(capacity, smallest);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let reader = ring.reader();
                let done = &done;
                scope.spawn(move || {
                    let mut newest = 0;
                    let mut held: Vec<super::super::Snapshot<()>> = Vec::new();
                    while !done.load(Ordering::Relaxed) {
                        let snapshot = reader.snapshot();
                        checked(&snapshot);
                        assert!(snapshot.first_sequence() >= newest, "time runs one way");
                        newest = snapshot.first_sequence();
                        held.push(snapshot);
                        if held.len() > 5 {
                            checked(&held.remove(0));
                        }
                    }
                });
            }
            for sequence in 0..rows {
                push(&mut ring, sequence);
                if sequence % 7 != 0 {
                    ring.publish();
                }
            }
            ring.publish();
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(checked(&ring.reader().snapshot()), capacity);
    }

    #[test]
    fn a_snapshot_outlives_late_columns_clears_and_the_ring() {
        let mut ring = ring(20, 8);
        let mut held = Vec::new();
        for sequence in 0..50 {
            if sequence == 13 {
                ring.add_columns(&[Kind::Text, Kind::Number], ());
            }
            if sequence == 30 {
                ring.clear();
            }
            push(&mut ring, sequence);
            if sequence >= 13 {
                ring.put_text(0, 2, "late");
                ring.put_column(0, 3, &[f64::NAN]);
            }
            ring.publish();
            if sequence % 6 == 0 {
                let snapshot = ring.reader().snapshot();
                held.push((checked(&snapshot), snapshot));
            }
        }
        drop(ring);
        for (rows, snapshot) in &held {
            assert_eq!(checked(snapshot), *rows);
            for chunk in snapshot.column(3) {
                assert!(chunk.may_miss() && chunk.numbers().iter().all(|value| value.is_nan()));
            }
        }
        let newest = held.last().expect("snapshots").1.column(2);
        assert!(newest.iter().flat_map(|chunk| chunk.texts()).all(|text| text == Some("late")));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Append(usize),
        Clear,
        Column,
        Hold,
    }

    proptest! {
        #[test]
        #[cfg_attr(miri, ignore = "hundreds of programs take Miri hours")]
        fn it_holds_what_a_deque_holds(
            capacity in 1usize..60, smallest in 1usize..20,
            steps in prop::collection::vec(prop_oneof![
                6 => (0usize..40).prop_map(Step::Append), 1 => Just(Step::Clear), 1 => Just(Step::Column),
                2 => Just(Step::Hold)], 0..40),
        ) {
            let mut ring = Ring::with_segments(capacity, 0usize, smallest);
            let mut oracle: VecDeque<Vec<f64>> = VecDeque::new();
            let mut width = 0;
            let mut held = Vec::new();
            let mut next = 0.0;
            let read = |snapshot: &super::super::Snapshot<usize>| -> Vec<Vec<f64>> {
                let column = |place| snapshot.column(place).iter().flat_map(|c| c.numbers().to_vec()).collect();
                (0..*snapshot.meta().as_ref()).map(column).collect()
            };
            for step in steps {
                match step {
                    Step::Append(rows) => {
                        for _ in 0..rows {
                            ring.open(1);
                            let row: Vec<f64> = (0..width).map(|place| { next += 1.0; if place % 3 == 2 { f64::NAN } else { next } }).collect();
                            row.iter().enumerate().for_each(|(place, value)| ring.put_column(0, place, &[*value]));
                            oracle.push_back(row);
                        }
                        ring.publish();
                        oracle.drain(..oracle.len().saturating_sub(capacity));
                    }
                    Step::Clear => {
                        ring.clear();
                        oracle.clear();
                    }
                    Step::Column => {
                        width += 1;
                        ring.add_columns(&[Kind::Number], width);
                        oracle.iter_mut().for_each(|row| row.push(f64::NAN));
                    }
                    Step::Hold => {
                        let snapshot = ring.reader().snapshot();
                        let rows = read(&snapshot);
                        held.push((snapshot, rows));
                    }
                }
                let snapshot = ring.reader().snapshot();
                prop_assert_eq!(snapshot.len(), oracle.len());
                for (place, column) in read(&snapshot).iter().enumerate() {
                    let want: Vec<u64> = oracle.iter().map(|row| row[place].to_bits()).collect();
                    prop_assert_eq!(column.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), want);
                }
                for (snapshot, rows) in &held {
                    let bits = |rows: &[Vec<f64>]| rows.concat().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                    prop_assert_eq!(bits(&read(snapshot)), bits(rows));
                }
            }
        }
    }

    #[test]
    fn memory_follows_the_rows_held() {
        let mut ring = ring(10_000_000, 64);
        assert_eq!(ring.reader().snapshot().bytes(), 0);
        for (rows, limit) in [(10u64, 2_000), (if cfg!(miri) { 500 } else { 100_000 }, 100_000 * 16 * 5 / 4)]
        {
            while ring.written() < rows {
                let next = ring.written();
                push(&mut ring, next);
            }
            ring.publish();
            assert!(ring.reader().snapshot().bytes() <= limit, "{rows}");
        }
    }
}
