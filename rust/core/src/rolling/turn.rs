//! Eight rows of eight values, turned so that rows become columns.

#[cfg(target_arch = "x86_64")]
use super::widest::{Avx2, Avx512};

/// Values across and down.
pub(super) const SIDE: usize = 8;

/// A square of values, a line to a row.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(64))]
pub(super) struct Square(pub(super) [[f64; SIDE]; SIDE]);

/// How many rows before it is written memory is called for: a line of it comes from the third-level cache in some
/// 50 ns, which no store can hide behind 31 others. A tenth of the time of a large answer.
#[cfg(target_arch = "x86_64")]
const AHEAD: usize = 2 * SIDE;

/// Where in a column each row of a square goes.
#[derive(Clone, Copy)]
pub(super) struct Starts {
    starts: [usize; SIDE],
    last: usize,
}

impl Starts {
    pub(super) fn new(starts: [usize; SIDE]) -> Self {
        Self { starts, last: starts.into_iter().fold(0, usize::max) }
    }

    pub(super) fn get(&self) -> &[usize; SIDE] {
        &self.starts
    }
}

/// Who turns squares.
pub(super) trait Turn: Copy {
    /// Entry `j` of row `i` becomes entry `i` of row `j`.
    fn turn(self, rows: [&[f64; SIDE]; SIDE]) -> Square;

    /// Writes row `j` of the turned square to `out` from `row` after start `j` on.
    #[inline(always)]
    fn turn_out(self, square: &Square, starts: &Starts, row: usize, out: &mut [f64]) {
        for (start, turned) in starts.starts.iter().zip(self.turn(square.0.each_ref()).0) {
            out[start + row..][..SIDE].copy_from_slice(&turned);
        }
    }
}

/// In plain Rust. The compiler makes single moves of it, which costs a third of a kernel's time; hence the twins.
#[derive(Clone, Copy)]
pub(super) struct Plainly;

impl Turn for Plainly {
    #[inline(always)]
    fn turn(self, rows: [&[f64; SIDE]; SIDE]) -> Square {
        Square(std::array::from_fn(|j| std::array::from_fn(|i| rows[i][j])))
    }
}

#[cfg(target_arch = "x86_64")]
impl Turn for Avx2 {
    #[inline(always)]
    fn turn(self, rows: [&[f64; SIDE]; SIDE]) -> Square {
        // SAFETY: `self` is the proof that the machine has AVX2.
        unsafe { turn_avx2(rows) }
    }

    #[inline(always)]
    fn turn_out(self, square: &Square, starts: &Starts, row: usize, out: &mut [f64]) {
        write(&self.turn(square.0.each_ref()), starts, row, out);
    }
}

#[cfg(target_arch = "x86_64")]
impl Turn for Avx512 {
    #[inline(always)]
    fn turn(self, rows: [&[f64; SIDE]; SIDE]) -> Square {
        // SAFETY: `self` is the proof that the machine has AVX-512.
        unsafe { turn_avx512(rows) }
    }

    #[inline(always)]
    fn turn_out(self, square: &Square, starts: &Starts, row: usize, out: &mut [f64]) {
        write(&self.turn(square.0.each_ref()), starts, row, out);
    }
}

/// The rows of a square to their places, and a call for the memory of those that come next, whether or not there is any.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn write(square: &Square, starts: &Starts, row: usize, out: &mut [f64]) {
    use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
    assert!(starts.last + row + SIDE <= out.len(), "a place for each value");
    for (start, values) in starts.starts.iter().zip(square.0) {
        // SAFETY: no start is greater than the last, from which on there is room. The hint takes any address.
        unsafe {
            let to = out.as_mut_ptr().add(start + row);
            _mm_prefetch::<_MM_HINT_ET0>(to.wrapping_add(AHEAD).cast());
            to.cast::<[f64; SIDE]>().write(values);
        }
    }
}

