//! Memory for results: one piece for all columns of an answer, kept for the next one when the last table that
//! shows it goes. Segments of a ring are kept as well, for later ones, where readers held them longer than it did or one
//! append displaced several.
//!
//! A fresh page costs several times the arithmetic that fills it: an answer of 72 columns by 10,000 rows took
//! 4.3 ms of page faults and 1.3 ms of work. So the memory of answers is kept, on huge pages if it is large. What is
//! too large to be kept for good is lent to the system, which takes it only when it runs short.

use std::ops::{Deref, DerefMut, Range};
use std::sync::{Arc, Mutex, PoisonError};

use crate::simd::LINE;

#[cfg(all(target_os = "linux", not(miri)))]
use crate::pages::{HUGE, Lent, Pages};

/// The most bytes kept for answers to come.
const KEPT: usize = 64 << 20;

/// The most bytes lent to the system until answers come that are larger than what is kept: one of 12 columns by
/// 10 million rows, or of 72 by 3 million.
#[cfg(all(target_os = "linux", not(miri)))]
const LENT: usize = 2 << 30;

/// Smaller pieces than this many numbers are left to the allocator, which serves them well.
const SMALL: usize = 8 << 10;

/// What is kept, oldest first.
static SPARE: Mutex<Vec<Piece>> = Mutex::new(Vec::new());

/// What is lent, oldest first.
#[cfg(all(target_os = "linux", not(miri)))]
static AWAY: Mutex<Vec<Lent>> = Mutex::new(Vec::new());

/// From one column to the next: whole cache lines, and no multiple of 1 KiB, at which columns written side by
/// side get into each other's way: appends took 5 to 10 times as long.
pub(crate) fn pitch(rows: usize) -> usize {
    let lines = rows.div_ceil(LINE);
    LINE * if lines > 0 && lines.is_multiple_of(16) { lines + 1 } else { lines }
}

/// Memory for some numbers.
enum Piece {
    /// From the allocator.
    Heap(Vec<f64>),
    /// From the system.
    #[cfg(all(target_os = "linux", not(miri)))]
    Pages(Pages),
}

impl Piece {
    fn new(len: usize) -> Self {
        #[cfg(all(target_os = "linux", not(miri)))]
        if len >= HUGE / size_of::<f64>()
            && let Some(pages) = Pages::map(len)
        {
            return Self::Pages(pages);
        }
        Self::Heap(vec![0.0; len])
    }
}

impl Deref for Piece {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        match self {
            Self::Heap(numbers) => numbers,
            #[cfg(all(target_os = "linux", not(miri)))]
            Self::Pages(numbers) => numbers,
        }
    }
}

impl DerefMut for Piece {
    fn deref_mut(&mut self) -> &mut [f64] {
        match self {
            Self::Heap(numbers) => numbers,
            #[cfg(all(target_os = "linux", not(miri)))]
            Self::Pages(numbers) => numbers,
        }
    }
}

impl Default for Piece {
    fn default() -> Self {
        Self::Heap(Vec::new())
    }
}

/// A piece of memory for numbers. What it holds at first is anything: the one who takes it writes all that is read.
#[derive(Default)]
pub struct Slab(Piece);

impl Slab {
    /// A piece that holds at least `len` numbers.
    #[must_use]
    pub fn take(len: usize) -> Self {
        if len < SMALL {
            return Self(Piece::Heap(vec![0.0; len]));
        }
        #[cfg(all(target_os = "linux", not(miri)))]
        if len > KEPT / size_of::<f64>()
            && let Some(lent) = find(&AWAY, len, Lent::len)
        {
            return Self(Piece::Pages(lent.claim()));
        }
        Self(find(&SPARE, len, |piece| piece.len()).unwrap_or_else(|| Piece::new(len)))
    }

    /// As [`Slab::take`], and whether it is new: then it takes pages only where it was written.
    #[cfg(not(loom))]
    pub(crate) fn take_growing(len: usize) -> (Self, bool) {
        let kept = if len < SMALL { None } else { find(&SPARE, len, |piece| piece.len()) };
        let new = kept.is_none();
        (Self(kept.unwrap_or_else(|| Piece::Heap(vec![0.0; len]))), new)
    }

