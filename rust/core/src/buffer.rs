//! The newest rows of a stream, their declared features kept up as they arrive.

use std::collections::VecDeque;

use crate::error::{Error, Result};
use crate::features::{Feature, Plan, Request};
use crate::rolling::{Live, Scratch};
use crate::rows::{MAX_CELLS, MAX_COLUMNS, Texts, Values};
use crate::table::{Column, Table};

/// The most rows a buffer may hold.
pub const MAX_CAPACITY: usize = 10_000_000;

/// What a request for features leaves to the buffer is `None`.
pub struct Ask<'a> {
    /// Windows; `None`: those declared, else 5, 10 and 20 where they fit.
    pub windows: Option<&'a [i64]>,
    /// Names of statistics.
    pub stats: &'a [&'a str],
    /// Lags; `None`: those declared, else 1, 2 and 3.
    pub lags: Option<&'a [i64]>,
    /// Whether lags are wanted.
    pub include_lags: bool,
    /// Whether deltas are wanted.
    pub include_deltas: bool,
    /// `None`: as declared, else the full window.
    pub min_samples: Option<i64>,
    /// How many of the newest rows; `None`: all.
    pub tail: Option<usize>,
}

/// A ring of the newest rows.
pub struct Buffer {
    capacity: usize,
    fixed: bool,
    plan: Plan,
    columns: Vec<Held>,
    rows: usize,
    appended: u64,
    scratch: Scratch,
}

struct Held {
    name: Box<str>,
    cells: Cells,
    live: Live,
    /// The declared features, each as long as the rows held.
    features: Vec<VecDeque<f64>>,
}

enum Cells {
    /// No value so far.
    Unknown,
    Number(VecDeque<f64>),
    Boolean(VecDeque<Option<bool>>),
    Text(VecDeque<Option<Box<str>>>),
}

impl Buffer {
    /// An empty buffer. With `columns` it holds exactly these, all numbers.
    ///
    /// # Errors
    /// A capacity, windows, lags or columns that are not allowed.
    pub fn new(
        capacity: i64,
        columns: Option<&[String]>,
        windows: &[i64],
        lags: &[i64],
        min_samples: Option<i64>,
    ) -> Result<Self> {
        let capacity =
            usize::try_from(capacity).ok().filter(|rows| (1..=MAX_CAPACITY).contains(rows)).ok_or_else(
                || Error::invalid(format!("A capacity of {capacity} rows. It is from 1 to {MAX_CAPACITY}.")),
            )?;
        let plan = Plan::declared(windows, lags, min_samples, capacity)?;
        let mut buffer = Self {
            capacity,
            fixed: columns.is_some(),
            plan,
            columns: Vec::new(),
            rows: 0,
            appended: 0,
            scratch: Scratch::default(),
        };
        for name in columns.unwrap_or_default() {
            if buffer.place(name).is_some() {
                return Err(Error::invalid(format!(
                    "The column '{name}' comes twice. Name each column once."
                )));
            }
            buffer.columns.push(Held::new(name, Cells::Number(VecDeque::new()), &buffer.plan));
        }
        let names: Vec<_> = buffer.columns.iter().map(|column| (&*column.name, true)).collect();
        buffer.check(&names)?;
        Ok(buffer)
    }

