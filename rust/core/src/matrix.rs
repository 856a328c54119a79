//! The numbers of a matrix, taken apart into columns: each is moved once and looked at on the way.

#[cfg(target_arch = "x86_64")]
use crate::simd::Avx2;
use crate::simd::turn::{Plainly, SIDE, Starts, Turn};
use crate::simd::{CACHED, PIECE, Widest};

/// Numbers of a matrix.
#[derive(Clone, Copy)]
pub enum Matrix<'a> {
    /// One row after the other.
    Rows(&'a [f64]),
    /// One column after the other.
    Columns(&'a [f64]),
}

impl Matrix<'_> {
    /// Writes its columns of `rows` numbers to `out`, one from each of `pitch` places on, and leaves what is between two
    /// of them as it is; whether a number is infinite.
    ///
    /// # Panics
    /// If it has other than `rows` times `width` numbers, or they do not fit.
    pub(crate) fn write(self, rows: usize, width: usize, out: &mut [f64], pitch: usize) -> bool {
        // Rows are turned past the caches, which would bring in each line before it is written over: a million of four in
        // 85 % of the time.
        let past_caches = out.len() > CACHED;
        self.write_on(Widest::of_this_machine(), past_caches, rows, width, out, pitch)
    }

    fn write_on(
        self,
        widest: Widest,
        past_caches: bool,
        rows: usize,
        width: usize,
        out: &mut [f64],
        pitch: usize,
    ) -> bool {
        let (Self::Rows(cells) | Self::Columns(cells)) = self;
        assert!(cells.len() == rows * width && rows <= pitch, "a number for each cell, and a place");
        if matches!(self, Self::Rows(_)) && width > 1 {
            return if past_caches {
                turn::<true>(widest, cells, width, out, pitch)
            } else {
                turn::<false>(widest, cells, width, out, pitch)
            };
        }
        let columns = cells.chunks_exact(rows.max(1)).zip(out.chunks_mut(pitch.max(1)));
        columns.fold(false, |infinite, (from, into)| infinite | copy(from, &mut into[..rows]))
    }
}

/// The greatest numbers so far, L of them at a time: the compiler finds vectors for this, but not for one flag.
struct Greatest<const L: usize>([f64; L]);

impl<const L: usize> Greatest<L> {
    #[inline(always)]
    fn take(&mut self, numbers: &[f64; L]) {
        for (greatest, number) in self.0.iter_mut().zip(numbers) {
            let size = number.abs();
            // `f64::max` where the second is not NaN, as processors have it.
            *greatest = if size > *greatest { size } else { *greatest };
        }
    }

    fn is_infinite(&self) -> bool {
        self.0.contains(&f64::INFINITY)
    }
}

/// Copies a piece at a time, and looks at it; whether a number is infinite.
fn copy(from: &[f64], into: &mut [f64]) -> bool {
    let (mut greatest, mut infinite) = (Greatest([0.0; 2 * SIDE]), false);
    for (from, into) in from.chunks(PIECE).zip(into.chunks_mut(PIECE)) {
        into.copy_from_slice(from);
        let (numbers, last) = from.as_chunks();
        numbers.iter().for_each(|numbers| greatest.take(numbers));
        infinite |= last.iter().any(|number| number.is_infinite());
    }
    infinite | greatest.is_infinite()
}

