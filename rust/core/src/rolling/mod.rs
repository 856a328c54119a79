//! Rolling mean, standard deviation, minimum and maximum: the anchored van Herk kernel.
//!
//! A window of `w` rows is the suffix of one block plus the prefix of the next, where blocks of `w` rows
//! start at every `sequence % w == 0`. Each of the two parts is folded outwards from the border between the
//! blocks, relative to the part's own element next to that border, and a window is the two parts merged
//! (Chan, Golub, LeVeque 1983). Nothing is ever subtracted again, so:
//!
//! - a value leaves without a trace (infinities too) and there is no cancellation: the standard deviation is
//!   within 1e-11 of the exact one on any offset, constants give exactly 0;
//! - a window's result depends on the rows inside it and on its sequence alone, so every path (the whole
//!   column, a tail, row by row at append) gives the same bits.
//!
//! The cost per row and window is constant. NaN is a missing value. Where the differences of a window's
//! values, their sum or their squares pass the largest float, mean and standard deviation are infinite or NaN.

#[cfg(not(loom))]
mod abreast;
mod block;
mod dispatch;
mod fold;
mod live;
mod lockstep;
#[cfg(all(test, not(loom)))]
mod naive;
mod part;
mod tail;
#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(not(loom))]
pub(crate) use abreast::{ABREAST, FEW, abreast};
pub use live::Live;
pub use tail::{Series, tail};
#[cfg(not(loom))]
pub(crate) use tail::{all_finite, even};

use crate::simd::Widest;

/// A statistic over a window of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stat {
    /// Arithmetic mean.
    Mean,
    /// Sample standard deviation (`n - 1`): missing for fewer than two values.
    Std,
    /// Smallest value.
    Min,
    /// Largest value.
    Max,
}

impl Stat {
    /// All of them, in the order of feature names.
    pub const ALL: [Self; 4] = [Self::Mean, Self::Std, Self::Min, Self::Max];

    /// As it is written in feature names and requests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Std => "std",
            Self::Min => "min",
            Self::Max => "max",
        }
    }
}

/// How many rows a window spans and how many of them must hold a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    rows: usize,
    min_samples: usize,
}

impl Window {
    /// A window of `rows` rows that is missing where fewer than `min_samples` of them hold a value
    /// (`None`: all of them must; never more than `rows`, never fewer than one).
    ///
    /// # Panics
    /// If `rows` is 0.
    #[must_use]
    pub fn new(rows: usize, min_samples: Option<usize>) -> Self {
        assert!(rows > 0, "a window spans at least one row");
        Self { rows, min_samples: min_samples.unwrap_or(rows).clamp(1, rows) }
    }

    /// The rows it spans.
    #[must_use]
    pub const fn rows(self) -> usize {
        self.rows
    }
}

/// Where the four statistics of one window go, each as long as the rows asked for.
pub type Results<'a> = [&'a mut [f64]; 4];

/// Memory the kernel works in, kept between calls so that no call pays for fresh pages.
pub struct Scratch {
    machine: Widest,
    lockstep: lockstep::Memory,
    suffix: Vec<part::Part>,
    #[cfg(not(loom))]
    abreast: Vec<fold::Half<ABREAST>>,
    /// Results nobody asked for.
    #[cfg(not(loom))]
    pub(crate) unwanted: Vec<f64>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self::on(Widest::of_this_machine())
    }
}

impl Scratch {
    fn on(machine: Widest) -> Self {
        Self {
            machine,
            lockstep: lockstep::Memory::default(),
            suffix: Vec::new(),
            #[cfg(not(loom))]
            abreast: Vec::new(),
            #[cfg(not(loom))]
            unwanted: Vec::new(),
        }
    }

    /// Whether results are to go past the caches, because there are more of them than caches hold.
    #[cfg(not(loom))]
    pub(crate) fn past_caches(&mut self, past: bool) {
        self.lockstep.past_caches = past;
    }

    /// The bytes it holds.
    #[cfg(not(loom))]
    pub(crate) fn bytes(&self) -> usize {
        self.lockstep.bytes()
            + self.suffix.capacity() * size_of::<part::Part>()
            + self.abreast.capacity() * size_of::<fold::Half<ABREAST>>()
            + self.unwanted.capacity() * size_of::<f64>()
    }
}
