//! The kernels on the widest vectors the machine at hand has. Measured: 48 features of a row are kept up in about 60 % of
//! the time with AVX2, and no faster with AVX-512 (four columns fill 256 bits), so there is no third code for that; 48
//! columns of 10,000 rows take 1.7 times the time without AVX2. With AVX-512 they take 5 % more, and 100,000 rows nine
//! tenths.

use super::live;
use super::lockstep::{self, Memory};
use crate::simd::Widest;
use crate::simd::turn::Plainly;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};

/// Lanes of plain Rust: every x86-64 and every ARM has vectors of two values.
const PLAIN_LANES: usize = 2;

impl Widest {
    /// For answers that go past the caches, or for others: what AVX-512 gains is that each of its stores is a whole line
    /// of the caches.
    pub(super) fn for_answers(self, past_caches: bool) -> Self {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(avx512) if !past_caches => Self::Avx2(avx512.into()),
            widest => widest,
        }
    }

    /// How many blocks [`Widest::blocks`] takes side by side: as many as a vector has values.
    pub(super) const fn lanes(self) -> usize {
        match self {
            Self::Any => PLAIN_LANES,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => 4,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => 8,
        }
    }

    /// [`lockstep::blocks`].
    pub(super) fn blocks(self, values: &[f64], rows: usize, memory: &mut Memory, out: super::Results<'_>) {
        match self {
            Self::Any => lockstep::blocks::<PLAIN_LANES>(values, rows, Plainly, memory, out),
            // SAFETY: the proof is made only where the machine was found to have AVX2.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => unsafe { blocks_avx2(values, rows, avx2, memory, out) },
            // Half of the lanes would be empty.
            // SAFETY: who has AVX-512 has AVX2.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(avx512) if out[0].len() / rows <= 4 => unsafe {
                blocks_avx2(values, rows, avx512.into(), memory, out);
            },
            // SAFETY: the proof is made only where the machine was found to have it.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(avx512) => unsafe { blocks_avx512(values, rows, avx512, memory, out) },
        }
    }

    /// [`live::Columns::push`]. The values go over in registers: those just written one by one could not be read as a
    /// vector before all earlier writes are done, which took 4 % of a row with 48 features.
    #[inline(always)]
    pub(super) fn push<const L: usize>(
        self,
        columns: &mut live::Columns<L>,
        sequence: u64,
        values: [f64; L],
    ) -> bool {
        const { assert!(L <= 4, "no more than four columns side by side") };
        let [a, b, c, d] = std::array::from_fn(|lane| if lane < L { values[lane] } else { 0.0 });
        match self {
            Self::Any => push(columns, sequence, a, b, c, d),
            // SAFETY: the proofs are made only where the machine was found to have AVX2.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) | Self::Avx512(_) => unsafe { push_avx2(columns, sequence, a, b, c, d) },
        }
    }
}

fn push<const L: usize>(
    columns: &mut live::Columns<L>,
    sequence: u64,
    a: f64,
    b: f64,
    c: f64,
    d: f64,
) -> bool {
    columns.push(sequence, &first([a, b, c, d]))
}

#[inline(always)]
fn first<const L: usize>(values: [f64; 4]) -> [f64; L] {
    std::array::from_fn(|lane| values[lane])
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn push_avx2<const L: usize>(
    columns: &mut live::Columns<L>,
    sequence: u64,
    a: f64,
    b: f64,
    c: f64,
    d: f64,
) -> bool {
    columns.push(sequence, &first([a, b, c, d]))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn blocks_avx2(values: &[f64], rows: usize, avx2: Avx2, memory: &mut Memory, out: super::Results<'_>) {
    lockstep::blocks(values, rows, avx2, memory, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq")]
fn blocks_avx512(values: &[f64], rows: usize, avx512: Avx512, memory: &mut Memory, out: super::Results<'_>) {
    lockstep::blocks(values, rows, avx512, memory, out);
}
