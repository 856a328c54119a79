//! Columns of numbers that are written, and whose features are kept up, side by side.

use super::Columns;
use crate::features::Plan;
use crate::ring::Ring;
use crate::rolling::Live;

/// One, two or four columns that came together: the lanes of a vector.
pub(super) enum Lanes {
    One(Beside<1>),
    Two(Beside<2>),
    Four(Beside<4>),
}

/// L columns of the buffer.
pub(super) struct Beside<const L: usize> {
    columns: [usize; L],
    /// Where their values stand; the features stand in the places after each.
    places: [usize; L],
    live: Live<L>,
    /// How many features each has.
    features: usize,
}

/// What is done with the columns, however many they are.
macro_rules! with {
    ($lanes:expr, $beside:ident => $what:expr) => {
        match $lanes {
            Lanes::One($beside) => $what,
            Lanes::Two($beside) => $what,
            Lanes::Four($beside) => $what,
        }
    };
}

impl Lanes {
    /// Splits columns that come together, each with its place, into as few as there can be.
    pub(super) fn split(columns: &[(usize, usize)], plan: &Plan) -> Vec<Self> {
        let (mut rest, mut all) = (columns, Vec::new());
        while !rest.is_empty() {
            all.push(match rest.len() {
                4.. => Self::Four(Beside::of(&mut rest, plan)),
                2..4 => Self::Two(Beside::of(&mut rest, plan)),
                0..2 => Self::One(Beside::of(&mut rest, plan)),
            });
        }
        all
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
        with!(self, beside => beside.take(sequence, value, to));
    }

    /// Which columns of the buffer they are.
    pub(super) fn columns(&self) -> &[usize] {
        with!(self, beside => &beside.columns)
    }

    /// Gives each feature of the row taken in last to `put`, with its lane and its place among the features of a column.
    #[inline(always)]
    pub(super) fn features(&self, mut put: impl FnMut(usize, usize, f64)) {
        with!(self, beside => for (at, feature) in beside.live.features().flatten().enumerate() {
            feature.iter().enumerate().for_each(|(lane, value)| put(lane, at, *value));
        });
    }

    /// Forgets all rows.
    pub(super) fn reset(&mut self) {
        with!(self, beside => beside.live.reset());
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + with!(self, beside => beside.live.memory_bytes())
    }
}

impl<const L: usize> Beside<L> {
    /// The first L of some columns, which are taken off.
    fn of(columns: &mut &[(usize, usize)], plan: &Plan) -> Self {
        let (now, later) = columns.split_at(L);
        *columns = later;
        Self {
            columns: std::array::from_fn(|lane| now[lane].0),
            places: std::array::from_fn(|lane| now[lane].1),
            live: Live::new(plan),
            features: plan.per_column(),
        }
    }

    #[inline(always)]
    fn take(
        &mut self,
        sequence: u64,
        value: impl Fn(usize, usize) -> f64,
        to: Option<(&mut Ring<Columns>, usize)>,
    ) {
        let values: [f64; L] = std::array::from_fn(|lane| value(lane, self.columns[lane]));
        let mut may_miss = values.iter().fold(false, |missing, value| missing | value.is_nan());
        if self.features > 0 {
            may_miss |= self.live.push(sequence, values);
        }
        if let Some((ring, row)) = to {
            ring.put_row(row, self.places, &values, (self.features, self.live.features()), may_miss);
        }
    }
}
