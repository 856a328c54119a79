//! The windows that end in one block, whatever it holds: suffixes of the block before, merged with prefixes of the
//! block itself.

use super::part::Part;
use super::{Results, Window};

/// The windows that end at the rows `from..to` of `values`, all in the block that starts at row `start`
/// (before `values` where it is negative): any values, blocks cut short at either end.
pub(super) fn block(
    values: &[f64],
    window: Window,
    start: isize,
    from: usize,
    to: usize,
    suffix: &mut Vec<Part>,
    out: Results<'_>,
) {
    let border = start.max(0).unsigned_abs();
    let reach = |row: usize| (row + 1).saturating_sub(window.rows);
    let oldest = reach(from).min(border);
    suffix.clear();
    suffix.push(Part::EMPTY);
    let mut part = Part::EMPTY;
    for row in (oldest..border).rev() {
        part.add(values[row]);
        suffix.push(part);
    }
    let mut newer = Part::EMPTY;
    for value in values.get(border..from).unwrap_or_default() {
        newer.add(*value);
    }
    let [means, stds, mins, maxs] = out;
    for row in from..to {
        newer.add(values[row]);
        let older = &suffix[border - reach(row).min(border)];
        let at = row - from;
        [means[at], stds[at], mins[at], maxs[at]] = Part::merge(older, &newer, window.min_samples);
    }
}
