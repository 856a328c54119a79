//! What a buffer knows of its newest row.

use super::{Columns, Holds, names};
use crate::ring::Snapshot;

/// The declared features of the newest row of one moment; they never change.
pub struct NewestRow(pub(super) Snapshot<Columns>);

impl NewestRow {
    /// How many features there are.
    #[must_use]
    pub fn len(&self) -> usize {
        let Columns { described, plan } = &**self.0.meta();
        plan.per_column() * described.iter().filter(|column| column.is_numeric()).count()
    }

    /// Whether none are declared, or there is no column of numbers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What they are called, column by column.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        names(&self.0)
    }

    /// Writes them in the order of their names, NaN where missing.
    ///
    /// # Panics
    /// If there is no room for all of them.
    pub fn write(&self, out: &mut [f64]) {
        let Columns { described, plan } = &**self.0.meta();
        let (count, mut rest) = (plan.per_column(), out);
        for column in described {
            if let Holds::Numbers { place } = column.holds {
                let (now, later) = rest.split_at_mut(count);
                self.0.newest(place + 1, now);
                rest = later;
            }
        }
    }
}
