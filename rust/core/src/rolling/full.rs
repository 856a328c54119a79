//! Every row of a column.

use super::{Columns, Scratch, Window, tail};

/// The statistics of the windows that end at each of `values`. The first value has sequence
/// `first_sequence`; rows before it count as missing. `out` is as long as `values`.
///
/// # Panics
/// If a column of `out` is not as long as `values`.
pub fn full(values: &[f64], first_sequence: u64, window: Window, scratch: &mut Scratch, out: Columns<'_>) {
    tail(values, first_sequence, values.len(), window, scratch, out);
}
