//! Squares of values, turned from along memory to across the lanes and back.

#[cfg(target_arch = "x86_64")]
use std::ptr::NonNull;

#[cfg(target_arch = "x86_64")]
use super::{Avx2, Avx512};

/// The rows of a square: each lane's are a line of the cache.
pub(crate) const SIDE: usize = super::LINE;

/// Neighbours in memory.
type Line = [f64; SIDE];

/// The values of L lanes in as many rows as a line holds.
type Square<const L: usize> = [[f64; L]; SIDE];

/// Where in a column the line of each lane goes.
#[derive(Clone, Copy)]
pub(crate) struct Starts<const L: usize> {
    starts: [usize; L],
    last: usize,
    past_caches: bool,
}

impl<const L: usize> Starts<L> {
    /// `past_caches`: whole lines go to memory without a look at what stood there, and are in no cache then.
    pub(crate) fn new(starts: [usize; L], past_caches: bool) -> Self {
        Self { starts, last: starts.into_iter().fold(0, usize::max), past_caches }
    }

    pub(crate) fn get(&self) -> &[usize; L] {
        &self.starts
    }
}

/// Who turns squares of L lanes.
pub(crate) trait Turn<const L: usize>: Copy {
    /// Value `i` of line `j` becomes that of lane `j` in row `i`.
    fn across(self, lines: [&Line; L], square: &mut Square<L>);

    /// Writes the values of lane `j` to `out`, one behind the other, from `row` after start `j` on. What goes past the
    /// caches is there for others after [`Turn::finish`].
    fn along(self, square: [&[f64; L]; SIDE], starts: &Starts<L>, row: usize, out: &mut [f64]);

    /// Brings in some of the memory that row `row` goes to, so that all lines have come when a run ends: one comes from
    /// the third-level cache in some 50 ns, which no store can hide behind 31 others. A fifth of the time of a large
    /// answer; nothing goes through the caches that is to go past them.
    #[inline(always)]
    fn fetch(self, _: &Starts<L>, _row: usize, _: &[&mut [f64]; 4]) {}

    /// Ends what was written with these starts.
    #[inline(always)]
    fn finish(self, _: &Starts<L>) {}
}

/// In plain Rust. The compiler makes single moves of it, which costs a third of a kernel's time; hence the twins.
#[derive(Clone, Copy)]
pub(crate) struct Plainly;

impl<const L: usize> Turn<L> for Plainly {
    #[inline(always)]
    fn across(self, lines: [&Line; L], square: &mut Square<L>) {
        *square = std::array::from_fn(|i| std::array::from_fn(|j| lines[j][i]));
    }

    #[inline(always)]
    fn along(self, square: [&[f64; L]; SIDE], starts: &Starts<L>, row: usize, out: &mut [f64]) {
        for (lane, start) in starts.starts.iter().enumerate() {
            let line: Line = std::array::from_fn(|i| square[i][lane]);
            out[start + row..][..SIDE].copy_from_slice(&line);
        }
    }
}

/// Four lanes, each half a line at a time.
#[cfg(target_arch = "x86_64")]
impl Turn<4> for Avx2 {
    #[inline(always)]
    fn across(self, lines: [&Line; 4], square: &mut Square<4>) {
        // SAFETY: `self` is the proof that the machine has AVX2.
        unsafe { across_avx2(lines, square) }
    }

    #[inline(always)]
    fn along(self, square: [&[f64; 4]; SIDE], starts: &Starts<4>, row: usize, out: &mut [f64]) {
        // SAFETY: `self` is the proof.
        unsafe { along_avx2(square, starts, row, out) }
    }

    #[inline(always)]
    fn fetch(self, starts: &Starts<4>, row: usize, out: &[&mut [f64]; 4]) {
        fetch(starts, row, out);
    }

    #[inline(always)]
    fn finish(self, starts: &Starts<4>) {
        finish(starts);
    }
}

#[cfg(target_arch = "x86_64")]
impl Turn<8> for Avx512 {
    #[inline(always)]
    fn across(self, lines: [&Line; 8], square: &mut Square<8>) {
        // SAFETY: `self` is the proof that the machine has AVX-512.
        unsafe { across_avx512(lines, square) }
    }