    fn check(&self, columns: &[(&str, bool)]) -> Result<()> {
        if columns.len() > MAX_COLUMNS {
            return Err(Error::invalid(format!(
                "{} columns, but a buffer has at most {MAX_COLUMNS}. Send fewer.",
                columns.len()
            )));
        }
        let numeric = || columns.iter().filter(|(_, numeric)| *numeric).map(|(name, _)| *name);
        self.plan.check_count(numeric().count())?;
        self.plan.check_names(columns.iter().map(|(name, _)| *name), numeric())
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| *column.name == *name)
    }

    /// Takes in all rows of `table`, or none.
    ///
    /// # Errors
    /// A value of another type than its column's, a column that is new or missing where they are fixed, a
    /// feature named like a column.
    pub fn append(&mut self, table: &Table) -> Result<usize> {
        let places = self.places(table)?;
        for (from, to) in places.iter().enumerate() {
            if let Some(to) = to {
                self.columns[*to].check(table, from)?;
            }
        }
        self.check_grown(table, &places)?;
        let mut sources: Vec<Option<usize>> = vec![None; self.columns.len()];
        for (from, to) in places.into_iter().enumerate() {
            match to {
                Some(to) => sources[to] = Some(from),
                None => {
                    self.columns.push(Held::new(table.columns()[from].name(), Cells::Unknown, &self.plan));
                    sources.push(Some(from));
                }
            }
        }
        for (column, source) in self.columns.iter_mut().zip(sources) {
            column.append(table, source, self.rows, self.appended, self.capacity);
        }
        self.rows = (self.rows + table.len()).min(self.capacity);
        self.appended += table.len() as u64;
        Ok(table.len())
    }

    /// For each column of the table the column here; `None`: new.
    fn places(&self, table: &Table) -> Result<Vec<Option<usize>>> {
        let width = table.columns().len();
        if !table.named() && !self.columns.is_empty() {
            if width != self.columns.len() {
                return Err(Error::invalid(format!(
                    "Rows of {width} values for {} columns. Send as many values as there are columns.",
                    self.columns.len()
                )));
            }
            return Ok((0..width).map(Some).collect());
        }
        let places: Vec<_> = table.columns().iter().map(|column| self.place(column.name())).collect();
        if self.fixed && !table.is_empty() {
            self.check_fixed(table, &places)?;
        }
        Ok(places)
    }

    fn check_fixed(&self, table: &Table, places: &[Option<usize>]) -> Result<()> {
        let names = || self.columns.iter().map(|column| &*column.name).collect::<Vec<_>>().join(", ");
        if let Some(new) = places.iter().position(Option::is_none) {
            let name = table.columns()[new].name();
            let message = format!("'{name}' is no column of this buffer. Its columns are: {}.", names());
            return Err(Error::cell(table.first_value(new).unwrap_or(0) as u64, name, message));
        }
        let absent = |to: usize| match places.iter().position(|place| *place == Some(to)) {
            Some(from) => table.columns()[from].absent().map(|row| (row, to)),
            None => Some((0, to)),
        };
        if let Some((row, missing)) = (0..self.columns.len()).filter_map(absent).min() {
            let name = &self.columns[missing].name;
            let message = format!("'{name}' is missing. Each row has a number or null for: {}.", names());
            return Err(Error::cell(row as u64, name, message));
        }
        Ok(())
    }

    fn check_grown(&self, table: &Table, places: &[Option<usize>]) -> Result<()> {
        let mut columns: Vec<(&str, bool)> =
            self.columns.iter().map(|column| (&*column.name, column.is_numeric())).collect();
        for (from, to) in places.iter().enumerate() {
            let numeric = table.floats(from).is_some();
            match to {
                Some(to) => columns[*to].1 |= numeric,
                None => columns.push((table.columns()[from].name(), numeric)),
            }
        }
        self.check(&columns)
    }

    /// Forgets the rows; columns, their types and the declared features stay.
    pub fn clear(&mut self) {
        self.rows = 0;
        for column in &mut self.columns {
            column.clear();
        }
    }

    /// The newest `tail` rows, or all.
    #[must_use]
    pub fn snapshot(&self, tail: Option<usize>) -> Table {
        let rows = tail.map_or(self.rows, |tail| tail.min(self.rows));
        Table::new(self.columns.iter().map(|column| column.newest(rows, self.rows)).collect(), rows)
    }

    /// The newest rows with features. Those that were declared are as they were when their row arrived, unless
    /// another `min_samples` is asked for; the others see the rows held.
    ///
    /// # Errors
    /// As [`Plan::new`]; a feature named like a column; an answer beyond [`MAX_CELLS`] cells.
    pub fn features(&mut self, ask: &Ask<'_>) -> Result<Table> {
        let plan = self.plan_of(ask)?;
        let names = self.columns.iter().map(|column| &*column.name);
        let numeric = || self.columns.iter().filter(|column| column.is_numeric());
        plan.check_names(names, numeric().map(|column| &*column.name))?;
        let rows = ask.tail.map_or(self.rows, |tail| tail.min(self.rows));
        let width = self.columns.len() + numeric().count() * plan.per_column();
        if rows.saturating_mul(width) > MAX_CELLS {
            return Err(Error::TooLarge {
                message: format!(
                    "{rows} rows of {width} columns are more than {MAX_CELLS} cells. Ask for fewer features, or for the newest rows with tail."
                ),
            });
        }
        let mut columns: Vec<_> = self.columns.iter().map(|column| column.newest(rows, self.rows)).collect();
        let kept = ask.min_samples.is_none() || plan.min_samples() == self.plan.min_samples();
        let first_sequence = self.appended - self.rows as u64;
        for column in self.columns.iter().filter(|column| column.is_numeric()) {
            let declared = kept.then_some(&self.plan);
            columns.extend(column.features(
                &plan,
                declared,
                rows,
                self.rows,
                first_sequence,
                &mut self.scratch,
            ));
        }
        Ok(Table::new(columns, rows))
    }

    fn plan_of(&self, ask: &Ask<'_>) -> Result<Plan> {
        let or_default = |declared: &[usize], default: &[usize]| -> Vec<i64> {
            let used = if declared.is_empty() { default } else { declared };
            used.iter().filter(|rows| **rows <= self.capacity).map(|rows| *rows as i64).collect()
        };
        let windows =
            ask.windows.map_or_else(|| or_default(self.plan.windows(), &[5, 10, 20]), <[i64]>::to_vec);
        let lags = ask.lags.map_or_else(|| or_default(self.plan.lags(), &[1, 2, 3]), <[i64]>::to_vec);
        Plan::new(Request {
            windows: &windows,
            stats: ask.stats,
            lags: &lags,
            include_lags: ask.include_lags,
            include_deltas: ask.include_deltas,
            min_samples: ask.min_samples,
            longest: self.capacity,
        })
    }

    /// The names of the declared features.
    #[must_use]
    pub fn feature_names(&self) -> Vec<String> {
        let numeric = self.columns.iter().filter(|column| column.is_numeric());
        numeric.flat_map(|column| self.plan.names(&column.name)).collect()
    }

    /// The declared features of the newest row, NaN where missing.
    #[must_use]
    pub fn newest_values(&self) -> Vec<f64> {
        let numeric = self.columns.iter().filter(|column| column.is_numeric());
        let newest = |feature: &VecDeque<f64>| feature.back().copied().unwrap_or(f64::NAN);
        numeric.flat_map(|column| column.features.iter().map(newest)).collect()
    }

    /// The declared features.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The most rows it holds.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The names of the columns, and whether each holds numbers.
    pub fn columns(&self) -> impl Iterator<Item = (&str, bool)> {
        self.columns.iter().map(|column| (&*column.name, column.is_numeric()))
    }

    /// The rows it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether it holds no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The rows ever taken in.
    #[must_use]
    pub fn append_count(&self) -> u64 {
        self.appended
    }

    /// The bytes it holds.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.columns.iter().map(Held::memory_bytes).sum::<usize>()
    }
}

