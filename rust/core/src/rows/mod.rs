//! Rows on their way in: cells of whatever source become typed columns here, by one set of rules.

use std::collections::HashMap;
use std::ops::Range;

use crate::error::{Error, Result, Step, counted};

mod column;
pub mod json;
mod json_fast;
#[cfg(test)]
mod tests;
pub mod write_json;

use column::Column;
pub use column::{Taken, Texts, Values};

/// The most columns a table that comes in may have.
pub const MAX_COLUMNS: usize = 2_000;

/// The most cells (rows times columns) a table that comes in may have. Every cell that is sent takes two
/// bytes of a body, so only bodies that leave most of their columns out can meet it.
pub const MAX_CELLS: usize = 1 << 26;

/// Which values a column may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The type of a column's first value; another type is refused.
    Typed,
    /// Numbers only.
    Numeric,
    /// Columns that mix types become text, each value its JSON text.
    Text,
}

/// One value of one row, before its column has taken it in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell {
    /// The row does not have the column.
    Absent,
    /// No value.
    Missing,
    /// A finite number.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// Text: what the row's arena holds.
    Text,
    /// Not allowed, whatever the column.
    Refused(Refusal),
}

impl Cell {
    /// An integer, where float64 holds it exactly.
    #[must_use]
    pub fn integer(integer: impl Into<i128>) -> Self {
        let integer = integer.into();
        let number = integer as f64;
        if integer == number as i128 { Self::Number(number) } else { Self::Refused(Refusal::InexactInteger) }
    }
}

/// Why a cell cannot be taken whatever its column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// An array or an object.
    Nested,
    /// A number too large for float64.
    BeyondFloat,
    /// An integer that float64 would round.
    InexactInteger,
    /// An infinite float.
    Infinite,
    /// Neither number, text nor boolean; the text staged with it names the type.
    OtherType,
}

impl Refusal {
    /// Whether the value is sound JSON, only none that a column of numbers could hold.
    const fn is_json(self) -> bool {
        matches!(self, Self::Nested | Self::BeyondFloat | Self::InexactInteger)
    }

    /// The refusal of a value of `column`, which `shown` describes.
    #[must_use]
    pub fn sentence(self, shown: &str, column: &str) -> String {
        match self {
            Self::Nested => {
                format!(
                    "An array or object in column '{column}'. A value is a number, text, true, false or null."
                )
            }
            Self::BeyondFloat => format!(
                "{shown} in column '{column}' is beyond float64, whose largest number is about 1.8e308. Send a smaller number or null."
            ),
            Self::InexactInteger => format!(
                "The integer {shown} in column '{column}' cannot be held exactly by float64 (all up to 2**53 can). Send it as a float if rounding is fine, or as text in a column of texts."
            ),
            Self::Infinite => {
                format!(
                    "An infinite number in column '{column}'. Send finite numbers; a missing value is null or NaN."
                )
            }
            Self::OtherType => format!(
                "A value of type {shown} in column '{column}'. A value is a number, text, true, false or null (None)."
            ),
        }
    }
}

/// What a row is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Mapping,
    List,
}

/// Collects rows into typed columns. One row is staged at a time, so of a key that comes twice the last
/// value alone counts.
pub struct Builder {
    mode: Mode,
    /// What the columns of list rows are called; empty: by their position.
    names: Vec<String>,
    columns: Vec<Column>,
    places: HashMap<Box<str>, usize>,
    rows: usize,
    shape: Option<Shape>,
    staged: Vec<Staged>,
    arena: String,
    /// Where the next key of a mapping is expected: keys mostly come in the order of the first row.
    cursor: usize,
    width: usize,
}

#[derive(Clone)]
struct Staged {
    cell: Cell,
    text: Range<usize>,
}

impl Staged {
    const ABSENT: Self = Self { cell: Cell::Absent, text: 0..0 };
}

