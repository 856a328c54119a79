//! Which features there are, what they are called and in which order they come: here and nowhere else.
//!
//! A table of features holds the original columns, then for each float column its windows in request order,
//! each with mean, std, min and max, then its lags, then its deltas.

use crate::error::{Error, Result, Step};
use crate::name::Name;
use crate::rolling::Stat;
#[cfg(not(loom))]
use crate::rolling::Window;

/// The most windows, and the most lags, one request or buffer may have.
pub const MAX_PERIODS: usize = 1_000;

/// The most features one buffer may declare.
pub const MAX_FEATURES: usize = 10_000;

/// What a caller asks for, as it was sent.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Rows of each rolling window.
    pub windows: &'a [i64],
    /// Names of the statistics wanted of each window.
    pub stats: &'a [&'a str],
    /// Rows to look back.
    pub lags: &'a [i64],
    /// Whether the lags themselves are wanted.
    pub include_lags: bool,
    /// Whether the deltas over the lags are wanted.
    pub include_deltas: bool,
    /// How many rows of a window must hold a value; `None`: all of them.
    pub min_samples: Option<i64>,
    /// The most rows a window or lag may reach: the buffer's size, or [`Request::UNBOUNDED`].
    pub longest: usize,
    /// What refusals call them.
    pub called: Called,
}

/// What a caller calls the windows, the statistics and the lags.
#[derive(Clone, Copy, Debug)]
pub struct Called {
    /// The windows.
    pub windows: &'static str,
    /// The statistics.
    pub stats: &'static str,
    /// The lags.
    pub lags: &'static str,
}

impl Called {
    /// As buffers and requests call them.
    pub const OF_BUFFERS: Self =
        Self { windows: "rolling_windows", stats: "include_rolling_stats", lags: "lag_periods" };
}

impl Request<'_> {
    /// As far as a window or lag may reach where there is no buffer: longer than any values, and less than the number
    /// that stands for all beyond 64 bits.
    pub const UNBOUNDED: usize = i64::MAX as usize - 1;
}

/// The features of each float column, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    windows: Vec<usize>,
    stats: Vec<Stat>,
    lags: Vec<usize>,
    include_lags: bool,
    include_deltas: bool,
    min_samples: Option<usize>,
}

impl Plan {
    /// Checks a request.
    ///
    /// # Errors
    /// A window or lag that is not positive, comes twice or is longer than `longest`; more than
    /// [`MAX_PERIODS`] of them; a statistic that does not exist; `min_samples` below 1.
    pub fn new(request: Request<'_>) -> Result<Self> {
        Ok(Self {
            windows: periods(request.called.windows, request.windows, request.longest)?,
            stats: stats(request.called.stats, request.stats)?,
            lags: periods(request.called.lags, request.lags, request.longest)?,
            include_lags: request.include_lags,
            include_deltas: request.include_deltas,
            min_samples: request.min_samples.map(samples).transpose()?,
        })
    }