fn keep<T: Clone>(
    values: &mut VecDeque<T>,
    rows: usize,
    missing: &T,
    new: impl Iterator<Item = T>,
    capacity: usize,
) {
    values.resize(rows, missing.clone());
    for value in new {
        if values.len() == capacity {
            values.pop_front();
        }
        values.push_back(value);
    }
}

impl Held {
    fn new(name: &str, cells: Cells, plan: &Plan) -> Self {
        let features = vec![VecDeque::new(); plan.per_column()];
        Self { name: name.into(), cells, live: Live::new(plan), features }
    }

    fn is_numeric(&self) -> bool {
        matches!(self.cells, Cells::Number(_))
    }

    fn check(&self, table: &Table, from: usize) -> Result<()> {
        let kind = table.columns()[from].kind();
        let (held, fits) = match self.cells {
            Cells::Unknown => return Ok(()),
            Cells::Number(_) => ("numbers", kind == "float64"),
            Cells::Boolean(_) => ("true and false", kind == "boolean"),
            Cells::Text(_) => ("text", kind == "string"),
        };
        if fits || kind == "null" {
            return Ok(());
        }
        let given = match kind {
            "float64" => "A number",
            "boolean" => "true or false",
            _ => "Text",
        };
        let name = &self.name;
        let message = format!("{given} in column '{name}', which holds {held}. Send {held} or null.");
        Err(Error::cell(table.first_value(from).unwrap_or(0) as u64, name, message))
    }