/// `PAST_CACHES` is known when this is compiled: with a choice in it, 10,000 rows of four take twice the time.
fn turn<const PAST_CACHES: bool>(
    widest: Widest,
    cells: &[f64],
    width: usize,
    out: &mut [f64],
    pitch: usize,
) -> bool {
    match widest {
        Widest::Any => turn_by::<2, PAST_CACHES>(Plainly, cells, width, out, pitch),
        // SAFETY: the proof is made only where the machine was found to have AVX2.
        #[cfg(target_arch = "x86_64")]
        Widest::Avx2(avx2) => unsafe { turn_avx2::<PAST_CACHES>(avx2, cells, width, out, pitch) },
        // Eight lanes would leave most matrices beside the squares.
        // SAFETY: who has AVX-512 has AVX2.
        #[cfg(target_arch = "x86_64")]
        Widest::Avx512(avx512) => unsafe {
            turn_avx2::<PAST_CACHES>(avx512.into(), cells, width, out, pitch)
        },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn turn_avx2<const PAST_CACHES: bool>(
    avx2: Avx2,
    cells: &[f64],
    width: usize,
    out: &mut [f64],
    pitch: usize,
) -> bool {
    turn_by::<4, PAST_CACHES>(avx2, cells, width, out, pitch)
}

/// Squares of some columns' lines: of each column whole lines are written.
#[inline(always)]
fn turn_by<const L: usize, const PAST_CACHES: bool>(
    by: impl Turn<L>,
    cells: &[f64],
    width: usize,
    out: &mut [f64],
    pitch: usize,
) -> bool {
    let (mut greatest, mut infinite) = (Greatest([0.0; L]), false);
    let inside = width / L * L;
    let squares = cells.chunks_exact(SIDE * width);
    let (whole, last) = (squares.len() * SIDE, squares.remainder());
    for (at, cells) in squares.enumerate() {
        for place in (0..inside).step_by(L) {
            let square: [&[f64; L]; SIDE] = std::array::from_fn(|i| {
                let Some(numbers) = cells[i * width + place..].first_chunk() else {
                    unreachable!("a row of the square")
                };
                numbers
            });
            square.iter().for_each(|numbers| greatest.take(numbers));
            let starts = Starts::new(std::array::from_fn(|lane| (place + lane) * pitch), PAST_CACHES);
            by.along(square, &starts, at * SIDE, out);
        }
    }
    by.finish(&Starts::new([0; L], PAST_CACHES));
    // What is beside the squares and below them.
    let mut one_by_one = |rows: &[f64], row: usize, places: std::ops::Range<usize>| {
        for place in places {
            for (into, row) in out[place * pitch + row..].iter_mut().zip(rows.chunks_exact(width)) {
                *into = row[place];
                infinite |= into.is_infinite();
            }
        }
    };
    one_by_one(&cells[..whole * width], 0, inside..width);
    one_by_one(last, whole, 0..width);
    infinite | greatest.is_infinite()
}

#[cfg(test)]
mod tests {
    use super::{Matrix, Widest};
    use proptest::prelude::*;

    /// The columns, and whether a number is infinite.
    fn written(matrix: Matrix<'_>, rows: usize, width: usize, on: (Widest, bool)) -> (Vec<f64>, bool) {
        let pitch = rows + 3;
        let mut out = vec![f64::MAX; pitch * width];
        let infinite = matrix.write_on(on.0, on.1, rows, width, &mut out, pitch);
        let (columns, between): (Vec<_>, Vec<_>) =
            out.chunks_exact(pitch).map(|column| column.split_at(rows)).unzip();
        assert!(between.concat().iter().all(|number| *number == f64::MAX), "left as it was");
        (columns.concat(), infinite)
    }

    fn bits(values: &[f64]) -> Vec<u64> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    proptest! {
        #[test]
        fn every_number_comes_to_its_column_and_an_infinite_one_is_seen(
            rows in prop_oneof![0_usize..200, 1_000_usize..1_100],
            width in 0_usize..12,
            at in any::<prop::sample::Index>(),
            special in prop_oneof![
                Just(f64::NAN), Just(-f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(-0.0), Just(f64::MAX),
            ],
        ) {
            let mut by_rows: Vec<f64> = (0..rows * width).map(|cell| cell as f64 * 0.5).collect();
            if !by_rows.is_empty() {
                *at.get_mut(&mut by_rows) = special;
            }
            let by_columns: Vec<f64> =
                (0..width).flat_map(|column| (0..rows).map(move |row| row * width + column)).map(|cell| by_rows[cell]).collect();
            let infinite = special.is_infinite() && !by_rows.is_empty();
            for on in Widest::all().flat_map(|widest| [(widest, false), (widest, true)]) {
                for matrix in [Matrix::Rows(&by_rows), Matrix::Columns(&by_columns)] {
                    let (columns, seen) = written(matrix, rows, width, on);
                    prop_assert_eq!(bits(&columns), bits(&by_columns));
                    prop_assert_eq!(seen, infinite);
                }
            }
        }
    }
}
