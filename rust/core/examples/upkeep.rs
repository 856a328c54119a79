//! What a row costs in the core: the upkeep of 48 features (4 columns, windows 10, 50 and 200) alone, and with
//! everything stored in a buffer of 10,000 rows. Prints nanoseconds per row.

use std::hint::black_box;
use std::time::Instant;

use millstream_core::buffer::Buffer;
use millstream_core::features::Plan;
use millstream_core::rolling::Live;

/// A round takes a fraction of a millisecond, so that some are not disturbed.
const ROWS: usize = 2_500;
const ROUNDS: usize = 400;

fn main() {
    let rows: Vec<[f64; 4]> =
        (0..ROWS).map(|row| [0.3, 1.7, 2.9, 0.01].map(|f| (row as f64 * f).sin())).collect();
    let names = ["a", "b", "c", "d"].map(String::from);
    let plan = Plan::declared(&[10, 50, 200], &[], None, 10_000).expect("a plan");
    let mut live = Live::new(&plan);
    let mut sequence = 0;
    report("upkeep_ns", &rows, |row| {
        live.push(sequence, *row);
        black_box(&live);
        sequence += 1;
    });
    for (name, windows) in [("stored_ns", &[10, 50, 200][..]), ("plain_ns", &[])] {
        let mut buffer = Buffer::new(10_000, Some(&names), windows, &[], None).expect("a buffer");
        report(name, &rows, |row| buffer.append_row(row).expect("finite numbers"));
    }
}

/// The fastest of some rounds: what the machine does when nobody disturbs it.
fn report(name: &str, rows: &[[f64; 4]], mut take: impl FnMut(&[f64; 4])) {
    let round = |_| {
        let start = Instant::now();
        rows.iter().for_each(&mut take);
        start.elapsed().as_nanos() as f64 / rows.len() as f64
    };
    let best = (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min);
    println!("{name} {best:.1}");
}
