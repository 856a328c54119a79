//! Columns with missing values: the one type in which rows come in and go out.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result, counted};
use crate::matrix::Matrix;
use crate::name::Name;
use crate::ring::Chunk;
use crate::rows::write_json::{Cells, Writer};
use crate::rows::{MAX_COLUMNS, Refusal, Rows, Taken, Values};
use crate::slab::{Numbers, Slab, pitch};

/// Immutable columns of one length. Cloning and slicing copy nothing.
#[derive(Clone)]
pub struct Table {
    columns: Arc<[Column]>,
    range: Range<usize>,
    named: bool,
}

/// One column of a table.
pub struct Column {
    name: Name,
    data: Data,
    absent: Option<usize>,
    other: Option<usize>,
}

enum Data {
    /// The column's own values.
    Own(Values),
    /// Numbers that a ring holds.
    Shared(Vec<Chunk>),
    /// Numbers computed together with others.
    Computed(Numbers),
    /// Numbers of somebody else, who does not change them.
    Lent(Arc<dyn AsRef<[f64]> + Send + Sync>),
}

impl Column {
    /// A column of numbers, NaN where missing.
    #[must_use]
    pub fn numbers(name: impl Into<Name>, values: Numbers) -> Self {
        Self { name: name.into(), data: Data::Computed(values), absent: None, other: None }
    }

    /// A column of any values.
    #[must_use]
    pub fn new(name: &str, values: Values) -> Self {
        Self { name: name.into(), data: Data::Own(values), absent: None, other: None }
    }

    /// A column of numbers where they stand in a ring.
    #[must_use]
    pub fn shared(name: impl Into<Name>, chunks: Vec<Chunk>) -> Self {
        Self { name: name.into(), data: Data::Shared(chunks), absent: None, other: None }
    }

    /// A column of numbers that somebody else holds and does not change.
    #[must_use]
    pub fn lent(name: &str, values: Arc<dyn AsRef<[f64]> + Send + Sync>) -> Self {
        Self { name: name.into(), data: Data::Lent(values), absent: None, other: None }
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first row that came without this column, not even null.
    #[must_use]
    pub fn absent(&self) -> Option<usize> {
        self.absent
    }

    /// What it holds, in Python's words.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.data {
            Data::Own(Values::Unknown) => "null",
            Data::Own(Values::Number(_)) | Data::Shared(_) | Data::Computed(_) | Data::Lent(_) => "float64",
            Data::Own(Values::Boolean(_)) => "boolean",
            Data::Own(Values::Text { .. }) => "string",
        }
    }

    /// Whether it holds numbers, or nothing at all.
    #[must_use]
    pub fn is_numeric(&self) -> bool {
        !matches!(self.data, Data::Own(Values::Boolean(_) | Values::Text { .. }))
    }
}

impl From<Rows> for Table {
    fn from(rows: Rows) -> Self {
        let column = |Taken { name, values, absent, other }: Taken| {
            let data = Data::Own(values);
            Column { name: (&*name).into(), data, absent, other }
        };
        let columns = rows.columns.into_iter().map(column);
        Self { columns: columns.collect(), range: 0..rows.rows, named: rows.named }
    }
}

fn check_width(width: usize, names: &[String]) -> Result<()> {
    if width > MAX_COLUMNS {
        return Err(Error::invalid(format!(
            "{width} columns, but a table has at most {MAX_COLUMNS}. Send fewer."
        )));
    }
    if !names.is_empty() && names.len() != width {
        return Err(Error::invalid(format!(
            "Rows of {} for {}. Send as many values as there are columns.",
            counted(width, "value"),
            counted(names.len(), "column")
        )));
    }
    Ok(())
}

impl Table {
    /// A table of named columns.
    ///
    /// # Panics
    /// If a column of numbers is not `rows` long.
    #[must_use]
    pub fn new(columns: Vec<Column>, rows: usize) -> Self {
        let fits = |column: &Column| match &column.data {
            Data::Own(Values::Number(values)) => values.len() == rows,
            Data::Shared(chunks) => chunks.iter().map(Chunk::len).sum::<usize>() == rows,
            Data::Computed(values) => values.len() == rows,
            Data::Lent(values) => (**values).as_ref().len() == rows,
            Data::Own(_) => true,
        };
        assert!(columns.iter().all(fits), "columns of one length");
        Self { columns: columns.into(), range: 0..rows, named: true }
    }

