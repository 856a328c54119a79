//! Columns of numbers that are written, and whose features are kept up, side by side.

use super::Columns;
use crate::features::Plan;
use crate::ring::Ring;
use crate::rolling::Live;

/// The most columns side by side: the lanes of a vector.
const MOST: usize = 4;

/// One, two or four columns that came together.
pub(super) struct Lanes {
    count: usize,
    // Of these arrays the first `count`. They stand here and not behind a pointer, for they are read with each row.
    columns: [usize; MOST],
    /// Where their values stand; the features stand in the places after each.
    places: [usize; MOST],
    live: Live,
    /// A row: the values, then each feature of all columns.
    row: Vec<f64>,
}

impl Lanes {
    /// Splits columns that come together, each with its place, into as few as there can be.
    pub(super) fn split(columns: &[(usize, usize)], plan: &Plan) -> Vec<Self> {
        let (mut rest, mut all) = (columns, Vec::new());
        while !rest.is_empty() {
            let count = [4, 2, 1].into_iter().find(|count| *count <= rest.len()).unwrap_or(1);
            let (now, later) = rest.split_at(count);
            rest = later;
            let mut lanes = Self {
                count,
                columns: [0; MOST],
                places: [0; MOST],
                live: Live::new(plan, count),
                row: vec![0.0; count * (1 + plan.per_column())],
            };
            for (lane, (column, place)) in now.iter().enumerate() {
                (lanes.columns[lane], lanes.places[lane]) = (*column, *place);
            }
            all.push(lanes);
        }
        all
    }

    /// Which columns of the buffer they are.
    pub(super) fn columns(&self) -> &[usize] {
        &self.columns[..self.count]
    }

    /// Takes in the values that `value` gives for each lane and its column, and writes them with their features if there
    /// is a row of the ring `to` write to: one of those opened last.
    #[inline(always)]
    pub(super) fn take(
        &mut self,
        sequence: u64,
        value: impl Fn(usize, usize) -> f64,
        to: Option<(&mut Ring<Columns>, usize)>,
    ) {
        let [a, b, c, d] = self.columns;
        match self.count {
            1 => self.keep_up(sequence, [value(0, a)], to),
            2 => self.keep_up(sequence, [value(0, a), value(1, b)], to),
            4 => self.keep_up(sequence, [value(0, a), value(1, b), value(2, c), value(3, d)], to),
            _ => unreachable!("1, 2 or 4 columns"),
        }
    }

    #[inline(always)]
    fn keep_up<const L: usize>(
        &mut self,
        sequence: u64,
        values: [f64; L],
        to: Option<(&mut Ring<Columns>, usize)>,
    ) {
        let (Some((into, features)), Some(places)) =
            (self.row.split_first_chunk_mut::<L>(), self.places.first_chunk::<L>())
        else {
            unreachable!("a value and a place for each")
        };
        *into = values;
        let mut may_miss = values.iter().fold(false, |missing, value| missing | value.is_nan());
        if !features.is_empty() {
            may_miss |= self.live.push(sequence, &*into, features);
        }
        if let Some((ring, row)) = to {
            ring.put_row(row, *places, &self.row, may_miss);
        }
    }

    /// The features of one column in the row taken in last.
    pub(super) fn features(&self, lane: usize) -> impl Iterator<Item = f64> {
        self.row[self.count..].iter().skip(lane).step_by(self.count).copied()
    }

    /// Forgets all rows.
    pub(super) fn reset(&mut self) {
        self.live.reset();
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.live.memory_bytes() + size_of_val(&*self.row)
    }
}
