//! What one thread at a time may change, claimed without waiting.
//!
//! Whoever claims is attached to the interpreter, and of those there is one at a time: so a claim looks and writes, and
//! swaps only in an interpreter without such a lock. A swap waits until all earlier writes are done, of which a row with
//! 48 features has a hundred: it took 4 % of such a row.

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::Python;

pub(crate) struct Claim<T> {
    taken: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through a `Claimed` only, of which there is one at a time; it may go to another thread, and
// lend the value to others.
unsafe impl<T: Send + Sync> Sync for Claim<T> {}

impl<T> Claim<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { taken: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// The right to change the value until what comes back is dropped, attached or not. `None`: another has it.
    #[inline(always)]
    pub(crate) fn claim(&self, _attached: Python<'_>) -> Option<Claimed<'_, T>> {
        let free = if cfg!(Py_GIL_DISABLED) {
            !self.taken.swap(true, Ordering::Acquire)
        } else {
            let free = !self.taken.load(Ordering::Acquire);
            // Not where it is taken: who has it may let go at any moment.
            if free {
                self.taken.store(true, Ordering::Relaxed);
            }
            free
        };
        free.then(|| Claimed(self))
    }
}

/// The one who has claimed.
pub(crate) struct Claimed<'a, T>(&'a Claim<T>);

impl<T> Drop for Claimed<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
    }
}

impl<T> Deref for Claimed<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: this is the only claim.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Claimed<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this is the only claim.
        unsafe { &mut *self.0.value.get() }
    }
}
