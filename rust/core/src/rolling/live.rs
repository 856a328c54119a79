//! Features kept up row by row: what a buffer with declared windows does at append.
//!
//! For each window the suffixes of the block before stand ready and the prefix of the current block grows, so
//! a row costs one step and one merge, whatever the window. When a block is full its suffixes are folded: one
//! more step per row, in one go every `window` rows. The bits are those of [`super::tail`] over the same rows.

use super::Window;
use super::part::Part;
use crate::features::{Feature, Plan};

/// The state that the next row's features of one column rest on. A new one has seen no rows: what came before
/// counts as missing.
#[derive(Clone)]
pub struct Live {
    windows: Vec<LiveWindow>,
    lags: Recent,
    plan: Plan,
    /// The sequence that the next row has if none is left out, as the windows' places stand.
    next: Option<u64>,
}

impl Live {
    /// No rows so far.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let windows =
            plan.windows().iter().map(|rows| LiveWindow::new(Window::new(*rows, plan.min_samples())));
        Self {
            windows: windows.collect(),
            lags: Recent::new(plan.lags().iter().copied().max().unwrap_or(0)),
            plan: plan.clone(),
            next: None,
        }
    }

    /// Takes in the value of row `sequence` (NaN: missing) and writes the row's features in the order of
    /// their names. Rows come in order of their sequence, none left out.
    ///
    /// # Panics
    /// If `out` does not hold one value for each feature.
    pub fn push(&mut self, sequence: u64, value: f64, out: &mut [f64]) {
        assert_eq!(out.len(), self.plan.per_column(), "a place for each feature");
        if self.next != Some(sequence) {
            self.windows.iter_mut().for_each(|window| window.place_at(sequence));
        }
        self.next = Some(sequence + 1);
        let stats = self.plan.stats();
        let (rolling, rest) = out.split_at_mut(stats.len() * self.windows.len());
        let all = stats.len() == 4;
        for (window, out) in self.windows.iter_mut().zip(rolling.chunks_exact_mut(stats.len().max(1))) {
            let results = window.push(value);
            if all {
                out.copy_from_slice(&results);
            } else {
                for (stat, out) in stats.iter().zip(out) {
                    *out = results[*stat as usize];
                }
            }
        }
        for (feature, out) in self.plan.lag_features().zip(rest) {
            *out = match feature {
                Feature::Delta { rows } => value - self.lags.back(rows),
                Feature::Lag { rows } | Feature::Rolling { rows, .. } => self.lags.back(rows),
            };
        }
        self.lags.push(value);
    }

    /// Forgets all rows.
    pub fn reset(&mut self) {
        *self = Self::new(&self.plan);
    }

    /// The bytes it holds beside its own size.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let windows = self.windows.iter().map(|window| {
            size_of::<LiveWindow>()
                + window.block.capacity() * size_of::<f64>()
                + window.suffix.capacity() * size_of::<Part>()
        });
        windows.sum::<usize>() + self.lags.values.capacity() * size_of::<f64>()
    }
}

#[derive(Clone)]
struct LiveWindow {
    window: Window,
    /// The next row's place in its block; counted on, because the division costs more than the step.
    place: usize,
    /// `suffix[n]`: the newest n rows of the block before. As long as rows of it were seen, plus one.
    suffix: Vec<Part>,
    prefix: Part,
    /// The values of the current block that were seen.
    block: Vec<f64>,
}

impl LiveWindow {
    fn new(window: Window) -> Self {
        Self { window, place: 0, suffix: vec![Part::EMPTY], prefix: Part::EMPTY, block: Vec::new() }
    }

    fn place_at(&mut self, sequence: u64) {
        self.place = (sequence % self.window.rows as u64) as usize;
    }

    #[inline]
    fn push(&mut self, value: f64) -> [f64; 4] {
        let (rows, place) = (self.window.rows, self.place);
        if place == 0 {
            self.turn();
        }
        self.place = if place + 1 == rows { 0 } else { place + 1 };
        self.block.push(value);
        self.prefix.add(value);
        let older = (rows - 1 - place).min(self.suffix.len() - 1);
        Part::merge(&self.suffix[older], &self.prefix, self.window.min_samples)
    }

    /// The current block becomes the block before.
    fn turn(&mut self) {
        self.suffix.clear();
        let mut part = Part::EMPTY;
        self.suffix.push(part);
        for value in self.block.iter().rev().take(self.window.rows - 1) {
            part.add(*value);
            self.suffix.push(part);
        }
        self.block.clear();
        self.prefix = Part::EMPTY;
    }
}

/// The newest values, as many as the longest lag.
#[derive(Clone)]
struct Recent {
    values: Vec<f64>,
    next: usize,
    longest: usize,
}

impl Recent {
    fn new(longest: usize) -> Self {
        Self { values: Vec::new(), next: 0, longest }
    }

    fn push(&mut self, value: f64) {
        if self.values.len() < self.longest {
            self.values.push(value);
        } else if self.longest > 0 {
            self.values[self.next] = value;
            self.next = (self.next + 1) % self.longest;
        }
    }

    /// The value `rows` before the one to come; NaN where none was seen.
    fn back(&self, rows: usize) -> f64 {
        match rows <= self.values.len() {
            true => {
                let at = self.next + self.values.len() - rows;
                self.values[if at < self.values.len() { at } else { at - self.values.len() }]
            }
            false => f64::NAN,
        }
    }
}
