//! [`super::part::Part`] for L lanes side by side, columns or runs of one column, without infinities: the same steps in the same order, so the
//! same bits, written so that the compiler takes all lanes at once.

/// What is known of some rows of each lane: the mean relative to a shift, squared deviations, minimum and maximum.
/// The shift is each lane's first value, and the caller's to keep, as are the counts.
pub(super) type Half<const L: usize> = [[f64; L]; 4];

/// Rows that become a [`Half`], one after the other.
#[derive(Clone, Copy)]
pub(super) struct Fold<const L: usize> {
    /// Relative to the shift. The mean comes of it in one product: were it kept up by itself, each row would wait for
    /// three steps of the row before.
    sum: [f64; L],
    mean: [f64; L],
    m2: [f64; L],
    min: [f64; L],
    max: [f64; L],
}

/// One half of a window with what it is relative to.
pub(super) struct Side<'a, const L: usize> {
    pub(super) half: &'a Half<L>,
    pub(super) shift: &'a [f64; L],
}

impl<const L: usize> Fold<L> {
    pub(super) const EMPTY: Self = Self {
        sum: [0.0; L],
        mean: [0.0; L],
        m2: [0.0; L],
        min: [f64::INFINITY; L],
        max: [f64::NEG_INFINITY; L],
    };

    /// What is known of the rows so far.
    #[inline(always)]
    pub(super) fn half(&self) -> Half<L> {
        [self.mean, self.m2, self.min, self.max]
    }

    /// Takes in one more row, of which no value is missing; `share` is 1 over the rows it then has.
    #[inline(always)]
    pub(super) fn add(&mut self, values: &[f64; L], shift: &[f64; L], share: f64) {
        let offset: [f64; L] = lanes(|lane| values[lane] - shift[lane]);
        let deviation: [f64; L] = lanes(|lane| offset[lane] - self.mean[lane]);
        self.sum = lanes(|lane| self.sum[lane] + offset[lane]);
        self.mean = lanes(|lane| self.sum[lane] * share);
        self.m2 = lanes(|lane| self.m2[lane] + deviation[lane] * (offset[lane] - self.mean[lane]));
        self.widen(values);
    }

    /// Takes in one more row; a value that is missing leaves no trace.
    #[inline(always)]
    pub(super) fn add_counted(&mut self, values: &[f64; L], shift: &mut [f64; L], counts: &mut [f64; L]) {
        for lane in 0..L {
            let present = !values[lane].is_nan();
            shift[lane] = if present & (counts[lane] == 0.0) { values[lane] } else { shift[lane] };
            let count = counts[lane] + 1.0;
            let offset = values[lane] - shift[lane];
            let deviation = offset - self.mean[lane];
            let sum = self.sum[lane] + offset;
            let mean = sum * (1.0 / count);
            let m2 = self.m2[lane] + deviation * (offset - mean);
            counts[lane] = if present { count } else { counts[lane] };
            self.sum[lane] = if present { sum } else { self.sum[lane] };
            self.mean[lane] = if present { mean } else { self.mean[lane] };
            self.m2[lane] = if present { m2 } else { self.m2[lane] };
        }
        self.widen(values);
    }

    /// As [`merge`] with no older rows.
    #[inline(always)]
    pub(super) fn alone(&self, shift: &[f64; L], share: f64) -> [[f64; L]; 4] {
        let mean = lanes(|lane| shift[lane] + self.mean[lane]);
        [mean, self.m2.map(|m2| m2 * share), self.min, self.max]
    }

    #[inline(always)]
    fn widen(&mut self, values: &[f64; L]) {
        self.min = lanes(|lane| if values[lane] < self.min[lane] { values[lane] } else { self.min[lane] });
        self.max = lanes(|lane| if values[lane] > self.max[lane] { values[lane] } else { self.max[lane] });
    }
}

/// A step for all lanes. One step at a time: several in one loop, and the compiler takes them by halves of a vector.
#[inline(always)]
fn lanes<const L: usize>(step: impl FnMut(usize) -> f64) -> [f64; L] {
    std::array::from_fn(step)
}

/// Mean, variance, min and max of the rows of `older` and `newer` together, where no value is missing and each has some:
/// `before` is the older share of the rows, `cross` that times the newer rows, `share` 1 over all rows less one.
#[inline(always)]
pub(super) fn merge<const L: usize>(
    older: &Side<'_, L>,
    newer: &Side<'_, L>,
    before: f64,
    cross: f64,
    share: f64,
) -> [[f64; L]; 4] {
    let ([older_mean, older_m2, ..], [newer_mean, newer_m2, ..]) = (older.half, newer.half);
    let gap: [f64; L] =
        lanes(|lane| (newer.shift[lane] - older.shift[lane]) + (newer_mean[lane] - older_mean[lane]));
    let mean = lanes(|lane| newer.shift[lane] + (newer_mean[lane] - gap[lane] * before));
    let m2 = lanes(|lane| older_m2[lane] + newer_m2[lane] + gap[lane] * gap[lane] * cross);
    let [min, max] = extremes(older, newer);
    [mean, m2.map(|m2: f64| m2 * share), min, max]
}

/// As [`merge`] for any counts; NaN where they come to fewer than `min_samples`.
#[inline(always)]
pub(super) fn merge_counted<const L: usize>(
    older: &Side<'_, L>,
    newer: &Side<'_, L>,
    counts: [&[f64; L]; 2],
    min_samples: f64,
) -> [[f64; L]; 4] {
    let ([older_mean, older_m2, ..], [newer_mean, newer_m2, ..]) = (older.half, newer.half);
    let [mut mean, mut variance] = [[0.0; L]; 2];
    let [mut min, mut max] = extremes(older, newer);
    for lane in 0..L {
        let count = counts[0][lane] + counts[1][lane];
        let before = counts[0][lane] / count;
        let gap = (newer.shift[lane] - older.shift[lane]) + (newer_mean[lane] - older_mean[lane]);
        let gap = if before == 0.0 { 0.0 } else { gap };
        let both = newer.shift[lane] + (newer_mean[lane] - gap * before);
        let both_m2 = older_m2[lane] + newer_m2[lane] + gap * gap * (counts[1][lane] * before);
        let alone = counts[1][lane] == 0.0;
        let m2 = if alone { older_m2[lane] } else { both_m2 };
        let enough = count >= min_samples;
        let or_missing = |value: f64| if enough { value } else { f64::NAN };
        mean[lane] = or_missing(if alone { older.shift[lane] + older_mean[lane] } else { both });
        variance[lane] = or_missing(m2 * (1.0 / (count - 1.0)));
        min[lane] = or_missing(min[lane]);
        max[lane] = or_missing(max[lane]);
    }
    [mean, variance, min, max]
}

#[inline(always)]
fn extremes<const L: usize>(older: &Side<'_, L>, newer: &Side<'_, L>) -> [[f64; L]; 2] {
    let ([.., older_min, older_max], [.., newer_min, newer_max]) = (older.half, newer.half);
    [
        lanes(|lane| if older_min[lane] < newer_min[lane] { older_min[lane] } else { newer_min[lane] }),
        lanes(|lane| if older_max[lane] > newer_max[lane] { older_max[lane] } else { newer_max[lane] }),
    ]
}
