//! Rows of numbers in and out as plain slices: the window of a stream, whose columns are fixed and hold numbers.
//!
//! A row goes in as its values and comes out with its features, deltas left out, in the order of
//! [`Plan::features`](crate::features::Plan::features): the values of all columns, then column by column its
//! features.

use super::{Buffer, Holds, View};
use crate::error::{Error, Result, counted};
use crate::ring::Snapshot;

/// Rows taken in before readers see them: so many that to show them costs a row nothing.
const PUBLISHED_AT_ONCE: usize = 1_024;

impl Buffer {
    /// How many numbers a row comes out as.
    #[must_use]
    pub fn width(&self) -> usize {
        self.columns.len() * (1 + self.plan.per_column() - self.plan.lags().len())
    }

    /// Takes in the rows that stand one after the other in `values` (NaN: missing) and writes each with its
    /// features into `out`. Only for a buffer whose columns were named when it was made.
    ///
    /// # Panics
    /// If there are no columns, or `out` is shorter than the rows.
    pub fn push(&mut self, values: &[f64], out: &mut [f64]) {
        let (columns, width) = (self.columns.len(), self.width());
        for (at, row) in values.chunks_exact(columns).enumerate() {
            self.push_row(row, &mut out[at * width..(at + 1) * width]);
            if at % PUBLISHED_AT_ONCE == PUBLISHED_AT_ONCE - 1 {
                self.publish();
            }
        }
        self.publish();
    }

    fn push_row(&mut self, row: &[f64], out: &mut [f64]) {
        let kept = self.plan.per_column() - self.plan.lags().len(); // deltas come last
        let (values, rest) = out.split_at_mut(row.len());
        values.copy_from_slice(row);
        self.write_row(row);
        if kept > 0 {
            for lanes in &self.lanes {
                lanes.features(|lane, at, feature| {
                    if at < kept {
                        rest[lanes.columns()[lane] * kept + at] = feature;
                    }
                });
            }
        }
    }

    /// Becomes what it was when its newest rows were `places` (one run of `rows` numbers for each column of
    /// the ring, as [`NumberRows::places`] gives them), the first of them row number `first`. Features go on to the
    /// last bit: what they rest on from now on lies within the rows held.
    ///
    /// # Errors
    /// Numbers that do not fit the columns or the capacity, values that are infinite, or a window that holds rows.
    pub fn resume(&mut self, first: u64, rows: usize, places: &[f64]) -> Result<()> {
        let count = self.places;
        if !self.view.is_empty() {
            return Err(Error::invalid(format!(
                "A window that holds {}. Resume a new one.",
                counted(self.view.len(), "row")
            )));
        }
        if places.len() != count * rows
            || rows > self.view.capacity
            || first.checked_add(rows as u64).is_none()
        {
            return Err(Error::invalid(format!(
                "{} numbers for {rows} rows of {count} in a window of {}. They do not fit.",
                places.len(),
                self.view.capacity
            )));
        }
        let per_column = self.plan.per_column();
        if (0..self.columns.len())
            .any(|at| places[at * (1 + per_column) * rows..][..rows].iter().any(|v| v.is_infinite()))
        {
            return Err(Error::invalid(
                "An infinite value among the rows of a window. They are finite or missing.",
            ));
        }
        self.ring.resume(first);
        let mut from = 0;
        while from < rows {
            let run = self.ring.open(rows - from);
            for (place, values) in places.chunks_exact(rows).enumerate() {
                self.ring.put_column(0, place, &values[from..from + run]);
            }
            from += run;
        }
        for lanes in &mut self.lanes {
            for row in 0..rows {
                let value = |_, column: usize| places[column * (1 + per_column) * rows + row];
                lanes.take(first + row as u64, value, None);
            }
        }
        self.publish();
        Ok(())
    }
}

/// The rows a buffer of numbers held at one moment; they never change.
pub struct NumberRows(Snapshot<super::Columns>);

impl View {
    /// The rows held now, if all columns hold numbers.
    #[must_use]
    pub fn number_rows(&self) -> NumberRows {
        NumberRows(self.reader.snapshot())
    }
}

