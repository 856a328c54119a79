//! One column that grows by a cell at a time and learns its type from the first.

use super::{Cell, Mode, Refusal};
use crate::error::shortened;

/// The longest piece of a text that a message repeats.
const SHOWN: usize = 40;

/// Text values one after the other.
#[derive(Clone, Default)]
pub struct Texts {
    bytes: String,
    ends: Vec<usize>,
}

impl Texts {
    /// Puts one more at the end.
    pub fn push(&mut self, text: &str) {
        self.bytes.push_str(text);
        self.ends.push(self.bytes.len());
    }

    fn pad(&mut self, rows: usize) {
        self.ends.resize(rows, self.bytes.len());
    }

    /// The texts in order; empty where the value is missing.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}

/// The values of a column.
pub enum Values {
    /// Nothing but missing values so far.
    Unknown,
    /// Numbers, NaN where missing.
    Number(Vec<f64>),
    /// Booleans.
    Boolean(Vec<Option<bool>>),
    /// Texts.
    Text {
        /// False where the value is missing.
        present: Vec<bool>,
        /// The values, one to a row.
        texts: Texts,
    },
}

/// A column of rows taken in.
pub struct Taken {
    /// What it is called.
    pub name: Box<str>,
    /// Its values.
    pub values: Values,
    /// The first row that did not send it, not even null.
    pub absent: Option<usize>,
    /// The first row that sent text or a boolean.
    pub other: Option<usize>,
}

/// Values are as long as the newest row that had one; the rows after it are missing.
pub(super) struct Column {
    name: Box<str>,
    mode: Mode,
    values: Values,
    /// In text mode the JSON text of the numbers and booleans, should the column turn to text.
    sent: Texts,
    /// The first row that did not send this column, not even null.
    absent: Option<usize>,
    /// The first row that sent text or a boolean: of a column turned to text nobody could tell any more.
    other: Option<usize>,
    /// In text mode the first value that is not allowed, should anybody ask for the column.
    refused: Option<(usize, String)>,
    /// The same of values that no text stands for either.
    refused_as_text: Option<(usize, String)>,
}

impl Column {
    /// A column that appears with row `row`.
    pub(super) fn new(name: &str, mode: Mode, row: usize) -> Self {
        let absent = (row > 0).then_some(0);
        Self {
            name: name.into(),
            mode,
            values: Values::Unknown,
            sent: Texts::default(),
            absent,
            other: None,
            refused: None,
            refused_as_text: None,
        }
    }

    /// A column of numbers, NaN where missing.
    pub(super) fn of_numbers(name: &str, mode: Mode, values: Vec<f64>) -> Self {
        let any = values.iter().any(|value| !value.is_nan());
        Self {
            values: if any { Values::Number(values) } else { Values::Unknown },
            ..Self::new(name, mode, 0)
        }
    }

