//! Deltas: how far a value has moved since `period` rows ago. A lag is no work: see [`crate::compute`].

/// Writes to `out` each of the newest `out.len()` of `values` minus the value `period` rows before it; NaN
/// where either is missing.
///
/// # Panics
/// If `out` is longer than `values`.
pub fn delta(values: &[f64], period: usize, out: &mut [f64]) {
    let (past, out) = reach(values, period, out);
    let newest = &values[values.len() - out.len()..];
    for ((out, value), past) in out.iter_mut().zip(newest).zip(past) {
        *out = value - past;
    }
}

/// The values that lie `period` rows before the newest, and the part of `out` that they are for; what comes
/// before it becomes NaN.
fn reach<'a>(values: &'a [f64], period: usize, out: &'a mut [f64]) -> (&'a [f64], &'a mut [f64]) {
    let from = values.len() - out.len();
    let missing = period.saturating_sub(from).min(out.len());
    let (before, after) = out.split_at_mut(missing);
    before.fill(f64::NAN);
    let start = (from + missing).saturating_sub(period);
    (&values[start..start + after.len()], after)
}

#[cfg(test)]
mod tests {
    use super::delta;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_looks_back_by_the_period(
            values in prop::collection::vec(-9.0..9.0, 0..40), period in 1usize..60, rows in 0usize..40,
        ) {
            let rows = rows.min(values.len());
            let mut deltas = vec![7.0; rows];
            delta(&values, period, &mut deltas);
            for (at, delta) in deltas.iter().enumerate() {
                let row = values.len() - rows + at;
                match row.checked_sub(period) {
                    Some(past) => prop_assert_eq!(*delta, values[row] - values[past]),
                    None => prop_assert!(delta.is_nan()),
                }
            }
        }
    }
}
