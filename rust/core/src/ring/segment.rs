//! A run of rows: where the cells of each of its columns are.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Kind;
use super::cells::Numbers;
use super::sync::Arc;

/// Texts, each set once at most and missing until then: readers of the rows before it wait for nobody.
pub(super) struct Texts {
    cells: Box<[OnceLock<Box<str>>]>,
    /// What the texts take beside the cells.
    held: AtomicUsize,
}

impl Texts {
    fn new(rows: usize) -> Self {
        Self { cells: (0..rows).map(|_| OnceLock::new()).collect(), held: AtomicUsize::new(0) }
    }

    pub(super) fn write(&self, row: usize, text: &str) {
        self.held.fetch_add(allocated(text.len()), Ordering::Relaxed);
        let set = self.cells[row].set(text.into());
        debug_assert!(set.is_ok(), "a cell is written once");
    }

    pub(super) fn read(&self, row: usize) -> Option<&str> {
        self.cells[row].get().map(|text| &**text)
    }

    fn reset(&mut self) {
        self.cells.iter_mut().for_each(|text| drop(text.take()));
        *self.held.get_mut() = 0;
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.cells) + self.held.load(Ordering::Relaxed)
    }
}

/// What the allocator takes for a text: a word more, rounded up.
fn allocated(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { (bytes + 8).next_multiple_of(16).max(32) }
}

/// The cells of columns that came together; the segment's first row stands at `base` in them.
#[derive(Clone)]
pub(super) enum Block {
    Numbers { cells: Arc<Numbers>, base: usize },
    Texts { cells: Arc<Texts>, base: usize },
}

impl Block {
    fn later(&self, rows: usize) -> Self {
        match self {
            Self::Numbers { cells, base } => Self::Numbers { cells: cells.clone(), base: base + rows },
            Self::Texts { cells, base } => Self::Texts { cells: cells.clone(), base: base + rows },
        }
    }

    /// Makes it as good as new where nobody else holds it.
    fn reclaim(&mut self) -> bool {
        let reset = match self {
            Self::Numbers { cells, base: 0 } => Arc::get_mut(cells).map(Numbers::reset),
            Self::Texts { cells, base: 0 } => Arc::get_mut(cells).map(Texts::reset),
            Self::Numbers { .. } | Self::Texts { .. } => None,
        };
        reset.is_some()
    }

    /// Where its cells are, and how many bytes they take when `rows` rows of the segment are written.
    fn bytes(&self, rows: usize) -> (usize, usize) {
        match self {
            Self::Numbers { cells, base } => (Arc::as_ptr(cells).addr(), cells.bytes(base + rows)),
            Self::Texts { cells, .. } => (Arc::as_ptr(cells).addr(), cells.bytes()),
        }
    }
}

/// Where a column is: in which block, and at which place there.
#[derive(Clone, Copy)]
struct Place {
    block: u32,
    column: u32,
}

/// Rows `first..first + rows` by sequence. One that is older than a column does not have it: its rows are missing.
pub(super) struct Segment {
    pub(super) first: u64,
    pub(super) rows: usize,
    blocks: Vec<Block>,
    places: Vec<Place>,
}

impl Segment {
    pub(super) fn new(first: u64, rows: usize, kinds: &[Kind]) -> Self {
        let mut segment = Self { first, rows, blocks: Vec::new(), places: Vec::new() };
        segment.add(kinds);
        segment
    }

    pub(super) fn end(&self) -> u64 {
        self.first + self.rows as u64
    }

    /// The same rows in the same cells.
    pub(super) fn share(&self) -> Self {
        Self { blocks: self.blocks.clone(), places: self.places.clone(), ..*self }
    }

    /// Neighbouring columns of numbers share a block.
    fn add(&mut self, kinds: &[Kind]) {
        for run in kinds.chunk_by(|a, b| (a, b) == (&Kind::Number, &Kind::Number)) {
            let block = self.blocks.len() as u32;
            self.blocks.push(match run[0] {
                Kind::Number => {
                    Block::Numbers { cells: Arc::new(Numbers::new(self.rows, run.len())), base: 0 }
                }
                Kind::Text => Block::Texts { cells: Arc::new(Texts::new(self.rows)), base: 0 },
            });
            self.places.extend((0..run.len()).map(|column| Place { block, column: column as u32 }));
        }
    }

    /// The first `rows` rows as they are, and the others with further columns: in the same cells, so nothing moves.
    pub(super) fn cut(&self, rows: usize, kinds: &[Kind]) -> (Self, Self) {
        let (first, left) = (self.first + rows as u64, self.rows - rows);
        let older = Self { rows, ..self.share() };
        let blocks = self.blocks.iter().map(|block| block.later(rows)).collect();
        let mut later = Self { first, rows: left, blocks, places: self.places.clone() };
        later.add(kinds);
        (older, later)
    }

    /// The block of a column and the column's place in it.
    #[inline]
    pub(super) fn find(&self, place: usize) -> Option<(&Block, usize)> {
        let place = self.places.get(place)?;
        Some((&self.blocks[place.block as usize], place.column as usize))
    }

    /// Whether it can be written anew with `columns` columns; it is as good as new then.
    pub(super) fn reclaim(&mut self, columns: usize) -> bool {
        self.places.len() == columns && self.blocks.iter_mut().all(Block::reclaim)
    }

    /// Has its cells kept for later segments when the readers that still look at them let go.
    pub(super) fn keep(&self) {
        for block in &self.blocks {
            if let Block::Numbers { cells, .. } = block {
                cells.keep();
            }
        }
    }

    /// Where its cells are and what they take with rows written up to `end`. Two segments may share some.
    pub(super) fn bytes(&self, end: u64) -> impl Iterator<Item = (usize, usize)> {
        let own = size_of::<Self>() + size_of_val(&*self.places) + size_of_val(&*self.blocks);
        let here = std::ptr::from_ref(self).addr();
        let rows = end.clamp(self.first, self.end()).abs_diff(self.first) as usize;
        self.blocks.iter().map(move |block| block.bytes(rows)).chain(std::iter::once((here, own)))
    }
}