    /// Takes in the rows of the table's column `from`, missing values where there is none.
    fn append(&mut self, table: &Table, from: Option<usize>, rows: usize, sequence: u64, capacity: usize) {
        let new = table.len();
        if let (Cells::Unknown, Some(from)) = (&self.cells, from) {
            self.cells = match table.columns()[from].kind() {
                "float64" => Cells::Number(VecDeque::new()),
                "boolean" => Cells::Boolean(VecDeque::new()),
                "string" => Cells::Text(VecDeque::new()),
                _ => Cells::Unknown,
            };
        }
        match &mut self.cells {
            Cells::Unknown => {}
            Cells::Number(values) => {
                let nothing = vec![f64::NAN; new];
                let sent = from.and_then(|from| table.floats(from)).unwrap_or(&nothing);
                keep(values, rows, &f64::NAN, sent.iter().copied(), capacity);
                self.append_features(sent, rows, sequence, capacity);
            }
            Cells::Boolean(values) => {
                let nothing = vec![None; new];
                let sent = from.and_then(|from| table.booleans(from)).unwrap_or(&nothing);
                keep(values, rows, &None, sent.iter().copied(), capacity);
            }
            Cells::Text(values) => {
                let sent = from.and_then(|from| table.texts(from)).unwrap_or_else(|| vec![None; new]);
                keep(values, rows, &None, sent.into_iter().map(|text| text.map(Into::into)), capacity);
            }
        }
    }

    fn append_features(&mut self, sent: &[f64], rows: usize, sequence: u64, capacity: usize) {
        let mut row = vec![0.0; self.features.len()];
        for feature in &mut self.features {
            feature.resize(rows, f64::NAN);
        }
        for (at, value) in sent.iter().enumerate() {
            self.live.push(sequence + at as u64, *value, &mut row);
            for (feature, value) in self.features.iter_mut().zip(&row) {
                if feature.len() == capacity {
                    feature.pop_front();
                }
                feature.push_back(*value);
            }
        }
    }

    fn clear(&mut self) {
        match &mut self.cells {
            Cells::Unknown => {}
            Cells::Number(values) => *values = VecDeque::new(),
            Cells::Boolean(values) => *values = VecDeque::new(),
            Cells::Text(values) => *values = VecDeque::new(),
        }
        self.live.reset();
        self.features.fill(VecDeque::new());
    }

    fn newest(&self, rows: usize, held: usize) -> Column {
        let skip = held - rows;
        let values = match &self.cells {
            Cells::Unknown => Values::Unknown,
            Cells::Number(values) => Values::Number(values.range(skip..).copied().collect()),
            Cells::Boolean(values) => Values::Boolean(values.range(skip..).copied().collect()),
            Cells::Text(values) => {
                let mut texts = Texts::default();
                values.range(skip..).for_each(|text| texts.push(text.as_deref().unwrap_or_default()));
                Values::Text { present: values.range(skip..).map(Option::is_some).collect(), texts }
            }
        };
        Column::new(&self.name, values)
    }

    fn features(
        &self,
        plan: &Plan,
        declared: Option<&Plan>,
        rows: usize,
        held: usize,
        first_sequence: u64,
        scratch: &mut Scratch,
    ) -> Vec<Column> {
        let Cells::Number(values) = &self.cells else { return Vec::new() };
        let values: Vec<f64> = values.iter().copied().collect();
        let mut out = vec![vec![0.0; rows]; plan.per_column()];
        let mut slices: Vec<&mut [f64]> = out.iter_mut().map(Vec::as_mut_slice).collect();
        plan.compute(&values, first_sequence, scratch, &mut slices);
        let known: Vec<Feature> = declared.map(|plan| plan.features().collect()).unwrap_or_default();
        for (feature, out) in plan.features().zip(&mut out) {
            if let Some(place) = known.iter().position(|known| *known == feature) {
                *out = self.features[place].range(held - rows..).copied().collect();
            }
        }
        plan.names(&self.name).zip(out).map(|(name, values)| Column::numbers(&name, values)).collect()
    }

    fn memory_bytes(&self) -> usize {
        let cells = match &self.cells {
            Cells::Unknown => 0,
            Cells::Number(values) => values.capacity() * size_of::<f64>(),
            Cells::Boolean(values) => values.capacity(),
            Cells::Text(values) => {
                values.capacity() * size_of::<Option<Box<str>>>()
                    + values.iter().flatten().map(|text| text.len()).sum::<usize>()
            }
        };
        let features = self.features.iter().map(|feature| feature.capacity() * size_of::<f64>());
        size_of::<Self>() + self.name.len() + cells + features.sum::<usize>() + self.live.memory_bytes()
    }
}