    /// Gives the memory back to the system instead of keeping it.
    #[cfg(not(loom))]
    pub(crate) fn free(mut self) {
        drop(std::mem::take(&mut self.0));
    }

    /// The memory.
    pub fn values(&mut self) -> &mut [f64] {
        &mut self.0
    }
}

/// The newest of some pieces that holds `len` numbers and not much more: the rest would be held back from those who
/// need it.
fn find<T>(pieces: &Mutex<Vec<T>>, len: usize, holds: impl Fn(&T) -> usize) -> Option<T> {
    let mut pieces = pieces.lock().unwrap_or_else(PoisonError::into_inner);
    let fits = |piece: &T| holds(piece) >= len && holds(piece) / 2 <= len;
    pieces.iter().rposition(fits).map(|at| pieces.remove(at))
}

/// Adds a piece to some, of which the oldest go so that all hold at most `most` bytes.
fn keep<T>(pieces: &Mutex<Vec<T>>, piece: T, most: usize, holds: impl Fn(&T) -> usize) {
    let mut pieces = pieces.lock().unwrap_or_else(PoisonError::into_inner);
    pieces.push(piece);
    let bytes = |piece: &T| holds(piece) * size_of::<f64>();
    let mut all: usize = pieces.iter().map(bytes).sum();
    let kept = pieces.iter().take_while(|piece| {
        let over = all > most;
        all -= bytes(piece);
        over
    });
    let outdated = kept.count();
    let outdated: Vec<_> = pieces.drain(..outdated).collect();
    drop(pieces); // before the memory is given back, which may take long
    drop(outdated);
}

impl Drop for Slab {
    fn drop(&mut self) {
        let piece = std::mem::take(&mut self.0);
        match piece {
            piece if piece.len() < SMALL => {}
            #[cfg(all(target_os = "linux", not(miri)))]
            Piece::Pages(pages) if size_of_val(&*pages) > KEPT => {
                if size_of_val(&*pages) <= LENT {
                    keep(&AWAY, pages.lend(), LENT, Lent::len);
                }
            }
            piece if size_of_val(&*piece) > KEPT => {}
            piece => keep(&SPARE, piece, KEPT, |piece| piece.len()),
        }
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
    #[cfg(all(target_os = "linux", not(miri)))]
    use super::{AWAY, LENT};
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
        let many: Vec<_> = (0..10).map(|_| Slab::take(KEPT / BYTES / 4)).collect();
        drop(many);
        assert!(kept() <= KEPT);
        #[cfg(all(target_os = "linux", not(miri)))]
        lent_memory_comes_back_and_is_bounded();
    }

    /// Part of the test above: two at a time would take each other's memory.
    #[cfg(all(target_os = "linux", not(miri)))]
    fn lent_memory_comes_back_and_is_bounded() {
        let len = KEPT / BYTES + 4_321;
        let mut slab = Slab::take(len);
        let address = slab.values().as_ptr();
        drop(slab);
        assert!(kept() <= KEPT, "too large to keep");
        let mut slab = Slab::take(len - 4_000);
        assert_eq!(slab.values().as_ptr(), address, "lent to the system until now");
        slab.values().fill(1.5);
        assert!(slab.values().iter().all(|number| *number == 1.5));
        drop(slab);
        drop(Slab::take(LENT / BYTES + 1));
        let large: Vec<_> = (0..5).map(|_| Slab::take(LENT / BYTES / 3)).collect();
        drop(large);
        let lent: usize = AWAY.lock().unwrap().iter().map(|lent| lent.len() * BYTES).sum();
        assert!(lent <= LENT && lent > LENT / 2, "{lent}");
    }

    #[test]
    fn columns_keep_out_of_each_other_s_way() {
        for (rows, want) in [(0, 0), (1, 8), (120, 120), (128, 136), (1_000, 1_000), (8_192, 8_200)] {
            assert_eq!(pitch(rows), want, "{rows}");
        }
    }
}
