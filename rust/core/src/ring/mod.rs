//! The newest rows as a circle of append-only segments: one writer, any number of readers.
//!
//! Rows are only ever appended; one length, stored with `Release` after a row's cells and loaded with
//! `Acquire` before them, publishes them. What is published never changes, and a full segment is never
//! written again, so a snapshot is a clone of the list of segments and that length: it copies nothing, takes
//! no lock, and outlives later appends, clears and the ring itself. A segment outside the window is written
//! anew only when nobody else holds it.
//!
//! - Invariant: a reader's length was published before its list was replaced: lists are numbered, and the number of the
//!   newest is stored after it and loaded after the length. Else rows from before a clear could be joined to rows from
//!   after it.
//! - Invariant: a list is shown before `end` covers its rows. Else a reader with the list before, whose last segment a
//!   batch filled, would see a part of the batch.
//! - Invariant: the writer drops a segment from the list after it published the rows that displace it.

mod cells;
mod segment;
mod snapshot;
mod sync;
#[cfg(test)]
mod tests;
mod writer;

pub use snapshot::{Chunk, Reader, Snapshot};
pub use writer::Ring;

/// The most rows of a segment. Up to it a segment is as long as the rows held, so that what is held stands in two of
/// them: a piece of 76 columns costs Polars about 100 us to take over, however short it is.
const LARGEST: usize = 10_000;

/// What a column of the ring stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// float64, NaN where missing. Booleans are stored as 0 and 1.
    Number,
    /// Text.
    Text,
}