    /// A table of `rows` times `width` numbers, NaN where missing. `names` are those of the columns, or none.
    ///
    /// # Errors
    /// An infinite number, too many columns, or another number of columns than of names.
    ///
    /// # Panics
    /// If the matrix has another number of cells.
    pub fn from_matrix(matrix: Matrix<'_>, rows: usize, width: usize, names: &[String]) -> Result<Self> {
        check_width(width, names)?;
        let (table, infinite) = Self::of_matrix(matrix, rows, width, names);
        if infinite && let Some((row, column)) = table.first_infinite() {
            let name = table.columns[column].name();
            return Err(Error::cell(row as u64, name, Refusal::Infinite.sentence("", name)));
        }
        Ok(table)
    }

    /// As [`Table::from_matrix`], with infinite numbers, and whether there are some.
    ///
    /// # Panics
    /// If the matrix has another number of cells.
    #[must_use]
    pub fn of_matrix(matrix: Matrix<'_>, rows: usize, width: usize, names: &[String]) -> (Self, bool) {
        let name = |place: usize| names.get(place).cloned().unwrap_or_else(|| format!("column_{place}"));
        let pitch = pitch(rows);
        let mut slab = Slab::take(width * pitch);
        let infinite = matrix.write(rows, width, &mut slab.values()[..width * pitch], pitch);
        let slab = Arc::new(slab);
        let numbers = |column: usize| Numbers::new(&slab, column * pitch..column * pitch + rows);
        let columns = (0..width).map(|place| Column::numbers(&*name(place), numbers(place))).collect();
        (Self { named: !names.is_empty(), ..Self::new(columns, rows) }, infinite)
    }

    /// The row and the column of the first infinite number, row by row.
    #[cold]
    fn first_infinite(&self) -> Option<(usize, usize)> {
        let first = |place: usize| self.floats(place)?.iter().position(|value| value.is_infinite());
        (0..self.columns.len()).filter_map(|place| Some((first(place)?, place))).min()
    }

