//! The newest rows of a stream, their declared features kept up as they arrive.

mod lanes;
mod newest;
mod numbers;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::compute::{Held, compute};
use crate::error::{Error, Result, counted};
use crate::features::{Called, Plan, Request};
use crate::ring::{Kind, Reader, Ring, Snapshot};
use crate::rows::{MAX_CELLS, MAX_COLUMNS, Refusal, Texts, Values};
use crate::slab::Numbers;
use crate::table::{Column, Table};
use lanes::Lanes;

pub use newest::NewestRow;
pub use numbers::NumberRows;

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

/// What a column holds, and where in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    /// No value so far, and no place.
    Nothing,
    /// Numbers; the declared features stand in the places after it.
    Numbers { place: usize },
    /// Booleans, as 0 and 1.
    Booleans { place: usize },
    /// Texts.
    Texts { place: usize },
}

#[derive(Clone)]
struct Described {
    name: Arc<str>,
    holds: Holds,
}

impl Described {
    fn is_numeric(&self) -> bool {
        matches!(self.holds, Holds::Numbers { .. })
    }

    /// The kind of its values, and what to call them.
    fn kind(&self) -> Option<(&'static str, &'static str)> {
        match self.holds {
            Holds::Nothing => None,
            Holds::Numbers { .. } => Some(("float64", "numbers")),
            Holds::Booleans { .. } => Some(("boolean", "true and false")),
            Holds::Texts { .. } => Some(("string", "text")),
        }
    }
}

/// The columns of one moment.
struct Columns {
    described: Vec<Described>,
    plan: Plan,
}