/// A quarter at a time.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn turn_avx2(rows: [&[f64; SIDE]; SIDE]) -> Square {
    use std::arch::x86_64::{
        _mm256_loadu_pd, _mm256_permute2f128_pd, _mm256_storeu_pd, _mm256_unpackhi_pd, _mm256_unpacklo_pd,
    };
    const HALF: usize = SIDE / 2;
    let mut out = Square([[0.0; SIDE]; SIDE]);
    for (down, rows) in rows.as_chunks::<HALF>().0.iter().enumerate() {
        for (across, out) in out.0.as_chunks_mut::<HALF>().0.iter_mut().enumerate() {
            // SAFETY: each half of a row is four values long, and any address will do.
            let load = |row: &[f64; SIDE]| unsafe { _mm256_loadu_pd(row[across * HALF..][..HALF].as_ptr()) };
            let [a, b, c, d] = rows.map(load);
            let (ab, ab_odd) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
            let (cd, cd_odd) = (_mm256_unpacklo_pd(c, d), _mm256_unpackhi_pd(c, d));
            let turned = [
                _mm256_permute2f128_pd::<0x20>(ab, cd),
                _mm256_permute2f128_pd::<0x20>(ab_odd, cd_odd),
                _mm256_permute2f128_pd::<0x31>(ab, cd),
                _mm256_permute2f128_pd::<0x31>(ab_odd, cd_odd),
            ];
            for (out, turned) in out.iter_mut().zip(turned) {
                // SAFETY: as above.
                unsafe { _mm256_storeu_pd(out[down * HALF..][..HALF].as_mut_ptr(), turned) };
            }
        }
    }
    out
}

/// Pairs of values change places, then pairs of those, then halves.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
fn turn_avx512(rows: [&[f64; SIDE]; SIDE]) -> Square {
    use std::arch::x86_64::{
        __m512d, _mm512_loadu_pd, _mm512_shuffle_f64x2, _mm512_storeu_pd, _mm512_unpackhi_pd,
        _mm512_unpacklo_pd,
    };
    // SAFETY: each row is eight values long, and any address will do.
    let rows = rows.map(|row| unsafe { _mm512_loadu_pd(row.as_ptr()) });
    let pair =
        |at: usize| (_mm512_unpacklo_pd(rows[at], rows[at + 1]), _mm512_unpackhi_pd(rows[at], rows[at + 1]));
    let [(ab, ab_odd), (cd, cd_odd), (ef, ef_odd), (gh, gh_odd)] = [pair(0), pair(2), pair(4), pair(6)];
    // Of two registers of four pairs each: pairs 0 and 2 of both, or 1 and 3.
    let even = |a: __m512d, b: __m512d| _mm512_shuffle_f64x2::<0x88>(a, b);
    let odd = |a: __m512d, b: __m512d| _mm512_shuffle_f64x2::<0xdd>(a, b);
    let columns = |ab, cd, ef, gh| {
        let [first, second] = [(even(ab, cd), even(ef, gh)), (odd(ab, cd), odd(ef, gh))];
        [even(first.0, first.1), even(second.0, second.1), odd(first.0, first.1), odd(second.0, second.1)]
    };
    let (evens, odds) = (columns(ab, cd, ef, gh), columns(ab_odd, cd_odd, ef_odd, gh_odd));
    let mut out = Square([[0.0; SIDE]; SIDE]);
    for (out, (even, odd)) in out.0.as_chunks_mut::<2>().0.iter_mut().zip(evens.into_iter().zip(odds)) {
        // SAFETY: as above.
        unsafe {
            _mm512_storeu_pd(out[0].as_mut_ptr(), even);
            _mm512_storeu_pd(out[1].as_mut_ptr(), odd);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Plainly, Square, Turn};
    use crate::rolling::widest::Widest;

    #[test]
    fn rows_become_columns() {
        let rows = Square(std::array::from_fn(|i| std::array::from_fn(|j| (10 * i + j) as f64)));
        let want = Square(std::array::from_fn(|j| std::array::from_fn(|i| (10 * i + j) as f64)));
        for widest in Widest::all() {
            let turned = match widest {
                Widest::Any => Plainly.turn(rows.0.each_ref()),
                #[cfg(target_arch = "x86_64")]
                Widest::Avx2(avx2) => avx2.turn(rows.0.each_ref()),
                #[cfg(target_arch = "x86_64")]
                Widest::Avx512(avx512) => avx512.turn(rows.0.each_ref()),
            };
            assert_eq!(turned, want, "{widest:?}");
        }
    }
}