    /// The columns, in order.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Whether rows named their columns.
    #[must_use]
    pub fn named(&self) -> bool {
        self.named
    }

    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// The place of a column.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| *column.name == *name)
    }

    /// The values of a column of numbers, NaN where missing; `None` for other columns, and for one that holds
    /// nothing.
    #[must_use]
    pub fn floats(&self, place: usize) -> Option<Cow<'_, [f64]>> {
        match &self.columns[place].data {
            Data::Own(Values::Number(values)) => Some(Cow::Borrowed(&values[self.range.clone()])),
            Data::Shared(chunks) => Some(match *self.parts(chunks) {
                [] => Cow::Borrowed(&[]),
                [part] => Cow::Borrowed(part),
                ref parts => Cow::Owned(parts.concat()),
            }),
            Data::Computed(values) => Some(Cow::Borrowed(&values[self.range.clone()])),
            Data::Lent(values) => Some(Cow::Borrowed(&(**values).as_ref()[self.range.clone()])),
            Data::Own(_) => None,
        }
    }

    /// The pieces of `chunks` within the table's rows.
    fn parts<'a>(&self, chunks: &'a [Chunk]) -> Vec<&'a [f64]> {
        let mut first = 0;
        let part = |chunk: &'a Chunk| {
            let start = first;
            first += chunk.len();
            let (from, to) = (self.range.start.max(start), self.range.end.min(first));
            (from < to).then(|| &chunk.numbers()[from - start..to - start])
        };
        chunks.iter().filter_map(part).collect()
    }

    /// A column of numbers where all of its rows stand in one place, and whether some may be missing.
    #[must_use]
    pub fn contiguous(&self, place: usize) -> Option<(&[f64], bool)> {
        match &self.columns[place].data {
            Data::Own(Values::Number(values)) => Some((&values[self.range.clone()], true)),
            Data::Computed(values) => Some((&values[self.range.clone()], true)),
            Data::Lent(values) => Some((&(**values).as_ref()[self.range.clone()], true)),
            Data::Shared(chunks) => {
                let mut first = 0;
                for chunk in chunks {
                    let end = first + chunk.len();
                    if self.range.start < end && self.range.end <= end {
                        let within = self.range.start.checked_sub(first)?..self.range.end - first;
                        return Some((&chunk.numbers()[within], chunk.may_miss()));
                    }
                    first = end;
                }
                self.is_empty().then_some((&[], false))
            }
            Data::Own(_) => None,
        }
    }

    /// The rows cut so that in each piece every column of numbers stands in one place.
    #[must_use]
    pub fn pieces(&self) -> Vec<Self> {
        let mut cuts = vec![self.range.end];
        let mut known: &[Chunk] = &[];
        for column in self.columns.iter() {
            if let Data::Shared(chunks) = &column.data
                && !chunks.iter().map(Chunk::len).eq(known.iter().map(Chunk::len))
            {
                known = chunks; // columns of one ring are cut alike
                let ends = chunks.iter().scan(0, |end, chunk| {
                    *end += chunk.len();
                    Some(*end)
                });
                cuts.extend(ends.filter(|end| self.range.contains(end)));
            }
        }
        cuts.sort_unstable();
        cuts.dedup();
        let starts = std::iter::once(self.range.start).chain(cuts.iter().copied());
        let piece = |(start, end): (usize, &usize)| {
            (start < *end).then(|| Self { range: start..*end, ..self.clone() })
        };
        starts.zip(&cuts).filter_map(piece).collect()
    }

    /// The values of a boolean column.
    #[must_use]
    pub fn booleans(&self, place: usize) -> Option<&[Option<bool>]> {
        match &self.columns[place].data {
            Data::Own(Values::Boolean(values)) => Some(&values[self.range.clone()]),
            _ => None,
        }
    }

    /// The values of a text column.
    #[must_use]
    pub fn texts(&self, place: usize) -> Option<Vec<Option<&str>>> {
        match &self.columns[place].data {
            Data::Own(Values::Text { present, texts }) => {
                let values = present.iter().zip(texts.iter()).map(|(present, text)| present.then_some(text));
                Some(values.skip(self.range.start).take(self.range.len()).collect())
            }
            _ => None,
        }
    }

    /// The distinct texts of a text column in the order they first come, and for each row the place of its text
    /// among them, -1 where the value is missing.
    #[must_use]
    pub fn codes(&self, place: usize) -> Option<(Vec<i32>, Vec<&str>)> {
        let texts = self.texts(place)?;
        let mut places = HashMap::new();
        let mut distinct = Vec::new();
        let mut codes = Vec::with_capacity(texts.len());
        for text in texts {
            let code = text.map(|text| {
                *places.entry(text).or_insert_with(|| {
                    distinct.push(text);
                    distinct.len() - 1
                })
            });
            codes.push(code.and_then(|code| i32::try_from(code).ok()).unwrap_or(-1)); // at most 2^26 cells: all fit
        }
        Some((codes, distinct))
    }

    /// The first row that came with text or a boolean in a column.
    #[must_use]
    pub fn first_other(&self, place: usize) -> Option<usize> {
        match self.columns[place].other {
            Some(row) if self.range.contains(&row) => Some(row - self.range.start),
            _ if self.columns[place].is_numeric() => None,
            _ => self.first_value(place),
        }
    }

    /// The first row with a value in a column.
    #[must_use]
    pub fn first_value(&self, place: usize) -> Option<usize> {
        match &self.columns[place].data {
            Data::Own(Values::Unknown) => None,
            Data::Own(Values::Boolean(values)) => values[self.range.clone()].iter().position(Option::is_some),
            Data::Own(Values::Text { present, .. }) => {
                present[self.range.clone()].iter().position(|present| *present)
            }
            Data::Own(Values::Number(_)) | Data::Shared(_) | Data::Computed(_) | Data::Lent(_) => {
                self.floats(place).unwrap_or_default().iter().position(|value| !value.is_nan())
            }
        }
    }

    /// The rows from `offset` on, `length` of them or as many as there are.
    #[must_use]
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        let start = self.range.start + offset.min(self.len());
        let end = start + length.min(self.range.end - start);
        Self { range: start..end, ..self.clone() }
    }

    /// The columns at `places` side by side, row after row.
    ///
    /// # Errors
    /// If one of them holds something else than numbers.
    pub fn matrix(&self, places: &[usize]) -> Result<Vec<f64>> {
        let mut out = vec![f64::NAN; self.len() * places.len()];
        for (at, place) in places.iter().enumerate() {
            let column = &self.columns[*place];
            if !column.is_numeric() {
                let name = column.name();
                return Err(Error::cell(
                    self.first_that_is_no_number(*place) as u64,
                    name,
                    format!(
                        "The column '{name}' does not hold numbers. Leave it out, or give a schema that encodes it."
                    ),
                ));
            }
            for (row, value) in self.floats(*place).unwrap_or_default().iter().enumerate() {
                out[row * places.len() + at] = *value;
            }
        }
        Ok(out)
    }

    /// The row that makes a column no numbers: with its mixed values as text, the first text that reads as none.
    fn first_that_is_no_number(&self, place: usize) -> usize {
        let no_number = |text: &Option<&str>| text.is_some_and(|text| text.parse::<f64>().is_err());
        let row = self.texts(place).and_then(|texts| texts.iter().position(no_number));
        row.or_else(|| self.first_value(place)).unwrap_or(0)
    }

    /// An array of row objects, missing values as null. `out` is memory to write it into; what it holds is forgotten.
    #[must_use]
    pub fn to_json(&self, out: Vec<u8>) -> Vec<u8> {
        let texts: Vec<_> =
            (0..self.columns.len()).map(|place| self.texts(place).unwrap_or_default()).collect();
        let text_of: Vec<_> = texts.iter().map(|texts| |row: usize| texts[row]).collect();
        let boolean_of: Vec<_> = (0..self.columns.len())
            .map(|place| self.booleans(place).unwrap_or_default())
            .map(|booleans| |row: usize| booleans[row])
            .collect();
        let floats: Vec<_> =
            (0..self.columns.len()).map(|place| self.floats(place).unwrap_or_default()).collect();
        let cells = |place: usize| match &self.columns[place].data {
            Data::Own(Values::Unknown) => Cells::Missing,
            Data::Own(Values::Number(_)) | Data::Shared(_) | Data::Computed(_) | Data::Lent(_) => {
                Cells::Numbers(&floats[place])
            }
            Data::Own(Values::Boolean(_)) => Cells::Booleans(&boolean_of[place]),
            Data::Own(Values::Text { .. }) => Cells::Texts(&text_of[place]),
        };
        let mut writer = Writer::new(self.columns.iter().map(Column::name), out);
        writer.rows(self.len(), &(0..self.columns.len()).map(cells).collect::<Vec<_>>());
        writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Step;

    fn of_rows(values: &[f64], width: usize, names: &[&str]) -> Result<Table> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Table::from_matrix(Matrix::Rows(values), values.len() / width, width, &names)
    }

    #[test]
    fn a_matrix_becomes_columns() {
        let table = of_rows(&[1.0, f64::NAN, 2.0, 4.0], 2, &[]).unwrap();
        assert_eq!(
            table.to_json(Vec::new()),
            br#"[{"column_0":1.0,"column_1":null},{"column_0":2.0,"column_1":4.0}]"#
        );
        assert_eq!(of_rows(&[1.0], 1, &["x"]).unwrap().to_json(Vec::new()), br#"[{"x":1.0}]"#);
        let long: Vec<f64> = (0..3 * 1_000).map(f64::from).collect();
        let table = of_rows(&long, 3, &[]).unwrap();
        assert!(
            table.floats(1).unwrap().iter().enumerate().all(|(row, value)| *value == (3 * row + 1) as f64)
        );
    }

    #[test]
    fn a_matrix_that_is_refused_says_where() {
        let mut values = vec![0.0; 2 * 300];
        for place in [2 * 7 + 1, 2 * 7, 2 * 200] {
            values[place] = f64::INFINITY;
        }
        let at = vec![Step::Index(7), Step::Key("column_0".to_owned())];
        assert!(matches!(of_rows(&values, 2, &[]), Err(Error::Invalid { at: place, .. }) if place == at));
        assert!(of_rows(&[1.0, 2.0], 1, &["x", "y"]).is_err());
        assert!(of_rows(&vec![0.0; 4_002], 2_001, &[]).is_err());
    }
}
