//! Eight rows of eight values, turned so that rows become columns.

#[cfg(target_arch = "x86_64")]
use std::ptr::NonNull;

#[cfg(target_arch = "x86_64")]
use super::widest::{Avx2, Avx512};

/// Values across and down.
pub(super) const SIDE: usize = 8;

/// As many values as a line of a cache holds.
type Line = [f64; SIDE];

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
    past_caches: bool,
}

impl Starts {
    /// `past_caches`: whole lines go to memory without a look at what stood there, and are in no cache then.
    pub(super) fn new(starts: [usize; SIDE], past_caches: bool) -> Self {
        Self { starts, last: starts.into_iter().fold(0, usize::max), past_caches }
    }

    pub(super) fn get(&self) -> &[usize; SIDE] {
        &self.starts
    }
}

/// Who turns squares.
pub(super) trait Turn: Copy {
    /// Entry `j` of row `i` becomes entry `i` of row `j`.
    fn turn(self, rows: [&[f64; SIDE]; SIDE]) -> Square;

    /// Writes row `j` of the turned square to `out` from `row` after start `j` on. What goes past the caches is there
    /// for others after [`Turn::finish`].
    #[inline(always)]
    fn turn_out(self, square: &Square, starts: &Starts, row: usize, out: &mut [f64]) {
        for (start, turned) in starts.starts.iter().zip(self.turn(square.0.each_ref()).0) {
            out[start + row..][..SIDE].copy_from_slice(&turned);
        }
    }

    /// Ends what was written with these starts.
    #[inline(always)]
    fn finish(self, _: &Starts) {}
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
        // SAFETY: `self` is the proof; `write` gives places that begin a line.
        let stream = |to, line: &Line| unsafe { stream_avx2(to, line) };
        write(&self.turn(square.0.each_ref()), starts, row, out, stream);
    }

    #[inline(always)]
    fn finish(self, starts: &Starts) {
        finish(starts);
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
        // SAFETY: `self` is the proof; `write` gives places that begin a line.
        let stream = |to, line: &Line| unsafe { stream_avx512(to, line) };
        write(&self.turn(square.0.each_ref()), starts, row, out, stream);
    }

    #[inline(always)]
    fn finish(self, starts: &Starts) {
        finish(starts);
    }
}

/// The rows of a square to their places. Where they do not go past the caches, calls for the memory of those that come
/// next, whether or not there is any.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn write(
    square: &Square,
    starts: &Starts,
    row: usize,
    out: &mut [f64],
    stream: impl Fn(NonNull<Line>, &Line),
) {
    use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
    assert!(starts.last + row + SIDE <= out.len(), "a place for each value");
    for (start, values) in starts.starts.iter().zip(&square.0) {
        // SAFETY: no start is greater than the last, from which on there is room. The hint takes any address.
        unsafe {
            let to = NonNull::from(&mut *out).cast::<f64>().add(start + row);
            if starts.past_caches && to.addr().get().is_multiple_of(size_of::<Line>()) {
                stream(to.cast(), values);
            } else {
                _mm_prefetch::<_MM_HINT_ET0>(to.as_ptr().wrapping_add(AHEAD).cast());
                to.cast::<Line>().write(*values);
            }
        }
    }
}

/// What was written past the caches comes before what is written after.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn finish(starts: &Starts) {
    if starts.past_caches {
        // SAFETY: every x86-64 has it.
        unsafe { std::arch::x86_64::_mm_sfence() };
    }
}

/// # Safety
/// `to` is a place for a line, and begins one.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn stream_avx2(to: NonNull<Line>, line: &Line) {
    use std::arch::x86_64::{_mm256_loadu_pd, _mm256_stream_pd};
    for half in [0, SIDE / 2] {
        // SAFETY: both halves of both lines.
        unsafe {
            _mm256_stream_pd(to.cast::<f64>().add(half).as_ptr(), _mm256_loadu_pd(line.as_ptr().add(half)))
        };
    }
}

/// # Safety
/// As of [`stream_avx2`].
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn stream_avx512(to: NonNull<Line>, line: &Line) {
    use std::arch::x86_64::{_mm512_loadu_pd, _mm512_stream_pd};
    // SAFETY: the caller's.
    unsafe { _mm512_stream_pd(to.cast::<f64>().as_ptr(), _mm512_loadu_pd(line.as_ptr())) };
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
