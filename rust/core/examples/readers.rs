//! What a writer's row costs alone and while four readers take snapshots without a pause. Prints nanoseconds of the
//! writer's CPU time per row: how long it waits for a processor says nothing about the ring.

use std::sync::atomic::{AtomicBool, Ordering};

use millstream_core::buffer::{Buffer, View};

/// The system counts a thread's CPU time in steps of up to 4 ms: a round takes many.
const ROWS: usize = 2_000_000;
const ROUNDS: usize = 9;
const READERS: usize = 4;

fn main() {
    let names = ["a", "b", "c", "d"].map(String::from);
    // In a place of its own: what the writer changes must not lie beside what readers look at.
    let mut buffer =
        Box::new(Buffer::new(10_000, Some(&names), &[10, 50, 200], &[], None).expect("a buffer"));
    let view = buffer.view();
    cpu_ns_per_row(&mut buffer);
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.push(cpu_ns_per_row(&mut buffer));
        beside.push(with_readers(&view, || cpu_ns_per_row(&mut buffer)));
    }
    println!("alone_ns {:.1}\nbeside_readers_ns {:.1}", median(alone), median(beside));
}

fn with_readers(view: &View, work: impl FnOnce() -> f64) -> f64 {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            let (view, done) = (view.clone(), &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    std::hint::black_box(view.snapshot(None));
                }
            });
        }
        let cost = work();
        done.store(true, Ordering::Relaxed);
        cost
    })
}

fn cpu_ns_per_row(buffer: &mut Buffer) -> f64 {
    let start = thread_cpu_ns();
    for row in 0..ROWS {
        let row = [0.3, 1.7, 2.9, 0.01].map(|factor| (row as f64 * factor).fract());
        buffer.append_row(&row).expect("finite numbers");
    }
    (thread_cpu_ns() - start) / ROWS as f64
}

fn thread_cpu_ns() -> f64 {
    let text =
        std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells a thread's CPU time");
    text.split(' ').next().and_then(|first| first.parse().ok()).expect("nanoseconds")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
