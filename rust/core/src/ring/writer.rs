//! The one who writes.

use super::Kind;
use super::segment::{Cells, Segment};
use super::snapshot::{List, Reader, Shared};
use super::sync::{Arc, AtomicU64, Ordering, Swap};

/// The fewest rows of a segment, and so what an almost empty ring takes.
const SMALLEST: usize = 64;
/// The most rows of a segment.
const LARGEST: usize = 10_000;
/// A segment is about this part of the rows held.
const PART: usize = 8;

/// One cell to be written.
pub enum Value {
    /// A number, NaN where missing.
    Number(f64),
    /// A text.
    Text(Option<Box<str>>),
}

/// A ring of the newest rows and the right to write it.
pub struct Ring<M> {
    shared: Arc<Shared<M>>,
    capacity: usize,
    kinds: Vec<Kind>,
    /// What the list holds, and the rows written but not yet published.
    segments: Vec<Arc<Segment>>,
    start: u64,
    meta: Arc<M>,
    /// One past the newest row written.
    written: u64,
    /// A segment that left the window, to be written anew.
    spare: Option<Segment>,
    smallest: usize,
}

impl<M> Ring<M> {
    /// An empty ring without columns.
    #[must_use]
    pub fn new(capacity: usize, meta: M) -> Self {
        Self::with_segments(capacity, meta, SMALLEST)
    }

    /// A ring whose segments have at least `smallest` rows.
    pub(super) fn with_segments(capacity: usize, meta: M, smallest: usize) -> Self {
        let meta = Arc::new(meta);
        let list = List { segments: Vec::new(), start: 0, meta: meta.clone() };
        let shared = Arc::new(Shared { list: Swap::new(list), end: AtomicU64::new(0) });
        Self {
            shared,
            capacity,
            kinds: Vec::new(),
            segments: Vec::new(),
            start: 0,
            meta,
            written: 0,
            spare: None,
            smallest,
        }
    }

    /// A reader of it.
    #[must_use]
    pub fn reader(&self) -> Reader<M> {
        Reader { shared: self.shared.clone(), capacity: self.capacity }
    }

    /// The rows ever written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Adds columns, missing in all rows so far, and describes all columns anew.
    pub fn add_columns(&mut self, kinds: &[Kind], meta: M) {
        let segments = self.segments.iter().map(|segment| {
            let late = kinds.iter().map(|kind| Arc::new(Cells::new(*kind, segment.rows)));
            let columns = segment.columns.iter().cloned().chain(late).collect();
            Arc::new(Segment { first: segment.first, rows: segment.rows, columns })
        });
        self.segments = segments.collect();
        self.kinds.extend_from_slice(kinds);
        self.spare = None;
        self.meta = Arc::new(meta);
        self.show();
    }

    /// Opens the next row, to be filled with [`Ring::put`]. Nobody sees it before [`Ring::publish`].
    pub fn open(&mut self) {
        if self.segments.last().is_none_or(|segment| segment.end() == self.written) {
            let segment = self.segment();
            self.segments.push(Arc::new(segment));
            self.show();
        }
        self.written += 1;
    }

    /// Writes a cell of the row opened last; cells not written are missing.
    pub fn put(&mut self, place: usize, value: Value) {
        if let Some(segment) = self.segments.last() {
            let row = (self.written - 1 - segment.first) as usize;
            match value {
                Value::Number(number) => segment.columns[place].write(row, number),
                Value::Text(text) => segment.columns[place].write_text(row, text),
            }
        }
    }

    /// Shows all rows written so far to readers.
    pub fn publish(&mut self) {
        self.shared.end.store(self.written, Ordering::Release);
        let oldest = self.written.saturating_sub(self.capacity as u64);
        let gone = self.segments.iter().take_while(|segment| segment.end() <= oldest).count();
        if gone > 0 {
            let mut dropped: Vec<_> = self.segments.drain(..gone).collect();
            self.show();
            self.spare = dropped.pop().and_then(|last| Arc::try_unwrap(last).ok());
        }
    }

    /// Forgets all rows; the columns stay.
    pub fn clear(&mut self) {
        self.segments.clear();
        self.spare = None;
        self.start = self.written;
        self.show();
    }

    /// Counts rows from `first` on, as if those before it had been written and forgotten. Only while it is empty.
    pub fn resume(&mut self, first: u64) {
        debug_assert!(self.segments.is_empty(), "the rows of a ring follow each other");
        self.written = first;
        self.start = first;
        self.shared.end.store(first, Ordering::Release);
        self.show();
    }

    fn show(&self) {
        let list = List { segments: self.segments.clone(), start: self.start, meta: self.meta.clone() };
        self.shared.list.store(list);
    }

    /// A segment for the next row.
    fn segment(&mut self) -> Segment {
        let held = (self.written - self.start).min(self.capacity as u64) as usize;
        let rows = (held / PART).clamp(self.smallest, LARGEST).min(self.capacity.max(1));
        if let Some(mut spare) = self.spare.take().filter(|spare| spare.rows == rows)
            && spare.reclaim()
        {
            return Segment { first: self.written, ..spare };
        }
        Segment::new(self.written, rows, &self.kinds)
    }

    /// The bytes of a segment kept to be written anew.
    #[must_use]
    pub fn spare_bytes(&self) -> usize {
        self.spare.as_ref().map_or(0, Segment::bytes)
    }
}
