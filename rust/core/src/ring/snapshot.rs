//! What readers hold.

use super::segment::{Cells, Segment};
use super::sync::{Arc, AtomicU64, Ordering, Swap};

/// What writer and readers share. `M` describes the columns; it changes only together with the list.
pub(super) struct Shared<M> {
    pub(super) list: Swap<List<M>>,
    /// One past the sequence of the newest published row.
    pub(super) end: AtomicU64,
}

pub(super) struct List<M> {
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
            let now = self.shared.list.load();
            if Arc::ptr_eq(&list, &now) {
                break end.min(list.end());
            }
            list = now;
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
                cells: segment.columns[place].clone(),
                offset: (from - segment.first) as usize,
                rows: (to - from) as usize,
            })
        };
        self.list.segments.iter().filter_map(piece).collect()
    }

    /// The newest value of a column of numbers; NaN where missing.
    #[must_use]
    pub fn newest(&self, place: usize) -> f64 {
        let newest = self.list.segments.iter().rev().find(|segment| segment.first < self.end);
        match newest {
            Some(segment) if !self.is_empty() => {
                segment.columns[place].number((self.end - 1 - segment.first) as usize)
            }
            _ => f64::NAN,
        }
    }

    /// The bytes of all segments in its list.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.list.segments.iter().map(|segment| segment.bytes()).sum()
    }
}

/// Published rows of one column in one segment.
#[derive(Clone)]
pub struct Chunk {
    cells: Arc<Cells>,
    offset: usize,
    rows: usize,
}

impl Chunk {
    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The values, NaN where missing.
    #[cfg(not(loom))]
    #[must_use]
    pub fn numbers(&self) -> &[f64] {
        self.cells.numbers(self.offset, self.rows)
    }

    /// The value of one of its rows.
    #[must_use]
    pub fn number(&self, row: usize) -> f64 {
        self.cells.number(self.offset + row)
    }

    /// Copies of the texts.
    #[must_use]
    pub fn texts(&self) -> Vec<Option<Box<str>>> {
        self.cells.texts(self.offset, self.rows)
    }
}