    pub(super) fn skip(&mut self, row: usize) {
        self.absent.get_or_insert(row);
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Takes in the value of row `row`; the error is a sentence.
    #[inline]
    pub(super) fn push(&mut self, row: usize, cell: Cell, text: &str) -> Result<(), String> {
        if let (Values::Number(values), Cell::Number(number), false) =
            (&mut self.values, cell, self.mode == Mode::Text)
        {
            if values.len() < row {
                values.resize(row, f64::NAN);
            }
            values.push(number);
            return Ok(());
        }
        self.push_any(row, cell, text)
    }

    fn push_any(&mut self, row: usize, cell: Cell, text: &str) -> Result<(), String> {
        if let Cell::Refused(refusal) = cell {
            return self.refuse(row, refusal, text);
        }
        if !matches!(cell, Cell::Number(_)) {
            self.other.get_or_insert(row);
        }
        if matches!(self.values, Values::Unknown) {
            self.values = self.values_for(cell, text)?;
        }
        self.pad(row);
        match (&mut self.values, cell) {
            (Values::Number(values), Cell::Number(number)) => values.push(number),
            (Values::Boolean(values), Cell::Boolean(boolean)) => values.push(Some(boolean)),
            (Values::Text { present, texts }, Cell::Text) => {
                present.push(true);
                texts.push(text);
            }
            _ if self.mode == Mode::Text => self.push_as_text(text),
            _ => return Err(self.retype(cell, text)),
        }
        if self.mode == Mode::Text && !matches!(self.values, Values::Text { .. }) {
            self.sent.push(text);
        }
        Ok(())
    }

    /// In text mode nobody knows yet whether the column counts at all, or counts as text: the refusal waits, and
    /// an infinity, which no row can hold, stands in for the value.
    fn refuse(&mut self, row: usize, refusal: Refusal, text: &str) -> Result<(), String> {
        let sentence = refusal.sentence(text, &self.name);
        if self.mode != Mode::Text {
            return Err(sentence);
        }
        if text.is_empty() || !refusal.is_json() {
            self.refused_as_text.get_or_insert_with(|| (row, sentence.clone()));
        }
        self.refused.get_or_insert((row, sentence));
        self.push_any(row, Cell::Number(f64::INFINITY), text)
    }

    fn values_for(&self, cell: Cell, text: &str) -> Result<Values, String> {
        match cell {
            Cell::Number(_) => Ok(Values::Number(Vec::new())),
            _ if self.mode == Mode::Numeric => Err(self.retype(cell, text)),
            Cell::Boolean(_) => Ok(Values::Boolean(Vec::new())),
            _ => Ok(Values::Text { present: Vec::new(), texts: Texts::default() }),
        }
    }

    fn pad(&mut self, rows: usize) {
        match &mut self.values {
            Values::Unknown => {}
            Values::Number(values) => values.resize(rows, f64::NAN),
            Values::Boolean(values) => values.resize(rows, None),
            Values::Text { present, texts } => {
                present.resize(rows, false);
                texts.pad(rows);
            }
        }
        if self.mode == Mode::Text && !matches!(self.values, Values::Text { .. }) {
            self.sent.pad(rows);
        }
    }

    fn push_as_text(&mut self, text: &str) {
        self.turn_to_text();
        if let Values::Text { present, texts } = &mut self.values {
            present.push(true);
            texts.push(text);
        }
    }

    /// What was sent takes the place of what it meant.
    fn turn_to_text(&mut self) {
        let present = match &self.values {
            Values::Number(values) => values.iter().map(|value| !value.is_nan()).collect(),
            Values::Boolean(values) => values.iter().map(Option::is_some).collect(),
            Values::Unknown | Values::Text { .. } => return,
        };
        self.values = Values::Text { present, texts: std::mem::take(&mut self.sent) };
    }

    fn retype(&self, cell: Cell, text: &str) -> String {
        let given = match cell {
            Cell::Number(number) => format!("The number {number:?}"),
            Cell::Boolean(boolean) => format!("The value {boolean}"),
            _ => format!("The text '{}'", shortened(text, SHOWN)),
        };
        let (held, allowed) = match &self.values {
            Values::Boolean(_) => ("true and false", "true, false"),
            Values::Text { .. } => ("text", "text"),
            Values::Unknown | Values::Number(_) => ("numbers", "a number"),
        };
        let name = &self.name;
        if self.mode == Mode::Numeric {
            return format!("{given} in column '{name}'. Only numbers and null are taken here.");
        }
        format!("{given} in column '{name}', which holds {held}. Send {allowed} or null.")
    }

    /// The row and the sentence of the first value that is not allowed, in a column of text or of anything.
    pub(super) fn refusal(&self, text: bool) -> Option<(usize, &str)> {
        let refused = if text { &self.refused_as_text } else { &self.refused };
        refused.as_ref().map(|(row, sentence)| (*row, sentence.as_str()))
    }

    /// The values, `rows` of them; as text where `text` says so.
    pub(super) fn finish(mut self, rows: usize, text: bool) -> Taken {
        self.pad(rows);
        if text {
            self.turn_to_text();
        }
        Taken { name: self.name, values: self.values, absent: self.absent, other: self.other }
    }
}
