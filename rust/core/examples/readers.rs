//! What a writer's row costs alone, while four readers take snapshots and read them without a pause, and while as many
//! threads count to themselves: a machine that others use as well gives a busy process less in each nanosecond, whatever
//! it is busy with. Prints nanoseconds of the writer's CPU time per row (how long it waits for a processor says nothing
//! about the ring), and how many times those beside readers are those beside the others.

use std::sync::atomic::{AtomicBool, Ordering};

use millstream_core::buffer::{Buffer, View};

/// The system counts a thread's CPU time in steps of up to 4 ms: a round takes many.
const ROWS: usize = 2_000_000;
const ROUNDS: usize = 9;
const READERS: usize = 4;
/// The rows a reader looks at.
const READ: usize = 1_000;

/// What stands in lines of the cache of its own: what the writer changes, its stack too, must not lie beside what the
/// others look at.
#[repr(align(128))]
struct Apart<T>(T);

fn main() {
    let names = ["a", "b", "c", "d"].map(String::from);
    let mut buffer = Apart(Buffer::new(10_000, Some(&names), &[10, 50, 200], &[], None).expect("a buffer"));
    let view = Apart(buffer.0.view());
    cpu_ns_per_row(&mut buffer.0);
    let mut figures = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        figures[0].push(cpu_ns_per_row(&mut buffer.0));
        figures[1].push(beside(std::hint::spin_loop, || cpu_ns_per_row(&mut buffer.0)));
        figures[2].push(beside(|| read(&view.0), || cpu_ns_per_row(&mut buffer.0)));
    }
    // Of neighbouring rounds: the machine is not the same for long.
    let [_, busy, readers] = &figures;
    println!(
        "slower {:.3}",
        median(readers.iter().zip(busy).map(|(readers, busy)| readers / busy).collect())
    );
    for (name, figures) in ["alone_ns", "beside_busy_ns", "beside_readers_ns"].into_iter().zip(figures) {
        println!("{name} {:.1}", median(figures));
    }
}

/// Does `work` while as many threads as there are readers do `other` again and again.
fn beside(other: impl Fn() + Send + Sync, work: impl FnOnce() -> f64) -> f64 {
    let done = Apart(AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                while !done.0.load(Ordering::Relaxed) {
                    other();
                }
            });
        }
        let cost = work();
        done.0.store(true, Ordering::Relaxed);
        cost
    })
}

/// The sums of the newest rows.
fn read(view: &View) {
    let table = view.snapshot(Some(READ));
    let sums = (0..table.columns().len()).filter_map(|at| Some(table.floats(at)?.iter().sum::<f64>()));
    std::hint::black_box(sums.sum::<f64>());
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