    /// The plan of a buffer that declares windows and lags: all statistics, lags and deltas.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn declared(windows: &[i64], lags: &[i64], min_samples: Option<i64>, longest: usize) -> Result<Self> {
        Self::new(Request {
            windows,
            stats: &Stat::ALL.map(Stat::name),
            lags,
            include_lags: true,
            include_deltas: true,
            min_samples,
            longest,
            called: Called::OF_BUFFERS,
        })
    }

    /// What this plan has beyond another one that has all statistics, lags and deltas.
    #[cfg(not(loom))]
    #[must_use]
    pub(crate) fn without(&self, other: &Self) -> Self {
        let mut rest = self.clone();
        rest.windows.retain(|rows| !other.windows.contains(rows) || !self.agrees(other, *rows));
        rest.lags.retain(|rows| !other.lags.contains(rows));
        rest
    }

    /// Whether one of this plan's features is what `asked` means by it.
    #[cfg(not(loom))]
    #[must_use]
    pub(crate) fn keeps(&self, feature: Feature, asked: &Self) -> bool {
        !matches!(feature, Feature::Rolling { rows, .. } if !self.agrees(asked, rows))
    }

    /// Whether a window of `rows` rows wants as many values in both plans.
    #[cfg(not(loom))]
    fn agrees(&self, other: &Self, rows: usize) -> bool {
        Window::new(rows, self.min_samples) == Window::new(rows, other.min_samples)
    }

    /// The windows, in rows.
    #[must_use]
    pub fn windows(&self) -> &[usize] {
        &self.windows
    }

    /// The lags, in rows.
    #[must_use]
    pub fn lags(&self) -> &[usize] {
        &self.lags
    }

    /// The statistics of each window, in the order of their names.
    #[must_use]
    pub fn stats(&self) -> &[Stat] {
        &self.stats
    }

    /// How many rows of a window must hold a value, where the caller said so.
    #[must_use]
    pub fn min_samples(&self) -> Option<usize> {
        self.min_samples
    }

    /// Whether there is nothing to compute.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.per_column() == 0
    }

    /// The features of one column.
    #[must_use]
    pub fn per_column(&self) -> usize {
        let lag_kinds = usize::from(self.include_lags) + usize::from(self.include_deltas);
        self.windows.len() * self.stats.len() + self.lags.len() * lag_kinds
    }

    /// How many rows before a row its features rest on.
    #[must_use]
    pub fn reach(&self) -> usize {
        let windows = self.windows.iter().map(|rows| rows - 1);
        windows.chain(self.lags.iter().copied()).max().unwrap_or(0)
    }

    /// All features of one column, in the order of their names.
    pub fn features(&self) -> impl Iterator<Item = Feature> {
        let rolling = self
            .windows
            .iter()
            .flat_map(|rows| self.stats.iter().map(|stat| Feature::Rolling { stat: *stat, rows: *rows }));
        rolling.chain(self.lag_features())
    }

    /// The lags and deltas of one column, in the order of their names.
    pub fn lag_features(&self) -> impl Iterator<Item = Feature> {
        let lags = self.lags.iter().filter(|_| self.include_lags).map(|rows| Feature::Lag { rows: *rows });
        let deltas =
            self.lags.iter().filter(|_| self.include_deltas).map(|rows| Feature::Delta { rows: *rows });
        lags.chain(deltas)
    }

    /// The names of one column's features.
    pub fn names(&self, column: &str) -> impl Iterator<Item = String> {
        self.features().map(move |feature| feature.name(column))
    }

    /// The names of all features of some columns, column by column.
    pub fn names_of<'a>(&self, columns: impl ExactSizeIterator<Item = &'a str>) -> Vec<Name> {
        let (mut endings, mut ends) = (String::new(), Vec::with_capacity(self.per_column()));
        for feature in self.features() {
            feature.end(&mut endings);
            ends.push(endings.len());
        }
        Name::of_each(columns, &endings, &ends)
    }

    /// Whether a buffer may declare these features for `columns` columns.
    ///
    /// # Errors
    /// [`Error::Invalid`] for more than [`MAX_FEATURES`].
    pub fn check_count(&self, columns: usize) -> Result<()> {
        match columns * self.per_column() {
            0..=MAX_FEATURES => Ok(()),
            features => Err(Error::invalid(format!(
                "{features} features, but a buffer declares at most {MAX_FEATURES}. Declare fewer windows or lags."
            ))),
        }
    }

    /// Whether the features of `numeric` columns get along with all `columns` of the table.
    ///
    /// # Errors
    /// [`Error::Conflict`] when a feature's name is a column already.
    pub fn check_names<'a>(
        &self,
        columns: impl Iterator<Item = &'a str>,
        mut numeric: impl Iterator<Item = &'a str>,
    ) -> Result<()> {
        // A feature's name ends in a number after an underscore: most columns are out of question at once.
        let suspects: Vec<&str> = columns
            .filter(|name| name.contains('_') && name.ends_with(|c: char| c.is_ascii_digit()))
            .collect();
        if suspects.is_empty() {
            return Ok(());
        }
        let clash = |column| self.names(column).find(|name| suspects.contains(&name.as_str()));
        match numeric.find_map(clash) {
            Some(name) => Err(Error::Conflict {
                message: format!(
                    "The feature '{name}' has the name of a column. Rename the column or ask for other windows or lags."
                ),
            }),
            None => Ok(()),
        }
    }
}