impl NumberRows {
    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of the first row since the buffer was made.
    #[must_use]
    pub fn first_sequence(&self) -> u64 {
        self.0.first_sequence()
    }

    /// The columns one after the other, in the order in which [`Buffer::push`] writes a row.
    #[must_use]
    pub fn columns(&self) -> Vec<f64> {
        let (plan, starts) = (&self.0.meta().plan, self.starts());
        let kept = plan.per_column() - plan.lags().len();
        let features = starts.iter().flat_map(|start| start + 1..=start + kept);
        self.concat(starts.iter().copied().chain(features))
    }

    /// Everything the ring holds of these rows, place after place.
    #[must_use]
    pub fn places(&self) -> Vec<f64> {
        let count = self.starts().len() * (1 + self.0.meta().plan.per_column());
        self.concat(0..count)
    }

    fn starts(&self) -> Vec<usize> {
        let place = |holds: Holds| match holds {
            Holds::Numbers { place } => Some(place),
            _ => None,
        };
        self.0.meta().described.iter().filter_map(|column| place(column.holds)).collect()
    }

    fn concat(&self, places: impl Iterator<Item = usize>) -> Vec<f64> {
        let mut out = Vec::new();
        for place in places {
            self.0.column(place).iter().for_each(|chunk| out.extend_from_slice(chunk.numbers()));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn buffer(capacity: i64) -> Buffer {
        let columns = ["a".to_owned(), "b".to_owned()];
        Buffer::new(capacity, Some(&columns), &[3, 7], &[1, 4], None).unwrap()
    }

    fn bits(values: &[f64]) -> Vec<u64> {
        values.iter().map(|value| if value.is_nan() { 0 } else { value.to_bits() }).collect()
    }

    fn pushed(buffer: &mut Buffer, values: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; values.len() / 2 * buffer.width()];
        buffer.push(values, &mut out);
        out
    }

    fn rows() -> impl Strategy<Value = Vec<f64>> {
        let cell = prop_oneof![4 => -1e9..1e9, 1 => Just(f64::NAN)];
        prop::collection::vec((cell.clone(), cell), 1..60)
            .prop_map(|rows| rows.into_iter().flat_map(|(a, b)| [a, b]).collect())
    }

    proptest! {
        #[test]
        fn a_row_comes_out_as_the_features_say(values in rows()) {
            let mut buffer = buffer(100);
            let out = pushed(&mut buffer, &values);
            let held = buffer.view().number_rows();
            let (columns, width, rows) = (held.columns(), buffer.width(), held.len());
            for row in 0..rows {
                let column_wise: Vec<f64> = (0..width).map(|at| columns[at * rows + row]).collect();
                prop_assert_eq!(bits(&column_wise), bits(&out[row * width..(row + 1) * width]));
            }
        }

        #[test]
        fn a_resumed_buffer_goes_on_to_the_last_bit(before in rows(), after in rows()) {
            let mut whole = buffer(10);
            pushed(&mut whole, &before);
            let held = whole.view().number_rows();
            let mut resumed = buffer(10);
            resumed.resume(held.first_sequence(), held.len(), &held.places()).unwrap();
            prop_assert_eq!(bits(&pushed(&mut resumed, &after)), bits(&pushed(&mut whole, &after)));
            let (one, other) = (whole.view().number_rows(), resumed.view().number_rows());
            prop_assert_eq!(bits(&one.places()), bits(&other.places()));
            prop_assert_eq!(whole.view().append_count(), resumed.view().append_count());
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        let places = vec![0.0; 2 * 13 * 5];
        for (first, rows, places) in [
            (0, 4, &places[..]),
            (0, 5, &places[1..]),
            (u64::MAX, 5, &places[..]),
            (0, 11, &vec![0.0; 2 * 13 * 11][..]),
            (0, 1, &[f64::INFINITY; 26][..]),
        ] {
            assert!(buffer(10).resume(first, rows, places).is_err(), "{first} {rows}");
        }
    }
}
