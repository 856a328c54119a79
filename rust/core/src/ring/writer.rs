//! The one who writes.

use super::segment::{Block, Segment};
use super::snapshot::{List, Reader, Shared};
use super::sync::{Arc, AtomicU64, Ordering, Swap};
use super::{Kind, LARGEST};

/// The fewest rows of a segment, and so what an almost empty ring takes.
const SMALLEST: usize = 64;
/// A ring of the newest rows and the right to write it.
pub struct Ring<M> {
    shared: Arc<Shared<M>>,
    capacity: usize,
    kinds: Vec<Kind>,
    /// What the list holds, and the rows written but not yet published.
    segments: Vec<Arc<Segment>>,
    /// Whether readers have their list.
    shown: bool,
    /// The newest of them once more, for the writer alone: readers count themselves in and out beside the shared one.
    newest: Option<Segment>,
    /// Where the oldest of them ends.
    oldest_end: u64,
    start: u64,
    meta: Arc<M>,
    /// One past the newest row written.
    written: u64,
    /// A segment that left the window, to be written anew.
    spare: Option<Arc<Segment>>,
    /// The rows opened last.
    run: usize,
    changes: u64,
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
        let list = List { number: 0, segments: Vec::new(), start: 0, meta: meta.clone() };
        let shared =
            Arc::new(Shared { list: Swap::new(list), listed: AtomicU64::new(0), end: AtomicU64::new(0) });
        Self {
            shared,
            capacity,
            kinds: Vec::new(),
            segments: Vec::new(),
            shown: true,
            newest: None,
            oldest_end: u64::MAX,
            start: 0,
            meta,
            written: 0,
            spare: None,
            run: 0,
            changes: 0,
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

    /// Adds columns, missing in all rows so far, and describes all columns anew. No cell moves.
    pub fn add_columns(&mut self, kinds: &[Kind], meta: M) {
        if !kinds.is_empty()
            && let Some(last) = self.segments.pop_if(|last| last.end() > self.written)
        {
            let (older, later) = last.cut((self.written - last.first) as usize, kinds);
            let parts = [older, later].into_iter().filter(|segment| segment.rows > 0);
            self.segments.extend(parts.map(Arc::new));
        }
        self.kinds.extend_from_slice(kinds);
        self.run = 0;
        self.spare = None;
        self.meta = Arc::new(meta);
        self.show();
    }

    /// Opens up to `rows` next rows, to be filled with the `put` methods; how many. Nobody sees them before
    /// [`Ring::publish`]. Every column of numbers wants a value in each; a text that is not put is missing.
    #[inline]
    pub fn open(&mut self, rows: usize) -> usize {
        let left = match &self.newest {
            Some(newest) if newest.end() > self.written => (newest.end() - self.written) as usize,
            _ => self.add_segment(rows),
        };
        self.run = rows.min(left);
        self.written += self.run as u64;
        self.run
    }

    #[cold]
    fn add_segment(&mut self, wanted: usize) -> usize {
        let segment = self.segment(wanted);
        let rows = segment.rows;
        self.segments.push(Arc::new(segment));
        self.know_ends();
        self.shown = false;
        rows
    }

    /// Where row `row` of those opened last stands in a column: the block, its column, its row.
    #[inline]
    fn here(&self, row: usize, rows: usize, place: usize) -> (&Block, usize, usize) {
        assert!(rows <= self.run && row <= self.run - rows, "rows that were opened last");
        let found = self.newest.as_ref().and_then(|segment| Some((segment, segment.find(place)?)));
        let Some((segment, (block, column))) = found else { unreachable!("a column of the ring") };
        (block, column, (self.written - segment.first) as usize - self.run + row)
    }

    /// Writes numbers to row `row` of those opened last: each of the columns at `places` takes its value of `values`, and
    /// the `count` columns after it those of `more`. NaN is missing; there is none unless it `may_miss`.
    ///
    /// # Panics
    /// If there is no such row, the columns did not come together, or `more` is not as long.
    #[inline(always)]
    pub fn put_row<'a, const L: usize>(
        &mut self,
        row: usize,
        places: [usize; L],
        values: &'a [f64; L],
        (count, more): (usize, impl Iterator<Item = &'a [[f64; L]]>),
        may_miss: bool,
    ) {
        let (Block::Numbers { cells, base }, column, at) = self.here(row, 1, places[0]) else {
            unreachable!("a column of numbers")
        };
        let columns = places.map(|place| place - places[0] + column);
        // SAFETY: this is the only writer (`&mut self`), and the rows opened last are not published.
        unsafe { cells.write_row(columns, base + at, values, (count, more), may_miss) };
    }

    /// Writes `values` to consecutive rows of a column of numbers, the first to row `row` of those opened last.
    ///
    /// # Panics
    /// If there are fewer rows, or no such column.
    pub fn put_column(&mut self, row: usize, place: usize, values: &[f64]) {
        let (Block::Numbers { cells, base }, column, at) = self.here(row, values.len(), place) else {
            unreachable!("a column of numbers")
        };
        // SAFETY: this is the only writer (`&mut self`), and the rows opened last are not published.
        unsafe { cells.write_column(column, base + at, values) };
    }

    /// Writes a text to row `row` of those opened last.
    ///
    /// # Panics
    /// If there is no such row, or no such column.
    pub fn put_text(&mut self, row: usize, place: usize, text: &str) {
        let (Block::Texts { cells, base }, _, at) = self.here(row, 1, place) else {
            unreachable!("a column of texts")
        };
        cells.write(base + at, text);
    }

    /// Shows all rows written so far to readers.
    #[inline]
    pub fn publish(&mut self) {
        self.run = 0;
        if !self.shown {
            self.show(); // before the rows in it: else a reader with the list before would see a part of them
        }
        self.shared.end.store(self.written, Ordering::Release);
        let oldest = self.written.saturating_sub(self.capacity as u64);
        if self.oldest_end <= oldest {
            self.displace(oldest);
        }
    }

    #[cold]
    fn displace(&mut self, oldest: u64) {
        let gone = self.segments.iter().take_while(|segment| segment.end() <= oldest).count();
        let mut gone = self.segments.drain(..gone);
        self.spare = gone.next_back();
        // Where rows come thousands at a time, as many segments will come with the next.
        gone.for_each(|segment| segment.keep());
        self.show();
    }

    /// Forgets all rows; the columns stay.
    pub fn clear(&mut self) {
        self.segments.clear();
        self.spare = None;
        self.run = 0;
        self.start = self.written;
        self.show();
    }

    /// Counts rows from `first` on, as if those before it had been written and forgotten.
    ///
    /// # Panics
    /// If it holds rows: readers may look at what would be written anew.
    pub fn resume(&mut self, first: u64) {
        assert!(self.segments.is_empty(), "the rows of a ring follow each other");
        self.written = first;
        self.start = first;
        self.show();
        self.shared.end.store(first, Ordering::Release);
    }

    fn know_ends(&mut self) {
        self.newest = self.segments.last().map(|newest| newest.share());
        self.oldest_end = self.segments.first().map_or(u64::MAX, |oldest| oldest.end());
    }

    #[cold]
    fn show(&mut self) {
        self.changes += 1;
        self.shown = true;
        self.know_ends();
        self.shared.list.store(List {
            number: self.changes,
            segments: self.segments.clone(),
            start: self.start,
            meta: self.meta.clone(),
        });
        self.shared.listed.store(self.changes, Ordering::Release);
    }

    /// A segment for the next rows, of which `wanted` are at hand.
    fn segment(&mut self, wanted: usize) -> Segment {
        let held =
            (self.written - self.start).saturating_add(wanted as u64).min(self.capacity as u64) as usize;
        let rows = held.clamp(self.smallest, LARGEST).min(self.capacity.max(1));
        self.spare(rows).unwrap_or_else(|| Segment::new(self.written, rows, &self.kinds))
    }

    /// The segment that left the window, ready to be written anew if it has as many rows and nobody looks at it.
    fn spare(&mut self, rows: usize) -> Option<Segment> {
        let mut spare = Arc::try_unwrap(self.spare.take()?).map_err(|held| held.keep()).ok()?;
        spare.first = self.written;
        (spare.rows == rows && spare.reclaim(self.kinds.len())).then_some(spare)
    }

    /// How often segments or columns have come or gone.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The bytes of a segment kept to be written anew.
    #[must_use]
    pub fn spare_bytes(&self) -> usize {
        self.spare.as_ref().map_or(0, |spare| spare.bytes(spare.end()).map(|(_, bytes)| bytes).sum())
    }
}
