//! The widest vectors the machine at hand has. What runs on them is plain Rust that the compiler turns into vector
//! code twice, for every x86-64 and for AVX2, so both give the same bits. Measured: 48 features of a row are kept up
//! in about 60 % of the time with AVX2.

use super::lockstep::{self, Memory};
use super::{live, turn};

/// Which code a machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Widest {
    /// What the build's target has.
    Any,
    /// 256-bit vectors.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
}

/// Proof that the machine has AVX2.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Avx2(());

impl Widest {
    pub(super) fn of_this_machine() -> Self {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        if is_x86_feature_detected!("avx2") {
            return Self::Avx2(Avx2(()));
        }
        Self::Any
    }

    /// All there are on this machine.
    #[cfg(test)]
    pub(super) fn all() -> Vec<Self> {
        let mut all = vec![Self::Any, Self::of_this_machine()];
        all.dedup();
        all
    }

    /// [`lockstep::blocks`].
    pub(super) fn blocks(self, values: &[f64], rows: usize, memory: &mut Memory, out: super::Columns<'_>) {
        match self {
            Self::Any => lockstep::blocks(values, rows, turn::Plainly, memory, out),
            // SAFETY: the proof is made only where the machine was found to have AVX2.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => unsafe { blocks_avx2(values, rows, avx2, memory, out) },
        }
    }

    /// [`live::Columns::push`].
    #[inline(always)]
    pub(super) fn push<const L: usize>(
        self,
        columns: &mut live::Columns<L>,
        sequence: u64,
        values: &[f64],
        out: &mut [f64],
    ) -> bool {
        match self {
            Self::Any => push(columns, sequence, values, out),
            // SAFETY: the proof is made only where the machine was found to have AVX2.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => unsafe { push_avx2(columns, sequence, values, out) },
        }
    }
}

fn push<const L: usize>(
    columns: &mut live::Columns<L>,
    sequence: u64,
    values: &[f64],
    out: &mut [f64],
) -> bool {
    columns.push(sequence, values, out)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn push_avx2<const L: usize>(
    columns: &mut live::Columns<L>,
    sequence: u64,
    values: &[f64],
    out: &mut [f64],
) -> bool {
    columns.push(sequence, values, out)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn blocks_avx2(values: &[f64], rows: usize, avx2: Avx2, memory: &mut Memory, out: super::Columns<'_>) {
    lockstep::blocks(values, rows, avx2, memory, out);
}