/// A ring of the newest rows, and the right to change it. Any number of [`View`]s read it meanwhile.
pub struct Buffer {
    ring: Ring<Columns>,
    view: View,
    fixed: bool,
    plan: Plan,
    columns: Vec<Described>,
    /// All columns of numbers.
    lanes: Vec<Lanes>,
    /// The places the ring has given out.
    places: usize,
    /// The ring's changes when the memory was counted last.
    counted: u64,
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
        let ring = Ring::new(capacity, Columns { described: Vec::new(), plan: plan.clone() });
        let view = View { reader: ring.reader(), capacity, beside: Arc::default() };
        let fixed = columns.is_some();
        let mut buffer =
            Self { ring, view, fixed, plan, columns: Vec::new(), lanes: Vec::new(), places: 0, counted: 0 };
        let names = columns.unwrap_or_default();
        if let Some(twice) = (1..names.len()).find(|at| names[..*at].contains(&names[*at])) {
            let name = &names[twice];
            return Err(Error::invalid(format!("The column '{name}' comes twice. Name each column once.")));
        }
        buffer.check(&names.iter().map(|name| (name.as_str(), true)).collect::<Vec<_>>())?;
        buffer.grow(names.iter().map(|name| (name.as_str(), "float64")));
        Ok(buffer)
    }

    /// A reader that needs no lock.
    #[must_use]
    pub fn view(&self) -> View {
        self.view.clone()
    }

    fn check(&self, columns: &[(&str, bool)]) -> Result<()> {
        if columns.len() > MAX_COLUMNS {
            let count = columns.len();
            return Err(Error::invalid(format!(
                "{count} columns, but a buffer has at most {MAX_COLUMNS}. Send fewer."
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
        let targets = self.targets(table)?;
        for (from, to) in targets.iter().enumerate() {
            if let Some(to) = to {
                self.check_kind(*to, table, from)?;
            }
        }
        let sources = self.prepare(table, &targets)?;
        self.write(table, &sources);
        self.publish();
        Ok(table.len())
    }

    /// For each column of the table the column here; `None`: new.
    fn targets(&self, table: &Table) -> Result<Vec<Option<usize>>> {
        let width = table.columns().len();
        if !table.named() && !self.columns.is_empty() {
            if width != self.columns.len() {
                return Err(Error::invalid(format!(
                    "Rows of {} for {}. Send as many values as there are columns.",
                    counted(width, "value"),
                    counted(self.columns.len(), "column")
                )));
            }
            return Ok((0..width).map(Some).collect());
        }
        let targets: Vec<_> = table.columns().iter().map(|column| self.place(column.name())).collect();
        if self.fixed && !table.is_empty() {
            self.check_fixed(table, &targets)?;
        }
        Ok(targets)
    }

    fn check_fixed(&self, table: &Table, targets: &[Option<usize>]) -> Result<()> {
        let names = || self.columns.iter().map(|column| &*column.name).collect::<Vec<_>>().join(", ");
        if let Some(new) = targets.iter().position(Option::is_none) {
            let name = table.columns()[new].name();
            let message = format!("'{name}' is no column of this buffer. Its columns are: {}.", names());
            return Err(Error::cell(table.first_value(new).unwrap_or(0) as u64, name, message));
        }
        let absent = |to: usize| match targets.iter().position(|target| *target == Some(to)) {
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

    fn check_kind(&self, to: usize, table: &Table, from: usize) -> Result<()> {
        let given = table.columns()[from].kind();
        let Some((kind, held)) = self.columns[to].kind() else { return Ok(()) };
        if given == kind || given == "null" {
            return Ok(());
        }
        let given = match given {
            "float64" => "A number",
            "boolean" => "A value of true or false",
            _ => "Text",
        };
        let name = &self.columns[to].name;
        let message = format!("{given} in column '{name}', which holds {held}. Send {held} or null.");
        Err(Error::cell(table.first_value(from).unwrap_or(0) as u64, name, message))
    }

    /// Makes room for what is new; for each column here the table's.
    fn prepare(&mut self, table: &Table, targets: &[Option<usize>]) -> Result<Vec<Option<usize>>> {
        let kind = |from: usize| table.columns()[from].kind();
        let new: Vec<_> = (0..targets.len()).filter(|from| targets[*from].is_none()).collect();
        let mut sources = vec![None; self.columns.len()];
        let mut woken = Vec::new();
        for (from, to) in targets.iter().enumerate().filter_map(|(from, to)| Some((from, (*to)?))) {
            sources[to] = Some(from);
            if self.columns[to].holds == Holds::Nothing && kind(from) != "null" {
                woken.push((to, kind(from)));
            }
        }
        if !woken.is_empty() || !new.is_empty() {
            self.check_grown(table, targets)?;
            self.wake(&woken);
            self.grow(new.iter().map(|from| (table.columns()[*from].name(), kind(*from))));
        }
        sources.extend(new.into_iter().map(Some));
        Ok(sources)
    }

    fn check_grown(&self, table: &Table, targets: &[Option<usize>]) -> Result<()> {
        let mut columns: Vec<(&str, bool)> =
            self.columns.iter().map(|column| (&*column.name, column.is_numeric())).collect();
        for (from, to) in targets.iter().enumerate() {
            let numeric = table.columns()[from].kind() == "float64";
            match to {
                Some(to) => columns[*to].1 |= numeric,
                None => columns.push((table.columns()[from].name(), numeric)),
            }
        }
        self.check(&columns)
    }

    /// Gives places to columns that held nothing.
    fn wake(&mut self, columns: &[(usize, &str)]) {
        let mut kinds = Vec::new();
        for (at, kind) in columns {
            self.columns[*at].holds = self.holds(kind, &mut kinds);
        }
        self.add_places(&kinds, columns.iter().map(|(at, _)| *at));
    }

    /// Adds columns at the end.
    fn grow<'a>(&mut self, columns: impl Iterator<Item = (&'a str, &'a str)>) {
        let mut kinds = Vec::new();
        let first = self.columns.len();
        for (name, kind) in columns {
            let holds = self.holds(kind, &mut kinds);
            self.columns.push(Described { name: name.into(), holds });
        }
        self.add_places(&kinds, first..self.columns.len());
    }

    fn holds(&mut self, kind: &str, kinds: &mut Vec<Kind>) -> Holds {
        let place = self.places;
        let (holds, stored, count) = match kind {
            "float64" => (Holds::Numbers { place }, Kind::Number, 1 + self.plan.per_column()),
            "boolean" => (Holds::Booleans { place }, Kind::Number, 1),
            "string" => (Holds::Texts { place }, Kind::Text, 1),
            _ => (Holds::Nothing, Kind::Number, 0),
        };
        kinds.extend(std::iter::repeat_n(stored, count));
        self.places += count;
        holds
    }

    /// Makes room in the ring for the columns `new`, and features for those of numbers.
    fn add_places(&mut self, kinds: &[Kind], new: impl Iterator<Item = usize>) {
        let columns = Columns { described: self.columns.clone(), plan: self.plan.clone() };
        self.ring.add_columns(kinds, columns);
        let new: Vec<_> = new.map(|at| (at, self.columns[at].holds)).collect();
        // Side by side are columns of one block of the ring, which a column of texts ends.
        for run in new.split(|(_, holds)| matches!(holds, Holds::Texts { .. })) {
            let number = |(at, holds): &(usize, Holds)| match *holds {
                Holds::Numbers { place } => Some((*at, place)),
                _ => None,
            };
            self.lanes.extend(Lanes::split(&run.iter().filter_map(number).collect::<Vec<_>>(), &self.plan));
        }
    }

    fn write(&mut self, table: &Table, sources: &[Option<usize>]) {
        let columns: Vec<_> = sources.iter().map(|from| Source::of(table, *from)).collect();
        let mut from = 0;
        while from < table.len() {
            let rows = self.ring.open(table.len() - from);
            for (at, source) in columns.iter().enumerate() {
                self.write_column(at, source, from, rows);
            }
            if !self.plan.is_empty() {
                self.keep_up(&columns, from, rows);
            }
            from += rows;
        }
    }

    /// Writes `rows` rows of a column, from row `from` of its source on, into those opened last; a column of numbers
    /// only where it has no features to be written with it.
    fn write_column(&mut self, at: usize, source: &Source<'_>, from: usize, rows: usize) {
        match self.columns[at].holds {
            Holds::Nothing => {}
            Holds::Numbers { place } if self.plan.is_empty() => match &source.numbers {
                Some(values) => self.ring.put_column(0, place, &values[from..from + rows]),
                None => self.ring.put_column(0, place, &vec![f64::NAN; rows]),
            },
            Holds::Numbers { .. } => {}
            Holds::Booleans { place } => {
                let stored =
                    |value: &Option<bool>| value.map_or(f64::NAN, |value| f64::from(u8::from(value)));
                let values: Vec<f64> = match source.booleans {
                    Some(values) => values[from..from + rows].iter().map(stored).collect(),
                    None => vec![f64::NAN; rows],
                };
                self.ring.put_column(0, place, &values);
            }
            Holds::Texts { place } => {
                let texts = source.texts.as_deref().unwrap_or_default();
                for (row, text) in texts.iter().skip(from).take(rows).enumerate() {
                    if let Some(text) = text {
                        self.ring.put_text(row, place, text);
                    }
                }
            }
        }
    }

    /// Writes `rows` rows of the columns of numbers with their features, from row `from` of the sources on, into those
    /// opened last.
    fn keep_up(&mut self, columns: &[Source<'_>], from: usize, rows: usize) {
        let first = self.ring.written() - rows as u64;
        for lanes in &mut self.lanes {
            let sources: Vec<_> = lanes.columns().iter().map(|at| columns[*at].numbers.as_deref()).collect();
            for row in 0..rows {
                let value = |lane: usize, _| sources[lane].map_or(f64::NAN, |values| values[from + row]);
                lanes.take(first + row as u64, value, Some((&mut self.ring, row)));
            }
        }
    }

    /// Whether [`Buffer::append_row`] takes rows: every column holds numbers, and there is one.
    #[must_use]
    pub fn takes_plain_rows(&self) -> bool {
        !self.columns.is_empty() && self.columns.iter().all(Described::is_numeric)
    }

    /// How many columns there are.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns.len()
    }

    /// The names of the columns.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.columns.iter().map(|column| &column.name)
    }

    /// Takes in one row of finite numbers in the order of the columns, NaN where missing: the short way for the
    /// commonest call.
    ///
    /// # Errors
    /// An infinite number.
    ///
    /// # Panics
    /// If the buffer does not take plain rows, or the row has another number of values than there are columns.
    pub fn append_row(&mut self, row: &[f64]) -> Result<()> {
        assert_eq!(row.len(), self.columns.len(), "a value for each column");
        if let Some(at) = row.iter().position(|value| value.is_infinite()) {
            let name = &self.columns[at].name;
            return Err(Error::cell(0, name, Refusal::Infinite.sentence("", name)));
        }
        self.write_row(row);
        self.publish();
        Ok(())
    }

    #[inline(always)]
    fn write_row(&mut self, row: &[f64]) {
        self.ring.open(1);
        let sequence = self.ring.written() - 1;
        for lanes in &mut self.lanes {
            lanes.take(sequence, |_, column| row[column], Some((&mut self.ring, 0)));
        }
    }

    fn publish(&mut self) {
        self.ring.publish();
        if self.counted != self.ring.changes() {
            self.count_memory();
        }
    }

    /// What is held beside the segments changes little between two of them, so it is counted with each.
    #[cold]
    fn count_memory(&mut self) {
        self.counted = self.ring.changes();
        let live: usize = self.lanes.iter().map(Lanes::memory_bytes).sum();
        self.view.beside.store(live + self.ring.spare_bytes(), Ordering::Relaxed);
    }

    /// Forgets the rows; columns, their types and the declared features stay.
    pub fn clear(&mut self) {
        self.ring.clear();
        self.lanes.iter_mut().for_each(|lanes| lanes.reset());
        self.count_memory();
    }
}

/// Where the new values of one column stand.
struct Source<'a> {
    numbers: Option<Cow<'a, [f64]>>,
    booleans: Option<&'a [Option<bool>]>,
    texts: Option<Vec<Option<&'a str>>>,
}

impl<'a> Source<'a> {
    fn of(table: &'a Table, from: Option<usize>) -> Self {
        Self {
            numbers: from.and_then(|from| table.floats(from)),
            booleans: from.and_then(|from| table.booleans(from)),
            texts: from.and_then(|from| table.texts(from)),
        }
    }
}

/// Reads a buffer without a lock while it is written.
#[derive(Clone)]
pub struct View {
    reader: Reader<Columns>,
    capacity: usize,
    /// The bytes the writer holds beside the segments.
    beside: Arc<AtomicUsize>,
}

impl View {
    /// The newest `tail` rows, or all.
    #[must_use]
    pub fn snapshot(&self, tail: Option<usize>) -> Table {
        let rows = self.reader.snapshot().tail(tail.unwrap_or(usize::MAX));
        let columns = rows.meta().described.iter().map(|column| original(&rows, column)).collect();
        Table::new(columns, rows.len())
    }

    /// The newest rows with features. Those that were declared are as they were when their row arrived, unless
    /// another `min_samples` is asked for; the others see the rows held.
    ///
    /// # Errors
    /// As [`Plan::new`]; a feature named like a column; an answer beyond [`MAX_CELLS`] cells.
    pub fn features(&self, ask: &Ask<'_>) -> Result<Table> {
        let held = self.reader.snapshot();
        let columns = &held.meta().described;
        let plan = self.plan_of(ask, &held.meta().plan)?;
        let numeric = || columns.iter().filter(|column| column.is_numeric());
        plan.check_names(columns.iter().map(|column| &*column.name), numeric().map(|column| &*column.name))?;
        let rows = held.clone().tail(ask.tail.unwrap_or(usize::MAX));
        let width = columns.len() + numeric().count() * plan.per_column();
        if rows.len().saturating_mul(width) > MAX_CELLS {
            let rows = rows.len();
            return Err(Error::TooLarge {
                message: format!(
                    "{rows} rows of {width} columns are more than {MAX_CELLS} cells. Ask for fewer features, or for the newest rows with tail."
                ),
            });
        }
        let mut out = Vec::with_capacity(width);
        out.extend(columns.iter().map(|column| original(&rows, column)));
        let places = columns.iter().filter_map(|column| match column.holds {
            Holds::Numbers { place } => Some((&*column.name, place)),
            _ => None,
        });
        features(&held, &rows, &places.collect::<Vec<_>>(), &plan, &held.meta().plan, &mut out);
        Ok(Table::new(out, rows.len()))
    }

    fn plan_of(&self, ask: &Ask<'_>, declared: &Plan) -> Result<Plan> {
        let or_default = |declared: &[usize], default: &[usize]| -> Vec<i64> {
            let used = if declared.is_empty() { default } else { declared };
            used.iter().filter(|rows| **rows <= self.capacity).map(|rows| *rows as i64).collect()
        };
        let windows =
            ask.windows.map_or_else(|| or_default(declared.windows(), &[5, 10, 20]), <[i64]>::to_vec);
        let lags = ask.lags.map_or_else(|| or_default(declared.lags(), &[1, 2, 3]), <[i64]>::to_vec);
        Plan::new(Request {
            windows: &windows,
            stats: ask.stats,
            lags: &lags,
            include_lags: ask.include_lags,
            include_deltas: ask.include_deltas,
            min_samples: ask.min_samples.or(declared.min_samples().map(|rows| rows as i64)),
            longest: self.capacity,
            called: Called::OF_BUFFERS,
        })
    }

    /// The names of the declared features.
    #[must_use]
    pub fn feature_names(&self) -> Vec<String> {
        names(&self.reader.snapshot())
    }

    /// The newest row.
    #[must_use]
    pub fn newest(&self) -> NewestRow {
        NewestRow(self.reader.snapshot())
    }

    /// The declared features.
    #[must_use]
    pub fn plan(&self) -> Plan {
        self.reader.snapshot().meta().plan.clone()
    }

    /// The most rows it holds.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The names of the columns, and whether each holds numbers.
    #[must_use]
    pub fn columns(&self) -> Vec<(Arc<str>, bool)> {
        let rows = self.reader.snapshot();
        rows.meta().described.iter().map(|column| (column.name.clone(), column.is_numeric())).collect()
    }

    /// The rows it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.reader.snapshot().len()
    }

    /// Whether it holds no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows ever taken in.
    #[must_use]
    pub fn append_count(&self) -> u64 {
        self.reader.published()
    }

    /// The bytes it holds.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Buffer>() + self.reader.snapshot().bytes() + self.beside.load(Ordering::Relaxed)
    }
}

