//! The widest vectors the machine at hand has, and what only they do well.
//!
//! What computes on them is plain Rust that the compiler turns into vector code once more for AVX2 and for AVX-512, so
//! all give the same bits; what the compiler does not find stands in [`turn`], behind a twin in plain Rust.

pub(crate) mod turn;

/// Numbers of a line of the cache.
pub(crate) const LINE: usize = 64 / size_of::<f64>();

/// So many numbers are still in the nearest cache when they are looked at after they were copied.
pub(crate) const PIECE: usize = 1_024;

/// More numbers than this are written past the caches: 16 MiB, about half of what a machine's last cache holds. They are
/// in none of them then, but an answer of 20 MB takes three quarters of the time, and one of 100 MB half of it.
#[cfg(not(loom))]
pub(crate) const CACHED: usize = (16 << 20) / size_of::<f64>();

/// How far from the start of a line numbers begin.
pub(crate) fn place_in_line(numbers: &[f64]) -> usize {
    numbers.as_ptr().addr() / size_of::<f64>() % LINE
}

/// Which code a machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Widest {
    /// What the build's target has.
    Any,
    /// 256-bit vectors.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// 512-bit vectors.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

/// Proof that the machine has AVX2.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx2(());

/// Proof that the machine has AVX2 and AVX-512, with short vectors and all operations on 64 bits.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx512(());

impl Widest {
    /// The widest there is.
    pub(crate) fn of_this_machine() -> Self {
        Self::all().next().unwrap_or(Self::Any)
    }

    /// All there are on this machine, the widest first.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        let wide = {
            let avx2 = is_x86_feature_detected!("avx2");
            let avx512 = avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq");
            [avx512.then_some(Self::Avx512(Avx512(()))), avx2.then_some(Self::Avx2(Avx2(())))]
        };
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        let wide = [None];
        wide.into_iter().flatten().chain([Self::Any])
    }
}

#[cfg(target_arch = "x86_64")]
impl From<Avx512> for Avx2 {
    fn from(Avx512(()): Avx512) -> Self {
        Self(()) // found together
    }
}