/// One feature of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// A statistic over a window.
    Rolling {
        /// Which statistic.
        stat: Stat,
        /// The window's rows.
        rows: usize,
    },
    /// The value some rows before.
    Lag {
        /// How many.
        rows: usize,
    },
    /// The value minus that some rows before.
    Delta {
        /// How many.
        rows: usize,
    },
}

impl Feature {
    /// How many rows its window spans, or how many it looks back.
    #[must_use]
    pub const fn rows(self) -> usize {
        match self {
            Self::Rolling { rows, .. } | Self::Lag { rows } | Self::Delta { rows } => rows,
        }
    }

    /// What it is called for a column.
    #[must_use]
    pub fn name(self, column: &str) -> String {
        let mut name = column.to_owned();
        self.end(&mut name);
        name
    }

    /// Adds what comes after the column's name.
    fn end(self, name: &mut String) {
        name.push_str(match self {
            Self::Rolling { stat: Stat::Mean, .. } => "_rolling_mean_",
            Self::Rolling { stat: Stat::Std, .. } => "_rolling_std_",
            Self::Rolling { stat: Stat::Min, .. } => "_rolling_min_",
            Self::Rolling { stat: Stat::Max, .. } => "_rolling_max_",
            Self::Lag { .. } => "_lag_",
            Self::Delta { .. } => "_delta_",
        });
        name.push_str(&self.rows().to_string());
    }
}

fn periods(name: &str, periods: &[i64], longest: usize) -> Result<Vec<usize>> {
    let refuse = |at: Option<usize>, message: String| Error::Invalid {
        message,
        at: std::iter::once(Step::Key(name.to_owned())).chain(at.map(|at| Step::Index(at as u64))).collect(),
    };
    if periods.len() > MAX_PERIODS {
        let count = periods.len();
        return Err(refuse(
            None,
            format!("'{name}' has {count} values, at most {MAX_PERIODS} are allowed. Send fewer."),
        ));
    }
    let mut seen = std::collections::HashSet::new();
    let one = |(at, period): (usize, &i64)| match usize::try_from(*period) {
        Ok(rows) if rows >= 1 && rows <= longest && seen.insert(rows) => Ok(rows),
        Ok(rows) if rows >= 1 && rows <= longest => {
            Err(refuse(Some(at), format!("'{name}' holds {period} twice. Send each value once.")))
        }
        _ => {
            let size = if longest < Request::UNBOUNDED {
                format!(" to {longest}, the buffer's size")
            } else {
                String::new()
            };
            Err(refuse(
                Some(at),
                format!("'{name}' holds {period}. Each value is a number of rows from 1{size}."),
            ))
        }
    };
    periods.iter().enumerate().map(one).collect()
}

fn stats(called: &str, names: &[&str]) -> Result<Vec<Stat>> {
    let place = || vec![Step::Key(called.to_owned())];
    if let Some(unknown) = names.iter().find(|name| Stat::ALL.iter().all(|stat| stat.name() != **name)) {
        let message = format!("'{called}' holds '{unknown}'. The statistics are mean, std, min and max.");
        return Err(Error::Invalid { message, at: place() });
    }
    let wanted: Vec<Stat> = Stat::ALL.into_iter().filter(|stat| names.contains(&stat.name())).collect();
    if wanted.len() != names.len() {
        let message = format!("'{called}' holds a statistic twice. Send each once.");
        return Err(Error::Invalid { message, at: place() });
    }
    Ok(wanted)
}

