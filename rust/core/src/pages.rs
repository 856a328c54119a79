//! Large pieces of memory on pages of 2 MiB, straight from the system.
//!
//! Memory that was never touched costs a fault for each page: on pages of 4 KiB 0.42 ns a byte, which is several times
//! the arithmetic that fills it; on pages of 2 MiB 0.11 ns. What was lent to the system for a while and is claimed back
//! costs next to nothing, unless the system took it meanwhile.

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// What the system maps at once when it is asked for huge pages.
pub(crate) const HUGE: usize = 2 << 20;

/// Numbers in a mapping of their own, at first 0.
pub(crate) struct Pages {
    start: NonNull<f64>,
    len: usize,
}

// SAFETY: the mapping belongs to the one value, and is shared as the value is.
unsafe impl Send for Pages {}
// SAFETY: as above.
unsafe impl Sync for Pages {}

impl Pages {
    /// Room for `len` numbers, on huge pages where the system has them; `None` if it has no memory.
    pub(crate) fn map(len: usize) -> Option<Self> {
        let bytes = len.checked_mul(size_of::<f64>())?.checked_next_multiple_of(HUGE)?;
        let wide = bytes.checked_add(HUGE)?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping, which is nobody's yet.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), wide, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
        };
        if start == libc::MAP_FAILED {
            return None;
        }
        let before = start.align_offset(HUGE);
        // SAFETY: the parts of the new mapping before and after the pages that are kept. Advice may be refused.
        let start = unsafe {
            let kept = start.add(before);
            if before > 0 {
                libc::munmap(start, before);
            }
            libc::munmap(kept.add(bytes), HUGE - before);
            libc::madvise(kept, bytes, libc::MADV_HUGEPAGE);
            kept
        };
        Some(Self { start: NonNull::new(start.cast())?, len })
    }

    /// Lets the system take the memory when it needs some.
    pub(crate) fn lend(self) -> Lent {
        // SAFETY: the mapping is ours, and nobody reads it until it is claimed. Advice may be refused.
        unsafe { libc::madvise(self.start.as_ptr().cast(), self.mapped(), libc::MADV_FREE) };
        Lent(self)
    }

    fn mapped(&self) -> usize {
        (self.len * size_of::<f64>()).next_multiple_of(HUGE)
    }
}

impl Deref for Pages {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        // SAFETY: as many numbers are mapped, and any bits are one.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [f64] {
        // SAFETY: as above, and the mapping is this value's alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nobody looks at it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.mapped()) };
    }
}

/// Pages that the system may take at any time, each as a whole, and put zeroes in its place.
pub(crate) struct Lent(Pages);

impl Lent {
    /// How many numbers there is room for.
    pub(crate) fn len(&self) -> usize {
        self.0.len
    }

    /// Takes the memory back. It holds anything.
    pub(crate) fn claim(mut self) -> Pages {
        let (start, mapped) = (self.0.start.as_ptr(), self.0.mapped());
        // SAFETY: the mapping is ours.
        let refused = unsafe { libc::madvise(start.cast(), mapped, libc::MADV_POPULATE_WRITE) };
        if refused != 0 {
            // An older system. A page that was written is the system's no more, whatever its size.
            const SMALLEST: usize = 4096 / size_of::<f64>();
            self.0.iter_mut().step_by(SMALLEST).for_each(|first| {
                // SAFETY: a number of the mapping. Volatile, because the write itself is what counts.
                unsafe { std::ptr::from_mut(first).write_volatile(0.0) }
            });
        }
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{HUGE, Pages};

    #[test]
    fn numbers_are_zero_at_first_and_stand_at_the_start_of_a_huge_page() {
        for len in [1, HUGE / 8, HUGE / 8 + 1, 3 * HUGE / 8 - 1] {
            let mut pages = Pages::map(len).unwrap();
            assert_eq!((pages.len(), pages.as_ptr().addr() % HUGE), (len, 0));
            assert!(pages.iter().all(|number| *number == 0.0));
            pages[len - 1] = 2.5;
            assert_eq!(pages[len - 1], 2.5);
        }
    }

    #[test]
    fn lent_memory_can_be_claimed_and_written_again() {
        let mut pages = Pages::map(HUGE / 4).unwrap();
        pages.fill(1.5);
        let address = pages.as_ptr();
        let lent = pages.lend();
        assert_eq!(lent.len(), HUGE / 4);
        let mut pages = lent.claim();
        assert_eq!(pages.as_ptr(), address);
        pages.fill(2.5);
        assert!(pages.iter().all(|number| *number == 2.5));
    }

    #[test]
    fn more_than_there_can_be_is_none() {
        assert!(Pages::map(usize::MAX).is_none());
        assert!(Pages::map(usize::MAX / 8).is_none());
    }
}
