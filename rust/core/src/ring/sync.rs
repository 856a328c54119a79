//! The parts of `std` that loom replaces in model checks.

#[cfg(loom)]
pub(crate) use loom::sync::{Arc, Mutex, atomic::AtomicU64, atomic::Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::{Arc, atomic::AtomicU64, atomic::Ordering};

/// A shared pointer that is replaced as a whole.
#[cfg(not(loom))]
pub(crate) struct Swap<T>(arc_swap::ArcSwap<T>);

#[cfg(not(loom))]
impl<T> Swap<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(arc_swap::ArcSwap::from_pointee(value))
    }

    pub(crate) fn load(&self) -> Arc<T> {
        self.0.load_full()
    }

    pub(crate) fn store(&self, value: T) {
        self.0.store(Arc::new(value));
    }
}

/// A shared pointer that is replaced as a whole; loom has no model of arc-swap.
#[cfg(loom)]
pub(crate) struct Swap<T>(Mutex<Arc<T>>);

#[cfg(loom)]
impl<T> Swap<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(Arc::new(value)))
    }

    pub(crate) fn load(&self) -> Arc<T> {
        self.0.lock().expect("no panic under the lock").clone()
    }

    pub(crate) fn store(&self, value: T) {
        *self.0.lock().expect("no panic under the lock") = Arc::new(value);
    }
}
