//! What a writer's row costs alone, while four readers take snapshots and read them without a pause, and while as many
//! threads do the same with a buffer that nobody writes: whatever keeps the other cores busy, a machine that others use
//! as well gives each thread less in a nanosecond.
//!
//! What readers cost is the lines of the cache that they take from the writer's core, and more than that the segments
//! they hold while they wait for a processor: the writer goes on in memory that it wrote longer ago, or on another core.
//! So it hangs on how far apart two cores are, which changes while a virtual machine runs: rounds are told apart by what
//! a line takes there and back before and after them, less than `NEAR_NS` or more. (On a machine of two cores, that is:
//! among more, nobody knows which two were asked.)
//!
//! Prints for `near` and for `far` cores, where there were rounds of the kind: how many, that time, nanoseconds of the
//! writer's CPU time per row (how long it waits for a processor says nothing about the ring), and how many times those
//! beside its readers are those beside the others.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use millstream_core::buffer::{Buffer, View};

/// The system counts a thread's CPU time in steps of up to 4 ms: a round takes twenty or more.
const ROWS: usize = 1_000_000;
const ROUNDS: usize = 25;
const READERS: usize = 4;
/// The rows a reader looks at.
const READ: usize = 1_000;
/// Cores that share a cache hand a line there and back in 60 ns, others in 350.
const NEAR_NS: f64 = 150.0;

/// What stands in lines of the cache of its own: what the writer changes, its stack too, must not lie beside what the
/// others look at.
#[repr(align(128))]
struct Apart<T>(T);

struct Round {
    apart: f64,
    alone: f64,
    elsewhere: f64,
    readers: f64,
}

fn main() {
    let [mut buffer, quiet] = [filled(), filled()];
    let [view, quiet_view] = [&buffer, &quiet].map(|buffer| Apart(buffer.0.view()));
    let round = |_| {
        let before = there_and_back_ns();
        let alone = cpu_ns_per_row(&mut buffer.0);
        let elsewhere = beside_readers(&quiet_view, || cpu_ns_per_row(&mut buffer.0));
        let readers = beside_readers(&view, || cpu_ns_per_row(&mut buffer.0));
        Round { apart: f64::max(before, there_and_back_ns()), alone, elsewhere, readers }
    };
    let (near, far): (Vec<_>, Vec<_>) = (0..ROUNDS).map(round).partition(|round| round.apart < NEAR_NS);
    for (kind, rounds) in [("near", near), ("far", far)] {
        println!("{kind}_rounds {}", rounds.len());
        let tell = |name, figure: fn(&Round) -> f64| {
            if let Some(figure) = median(rounds.iter().map(figure).collect()) {
                println!("{kind}_{name} {figure:.2}");
            }
        };
        tell("there_and_back_ns", |round| round.apart);
        tell("alone_ns", |round| round.alone);
        tell("beside_others_ns", |round| round.elsewhere);
        tell("beside_readers_ns", |round| round.readers);
        // Of neighbouring times: the machine is not the same for long.
        tell("slower", |round| round.readers / round.elsewhere);
    }
}

/// A full buffer with 48 features.
fn filled() -> Apart<Buffer> {
    let names = ["a", "b", "c", "d"].map(String::from);
    let mut buffer = Apart(Buffer::new(10_000, Some(&names), &[10, 50, 200], &[], None).expect("a buffer"));
    cpu_ns_per_row(&mut buffer.0);
    buffer
}

/// What a line of the cache takes from core to core and back: the least of some times, for two threads may first have
/// to share a core.
fn there_and_back_ns() -> f64 {
    const TIMES: usize = 50;
    const EACH: usize = 200;
    let count = Apart(AtomicUsize::new(0));
    let wait_for = |number| {
        let mut waited = 0;
        while count.0.load(Ordering::Acquire) != number {
            waited += 1;
            // The other may wait for this very core.
            if waited < 10_000 { spin_loop() } else { std::thread::yield_now() }
        }
    };
    let there_and_back = |number| {
        count.0.store(number, Ordering::Release);
        wait_for(number + 1);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for time in 0..TIMES * EACH {
                wait_for(2 * time + 1);
                count.0.store(2 * time + 2, Ordering::Release);
            }
        });
        let some = |first: usize| {
            let start = Instant::now();
            (first..first + EACH).for_each(|time| there_and_back(2 * time + 1));
            start.elapsed().as_nanos() as f64 / EACH as f64
        };
        (0..TIMES).map(|times| some(times * EACH)).fold(f64::INFINITY, f64::min)
    })
}

/// Does `work` while readers look at `view` again and again.
fn beside_readers(view: &Apart<View>, work: impl FnOnce() -> f64) -> f64 {
    let done = Apart(AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                while !done.0.load(Ordering::Relaxed) {
                    read(&view.0);
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

fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}