impl Builder {
    /// No rows yet.
    #[must_use]
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            names: Vec::new(),
            columns: Vec::new(),
            places: HashMap::new(),
            rows: 0,
            shape: None,
            staged: Vec::new(),
            arena: String::new(),
            cursor: 0,
            width: 0,
        }
    }

    /// Gives the columns of list rows their names; such rows then count as named.
    #[must_use]
    pub fn with_names(mut self, names: Vec<String>) -> Self {
        self.names = names;
        self
    }

    /// Whether cells must come with their text whatever their type.
    #[must_use]
    pub fn wants_text(&self) -> bool {
        self.mode == Mode::Text
    }

    /// The rows taken in.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Begins a row that names its columns.
    ///
    /// # Errors
    /// If the rows before it were lists.
    pub fn begin_mapping(&mut self) -> Result<()> {
        self.begin(Shape::Mapping)
    }

    /// Begins a row whose columns go by position.
    ///
    /// # Errors
    /// If the rows before it were mappings.
    pub fn begin_list(&mut self) -> Result<()> {
        self.begin(Shape::List)
    }

    fn begin(&mut self, shape: Shape) -> Result<()> {
        if *self.shape.get_or_insert(shape) != shape {
            return Err(self.row_error(
                "Some rows are objects and some are arrays. Send all rows in one form.".to_owned(),
            ));
        }
        self.arena.clear();
        self.cursor = 0;
        Ok(())
    }

    fn row_error(&self, message: String) -> Error {
        Error::Invalid { message, at: vec![Step::Index(self.rows as u64)] }
    }

    /// The column of `key`, made when it is new.
    ///
    /// # Errors
    /// If it would be one column too many.
    #[inline]
    pub fn column(&mut self, key: &str) -> Result<usize> {
        let expected = self.cursor;
        if self.columns.get(expected).is_some_and(|column| column.name() == key) {
            self.cursor = expected + 1;
            return Ok(expected);
        }
        let place = match self.places.get(key) {
            Some(place) => *place,
            None => self.add_column(key)?,
        };
        self.cursor = place + 1;
        Ok(place)
    }

    fn add_column(&mut self, name: &str) -> Result<usize> {
        let place = self.columns.len();
        if place == MAX_COLUMNS {
            return Err(self.row_error(format!(
                "More than {MAX_COLUMNS} columns, the most a table may have. Send fewer keys."
            )));
        }
        self.columns.push(Column::new(name, self.mode, self.rows));
        self.places.insert(name.into(), place);
        self.staged.push(Staged::ABSENT);
        Ok(place)
    }

    /// The column at a position of a list row.
    ///
    /// # Errors
    /// If the first row was shorter.
    #[inline]
    pub fn position(&mut self) -> Result<usize> {
        let place = self.cursor;
        if place == self.columns.len() {
            self.add_position(place)?;
        }
        self.cursor = place + 1;
        Ok(place)
    }

    fn add_position(&mut self, place: usize) -> Result<()> {
        if self.rows > 0 || (place > 0 && place == self.names.len()) {
            self.width = place;
            return Err(self.ragged("more"));
        }
        let name = self.names.get(place).cloned();
        self.add_column(&name.unwrap_or_else(|| format!("column_{place}")))?;
        Ok(())
    }

    fn ragged(&self, more_or_fewer: &str) -> Error {
        let values = counted(self.width, "value");
        self.row_error(format!(
            "The row has {more_or_fewer} than {values}, the number of columns. Send as many values in each row."
        ))
    }

    /// Stages a cell of the row begun; a later one for the same column replaces it.
    #[inline]
    pub fn stage(&mut self, place: usize, cell: Cell) {
        self.staged[place] = Staged { cell, text: 0..0 };
    }

    /// Stages a cell together with its text: the content of text, the JSON text of anything else.
    pub fn stage_text(&mut self, place: usize, cell: Cell, text: &str) {
        let start = self.arena.len();
        self.arena.push_str(text);
        self.staged[place] = Staged { cell, text: start..self.arena.len() };
    }

    /// Takes the staged row in.
    ///
    /// # Errors
    /// If a cell does not fit its column, or a list row is shorter than the first.
    pub fn end_row(&mut self) -> Result<()> {
        if self.shape == Some(Shape::List) {
            if self.rows == 0 {
                self.width = self.cursor.max(self.names.len());
            }
            if self.cursor < self.width {
                return Err(self.ragged("fewer"));
            }
        }
        if (self.rows + 1).saturating_mul(self.columns.len()) > MAX_CELLS {
            return Err(Error::TooLarge {
                message: format!(
                    "More than {MAX_CELLS} cells (rows times columns) in one call. Send the rows in parts."
                ),
            });
        }
        for (column, staged) in self.columns.iter_mut().zip(&mut self.staged) {
            match staged.cell {
                Cell::Absent => column.skip(self.rows),
                Cell::Missing => {}
                cell => {
                    let text = &self.arena[staged.text.clone()];
                    column
                        .push(self.rows, cell, text)
                        .map_err(|message| Error::cell(self.rows as u64, column.name(), message))?;
                }
            }
            *staged = Staged::ABSENT;
        }
        self.rows += 1;
        Ok(())
    }

    /// Takes in named columns of numbers, NaN where missing, as mappings that each had all of them.
    fn take_in(&mut self, names: &[&str], columns: Vec<Vec<f64>>) {
        self.shape = Some(Shape::Mapping);
        self.rows = columns.first().map_or(0, Vec::len);
        for (name, values) in names.iter().zip(columns) {
            self.places.insert((*name).into(), self.columns.len());
            self.columns.push(Column::of_numbers(name, self.mode, values));
            self.staged.push(Staged::ABSENT);
        }
    }

    /// All rows, of the columns that are `wanted`.
    ///
    /// # Errors
    /// In text mode, the first value of a wanted column that is not allowed.
    pub fn finish(self, wanted: &Wanted) -> Result<Rows> {
        let rows = self.rows;
        let named = self.shape != Some(Shape::List) || !self.names.is_empty();
        let columns: Vec<_> =
            self.columns.into_iter().filter(|column| !named || wanted.has(column.name())).collect();
        let refused = columns.iter().filter_map(|column| {
            let (row, sentence) = column.refusal(wanted.as_text(column.name()))?;
            Some((row, column.name(), sentence))
        });
        if let Some((row, name, sentence)) = refused.min_by_key(|(row, ..)| *row) {
            return Err(Error::cell(row as u64, name, sentence));
        }
        let finish = |column: Column| {
            let text = wanted.as_text(column.name());
            column.finish(rows, text)
        };
        Ok(Rows { columns: columns.into_iter().map(finish).collect(), rows, named })
    }
}

/// Which columns of named rows count, and which of them as text. The default: all, none as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Columns that come as the text that was sent, whatever they hold (text mode only).
    pub text: Vec<String>,
    /// The columns that count; `None`: all. The others are left out, whatever they hold.
    pub only: Option<Vec<String>>,
}

impl Wanted {
    fn as_text(&self, column: &str) -> bool {
        self.text.iter().any(|name| name == column)
    }

    fn has(&self, column: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.iter().any(|name| name == column))
    }
}

/// Rows taken in: the columns that become a table.
pub struct Rows {
    /// The columns in the order they first came, each with its name.
    pub columns: Vec<Taken>,
    /// How many rows.
    pub rows: usize,
    /// Whether rows named their columns; otherwise they are called `column_0`, `column_1`, ...
    pub named: bool,
}
