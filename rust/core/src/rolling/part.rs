//! What is known of a run of rows: the half of a window that lies in one block.

/// Count, mean, spread and extremes of some rows; missing ones leave no trace.
///
/// `sum` and `mean` are relative to `shift`, the first finite value that came in, and `m2` is the sum of squared
/// deviations from the mean, kept by Welford's update. The shift is a member of the part, so on any offset
/// the deviations are exact or as small as the part's own spread.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    finite: f64,
    shift: f64,
    sum: f64,
    mean: f64,
    m2: f64,
    min: f64,
    max: f64,
    infinities: f64,
    /// The sum of the infinite values: 0, an infinity, or NaN when both came.
    infinite_sum: f64,
}

impl Part {
    pub(super) const EMPTY: Self = Self {
        finite: 0.0,
        shift: 0.0,
        sum: 0.0,
        mean: 0.0,
        m2: 0.0,
        min: f64::INFINITY,
        max: f64::NEG_INFINITY,
        infinities: 0.0,
        infinite_sum: 0.0,
    };

    /// Takes in one more row.
    #[inline]
    pub(super) fn add(&mut self, value: f64) {
        if value.is_finite() {
            self.add_finite(value);
        } else if !value.is_nan() {
            self.infinities += 1.0;
            self.infinite_sum += value;
        }
        self.min = if value < self.min { value } else { self.min };
        self.max = if value > self.max { value } else { self.max };
    }

    #[inline]
    fn add_finite(&mut self, value: f64) {
        if self.finite == 0.0 {
            self.shift = value;
        }
        self.finite += 1.0;
        let offset = value - self.shift;
        let deviation = offset - self.mean;
        self.sum += offset;
        self.mean = self.sum * (1.0 / self.finite);
        self.m2 += deviation * (offset - self.mean);
    }

    /// Mean, standard deviation, minimum and maximum of the rows of `older` and `newer` together, NaN where
    /// they hold fewer than `min_samples` values.
    #[inline]
    pub(super) fn merge(older: &Self, newer: &Self, min_samples: usize) -> [f64; 4] {
        let count = older.finite + newer.finite;
        let infinities = older.infinities + newer.infinities;
        if count + infinities < min_samples as f64 {
            return [f64::NAN; 4];
        }
        let min = if older.min < newer.min { older.min } else { newer.min };
        let max = if older.max > newer.max { older.max } else { newer.max };
        if infinities > 0.0 {
            return [older.infinite_sum + newer.infinite_sum, f64::NAN, min, max];
        }
        let [mean, std] = Self::moments(older, newer, count);
        [mean, std, min, max]
    }

    #[inline]
    fn moments(older: &Self, newer: &Self, count: f64) -> [f64; 2] {
        if newer.finite == 0.0 {
            return [older.shift + older.mean, (older.m2 * (1.0 / (count - 1.0))).sqrt()];
        }
        let before = older.finite / count;
        let mut gap = (newer.shift - older.shift) + (newer.mean - older.mean);
        if before == 0.0 {
            gap = 0.0; // else 0 times an overflow would make a NaN
        }
        let mean = newer.shift + (newer.mean - gap * before);
        let m2 = older.m2 + newer.m2 + gap * gap * (newer.finite * before);
        [mean, (m2 * (1.0 / (count - 1.0))).sqrt()]
    }
}
