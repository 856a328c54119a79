//! A run of rows: one buffer per column, written once from front to back.

use std::sync::OnceLock;

use super::Kind;
use super::sync::{Arc, AtomicU64, Ordering};

/// The cells of one column of a segment.
pub enum Cells {
    /// The bits of float64 values. Atomic, so that the cells not yet published may be written while those
    /// before them are read.
    Numbers(Box<[AtomicU64]>),
    /// Texts, each set once at most and missing until then: readers of the rows before it wait for nobody.
    Texts(Box<[OnceLock<Box<str>>]>),
}

impl Cells {
    pub(super) fn new(kind: Kind, rows: usize) -> Self {
        match kind {
            Kind::Number => Self::Numbers((0..rows).map(|_| AtomicU64::new(f64::NAN.to_bits())).collect()),
            Kind::Text => Self::Texts((0..rows).map(|_| OnceLock::new()).collect()),
        }
    }

    pub(super) fn write(&self, row: usize, number: f64) {
        if let Self::Numbers(cells) = self {
            // Relaxed: the length that is stored after it publishes it.
            cells[row].store(number.to_bits(), Ordering::Relaxed);
        }
    }

    pub(super) fn write_text(&self, row: usize, text: Option<Box<str>>) {
        if let (Self::Texts(texts), Some(text)) = (self, text) {
            let set = texts[row].set(text);
            debug_assert!(set.is_ok(), "a cell is written once");
        }
    }

    /// Makes it as good as new.
    pub(super) fn wipe(&mut self) {
        match self {
            Self::Numbers(cells) => {
                cells.iter().for_each(|cell| cell.store(f64::NAN.to_bits(), Ordering::Relaxed))
            }
            Self::Texts(texts) => texts.iter_mut().for_each(|text| drop(text.take())),
        }
    }

    /// One value, NaN where missing.
    #[must_use]
    pub fn number(&self, row: usize) -> f64 {
        match self {
            Self::Numbers(cells) => f64::from_bits(cells[row].load(Ordering::Relaxed)),
            Self::Texts(_) => f64::NAN,
        }
    }

    /// The values of published rows, in place.
    #[cfg(not(loom))]
    pub(super) fn numbers(&self, offset: usize, rows: usize) -> &[f64] {
        match self {
            Self::Numbers(cells) => {
                let cells = &cells[offset..offset + rows];
                // SAFETY: the caller's rows are published, so nobody writes these cells again while `self` is
                // shared, and the length's Acquire load came after their stores. An AtomicU64 has the size,
                // alignment and bits of the u64 in it, and every u64 is an f64.
                unsafe { std::slice::from_raw_parts(cells.as_ptr().cast::<f64>(), rows) }
            }
            Self::Texts(_) => &[],
        }
    }

    /// Copies of the texts of published rows.
    pub(super) fn texts(&self, offset: usize, rows: usize) -> Vec<Option<Box<str>>> {
        match self {
            Self::Texts(texts) => {
                texts[offset..offset + rows].iter().map(|text| text.get().cloned()).collect()
            }
            Self::Numbers(_) => vec![None; rows],
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Numbers(cells) => size_of_val(&**cells),
            Self::Texts(texts) => {
                let held = texts.iter().filter_map(OnceLock::get).map(|text| text.len());
                size_of_val(&**texts) + held.sum::<usize>()
            }
        }
    }
}

/// Rows `first..first + rows` by sequence.
pub(super) struct Segment {
    pub(super) first: u64,
    pub(super) rows: usize,
    pub(super) columns: Vec<Arc<Cells>>,
}

impl Segment {
    pub(super) fn new(first: u64, rows: usize, kinds: &[Kind]) -> Self {
        Self { first, rows, columns: kinds.iter().map(|kind| Arc::new(Cells::new(*kind, rows))).collect() }
    }

    pub(super) fn end(&self) -> u64 {
        self.first + self.rows as u64
    }

    /// Whether nobody else holds any of its columns; those are wiped.
    pub(super) fn reclaim(&mut self) -> bool {
        self.columns.iter_mut().all(|cells| match Arc::get_mut(cells) {
            Some(cells) => {
                cells.wipe();
                true
            }
            None => false,
        })
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.columns.iter().map(|cells| cells.bytes()).sum::<usize>()
    }
}