fn samples(min_samples: i64) -> Result<usize> {
    usize::try_from(min_samples).ok().filter(|samples| *samples >= 1).ok_or_else(|| Error::Invalid {
        message: format!(
            "'min_samples' is {min_samples}. It is at least 1, or left out for the full window."
        ),
        at: vec![Step::Key("min_samples".to_owned())],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATS: [&str; 4] = ["mean", "std", "min", "max"];

    fn request<'a>(windows: &'a [i64], stats: &'a [&'a str], lags: &'a [i64]) -> Request<'a> {
        Request {
            windows,
            stats,
            lags,
            include_lags: true,
            include_deltas: true,
            min_samples: None,
            longest: 100,
            called: Called::OF_BUFFERS,
        }
    }

    #[test]
    fn names_come_by_window_then_lags_then_deltas() {
        let plan = Plan::new(request(&[5, 3], &["max", "mean"], &[2, 1])).unwrap();
        let names: Vec<_> = plan.names("cpu").collect();
        let windows = ["cpu_rolling_mean_5", "cpu_rolling_max_5", "cpu_rolling_mean_3", "cpu_rolling_max_3"];
        assert_eq!(names[..4], windows);
        let of_all = plan.names_of(["cpu", "io"].into_iter());
        assert_eq!(of_all[..8].iter().map(|name| &**name).collect::<Vec<_>>(), names);
        assert_eq!(&*of_all[15], "io_delta_1");
        assert_eq!(names[4..], ["cpu_lag_2", "cpu_lag_1", "cpu_delta_2", "cpu_delta_1"]);
        assert_eq!((plan.per_column(), plan.reach()), (8, 4));
    }

    #[test]
    fn a_part_of_the_lag_features_can_be_left_out() {
        for (lags, deltas, names) in
            [(true, false, vec!["a_lag_1"]), (false, true, vec!["a_delta_1"]), (false, false, vec![])]
        {
            let plan = Plan::new(Request {
                include_lags: lags,
                include_deltas: deltas,
                ..request(&[], &STATS, &[1])
            })
            .unwrap();
            assert_eq!(plan.names("a").collect::<Vec<_>>(), names);
            assert_eq!(plan.is_empty(), !lags && !deltas);
        }
    }

    fn at(request: Request<'_>) -> Vec<Step> {
        match Plan::new(request) {
            Err(Error::Invalid { at, .. }) => at,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn bad_requests_say_where() {
        let key = |name: &str| Step::Key(name.to_owned());
        for bad in [[1, 0], [1, -5], [1, 1], [1, 101], [1, i64::MIN]] {
            assert_eq!(at(request(&bad, &STATS, &[])), [key("rolling_windows"), Step::Index(1)], "{bad:?}");
            assert_eq!(at(request(&[], &STATS, &bad)), [key("lag_periods"), Step::Index(1)], "{bad:?}");
        }
        let many: Vec<i64> = (1..=1001).collect();
        assert_eq!(at(Request { longest: 5000, ..request(&many, &STATS, &[]) }), [key("rolling_windows")]);
        assert_eq!(at(request(&[], &["mean", "median"], &[])), [key("include_rolling_stats")]);
        assert_eq!(at(request(&[], &["mean", "mean"], &[])), [key("include_rolling_stats")]);
        assert_eq!(at(Request { min_samples: Some(0), ..request(&[], &STATS, &[]) }), [key("min_samples")]);
    }

    #[test]
    fn a_feature_named_like_a_column_is_a_conflict() {
        let plan = Plan::new(request(&[2], &STATS, &[1])).unwrap();
        let check =
            |columns: &[&'static str]| plan.check_names(columns.iter().copied(), columns.iter().copied());
        assert!(matches!(check(&["a", "a_lag_1"]), Err(Error::Conflict { .. })));
        assert!(matches!(check(&["a_rolling_std_2", "a"]), Err(Error::Conflict { .. })));
        assert_eq!(check(&["a", "a_lag_2", "b_lag_1"]), Ok(()));
    }

    #[test]
    fn a_buffer_has_at_most_ten_thousand_features() {
        let plan = Plan::declared(&[2, 3], &[1], None, 10).unwrap();
        assert_eq!(plan.check_count(1000), Ok(()));
        assert!(matches!(plan.check_count(1001), Err(Error::Invalid { .. })));
    }
}