fn names(rows: &Snapshot<Columns>) -> Vec<String> {
    let columns = rows.meta();
    let numeric = columns.described.iter().filter(|column| column.is_numeric());
    numeric.flat_map(|column| columns.plan.names(&column.name)).collect()
}

fn original(rows: &Snapshot<Columns>, column: &Described) -> Column {
    match column.holds {
        Holds::Nothing => Column::new(&column.name, Values::Unknown),
        Holds::Numbers { place } => Column::shared(&*column.name, rows.column(place)),
        Holds::Booleans { place } => {
            let chunks = rows.column(place);
            let values = chunks.iter().flat_map(|chunk| chunk.numbers());
            let boolean = |value: &f64| (!value.is_nan()).then_some(*value != 0.0);
            Column::new(&column.name, Values::Boolean(values.map(boolean).collect()))
        }
        Holds::Texts { place } => {
            let (mut present, mut texts) = (Vec::new(), Texts::default());
            for text in rows.column(place).iter().flat_map(|chunk| chunk.texts()) {
                present.push(text.is_some());
                texts.push(text.unwrap_or_default());
            }
            Column::new(&column.name, Values::Text { present, texts })
        }
    }
}

/// Adds the features of the columns of numbers: those declared where they stand, the others computed over the rows
/// held.
fn features(
    held: &Snapshot<Columns>,
    rows: &Snapshot<Columns>,
    places: &[(&str, usize)],
    plan: &Plan,
    declared: &Plan,
    out: &mut Vec<Column>,
) {
    let mut computed = computed(held, rows.len(), places, &plan.without(declared)).into_iter();
    let known: Vec<_> =
        declared.features().map(|feature| declared.keeps(feature, plan).then_some(feature)).collect();
    let known: Vec<_> =
        plan.features().map(|asked| known.iter().position(|known| *known == Some(asked))).collect();
    let names = plan.names_of(places.iter().map(|(column, _)| *column));
    let mut names = names.into_iter();
    for (_, place) in places {
        for (known, name) in known.iter().zip(names.by_ref()) {
            out.push(match known {
                Some(at) => Column::shared(name, rows.column(place + 1 + at)),
                None => Column::numbers(name, computed.next().unwrap_or_default()),
            });
        }
    }
}

fn computed(held: &Snapshot<Columns>, rows: usize, places: &[(&str, usize)], plan: &Plan) -> Vec<Numbers> {
    if plan.is_empty() {
        return Vec::new();
    }
    let touched = held.clone().tail(rows + plan.reach());
    let (rows_touched, first_sequence) = (touched.len(), touched.first_sequence());
    let held = Held { columns: places.len(), rows: rows_touched, first_sequence };
    compute(plan, held, rows, |column, values| {
        let mut rest = values;
        for chunk in touched.column(places[column].1) {
            let (now, later) = rest.split_at_mut(chunk.len());
            now.copy_from_slice(chunk.numbers());
            rest = later;
        }
    })
}
