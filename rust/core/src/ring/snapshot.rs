//! What readers hold.

use std::collections::BTreeMap;

#[cfg(not(loom))]
use super::LARGEST;
use super::segment::{Block, Segment};
use super::sync::{Arc, AtomicU64, Ordering, Swap};

/// What writer and readers share. `M` describes the columns; it changes only together with the list.
pub(super) struct Shared<M> {
    pub(super) list: Swap<List<M>>,
    /// The list's number, stored with `Release` after the list.
    pub(super) listed: AtomicU64,
    /// One past the sequence of the newest published row.
    pub(super) end: AtomicU64,
}

pub(super) struct List<M> {
    /// One more than the list before.
    pub(super) number: u64,
    /// In order, without gaps.
    pub(super) segments: Vec<Arc<Segment>>,
    /// Rows before it were cleared.
    pub(super) start: u64,
    pub(super) meta: Arc<M>,
}

impl<M> List<M> {
    fn end(&self) -> u64 {
        self.segments.last().map_or(self.start, |segment| segment.end())
    }
}

/// Takes snapshots. Clone one for each thread or share it.
pub struct Reader<M> {
    pub(super) shared: Arc<Shared<M>>,
    pub(super) capacity: usize,
}

impl<M> Clone for Reader<M> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), capacity: self.capacity }
    }
}

impl<M> Reader<M> {
    /// The rows held now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot<M> {
        let mut list = self.shared.list.load();
        let end = loop {
            let end = self.shared.end.load(Ordering::Acquire);
            if self.shared.listed.load(Ordering::Acquire) <= list.number {
                break end.min(list.end());
            }
            list = self.shared.list.load();
        };
        let start = end.saturating_sub(self.capacity as u64).max(list.start).min(end);
        Snapshot { list, start, end }
    }

    /// The rows ever published.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.shared.end.load(Ordering::Acquire)
    }
}

/// The newest rows of one moment; they never change.
pub struct Snapshot<M> {
    list: Arc<List<M>>,
    start: u64,
    end: u64,
}

impl<M> Clone for Snapshot<M> {
    fn clone(&self) -> Self {
        Self { list: self.list.clone(), start: self.start, end: self.end }
    }
}

impl<M> Snapshot<M> {
    /// The sequence of its first row.
    #[must_use]
    pub fn first_sequence(&self) -> u64 {
        self.start
    }

    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// What the columns were when it was taken.
    #[must_use]
    pub fn meta(&self) -> &Arc<M> {
        &self.list.meta
    }

    /// The newest `rows` rows of it.
    #[must_use]
    pub fn tail(mut self, rows: usize) -> Self {
        self.start = self.start.max(self.end.saturating_sub(rows as u64));
        self
    }

    /// One column, piece by piece.
    #[must_use]
    pub fn column(&self, place: usize) -> Vec<Chunk> {
        let piece = |segment: &Arc<Segment>| {
            let (from, to) = (segment.first.max(self.start), segment.end().min(self.end));
            (from < to).then(|| Chunk {
                segment: segment.clone(),
                place,
                from: (from - segment.first) as usize,
                to: (to - segment.first) as usize,
            })
        };
        self.list.segments.iter().filter_map(piece).collect()
    }

    /// The newest values of consecutive columns of numbers that came together, from `place` on; NaN where missing.
    pub fn newest(&self, place: usize, out: &mut [f64]) {
        let segments = &self.list.segments;
        let newest = segments.iter().rev().find(|segment| segment.first < self.end && !self.is_empty());
        match newest.and_then(|segment| Some((segment, segment.find(place)?))) {
            Some((segment, (Block::Numbers { cells, base }, column))) => {
                let row = base + (self.end - 1 - segment.first) as usize;
                // SAFETY: the rows of a snapshot are published.
                unsafe { cells.read_row(column, row, out) };
            }
            _ => out.fill(f64::NAN),
        }
    }

    /// The bytes of all segments in its list.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let mut cells = BTreeMap::new();
        for (address, bytes) in self.list.segments.iter().flat_map(|segment| segment.bytes(self.end)) {
            let most = cells.entry(address).or_insert(0);
            *most = bytes.max(*most);
        }
        cells.values().sum()
    }
}

/// The value in a published row of a segment; NaN where missing.
fn number(segment: &Segment, place: usize, row: usize) -> f64 {
    match segment.find(place) {
        // SAFETY: rows that a snapshot or chunk names are published.
        Some((Block::Numbers { cells, base }, column)) => unsafe { cells.read(column, base + row) },
        _ => f64::NAN,
    }
}

/// Published rows of one column in one segment.
#[derive(Clone)]
pub struct Chunk {
    segment: Arc<Segment>,
    place: usize,
    from: usize,
    to: usize,
}

/// What a column holds in rows that came before it.
#[cfg(not(loom))]
static NOTHING: [f64; LARGEST] = [f64::NAN; LARGEST];

impl Chunk {
    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.to - self.from
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.to == self.from
    }

    /// The values, NaN where missing.
    #[cfg(not(loom))]
    #[must_use]
    pub fn numbers(&self) -> &[f64] {
        match self.segment.find(self.place) {
            Some((Block::Numbers { cells, base }, column)) => {
                // SAFETY: a chunk's rows are published.
                unsafe { cells.read_column(column, base + self.from, base + self.to) }
            }
            _ => &NOTHING[..self.len()],
        }
    }

    /// Whether one of the numbers may be missing; `false` is certain.
    #[must_use]
    pub fn may_miss(&self) -> bool {
        match self.segment.find(self.place) {
            Some((Block::Numbers { cells, base }, column)) => {
                cells.may_miss(column, base + self.from, base + self.to)
            }
            _ => true,
        }
    }

    /// The value of one of its rows.
    ///
    /// # Panics
    /// If it has fewer.
    #[must_use]
    pub fn number(&self, row: usize) -> f64 {
        assert!(row < self.len(), "a row of the chunk");
        number(&self.segment, self.place, self.from + row)
    }

    /// The texts, `None` where missing.
    pub fn texts(&self) -> impl Iterator<Item = Option<&str>> {
        let texts = match self.segment.find(self.place) {
            Some((Block::Texts { cells, base }, _)) => Some((cells, *base)),
            _ => None,
        };
        (self.from..self.to).map(move |row| texts.and_then(|(cells, base)| cells.read(base + row)))
    }
}