    #[inline(always)]
    fn along(self, square: [&[f64; 8]; SIDE], starts: &Starts<8>, row: usize, out: &mut [f64]) {
        // SAFETY: `self` is the proof.
        unsafe { along_avx512(square, starts, row, out) }
    }

    #[inline(always)]
    fn fetch(self, starts: &Starts<8>, row: usize, out: &[&mut [f64]; 4]) {
        fetch(starts, row, out);
    }

    #[inline(always)]
    fn finish(self, starts: &Starts<8>) {
        finish(starts);
    }
}

/// The places of a square's lines to `put`, each with its lane and whether it goes past the caches.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn places<const L: usize>(
    starts: &Starts<L>,
    row: usize,
    out: &mut [f64],
    mut put: impl FnMut(usize, NonNull<f64>, bool),
) {
    // Places in slices: their sum does not wrap. To subtract instead took 7 % of the rolling kernels' time.
    assert!(starts.last + row + SIDE <= out.len(), "a place for each value");
    // SAFETY: no start is greater than the last, from which on there is room.
    let place = |start: usize, out: &mut [f64]| unsafe { NonNull::from(out).cast::<f64>().add(start + row) };
    // Two loops: with no choice in it the compiler unrolls the first, and keeps the square in registers.
    if !starts.past_caches {
        for (lane, start) in starts.starts.iter().enumerate() {
            put(lane, place(*start, out), false);
        }
        return;
    }
    for (lane, start) in starts.starts.iter().enumerate() {
        let to = place(*start, out);
        put(lane, to, to.addr().get().is_multiple_of(size_of::<Line>()));
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn fetch<const L: usize>(starts: &Starts<L>, row: usize, out: &[&mut [f64]; 4]) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    if starts.past_caches {
        return;
    }
    // A lane's line of a statistic is fetched in one of SIDE rows: all four statistics with eight lanes, two with four.
    let place = starts.starts[row % L] + row;
    let some = 4 * L / SIDE;
    for out in &out[row / L * some % 4..][..some] {
        // SAFETY: every x86-64 has it, and the hint takes any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(out.as_ptr().wrapping_add(place).cast()) };
    }
}

/// What was written past the caches comes before what is written after.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn finish<const L: usize>(starts: &Starts<L>) {
    if starts.past_caches {
        // SAFETY: every x86-64 has it.
        unsafe { std::arch::x86_64::_mm_sfence() };
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn across_avx2(lines: [&Line; 4], square: &mut Square<4>) {
    use std::arch::x86_64::{_mm256_loadu_pd, _mm256_storeu_pd};
    for (half, rows) in square.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        // SAFETY: each half of a line is four values long, and any address will do.
        let turned = quarters(lines.map(|line| unsafe { _mm256_loadu_pd(line[half * 4..][..4].as_ptr()) }));
        for (row, turned) in rows.iter_mut().zip(turned) {
            // SAFETY: a row is four values long.
            unsafe { _mm256_storeu_pd(row.as_mut_ptr(), turned) };
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn along_avx2(square: [&[f64; 4]; SIDE], starts: &Starts<4>, row: usize, out: &mut [f64]) {
    use std::arch::x86_64::{_mm256_loadu_pd, _mm256_storeu_pd, _mm256_stream_pd};
    let [first, second] = [0, 4].map(|half| {
        // SAFETY: a row is four values long.
        quarters(std::array::from_fn(|i| unsafe { _mm256_loadu_pd(square[half + i].as_ptr()) }))
    });
    places(starts, row, out, |lane, to, past_caches| {
        // SAFETY: a place for a line, which begins one of the cache's where it is past the caches; `finish` lets nobody
        // look at it before it is there.
        unsafe {
            let (to, behind) = (to.as_ptr(), to.add(4).as_ptr());
            if past_caches {
                _mm256_stream_pd(to, first[lane]);
                _mm256_stream_pd(behind, second[lane]);
            } else {
                _mm256_storeu_pd(to, first[lane]);
                _mm256_storeu_pd(behind, second[lane]);
            }
        }
    });
}

/// Entry `j` of vector `i` becomes entry `i` of vector `j`.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn quarters([a, b, c, d]: [std::arch::x86_64::__m256d; 4]) -> [std::arch::x86_64::__m256d; 4] {
    use std::arch::x86_64::{_mm256_permute2f128_pd, _mm256_unpackhi_pd, _mm256_unpacklo_pd};
    let (ab, ab_odd) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
    let (cd, cd_odd) = (_mm256_unpacklo_pd(c, d), _mm256_unpackhi_pd(c, d));
    [
        _mm256_permute2f128_pd::<0x20>(ab, cd),
        _mm256_permute2f128_pd::<0x20>(ab_odd, cd_odd),
        _mm256_permute2f128_pd::<0x31>(ab, cd),
        _mm256_permute2f128_pd::<0x31>(ab_odd, cd_odd),
    ]
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
fn across_avx512(lines: [&Line; 8], square: &mut Square<8>) {
    use std::arch::x86_64::{_mm512_loadu_pd, _mm512_storeu_pd};
    // SAFETY: each line is eight values long, and any address will do.
    let turned = eighths(lines.map(|line| unsafe { _mm512_loadu_pd(line.as_ptr()) }));
    for (row, turned) in square.iter_mut().zip(turned) {
        // SAFETY: as above.
        unsafe { _mm512_storeu_pd(row.as_mut_ptr(), turned) };
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
fn along_avx512(square: [&[f64; 8]; SIDE], starts: &Starts<8>, row: usize, out: &mut [f64]) {
    use std::arch::x86_64::{_mm512_loadu_pd, _mm512_storeu_pd, _mm512_stream_pd};
    // SAFETY: a row is eight values long.
    let lines = eighths(square.map(|row| unsafe { _mm512_loadu_pd(row.as_ptr()) }));
    places(starts, row, out, |lane, to, past_caches| {
        // SAFETY: a place for a line, which begins one of the cache's where it is past the caches; `finish` lets nobody
        // look at it before it is there.
        unsafe {
            if past_caches {
                _mm512_stream_pd(to.as_ptr(), lines[lane]);
            } else {
                _mm512_storeu_pd(to.as_ptr(), lines[lane]);
            }
        }
    });
}

/// Entry `j` of vector `i` becomes entry `i` of vector `j`: pairs of values change places, then pairs of those, then
/// halves.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
fn eighths(rows: [std::arch::x86_64::__m512d; 8]) -> [std::arch::x86_64::__m512d; 8] {
    use std::arch::x86_64::{__m512d, _mm512_shuffle_f64x2, _mm512_unpackhi_pd, _mm512_unpacklo_pd};
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
    let [a, c, e, g] = columns(ab, cd, ef, gh);
    let [b, d, f, h] = columns(ab_odd, cd_odd, ef_odd, gh_odd);
    [a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use super::{Plainly, SIDE, Square, Starts, Turn};
    use crate::simd::Widest;

    fn there_and_back<const L: usize>(turn: impl Turn<L>, widest: Widest) {
        let lines: [[f64; SIDE]; L] = std::array::from_fn(|j| std::array::from_fn(|i| (10 * i + j) as f64));
        let mut square = [[0.0; L]; SIDE];
        turn.across(lines.each_ref(), &mut square);
        let want: Square<L> = std::array::from_fn(|i| std::array::from_fn(|j| (10 * i + j) as f64));
        assert_eq!(square, want, "{widest:?}");
        for past_caches in [false, true] {
            let starts = Starts::new(std::array::from_fn(|lane| (L - 1 - lane) * 11), past_caches);
            let mut out = vec![-1.0; 11 * L];
            turn.along(square.each_ref(), &starts, 3, &mut out);
            turn.finish(&starts);
            for (lane, line) in lines.iter().rev().enumerate() {
                assert_eq!(out[lane * 11 + 3..][..SIDE], *line, "{widest:?}");
            }
            assert_eq!(out.iter().filter(|value| **value == -1.0).count(), 3 * L);
        }
    }

    #[test]
    fn lines_become_lanes_and_lanes_lines() {
        for widest in Widest::all() {
            match widest {
                Widest::Any => there_and_back::<2>(Plainly, widest),
                #[cfg(target_arch = "x86_64")]
                Widest::Avx2(avx2) => there_and_back(avx2, widest),
                #[cfg(target_arch = "x86_64")]
                Widest::Avx512(avx512) => there_and_back(avx512, widest),
            }
        }
    }
}
