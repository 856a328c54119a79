//! Memory for results: one piece for all columns of an answer, kept for the next one when the last table that
//! shows it goes.
//!
//! A fresh page costs several times the arithmetic that fills it: an answer of 72 columns by 10,000 rows took
//! 4.3 ms of page faults and 1.3 ms of work.

use std::ops::{Deref, Range};
use std::sync::{Arc, Mutex, PoisonError};

/// The most bytes kept for answers to come.
const KEPT: usize = 64 << 20;

/// Smaller pieces than this many numbers are left to the allocator, which serves them well.
const SMALL: usize = 8 << 10;

/// What is kept, oldest first.
static SPARE: Mutex<Vec<Vec<f64>>> = Mutex::new(Vec::new());

/// From one column to the next: whole cache lines, and no multiple of 1 KiB, at which columns written side by
/// side get into each other's way: appends took 5 to 10 times as long.
pub(crate) fn pitch(rows: usize) -> usize {
    let lines = rows.div_ceil(8);
    8 * if lines > 0 && lines.is_multiple_of(16) { lines + 1 } else { lines }
}

/// A piece of memory for numbers. What it holds at first is anything: the one who takes it writes all of it.
#[derive(Default)]
pub struct Slab(Vec<f64>);

impl Slab {
    /// A piece that holds at least `len` numbers.
    #[must_use]
    pub fn take(len: usize) -> Self {
        if len < SMALL {
            return Self(vec![0.0; len]);
        }
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        // Much more than asked for would be held back from those who need it.
        let fits = |piece: &Vec<f64>| piece.len() >= len && piece.len() / 2 <= len;
        match spare.iter().rposition(fits) {
            Some(at) => Self(spare.remove(at)),
            None => {
                drop(spare);
                Self(vec![0.0; len])
            }
        }
    }

    /// The memory.
    pub fn values(&mut self) -> &mut [f64] {
        &mut self.0
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        let piece = std::mem::take(&mut self.0);
        if piece.len() < SMALL || size_of_val(&*piece) > KEPT {
            return;
        }
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        spare.push(piece);
        let mut bytes: usize = spare.iter().map(|piece| size_of_val(&**piece)).sum();
        let kept = spare.iter().take_while(|piece| {
            let over = bytes > KEPT;
            bytes -= size_of_val(&***piece);
            over
        });
        let outdated = kept.count();
        let outdated: Vec<_> = spare.drain(..outdated).collect();
        drop(spare); // before the memory is given back, which may take long
        drop(outdated);
    }
}

/// Numbers that stand one after the other in a slab.
#[derive(Clone, Default)]
pub struct Numbers {
    slab: Arc<Slab>,
    range: Range<usize>,
}

impl Numbers {
    /// Those at `range` of a slab.
    ///
    /// # Panics
    /// If the slab is shorter.
    #[must_use]
    pub fn new(slab: &Arc<Slab>, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= slab.0.len(), "numbers within the slab");
        Self { slab: slab.clone(), range }
    }
}

impl Deref for Numbers {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        &self.slab.0[self.range.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT, Numbers, SPARE, Slab, pitch};
    use std::sync::Arc;

    const BYTES: usize = size_of::<f64>();

    fn kept() -> usize {
        SPARE.lock().unwrap().iter().map(|piece| piece.len() * BYTES).sum()
    }

    #[test]
    fn memory_comes_back_when_the_last_numbers_go_and_is_bounded() {
        // A length that no other test takes.
        let len = 1_234_567;
        let mut slab = Slab::take(len);
        slab.values()[7] = 3.5;
        let address = slab.values().as_ptr();
        let slab = Arc::new(slab);
        let numbers = Numbers::new(&slab, 7..9);
        drop(slab);
        let mut other = Slab::take(len);
        assert_ne!(other.values().as_ptr(), address, "still shown");
        assert_eq!(numbers.clone()[0], 3.5);
        drop(numbers);
        assert_eq!(Slab::take(len).values().as_ptr(), address, "kept for the next");
        drop(other);
        drop(Slab::take(KEPT / BYTES + 1));
        let many: Vec<_> = (0..10).map(|_| Slab::take(KEPT / BYTES / 4)).collect();
        drop(many);
        assert!(kept() <= KEPT);
    }

    #[test]
    fn columns_keep_out_of_each_other_s_way() {
        for (rows, want) in [(0, 0), (1, 8), (120, 120), (128, 136), (1_000, 1_000), (8_192, 8_200)] {
            assert_eq!(pitch(rows), want, "{rows}");
        }
    }
}
