//! Four rows of four values, turned so that rows become columns.

#[cfg(target_arch = "x86_64")]
use super::widest::Avx2;

/// Values across and down.
pub(super) const SIDE: usize = 4;

/// A square of values.
pub(super) type Square = [[f64; SIDE]; SIDE];

/// Who turns squares.
pub(super) trait Turn: Copy {
    /// Entry `j` of row `i` becomes entry `i` of row `j`.
    fn turn(self, rows: [&[f64; SIDE]; SIDE]) -> Square;

    /// Calls for the memory at an address that will be written, whether or not there is any.
    fn expect_writes(self, at: *const f64);
}

/// In plain Rust. The compiler makes single moves of it, which costs a third of a kernel's time; hence the twin.
#[derive(Clone, Copy)]
pub(super) struct Plainly;

impl Turn for Plainly {
    #[inline(always)]
    fn turn(self, rows: [&[f64; SIDE]; SIDE]) -> Square {
        std::array::from_fn(|j| std::array::from_fn(|i| rows[i][j]))
    }

    #[inline(always)]
    fn expect_writes(self, _: *const f64) {}
}

#[cfg(target_arch = "x86_64")]
impl Turn for Avx2 {
    #[inline(always)]
    fn turn(self, rows: [&[f64; SIDE]; SIDE]) -> Square {
        // SAFETY: `self` is the proof that the machine has AVX2.
        unsafe { turn_avx2(rows) }
    }

    #[inline(always)]
    fn expect_writes(self, at: *const f64) {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        // SAFETY: a hint, which reads nothing and takes any address.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(at.cast()) };
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn turn_avx2(rows: [&[f64; SIDE]; SIDE]) -> Square {
    use std::arch::x86_64::{
        _mm256_loadu_pd, _mm256_permute2f128_pd, _mm256_storeu_pd, _mm256_unpackhi_pd, _mm256_unpacklo_pd,
    };
    // SAFETY: each row is four values long, and any address will do.
    let [a, b, c, d] = rows.map(|row| unsafe { _mm256_loadu_pd(row.as_ptr()) });
    let (ab, ab_odd) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
    let (cd, cd_odd) = (_mm256_unpacklo_pd(c, d), _mm256_unpackhi_pd(c, d));
    let turned = [
        _mm256_permute2f128_pd::<0x20>(ab, cd),
        _mm256_permute2f128_pd::<0x20>(ab_odd, cd_odd),
        _mm256_permute2f128_pd::<0x31>(ab, cd),
        _mm256_permute2f128_pd::<0x31>(ab_odd, cd_odd),
    ];
    let mut out = [[0.0; SIDE]; SIDE];
    for (out, row) in out.iter_mut().zip(turned) {
        // SAFETY: as above.
        unsafe { _mm256_storeu_pd(out.as_mut_ptr(), row) };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Plainly, Turn};
    use crate::rolling::widest::Widest;

    #[test]
    fn rows_become_columns() {
        let rows: [[f64; 4]; 4] = std::array::from_fn(|i| std::array::from_fn(|j| (10 * i + j) as f64));
        let want: [[f64; 4]; 4] = std::array::from_fn(|j| std::array::from_fn(|i| (10 * i + j) as f64));
        assert_eq!(Plainly.turn(rows.each_ref()), want);
        for widest in Widest::all() {
            match widest {
                Widest::Any => {}
                #[cfg(target_arch = "x86_64")]
                Widest::Avx2(avx2) => assert_eq!(avx2.turn(rows.each_ref()), want),
            }
        }
    }
}
